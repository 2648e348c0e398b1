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

/// How long the caller's ACK or first RTP is waited for; a lost ACK must not leave the caller in silence.
const LEAD: Duration = Duration::from_millis(200);

/// A leg has one playback at a time, so one number serves all.
const PLAYER: PlayerId = PlayerId(1);

/// One recording for one caller.
#[derive(Debug)]
pub(super) struct Play {
    caller: LegId,
    prompt: Arc<Prompt>,
    times: Option<u32>,
    /// When the recording begins at the latest; `None` once it has.
    begins: Option<Instant>,
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
        Self { caller, prompt, times, begins: Some(now + LEAD), over: None }
    }

    pub(super) fn handle_event(&mut self, now: Instant, event: &Event, switchboard: &mut Switchboard) {
        match &event.kind {
            // The caller has our answer now and hears the recording from its first word on.
            EventKind::Answered | EventKind::MediaStarted => self.start(now, switchboard),
            EventKind::PlayFinished(PLAYER, FinishReason::Ended, _) => {
                self.over = Some(now + TAIL);
            }
            _ => {}
        }
    }

    fn start(&mut self, now: Instant, switchboard: &mut Switchboard) {
        if self.begins.take().is_none() {
            return;
        }
        let playback = Playback { player: PLAYER, prompt: Arc::clone(&self.prompt), times: self.times };
        if !ask(now, self.caller, Command::Play(playback), switchboard) {
            ask(now, self.caller, Command::HangUp(None), switchboard);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, switchboard: &mut Switchboard) {
        if self.begins.is_some_and(|at| at <= now) {
            self.start(now, switchboard);
        }
        if self.over.take_if(|at| *at <= now).is_some() {
            ask(now, self.caller, Command::HangUp(None), switchboard);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.begins.or(self.over)
    }
}
