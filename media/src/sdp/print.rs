//! Writing a description in the order RFC 8866 §5 prescribes.

use std::fmt::{self, Display, Formatter};
use std::net::IpAddr;

use super::{Attribute, Connection, Description, Media, Origin};
use crate::config::Direction;

impl Display for Description {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "v=0\r\no={}\r\ns={}\r\n", self.origin, self.name)?;
        if let Some(connection) = &self.connection {
            write!(f, "c={connection}\r\n")?;
        }
        f.write_str("t=0 0\r\n")?;
        for attribute in &self.attributes {
            write!(f, "a={attribute}\r\n")?;
        }
        self.media.iter().try_for_each(|media| media.fmt(f))
    }
}

impl Display for Origin {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.username, self.session_id, self.version, self.address)
    }
}

impl Display for Connection {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "IN {} {address}", family(*address)),
            Self::Name(name) => write!(f, "IN IP4 {name}"),
        }
    }
}

impl Display for Media {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "m={} {} {}", self.kind, self.port, self.protocol)?;
        for format in &self.formats {
            write!(f, " {format}")?;
        }
        f.write_str("\r\n")?;
        if let Some(connection) = &self.connection {
            write!(f, "c={connection}\r\n")?;
        }
        for attribute in &self.attributes {
            write!(f, "a={attribute}\r\n")?;
        }
        Ok(())
    }
}

impl Display for Attribute {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::RtpMap { payload_type, name, clock_rate, channels } => {
                write!(f, "rtpmap:{payload_type} {name}/{clock_rate}")?;
                if *channels > 1 { write!(f, "/{channels}") } else { Ok(()) }
            }
            Self::Fmtp { payload_type, parameters } => write!(f, "fmtp:{payload_type} {parameters}"),
            Self::Ptime(ms) => write!(f, "ptime:{ms}"),
            Self::MaxPtime(ms) => write!(f, "maxptime:{ms}"),
            Self::Direction(direction) => f.write_str(match direction {
                Direction::SendRecv => "sendrecv",
                Direction::SendOnly => "sendonly",
                Direction::RecvOnly => "recvonly",
                Direction::Inactive => "inactive",
            }),
            Self::Rtcp { port, address: None } => write!(f, "rtcp:{port}"),
            Self::Rtcp { port, address: Some(address) } => {
                write!(f, "rtcp:{port} IN {} {address}", family(*address))
            }
            Self::Crypto(text) => write!(f, "crypto:{}", text.expose()),
            Self::RtcpMux => f.write_str("rtcp-mux"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// The address type of an `o=`, `c=` or `a=rtcp` line.
pub(super) fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IP4" } else { "IP6" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_back_the_same() {
        let body = "v=0\r\no=- 7 3 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\na=tool:x\r\n\
                    m=audio 4000 RTP/AVP 0 97 101\r\nc=IN IP6 2001:db8::1\r\na=rtpmap:97 opus/48000/2\r\n\
                    a=fmtp:101 0-15\r\na=ptime:20\r\na=maxptime:60\r\na=recvonly\r\n\
                    a=rtcp:4001 IN IP4 192.0.2.1\r\na=rtcp-mux\r\nm=video 0 RTP/AVP 31\r\n";
        let description = Description::parse(body.as_bytes()).unwrap();
        assert_eq!(description.to_string(), body);
    }
}
