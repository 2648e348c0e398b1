//! Collects digits: as many as asked for, up to a terminator, or until the caller stops pressing keys.

use std::time::Instant;

use crate::{
    command::{Collect, LegId},
    error::CommandError,
    event::{CollectEnd, EventKind},
    leg::Collecting,
    switchboard::Switchboard,
};

impl Switchboard {
    pub(crate) fn collect(&mut self, now: Instant, id: LegId, how: Collect) -> Result<(), CommandError> {
        self.session(id)?;
        self.end_collection(id, CollectEnd::Replaced);
        let leg = self.leg(id)?;
        leg.collecting = Some(Collecting { how, digits: String::new(), deadline: None });
        if leg.player.is_none() {
            self.start_first_digit_timer(now, id);
        }
        Ok(())
    }

    /// The wait for the first digit begins when the prompt has been heard.
    pub(crate) fn start_first_digit_timer(&mut self, now: Instant, id: LegId) {
        let Some(collecting) = self.legs.get_mut(&id).and_then(|leg| leg.collecting.as_mut()) else { return };
        if collecting.deadline.is_none() && collecting.digits.is_empty() {
            let at = now + collecting.how.first;
            collecting.deadline = Some(at);
            self.deadlines.insert((at, id));
        }
    }

    pub(crate) fn collect_key(&mut self, now: Instant, id: LegId, key: char) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Some(collecting) = leg.collecting.as_mut() else { return };
        let interrupts = leg.player.filter(|_| collecting.how.barge_in && collecting.digits.is_empty());
        let end = if collecting.how.terminators.contains(key) {
            Some(CollectEnd::Terminator)
        } else {
            collecting.digits.push(key);
            (collecting.digits.len() >= collecting.how.max).then_some(CollectEnd::Full)
        };
        let between = collecting.how.between;
        if let (Some(player), Some(session)) = (interrupts, leg.session) {
            self.media(media::Command::StopPlay(session, player));
        }
        match end {
            Some(end) => self.end_collection(id, end),
            None => self.restart_timer(id, now + between),
        }
    }

    fn restart_timer(&mut self, id: LegId, at: Instant) {
        let Some(collecting) = self.legs.get_mut(&id).and_then(|leg| leg.collecting.as_mut()) else { return };
        if let Some(old) = collecting.deadline.replace(at) {
            self.deadlines.remove(&(old, id));
        }
        self.deadlines.insert((at, id));
    }

    fn end_collection(&mut self, id: LegId, end: CollectEnd) {
        let Some(collecting) = self.legs.get_mut(&id).and_then(|leg| leg.collecting.take()) else { return };
        if let Some(deadline) = collecting.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        self.tell(id, EventKind::Collected(collecting.digits, end));
    }

    pub(crate) fn expire_collections(&mut self, now: Instant) {
        while let Some((at, id)) = self.deadlines.first().copied() {
            if at > now {
                return;
            }
            self.deadlines.pop_first();
            if let Some(collecting) = self.legs.get_mut(&id).and_then(|leg| leg.collecting.as_mut()) {
                collecting.deadline = None;
            }
            self.end_collection(id, CollectEnd::Timeout);
        }
    }
}
