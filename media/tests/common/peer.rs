//! A remote party: talks in packets of 20 ms, over a link that delays, loses, repeats and reorders.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use offhook_media::{Codec, SessionId};

use super::dice::Dice;

/// What happens to packets on their way.
#[derive(Clone, Copy, Default)]
pub(crate) struct Link {
    pub(crate) delay_ms: u64,
    pub(crate) jitter_ms: u64,
    pub(crate) loss_percent: u64,
    pub(crate) duplicate_percent: u64,
}

pub(crate) struct Peer {
    pub(crate) session: SessionId,
    pub(crate) address: SocketAddr,
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) payload_type: u8,
    /// Every byte of its audio.
    pub(crate) voice: u8,
    /// What it says before it goes on with its voice, PCMU.
    pub(crate) speech: VecDeque<i16>,
    /// Its audio goes on while it presses keys.
    pub(crate) both: bool,
    /// Bytes of a packet.
    pub(crate) length: usize,
    pub(crate) link: Link,
    pub(crate) talks: bool,
    pub(crate) next: Instant,
    pub(crate) fresh: bool,
    /// A key held down: code, timestamp, duration, frames left.
    key: Option<(u8, u32, u16, u8)>,
}

impl Peer {
    pub(crate) fn new(
        session: SessionId,
        address: SocketAddr,
        voice: u8,
        now: Instant,
        dice: &mut Dice,
    ) -> Self {
        Self {
            session,
            address,
            ssrc: dice.next() as u32,
            sequence: dice.next() as u16,
            timestamp: dice.next() as u32,
            payload_type: 0,
            voice,
            speech: VecDeque::new(),
            both: false,
            length: 160,
            link: Link::default(),
            talks: true,
            next: now + Duration::from_micros(dice.below(20_000)),
            fresh: true,
            key: None,
        }
    }

    /// Says that after what it was told to say before; 8 kHz.
    pub(crate) fn say(&mut self, samples: &[i16]) {
        self.speech.extend(samples);
    }

    pub(crate) fn press(&mut self, code: u8, frames: u8) {
        if self.key.is_none() {
            self.key = Some((code, self.timestamp, 0, frames.max(3)));
        }
    }

    pub(crate) fn release(&mut self) {
        self.key = None;
    }

    /// The next packet, and when it arrives (more than once if the link repeats it).
    pub(crate) fn packets(&mut self, dice: &mut Dice) -> Vec<(Instant, Vec<u8>)> {
        let sent = self.next;
        let step = self.length as u32;
        self.next += Duration::from_micros(u64::from(step) * 125);
        let event = match self.key.take() {
            Some((code, timestamp, duration, left)) => {
                let duration = if left > 2 { duration.saturating_add(step as u16) } else { duration };
                if left > 0 {
                    self.key = Some((code, timestamp, duration, left - 1));
                }
                let end = if left <= 2 { 0x80 } else { 0 };
                let [high, low] = duration.to_be_bytes();
                Some(self.packet(101, duration == step as u16, timestamp, &[code, end | 10, high, low]))
            }
            None => None,
        };
        let audio = if event.is_some() && !self.both {
            None
        } else if self.talks {
            let marker = std::mem::take(&mut self.fresh);
            let payload = self.payload();
            Some(self.packet(self.payload_type, marker, self.timestamp, &payload))
        } else {
            self.fresh = true;
            None
        };
        self.timestamp = self.timestamp.wrapping_add(step);
        let mut arrivals = Vec::new();
        for packet in [event, audio].into_iter().flatten() {
            if dice.percent(self.link.loss_percent) {
                continue;
            }
            let copies = 1 + u64::from(dice.percent(self.link.duplicate_percent));
            for _ in 0..copies {
                let delay = self.link.delay_ms * 1_000 + dice.below(self.link.jitter_ms * 1_000 + 1);
                arrivals.push((sent + Duration::from_micros(delay), packet.clone()));
            }
        }
        arrivals
    }

    fn payload(&mut self) -> Vec<u8> {
        let mut payload = vec![self.voice; self.length];
        let now = self.length.min(self.speech.len());
        let samples: Vec<i16> = self.speech.drain(..now).collect();
        Codec::Pcmu.encode(&samples, &mut payload);
        payload
    }

    fn packet(&mut self, payload_type: u8, marker: bool, timestamp: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x80, payload_type | if marker { 0x80 } else { 0 }];
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(timestamp.to_be_bytes());
        bytes.extend(self.ssrc.to_be_bytes());
        bytes.extend(payload);
        self.sequence = self.sequence.wrapping_add(1);
        bytes
    }
}
