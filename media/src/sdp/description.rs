//! What a session description says, as far as audio sessions are concerned (RFC 8866 §5).

use std::net::IpAddr;

use super::{Attribute, Crypto};
use crate::config::Direction;

/// A whole description.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Description {
    /// Who made it, and which version of it this is.
    pub origin: Origin,
    /// The session's name, `-` for none.
    pub name: String,
    /// Where media go unless an `m=` section says otherwise.
    pub connection: Option<Connection>,
    /// Attributes before the first `m=`.
    pub attributes: Vec<Attribute>,
    /// The `m=` sections in order.
    pub media: Vec<Media>,
}

/// The `o=` line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// User name, `-` for none.
    pub username: String,
    /// Session id; text, because some peers exceed 64 bits.
    pub session_id: String,
    /// Version of the description.
    pub version: String,
    /// Network type, address type and address.
    pub address: String,
}

/// The `c=` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connection {
    /// An address of either family.
    Address(IpAddr),
    /// A host name or something else that is no address; kept as text.
    Name(String),
}

impl Connection {
    /// The address, if it is one that media can be sent to.
    #[must_use]
    pub fn unicast(&self) -> Option<IpAddr> {
        match self {
            Self::Address(address) if is_unicast(*address) => Some(*address),
            Self::Address(_) | Self::Name(_) => None,
        }
    }

    /// `0.0.0.0` or `::`, the hold of RFC 2543.
    #[must_use]
    pub fn is_unspecified(&self) -> bool {
        matches!(self, Self::Address(address) if address.is_unspecified())
    }
}

pub(super) fn is_unicast(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || broadcast)
}

/// One `m=` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// Number of its `m=` line, from 1; 0 when it was not parsed.
    pub line: usize,
    /// `audio`, `video`, `image` …
    pub kind: String,
    /// Port, 0 when refused or removed.
    pub port: u16,
    /// Transport, such as `RTP/AVP`.
    pub protocol: String,
    /// Formats; payload types where the transport is RTP.
    pub formats: Vec<String>,
    /// Where this media goes, if it differs from the session.
    pub connection: Option<Connection>,
    /// Its attributes in order.
    pub attributes: Vec<Attribute>,
}

impl Media {
    /// Whether this is RTP audio, plain or with keys in the description.
    #[must_use]
    pub fn is_audio(&self) -> bool {
        let known = ["RTP/AVP", "RTP/AVPF", "RTP/SAVP", "RTP/SAVPF"];
        self.kind.eq_ignore_ascii_case("audio")
            && known.iter().any(|protocol| self.protocol.eq_ignore_ascii_case(protocol))
    }

    /// Whether it must be encrypted. Where it need not it still may, if there are keys (RFC 8643).
    #[must_use]
    pub fn must_be_secure(&self) -> bool {
        self.protocol.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("RTP/SAVP"))
    }

    /// The keys of its sender that we can use, in its order.
    pub fn cryptos(&self) -> impl Iterator<Item = Crypto> + '_ {
        self.attributes.iter().filter_map(|attribute| {
            if let Attribute::Crypto(text) = attribute { Crypto::parse(text.expose()) } else { None }
        })
    }

    /// The direction its sender asks for. `session` are the attributes before the first `m=`.
    #[must_use]
    pub fn direction(&self, session: &[Attribute]) -> Direction {
        find(&self.attributes, direction).or_else(|| find(session, direction)).unwrap_or_default()
    }

    /// The packet time its sender wants to receive, ms.
    #[must_use]
    pub fn ptime(&self, session: &[Attribute]) -> Option<u8> {
        let ptime =
            |attribute: &Attribute| if let Attribute::Ptime(ms) = attribute { Some(*ms) } else { None };
        find(&self.attributes, ptime).or_else(|| find(session, ptime))
    }

    /// The longest packet time its sender accepts, ms.
    #[must_use]
    pub fn max_ptime(&self, session: &[Attribute]) -> Option<u8> {
        let max =
            |attribute: &Attribute| if let Attribute::MaxPtime(ms) = attribute { Some(*ms) } else { None };
        find(&self.attributes, max).or_else(|| find(session, max))
    }

    /// Whether RTCP may share the port of RTP.
    #[must_use]
    pub fn rtcp_mux(&self) -> bool {
        self.attributes.contains(&Attribute::RtcpMux)
    }

    /// Port, and address if told, of RTCP.
    #[must_use]
    pub fn rtcp(&self) -> Option<(u16, Option<IpAddr>)> {
        find(&self.attributes, |attribute| {
            if let Attribute::Rtcp { port, address } = attribute { Some((*port, *address)) } else { None }
        })
    }
}

fn direction(attribute: &Attribute) -> Option<Direction> {
    if let Attribute::Direction(direction) = attribute { Some(*direction) } else { None }
}

fn find<T>(attributes: &[Attribute], pick: impl Fn(&Attribute) -> Option<T>) -> Option<T> {
    attributes.iter().find_map(pick)
}
