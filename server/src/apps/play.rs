//! The caller hears a recording, then is hung up.

use std::{sync::Arc, time::Instant};

use control::{
    Command, Event, EventKind, LegId, Play as Playback, Switchboard,
    media::{FinishReason, PlayerId, Prompt},
};

use super::ask;

/// A leg has one playback at a time, so one number serves all.
const PLAYER: PlayerId = PlayerId(1);

/// One recording for one caller.
#[derive(Debug)]
pub(super) struct Play {
    caller: LegId,
    prompt: Arc<Prompt>,
    times: Option<u32>,
    started: bool,
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
        Self { caller, prompt, times, started: false }
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
                ask(now, self.caller, Command::HangUp(None), switchboard);
            }
            _ => {}
        }
    }
}
