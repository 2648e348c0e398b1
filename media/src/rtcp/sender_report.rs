//! What a sender has sent, with the clocks that belong together (RFC 3550 §6.4.1).

use std::time::Duration;

use super::{
    ReportBlocks,
    compound::{split_blocks, split_ssrc},
    word,
};

/// A sender report.
#[derive(Debug, Clone, Copy)]
pub struct SenderReport<'a> {
    /// Who sends.
    pub ssrc: u32,
    /// What was sent.
    pub info: SenderInfo,
    /// What was received, by source.
    pub blocks: ReportBlocks<'a>,
}

impl<'a> SenderReport<'a> {
    pub(super) fn parse(count: usize, body: &'a [u8]) -> Option<Self> {
        let (ssrc, rest) = split_ssrc(body)?;
        let (info, rest) = rest.split_at_checked(SenderInfo::LEN)?;
        let (blocks, _extension) = split_blocks(count, rest)?;
        Some(Self { ssrc, info: SenderInfo::parse(info), blocks: ReportBlocks::new(blocks) })
    }
}

/// Totals of a sender and one instant on both its clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SenderInfo {
    /// The instant on the wall clock.
    pub ntp: NtpTime,
    /// The same instant on the media clock.
    pub rtp_timestamp: u32,
    /// Packets sent so far.
    pub packets: u32,
    /// Payload bytes sent so far.
    pub bytes: u32,
}

impl SenderInfo {
    /// Length on the wire, bytes.
    pub const LEN: usize = 20;

    fn parse(bytes: &[u8]) -> Self {
        Self {
            ntp: NtpTime { seconds: word(bytes, 0), fraction: word(bytes, 4) },
            rtp_timestamp: word(bytes, 8),
            packets: word(bytes, 12),
            bytes: word(bytes, 16),
        }
    }

    pub(super) fn to_bytes(self) -> [u8; Self::LEN] {
        let words = [self.ntp.seconds, self.ntp.fraction, self.rtp_timestamp, self.packets, self.bytes];
        let mut bytes = [0; Self::LEN];
        for (bytes, word) in bytes.chunks_exact_mut(4).zip(words) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }
}

/// Seconds since 1900 with 32 binary places (RFC 3550 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NtpTime {
    /// Whole seconds.
    pub seconds: u32,
    /// 1/2^32 seconds.
    pub fraction: u32,
}

impl NtpTime {
    /// The time that long after 1900. It wraps in 2036, which round-trip times survive.
    #[must_use]
    pub fn since_1900(elapsed: Duration) -> Self {
        let fraction = (u64::from(elapsed.subsec_nanos()) << 32) / 1_000_000_000;
        Self { seconds: elapsed.as_secs() as u32, fraction: fraction as u32 }
    }

    /// The middle 32 bits: 1/65,536 seconds, as in LSR and DLSR.
    #[must_use]
    pub fn middle(self) -> u32 {
        (self.seconds << 16) | (self.fraction >> 16)
    }
}

/// The round trip that a report block proves: `now` is when it arrived, on the clock of our sender reports. `None`
/// when the peer had no report of ours yet or the figures are impossible.
#[must_use]
pub fn round_trip(now: NtpTime, last_sender_report: u32, delay_since_last: u32) -> Option<Duration> {
    if last_sender_report == 0 {
        return None;
    }
    // RFC 3550 §6.4.1: A - LSR - DLSR.
    let units = now.middle().wrapping_sub(last_sender_report).wrapping_sub(delay_since_last);
    // More than a minute is a wrapped negative.
    (units < 60 << 16).then(|| Duration::from_nanos(u64::from(units) * 1_000_000_000 / 65_536))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_round_trip_leaves_out_the_time_the_peer_took() {
        let sent = NtpTime::since_1900(Duration::from_millis(4_000_000_000_900));
        let now = NtpTime::since_1900(Duration::from_millis(4_000_000_002_950));
        let trip = round_trip(now, sent.middle(), 2 << 16).unwrap();
        assert!(trip.abs_diff(Duration::from_millis(50)) < Duration::from_micros(100), "{trip:?}");
    }

    #[test]
    fn impossible_figures_prove_nothing() {
        let now = NtpTime { seconds: 100, fraction: 0 };
        assert_eq!(round_trip(now, 0, 0), None);
        assert_eq!(round_trip(now, now.middle() + 1, 0), None);
        assert_eq!(round_trip(now, now.middle(), 1), None);
        assert_eq!(round_trip(now, now.middle(), 0), Some(Duration::ZERO));
    }
}
