//! RTCP: compound packets, borrowed when read and written into the caller's memory (RFC 3550 §6).

pub mod compound;
pub mod goodbye;
pub mod receiver_report;
pub mod sender_report;
pub mod source_description;

use std::fmt;

pub use compound::{Compound, CompoundWriter, Packet};
pub use goodbye::Goodbye;
pub use receiver_report::{ReceiverReport, ReportBlock, ReportBlocks};
pub use sender_report::{NtpTime, SenderInfo, SenderReport};
pub use source_description::{SourceDescription, SourceItem};

/// Why a datagram is not an RTCP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RtcpError {
    /// It ends within a packet, or a packet is shorter than its kind.
    Truncated,
    /// A version is not 2.
    Version,
    /// A packet type is not one of RTCP.
    PacketType,
    /// Padding where there may be none, or longer than its packet.
    Padding,
}

impl fmt::Display for RtcpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "RTCP packet is shorter than it says",
            Self::Version => "RTCP version is not 2",
            Self::PacketType => "not an RTCP packet type",
            Self::Padding => "RTCP padding is wrong",
        })
    }
}

impl std::error::Error for RtcpError {}

pub(crate) const SENDER_REPORT: u8 = 200;
pub(crate) const RECEIVER_REPORT: u8 = 201;
pub(crate) const SOURCE_DESCRIPTION: u8 = 202;
pub(crate) const GOODBYE: u8 = 203;

/// A big-endian number at a place that is known to exist.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |chunk| u32::from_be_bytes(*chunk))
}
