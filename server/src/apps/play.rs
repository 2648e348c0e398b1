//! The caller hears a recording, then is hung up.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use control::{
    Command, Event, EventKind, LegId, Play as Playback, Switchboard,
    media::{FinishReason, PlayerId, Prompt},
};

use super::ask;

/// How long the last words may take to be heard: a hang-up overtakes what waits in the caller's jitter buffer.
const TAIL: Duration = Duration::from_millis(300);

/// A leg has one playback at a time, so one number serves all.
const PLAYER: PlayerId = PlayerId(1);

/// One recording for one caller.
#[derive(Debug)]
pub(super) struct Play {
    caller: LegId,
    prompt: Arc<Prompt>,
    times: Option<u32>,
    started: bool,
    /// When the caller is hung up.
    over: Option<Instant>,
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a call reacts to a few of all events")]
impl Play {
    pub(super) fn begin(
        now: Instant,
        caller: LegId,
        prompt: Arc<Prompt>,
        times: Option<u32>,
        switchboard: &mut Switchboard,
    ) -> Self {
        if !ask(now, caller, Command::Answer, switchboard) {
            ask(now, caller, Command::HangUp(None), switchboard);
        }
        Self { caller, prompt, times, started: false, over: None }
    }

    pub(super) fn handle_event(&mut self, now: Instant, event: &Event, switchboard: &mut Switchboard) {
        match &event.kind {
            // The caller has our answer now and hears the recording from its first word on.
            EventKind::Answered if !self.started => {
                self.started = true;
                let playback =
                    Playback { player: PLAYER, prompt: Arc::clone(&self.prompt), times: self.times };
                if !ask(now, self.caller, Command::Play(playback), switchboard) {
                    ask(now, self.caller, Command::HangUp(None), switchboard);
                }
            }
            EventKind::PlayFinished(PLAYER, FinishReason::Ended, _) => {
                self.over = Some(now + TAIL);
            }
            _ => {}
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
