//! RTP packets, borrowed from the datagram, and what their sequence numbers tell (RFC 3550).

pub mod header;
pub mod reception;
pub mod sequence;

pub use header::{HEADER_LEN, Header, Packet, RtpError};
pub use reception::{Arrival, Order, Reception, ReceptionReport};
pub use sequence::ExtendedSequence;

/// What a datagram on a media port is, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// An RTP packet.
    Rtp,
    /// An RTCP packet, possibly on the RTP port (RFC 5761).
    Rtcp,
    /// A STUN message.
    Stun,
    /// A DTLS record.
    Dtls,
    /// Anything else, also what is too short to tell.
    Other,
}

/// Tells protocols that share a port apart. `first` is the datagram or at least its first two bytes.
#[must_use]
pub fn classify(first: &[u8]) -> Class {
    // RFC 7983 §7
    match (first.first(), first.get(1)) {
        (Some(0..=3), _) => Class::Stun,
        (Some(20..=63), _) => Class::Dtls,
        // RFC 5761 §4: payload types 64 to 95 with the marker bit are RTCP packet types.
        (Some(128..=191), Some(192..=223)) => Class::Rtcp,
        (Some(128..=191), Some(_)) => Class::Rtp,
        _ => Class::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_on_one_port_are_told_apart() {
        assert_eq!(classify(&[0x80, 0x00]), Class::Rtp);
        assert_eq!(classify(&[0x80, 0x80]), Class::Rtp);
        assert_eq!(classify(&[0x90, 0xe5]), Class::Rtp);
        assert_eq!(classify(&[0x80, 200]), Class::Rtcp);
        assert_eq!(classify(&[0x81, 201]), Class::Rtcp);
        assert_eq!(classify(&[0xa1, 203]), Class::Rtcp);
        assert_eq!(classify(&[0x00, 0x01]), Class::Stun);
        assert_eq!(classify(&[22, 254]), Class::Dtls);
        assert_eq!(classify(b"\r\n"), Class::Other);
        assert_eq!(classify(b"INVITE"), Class::Other);
        assert_eq!(classify(&[0x80]), Class::Other);
        assert_eq!(classify(&[]), Class::Other);
    }
}
