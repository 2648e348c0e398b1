//! The caller hears a tone; when it ends, the caller is hung up.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use control::{Command, Event, EventKind, LegId, Switchboard, media::dsp::tone_script::ToneScript};

use super::ask;

/// How long the end of the tone may take to be heard: a hang-up overtakes what waits in the caller's jitter buffer.
const TAIL: Duration = Duration::from_millis(300);

/// One tone for one caller.
#[derive(Debug)]
pub(super) struct Tone {
    caller: LegId,
    /// When the caller is hung up.
    over: Option<Instant>,
}

impl Tone {
    /// With `answer` the caller is answered, otherwise it hears the tone before the answer that never comes.
    pub(super) fn begin(
        now: Instant,
        caller: LegId,
        script: Arc<ToneScript>,
        answer: bool,
        switchboard: &mut Switchboard,
    ) -> Self {
        // A caller that left the offer to us cannot hear anything before the answer.
        let opened = (!answer && ask(now, caller, Command::Early, switchboard))
            || ask(now, caller, Command::Answer, switchboard);
        if !opened || !ask(now, caller, Command::Tone(script), switchboard) {
            ask(now, caller, Command::HangUp(None), switchboard);
        }
        Self { caller, over: None }
    }

    pub(super) fn handle_event(&mut self, now: Instant, event: &Event) {
        if matches!(event.kind, EventKind::ToneEnded) {
            self.over = Some(now + TAIL);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, switchboard: &mut Switchboard) {
        if self.over.take_if(|at| *at <= now).is_some() {
            ask(now, self.caller, Command::HangUp(None), switchboard);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.over
    }
}
