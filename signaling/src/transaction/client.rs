//! Non-INVITE client transaction: RFC 3261 §17.1.2.

use std::time::Instant;

pub(crate) use super::client_invite::Input;
use super::{
    Action, Actions, Class,
    timers::{Deadline, Resend, Timings, soonest},
};

/// State of a request of ours that is neither INVITE nor ACK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    /// Sent; nothing heard yet.
    Trying { timings: Timings, resend: Option<Resend>, expires: Instant },
    /// A provisional response came; still retransmitted, every T2.
    Proceeding { timings: Timings, resend: Option<Resend>, expires: Instant },
    /// Answered; absorbs retransmissions of the answer.
    Completed { expires: Instant },
    /// Over.
    Terminated,
}

impl Client {
    /// The request has just been handed over for the first time.
    pub(crate) fn start(now: Instant, timings: Timings, out: &mut Actions) -> Self {
        out.push(Action::Transmit);
        Self::Trying { timings, resend: timings.resend(now), expires: now + timings.patience() }
    }

    /// One step.
    pub(crate) fn handle(self, now: Instant, input: Input, out: &mut Actions) -> Self {
        match self {
            Self::Trying { timings, resend, expires } => match input {
                Input::Response(class) => Self::respond(now, timings, resend, expires, class, out),
                Input::TransportError => {
                    out.push(Action::Unreachable);
                    Self::Terminated
                }
                // Timer F
                Input::Timeout if now >= expires => {
                    out.push(Action::TimedOut);
                    Self::Terminated
                }
                // Timer E
                Input::Timeout => Self::Trying {
                    timings,
                    resend: Self::due(now, resend, out)
                        .map(|(fired, resend)| if fired { resend.next(now, timings.t2) } else { resend }),
                    expires,
                },
            },
            Self::Proceeding { timings, resend, expires } => match input {
                Input::Response(class) => Self::respond(now, timings, resend, expires, class, out),
                Input::TransportError => self,
                // Timer F
                Input::Timeout if now >= expires => {
                    out.push(Action::TimedOut);
                    Self::Terminated
                }
                // Timer E
                Input::Timeout => Self::Proceeding {
                    timings,
                    resend: Self::due(now, resend, out)
                        .map(|(fired, resend)| if fired { Resend::every(now, timings.t2) } else { resend }),
                    expires,
                },
            },
            Self::Completed { expires } => match input {
                // Timer K
                Input::Timeout if now >= expires => Self::Terminated,
                Input::Timeout | Input::Response(_) | Input::TransportError => self,
            },
            Self::Terminated => self,
        }
    }

    /// Whether it waits for a final response.
    pub(crate) fn is_unanswered(&self) -> bool {
        matches!(self, Self::Trying { .. } | Self::Proceeding { .. })
    }

    /// When it wants to be called with [`Input::Timeout`].
    pub(crate) fn deadline(&self) -> Option<Deadline> {
        match self {
            Self::Trying { resend, expires, .. } | Self::Proceeding { resend, expires, .. } => soonest(
                resend.map(|r| (r.at, "E: retransmit request")),
                Some((*expires, "F: request unanswered")),
            ),
            Self::Completed { expires } => Some((*expires, "K: absorb responses")),
            Self::Terminated => None,
        }
    }

    fn due(now: Instant, resend: Option<Resend>, out: &mut Actions) -> Option<(bool, Resend)> {
        let resend = resend?;
        let fired = now >= resend.at;
        if fired {
            out.push(Action::Transmit);
        }
        Some((fired, resend))
    }

    fn respond(
        now: Instant,
        timings: Timings,
        resend: Option<Resend>,
        expires: Instant,
        class: Class,
        out: &mut Actions,
    ) -> Self {
        out.push(Action::Deliver);
        match class {
            Class::Provisional => Self::Proceeding { timings, resend, expires },
            Class::Success | Class::Failure => Self::Completed { expires: now + timings.linger() },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::transaction::test_time::{base, timings};

    fn step(machine: Client, now: Instant, input: Input) -> (Client, Actions) {
        let mut out = Actions::default();
        let machine = machine.handle(now, input, &mut out);
        (machine, out)
    }

    fn trying(reliable: bool) -> (Client, Instant) {
        let now = base();
        let machine = Client::start(now, timings(reliable), &mut Actions::default());
        (machine, now)
    }

    #[test]
    fn retransmits_up_to_t2_and_gives_up_at_timer_f() {
        let (mut machine, start) = trying(false);
        let mut sent = Vec::new();
        while let Some((at, _)) = machine.deadline() {
            let (next, out) = step(machine, at, Input::Timeout);
            machine = next;
            if out.has(Action::Transmit) {
                sent.push((at - start).as_millis());
            }
        }
        assert_eq!(sent, [500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
    }

    #[test]
    fn provisional_slows_retransmission_down() {
        let (machine, start) = trying(false);
        let (machine, out) = step(machine, start, Input::Response(Class::Provisional));
        assert!(out.has(Action::Deliver));
        let (machine, out) = step(machine, start + Duration::from_millis(500), Input::Timeout);
        assert!(out.has(Action::Transmit));
        assert_eq!(machine.deadline().map(|d| d.0 - start), Some(Duration::from_millis(4500)));
    }

    #[test]
    fn final_response_is_told_once() {
        let (machine, start) = trying(false);
        let (machine, out) = step(machine, start, Input::Response(Class::Failure));
        assert!(out.has(Action::Deliver));
        let (machine, out) = step(machine, start, Input::Response(Class::Failure));
        assert!(!out.has(Action::Deliver));
        assert_eq!(machine.deadline().map(|d| d.0 - start), Some(Duration::from_secs(5)));
    }

    #[test]
    fn reliable_transport_leaves_nothing_behind() {
        let (machine, start) = trying(true);
        let (machine, _) = step(machine, start, Input::Response(Class::Success));
        let (machine, _) = step(machine, start, Input::Timeout);
        assert_eq!(machine, Client::Terminated);
    }
}
