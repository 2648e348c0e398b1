//! Several RTCP packets in one datagram (RFC 3550 §6.1).

use super::{
    GOODBYE, Goodbye, RECEIVER_REPORT, ReceiverReport, ReportBlock, RtcpError, SENDER_REPORT,
    SOURCE_DESCRIPTION, SenderInfo, SenderReport, SourceDescription, word,
};

/// A datagram whose packets all have sane headers and lengths.
#[derive(Debug, Clone, Copy)]
pub struct Compound<'a> {
    rest: &'a [u8],
}

/// One packet of a compound.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Packet<'a> {
    /// What a sender has sent, and what it received.
    SenderReport(SenderReport<'a>),
    /// What someone received who has sent nothing lately.
    ReceiverReport(ReceiverReport<'a>),
    /// Who the sources are.
    SourceDescription(SourceDescription<'a>),
    /// Sources leave.
    Goodbye(Goodbye<'a>),
    /// A packet of another kind.
    Other {
        /// Its packet type.
        packet_type: u8,
    },
}

impl<'a> Compound<'a> {
    /// Checks a datagram as a whole (RFC 3550 §A.2). A single packet that is no report is allowed (RFC 5506).
    pub fn parse(datagram: &'a [u8]) -> Result<Self, RtcpError> {
        if datagram.is_empty() {
            return Err(RtcpError::Truncated);
        }
        let mut rest = datagram;
        while !rest.is_empty() {
            rest = split(rest)?.2;
        }
        Ok(Self { rest: datagram })
    }
}

impl<'a> Iterator for Compound<'a> {
    type Item = Packet<'a>;

    fn next(&mut self) -> Option<Packet<'a>> {
        let (header, body, rest) = split(self.rest).ok()?;
        self.rest = rest;
        Some(header.read(body))
    }
}

#[derive(Clone, Copy)]
struct PacketHeader {
    count: u8,
    packet_type: u8,
}

impl PacketHeader {
    fn read<'a>(self, body: &'a [u8]) -> Packet<'a> {
        let count = usize::from(self.count);
        let packet = match self.packet_type {
            SENDER_REPORT => SenderReport::parse(count, body).map(Packet::SenderReport),
            RECEIVER_REPORT => ReceiverReport::parse(count, body).map(Packet::ReceiverReport),
            SOURCE_DESCRIPTION => Some(Packet::SourceDescription(SourceDescription::new(count, body))),
            GOODBYE => Goodbye::parse(count, body).map(Packet::Goodbye),
            _ => None,
        };
        packet.unwrap_or(Packet::Other { packet_type: self.packet_type })
    }
}

/// The first packet's header and body without padding, and what follows it.
fn split(bytes: &[u8]) -> Result<(PacketHeader, &[u8], &[u8]), RtcpError> {
    let (head, after) = bytes.split_first_chunk::<4>().ok_or(RtcpError::Truncated)?;
    if head[0] >> 6 != 2 {
        return Err(RtcpError::Version);
    }
    // RFC 5761 §4
    if !(192..=223).contains(&head[1]) {
        return Err(RtcpError::PacketType);
    }
    let length = usize::from(u16::from_be_bytes([head[2], head[3]])) * 4;
    let (mut body, rest) = after.split_at_checked(length).ok_or(RtcpError::Truncated)?;
    if head[0] & 0x20 != 0 {
        // RFC 3550 §6.4.1: only the last packet may be padded.
        let padding = usize::from(*body.last().ok_or(RtcpError::Padding)?);
        if padding == 0 || padding > body.len() || !rest.is_empty() {
            return Err(RtcpError::Padding);
        }
        body = &body[..body.len() - padding];
    }
    Ok((PacketHeader { count: head[0] & 0x1F, packet_type: head[1] }, body, rest))
}

/// Writes a compound packet into the caller's memory. What does not fit is left out as a whole.
#[derive(Debug)]
pub struct CompoundWriter<'a> {
    out: &'a mut [u8],
    length: usize,
}

impl<'a> CompoundWriter<'a> {
    /// An empty compound.
    #[must_use]
    pub fn new(out: &'a mut [u8]) -> Self {
        Self { out, length: 0 }
    }

    /// Adds what we sent and what we received; at most 31 blocks.
    pub fn sender_report(&mut self, ssrc: u32, info: &SenderInfo, blocks: &[ReportBlock]) -> &mut Self {
        let blocks = &blocks[..blocks.len().min(31)];
        self.packet(
            SENDER_REPORT,
            blocks.len(),
            4 + SenderInfo::LEN + blocks.len() * ReportBlock::LEN,
            |body| {
                body[..4].copy_from_slice(&ssrc.to_be_bytes());
                body[4..4 + SenderInfo::LEN].copy_from_slice(&info.to_bytes());
                write_blocks(&mut body[4 + SenderInfo::LEN..], blocks);
            },
        )
    }

    /// Adds what we received; at most 31 blocks.
    pub fn receiver_report(&mut self, ssrc: u32, blocks: &[ReportBlock]) -> &mut Self {
        let blocks = &blocks[..blocks.len().min(31)];
        self.packet(RECEIVER_REPORT, blocks.len(), 4 + blocks.len() * ReportBlock::LEN, |body| {
            body[..4].copy_from_slice(&ssrc.to_be_bytes());
            write_blocks(&mut body[4..], blocks);
        })
    }

    /// Adds our canonical name (RFC 3550 §6.5.1), cut at 255 bytes.
    pub fn cname(&mut self, ssrc: u32, name: &str) -> &mut Self {
        let name = &name.as_bytes()[..name.len().min(255)];
        // The list of items ends with at least one zero, up to a full word.
        let length = (4 + 2 + name.len() + 1).next_multiple_of(4);
        self.packet(SOURCE_DESCRIPTION, 1, length, |body| {
            body[..4].copy_from_slice(&ssrc.to_be_bytes());
            body[4] = super::source_description::CNAME;
            body[5] = name.len() as u8;
            body[6..6 + name.len()].copy_from_slice(name);
            body[6 + name.len()..].fill(0);
        })
    }

