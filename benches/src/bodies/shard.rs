//! A worker's state with many sessions, driven as a worker drives it, without sockets.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use media::{
    Channel, Codec, Command, Latch, PayloadFormat, SessionConfig, SessionId, Shard, ShardConfig,
    rtp::header::{HEADER_LEN, Header},
    time::{BEAT, SLOTS},
};

use super::time::base;

/// Sessions of every shard that is measured.
pub(super) const SESSIONS: u64 = 1_000;
const PCMU: PayloadFormat = PayloadFormat { codec: Codec::Pcmu, payload_type: 0 };
const PCMA: PayloadFormat = PayloadFormat { codec: Codec::Pcma, payload_type: 8 };
/// Runs until jitter buffers have settled.
const WARM_UP: Duration = Duration::from_millis(500);

pub(super) struct Stage {
    shard: Shard,
    now: Instant,
    parties: Vec<Party>,
    datagram: [u8; HEADER_LEN + 160],
}

struct Party {
    id: SessionId,
    address: SocketAddr,
    stream: Header,
}

impl Stage {
    /// Sessions of parties that talk in the codec that belongs to their number.
    pub(super) fn new(codec: impl Fn(u64) -> Codec) -> Self {
        let now = base();
        let mut shard = Shard::new(ShardConfig { worker: 0, seed: 1, sessions: SESSIONS as usize }, now);
        let mut parties = Vec::new();
        for number in 0..SESSIONS {
            let id = SessionId::new(0, number as u32, 0);
            let address = SocketAddr::from(([192, 0, 2, 1], 4_000 + 2 * number as u16));
            let send = if codec(number) == Codec::Pcmu { PCMU } else { PCMA };
            let config = SessionConfig {
                remote: Some(address),
                remote_rtcp: Some(address),
                rtcp_mux: true,
                send,
                receive: vec![PCMU, PCMA],
                latch: Latch::Off,
                ..SessionConfig::default()
            };
            shard.handle_command(now, Command::Open(id, Box::new(config)));
            let stream = Header {
                payload_type: send.payload_type,
                marker: false,
                sequence: number as u16,
                timestamp: number as u32 * 1_000,
                ssrc: number as u32 + 1,
            };
            parties.push(Party { id, address, stream });
        }
        Self { shard, now, parties, datagram: [0x55; HEADER_LEN + 160] }
    }

    pub(super) fn command(&mut self, command: Command) {
        self.shard.handle_command(self.now, command);
    }

    pub(super) fn ids(&self) -> Vec<SessionId> {
        self.parties.iter().map(|party| party.id).collect()
    }

    /// Everybody is heard by the neighbour: 0 and 1, 2 and 3, …
    pub(super) fn bridge_pairs(&mut self) {
        let ids = self.ids();
        for pair in ids.chunks_exact(2) {
            self.command(Command::Feed(pair[0], media::Feed::Session(pair[1])));
            self.command(Command::Feed(pair[1], media::Feed::Session(pair[0])));
        }
    }

    pub(super) fn warm_up(&mut self, talk: bool) {
        for _ in 0..WARM_UP.as_millis() / media::time::FRAME.as_millis() {
            self.frame(talk);
        }
    }

    /// 20 ms. With `talk` every party sends a packet, a quarter of them in each beat. Returns the packets of audio
    /// that left.
    pub(super) fn frame(&mut self, talk: bool) -> u64 {
        let mut left = 0;
        for beat in 0..SLOTS as usize {
            self.now += BEAT;
            self.shard.handle_beat(self.now);
            left += self.drain();
            if talk {
                for number in (beat..self.parties.len()).step_by(SLOTS as usize) {
                    self.speak(number);
                    left += self.drain();
                }
            }
        }
        left
    }

    fn speak(&mut self, number: usize) {
        let party = &mut self.parties[number];
        party.stream.write(&mut self.datagram);
        party.stream.sequence = party.stream.sequence.wrapping_add(1);
        party.stream.timestamp = party.stream.timestamp.wrapping_add(160);
        self.shard.handle_datagram(self.now, party.id, Channel::Rtp, party.address, &mut self.datagram);
    }

    fn drain(&mut self) -> u64 {
        let mut left = 0;
        while let Some(transmit) = self.shard.poll_transmit() {
            left += u64::from(std::hint::black_box(transmit.bytes).len() == HEADER_LEN + 160);
        }
        while self.shard.poll_event().is_some() {}
        left
    }
}
