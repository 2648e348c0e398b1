//! The caller hears recordings or speech, then is hung up.

use std::time::{Duration, Instant};

use control::{
    Begin, Command, Event, EventKind, LegId, Play as Playback, Source, Switchboard,
    media::{FinishReason, PlayerId},
};

use super::ask;

/// How long the last words may take to be heard: a hang-up overtakes what waits in the caller's jitter buffer.
const TAIL: Duration = Duration::from_millis(300);

/// How long the caller's ACK or first RTP is waited for; a lost ACK must not leave the caller in silence.
const LEAD: Duration = Duration::from_millis(200);

/// A leg has one playback at a time, so one number serves all.
const PLAYER: PlayerId = PlayerId(1);

/// One playback for one caller.
#[derive(Debug)]
pub(super) struct Play {
    caller: LegId,
    /// When the caller is hung up.
    over: Option<Instant>,
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a call reacts to a few of all events")]
impl Play {
    pub(super) fn begin(
        now: Instant,
        caller: LegId,
        sources: Vec<Source>,
        times: Option<u32>,
        switchboard: &mut Switchboard,
    ) -> Self {
        let begin = Begin::Heard(LEAD);
        let playback = Playback { times, begin, ..Playback::of(PLAYER, sources) };
        let plays = ask(now, caller, Command::Answer, switchboard)
            && ask(now, caller, Command::Play(playback.into()), switchboard);
        if !plays {
            ask(now, caller, Command::HangUp(None), switchboard);
        }
        Self { caller, over: None }
    }

    pub(super) fn handle_event(&mut self, now: Instant, event: &Event) {
        match &event.kind {
            EventKind::PlayFinished(PLAYER, FinishReason::Ended | FinishReason::Failed, _) => {
                self.over = Some(now + TAIL);
            }
            EventKind::PlayFailed(_, why) => tracing::warn!(leg = self.caller.0, why, "cannot play"),
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
