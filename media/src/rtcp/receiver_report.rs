//! What was received (RFC 3550 §6.4.2), and the blocks it shares with sender reports.

use super::{
    compound::{split_blocks, split_ssrc},
    word,
};

/// A receiver report.
#[derive(Debug, Clone, Copy)]
pub struct ReceiverReport<'a> {
    /// Who reports.
    pub ssrc: u32,
    /// What was received, by source.
    pub blocks: ReportBlocks<'a>,
}

impl<'a> ReceiverReport<'a> {
    pub(super) fn parse(count: usize, body: &'a [u8]) -> Option<Self> {
        let (ssrc, rest) = split_ssrc(body)?;
        let (blocks, _extension) = split_blocks(count, rest)?;
        Some(Self { ssrc, blocks: ReportBlocks::new(blocks) })
    }
}

/// What was received of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReportBlock {
    /// The source.
    pub ssrc: u32,
    /// Share lost since the last report, 1/256.
    pub fraction_lost: u8,
    /// Lost since the beginning; 24 bits, negative when duplicates outnumber losses.
    pub cumulative_lost: i32,
    /// Highest sequence number with its number of wraps.
    pub highest: u32,
    /// Interarrival jitter, RTP timestamp units.
    pub jitter: u32,
    /// Middle of the NTP time in the last sender report of the source, 0 for none.
    pub last_sender_report: u32,
    /// How long ago that was, 1/65,536 seconds.
    pub delay_since_last: u32,
}

impl ReportBlock {
    /// Length on the wire, bytes.
    pub const LEN: usize = 24;

    fn parse(bytes: &[u8]) -> Self {
        let lost = word(bytes, 4);
        Self {
            ssrc: word(bytes, 0),
            fraction_lost: (lost >> 24) as u8,
            // Two shifts extend the sign of 24 bits.
            cumulative_lost: (lost << 8) as i32 >> 8,
            highest: word(bytes, 8),
            jitter: word(bytes, 12),
            last_sender_report: word(bytes, 16),
            delay_since_last: word(bytes, 20),
        }
    }

    pub(super) fn to_bytes(self) -> [u8; Self::LEN] {
        let lost = (u32::from(self.fraction_lost) << 24) | (self.cumulative_lost as u32 & 0x00FF_FFFF);
        let words =
            [self.ssrc, lost, self.highest, self.jitter, self.last_sender_report, self.delay_since_last];
        let mut bytes = [0; Self::LEN];
        for (bytes, word) in bytes.chunks_exact_mut(4).zip(words) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }
}

/// The report blocks of a packet, read one by one.
#[derive(Debug, Clone, Copy)]
pub struct ReportBlocks<'a> {
    rest: &'a [u8],
}

impl<'a> ReportBlocks<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }
}

impl Iterator for ReportBlocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let (block, rest) = self.rest.split_at_checked(ReportBlock::LEN)?;
        self.rest = rest;
        Some(ReportBlock::parse(block))
    }
}
