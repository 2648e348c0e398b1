//! Continuity of what leaves: one SSRC, sequence numbers without a gap, timestamps on one clock. Whoever fills the
//! packets asks here where they belong; changing the feed changes nothing here.

use crate::rtp::Header;

/// The outgoing stream of one session.
///
/// Positions are units of 1/8000 s on the session's media clock, which runs with real time whether or not anything is
/// sent. A position is used once. The timestamp of a packet is its position at the clock rate of the codec plus a
/// random origin.
#[derive(Debug)]
pub(crate) struct Egress {
    ssrc: u32,
    sequence: u16,
    origin: u32,
    /// Timestamp units in 10 ms.
    ticks: u64,
    /// First position that is still free.
    next: u64,
    /// How far positions run ahead of the worker's clock, because a relayed source did.
    shift: u64,
    started: bool,
    event_start: u64,
    audit: Audit,
    packets: u64,
    bytes: u64,
}

impl Egress {
    /// A stream that begins with random numbers, as RFC 3550 §5.1 wants.
    pub(crate) fn new(ssrc: u32, sequence: u16, origin: u32) -> Self {
        Self {
            ssrc,
            sequence,
            origin,
            ticks: UNITS,
            next: 0,
            shift: 0,
            started: false,
            event_start: 0,
            audit: Audit::default(),
            packets: 0,
            bytes: 0,
        }
    }

    /// Goes on at the clock rate of another codec: from the next free position on, timestamps run at that pace. Whether
    /// it is another one than before.
    pub(crate) fn set_clock_rate(&mut self, clock_rate: u32) -> bool {
        let (before, end) = (self.ticks, self.at(self.next));
        self.ticks = u64::from(clock_rate) / 100;
        self.origin = self.origin.wrapping_add(end.wrapping_sub(self.at(self.next)));
        self.ticks != before
    }

    /// The timestamp of a position.
    fn at(&self, position: u64) -> u32 {
        self.origin.wrapping_add((position * self.ticks / UNITS) as u32)
    }

    pub(crate) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    pub(crate) fn packets(&self) -> u64 {
        self.packets
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn violations(&self) -> u64 {
        self.audit.violations
    }

    /// First position that is still free.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// The worker's clock as a position.
    pub(crate) fn position(&self, clock: u64) -> u64 {
        clock + self.shift
    }

    /// The worker's clock at a position.
    pub(crate) fn clock(&self, position: u64) -> u64 {
        position.saturating_sub(self.shift)
    }

    /// Timestamp of the worker's clock, for sender reports.
    pub(crate) fn timestamp(&self, clock: u64) -> u32 {
        self.at(self.position(clock))
    }

    /// Keeps positions on the grid of another packet time.
    pub(crate) fn align(&mut self, frame: u64) {
        self.shift = self.shift.next_multiple_of(frame);
    }

    /// Where an own frame goes at `clock`. `None`: relayed packets already stand there, this frame is not needed.
    pub(crate) fn place(&mut self, clock: u64, frame: u64) -> Option<u64> {
        let position = self.position(clock);
        let ahead = self.next.saturating_sub(position);
        if ahead == 0 {
            return Some(position);
        }
        // Relayed packets that came early are still being heard.
        if ahead <= frame + MAX_LEAD.max(frame) {
            return None;
        }
        // The source's clock ran away from ours. Going back would repeat timestamps and waiting would be heard, so
        // our clock goes along; by whole frames, it stays on its grid.
        self.shift += ahead.div_ceil(frame) * frame;
        Some(self.position(clock))
    }

    /// Takes back a frame of what the clock had to go along. For silence only: it is shortened.
    pub(crate) fn relax(&mut self, frame: u64) {
        self.shift = self.shift.saturating_sub(frame);
    }

    /// The header of an audio packet at `position`, which must be free.
    pub(crate) fn stamp(&mut self, position: u64, length: u64, payload_type: u8) -> Header {
        // RFC 3551 §4.1: the first packet after a gap is marked.
        let marker = !self.started || position != self.next;
        let header = self.header(position, marker, payload_type);
        self.audit.packet(&header, self.at(position + length), Kind::Audio);
        self.next = self.next.max(position + length);
        self.started = true;
        header
    }

    /// Declares `position` the start of a telephone event.
    pub(crate) fn begin_event(&mut self, position: u64) {
        self.event_start = position;
    }

    /// The next segment of a telephone event that outgrew its duration field (RFC 4733 §2.5.1.3).
    pub(crate) fn continue_event(&mut self) {
        self.event_start = self.next;
    }

    /// The header of a packet of the current telephone event, which lasts `duration` timestamp units so far.
    pub(crate) fn stamp_event(&mut self, duration: u64, first: bool, payload_type: u8) -> Header {
        // RFC 4733 §2.5.1.2: all packets of an event carry the time of its start; the first one is marked.
        let header = self.header(self.event_start, first, payload_type);
        self.audit.packet(&header, header.timestamp.wrapping_add(duration as u32), Kind::Event);
        self.next = self.next.max(self.event_start + (duration * UNITS).div_ceil(self.ticks));
        self.started = true;
        header
    }

    /// Counts what left.
    pub(crate) fn sent(&mut self, payload_bytes: usize) {
        self.packets += 1;
        self.bytes += payload_bytes as u64;
    }

    fn header(&mut self, position: u64, marker: bool, payload_type: u8) -> Header {
        let timestamp = self.at(position);
        let header = Header { payload_type, marker, sequence: self.sequence, timestamp, ssrc: self.ssrc };
        self.sequence = self.sequence.wrapping_add(1);
        header
    }
}

/// Units of 1/8000 s in 10 ms.
const UNITS: u64 = 80;

/// How far relayed packets may run ahead of the clock without moving it: 60 ms, the jitter of usual networks.
const MAX_LEAD: u64 = 480;

/// Looks at nothing but the headers that leave and counts what a receiver would call a breach.
#[derive(Debug, Default)]
struct Audit {
    last: Option<Last>,
    violations: u64,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    header: Header,
    /// First timestamp after what was sent so far.
    end: u32,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Audio,
    Event,
}

impl Audit {
    fn packet(&mut self, header: &Header, end: u32, kind: Kind) {
        if let Some(last) = self.last
            && !Self::follows(last, header, kind)
        {
            self.violations += 1;
        }
        self.last = Some(Last { header: *header, end, kind });
    }

