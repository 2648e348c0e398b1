//! INVITE client transaction: RFC 3261 §17.1.1, RFC 6026 §7.2.

use std::time::Instant;

use super::{
    Action, Actions, Class,
    timers::{Deadline, Resend, Timings, soonest},
};

/// State of our INVITE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientInvite {
    /// Sent; nothing heard yet.
    Calling { timings: Timings, resend: Option<Resend>, expires: Instant },
    /// A provisional response came; the user decides how long to wait.
    Proceeding { timings: Timings },
    /// Refused and acknowledged; absorbs retransmissions of the refusal.
    Completed { expires: Instant },
    /// Answered; passes every 2xx on (forks and retransmissions).
    Accepted { expires: Instant },
    /// Over.
    Terminated,
}

/// What can happen to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// A response that matches.
    Response(Class),
    /// Time has passed.
    Timeout,
    /// The request could not be delivered.
    TransportError,
}

impl ClientInvite {
    /// The INVITE has just been handed over for the first time.
    pub(crate) fn start(now: Instant, timings: Timings, out: &mut Actions) -> Self {
        out.push(Action::Transmit);
        Self::Calling { timings, resend: timings.resend(now), expires: now + timings.patience() }
    }

    /// One step.
    pub(crate) fn handle(self, now: Instant, input: Input, out: &mut Actions) -> Self {
        match self {
            Self::Calling { timings, resend, expires } => match input {
                Input::Response(class) => Self::respond(now, timings, class, out),
                Input::TransportError => {
                    out.push(Action::Unreachable);
                    Self::Terminated
                }
                // Timer B
                Input::Timeout if now >= expires => {
                    out.push(Action::TimedOut);
                    Self::Terminated
                }
                // Timer A: no upper limit but timer B
                Input::Timeout => Self::Calling {
                    timings,
                    resend: resend.map(|resend| {
                        if now < resend.at {
                            return resend;
                        }
                        out.push(Action::Transmit);
                        resend.next(now, timings.patience())
                    }),
                    expires,
                },
            },
            Self::Proceeding { timings } => match input {
                Input::Response(class) => Self::respond(now, timings, class, out),
                Input::Timeout | Input::TransportError => self,
            },
            Self::Completed { expires } => match input {
                Input::Response(Class::Failure) => {
                    out.push(Action::Acknowledge);
                    self
                }
                Input::Response(Class::Provisional | Class::Success) => self,
                // Timer D
                Input::Timeout if now >= expires => Self::Terminated,
                Input::Timeout => self,
                // The refusal is known already; only its ACK is lost.
                Input::TransportError => Self::Terminated,
            },
            Self::Accepted { expires } => match input {
                Input::Response(Class::Success) => {
                    out.push(Action::Deliver);
                    self
                }
                Input::Response(Class::Provisional | Class::Failure) => self,
                // Timer M
                Input::Timeout if now >= expires => Self::Terminated,
                Input::Timeout | Input::TransportError => self,
            },
            Self::Terminated => self,
        }
    }

    /// Whether it waits for a final response.
    pub(crate) fn is_unanswered(&self) -> bool {
        matches!(self, Self::Calling { .. } | Self::Proceeding { .. })
    }

    /// When it wants to be called with [`Input::Timeout`].
    pub(crate) fn deadline(&self) -> Option<Deadline> {
        match self {
            Self::Calling { resend, expires, .. } => soonest(
                resend.map(|r| (r.at, "A: retransmit INVITE")),
                Some((*expires, "B: INVITE unanswered")),
            ),
            Self::Completed { expires } => Some((*expires, "D: absorb refusals")),
            Self::Accepted { expires } => Some((*expires, "M: absorb 2xx")),
            Self::Proceeding { .. } | Self::Terminated => None,
        }
    }

    fn respond(now: Instant, timings: Timings, class: Class, out: &mut Actions) -> Self {
        match class {
            Class::Provisional => {
                out.push(Action::Deliver);
                Self::Proceeding { timings }
            }
            Class::Success => {
                out.push(Action::Deliver);
                Self::Accepted { expires: now + timings.patience() }
            }
            Class::Failure => {
                out.push(Action::Acknowledge);
                out.push(Action::Deliver);
                Self::Completed { expires: now + timings.absorb() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::transaction::test_time::{base, timings};

    fn step(machine: ClientInvite, now: Instant, input: Input) -> (ClientInvite, Actions) {
        let mut out = Actions::default();
        let machine = machine.handle(now, input, &mut out);
        (machine, out)
    }

    fn calling(reliable: bool) -> (ClientInvite, Instant) {
        let now = base();
        let mut out = Actions::default();
        let machine = ClientInvite::start(now, timings(reliable), &mut out);
        assert!(out.has(Action::Transmit));
        (machine, now)
    }

    #[test]
    fn retransmits_with_doubling_intervals_until_timer_b() {
        let (mut machine, start) = calling(false);
        let mut sent = Vec::new();
        while let Some((at, _)) = machine.deadline() {
            let (next, out) = step(machine, at, Input::Timeout);
            machine = next;
            if out.has(Action::Transmit) {
                sent.push((at - start).as_millis());
            }
            if out.has(Action::TimedOut) {
                assert_eq!(at - start, Duration::from_secs(32));
            }
        }
        assert_eq!(machine, ClientInvite::Terminated);
        assert_eq!(sent, [500, 1500, 3500, 7500, 15_500, 31_500]);
    }

    #[test]
    fn reliable_transport_is_not_retransmitted() {
        let (machine, start) = calling(true);
        assert_eq!(machine.deadline().map(|d| d.0 - start), Some(Duration::from_secs(32)));
    }

    #[test]
    fn provisional_stops_all_timers() {
        let (machine, now) = calling(false);
        let (machine, out) = step(machine, now, Input::Response(Class::Provisional));
        assert!(out.has(Action::Deliver));
        assert_eq!(machine.deadline(), None);
    }

    #[test]
    fn refusal_is_acknowledged_each_time_but_told_once() {
        let (machine, now) = calling(false);
        let (machine, out) = step(machine, now, Input::Response(Class::Failure));
        assert!(out.has(Action::Acknowledge) && out.has(Action::Deliver));
        let (machine, out) = step(machine, now, Input::Response(Class::Failure));
        assert!(out.has(Action::Acknowledge) && !out.has(Action::Deliver));
        let (machine, _) = step(machine, now + Duration::from_secs(32), Input::Timeout);
        assert_eq!(machine, ClientInvite::Terminated);
    }

    #[test]
    fn every_2xx_is_passed_on_until_timer_m() {
        let (machine, now) = calling(true);
        let (machine, out) = step(machine, now, Input::Response(Class::Success));
        assert!(out.has(Action::Deliver));
        let (machine, out) = step(machine, now + Duration::from_secs(20), Input::Response(Class::Success));
        assert!(out.has(Action::Deliver));
        let (machine, _) = step(machine, now + Duration::from_secs(32), Input::Timeout);
        assert_eq!(machine, ClientInvite::Terminated);
    }

    #[test]
    fn transport_error_ends_it() {
        let (machine, now) = calling(true);
        let (machine, out) = step(machine, now, Input::TransportError);
        assert!(out.has(Action::Unreachable));
        assert_eq!(machine, ClientInvite::Terminated);
    }
}