    /// Adds our farewell.
    pub fn goodbye(&mut self, ssrc: u32) -> &mut Self {
        self.packet(GOODBYE, 1, 4, |body| body.copy_from_slice(&ssrc.to_be_bytes()))
    }

    /// Bytes written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    fn packet(
        &mut self,
        packet_type: u8,
        count: usize,
        length: usize,
        body: impl FnOnce(&mut [u8]),
    ) -> &mut Self {
        let Some(out) = self.out.get_mut(self.length..self.length + 4 + length) else { return self };
        out[0] = 0x80 | count as u8;
        out[1] = packet_type;
        out[2..4].copy_from_slice(&((length / 4) as u16).to_be_bytes());
        body(&mut out[4..]);
        self.length += 4 + length;
        self
    }
}

fn write_blocks(out: &mut [u8], blocks: &[ReportBlock]) {
    for (out, block) in out.chunks_exact_mut(ReportBlock::LEN).zip(blocks) {
        out.copy_from_slice(&block.to_bytes());
    }
}

/// The report blocks at the start of `body`, and what follows them.
pub(super) fn split_blocks(count: usize, body: &[u8]) -> Option<(&[u8], &[u8])> {
    body.split_at_checked(count * ReportBlock::LEN)
}

/// The sender's SSRC at the start of a report.
pub(super) fn split_ssrc(body: &[u8]) -> Option<(u32, &[u8])> {
    let (_, rest) = body.split_at_checked(4)?;
    Some((word(body, 0), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::NtpTime;

    fn info() -> SenderInfo {
        SenderInfo {
            ntp: NtpTime { seconds: 0x8000_0001, fraction: 0x1234_5678 },
            rtp_timestamp: 160,
            packets: 3,
            bytes: 480,
        }
    }

    fn block() -> ReportBlock {
        ReportBlock {
            ssrc: 7,
            fraction_lost: 25,
            cumulative_lost: -3,
            highest: 0x0001_0002,
            jitter: 80,
            last_sender_report: 0x1234_5678,
            delay_since_last: 65_536,
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut out = [0xEE; 256];
        let mut writer = CompoundWriter::new(&mut out);
        writer.sender_report(1, &info(), &[block()]).cname(1, "offhook@example").goodbye(1);
        let length = writer.len();
        assert_eq!(length % 4, 0);
        let packets: Vec<_> = Compound::parse(&out[..length]).unwrap().collect();
        let [Packet::SenderReport(report), Packet::SourceDescription(description), Packet::Goodbye(goodbye)] =
            &packets[..]
        else {
            panic!("{packets:?}")
        };
        assert_eq!((report.ssrc, report.info), (1, info()));
        assert_eq!(report.blocks.collect::<Vec<_>>(), [block()]);
        assert_eq!(description.cname(1), Some("offhook@example".as_bytes()));
        assert_eq!(goodbye.sources().collect::<Vec<_>>(), [1]);
        assert_eq!(goodbye.reason(), None);
    }

    #[test]
    fn names_of_every_length_are_padded_to_words() {
        for length in 0..=300 {
            let mut out = [0xEE; 512];
            let mut writer = CompoundWriter::new(&mut out);
            let name = "x".repeat(length);
            writer.receiver_report(9, &[]).cname(9, &name);
            let written = writer.len();
            let mut packets = Compound::parse(&out[..written]).unwrap();
            assert!(matches!(packets.next(), Some(Packet::ReceiverReport(report)) if report.ssrc == 9));
            let Some(Packet::SourceDescription(description)) = packets.next() else { panic!("{length}") };
            assert_eq!(description.cname(9).unwrap().len(), length.min(255));
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut out = [0; 40];
        let mut writer = CompoundWriter::new(&mut out);
        writer.sender_report(1, &info(), &[]).cname(1, "much too long a name for this").goodbye(1);
        assert_eq!(writer.len(), 28 + 8);
        assert!(CompoundWriter::new(&mut []).is_empty());
    }

    #[test]
    fn broken_datagrams_are_refused() {
        let error = |bytes: &[u8]| Compound::parse(bytes).map(|_| ()).unwrap_err();
        assert_eq!(error(&[]), RtcpError::Truncated);
        assert_eq!(error(&[0x80, 201, 0]), RtcpError::Truncated);
        assert_eq!(error(&[0x80, 201, 0, 2, 0, 0, 0, 1]), RtcpError::Truncated);
        assert_eq!(error(&[0x40, 201, 0, 0]), RtcpError::Version);
        assert_eq!(error(&[0x80, 96, 0, 0]), RtcpError::PacketType);
        assert_eq!(error(&[0xA0, 201, 0, 0]), RtcpError::Padding);
        assert_eq!(error(&[0xA0, 201, 0, 1, 0, 0, 0, 9]), RtcpError::Padding);
        assert_eq!(error(&[0xA0, 201, 0, 1, 0, 0, 0, 4, 0x80, 203, 0, 0]), RtcpError::Padding);
    }

    #[test]
    fn a_packet_shorter_than_its_count_is_passed_over() {
        let bytes = [0x82, 201, 0, 1, 0, 0, 0, 1, 0x80, 200, 0, 0, 0x81, 206, 0, 0];
        let packets: Vec<_> = Compound::parse(&bytes).unwrap().collect();
        assert!(packets.iter().all(|packet| matches!(packet, Packet::Other { .. })), "{packets:?}");
        assert_eq!(packets.len(), 3);
    }
}
