//! One shard, its peers, and time that passes when it is told to.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use offhook_media::{
    Channel, Codec, Command, Event, PayloadFormat, SessionConfig, SessionId, Shard, ShardConfig, Slots,
    time::BEAT,
};

use super::{dice::Dice, peer::Peer};

/// A datagram that left the shard.
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) channel: Channel,
    pub(crate) destination: SocketAddr,
    pub(crate) locked: bool,
    pub(crate) bytes: Vec<u8>,
}

impl Sent {
    pub(crate) fn payload_type(&self) -> u8 {
        self.bytes[1] & 0x7F
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.bytes[12..]
    }

    pub(crate) fn sequence(&self) -> u16 {
        u16::from_be_bytes([self.bytes[2], self.bytes[3]])
    }

    pub(crate) fn timestamp(&self) -> u32 {
        u32::from_be_bytes([self.bytes[4], self.bytes[5], self.bytes[6], self.bytes[7]])
    }
}

type Arriving = (SessionId, Channel, SocketAddr, Vec<u8>);

pub(crate) struct World {
    pub(crate) shard: Shard,
    /// Another worker's, where sessions can move to.
    pub(crate) second: Shard,
    /// Where the sessions sit that ever moved.
    seats: BTreeMap<SessionId, SessionId>,
    pub(crate) now: Instant,
    pub(crate) base: Instant,
    pub(crate) dice: Dice,
    pub(crate) peers: Vec<Peer>,
    pub(crate) sent: BTreeMap<SessionId, Vec<Sent>>,
    pub(crate) events: Vec<(Instant, Event)>,
    slots: Slots,
    arriving: BTreeMap<(Instant, u64), Arriving>,
    arrivals: u64,
    next_beat: Instant,
    /// How late the worker wakes for its beats.
    pub(crate) late: Duration,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let base = base();
        Self {
            shard: Shard::new(ShardConfig { worker: 0, seed, sessions: 16 }, base),
            second: Shard::new(ShardConfig { worker: 1, seed: !seed, sessions: 16 }, base),
            seats: BTreeMap::new(),
            now: base,
            base,
            dice: Dice::new(seed),
            peers: Vec::new(),
            sent: BTreeMap::new(),
            events: Vec::new(),
            slots: Slots::new(2, 256),
            arriving: BTreeMap::new(),
            arrivals: 0,
            next_beat: base + BEAT,
            late: Duration::ZERO,
        }
    }

    /// A session whose peer is at that address, and talks.
    pub(crate) fn party(&mut self, address: &str, voice: u8) -> SessionId {
        let id = self.open(config(address));
        self.peers.push(Peer::new(id, self::address(address), voice, self.now, &mut self.dice));
        id
    }

    pub(crate) fn open(&mut self, config: SessionConfig) -> SessionId {
        let id = self.slots.allocate(0, None).expect("slots suffice");
        self.command(Command::Open(id, Box::new(config)));
        id
    }

    pub(crate) fn release(&mut self, id: SessionId) {
        self.slots.release(self.seats.remove(&id).unwrap_or(id));
    }

    /// Whether the session lives on the second shard.
    pub(crate) fn is_away(&self, id: SessionId) -> bool {
        self.seats.get(&id).is_some_and(|seat| seat.worker() == 1)
    }

    fn home(&mut self, id: SessionId) -> &mut Shard {
        if self.is_away(id) { &mut self.second } else { &mut self.shard }
    }

    /// Moves sessions together to the other shard.
    pub(crate) fn move_over(&mut self, ids: &[SessionId]) {
        let now = self.now;
        for &id in ids {
            self.home(id).handle_command(now, Command::Release(id));
        }
        self.drain();
        let mut released = Vec::new();
        let events = std::mem::take(&mut self.events);
        for (at, event) in events {
            if let Event::Released(_, moving) = event {
                released.push(moving)
            } else {
                self.events.push((at, event))
            }
        }
        assert_eq!(released.len(), ids.len());
        for moving in released {
            let id = moving.id();
            let before = self.seats.get(&id).copied().unwrap_or(id);
            let seat = self.slots.allocate_beside(before, 1 - before.worker()).expect("slots suffice");
            self.slots.release(before);
            self.seats.insert(id, seat);
            self.home(id).handle_command(now, Command::Adopt(id, seat.slot(), moving));
        }
        self.drain();
    }

    pub(crate) fn peer(&mut self, id: SessionId) -> &mut Peer {
        self.peers.iter_mut().find(|peer| peer.session == id).expect("a party of this world")
    }

    pub(crate) fn command(&mut self, command: Command) {
        let now = self.now;
        self.home(command.session()).handle_command(now, command);
        self.drain();
    }

    pub(crate) fn deliver(&mut self, at: Instant, id: SessionId, from: SocketAddr, bytes: Vec<u8>) {
        self.deliver_on(at, id, Channel::Rtp, from, bytes);
    }

    pub(crate) fn deliver_on(
        &mut self,
        at: Instant,
        id: SessionId,
        channel: Channel,
        from: SocketAddr,
        bytes: Vec<u8>,
    ) {
        self.arrivals += 1;
        self.arriving.insert((at, self.arrivals), (id, channel, from, bytes));
    }

    pub(crate) fn run_ms(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        loop {
            let arrival = self.arriving.keys().next().map(|&(at, _)| at);
            let speech = self.peers.iter().map(|peer| peer.next).min();
            let beat = self.next_beat + self.late;
            let next = [arrival, speech, Some(beat)].into_iter().flatten().min().unwrap_or(end);
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            if speech == Some(next) {
                self.speak();
            } else if arrival == Some(next) {
                if let Some((_, (id, channel, from, mut bytes))) = self.arriving.pop_first() {
                    let now = self.now;
                    self.home(id).handle_datagram(now, id, channel, from, &mut bytes);
                }
            } else {
                self.shard.handle_beat(self.now);
                self.second.handle_beat(self.now);
                while self.next_beat + self.late <= self.now {
                    self.next_beat += BEAT;
                }
            }
            self.drain();
        }
        self.now = end;
    }

    /// The worker does nothing for a while: arrivals wait, beats are missed.
    pub(crate) fn stall_ms(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    pub(crate) fn sent(&self, id: SessionId) -> &[Sent] {
        self.sent.get(&id).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn rtp(&self, id: SessionId) -> impl Iterator<Item = &Sent> {
        self.sent(id)
            .iter()
            .filter(|sent| sent.channel == Channel::Rtp && !(192..=223).contains(&sent.bytes[1]))
    }

    /// Whether an event was told.
    pub(crate) fn told(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|(_, event)| wanted(event)).count()
    }

    fn speak(&mut self) {
        let Some(index) = (0..self.peers.len()).min_by_key(|&index| self.peers[index].next) else { return };
        let packets = self.peers[index].packets(&mut self.dice);
        let (id, from) = (self.peers[index].session, self.peers[index].address);
        for (at, bytes) in packets {
            self.deliver(at, id, from, bytes);
        }
    }

    fn drain(&mut self) {
        for shard in [&mut self.shard, &mut self.second] {
            while let Some(transmit) = shard.poll_transmit() {
                self.sent.entry(transmit.session).or_default().push(Sent {
                    at: self.now,
                    channel: transmit.channel,
                    destination: transmit.destination,
                    locked: transmit.locked,
                    bytes: transmit.bytes.to_vec(),
                });
            }
            while let Some(event) = shard.poll_event() {
                self.events.push((self.now, event));
            }
        }
    }
}

/// PCMU and telephone events both ways, RTCP on the next port.
pub(crate) fn config(remote: &str) -> SessionConfig {
    let remote = address(remote);
    SessionConfig {
        remote: Some(remote),
        remote_rtcp: Some(SocketAddr::new(remote.ip(), remote.port() + 1)),
        send: PayloadFormat { codec: Codec::Pcmu, payload_type: 0 },
        receive: vec![
            PayloadFormat { codec: Codec::Pcmu, payload_type: 0 },
            PayloadFormat { codec: Codec::Pcma, payload_type: 8 },
        ],
        send_event: Some(101),
        receive_event: vec![101],
        ..SessionConfig::default()
    }
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

#[expect(clippy::disallowed_methods, reason = "a base for virtual time")]
pub(crate) fn base() -> Instant {
    Instant::now()
}
