//! What a session is told after each offer/answer: plain structs with documented defaults.

use std::net::SocketAddr;

use crate::{
    codec::{Codec, EncoderSettings},
    srtp::Keys,
};

/// Which way media may flow, seen from our side (RFC 3264 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// We send, the peer only listens (the peer is held by us).
    SendOnly,
    /// We only listen (the peer holds us).
    RecvOnly,
    /// Nobody sends.
    Inactive,
}

impl Direction {
    /// Whether we may send RTP.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether we expect RTP.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same direction seen from the other side.
    #[must_use]
    pub fn reversed(self) -> Self {
        match self {
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            same @ (Self::SendRecv | Self::Inactive) => same,
        }
    }

    /// Direction from its two halves.
    #[must_use]
    pub fn from_halves(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// What remains when both sides have a say.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self::from_halves(self.sends() && other.sends(), self.receives() && other.receives())
    }
}

/// How far the source address of received RTP may differ from the SDP (symmetric RTP, RFC 4961, RFC 7362).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Latch {
    /// Only the address and port of the SDP.
    Off,
    /// Another port of the address in the SDP, or any address when that one is private or unspecified and
    /// the source is where signaling comes from ([`SessionConfig::signaling_ip`]).
    #[default]
    SameIp,
    /// Any source that passes probation.
    Any,
}

/// One codec and the payload type it travels under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadFormat {
    /// The codec.
    pub codec: Codec,
    /// RTP payload type, 0 to 127.
    pub payload_type: u8,
}

/// Everything a session must know about its peer; the result of an offer/answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionConfig {
    /// Where RTP goes; `None` until an SDP of the peer is known (nothing is sent, nothing latched).
    pub remote: Option<SocketAddr>,
    /// Where RTCP goes; equal to `remote` with `rtcp_mux`.
    pub remote_rtcp: Option<SocketAddr>,
    /// The address SIP messages of this peer come from; consulted by [`Latch::SameIp`].
    pub signaling_ip: Option<std::net::IpAddr>,
    /// RTP and RTCP share one port (RFC 5761).
    pub rtcp_mux: bool,
    /// What we encode with.
    pub send: PayloadFormat,
    /// How we encode, as far as the codec has a choice.
    pub encoder: EncoderSettings,
    /// What we accept, by payload type.
    pub receive: Vec<PayloadFormat>,
    /// Payload type the peer accepts for telephone events (RFC 4733) at the clock rate of `send`.
    pub send_event: Option<u8>,
    /// Payload types of telephone events we announced.
    pub receive_event: Vec<u8>,
    /// Packet time we send, ms: 10, 20, 30, 40 or 60. The default is 20.
    pub ptime_ms: u8,
    /// Which way media may flow, from our side.
    pub direction: Direction,
    /// How strict the source address of received RTP is taken.
    pub latch: Latch,
    /// Keys of both directions: RTP and RTCP are encrypted, and nothing else is accepted. A key that stays the same
    /// from one configuration to the next goes on with its rollover counter.
    pub srtp: Option<Keys>,
}

/// Whether media is encrypted with keys that are exchanged in SDP (RFC 4568). Who can read the signalling can then
/// decrypt the media, so signalling should be encrypted as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Srtp {
    /// Never. Offers that ask for it are refused.
    Off,
    /// Where the peer offers it.
    #[default]
    Accept,
    /// Where the peer offers it, and we offer it to those who may ignore it (RFC 8643).
    Optional,
    /// Always. Peers that cannot are refused.
    Required,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            remote: None,
            remote_rtcp: None,
            signaling_ip: None,
            rtcp_mux: false,
            send: PayloadFormat { codec: Codec::Pcmu, payload_type: 0 },
            encoder: EncoderSettings::default(),
            receive: Vec::new(),
            send_event: None,
            receive_event: Vec::new(),
            ptime_ms: 20,
            direction: Direction::SendRecv,
            latch: Latch::default(),
            srtp: None,
        }
    }
}
