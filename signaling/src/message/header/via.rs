//! Via (RFC 3261 §20.42, RFC 3581).

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use crate::{
    flow::Transport,
    message::{
        params,
        params::Params,
        scan,
        uri::{Host, HostRef},
    },
};

/// One hop that a request took and its response takes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Via {
    /// As written: `UDP`, `TCP`, `TLS`, `WS`, …
    pub transport: String,
    /// The sender's host as it sees itself.
    pub host: Host,
    /// The sender's port, if written.
    pub port: Option<u16>,
    /// `branch`, `rport`, `received`, …
    pub params: Params,
}

/// Branches that begin like this are unique for a transaction (RFC 3261 §8.1.1.7).
pub const MAGIC_COOKIE: &str = "z9hG4bK";

impl Via {
    /// Ours for a new request; asks for `rport` (RFC 3581 §3).
    #[must_use]
    pub fn new(transport: Transport, sent_by: SocketAddr, branch: &str) -> Self {
        let mut params = Params::new();
        params.set("branch", branch);
        params.set_flag("rport");
        Self {
            transport: transport.as_via().into(),
            host: Host::Ip(sent_by.ip()),
            port: Some(sent_by.port()),
            params,
        }
    }

    /// Reads one element; `None` when malformed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let pieces = Pieces::split(text)?;
        Some(Self {
            transport: pieces.transport.into(),
            host: pieces.host.own(),
            port: pieces.port,
            params: Params::parse(pieces.params)?,
        })
    }

    /// `branch`, if there is one.
    #[must_use]
    pub fn branch(&self) -> Option<&str> {
        self.params.get("branch").filter(|branch| !branch.is_empty())
    }

    /// Whether the sender asks to be answered to the port it sent from.
    #[must_use]
    pub fn wants_rport(&self) -> bool {
        self.params.has("rport")
    }

    /// The address the request was seen to come from: `received`, with or without brackets (RFC 5118 §4.5).
    #[must_use]
    pub fn received(&self) -> Option<IpAddr> {
        self.params.get("received").and_then(Host::parse)?.ip()
    }

    /// The port the request was seen to come from, in a response.
    #[must_use]
    pub fn rport(&self) -> Option<u16> {
        scan::number(self.params.get("rport")?)?.try_into().ok()
    }

    /// `host:port` as the sender wrote it, the port left out if it did; part of the key of a transaction.
    #[must_use]
    pub fn sent_by(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.to_string(),
        }
    }
}

/// Whether the text is one well-formed Via; copies nothing.
pub(crate) fn is_valid(text: &str) -> bool {
    Pieces::split(text).is_some_and(|pieces| params::are_valid(pieces.params))
}

struct Pieces<'a> {
    transport: &'a str,
    host: HostRef<'a>,
    port: Option<u16>,
    params: &'a str,
}

impl<'a> Pieces<'a> {
    // Blanks may stand around the slashes.
    fn split(text: &'a str) -> Option<Self> {
        let (protocol, rest) = text.split_once('/')?;
        let (version, rest) = rest.split_once('/')?;
        if !scan::trim(protocol).eq_ignore_ascii_case("SIP") || scan::trim(version) != "2.0" {
            return None;
        }
        let rest = scan::trim(rest);
        let (transport, rest) = rest.split_once([' ', '\t'])?;
        let end = memchr::memchr(b';', rest.as_bytes()).unwrap_or(rest.len());
        let (host, port) = HostRef::with_port(scan::trim(&rest[..end])).ok()?;
        scan::is_token(transport).then_some(Self { transport, host, port, params: &rest[end..] })
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/2.0/{} {}", self.transport, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "{}", self.params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_are_read() {
        let via = Via::parse(
            "SIP / 2.0 / UDP first.example.com : 4000 ;ttl=16 ;maddr=224.2.0.1 ; branch=z9hG4bKa7;rport",
        );
        let via = via.unwrap();
        assert_eq!(
            via.to_string(),
            "SIP/2.0/UDP first.example.com:4000;ttl=16;maddr=224.2.0.1;branch=z9hG4bKa7;rport"
        );
        assert_eq!((via.branch(), via.rport(), via.wants_rport()), (Some("z9hG4bKa7"), None, true));
        let via =
            Via::parse("SIP/2.0/TCP [2001:db8::9:1];received=2001:db8::9:255;branch=1;rport=7").unwrap();
        assert_eq!(via.received(), "2001:db8::9:255".parse().ok());
        assert_eq!((via.rport(), via.sent_by().as_str()), (Some(7), "[2001:db8::9:1]"));
        let bracketed = Via::parse("SIP/2.0/TCP h;received=[2001:db8::9:255]").unwrap();
        assert_eq!(bracketed.received(), via.received());
    }

    #[test]
    fn malformed_ones_are_refused() {
        for bad in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP ",
            "SIP/2.0/UDP ;x",
            "SIP/2.0/UDP h;;,;,,",
            "SIP/3.0/UDP h",
            "SIP/2.0/UDP h:x",
            "HTTP/1.1/TCP h",
        ] {
            assert_eq!(Via::parse(bad), None, "{bad}");
            assert!(!is_valid(bad), "{bad}");
        }
    }
}
