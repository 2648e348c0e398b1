//! Where sessions sit that came from other workers.

use crate::command::SessionId;

/// Slots of sessions that sit elsewhere than their ids say.
#[derive(Debug, Default)]
pub(crate) struct Guests(Vec<(SessionId, u32)>);

impl Guests {
    pub(crate) fn insert(&mut self, id: SessionId, slot: u32) {
        if id.slot() != slot {
            let place = self.0.partition_point(|&(guest, _)| guest < id);
            self.0.insert(place, (id, slot));
        }
    }

    pub(crate) fn remove(&mut self, id: SessionId) {
        if let Ok(place) = self.0.binary_search_by_key(&id, |&(guest, _)| guest) {
            self.0.remove(place);
        }
    }

    pub(crate) fn slot(&self, id: SessionId) -> Option<usize> {
        let place = self.0.binary_search_by_key(&id, |&(guest, _)| guest).ok()?;
        Some(self.0[place].1 as usize)
    }
}
