//! The caller is connected to another party: a back-to-back user agent with early media.

use std::time::Instant;

use control::{
    CallRecord, Command, Dial as Dialling, Event, EventKind, LegId, Switchboard, Target,
    media::{
        Detectors,
        dsp::{answering_machine::AnsweringMachineConfig, tone_plan::Country, tone_script::ToneScript},
    },
    signaling::{Cause, Incoming, NameAddr, StatusCode},
};

use super::ask;
use crate::routing::{Call, Party};

/// One caller and those who are rung for it.
#[derive(Debug)]
pub(super) struct Dial {
    caller: Caller,
    callees: Vec<Callee>,
    /// Whether the called party is one of our users, who are busy or away but never at a wrong number.
    is_user: bool,
    /// Whose ringback the caller hears where we must make it.
    country: Country,
    /// Whether to find out if a human answers.
    amd: bool,
    /// Who answered first.
    winner: Option<LegId>,
    /// What the caller is told when nobody answers.
    refusal: Option<StatusCode>,
}

#[derive(Debug)]
struct Caller {
    leg: LegId,
    /// It was told that it rings.
    rung: bool,
    /// It hears us before the answer.
    early: bool,
    hears: Hears,
    ended: bool,
}

/// What the caller hears from us before the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hears {
    Nothing,
    Ringback,
    Callee(LegId),
}

#[derive(Debug)]
struct Callee {
    leg: LegId,
    /// 180 came.
    ringing: bool,
    /// SDP came before the answer.
    early: bool,
    /// RTP comes.
    audible: bool,
    /// It is listened for an answering machine.
    judged: bool,
    ended: bool,
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a call reacts to a few of all events")]
impl Dial {
    pub(super) fn begin(
        now: Instant,
        caller: LegId,
        incoming: &Incoming,
        call: Call,
        country: Country,
        switchboard: &mut Switchboard,
    ) -> Self {
        let is_user = matches!(call.party, Party::User(_));
        let targets: Vec<Target> = match call.party {
            Party::Uri(uri) => vec![Target::Uri(uri)],
            Party::User(name) => switchboard
                .contacts(&name)
                .into_iter()
                .map(|contact| Target::Contact(Box::new(contact)))
                .collect(),
        };
        let from = call.from.unwrap_or_else(|| shown(incoming));
        let mut dial = Self {
            caller: Caller { leg: caller, rung: false, early: false, hears: Hears::Nothing, ended: false },
            callees: Vec::new(),
            is_user,
            country,
            amd: call.amd,
            winner: None,
            refusal: None,
        };
        let hops = hops_left(incoming);
        if hops == 0 {
            ask(now, caller, Command::Reject(StatusCode::TOO_MANY_HOPS), switchboard);
            return dial;
        }
        for target in targets {
            let leg = switchboard.next_leg();
            let dialling = Dialling {
                target,
                from: from.clone(),
                near: Some(caller),
                credentials: None,
                headers: vec![("Max-Forwards".into(), (hops - 1).to_string())],
                ring_timeout: call.ring_timeout,
                srtp: call.srtp,
            };
            if ask(now, leg, Command::Dial(Box::new(dialling)), switchboard) {
                dial.callees.push(Callee {
                    leg,
                    ringing: false,
                    early: false,
                    audible: false,
                    judged: false,
                    ended: false,
                });
            }
        }
        if dial.callees.is_empty() {
            // A user without a registered phone.
            ask(now, caller, Command::Reject(StatusCode::TEMPORARILY_UNAVAILABLE), switchboard);
        }
        dial
    }

    /// The legs that were dialled.
    pub(super) fn callees(&self) -> impl Iterator<Item = LegId> {
        self.callees.iter().map(|callee| callee.leg)
    }

    pub(super) fn handle_event(&mut self, now: Instant, event: &Event, switchboard: &mut Switchboard) {
        match event.leg == self.caller.leg {
            true => self.on_caller(now, &event.kind, switchboard),
            false => self.on_callee(now, event.leg, &event.kind, switchboard),
        }
    }

    fn on_caller(&mut self, now: Instant, kind: &EventKind, switchboard: &mut Switchboard) {
        match kind {
            // A caller that left the offer to us has media only with its ACK.
            EventKind::Answered => self.connect(now, switchboard),
            EventKind::Ended(_) => {
                self.caller.ended = true;
                self.hang_up_callees(now, None, switchboard);
            }
            _ => {}
        }
    }

