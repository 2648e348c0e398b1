//! Which packets were received lately (RFC 3711 §3.3.2).

/// The highest index that was received, and which of those before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReplayWindow {
    highest: u64,
    /// Bit n: the packet n before the highest one was received.
    seen: u128,
}

impl ReplayWindow {
    /// Begins with that packet.
    pub(super) fn new(index: u64) -> Self {
        Self { highest: index, seen: 1 }
    }

    pub(super) fn highest(&self) -> u64 {
        self.highest
    }

    /// Whether the packet is new, and young enough to tell.
    pub(super) fn admits(&self, index: u64) -> bool {
        match self.highest.checked_sub(index) {
            None => true,
            Some(age) => age < SIZE && self.seen & (1 << age) == 0,
        }
    }

    /// Takes note of an authenticated packet.
    pub(super) fn record(&mut self, index: u64) {
        match index.checked_sub(self.highest) {
            Some(ahead) if ahead > 0 => {
                self.seen = if ahead < SIZE { self.seen << ahead } else { 0 };
                self.seen |= 1;
                self.highest = index;
            }
            _ => {
                let age = self.highest - index;
                if age < SIZE {
                    self.seen |= 1 << age;
                }
            }
        }
    }
}

/// Packets that may overtake one another: 2.5 s of frames of 20 ms.
const SIZE: u64 = u128::BITS as u64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_index_is_admitted_once_while_it_is_in_the_window() {
        let mut window = ReplayWindow::new(1_000);
        assert!(!window.admits(1_000));
        assert!(window.admits(873) && !window.admits(872));
        window.record(873);
        assert!(!window.admits(873));
        window.record(1_001);
        assert!(!window.admits(1_001) && !window.admits(873) && window.admits(999));
        window.record(5_000);
        assert!(!window.admits(4_872) && window.admits(4_873) && window.admits(4_999));
    }

    proptest! {
        #[test]
        fn no_index_is_ever_admitted_twice(start in 0_u64..1_000, steps in prop::collection::vec(0_u64..2_000, 1..300)) {
            let mut window = ReplayWindow::new(start);
            let mut seen = vec![start];
            for index in steps {
                if window.admits(index) {
                    prop_assert!(!seen.contains(&index));
                    window.record(index);
                    seen.push(index);
                } else {
                    prop_assert!(seen.contains(&index) || index + SIZE <= window.highest());
                }
                prop_assert!(!window.admits(index));
            }
        }
    }
}
