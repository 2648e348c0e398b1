//! Sessions that move from one shard to another.

use std::time::Instant;

use super::Shard;
use crate::{
    command::{Feed, SessionId},
    event::Event,
    graph::MAX_FADE,
    session::Session,
    time::SLOTS,
};

/// A session between two shards: all it is, ready to go on. Made by [`crate::Command::Release`], taken in by
/// [`crate::Command::Adopt`]. Whoever drops it ends the session without a word.
#[derive(Debug)]
pub struct Moving {
    session: Box<Session>,
    /// Where the grid of its shard begins. Only shards that share it can exchange sessions.
    epoch: Instant,
}

impl Moving {
    /// Which session it is. The name stays.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.session.id()
    }
}

impl Shard {
    /// Lets a session go. Who hears it hears nothing until it is back or they hear something else.
    pub(super) fn release(&mut self, index: usize) {
        let Some(mut session) = self.sessions[index].take() else { return };
        let id = session.id();
        self.forget(index, &session);
        if let Some(seat) = session.seat() {
            let mut rest = [0; MAX_FADE];
            if let Some(rate) = self.mixes.rest(seat, self.beat, &mut rest) {
                session.fade_mix(rate, &rest);
            }
            session.set_seat(None);
            self.leave(id, seat);
        }
        if let Feed::Session(source) = session.feed()
            && let Some(source) = self.index(source)
        {
            if let Some(session) = &mut self.sessions[source] {
                session.remove_listener(id);
                session.settle(self.beat);
            }
            // The source may be about to leave as well, and must not stop decoding for that.
            self.unsettled.push(source as u32);
        }
        session.settle(self.beat);
        self.output.event(Event::Released(id, Box::new(Moving { session, epoch: self.epoch })));
    }

    /// Takes a session in at a free slot. One that cannot go on here ends with its `Closed`.
    pub(super) fn adopt(&mut self, now: Instant, slot: u32, moving: Moving) {
        let Moving { mut session, epoch } = moving;
        let index = slot as usize;
        let free = self.sessions.get(index).is_none_or(Option::is_none) && slot <= super::MAX_SLOT;
        if !free || epoch != self.epoch || !session.sends_in(u64::from(slot) % SLOTS) {
            self.stats.stale_commands += 1;
            session.close(self.beat_at(now), now, &mut self.output);
            return;
        }
        let id = session.id();
        // Nobody was there to be late for.
        if self.open == 0 {
            self.beat = self.beat.max(session.settled());
        }
        if self.sessions.len() <= index {
            self.sessions.resize_with(index + 1, || None);
        }
        self.guests.insert(id, slot);
        if session.is_holding() {
            self.holding.push(slot);
        }
        self.odd += usize::from(session.is_odd());
        self.open += 1;
        self.output.reserve(self.open);
        self.holding.reserve(self.open.saturating_sub(self.holding.len()));
        self.unsettled.push(slot);
        let feed = session.feed();
        // Whoever came along is in the list already.
        for listener in self.sessions.iter().flatten() {
            if listener.feed() == Feed::Session(id) && !session.listeners().contains(&listener.id()) {
                session.add_listener(listener.id());
            }
        }
        self.sessions[index] = Some(session);
        if let Feed::Session(source) = feed
            && let Some(source) = self.index(source)
            && let Some(source) = &mut self.sessions[source]
            && !source.listeners().contains(&id)
        {
            source.add_listener(id);
        }
    }

    /// What a session leaves behind in the lists of its shard.
    pub(super) fn forget(&mut self, index: usize, session: &Session) {
        self.open -= 1;
        self.odd -= usize::from(session.is_odd());
        self.holding.retain(|&slot| slot as usize != index);
        self.guests.remove(session.id());
    }

    /// Newcomers make up for the beats that passed on their way, and all whose company changed find their ways anew.
    pub(super) fn settle(&mut self, now: Instant) {
        if self.unsettled.is_empty() {
            return;
        }
        let mut unsettled = std::mem::take(&mut self.unsettled);
        let current = self.beat;
        for &slot in &unsettled {
            self.relink(slot as usize, current);
        }
        let oldest = (current + 1).saturating_sub(SLOTS);
        for beat in oldest..=current {
            for &slot in &unsettled {
                self.look_after(slot as usize, beat, now);
            }
            for &slot in &unsettled {
                self.send_frame(slot as usize, beat, now);
            }
        }
        for &slot in &unsettled {
            let Some(session) = &mut self.sessions[slot as usize] else { continue };
            session.settle(current);
            let (id, feed, seat) = (session.id(), session.feed(), session.seat());
            if matches!(feed, Feed::Mix(_)) && seat.is_none() {
                self.change_seat(id, slot as usize, feed, current);
            }
        }
        unsettled.clear();
        self.unsettled = unsettled;
    }
}