    fn follows(last: Last, header: &Header, kind: Kind) -> bool {
        let ahead = header.timestamp.wrapping_sub(last.end) as i32;
        let same_event = kind == Kind::Event && last.kind == Kind::Event;
        let in_time = ahead >= 0 || (same_event && header.timestamp == last.header.timestamp);
        let marked = kind == Kind::Event || header.marker == (ahead != 0);
        let ssrc = header.ssrc == last.header.ssrc;
        ssrc && header.sequence == last.header.sequence.wrapping_add(1) && in_time && marked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_frames_follow_the_clock_and_mark_gaps() {
        let mut egress = Egress::new(7, 0xFFFF, 0xFFFF_FF00);
        let first = egress.stamp(160, 160, 0);
        assert_eq!((first.sequence, first.timestamp, first.marker), (0xFFFF, 0xFFFF_FFA0, true));
        let position = egress.place(320, 160).unwrap();
        let second = egress.stamp(position, 160, 0);
        assert_eq!((second.sequence, second.timestamp, second.marker), (0, 0x40, false));
        let position = egress.place(640, 160).unwrap();
        let third = egress.stamp(position, 160, 0);
        assert_eq!((third.sequence, third.timestamp, third.marker), (1, 0x180, true));
        assert_eq!(egress.violations(), 0);
    }

    #[test]
    fn after_a_relay_that_ran_ahead_a_frame_is_skipped_or_the_clock_goes_along() {
        let mut egress = Egress::new(7, 1, 0);
        egress.stamp(160, 160, 0);
        egress.stamp(320, 160, 0);
        assert_eq!(egress.place(320, 160), None);
        assert_eq!(egress.place(480, 160), Some(480));
        for position in [480, 640, 800, 960, 1_120] {
            assert!(!egress.stamp(position, 160, 0).marker);
        }
        // The clock says 640: five frames are there already.
        assert_eq!(egress.place(480, 160), Some(1_280));
        assert!(!egress.stamp(1_280, 160, 0).marker);
        assert_eq!(egress.place(640, 160), Some(1_440));
        egress.stamp(1_440, 160, 0);
        // A frame of silence is left out, and the clock is a frame nearer to the worker's.
        egress.relax(160);
        assert_eq!(egress.place(800, 160), None);
        assert_eq!(egress.place(960, 160), Some(1_600));
        assert_eq!(egress.violations(), 0);
    }

    #[test]
    fn an_event_keeps_its_timestamp_and_audio_goes_on_after_it() {
        let mut egress = Egress::new(7, 1, 0);
        egress.stamp(160, 160, 0);
        egress.begin_event(320);
        for (index, duration) in [160, 320, 480, 480, 480].into_iter().enumerate() {
            let header = egress.stamp_event(duration, index == 0, 101);
            assert_eq!((header.timestamp, header.marker), (320, index == 0));
        }
        let after = egress.stamp(1_120, 160, 0);
        assert!(after.marker);
        assert_eq!(after.sequence, 7);
        assert_eq!(egress.violations(), 0);
    }

    #[test]
    fn a_timestamp_that_goes_back_is_counted() {
        let mut egress = Egress::new(7, 1, 0);
        egress.stamp(320, 160, 0);
        egress.stamp(320, 160, 0);
        assert_eq!(egress.violations(), 1);
    }

    #[test]
    fn timestamps_run_at_the_pace_of_the_codec_and_go_on_when_it_changes() {
        let mut egress = Egress::new(7, 1, 1_000);
        assert!(egress.set_clock_rate(48_000));
        assert_eq!(egress.stamp(160, 160, 111).timestamp, 1_960);
        assert_eq!(egress.stamp(320, 160, 111).timestamp, 2_920);
        egress.begin_event(480);
        assert_eq!(egress.stamp_event(960, true, 101).timestamp, 3_880);
        assert_eq!(egress.next(), 640);
        assert!(egress.set_clock_rate(8_000));
        assert_eq!(egress.stamp(640, 160, 0).timestamp, 4_840);
        assert!(egress.set_clock_rate(44_100));
        assert_eq!(egress.stamp(800, 80, 11).timestamp, 5_000);
        assert_eq!(egress.stamp(880, 80, 11).timestamp, 5_441);
        assert_eq!(egress.violations(), 0);
    }
}
