//! Calls somebody: the INVITE leaves as soon as the media port is there.

use std::time::Instant;

use crate::{
    command::{Dial, LegId, Target},
    error::CommandError,
    leg::Leg,
    switchboard::{MediaRequest, Switchboard},
};

impl Switchboard {
    pub(crate) fn dial(&mut self, now: Instant, id: LegId, dial: Box<Dial>) -> Result<(), CommandError> {
        if !self.is_callers_choice(id) {
            return Err(CommandError::LegExists(id));
        }
        let near = dial.near.map(|near| self.session(near)).transpose()?;
        let to = match &dial.target {
            Target::Uri(uri) => uri.to_string(),
            Target::Contact(contact) => contact.uri.to_string(),
        };
        self.legs.insert(id, Leg::outgoing(now, to, dial));
        self.request(MediaRequest::Open { leg: id, near, remote: None });
        Ok(())
    }
}
