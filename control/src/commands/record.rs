//! Records what a leg says and hears; nobody hears a difference.

use media::{SteerTap, TapId, graph::recorder::Recorder};

use crate::{command::LegId, error::CommandError, switchboard::Switchboard};

impl Switchboard {
    pub(crate) fn record(
        &mut self,
        id: LegId,
        tap: TapId,
        recorder: Box<Recorder>,
    ) -> Result<(), CommandError> {
        let session = self.session(id)?;
        self.media(media::Command::Tap(session, tap, recorder));
        Ok(())
    }

    pub(crate) fn steer_record(
        &mut self,
        id: LegId,
        tap: TapId,
        steer: SteerTap,
    ) -> Result<(), CommandError> {
        let session = self.session(id)?;
        self.media(media::Command::SteerTap(session, tap, steer));
        Ok(())
    }

    pub(crate) fn stop_record(&mut self, id: LegId, tap: TapId) -> Result<(), CommandError> {
        let session = self.session(id)?;
        self.media(media::Command::Untap(session, tap));
        Ok(())
    }
}
