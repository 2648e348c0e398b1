//! Where bytes come from and go to.

use std::net::SocketAddr;

use bytes::Bytes;

/// How a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Transport {
    /// Datagrams; requests are retransmitted.
    Udp,
    /// A byte stream; see [`crate::message::framing`].
    Tcp,
}

impl Transport {
    /// Whether the transport retransmits by itself (RFC 3261 §17: timers A, E and G are for those that do not).
    #[must_use]
    pub fn is_reliable(self) -> bool {
        match self {
            Self::Udp => false,
            Self::Tcp => true,
        }
    }

    /// As in Via: `UDP`, `TCP`.
    #[must_use]
    pub fn as_via(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        }
    }
}

/// One transport association, named by the driver: a UDP listener or a TCP connection (RFC 5626).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId(pub u64);

/// Where a received message came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// The association it came through.
    pub flow: FlowId,
    /// How it travelled.
    pub transport: Transport,
    /// Our address it was received at.
    pub local: SocketAddr,
    /// The peer's address as the socket saw it.
    pub remote: SocketAddr,
}

/// Bytes that want to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Send through this association while it is open; otherwise open one to `destination`.
    pub flow: Option<FlowId>,
    /// How to send.
    pub transport: Transport,
    /// Where to.
    pub destination: SocketAddr,
    /// One whole SIP message.
    pub bytes: Bytes,
}