    fn on_callee(&mut self, now: Instant, leg: LegId, kind: &EventKind, switchboard: &mut Switchboard) {
        let Some(callee) = self.callees.iter_mut().find(|callee| callee.leg == leg) else { return };
        let has_media = matches!(kind, EventKind::Progress(_, true) | EventKind::Answered);
        if self.amd && has_media && !callee.judged {
            // From early media on: an announcement of the network tells as much as a greeting.
            let answering_machine = Some(AnsweringMachineConfig::default());
            let detectors = Detectors { answering_machine, ..Detectors::default() };
            callee.judged = ask(now, leg, Command::Detect(Box::new(detectors)), switchboard);
        }
        match kind {
            EventKind::Progress(code, media) => {
                callee.ringing |= *code == StatusCode::RINGING;
                callee.early |= media;
                self.inform_caller(now, switchboard);
            }
            EventKind::MediaStarted => {
                callee.audible = true;
                self.inform_caller(now, switchboard);
            }
            EventKind::MediaStopped => {
                callee.audible = false;
                self.inform_caller(now, switchboard);
            }
            EventKind::Answered => self.on_answer(now, leg, switchboard),
            EventKind::Ended(record) => {
                callee.ended = true;
                self.on_callee_gone(now, leg, record, switchboard);
            }
            _ => {}
        }
    }

    /// The first who answers has the call; who answers at the same moment is thanked and hung up.
    fn on_answer(&mut self, now: Instant, leg: LegId, switchboard: &mut Switchboard) {
        if self.winner.is_some() || self.caller.ended {
            ask(now, leg, Command::HangUp(None), switchboard);
            return;
        }
        self.winner = Some(leg);
        self.hang_up_callees(now, Some(leg), switchboard);
        // Signaling is accepted before media is switched, so a caller that has just gone is not bridged.
        if !ask(now, self.caller.leg, Command::Answer, switchboard) {
            ask(now, leg, Command::HangUp(None), switchboard);
            return;
        }
        self.connect(now, switchboard);
    }

    /// Lets caller and winner hear each other, if they do not yet.
    fn connect(&mut self, now: Instant, switchboard: &mut Switchboard) {
        let Some(winner) = self.winner else { return };
        if self.caller.hears != Hears::Callee(winner)
            && ask(now, self.caller.leg, Command::Bridge(winner), switchboard)
        {
            self.caller.hears = Hears::Callee(winner);
        }
    }

    fn on_callee_gone(
        &mut self,
        now: Instant,
        leg: LegId,
        record: &CallRecord,
        switchboard: &mut Switchboard,
    ) {
        if self.winner == Some(leg) {
            ask(now, self.caller.leg, Command::HangUp(None), switchboard);
            return;
        }
        if self.winner.is_some() || self.caller.ended {
            return;
        }
        let code = refusal(record, self.is_user);
        self.refusal = Some(self.refusal.map_or(code, |known| stronger(known, code)));
        // Whoever refuses for everybody (RFC 3261 §21.6) ends the search.
        let for_everybody = code.code() >= 600;
        if for_everybody {
            self.hang_up_callees(now, None, switchboard);
        }
        if for_everybody || self.callees.iter().all(|callee| callee.ended) {
            let code = self.refusal.unwrap_or(StatusCode::TEMPORARILY_UNAVAILABLE);
            ask(now, self.caller.leg, Command::Reject(code), switchboard);
            self.caller.ended = true;
        } else {
            self.inform_caller(now, switchboard);
        }
    }

