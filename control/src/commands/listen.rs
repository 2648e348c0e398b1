//! Tone, silence and echo: what a leg hears that is no other leg. Each ends a bridge or conference for the
//! leg.

use std::sync::Arc;

use media::{Feed, dsp::tone_script::ToneScript};

use crate::{command::LegId, error::CommandError, switchboard::Switchboard};

impl Switchboard {
    pub(crate) fn tone(&mut self, id: LegId, tone: Arc<ToneScript>) -> Result<(), CommandError> {
        self.listen(id, Feed::Tone(tone))
    }

    pub(crate) fn silence(&mut self, id: LegId) -> Result<(), CommandError> {
        self.listen(id, Feed::Silence)
    }

    pub(crate) fn echo(&mut self, id: LegId) -> Result<(), CommandError> {
        let session = self.session(id)?;
        self.listen(id, Feed::Session(session))
    }

    fn listen(&mut self, id: LegId, feed: Feed) -> Result<(), CommandError> {
        self.session(id)?;
        self.dissolve(id);
        self.hear(id, feed)
    }
}
