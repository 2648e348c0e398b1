//! The tokio driver: sockets, name resolution, clock and randomness for an [`crate::Endpoint`].
//!
//! [`Transports`] owns the UDP and TCP sockets and knows nothing of SIP but its framing. [`UserAgent`] joins it
//! with an endpoint for those who use signaling alone.

mod agent;
mod connection;
mod icmp;
mod resolver;
mod tcp;
mod transports;
mod udp;

pub use agent::UserAgent;
pub use transports::{Limits, Received, TransportGauges, Transports};

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

/// The address of ours that a peer at `remote` sees when no address translation is in between: what to advertise
/// for a listener bound to `0.0.0.0`. Asks the routing table; nothing is sent.
///
/// # Errors
/// When there is no route.
pub fn local_ip_towards(remote: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr =
        if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(remote)?;
    Ok(socket.local_addr()?.ip())
}

/// The address to write into Via and Contact for a listener: the bound one, with an unspecified IP replaced by
/// that of the default route, or by loopback on a machine without one.
#[must_use]
pub fn advertised(local: SocketAddr) -> SocketAddr {
    if !local.ip().is_unspecified() {
        return local;
    }
    // RFC 5737 and RFC 3849: documentation addresses, routed like any foreign one.
    let (elsewhere, loopback): (SocketAddr, IpAddr) = match local {
        SocketAddr::V4(_) => (([192, 0, 2, 1], 9).into(), Ipv4Addr::LOCALHOST.into()),
        SocketAddr::V6(_) => (([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 9).into(), Ipv6Addr::LOCALHOST.into()),
    };
    SocketAddr::new(local_ip_towards(elsewhere).unwrap_or(loopback), local.port())
}

/// Which of our addresses to send from: the first of the destination's family that can reach it, otherwise the
/// first of the family. A loopback address reaches loopback only, and others do not.
fn best_local<T>(
    candidates: impl Iterator<Item = T>,
    destination: SocketAddr,
    address: impl Fn(&T) -> SocketAddr,
) -> Option<T> {
    let mut fallback = None;
    for candidate in candidates.filter(|candidate| address(candidate).is_ipv4() == destination.is_ipv4()) {
        let ip = address(&candidate).ip();
        if ip.is_unspecified() || ip.is_loopback() == destination.ip().is_loopback() {
            return Some(candidate);
        }
        fallback.get_or_insert(candidate);
    }
    fallback
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unspecified_listener_is_advertised_with_a_usable_address() {
        let address = advertised(SocketAddr::from(([0, 0, 0, 0], 5060)));
        assert!(!address.ip().is_unspecified());
        assert_eq!(address.port(), 5060);
        let bound = SocketAddr::from(([127, 0, 0, 1], 5062));
        assert_eq!(advertised(bound), bound);
    }

    #[test]
    fn loopback_listeners_serve_loopback_destinations() {
        let locals: Vec<SocketAddr> =
            ["[::1]:1", "10.0.0.1:2", "127.0.0.1:3"].iter().map(|text| text.parse().unwrap()).collect();
        let choose = |to: &str| best_local(locals.iter(), to.parse().unwrap(), |a| **a).map(|a| a.port());
        assert_eq!(choose("127.0.0.1:5060"), Some(3));
        assert_eq!(choose("192.0.2.7:5060"), Some(2));
        assert_eq!(choose("[2001:db8::1]:5060"), Some(1), "no better one of the family");
        assert_eq!(best_local(locals[1..].iter(), "[::1]:9".parse().unwrap(), |a| **a), None);
    }
}
