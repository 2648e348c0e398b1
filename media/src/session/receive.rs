//! What a session makes of received RTP: whose it is, what it carries, where it stands in its stream.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::latch::{Latch, Verdict};
use crate::{
    codec::Codec,
    config::SessionConfig,
    dtmf::EventReceiver,
    rtp::{Arrival, Order, Packet, Reception},
    time::UNIT_RATE,
};

/// The receiving half of a session, up to decoding.
#[derive(Debug)]
pub(crate) struct Receive {
    pub(crate) latch: Latch,
    pub(crate) reception: Reception,
    pub(crate) digits: EventReceiver,
    /// When the peer was heard last, RTP or RTCP.
    heard: Instant,
    /// Between `MediaStarted` and `MediaStopped`.
    running: bool,
    /// Codec of the last audio packet.
    codec: Option<Codec>,
    /// Timestamp units per second of the last audio packet.
    clock_rate: u32,
    /// Timestamp units of the last audio packet, and how many in a row had as many.
    length: Option<u32>,
    steady: u8,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) wrong_source: u64,
    pub(crate) invalid: u64,
}

/// A packet of the peer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Accepted<'a> {
    pub(crate) packet: Packet<'a>,
    pub(crate) arrival: Arrival,
    pub(crate) content: Content,
    /// The address it came from was just learned.
    pub(crate) learned: Option<SocketAddr>,
    /// The stream starts over: timestamps before and after have nothing in common.
    pub(crate) restarted: bool,
    /// Codec or length changed, or became steady: whether packets can be passed on must be decided anew.
    pub(crate) reshaped: bool,
}

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Audio(Codec),
    Digit,
}

impl Receive {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            latch: Latch::new(now),
            reception: Reception::new(UNIT_RATE),
            digits: EventReceiver::new(UNIT_RATE),
            heard: now,
            running: false,
            codec: None,
            clock_rate: UNIT_RATE,
            length: None,
            steady: STEADY,
            packets: 0,
            bytes: 0,
            wrong_source: 0,
            invalid: 0,
        }
    }

    /// Checks and counts a datagram that looks like RTP. `None`: it is not for us to hear.
    pub(crate) fn accept<'a>(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &'a [u8],
        config: &SessionConfig,
    ) -> Option<Accepted<'a>> {
        let Some((packet, content)) = Self::parse(datagram, config) else {
            self.invalid += 1;
            return None;
        };
        let frame = Duration::from_millis(u64::from(config.ptime_ms));
        let learned = match self.latch.judge(now, from, &packet.header, frame) {
            Verdict::Accept => None,
            Verdict::Learned(address) => Some(address),
            Verdict::Drop => {
                self.wrong_source += 1;
                return None;
            }
        };
        self.packets += 1;
        self.bytes += packet.payload.len() as u64;
        self.heard = now;
        if let Content::Audio(codec) = content {
            self.set_clock_rate(codec.clock_rate());
        }
        let arrival = self.reception.record(now, &packet.header);
        let restarted = matches!(arrival.order, Order::Restarted);
        let mut reshaped = false;
        if let Content::Audio(codec) = content
            && arrival.is_new()
            && !packet.payload.is_empty()
        {
            let before = self.codec.replace(codec);
            reshaped = self.measure(codec.ticks(packet.payload)) || before != Some(codec);
        }
        Some(Accepted { packet, arrival, content, learned, restarted, reshaped })
    }

    /// The clock of the stream, which telephone events share (RFC 4733 §2.1).
    pub(crate) fn set_clock_rate(&mut self, clock_rate: u32) {
        if clock_rate != self.clock_rate {
            self.clock_rate = clock_rate;
            self.reception.set_clock_rate(clock_rate);
            self.digits.set_clock_rate(clock_rate);
        }
    }

    /// Interarrival jitter, units of 1/8000 s.
    pub(crate) fn jitter(&self) -> u32 {
        (u64::from(self.reception.jitter()) * u64::from(UNIT_RATE) / u64::from(self.clock_rate)) as u32
    }

    /// Counts RTCP of the peer as a sign of life.
    pub(crate) fn heard_reports(&mut self, now: Instant) {
        self.heard = now;
    }

    /// True when media begins, once.
    pub(crate) fn starts(&mut self) -> bool {
        !std::mem::replace(&mut self.running, true)
    }

    /// True when the peer has been silent for too long, once. While it may not send its silence means nothing.
    pub(crate) fn stops(&mut self, now: Instant, may_send: bool) -> bool {
        if !may_send {
            self.heard = now;
        }
        let stops = self.running && now.saturating_duration_since(self.heard) >= super::MEDIA_TIMEOUT;
        self.running &= !stops;
        stops
    }

    /// The codec of the peer's audio, as far as it was heard.
    pub(crate) fn codec(&self) -> Option<Codec> {
        self.codec
    }

    /// Whether packets come in that length, in timestamp units, so that they can be passed on as they are.
    pub(crate) fn is_regular(&self, length: u32) -> bool {
        self.steady == STEADY && self.length.is_none_or(|known| known == length)
    }

    fn parse<'a>(datagram: &'a [u8], config: &SessionConfig) -> Option<(Packet<'a>, Content)> {
        let packet = Packet::parse(datagram).ok().filter(|packet| packet.payload.len() <= MAX_PAYLOAD)?;
        let payload_type = packet.header.payload_type;
        if let Some(format) = config.receive.iter().find(|format| format.payload_type == payload_type) {
            return Some((packet, Content::Audio(format.codec)));
        }
        config.receive_event.contains(&payload_type).then_some((packet, Content::Digit))
    }

    /// Counts packets of one length. Whether the length or the stream's regularity changed.
    fn measure(&mut self, length: u32) -> bool {
        let before = self.length.replace(length);
        if before.is_some_and(|before| before != length) {
            self.steady = 0;
        } else if self.steady < STEADY {
            self.steady += 1;
            return self.steady == STEADY;
        }
        before != Some(length)
    }
}

/// 200 ms of G.711, the longest packet time an SDP may ask for.
const MAX_PAYLOAD: usize = 1_600;

/// After a packet of another length, so many equal ones make a stream regular again.
const STEADY: u8 = 100;
