//! Tells the caller that it rings, with or without media.

use std::time::Instant;

use signaling::StatusCode;

use crate::{
    call_record::Direction, command::LegId, error::CommandError, leg::LegState, switchboard::Switchboard,
};

impl Switchboard {
    /// 180 without media; the caller's phone makes its own ringback.
    pub(crate) fn ring(&mut self, now: Instant, id: LegId) -> Result<(), CommandError> {
        self.unanswered(id)?;
        self.invite(id)?.ring(now, StatusCode::RINGING, None)?;
        self.leg(id)?.advance(now, LegState::Ringing);
        Ok(())
    }

    /// 183 with our answer; from now on the caller hears its feed. A late offer has no answer yet, and an
    /// unreliable 183 may not carry an offer (RFC 6337 §2.2), so such a caller must be answered first.
    pub(crate) fn early(&mut self, now: Instant, id: LegId) -> Result<(), CommandError> {
        self.unanswered(id)?;
        let Some(answer) = self.leg(id)?.answer.clone() else { return Err(CommandError::WrongState(id)) };
        self.invite(id)?.ring(now, StatusCode::SESSION_PROGRESS, Some(answer))?;
        self.leg(id)?.advance(now, LegState::Early);
        self.apply_prepared(id);
        Ok(())
    }

    /// An incoming leg that waits for our answer.
    pub(crate) fn unanswered(&mut self, id: LegId) -> Result<(), CommandError> {
        let leg = self.leg(id)?;
        let waits = leg.direction == Direction::Incoming
            && matches!(leg.state, LegState::Dialing | LegState::Ringing | LegState::Early);
        if waits { Ok(()) } else { Err(CommandError::WrongState(id)) }
    }
}
