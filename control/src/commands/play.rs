//! Plays prompts; the leg hears its feed again when they end.

use media::{Playback, PlayerId};

use crate::{
    command::{LegId, Play},
    error::CommandError,
    switchboard::Switchboard,
};

impl Switchboard {
    pub(crate) fn play(&mut self, id: LegId, play: Play) -> Result<(), CommandError> {
        let session = self.session(id)?;
        self.leg(id)?.player = Some(play.player);
        let playback = Playback::prompt(play.prompt, play.times);
        self.media(media::Command::Play(session, play.player, Box::new(playback)));
        Ok(())
    }

    pub(crate) fn stop_play(&mut self, id: LegId, player: PlayerId) -> Result<(), CommandError> {
        let session = self.session(id)?;
        self.media(media::Command::StopPlay(session, player));
        Ok(())
    }
}
