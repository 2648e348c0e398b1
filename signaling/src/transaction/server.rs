//! Non-INVITE server transaction: RFC 3261 §17.2.2.

use std::time::Instant;

pub(crate) use super::server_invite::Input;
use super::{
    Action, Actions, Class,
    timers::{Deadline, Timings},
};

/// State of a received request that is neither INVITE nor ACK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    /// No response yet.
    Trying { timings: Timings },
    /// A provisional response was sent.
    Proceeding { timings: Timings },
    /// Answered; repeats the answer when the request comes again.
    Completed { expires: Instant },
    /// Over.
    Terminated,
}

impl Server {
    /// A request has arrived for the first time.
    pub(crate) fn start(timings: Timings) -> Self {
        Self::Trying { timings }
    }

    /// One step.
    pub(crate) fn handle(self, now: Instant, input: Input, out: &mut Actions) -> Self {
        match self {
            Self::Trying { timings } => match input {
                Input::Respond(class) => Self::respond(now, timings, class, out),
                Input::Request | Input::Ack | Input::Timeout => self,
            },
            Self::Proceeding { timings } => match input {
                Input::Respond(class) => Self::respond(now, timings, class, out),
                Input::Request => {
                    out.push(Action::Transmit);
                    self
                }
                Input::Ack | Input::Timeout => self,
            },
            Self::Completed { expires } => match input {
                Input::Request => {
                    out.push(Action::Transmit);
                    self
                }
                // Timer J
                Input::Timeout if now >= expires => Self::Terminated,
                Input::Timeout | Input::Ack | Input::Respond(_) => self,
            },
            Self::Terminated => self,
        }
    }

    /// When it wants to be called with [`Input::Timeout`].
    pub(crate) fn deadline(&self) -> Option<Deadline> {
        match self {
            Self::Completed { expires } => Some((*expires, "J: absorb requests")),
            Self::Trying { .. } | Self::Proceeding { .. } | Self::Terminated => None,
        }
    }

    fn respond(now: Instant, timings: Timings, class: Class, out: &mut Actions) -> Self {
        out.push(Action::Transmit);
        match class {
            Class::Provisional => Self::Proceeding { timings },
            Class::Success | Class::Failure => Self::Completed { expires: now + timings.absorb() },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::transaction::test_time::{base, timings};

    fn step(machine: Server, now: Instant, input: Input) -> (Server, Actions) {
        let mut out = Actions::default();
        let machine = machine.handle(now, input, &mut out);
        (machine, out)
    }

    #[test]
    fn repeats_its_answer_until_timer_j() {
        let start = base();
        let machine = Server::start(timings(false));
        let (machine, out) = step(machine, start, Input::Request);
        assert!(!out.has(Action::Transmit));
        let (machine, out) = step(machine, start, Input::Respond(Class::Success));
        assert!(out.has(Action::Transmit));
        let (machine, out) = step(machine, start + Duration::from_secs(31), Input::Request);
        assert!(out.has(Action::Transmit));
        let (machine, _) = step(machine, start + Duration::from_secs(32), Input::Timeout);
        assert_eq!(machine, Server::Terminated);
    }

    #[test]
    fn a_second_final_response_is_not_sent() {
        let (machine, _) = step(Server::start(timings(false)), base(), Input::Respond(Class::Failure));
        let (_, out) = step(machine, base(), Input::Respond(Class::Success));
        assert!(!out.has(Action::Transmit));
    }
}
