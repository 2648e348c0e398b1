//! Two endpoints and the messages between them, which arrive at once.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use signaling::{Config, Endpoint, Event, FlowId, Listener, Source, Transport};

use super::time::base;

pub(super) const CALLER: usize = 0;
pub(super) const CALLEE: usize = 1;

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) parties: [Endpoint; 2],
    /// Datagrams that were exchanged.
    pub(super) messages: u64,
}

pub(super) fn address(who: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, who as u8 + 1], 5060))
}

impl World {
    pub(super) fn new() -> Self {
        let endpoint = |who: usize| {
            let listener =
                Listener { transport: Transport::Udp, local: address(who), advertised: address(who) };
            Endpoint::new(Config {
                listeners: vec![listener],
                seed: [who as u8 + 1; 32],
                trusted: vec![(address(who).ip(), 8)],
                ..Config::default()
            })
        };
        Self { now: base(), parties: [endpoint(CALLER), endpoint(CALLEE)], messages: 0 }
    }

    /// Somebody outside sends a datagram.
    pub(super) fn receive(&mut self, to: usize, from: SocketAddr, bytes: &Bytes) {
        let source = Source { flow: FlowId(0), transport: Transport::Udp, local: address(to), remote: from };
        self.messages += 1;
        self.parties[to].handle_message(self.now, &source, bytes);
    }

    /// Lets messages travel until none is left; `told` sees every event. Returns how many went to nobody here.
    pub(super) fn settle(&mut self, mut told: impl FnMut(&mut Self, usize, Event)) -> u64 {
        let mut outside = 0;
        loop {
            let mut idle = true;
            for who in [CALLER, CALLEE] {
                while let Some(transmit) = self.parties[who].poll_transmit() {
                    idle = false;
                    match [CALLER, CALLEE].into_iter().find(|&to| address(to) == transmit.destination) {
                        Some(to) => self.receive(to, address(who), &transmit.bytes),
                        None => outside += 1,
                    }
                }
                while let Some(event) = self.parties[who].poll_event() {
                    idle = false;
                    told(self, who, event);
                }
            }
            if idle {
                return outside;
            }
        }
    }

    /// Lets time pass until no timer is left, so that nothing of the past lingers.
    pub(super) fn run_out(&mut self) {
        while let Some(due) = self.parties.iter().filter_map(Endpoint::poll_timeout).min() {
            self.now = self.now.max(due);
            for party in &mut self.parties {
                party.handle_timeout(self.now);
            }
            self.settle(|_, _, _| {});
        }
        self.now += Duration::from_millis(10);
    }
}
