//! Conferences: everybody in one hears everybody else.

use media::{Feed, MixId};

use crate::{command::LegId, error::CommandError, event::EventKind, switchboard::Switchboard};

impl Switchboard {
    pub(crate) fn join(&mut self, id: LegId, mix: MixId) -> Result<(), CommandError> {
        self.session(id)?;
        if self.conference(id) == Some(mix) {
            return Ok(());
        }
        self.dissolve(id);
        self.hear(id, Feed::Mix(mix))?;
        self.conferences.entry(mix).or_default().insert(id);
        self.tell(id, EventKind::Joined(mix));
        Ok(())
    }

    pub(crate) fn leave(&mut self, id: LegId) -> Result<(), CommandError> {
        self.leg(id)?;
        self.conference(id).ok_or(CommandError::WrongState(id))?;
        self.depart(id);
        Ok(())
    }

    pub(crate) fn mute(&mut self, id: LegId, muted: bool) -> Result<(), CommandError> {
        let session = self.session(id)?;
        self.media(media::Command::Mute(session, muted));
        Ok(())
    }

    pub(crate) fn gain(
        &mut self,
        listener: LegId,
        source: LegId,
        factor: Option<f32>,
    ) -> Result<(), CommandError> {
        let (session, other) = (self.session(listener)?, self.session(source)?);
        let mix = self.conference(listener).ok_or(CommandError::WrongState(listener))?;
        if listener == source || self.conference(source) != Some(mix) {
            return Err(CommandError::WrongState(source));
        }
        self.media(media::Command::Gain(session, other, factor));
        Ok(())
    }

    /// Takes a leg out of its conference, if it is in one: it hears silence.
    pub(crate) fn depart(&mut self, id: LegId) {
        let Some(mix) = self.conference(id) else { return };
        if let Some(members) = self.conferences.get_mut(&mix) {
            members.remove(&id);
            if members.is_empty() {
                self.conferences.remove(&mix);
            }
        }
        // An ending leg hears nothing any more and is not told.
        if self.hear(id, Feed::Silence).is_ok() {
            self.tell(id, EventKind::Left(mix));
        }
    }
}
