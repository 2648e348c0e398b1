//! Whether a new call is taken: those that run come first.

/// `[limits]`: how much is taken on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Most calls at a time; without a limit where `None`.
    pub max_calls: Option<usize>,
    /// Busy share of a media thread from which on it gets no new calls, 0.1 to 1. Default 0.85.
    pub max_load: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_calls: None, max_load: 0.85 }
    }
}

/// The porter. Once the load was too high, it must fall a little below the limit again, so that not every call that ends
/// lets another one in.
#[derive(Debug, Clone, Copy)]
pub struct Admission {
    limits: Limits,
    overloaded: bool,
}

impl Admission {
    /// Lets calls in until these limits are reached.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, overloaded: false }
    }

    /// Whether one more call is taken beside `calls`, with a media thread that is busy for so many thousandths of its
    /// time.
    pub fn admits(&mut self, calls: usize, load_permille: u32) -> bool {
        let load = f64::from(load_permille) / 1_000.0;
        let limit = if self.overloaded { self.limits.max_load - RELIEF } else { self.limits.max_load };
        self.overloaded = load >= limit;
        !self.overloaded && self.limits.max_calls.is_none_or(|most| calls < most)
    }
}

/// How far the load must fall before calls are taken again.
const RELIEF: f64 = 0.03;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_taken_again_when_the_load_has_fallen_a_little() {
        let mut admission = Admission::new(Limits::default());
        let taken: Vec<bool> =
            [0, 840, 850, 840, 825, 819, 849].map(|load| admission.admits(1_000, load)).into();
        assert_eq!(taken, [true, true, false, false, false, true, true]);
    }

    #[test]
    fn no_more_calls_than_allowed() {
        let mut admission = Admission::new(Limits { max_calls: Some(2), ..Limits::default() });
        assert!(admission.admits(1, 0));
        assert!(!admission.admits(2, 0));
        assert!(admission.admits(1, 0));
    }
}
