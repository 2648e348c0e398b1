//! What network address translation does to Via and Contact, and what we do about it (RFC 3581, RFC 5626).

use std::net::{IpAddr, SocketAddr};

use crate::{
    flow::{Source, Transport},
    message::{
        header::via::Via,
        uri::{Host, Uri},
    },
};

/// RFC 3261 §18.2.1, RFC 3581 §4: notes in the topmost Via where the request came from. Returns whether it changed.
pub fn note_source(via: &mut Via, source: SocketAddr) -> bool {
    let before = via.params.clone();
    // A value the sender wrote itself is a lie or a mistake.
    via.params.remove("received");
    if via.wants_rport() {
        via.params.set("rport", source.port().to_string());
        via.params.set("received", source.ip().to_string());
    } else if via.host.ip() != Some(source.ip()) {
        via.params.set("received", source.ip().to_string());
    }
    via.params != before
}

/// RFC 3261 §18.2.2, RFC 3581 §4: where the response to a request with this Via goes when it cannot go back through its
/// connection. `None` when a name would have to be resolved.
#[must_use]
pub fn response_destination(via: &Via) -> Option<SocketAddr> {
    let host = via.params.get("maddr").and_then(Host::parse).and_then(|host| host.ip());
    let ip = host.or_else(|| via.received()).or_else(|| via.host.ip())?;
    let port = via.rport().or(via.port).unwrap_or(DEFAULT_PORT);
    Some(SocketAddr::new(ip, port))
}

/// How the outside sees us, as told by the response to a request of ours; `None` if it says nothing.
#[must_use]
pub fn observed(via: &Via) -> Option<SocketAddr> {
    let ip = via.received().or_else(|| via.host.ip())?;
    Some(SocketAddr::new(ip, via.rport().or(via.port)?))
}

/// The contact to register instead of `contact` because a NAT changes it on the way; `None` if it is fine.
///
/// Only an address of ours that is private is replaced: with a public one somebody has decided what to advertise.
#[must_use]
pub fn rewritten_contact(contact: &Uri, via: &Via) -> Option<Uri> {
    let seen = observed(via)?;
    let own = contact.host.ip().filter(|ip| is_private(*ip))?;
    if (own, contact.port.unwrap_or(DEFAULT_PORT)) == (seen.ip(), seen.port()) {
        return None;
    }
    Some(Uri { host: Host::Ip(seen.ip()), port: Some(seen.port()), ..contact.clone() })
}

/// Whether the sender of a request is behind a NAT, so that its contact is of no use and it must be reached the way it
/// came: the address it writes differs from the one we see.
#[must_use]
pub fn is_behind_nat(contact: &Uri, via: &Via, source: &Source) -> bool {
    let differs = |host: &Host, port: Option<u16>| match host {
        Host::Ip(ip) => (*ip, port.unwrap_or(DEFAULT_PORT)) != (source.remote.ip(), source.remote.port()),
        Host::Name(_) => false,
    };
    let address_differs = contact.host.ip().is_some_and(|ip| ip != source.remote.ip());
    match source.transport {
        // A client's connection leaves from a port of its own, so ports say nothing.
        Transport::Tcp => address_differs,
        // RFC 3581: who asks for rport receives where it sends from.
        Transport::Udp => address_differs || via.wants_rport() && differs(&via.host, via.port),
    }
}

/// The transport a URI asks for; `None` if it names one that we do not have.
#[must_use]
pub fn transport(uri: &Uri) -> Option<Transport> {
    match uri.transport() {
        None => Some(Transport::Udp),
        Some(name) if name.eq_ignore_ascii_case("udp") => Some(Transport::Udp),
        Some(name) if name.eq_ignore_ascii_case("tcp") => Some(Transport::Tcp),
        Some(_) => None,
    }
}

/// Whether the address is not reachable from the whole Internet.
#[must_use]
pub fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            // RFC 6598 shares 100.64.0.0/10 among the customers of a provider.
            ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_unspecified()
                || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(ip) => {
            ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local()
        }
    }
}

/// Port of SIP over UDP and TCP (RFC 3261 §19.1.2).
pub const DEFAULT_PORT: u16 = 5060;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::FlowId;

    fn via(text: &str) -> Via {
        Via::parse(text).unwrap()
    }

    fn source(transport: Transport, remote: &str) -> Source {
        let local = SocketAddr::from(([192, 0, 2, 1], 5060));
        Source { flow: FlowId(1), transport, local, remote: remote.parse().unwrap() }
    }

    #[test]
    fn the_source_is_noted_as_asked() {
        let remote = "198.51.100.7:1024".parse().unwrap();
        let mut plain = via("SIP/2.0/UDP 198.51.100.7:5060;branch=1");
        assert!(!note_source(&mut plain, remote));
        let mut other = via("SIP/2.0/UDP 10.0.0.1:5070;branch=1;received=8.8.8.8");
        assert!(note_source(&mut other, remote));
        assert_eq!(other.to_string(), "SIP/2.0/UDP 10.0.0.1:5070;branch=1;received=198.51.100.7");
        assert_eq!(response_destination(&other), "198.51.100.7:5070".parse().ok());
        let mut asked = via("SIP/2.0/UDP 10.0.0.1;rport;branch=1");
        note_source(&mut asked, remote);
        assert_eq!(asked.to_string(), "SIP/2.0/UDP 10.0.0.1;rport=1024;branch=1;received=198.51.100.7");
        assert_eq!(response_destination(&asked), Some(remote));
        assert_eq!(response_destination(&via("SIP/2.0/UDP example.com")), None);
        let mut v6 = via("SIP/2.0/UDP [2001:db8::1];rport");
        note_source(&mut v6, "[2001:db8::2]:7".parse().unwrap());
        assert_eq!(
            response_destination(&Via::parse(&v6.to_string()).unwrap()),
            "[2001:db8::2]:7".parse().ok()
        );
    }

    #[test]
    fn only_a_private_contact_is_rewritten() {
        let seen = via("SIP/2.0/UDP 10.0.0.1:5060;rport=1024;received=198.51.100.7");
        let contact = Uri::parse("sip:alice@10.0.0.1:5060;ob").unwrap();
        let rewritten = rewritten_contact(&contact, &seen).unwrap();
        assert_eq!(rewritten.to_string(), "sip:alice@198.51.100.7:1024;ob");
        assert_eq!(rewritten_contact(&rewritten, &seen), None);
        let direct = via("SIP/2.0/UDP 10.0.0.1:5060;rport=5060;received=10.0.0.1");
        assert_eq!(rewritten_contact(&contact, &direct), None);
    }

    #[test]
    fn a_nat_shows_by_address_and_over_udp_by_port() {
        let contact = Uri::parse("sip:alice@198.51.100.7:5060").unwrap();
        let asks = via("SIP/2.0/UDP 198.51.100.7:5060;rport;branch=1");
        let silent = via("SIP/2.0/UDP 198.51.100.7:5060;branch=1");
        assert!(!is_behind_nat(&contact, &asks, &source(Transport::Udp, "198.51.100.7:5060")));
        assert!(is_behind_nat(&contact, &asks, &source(Transport::Udp, "198.51.100.7:1024")));
        assert!(!is_behind_nat(&contact, &silent, &source(Transport::Udp, "198.51.100.7:1024")));
        assert!(!is_behind_nat(&contact, &asks, &source(Transport::Tcp, "198.51.100.7:1024")));
        let private = Uri::parse("sip:alice@10.0.0.1:5060").unwrap();
        assert!(is_behind_nat(&private, &asks, &source(Transport::Tcp, "198.51.100.7:1024")));
    }
}
