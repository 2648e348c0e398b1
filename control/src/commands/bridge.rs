//! Lets two legs hear each other, answered or not.

use media::Feed;

use crate::{command::LegId, error::CommandError, event::EventKind, switchboard::Switchboard};

impl Switchboard {
    pub(crate) fn bridge(&mut self, a: LegId, b: LegId) -> Result<(), CommandError> {
        let (a_session, b_session) = (self.session(a)?, self.session(b)?);
        if a == b {
            return Err(CommandError::WrongState(b));
        }
        if self.leg(a)?.bridged == Some(b) {
            return Ok(());
        }
        self.dissolve(a);
        self.dissolve(b);
        self.hear(a, Feed::Session(b_session))?;
        self.hear(b, Feed::Session(a_session))?;
        self.leg(a)?.bridged = Some(b);
        self.leg(b)?.bridged = Some(a);
        self.tell(a, EventKind::Bridged(b));
        self.tell(b, EventKind::Bridged(a));
        Ok(())
    }

    pub(crate) fn unbridge(&mut self, id: LegId) -> Result<(), CommandError> {
        if self.leg(id)?.bridged.is_none() {
            return Err(CommandError::WrongState(id));
        }
        self.dissolve(id);
        Ok(())
    }

    /// Ends the bridge of a leg, or its part in a conference: it hears silence, and so does who it was bridged with.
    pub(crate) fn dissolve(&mut self, id: LegId) {
        self.depart(id);
        let Some(other) = self.legs.get_mut(&id).and_then(|leg| leg.bridged.take()) else { return };
        if let Some(leg) = self.legs.get_mut(&other) {
            leg.bridged = None;
        }
        for (leg, peer) in [(id, other), (other, id)] {
            // An ending leg hears nothing any more and is not told.
            if self.hear(leg, Feed::Silence).is_ok() {
                self.tell(leg, EventKind::Unbridged(peer));
            }
        }
    }
}
