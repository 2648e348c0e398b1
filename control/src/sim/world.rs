//! The clock, the nodes and the network between them.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use bytes::Bytes;
use media::graph::recorder::Track;

use super::{
    network::{Datagram, Link, Network},
    node::{Node, NodeId},
    random::Random,
};
use crate::{Command, CommandError, Config, Event, LegId};

/// Names a raw peer of a [`World`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawId(usize);

/// A peer that is nothing but bytes: what it receives is kept, what it sends is written by the test.
struct Raw {
    address: SocketAddr,
    inbox: Vec<(Instant, SocketAddr, Bytes)>,
}

/// A world with its own time.
pub struct World {
    start: Instant,
    now: Instant,
    nodes: Vec<Node>,
    raws: Vec<Raw>,
    network: Network,
    /// Numbers for the test's own decisions, from the same seed.
    pub random: Random,
    seed: u64,
}

impl World {
    /// An empty world of that seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the base of virtual time; only differences are used")]
        let start = Instant::now();
        Self {
            start,
            now: start,
            nodes: Vec::new(),
            raws: Vec::new(),
            network: Network::new(seed ^ 0x6E65_7477_6F72_6B21),
            random: Random::new(seed),
            seed,
        }
    }

    /// Time now.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Time since the world began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Adds a telephone system at 10.0.0.`n`; its listener is set here.
    pub fn add_node(&mut self, name: &str, config: Config) -> NodeId {
        let id = self.nodes.len();
        let ip = IpAddr::from([10, 0, 0, id as u8 + 1]);
        let seed = self.seed.wrapping_mul(31).wrapping_add(id as u64 + 1);
        self.nodes.push(Node::new(self.now, name, ip, seed, config));
        NodeId(id)
    }

    /// Adds a peer of raw bytes at 10.0.1.`n`, port 5060.
    pub fn add_raw(&mut self) -> RawId {
        let id = self.raws.len();
        let address = SocketAddr::from(([10, 0, 1, id as u8 + 1], super::node::SIP_PORT));
        self.raws.push(Raw { address, inbox: Vec::new() });
        RawId(id)
    }

    /// Sets how all links behave that were not set by themselves.
    pub fn set_default_link(&mut self, link: Link) {
        self.network.set_default(link);
    }

    /// Sets how datagrams from one node to another fare.
    pub fn set_link(&mut self, from: NodeId, to: NodeId, link: Link) {
        let (from, to) = (self.node(from).address.ip(), self.node(to).address.ip());
        self.network.set_link(from, to, link);
    }

    /// A node.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// A node, to change.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0]
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    /// Asks a leg of a node to do something.
    ///
    /// # Errors
    /// As [`crate::Switchboard::handle_command`].
    pub fn command(&mut self, node: NodeId, leg: LegId, command: Command) -> Result<(), CommandError> {
        let result = self.nodes[node.0].command(self.now, leg, command);
        self.nodes[node.0].settle(self.now, &mut self.network);
        result
    }

    /// Changes a node's switchboard in another way than by a command, and passes on what follows.
    pub fn with_switchboard<T>(
        &mut self,
        node: NodeId,
        change: impl FnOnce(Instant, &mut crate::Switchboard) -> T,
    ) -> T {
        let result = change(self.now, &mut self.nodes[node.0].switchboard);
        self.nodes[node.0].settle(self.now, &mut self.network);
        result
    }

    /// Starts to record what a leg says and hears.
    ///
    /// # Errors
    /// As [`crate::Switchboard::handle_command`].
    pub fn listen(&mut self, node: NodeId, leg: LegId) -> Result<(), CommandError> {
        self.nodes[node.0].listen(self.now, leg)?;
        self.nodes[node.0].settle(self.now, &mut self.network);
        Ok(())
    }

    /// What arrived from the leg's peer since [`Self::listen`], 8 kHz samples on the media clock.
    #[must_use]
    pub fn arrived(&self, node: NodeId, leg: LegId) -> &[i16] {
        self.nodes[node.0].track(leg, Track::Said)
    }

    /// What was sent to the leg's peer since [`Self::listen`], 8 kHz samples on the media clock.
    #[must_use]
    pub fn sent(&self, node: NodeId, leg: LegId) -> &[i16] {
        self.nodes[node.0].track(leg, Track::Heard)
    }

    /// Where a raw peer is.
    #[must_use]
    pub fn raw_address(&self, raw: RawId) -> SocketAddr {
        self.raws[raw.0].address
    }

    /// What a raw peer received: time, source, bytes.
    #[must_use]
    pub fn raw_inbox(&self, raw: RawId) -> &[(Instant, SocketAddr, Bytes)] {
        &self.raws[raw.0].inbox
    }

    /// Sends bytes from a raw peer.
    pub fn raw_send(&mut self, raw: RawId, to: SocketAddr, bytes: impl Into<Bytes>) {
        let from = self.raws[raw.0].address;
        self.network.send(self.now, true, Datagram { from, to, bytes: bytes.into() });
    }

    /// Jumps to the next thing that happens, no later than `limit`; false when there was nothing before it.
    pub fn step(&mut self, limit: Instant) -> bool {
        let nodes = self.nodes.iter().filter_map(Node::poll_timeout).min();
        let next = media::time::soonest(self.network.next(), nodes);
        let Some(next) = next.filter(|at| *at <= limit) else {
            self.now = self.now.max(limit);
            return false;
        };
        self.now = self.now.max(next);
        while let Some(datagram) = self.network.arrive(self.now) {
            self.deliver(&datagram);
        }
        for node in &mut self.nodes {
            if node.poll_timeout().is_some_and(|at| at <= self.now) {
                node.handle_timeout(self.now);
                node.settle(self.now, &mut self.network);
            }
        }
        true
    }

    fn deliver(&mut self, datagram: &Datagram) {
        let to = datagram.to;
        if let Some(node) = self.nodes.iter_mut().find(|node| node.address.ip() == to.ip()) {
            node.handle_datagram(self.now, datagram.from, to.port(), &datagram.bytes);
            node.settle(self.now, &mut self.network);
        } else if let Some(raw) = self.raws.iter_mut().find(|raw| raw.address == to) {
            raw.inbox.push((self.now, datagram.from, datagram.bytes.clone()));
        }
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        let limit = self.now + time;
        while self.step(limit) {}
    }

    /// Lets time pass until something is true, but no longer than `limit`; whether it became true.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let limit = self.now + limit;
        loop {
            if done(self) {
                return true;
            }
            if !self.step(limit) {
                return done(self);
            }
        }
    }

    /// Lets time pass until a node has told an event like that since event number `after` of its log, but no longer
    /// than `limit`; the number of the event after the one found, for the next wait.
    pub fn wait(
        &mut self,
        node: NodeId,
        after: usize,
        limit: Duration,
        mut wanted: impl FnMut(&Event) -> bool,
    ) -> Option<usize> {
        let mut seen = after;
        let mut found = None;
        self.run_until(limit, |world| {
            let events = &world.nodes[node.0].events;
            while found.is_none() && seen < events.len() {
                if wanted(&events[seen].1) {
                    found = Some(seen + 1);
                }
                seen += 1;
            }
            found.is_some()
        });
        found
    }

    /// What is left over and what was broken, in words; empty when all is well. Call it some time after all calls
    /// ended: transactions linger for 32 s (RFC 3261 timers).
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        self.nodes
            .iter()
            .flat_map(|node| {
                let endings = node.endings().into_iter().filter(|(_, count)| *count != 1);
                let endings = endings
                    .map(|(leg, count)| format!("{}: leg {} has {count} terminal events", node.name, leg.0));
                node.residue().into_iter().chain(node.continuity_violations()).chain(endings)
            })
            .collect()
    }
}
