//! The queue of everything that is due, earliest first, equal times in the order they were set.

use std::{collections::BTreeMap, time::Instant};

use crate::event::{InviteId, RegistrationId};

use super::core::{ClientId, ServerId};

/// Whose time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// A client transaction, or a request that waits for its route.
    Client(ClientId),
    /// A server transaction.
    Server(ServerId),
    /// An INVITE usage.
    Invite(InviteId),
    /// A registration of ours.
    Registration(RegistrationId),
    /// The oldest binding of the registrar.
    Bindings,
}

/// What an owner keeps of its entry in the queue.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Armed(Option<(Instant, u64)>);

/// All deadlines of an endpoint. Every owner has one entry at most: its soonest.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeMap<(Instant, u64), Due>,
    serial: u64,
}

impl Timers {
    /// Makes `at` the owner's deadline; `None` takes it away.
    pub(crate) fn arm(&mut self, armed: &mut Armed, at: Option<Instant>, due: Due) {
        if armed.0.map(|(at, _)| at) == at {
            return;
        }
        if let Some(key) = armed.0.take() {
            self.queue.remove(&key);
        }
        if let Some(at) = at {
            self.serial += 1;
            self.queue.insert((at, self.serial), due);
            armed.0 = Some((at, self.serial));
        }
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.keys().next().map(|(at, _)| *at)
    }

    /// Takes the earliest entry that is due. Its owner's [`Armed`] must be cleared with [`Armed::fired`].
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Due> {
        let entry = self.queue.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }

    /// Deadlines in the queue.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}

impl Armed {
    /// The entry was taken out by [`Timers::pop`].
    pub(crate) fn fired(&mut self) {
        self.0 = None;
    }
}
