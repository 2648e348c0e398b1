//! The small notations of flags and keys: listeners, ranges of ports, networks.

use std::{
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    ops::RangeInclusive,
};

use control::signaling::Transport;

/// What a listener looks like.
pub const LISTENER: &str = "udp:HOST:PORT or tcp:HOST:PORT";
/// What an address looks like.
pub const ADDRESS: &str = "HOST:PORT";
/// What a range of ports looks like.
pub const PORTS: &str = "A-B with 1024 <= A < B <= 65535, at least two ports";
/// What a network looks like.
pub const NETWORK: &str = "an IP address or ADDRESS/PREFIX, for example 10.0.0.0/8";

/// Reads `udp:HOST:PORT` or `tcp:HOST:PORT`. Port 0 takes a free one.
pub fn listener(text: &str) -> Result<(Transport, SocketAddr), String> {
    let (transport, rest) = text.split_once(':').ok_or_else(String::new)?;
    let transport = match transport.to_ascii_lowercase().as_str() {
        "udp" => Transport::Udp,
        "tcp" => Transport::Tcp,
        other @ ("tls" | "ws" | "wss") => return Err(format!("{other} is not available yet")),
        _ => return Err(String::new()),
    };
    Ok((transport, address(rest)?))
}

/// Reads `HOST:PORT`; IPv6 addresses stand in brackets, `*` is every IPv4 address.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let (host, port) = text.rsplit_once(':').ok_or("the port is missing")?;
    let port: u16 = port.parse().map_err(|_| format!("{port:?} is no port"))?;
    if host == "*" {
        return Ok((IpAddr::from([0, 0, 0, 0]), port).into());
    }
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or("the bracket is not closed")?;
        return match inner.parse() {
            Ok(ip) => Ok(SocketAddr::new(IpAddr::V6(ip), port)),
            Err(_) => Err(format!("{inner:?} is no IPv6 address")),
        };
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        return match ip {
            IpAddr::V4(_) => Ok(SocketAddr::new(ip, port)),
            IpAddr::V6(_) => Err("an IPv6 address stands in brackets".into()),
        };
    }
    if host.is_empty() {
        return Err("the host is missing".into());
    }
    match (host, port).to_socket_addrs().map(|mut found| found.next()) {
        Ok(Some(address)) => Ok(address),
        Ok(None) | Err(_) => Err(format!("the host {host:?} is not known")),
    }
}

/// Reads `A-B`, both included.
pub fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once('-').ok_or_else(String::new)?;
    let number = |text: &str| text.trim().parse::<u16>().map_err(|_| format!("{:?} is no port", text.trim()));
    let (first, last) = (number(first)?, number(last)?);
    if first == u16::MAX {
        return Err(String::new());
    }
    // The pair of an RTP port is even and odd (RFC 3550 §11).
    match first >= 1024 && first + first % 2 < last {
        true => Ok(first..=last),
        false => Err(String::new()),
    }
}

/// Reads an IP address.
pub fn ip(text: &str) -> Result<IpAddr, String> {
    match text.parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() => Err("peers cannot send to it".into()),
        Ok(ip) => Ok(ip),
        Err(_) => Err(String::new()),
    }
}

/// Reads `ADDRESS/PREFIX`; without a prefix the one address is meant.
pub fn network(text: &str) -> Result<(IpAddr, u8), String> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| String::new())?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        None => longest,
        Some(prefix) => match prefix.parse::<u8>() {
            Ok(prefix) if prefix <= longest => prefix,
            _ => return Err(format!("the prefix is 0 to {longest}")),
        },
    };
    Ok((address, prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_name_transport_host_and_port() {
        assert_eq!(listener("udp:127.0.0.1:5060"), Ok((Transport::Udp, ([127, 0, 0, 1], 5060).into())));
        assert_eq!(listener("TCP:*:0"), Ok((Transport::Tcp, ([0, 0, 0, 0], 0).into())));
        assert_eq!(listener("udp:[::1]:5060"), Ok((Transport::Udp, "[::1]:5060".parse().unwrap())));
        assert!(listener("udp:localhost:5060").unwrap().1.ip().is_loopback());
        assert_eq!(listener("udp:127.0.0.1"), Err("the port is missing".into()));
        assert_eq!(listener("udp:127.0.0.1:sip"), Err("\"sip\" is no port".into()));
        assert_eq!(listener("udp:::1:5060"), Err("an IPv6 address stands in brackets".into()));
        assert_eq!(listener("tls:127.0.0.1:5061"), Err("tls is not available yet".into()));
        assert_eq!(listener("5060"), Err(String::new()));
    }

    #[test]
    fn a_range_of_ports_holds_at_least_one_even_odd_pair() {
        assert_eq!(ports("16384-32767"), Ok(16384..=32767));
        assert_eq!(ports("20001-20003"), Ok(20001..=20003));
        assert_eq!(ports("20001-20002"), Err(String::new()));
        assert_eq!(ports("20-30"), Err(String::new()));
        assert_eq!(ports("20000-70000"), Err("\"70000\" is no port".into()));
    }

    #[test]
    fn networks_have_a_prefix_that_fits_the_address() {
        assert_eq!(network("10.0.0.0/8"), Ok(([10, 0, 0, 0].into(), 8)));
        assert_eq!(network("192.0.2.7"), Ok(([192, 0, 2, 7].into(), 32)));
        assert_eq!(network("::1/129"), Err("the prefix is 0 to 128".into()));
        assert_eq!(network("home"), Err(String::new()));
    }
}
