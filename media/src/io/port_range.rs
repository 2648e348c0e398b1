//! Even/odd port pairs and their quarantine.
//!
//! A pair that was just closed may still receive the last packets of the old call, so it rests for a while before
//! the next call gets it. Pairs are handed out in a shuffled order, oldest release first, which makes the port of
//! the next call hard to guess and keeps reuse as far away as possible.

use std::{
    collections::VecDeque,
    ops::RangeInclusive,
    time::{Duration, Instant},
};

/// How long a released pair rests before it is used again.
pub(crate) const QUARANTINE: Duration = Duration::from_secs(2);

/// The even ports `p` of a range whose `p + 1` is in it too.
#[derive(Debug)]
pub(crate) struct PortRange {
    free: VecDeque<u16>,
    resting: VecDeque<(Instant, u16)>,
    quarantine: Duration,
    total: usize,
}

impl PortRange {
    pub(crate) fn new(range: &RangeInclusive<u16>, quarantine: Duration, seed: u64) -> Self {
        let mut ports: Vec<u16> =
            range.clone().filter(|port| port % 2 == 0 && *port < *range.end()).collect();
        shuffle(&mut ports, seed);
        Self { total: ports.len(), free: ports.into(), resting: VecDeque::new(), quarantine }
    }

    /// The next pair to try; give it back with [`Self::release`] or [`Self::refuse`].
    pub(crate) fn take(&mut self, now: Instant) -> Option<u16> {
        while let Some((until, port)) = self.resting.front().copied() {
            if until > now {
                break;
            }
            self.resting.pop_front();
            self.free.push_back(port);
        }
        self.free.pop_front()
    }

    /// The pair was used and is closed now.
    pub(crate) fn release(&mut self, now: Instant, port: u16) {
        self.resting.push_back((now + self.quarantine, port));
    }

    /// The pair could not be bound: it goes to the end of the line.
    pub(crate) fn refuse(&mut self, port: u16) {
        self.free.push_back(port);
    }

    /// Pairs that are handed out.
    pub(crate) fn in_use(&self) -> usize {
        self.total - self.free.len() - self.resting.len()
    }

    /// Pairs that rest.
    pub(crate) fn quarantined(&self, now: Instant) -> usize {
        self.resting.iter().filter(|(until, _)| *until > now).count()
    }

    /// Pairs that could be taken at once.
    pub(crate) fn available(&self) -> usize {
        self.free.len()
    }
}

/// Fisher-Yates with a splitmix64 generator.
fn shuffle(ports: &mut [u16], seed: u64) {
    let mut state = seed;
    for last in (1..ports.len()).rev() {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        ports.swap(last, (mixed % (last as u64 + 1)) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pairs_that_fit_are_handed_out() {
        let now = Instant::now();
        let mut ports = PortRange::new(&(10_001..=10_006), QUARANTINE, 1);
        let mut taken: Vec<u16> = std::iter::from_fn(|| ports.take(now)).collect();
        taken.sort_unstable();
        assert_eq!(taken, [10_002, 10_004]);
        assert_eq!(ports.in_use(), 2);
    }

    #[test]
    fn the_top_of_the_number_space_does_not_wrap() {
        let now = Instant::now();
        let mut ports = PortRange::new(&(65_532..=65_535), QUARANTINE, 7);
        let mut taken: Vec<u16> = std::iter::from_fn(|| ports.take(now)).collect();
        taken.sort_unstable();
        assert_eq!(taken, [65_532, 65_534]);
    }

    #[test]
    fn a_released_pair_rests_and_then_returns_oldest_first() {
        let start = Instant::now();
        let mut ports = PortRange::new(&(20_000..=20_003), QUARANTINE, 3);
        let (Some(first), Some(second)) = (ports.take(start), ports.take(start)) else { panic!("two pairs") };
        ports.release(start, second);
        ports.release(start + Duration::from_millis(1), first);
        assert_eq!((ports.in_use(), ports.quarantined(start)), (0, 2));
        assert_eq!(ports.take(start + QUARANTINE - Duration::from_millis(1)), None);
        assert_eq!(ports.take(start + QUARANTINE), Some(second));
        assert_eq!(ports.take(start + QUARANTINE), None);
        assert_eq!(ports.take(start + QUARANTINE + Duration::from_millis(1)), Some(first));
    }

    #[test]
    fn a_refused_pair_goes_to_the_end_of_the_line() {
        let now = Instant::now();
        let mut ports = PortRange::new(&(30_000..=30_005), QUARANTINE, 9);
        let Some(refused) = ports.take(now) else { panic!("a pair") };
        ports.refuse(refused);
        assert_ne!(ports.take(now), Some(refused));
        assert_ne!(ports.take(now), Some(refused));
        assert_eq!(ports.take(now), Some(refused));
    }

    #[test]
    fn different_seeds_give_different_orders() {
        let now = Instant::now();
        let order = |seed| {
            let mut ports = PortRange::new(&(16_384..=32_767), QUARANTINE, seed);
            std::iter::from_fn(|| ports.take(now)).collect::<Vec<_>>()
        };
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        assert_eq!(order(2).len(), 8192);
    }
}
