//! Answers an incoming leg with the answer that `early` gave, or with our offer where the caller made none.

use std::time::Instant;

use signaling::Body;

use crate::{command::LegId, error::CommandError, leg::LegState, switchboard::Switchboard};

impl Switchboard {
    pub(crate) fn answer(&mut self, now: Instant, id: LegId) -> Result<(), CommandError> {
        self.unanswered(id)?;
        let leg = self.leg(id)?;
        let body = match (&leg.answer, leg.negotiation.as_mut()) {
            (Some(answer), _) => answer.clone(),
            (None, Some(negotiation)) => Body::sdp(negotiation.offer()),
            (None, None) => return Err(CommandError::NoMedia(id)),
        };
        self.invite(id)?.accept(now, body)?;
        self.leg(id)?.advance(now, LegState::Answered);
        self.apply_prepared(id);
        self.greeting_begins(id);
        Ok(())
    }
}