    /// Before the answer: tells the caller that it rings, or lets it hear a callee's line, or our ringback where the
    /// line fell silent while it still rings (RFC 3960 §3.2).
    fn inform_caller(&mut self, now: Instant, switchboard: &mut Switchboard) {
        if self.winner.is_some() || self.caller.ended {
            return;
        }
        if let Some(callee) = self.audible_callee() {
            self.open_early(now, switchboard);
            if self.caller.early
                && self.caller.hears != Hears::Callee(callee)
                && ask(now, self.caller.leg, Command::Bridge(callee), switchboard)
            {
                self.caller.hears = Hears::Callee(callee);
            }
            return;
        }
        let rings = self.callees.iter().any(|callee| callee.ringing && !callee.ended);
        if rings && self.caller.early {
            if self.caller.hears != Hears::Ringback
                && ask(now, self.caller.leg, Command::tone(ToneScript::ringback(self.country)), switchboard)
            {
                self.caller.hears = Hears::Ringback;
            }
        } else if rings && !self.caller.rung {
            self.caller.rung = ask(now, self.caller.leg, Command::Ring, switchboard);
        } else if !rings && self.caller.hears != Hears::Nothing {
            ask(now, self.caller.leg, Command::Silence, switchboard);
            self.caller.hears = Hears::Nothing;
        }
    }

    /// The callee to hear before the answer: the one heard already, otherwise the newest.
    ///
    /// SDP in a 180 alone is no sound: until packets come, the caller's phone rings by itself.
    fn audible_callee(&self) -> Option<LegId> {
        let audible = |callee: &&Callee| !callee.ended && callee.early && (callee.audible || !callee.ringing);
        let heard = |callee: &Callee| self.caller.hears == Hears::Callee(callee.leg);
        let mut candidates = self.callees.iter().filter(audible).map(|callee| (heard(callee), callee.leg));
        candidates.clone().find(|(heard, _)| *heard).or_else(|| candidates.next_back()).map(|(_, leg)| leg)
    }

    fn open_early(&mut self, now: Instant, switchboard: &mut Switchboard) {
        if self.caller.early {
            return;
        }
        self.caller.early = ask(now, self.caller.leg, Command::Early, switchboard);
        // A caller that left the offer to us cannot hear anything before the answer.
        if !self.caller.early && !self.caller.rung {
            self.caller.rung = ask(now, self.caller.leg, Command::Ring, switchboard);
        }
    }

    fn hang_up_callees(&mut self, now: Instant, except: Option<LegId>, switchboard: &mut Switchboard) {
        for callee in self.callees.iter().filter(|callee| !callee.ended && Some(callee.leg) != except) {
            ask(now, callee.leg, Command::HangUp(None), switchboard);
        }
    }
}

/// How often the call may still be passed on (RFC 3261 §20.22): a dialling plan that leads to itself ends there.
fn hops_left(incoming: &Incoming) -> u8 {
    let header = incoming.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("Max-Forwards"));
    header.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(70)
}

/// The calling party as the callee sees it.
fn shown(incoming: &Incoming) -> NameAddr {
    let mut from = NameAddr::new(incoming.from.uri.clone());
    from.display.clone_from(&incoming.from.display);
    from
}

/// What a caller is told about the failure of the callee's leg.
///
/// What concerns our own requests (credentials, syntax, loops of ours) is not the caller's business, and a 503 of a
/// single callee must not make the caller avoid us (RFC 3261 §16.7).
fn refusal(record: &CallRecord, is_user: bool) -> StatusCode {
    match record.cause {
        Cause::Timeout if record.ringing.is_some() || is_user => StatusCode::TEMPORARILY_UNAVAILABLE,
        Cause::Timeout => StatusCode::SERVER_TIMEOUT,
        Cause::Unreachable if is_user => StatusCode::TEMPORARILY_UNAVAILABLE,
        Cause::Unreachable if record.code == StatusCode::SERVICE_UNAVAILABLE => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Cause::Unreachable => StatusCode::BAD_GATEWAY,
        Cause::Rejected | Cause::Local | Cause::RemoteBye | Cause::RemoteCancel => match record.code.code() {
            300..=399 | 408 | 480 | 487 | 491 => StatusCode::TEMPORARILY_UNAVAILABLE,
            403 | 404 | 410 | 415 | 482 | 483 | 484 | 486 | 488 | 501 | 504 => record.code,
            600..=699 => record.code,
            _ => StatusCode::BAD_GATEWAY,
        },
    }
}

/// The refusal that tells the caller more.
fn stronger(a: StatusCode, b: StatusCode) -> StatusCode {
    let rank = |code: StatusCode| match code.code() {
        600.. => 0,
        486 => 1,
        403 | 488 => 2,
        480 => 3,
        400..=499 => 4,
        _ => 5,
    };
    if rank(b) < rank(a) { b } else { a }
}
