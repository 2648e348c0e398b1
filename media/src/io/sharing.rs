//! Which sessions share which ports. The owner of the engine keeps this: two sessions whose peers have the same address
//! cannot be told apart, so they never get the same port.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::command::SessionId;

/// All shared ports of an engine.
#[derive(Debug)]
pub(crate) struct Sharing {
    ports: Vec<Port>,
    sessions: BTreeMap<SessionId, (usize, SocketAddr)>,
    /// Addresses whose session is over: its last packets may still be under way.
    resting: VecDeque<(Instant, usize, SocketAddr)>,
    quarantine: Duration,
}

#[derive(Debug)]
struct Port {
    worker: u8,
    /// Its place among the shared ports of the worker.
    number: u16,
    port: u16,
    room: usize,
    remotes: BTreeSet<SocketAddr>,
}

impl Sharing {
    pub(crate) fn new(quarantine: Duration) -> Self {
        Self { ports: Vec::new(), sessions: BTreeMap::new(), resting: VecDeque::new(), quarantine }
    }

    /// A shared port of `worker` where nobody's peer is at that address: index, number on the worker, and port.
    pub(crate) fn find(&mut self, now: Instant, worker: u8, remote: SocketAddr) -> Option<(usize, u16, u16)> {
        while let Some((_, index, address)) =
            self.resting.front().copied().filter(|(until, ..)| *until <= now)
        {
            self.resting.pop_front();
            self.ports[index].remotes.remove(&address);
        }
        self.ports.iter().enumerate().find_map(|(index, port)| {
            let fits =
                port.worker == worker && port.remotes.len() < port.room && !port.remotes.contains(&remote);
            fits.then_some((index, port.number, port.port))
        })
    }

    /// Whether a worker may have one shared port more.
    pub(crate) fn may_grow(&self, worker: u8) -> bool {
        self.ports.iter().filter(|port| port.worker == worker).count() < PORTS_PER_WORKER
    }

    /// A new shared port of `worker` with room for so many sessions: its index and its number on the worker.
    pub(crate) fn add(&mut self, worker: u8, port: u16, room: usize) -> (usize, u16) {
        let number = self.ports.iter().filter(|port| port.worker == worker).count() as u16;
        self.ports.push(Port { worker, number, port, room, remotes: BTreeSet::new() });
        (self.ports.len() - 1, number)
    }

    pub(crate) fn join(&mut self, id: SessionId, index: usize, remote: SocketAddr) {
        self.ports[index].remotes.insert(remote);
        self.sessions.insert(id, (index, remote));
    }

    /// After an offer/answer the peer is elsewhere. Whether that is nobody else's place on the port, or the session
    /// does not share one.
    pub(crate) fn reach(&mut self, now: Instant, id: SessionId, remote: SocketAddr) -> bool {
        let Some((index, before)) = self.sessions.get_mut(&id) else { return true };
        if *before == remote {
            return true;
        }
        if !self.ports[*index].remotes.insert(remote) {
            return false;
        }
        self.resting.push_back((now + self.quarantine, *index, std::mem::replace(before, remote)));
        true
    }

    /// A session is gone.
    pub(crate) fn leave(&mut self, now: Instant, id: SessionId) {
        if let Some((index, remote)) = self.sessions.remove(&id) {
            self.resting.push_back((now + self.quarantine, index, remote));
        }
    }

    /// Shared ports.
    pub(crate) fn ports(&self) -> usize {
        self.ports.len()
    }

    /// Sessions on shared ports.
    pub(crate) fn sessions(&self) -> usize {
        self.sessions.len()
    }
}

/// Shared ports of one worker; when all are taken, sessions get ports of their own.
const PORTS_PER_WORKER: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_at_one_address_never_share_a_port_and_an_address_rests_after_use() {
        let now = Instant::now();
        let mut sharing = Sharing::new(Duration::from_secs(2));
        let remote = |port| SocketAddr::from(([192, 0, 2, 1], port));
        let id = |slot| SessionId::new(1, slot, 0);
        assert_eq!(sharing.find(now, 1, remote(4000)), None);
        assert_eq!((sharing.add(0, 16_384, 2), sharing.add(1, 16_386, 2)), ((0, 0), (1, 0)));
        assert_eq!(sharing.find(now, 1, remote(4000)), Some((1, 0, 16_386)));
        sharing.join(id(0), 1, remote(4000));
        assert_eq!(sharing.find(now, 1, remote(4000)), None);
        assert_eq!(sharing.find(now, 1, remote(4002)), Some((1, 0, 16_386)));
        sharing.join(id(1), 1, remote(4002));
        assert_eq!(sharing.find(now, 1, remote(4004)), None, "it is full");
        assert!(!sharing.reach(now, id(1), remote(4000)), "somebody is there");
        assert!(sharing.reach(now, id(1), remote(4002)) && sharing.reach(now, id(9), remote(4000)));
        sharing.leave(now, id(0));
        assert_eq!(sharing.find(now, 1, remote(4000)), None);
        assert!(sharing.find(now + Duration::from_secs(2), 1, remote(4000)).is_some());
        assert_eq!(sharing.sessions(), 1);
    }
}
