//! RFC 3263 as questions and answers: a host name becomes a [`Question`], whoever has a resolver answers with
//! [`Target`]s. Addresses written as numbers need no question.

use std::net::{IpAddr, SocketAddr};

use crate::{
    flow::{FlowId, Source, Transport},
    message::uri::{Host, Uri},
    nat::{self, DEFAULT_PORT},
};

/// Names one [`Question`] until it is answered through [`crate::Endpoint::handle_route`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QuestionId(pub u64);

/// A host name that must be resolved before a request can leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Goes back with the answer.
    pub id: QuestionId,
    /// The name.
    pub host: String,
    /// The port, if the URI named one; then only addresses are looked for, otherwise SRV first (RFC 3263 §4.2).
    pub port: Option<u16>,
    /// The transport of the URI, UDP if it named none.
    pub transport: Transport,
}

/// Somewhere a request can be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// How.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
}

/// The way of a message: a target and, if known, the association that leads to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Path {
    /// Sent through this association while it is open.
    pub(crate) flow: Option<FlowId>,
    /// Our address on it, if known.
    pub(crate) local: Option<SocketAddr>,
    /// Where to, otherwise.
    pub(crate) target: Target,
}

impl Hop {
    /// The path, if it was prescribed.
    pub(crate) fn given(&self) -> Option<Path> {
        match self {
            Self::Path(path) => Some(*path),
            Self::Uri(..) => None,
        }
    }
}

impl Path {
    /// Back where a message came from.
    pub(crate) fn back_to(source: &Source) -> Self {
        Self {
            flow: Some(source.flow),
            local: Some(source.local),
            target: Target { transport: source.transport, address: source.remote },
        }
    }

    /// To an address, by whatever way.
    pub(crate) fn to(target: Target) -> Self {
        Self { flow: None, local: None, target }
    }
}

/// Our end of the wire that a peer's messages come in by, and the peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    flow: FlowId,
    local: SocketAddr,
    peer: Target,
}

impl Origin {
    /// Of a received message.
    pub(crate) fn of(source: &Source) -> Self {
        Self {
            flow: source.flow,
            local: source.local,
            peer: Target { transport: source.transport, address: source.remote },
        }
    }

    /// Back to the peer.
    pub(crate) fn path(&self) -> Path {
        Path { flow: Some(self.flow), local: Some(self.local), target: self.peer }
    }

    /// The path to `target` that leaves where the peer's messages arrive: the same UDP socket, or the same connection if
    /// it leads there.
    pub(crate) fn path_to(&self, target: Target) -> Path {
        let same = target.transport == self.peer.transport
            && (target.transport == Transport::Udp || target.address == self.peer.address);
        Path {
            flow: same.then_some(self.flow),
            local: (target.transport == self.peer.transport).then_some(self.local),
            target,
        }
    }
}

/// The next hop of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hop {
    /// Known already.
    Path(Path),
    /// What this URI leads to, preferably by the wire the peer uses.
    Uri(Box<Uri>, Option<Origin>),
}

/// Where a URI leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lead {
    /// To an address.
    Target(Target),
    /// To a name: host, port, transport.
    Name(String, Option<u16>, Transport),
    /// Nowhere: a scheme or transport that is not spoken.
    Nowhere,
}

/// RFC 3263 §4.1, §4.2 without the part that needs DNS.
pub(crate) fn lead(uri: &Uri) -> Lead {
    if !uri.is_sip() {
        return Lead::Nowhere;
    }
    let Some(transport) = nat::transport(uri) else { return Lead::Nowhere };
    let port = uri.port.unwrap_or(DEFAULT_PORT);
    match &uri.host {
        Host::Ip(ip) => Lead::Target(Target { transport, address: SocketAddr::new(*ip, port) }),
        Host::Name(name) => match name.parse::<IpAddr>() {
            Ok(ip) => Lead::Target(Target { transport, address: SocketAddr::new(ip, port) }),
            Err(_) => Lead::Name(name.clone(), uri.port, transport),
        },
    }
}
