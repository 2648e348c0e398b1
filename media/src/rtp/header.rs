//! The fixed header and the payload it announces (RFC 3550 §5.1).

use std::fmt;

/// Length of the header we write: no contributing sources, no extension.
pub const HEADER_LEN: usize = 12;

/// The fields of an RTP header that matter to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Header {
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Marker bit: the first packet after a gap (RFC 3551 §4.1).
    pub marker: bool,
    /// Sequence number.
    pub sequence: u16,
    /// Sampling instant of the first sample, in units of the payload's clock rate.
    pub timestamp: u32,
    /// Who sends.
    pub ssrc: u32,
}

impl Header {
    /// Writes the 12 bytes of the header and returns their number, or 0 when `out` is too small.
    pub fn write(&self, out: &mut [u8]) -> usize {
        let Some(out) = out.first_chunk_mut::<HEADER_LEN>() else { return 0 };
        out[0] = VERSION << 6;
        out[1] = (u8::from(self.marker) << 7) | (self.payload_type & 0x7F);
        out[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        out[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        out[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        HEADER_LEN
    }
}

/// A received packet. The payload has neither contributing sources, header extension nor padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Its header.
    pub header: Header,
    /// Its payload; may be empty.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a datagram.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, RtpError> {
        let (fixed, mut rest) = datagram.split_first_chunk::<HEADER_LEN>().ok_or(RtpError::Truncated)?;
        if fixed[0] >> 6 != VERSION {
            return Err(RtpError::Version);
        }
        let contributing = usize::from(fixed[0] & 0x0F) * 4;
        rest = rest.get(contributing..).ok_or(RtpError::Truncated)?;
        // RFC 3550 §5.3.1: profile, length in 32-bit words, words.
        if fixed[0] & 0x10 != 0 {
            let (extension, after) = rest.split_first_chunk::<4>().ok_or(RtpError::Truncated)?;
            let words = usize::from(u16::from_be_bytes([extension[2], extension[3]]));
            rest = after.get(words * 4..).ok_or(RtpError::Truncated)?;
        }
        if fixed[0] & 0x20 != 0 {
            let padding = usize::from(*rest.last().ok_or(RtpError::Padding)?);
            if padding == 0 || padding > rest.len() {
                return Err(RtpError::Padding);
            }
            rest = &rest[..rest.len() - padding];
        }
        let header = Header {
            payload_type: fixed[1] & 0x7F,
            marker: fixed[1] & 0x80 != 0,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
        };
        Ok(Self { header, payload: rest })
    }
}

/// Why a datagram is not an RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RtpError {
    /// It ends before its header does.
    Truncated,
    /// The version is not 2.
    Version,
    /// The padding is longer than what follows the header, or empty.
    Padding,
}

impl fmt::Display for RtpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "RTP packet ends within its header",
            Self::Version => "RTP version is not 2",
            Self::Padding => "RTP padding exceeds the packet",
        })
    }
}

impl std::error::Error for RtpError {}

const VERSION: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            payload_type: 101,
            marker: true,
            sequence: 0xFFFE,
            timestamp: 0x8000_0001,
            ssrc: 0xDEAD_BEEF,
        }
    }

    fn packet(first: u8, after_header: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_LEN];
        header().write(&mut bytes);
        bytes[0] = first;
        bytes.extend_from_slice(after_header);
        bytes
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut out = [0xFF; 16];
        assert_eq!(header().write(&mut out), HEADER_LEN);
        out[12..].copy_from_slice(b"1234");
        let packet = Packet::parse(&out).unwrap();
        assert_eq!(packet, Packet { header: header(), payload: b"1234" });
    }

    #[test]
    fn a_buffer_too_small_is_left_alone() {
        let mut out = [7; 11];
        assert_eq!(header().write(&mut out), 0);
        assert_eq!(out, [7; 11]);
    }

    #[test]
    fn contributing_sources_extension_and_padding_are_stripped() {
        let mut rest = vec![1; 8];
        rest.extend([0xBE, 0xDE, 0, 1, 9, 9, 9, 9]);
        rest.extend(b"voice");
        rest.extend([0, 0, 3]);
        assert_eq!(Packet::parse(&packet(0xB2, &rest)).unwrap().payload, b"voice");
    }

    #[test]
    fn a_packet_may_be_all_padding() {
        assert_eq!(Packet::parse(&packet(0xA0, &[0, 0, 0, 4])).unwrap().payload, b"");
    }

    #[test]
    fn lies_about_lengths_are_refused() {
        assert_eq!(Packet::parse(&packet(0x80, b"")[..11]), Err(RtpError::Truncated));
        assert_eq!(Packet::parse(&packet(0x8F, &[0; 59])), Err(RtpError::Truncated));
        assert_eq!(Packet::parse(&packet(0x90, &[0; 3])), Err(RtpError::Truncated));
        assert_eq!(Packet::parse(&packet(0x90, &[0, 0, 0xFF, 0xFF, 1])), Err(RtpError::Truncated));
        assert_eq!(Packet::parse(&packet(0xA0, b"")), Err(RtpError::Padding));
        assert_eq!(Packet::parse(&packet(0xA0, &[0])), Err(RtpError::Padding));
        assert_eq!(Packet::parse(&packet(0xA0, &[0, 3])), Err(RtpError::Padding));
        assert_eq!(Packet::parse(&packet(0x40, b"")), Err(RtpError::Version));
    }
}
