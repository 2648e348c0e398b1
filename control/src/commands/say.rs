//! Says a text: speech, and silence where it has breaks.

use std::time::Instant;

use media::PlayerId;

use crate::{
    command::{LegId, Play},
    error::CommandError,
    event::EventKind,
    speech::{self, Utterance},
    switchboard::Switchboard,
};

impl Switchboard {
    pub(crate) fn say(
        &mut self,
        now: Instant,
        id: LegId,
        player: PlayerId,
        utterance: &Utterance,
    ) -> Result<(), CommandError> {
        self.session(id)?;
        let spoken = speech::parse(utterance).map_err(CommandError::Ssml)?;
        for element in spoken.ignored {
            self.tell(id, EventKind::SpeechIgnored(player, element));
        }
        self.play(now, id, Play::of(player, spoken.sources))
    }
}
