//! INVITE server transaction: RFC 3261 §17.2.1, RFC 6026 §7.1.

use std::time::Instant;

use super::{
    Action, Actions, Class,
    timers::{Deadline, Resend, Timings, soonest},
};

/// State of an INVITE we received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerInvite {
    /// No final response yet.
    Proceeding { timings: Timings },
    /// Refused; the refusal is retransmitted until its ACK.
    Completed { timings: Timings, resend: Option<Resend>, expires: Instant },
    /// Refused and acknowledged; absorbs further ACKs.
    Confirmed { expires: Instant },
    /// Answered; absorbs retransmitted INVITEs. The 2xx is retransmitted by the user of the transaction.
    Accepted { expires: Instant },
    /// Over.
    Terminated,
}

/// What can happen to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// The INVITE came again.
    Request,
    /// An ACK with the INVITE's branch came.
    Ack,
    /// Its user responds.
    Respond(Class),
    /// Time has passed.
    Timeout,
}

impl ServerInvite {
    /// An INVITE has arrived for the first time.
    pub(crate) fn start(timings: Timings) -> Self {
        Self::Proceeding { timings }
    }

    /// One step.
    pub(crate) fn handle(self, now: Instant, input: Input, out: &mut Actions) -> Self {
        match self {
            Self::Proceeding { timings } => match input {
                Input::Request => {
                    out.push(Action::Transmit);
                    self
                }
                Input::Respond(class) => {
                    out.push(Action::Transmit);
                    match class {
                        Class::Provisional => self,
                        Class::Success => Self::Accepted { expires: now + timings.patience() },
                        Class::Failure => Self::Completed {
                            timings,
                            resend: timings.resend(now),
                            expires: now + timings.patience(),
                        },
                    }
                }
                Input::Ack | Input::Timeout => self,
            },
            Self::Completed { timings, resend, expires } => match input {
                Input::Request => {
                    out.push(Action::Transmit);
                    self
                }
                Input::Ack => Self::Confirmed { expires: now + timings.linger() },
                // Timer H: the peer knows the refusal or is gone; nobody needs to be told.
                Input::Timeout if now >= expires => Self::Terminated,
                // Timer G
                Input::Timeout => Self::Completed {
                    timings,
                    resend: resend.map(|resend| {
                        if now < resend.at {
                            return resend;
                        }
                        out.push(Action::Transmit);
                        resend.next(now, timings.t2)
                    }),
                    expires,
                },
                Input::Respond(_) => self,
            },
            Self::Confirmed { expires } => match input {
                // Timer I
                Input::Timeout if now >= expires => Self::Terminated,
                Input::Timeout | Input::Request | Input::Ack | Input::Respond(_) => self,
            },
            Self::Accepted { expires } => match input {
                // Some peers reuse the INVITE's branch for the ACK of a 2xx.
                Input::Ack => {
                    out.push(Action::Deliver);
                    self
                }
                Input::Respond(Class::Success) => {
                    out.push(Action::Transmit);
                    self
                }
                // Timer L
                Input::Timeout if now >= expires => Self::Terminated,
                Input::Timeout | Input::Request | Input::Respond(Class::Provisional | Class::Failure) => self,
            },
            Self::Terminated => self,
        }
    }

    /// When it wants to be called with [`Input::Timeout`].
    pub(crate) fn deadline(&self) -> Option<Deadline> {
        match self {
            Self::Completed { resend, expires, .. } => soonest(
                resend.map(|r| (r.at, "G: retransmit refusal")),
                Some((*expires, "H: refusal not acknowledged")),
            ),
            Self::Confirmed { expires } => Some((*expires, "I: absorb ACKs")),
            Self::Accepted { expires } => Some((*expires, "L: absorb INVITEs")),
            Self::Proceeding { .. } | Self::Terminated => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::transaction::test_time::{base, timings};

    fn step(machine: ServerInvite, now: Instant, input: Input) -> (ServerInvite, Actions) {
        let mut out = Actions::default();
        let machine = machine.handle(now, input, &mut out);
        (machine, out)
    }

    #[test]
    fn repeated_invite_gets_the_last_provisional_again() {
        let machine = ServerInvite::start(timings(false));
        let (machine, _) = step(machine, base(), Input::Respond(Class::Provisional));
        let (_, out) = step(machine, base(), Input::Request);
        assert!(out.has(Action::Transmit));
    }

    #[test]
    fn refusal_is_retransmitted_until_its_ack() {
        let start = base();
        let (machine, _) = step(ServerInvite::start(timings(false)), start, Input::Respond(Class::Failure));
        let (machine, out) = step(machine, start + Duration::from_millis(500), Input::Timeout);
        assert!(out.has(Action::Transmit));
        let (machine, _) = step(machine, start + Duration::from_millis(600), Input::Ack);
        let (machine, out) = step(machine, start + Duration::from_millis(700), Input::Request);
        assert!(!out.has(Action::Transmit));
        let (machine, _) = step(machine, start + Duration::from_millis(5600), Input::Timeout);
        assert_eq!(machine, ServerInvite::Terminated);
    }

    #[test]
    fn refusal_without_ack_ends_at_timer_h() {
        let start = base();
        let (mut machine, _) =
            step(ServerInvite::start(timings(false)), start, Input::Respond(Class::Failure));
        let mut last = start;
        while let Some((at, _)) = machine.deadline() {
            machine = step(machine, at, Input::Timeout).0;
            last = at;
        }
        assert_eq!(last - start, Duration::from_secs(32));
    }

    #[test]
    fn after_a_2xx_repeated_invites_are_absorbed() {
        let (machine, out) =
            step(ServerInvite::start(timings(false)), base(), Input::Respond(Class::Success));
        assert!(out.has(Action::Transmit));
        let (machine, out) = step(machine, base(), Input::Request);
        assert!(!out.has(Action::Transmit));
        let (_, out) = step(machine, base(), Input::Ack);
        assert!(out.has(Action::Deliver));
    }
}
