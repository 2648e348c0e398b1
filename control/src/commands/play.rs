//! Plays; the leg hears its feed again when nothing is left to play.

use std::time::Instant;

use media::{Piece, Playback, PlayerId, Steer};

use crate::{
    call_record::Direction,
    command::{Begin, LegId, Play, Source},
    error::CommandError,
    leg::LegState,
    switchboard::{MediaRequest, Switchboard},
};

impl Switchboard {
    pub(crate) fn play(&mut self, now: Instant, id: LegId, play: Play) -> Result<(), CommandError> {
        let session = self.session(id)?;
        let leg = self.leg(id)?;
        let early = leg.direction == Direction::Incoming && leg.state == LegState::Answered && !leg.hears;
        let paused = match play.begin {
            Begin::Heard(patience) if early => {
                leg.begins.push(play.player);
                self.starts.insert((now + patience, id));
                true
            }
            Begin::Heard(_) | Begin::Now => false,
        };
        let leg = self.leg(id)?;
        if play.queued && leg.player.is_some() {
            leg.queued.push(play.player);
        } else {
            leg.queued.clear();
            leg.player = Some(play.player);
        }
        let playback = Playback {
            times: play.times,
            volume_db: play.volume_db,
            queued: play.queued,
            paused,
            lead_in_ms: play.lead_in_ms,
            from_ms: play.from_ms,
            fade_out_ms: play.fade_out_ms,
            markers: play.markers,
            ..Playback::of(Vec::new())
        };
        let request = Box::new(PlayRequest { session, player: play.player, sources: play.sources, playback });
        match request.ready() {
            Ok(command) => self.media(command),
            Err(request) => self.request(MediaRequest::Play(request)),
        }
        Ok(())
    }

    pub(crate) fn stop_play(&mut self, id: LegId, player: PlayerId) -> Result<(), CommandError> {
        let session = self.session(id)?;
        self.media(media::Command::StopPlay(session, player));
        Ok(())
    }

    pub(crate) fn steer_play(
        &mut self,
        id: LegId,
        player: PlayerId,
        steer: Steer,
    ) -> Result<(), CommandError> {
        let session = self.session(id)?;
        if matches!(steer, Steer::Pause | Steer::Resume) {
            self.leg(id)?.begins.retain(|waiting| *waiting != player);
        }
        self.media(media::Command::SteerPlay(session, player, steer));
        Ok(())
    }

    /// The peer hears us from now on: what waited for that begins.
    pub(crate) fn begin_plays(&mut self, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        leg.hears = true;
        let waiting = std::mem::take(&mut leg.begins);
        let Some(session) = leg.session.filter(|_| !waiting.is_empty()) else { return };
        for player in waiting {
            self.media(media::Command::SteerPlay(session, player, Steer::Resume));
        }
    }

    /// Those who waited long enough begin unheard.
    pub(crate) fn expire_starts(&mut self, now: Instant) {
        while let Some((at, id)) = self.starts.first().copied()
            && at <= now
        {
            self.starts.pop_first();
            self.begin_plays(id);
        }
    }

    /// A playback is over; whether it was the last.
    pub(crate) fn forget_play(&mut self, id: LegId, player: PlayerId) -> bool {
        let Some(leg) = self.legs.get_mut(&id) else { return false };
        leg.begins.retain(|waiting| *waiting != player);
        if leg.player != Some(player) {
            leg.queued.retain(|waiting| *waiting != player);
            return false;
        }
        leg.player = (!leg.queued.is_empty()).then(|| leg.queued.remove(0));
        leg.player.is_none()
    }
}

/// A playback whose sources have to be opened.
#[derive(Debug)]
pub struct PlayRequest {
    session: media::SessionId,
    player: PlayerId,
    sources: Vec<Source>,
    playback: Playback,
}

impl PlayRequest {
    /// The command for the media engine, once `open` has found what every source is. Its second argument tells
    /// whether the piece is heard more than once.
    #[must_use]
    pub fn open(self, mut open: impl FnMut(&Source, bool) -> Piece) -> media::Command {
        let loops = self.playback.times != Some(1);
        let pieces = self.sources.iter().map(|source| simple(source).unwrap_or_else(|| open(source, loops)));
        let playback = Playback { pieces: pieces.collect(), ..self.playback };
        media::Command::Play(self.session, self.player, Box::new(playback))
    }

    /// Without asking anybody, where that is possible.
    fn ready(self: Box<Self>) -> Result<media::Command, Box<Self>> {
        if self.sources.iter().all(|source| simple(source).is_some()) {
            Ok(self.open(|_, _| Piece::Silence(0)))
        } else {
            Err(self)
        }
    }
}

fn simple(source: &Source) -> Option<Piece> {
    match source {
        Source::Prompt(prompt) => Some(Piece::Prompt(std::sync::Arc::clone(prompt))),
        Source::Tones(script) => Some(Piece::Tones(script.clone())),
        Source::Silence(ms) => Some(Piece::Silence(*ms)),
        Source::File(_) | Source::Url(_) | Source::Bytes(_) | Source::Speech(_) => None,
    }
}
