//! Session ids: which slot of which worker is free, and how often it was used.

use std::collections::BTreeSet;

use crate::{command::SessionId, time::SLOTS};

/// Hands out session ids; the lowest free slot of a worker first, so that sessions lie close together.
#[derive(Debug)]
pub struct Slots {
    workers: Vec<Worker>,
    capacity: u32,
}

#[derive(Debug, Default)]
struct Worker {
    /// Generation of every slot ever used.
    generations: Vec<u32>,
    free: BTreeSet<u32>,
}

impl Slots {
    /// Ids for that many workers with that many sessions each.
    #[must_use]
    pub fn new(workers: u8, sessions_per_worker: u32) -> Self {
        let workers = (0..workers).map(|_| Worker::default()).collect();
        Self { workers, capacity: sessions_per_worker }
    }

    /// A free id: on the worker of `near` if given, otherwise on `worker`. `None`: that worker is full.
    pub fn allocate(&mut self, worker: u8, near: Option<SessionId>) -> Option<SessionId> {
        let number = near.map_or(worker, SessionId::worker);
        let worker = self.workers.get_mut(usize::from(number))?;
        if worker.generations.len() - worker.free.len() >= self.capacity as usize {
            return None;
        }
        let slot = match worker.free.pop_first() {
            Some(slot) => slot,
            None if worker.generations.len() < self.capacity as usize => {
                worker.generations.push(0);
                worker.generations.len() as u32 - 1
            }
            None => return None,
        };
        Some(SessionId::new(number, slot, worker.generations[slot as usize]))
    }

    /// A free slot of `worker` for a session that moves there from `seat`, with the same sub-slot of the frame.
    /// Moving may use a few slots more than there are for opening.
    pub fn allocate_beside(&mut self, seat: SessionId, number: u8) -> Option<SessionId> {
        let worker = self.workers.get_mut(usize::from(number))?;
        let fits = |slot: &u32| u64::from(*slot) % SLOTS == u64::from(seat.slot()) % SLOTS;
        let mut found = worker.free.iter().copied().find(fits);
        while found.is_none() && worker.generations.len() < seats(self.capacity as usize) {
            let slot = worker.generations.len() as u32;
            worker.generations.push(0);
            worker.free.insert(slot);
            found = Some(slot).filter(fits);
        }
        let slot = found?;
        worker.free.remove(&slot);
        Some(SessionId::new(number, slot, worker.generations[slot as usize]))
    }

    /// Takes an id back after its `Closed`. The slot's next user has another id. An id that is not in use is
    /// ignored.
    pub fn release(&mut self, id: SessionId) {
        let Some(worker) = self.workers.get_mut(usize::from(id.worker())) else { return };
        let Some(generation) = worker.generations.get_mut(id.slot() as usize) else { return };
        if *generation != id.generation() || worker.free.contains(&id.slot()) {
            return;
        }
        *generation = SessionId::new(0, 0, generation.wrapping_add(1)).generation();
        worker.free.insert(id.slot());
    }

    /// Ids in use on a worker.
    #[must_use]
    pub fn in_use(&self, worker: u8) -> usize {
        self.workers.get(usize::from(worker)).map_or(0, |worker| worker.generations.len() - worker.free.len())
    }

    /// The worker with the fewest sessions.
    #[must_use]
    pub fn least_used(&self) -> u8 {
        (0..self.workers.len() as u8).min_by_key(|&worker| self.in_use(worker)).unwrap_or(0)
    }
}

/// Slots of a worker that opens so many sessions: those that move there need some of their own.
pub(crate) fn seats(sessions: usize) -> usize {
    sessions + sessions / 4 + 4 * SLOTS as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_released_slot_returns_under_another_id() {
        let mut slots = Slots::new(2, 2);
        let first = slots.allocate(0, None).unwrap();
        let second = slots.allocate(1, Some(first)).unwrap();
        assert_eq!((second.worker(), second.slot()), (0, 1));
        assert_eq!(slots.allocate(0, None), None);
        assert_eq!(slots.least_used(), 1);
        slots.release(first);
        slots.release(first);
        assert_eq!(slots.in_use(0), 1);
        let third = slots.allocate(0, None).unwrap();
        assert_eq!((third.slot(), third.generation()), (0, 1));
        assert_ne!(third, first);
    }

    #[test]
    fn a_session_that_moves_gets_a_slot_with_its_sub_slot_even_where_nothing_can_be_opened() {
        let mut slots = Slots::new(2, 3);
        let seats: Vec<_> = (0..3).map(|_| slots.allocate(0, None).unwrap()).collect();
        for _ in 0..3 {
            slots.allocate(1, None).unwrap();
        }
        assert_eq!(slots.allocate(1, None), None);
        let moved = slots.allocate_beside(seats[2], 1).unwrap();
        assert_eq!((moved.worker(), moved.slot() % 4), (1, 2));
        assert_ne!(moved.slot(), 2);
        assert_eq!(slots.allocate(1, None), None, "the slots between are for those who move");
        slots.release(seats[2]);
        slots.release(moved);
        let back = slots.allocate_beside(moved, 0).unwrap();
        assert_eq!((back.slot(), back.generation()), (2, 1));
    }

    #[test]
    fn unknown_ids_are_ignored() {
        let mut slots = Slots::new(1, 8);
        slots.release(SessionId::new(3, 0, 0));
        slots.release(SessionId::new(0, 5, 0));
        assert_eq!(slots.in_use(0), 0);
        assert_eq!(slots.allocate(9, None), None);
    }
}
