//! What the demo's server does with a caller: a prompt, four digits, and a bridge to whom they name.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use control::{
    App, Collect, Command, Dial, Event, EventKind, LegId, Play, Switchboard, Target,
    media::{FinishReason, PlayerId, Prompt, dsp::tone::ToneSpec, dsp::tone_plan::Country},
    signaling::{Incoming, NameAddr, StatusCode},
};

/// The number of the menu.
pub(super) const MENU: &str = "menu";
/// Digits that reach the other phone.
pub(super) const EXTENSION: &str = "2042";
/// The user behind [`EXTENSION`].
pub(super) const EXTENSION_USER: &str = "bob";

const PROMPT: PlayerId = PlayerId(1);

/// What the server did, for the timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fact {
    PromptStarted,
    PromptPlayed(u32),
    Digit(char),
    Recognised(String),
    Ringback,
    Bridged,
    Failed(String),
}

/// One caller at a time.
#[derive(Debug)]
pub(super) struct Menu {
    prompt: Arc<Prompt>,
    from: Option<NameAddr>,
    caller: Option<LegId>,
    callee: Option<LegId>,
    facts: VecDeque<Fact>,
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a call reacts to a few of all events")]
impl Menu {
    pub(super) fn new(prompt: Arc<Prompt>) -> Self {
        Self { prompt, from: None, caller: None, callee: None, facts: VecDeque::new() }
    }

    pub(super) fn poll_fact(&mut self) -> Option<Fact> {
        self.facts.pop_front()
    }

    fn ask(&mut self, now: Instant, leg: LegId, command: Command, switchboard: &mut Switchboard) {
        let what = format!("{command:?}");
        if let Err(error) = switchboard.handle_command(now, leg, command) {
            let verb = what.split(['(', ' ']).next().unwrap_or_default();
            self.facts.push_back(Fact::Failed(format!("{verb}: {error}")));
        }
    }

    fn begin(&mut self, now: Instant, leg: LegId, incoming: &Incoming, switchboard: &mut Switchboard) {
        if self.caller.is_some() || incoming.request_uri.user.as_deref() != Some(MENU) {
            self.ask(now, leg, Command::Reject(StatusCode::NOT_FOUND), switchboard);
            return;
        }
        self.caller = Some(leg);
        self.from = Some(NameAddr::new(incoming.from.uri.clone()));
        self.ask(now, leg, Command::Answer, switchboard);
    }

    fn on_caller(&mut self, now: Instant, leg: LegId, kind: &EventKind, switchboard: &mut Switchboard) {
        match kind {
            EventKind::Answered => {
                let prompt = Arc::clone(&self.prompt);
                self.ask(now, leg, Command::Play(Play::prompt(PROMPT, prompt, Some(1)).into()), switchboard);
                let collect = Collect { max: EXTENSION.len(), barge_in: false, ..Collect::default() };
                self.ask(now, leg, Command::Collect(collect), switchboard);
            }
            EventKind::PlayStarted(PROMPT) => self.facts.push_back(Fact::PromptStarted),
            EventKind::PlayFinished(PROMPT, FinishReason::Ended, ms) => {
                self.facts.push_back(Fact::PromptPlayed(*ms));
            }
            EventKind::DigitDown(digit) => self.facts.push_back(Fact::Digit(*digit)),
            EventKind::Collected(digits, _) => {
                self.facts.push_back(Fact::Recognised(digits.clone()));
                self.connect(now, leg, digits, switchboard);
            }
            EventKind::Ended(_) => {
                self.caller = None;
                if let Some(callee) = self.callee {
                    self.ask(now, callee, Command::HangUp(None), switchboard);
                }
            }
            _ => {}
        }
    }

    fn connect(&mut self, now: Instant, caller: LegId, digits: &str, switchboard: &mut Switchboard) {
        let contact = switchboard.contacts(EXTENSION_USER).into_iter().next();
        let (Some(contact), Some(from), true) = (contact, self.from.clone(), digits == EXTENSION) else {
            self.facts.push_back(Fact::Failed(format!("nobody is reached by {digits:?}")));
            self.ask(now, caller, Command::HangUp(None), switchboard);
            return;
        };
        let callee = switchboard.next_leg();
        self.callee = Some(callee);
        let dial = Dial {
            target: Target::Contact(Box::new(contact)),
            from,
            near: Some(caller),
            credentials: None,
            headers: Vec::new(),
            ring_timeout: None,
            srtp: None,
        };
        self.ask(now, callee, Command::Dial(Box::new(dial)), switchboard);
    }

    fn on_callee(&mut self, now: Instant, kind: &EventKind, switchboard: &mut Switchboard) {
        let (Some(caller), Some(callee)) = (self.caller, self.callee) else {
            if matches!(kind, EventKind::Ended(_)) {
                self.callee = None;
            }
            return;
        };
        match kind {
            // The caller is connected already, so its phone makes no ringback: we do.
            EventKind::Progress(StatusCode::RINGING, false) => {
                self.ask(now, caller, Command::tone(ToneSpec::ringback(Country::Us)), switchboard);
                self.facts.push_back(Fact::Ringback);
            }
            EventKind::Answered => {
                self.ask(now, caller, Command::Bridge(callee), switchboard);
                self.facts.push_back(Fact::Bridged);
            }
            EventKind::Ended(_) => {
                self.callee = None;
                self.ask(now, caller, Command::HangUp(None), switchboard);
            }
            _ => {}
        }
    }
}

impl App for Menu {
    fn handle_event(&mut self, now: Instant, event: &Event, switchboard: &mut Switchboard) {
        if let EventKind::Incoming(incoming) = &event.kind {
            self.begin(now, event.leg, incoming, switchboard);
        } else if Some(event.leg) == self.caller {
            self.on_caller(now, event.leg, &event.kind, switchboard);
        } else if Some(event.leg) == self.callee {
            self.on_callee(now, &event.kind, switchboard);
        }
    }
}
