//! The times of RFC 3261 §17 and table 4, and a deadline that doubles.

use std::time::{Duration, Instant};

/// What the timers of one transaction are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timings {
    /// Round-trip estimate.
    pub(crate) t1: Duration,
    /// Longest retransmission interval.
    pub(crate) t2: Duration,
    /// Longest time a message stays in the network.
    pub(crate) t4: Duration,
    /// Whether the transport retransmits by itself.
    pub(crate) reliable: bool,
}

impl Timings {
    /// Timers B, F, H, L and M: how long one waits for the peer at all.
    pub(crate) fn patience(&self) -> Duration {
        self.t1 * 64
    }

    /// Timers D and J: how long retransmissions of the peer have to be absorbed.
    pub(crate) fn absorb(&self) -> Duration {
        if self.reliable { Duration::ZERO } else { self.patience() }
    }

    /// Timers I and K: how long the last messages may still be under way.
    pub(crate) fn linger(&self) -> Duration {
        if self.reliable { Duration::ZERO } else { self.t4 }
    }

    /// The retransmission timer to start with (A, E, G), if the transport needs one.
    pub(crate) fn resend(&self, now: Instant) -> Option<Resend> {
        (!self.reliable).then(|| Resend { at: now + self.t1, interval: self.t1 })
    }
}

/// A retransmission that is due at `at` and whose interval grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resend {
    /// When it is due.
    pub(crate) at: Instant,
    /// The interval that ends then.
    pub(crate) interval: Duration,
}

impl Resend {
    /// The next one: twice the interval, `longest` at most.
    pub(crate) fn next(self, now: Instant, longest: Duration) -> Self {
        let interval = (self.interval * 2).min(longest);
        Self { at: now + interval, interval }
    }

    /// The next one after exactly `interval`.
    pub(crate) fn every(now: Instant, interval: Duration) -> Self {
        Self { at: now + interval, interval }
    }
}

/// A deadline with its reason, for whoever looks at a machine.
pub(crate) type Deadline = (Instant, &'static str);

/// The earlier of two deadlines.
pub(crate) fn soonest(a: Option<Deadline>, b: Option<Deadline>) -> Option<Deadline> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.0 < a.0 { b } else { a }),
        (a, b) => a.or(b),
    }
}
