//! Hold and resume: a re-INVITE that changes who may send (RFC 3264 §8.4). What the held party hears is its feed
//! or a playback, as before.

use std::time::Instant;

use media::Direction as Flow;
use signaling::Body;

use crate::{command::LegId, error::CommandError, leg::LegState, switchboard::Switchboard};

impl Switchboard {
    pub(crate) fn hold(&mut self, now: Instant, id: LegId, hold: bool) -> Result<(), CommandError> {
        let leg = self.leg(id)?;
        if leg.state != LegState::Answered || leg.hold.pending.is_some() || leg.hold.local == hold {
            return Err(CommandError::WrongState(id));
        }
        let Some(negotiation) = leg.negotiation.as_mut() else { return Err(CommandError::NoMedia(id)) };
        negotiation.set_direction(wanted(hold));
        let offer = Body::sdp(negotiation.offer());
        if let Err(error) = self.invite(id).and_then(|mut invite| Ok(invite.modify(now, Some(offer))?)) {
            if let Some(negotiation) = self.leg(id)?.negotiation.as_mut() {
                negotiation.withdraw_offer();
                negotiation.set_direction(wanted(!hold));
            }
            return Err(error);
        }
        self.leg(id)?.hold.pending = Some(hold);
        Ok(())
    }
}

/// The direction we ask for.
pub(crate) fn wanted(hold: bool) -> Flow {
    if hold { Flow::SendOnly } else { Flow::SendRecv }
}
