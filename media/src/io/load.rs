//! How busy a worker is.

use std::time::{Duration, Instant};

/// The share of time a worker works, smoothed over a second. Time in which it should work but something else has its
/// core counts, so it says how near the worker is to what it can carry here and now.
#[derive(Debug)]
pub(crate) struct Load {
    share: f32,
    /// When the last beat was done.
    until: Instant,
}

impl Load {
    pub(crate) fn new(now: Instant) -> Self {
        Self { share: 0.0, until: now }
    }

    /// A beat began and is done.
    pub(crate) fn worked(&mut self, began: Instant, done: Instant) {
        let whole = done.saturating_duration_since(self.until).as_secs_f32();
        self.until = done;
        if whole <= 0.0 {
            return;
        }
        let busy = (done.saturating_duration_since(began).as_secs_f32() / whole).min(1.0);
        self.share += (busy - self.share) * (whole / SMOOTHING.as_secs_f32()).min(1.0);
    }

    /// Nothing is to be done.
    pub(crate) fn rest(&mut self) {
        self.share = 0.0;
    }

    /// Thousandths.
    pub(crate) fn permille(&self) -> u32 {
        (self.share * 1_000.0).round() as u32
    }
}

/// Long enough for a glance at another process, short enough for a wave of calls.
const SMOOTHING: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// Beats of 5 ms of which so many µs are work.
    fn work(load: &mut Load, at: &mut Instant, beats: u64, micros: u64) {
        for _ in 0..beats {
            *at += Duration::from_millis(5);
            load.worked(*at - Duration::from_micros(micros), *at);
        }
    }

    #[test]
    fn the_share_of_work_settles_within_seconds_and_forgets_one_hiccup() {
        let mut at = Instant::now();
        let mut load = Load::new(at);
        work(&mut load, &mut at, 1_000, 4_000);
        assert!((790..=801).contains(&load.permille()), "{}", load.permille());
        work(&mut load, &mut at, 1_000, 500);
        let before = load.permille();
        assert!((100..=110).contains(&before), "{before}");
        work(&mut load, &mut at, 1, 5_000);
        assert!(load.permille() < before + 10);
        load.rest();
        assert_eq!(load.permille(), 0);
    }

    #[test]
    fn work_without_a_pause_is_full_load_however_long_a_beat_takes() {
        let mut at = Instant::now();
        let mut load = Load::new(at);
        for _ in 0..20 {
            let began = at;
            at += Duration::from_millis(400);
            load.worked(began, at);
        }
        assert!(load.permille() >= 995);
    }
}
