//! Ends a leg in whatever state it is: BYE, CANCEL or a refusal, as SIP has it.

use std::time::Instant;

use signaling::{Cause, StatusCode};

use crate::{command::LegId, error::CommandError, switchboard::Switchboard};

impl Switchboard {
    pub(crate) fn hang_up(
        &mut self,
        now: Instant,
        id: LegId,
        code: Option<StatusCode>,
    ) -> Result<(), CommandError> {
        self.leg(id)?;
        if let Ok(mut invite) = self.invite(id) {
            // The peer may have been faster; the leg ends all the same.
            let _ = invite.hang_up(now, code);
        }
        let code = code.unwrap_or(StatusCode::OK);
        self.finish(now, id, Cause::Local, code, "hung up");
        Ok(())
    }

    pub(crate) fn reject(&mut self, now: Instant, id: LegId, code: StatusCode) -> Result<(), CommandError> {
        self.unanswered(id)?;
        self.invite(id)?.reject(now, code, None)?;
        self.finish(now, id, Cause::Local, code, code.phrase());
        Ok(())
    }
}
