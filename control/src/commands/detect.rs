//! Listens for digits, tones, beeps, voices and answering machines in what the peer says.

use media::{Detectors, Inband};

use crate::{command::LegId, error::CommandError, switchboard::Switchboard};

impl Switchboard {
    pub(crate) fn detect(&mut self, id: LegId, wanted: Detectors) -> Result<(), CommandError> {
        self.session(id)?;
        let leg = self.leg(id)?;
        let judges = wanted.answering_machine.is_some() && leg.answered.is_some();
        leg.detectors = wanted;
        self.apply_detectors(id);
        if judges {
            self.greeting_begins(id);
        }
        Ok(())
    }

    /// An offer/answer told whether the peer takes telephone events.
    pub(crate) fn choose_inband_digits(&mut self, id: LegId, takes_events: bool) {
        let inband = self.config.inband_digits.of_peer(takes_events);
        if let Some(leg) = self.legs.get_mut(&id)
            && leg.inband != inband
        {
            leg.inband = inband;
            self.apply_detectors(id);
        }
    }

    /// The leg was answered: whoever answered speaks first.
    pub(crate) fn greeting_begins(&mut self, id: LegId) {
        let Some(leg) = self.legs.get(&id) else { return };
        if let (Some(session), true) = (leg.session, leg.detectors.answering_machine.is_some()) {
            self.media(media::Command::Answered(session));
        }
    }

    fn apply_detectors(&mut self, id: LegId) {
        let Some(leg) = self.legs.get(&id) else { return };
        let Some(session) = leg.session else { return };
        let mut wanted = leg.detectors.clone();
        if wanted.digits == Inband::Ignore {
            wanted.digits = leg.inband;
        }
        self.media(media::Command::Detect(session, Box::new(wanted)));
    }
}
