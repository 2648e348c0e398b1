//! The four transaction machines of RFC 3261 §17 with the corrections of RFC 6026, one type and one file each.
//!
//! A machine knows states and times only. It is told what happened, returns its next state, and says in
//! `Actions` what has to be done; the messages themselves stay with the endpoint.

pub(crate) mod client;
pub(crate) mod client_invite;
pub(crate) mod key;
pub(crate) mod server;
pub(crate) mod server_invite;
pub(crate) mod timers;

use crate::message::status::StatusCode;

/// All a machine needs to know about a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// 100 to 199.
    Provisional,
    /// 200 to 299.
    Success,
    /// 300 to 699.
    Failure,
}

impl Class {
    /// The class of a status.
    pub(crate) fn of(status: StatusCode) -> Self {
        match status.code() {
            0..200 => Self::Provisional,
            200..300 => Self::Success,
            300.. => Self::Failure,
        }
    }
}

/// What a machine wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Client: send the request (again). Server: send the latest response (again).
    Transmit,
    /// Client INVITE: acknowledge a final response of 300 or above.
    Acknowledge,
    /// Pass the message to the user of the transaction.
    Deliver,
    /// Nothing (more) was heard in time; the transaction is over.
    TimedOut,
    /// The transport failed; the transaction is over.
    Unreachable,
}

/// The wishes of one step, in order.
#[derive(Debug, Default)]
pub(crate) struct Actions {
    list: [Option<Action>; 2],
}

impl Actions {
    /// Adds a wish; no machine has more than two in one step.
    pub(crate) fn push(&mut self, action: Action) {
        match self.list.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => *slot = Some(action),
            None => debug_assert!(false, "a step has at most two actions"),
        }
    }

    /// The wishes in order.
    pub(crate) fn into_iter(self) -> impl Iterator<Item = Action> {
        self.list.into_iter().flatten()
    }

    /// Whether this is among the wishes.
    #[cfg(test)]
    pub(crate) fn has(&self, action: Action) -> bool {
        self.list.contains(&Some(action))
    }
}

#[cfg(test)]
mod test_time {
    use std::time::{Duration, Instant};

    use super::timers::Timings;

    #[expect(clippy::disallowed_methods, reason = "a base for virtual time")]
    pub(crate) fn base() -> Instant {
        use std::sync::OnceLock;
        static BASE: OnceLock<Instant> = OnceLock::new();
        *BASE.get_or_init(Instant::now)
    }

    pub(crate) fn timings(reliable: bool) -> Timings {
        Timings {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            reliable,
        }
    }
}
