//! Packets of one session on their way to another without being decoded: put in order, and placed on the
//! listener's clock.

use std::time::{Duration, Instant};

use crate::{session::send::Egress, time::FRAME};

/// One listener's view of the source it hears.
#[derive(Debug)]
pub(crate) struct Relay {
    anchor: Option<Anchor>,
    /// The sequence number that comes next, extended.
    expected: u64,
    held: [Held; HELD],
    held_count: usize,
    /// Without a packet to pass on until then the source pauses.
    patience: Option<Instant>,
    /// Since when packets come too late only.
    late_since: Option<Instant>,
    /// How far the last packet ran ahead of the listener's clock, units of 1/8000 s.
    lead: i64,
    /// When a packet was last placed afresh, and how far it ran ahead; as long as the stream settles.
    anchored: Option<(Instant, i64)>,
}

/// Which source timestamp corresponds to which position.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    timestamp: u32,
    position: u64,
}

/// A packet of the source. No payload: a packet that is not passed on, but takes a sequence number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Relayed<'a> {
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) payload: &'a [u8],
}

/// What to do with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is its turn. What was held may follow it: ask [`Relay::follower`].
    Now,
    /// Others go first. It is kept.
    Held,
    /// Its turn is over.
    Late,
}

/// A packet that waits for an earlier one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    sequence: u64,
    timestamp: u32,
    marker: bool,
    since: Option<Instant>,
    length: u16,
    payload: [u8; MAX_PAYLOAD],
}

impl Held {
    pub(crate) fn packet(&self) -> Relayed<'_> {
        Relayed {
            sequence: self.sequence,
            timestamp: self.timestamp,
            marker: self.marker,
            payload: &self.payload[..usize::from(self.length)],
        }
    }
}

impl Default for Relay {
    fn default() -> Self {
        let empty = Held {
            sequence: 0,
            timestamp: 0,
            marker: false,
            since: None,
            length: 0,
            payload: [0; MAX_PAYLOAD],
        };
        Self {
            anchor: None,
            expected: 0,
            held: [empty; HELD],
            held_count: 0,
            patience: None,
            late_since: None,
            lead: 0,
            anchored: None,
        }
    }
}

impl Relay {
    /// Forgets the source. The next packet is placed afresh.
    pub(crate) fn reset(&mut self) {
        (self.anchor, self.held_count, self.patience, self.late_since) = (None, 0, None, None);
        self.anchored = None;
    }

    /// Whether the source paused, so that the listener needs frames of its own.
    pub(crate) fn is_paused(&self, now: Instant) -> bool {
        self.patience.is_none_or(|patience| now > patience)
    }

    pub(crate) fn is_holding(&self) -> bool {
        self.held_count > 0
    }

    /// Whose turn it is when `packet` arrives.
    pub(crate) fn offer(&mut self, now: Instant, packet: &Relayed<'_>) -> Turn {
        if self.anchor.is_none() && self.held_count == 0 || packet.sequence == self.expected {
            self.expected = packet.sequence + 1;
            return Turn::Now;
        }
        if packet.sequence < self.expected {
            return Turn::Late;
        }
        if packet.sequence - self.expected > MAX_GAP || packet.payload.len() > MAX_PAYLOAD {
            self.held_count = 0;
            self.expected = packet.sequence + 1;
            return Turn::Now;
        }
        self.hold(now, packet);
        Turn::Held
    }

    /// The next held packet whose turn it is: because the one before it left, because the gap before it has been
    /// waited for long enough, or because there is no more room to wait.
    pub(crate) fn follower(&mut self, now: Instant) -> Option<Held> {
        let (first, _) = self.held[..self.held_count].split_first()?;
        let waited = self.held[..self.held_count]
            .iter()
            .filter_map(|held| held.since)
            .any(|since| now.saturating_duration_since(since) >= FRAME);
        if first.sequence != self.expected && !waited && self.held_count < HELD {
            return None;
        }
        let first = *first;
        self.held.copy_within(1..self.held_count, 0);
        self.held_count -= 1;
        self.expected = first.sequence + 1;
        Some(first)
    }

    /// Where a packet whose turn it is goes in the listener's stream. `clock` is the listener's clock, rounded down to a
    /// frame, in which timestamps move by `ticks`. `None`: it is dropped, because its time was filled otherwise or it
    /// is far too early.
    pub(crate) fn place(
        &mut self,
        now: Instant,
        egress: &Egress,
        clock: u64,
        frame: u64,
        ticks: u32,
        packet: &Relayed<'_>,
    ) -> Option<u64> {
        let clock = egress.position(clock);
        let fresh = egress.next().next_multiple_of(frame).max(clock);
        let next = egress.next();
        let lead = |position: u64| position as i64 - clock as i64;
        let tolerance = TOLERANCE.max(frame);
        let (position, afresh) = match self.continued(frame, ticks, packet.timestamp) {
            None => (fresh, true),
            // A jump of the source is not one of the listener's clock.
            Some(position) if position > fresh + MAX_JUMP.max(frame) => (fresh, true),
            Some(position) if position >= next && lead(position) >= self.lead - tolerance as i64 => {
                (position, false)
            }
            Some(position) if (position < next && position + frame >= next) || packet.marker => (fresh, true),
            Some(_) => {
                // Silence was sent in its place, or should have been. A burst of late packets is over soon; when they
                // keep coming, the way has become longer.
                let since = *self.late_since.get_or_insert(now);
                if now.saturating_duration_since(since) < PAUSE {
                    return None;
                }
                (fresh, true)
            }
        };
        if self.is_burst(now, lead(position), tolerance) {
            // The stream was joined by an old packet that came with younger ones. The listener goes on with these.
            self.anchor = Some(Anchor { timestamp: packet.timestamp.wrapping_add(ticks), position: fresh });
            return None;
        }
        // The source sends faster than time passes.
        if position > clock + MAX_LEAD {
            return None;
        }
        if afresh {
            self.anchored = Some((now, lead(position)));
        }
        self.anchor = Some(Anchor { timestamp: packet.timestamp, position });
        self.patience = Some(now + PAUSE);
        self.late_since = None;
        self.lead = lead(position);
        Some(position)
    }

    /// The listener fills a pause of the source, from `position` on.
    pub(crate) fn filled(&mut self) {
        // A source whose clock is slow fell behind ours bit by bit. The pause takes that up, or its next packets
        // would all seem late.
        if let Some(anchor) = &mut self.anchor
            && self.lead < 0
        {
            anchor.position += self.lead.unsigned_abs();
            self.lead = 0;
        }
    }

    /// Whether packets come faster than time passes right after the stream was joined.
    fn is_burst(&mut self, now: Instant, lead: i64, tolerance: u64) -> bool {
        let Some((since, first)) = self.anchored else { return false };
        if now.saturating_duration_since(since) >= SETTLING {
            self.anchored = None;
            return false;
        }
        lead > first + tolerance as i64
    }

    /// Where the anchor says a timestamp belongs; `None` off the frame grid.
    fn continued(&self, frame: u64, ticks: u32, timestamp: u32) -> Option<u64> {
        let anchor = self.anchor?;
        let (step, ticks) = (i64::from(timestamp.wrapping_sub(anchor.timestamp) as i32), i64::from(ticks));
        if step % ticks != 0 || !anchor.position.is_multiple_of(frame) {
            return None;
        }
        anchor.position.checked_add_signed(step / ticks * frame as i64)
    }

    fn hold(&mut self, now: Instant, packet: &Relayed<'_>) {
        let place = self.held[..self.held_count].partition_point(|held| held.sequence < packet.sequence);
        if self.held_count == HELD
            || self.held[..self.held_count].get(place).map(|held| held.sequence) == Some(packet.sequence)
        {
            return;
        }
        self.held.copy_within(place..self.held_count, place + 1);
        self.held_count += 1;
        let held = &mut self.held[place];
        (held.sequence, held.timestamp, held.marker) = (packet.sequence, packet.timestamp, packet.marker);
        held.since = Some(now);
        held.length = packet.payload.len() as u16;
        held.payload[..packet.payload.len()].copy_from_slice(packet.payload);
    }
}

/// Packets that wait at most; when they are as many, the gap before them is given up.
const HELD: usize = 4;

/// A gap in sequence numbers that is waited for.
const MAX_GAP: u64 = 50;

/// 60 ms of G.711, the longest packet that is held back.
const MAX_PAYLOAD: usize = 480;

/// Without a packet for so long the source pauses.
const PAUSE: Duration = Duration::from_millis(60);

/// A step in the source's timestamps that is kept, units of 1/8000 s: 200 ms.
const MAX_JUMP: u64 = 1_600;

/// How much later than the one before it a packet may be, and how much earlier than the first: 60 ms. What comes
/// later still would leave in a burst.
const TOLERANCE: u64 = 480;

/// How long after joining a stream packets may belong to a burst.
const SETTLING: Duration = Duration::from_millis(200);

/// How far a source may run ahead of the clock: a second.
const MAX_LEAD: u64 = 8_000;

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME_SAMPLES: u64 = 160;

    struct Bench {
        relay: Relay,
        egress: Egress,
        base: Instant,
        sent: Vec<u64>,
    }

    impl Bench {
        fn new() -> Self {
            Self { relay: Relay::default(), egress: Egress::new(1, 0, 0), base: base(), sent: Vec::new() }
        }

        /// A packet of the source arrives at that ms; its timestamp follows its sequence number.
        fn packet(&mut self, at_ms: u64, sequence: u64) {
            let payload = [0; 160];
            let timestamp = (sequence * FRAME_SAMPLES) as u32;
            let packet = Relayed { sequence, timestamp, marker: false, payload: &payload };
            let now = self.base + Duration::from_millis(at_ms);
            match self.relay.offer(now, &packet) {
                Turn::Now => self.send(at_ms, &packet),
                Turn::Held | Turn::Late => {}
            }
            self.flush(at_ms);
        }

        fn flush(&mut self, at_ms: u64) {
            while let Some(held) = self.relay.follower(self.base + Duration::from_millis(at_ms)) {
                self.send(at_ms, &held.packet());
            }
        }

        fn send(&mut self, at_ms: u64, packet: &Relayed<'_>) {
            let clock = at_ms / 20 * FRAME_SAMPLES;
            let now = self.base + Duration::from_millis(at_ms);
            if let Some(position) = self.relay.place(now, &self.egress, clock, FRAME_SAMPLES, 160, packet) {
                self.egress.stamp(position, FRAME_SAMPLES, 0);
                self.sent.push(packet.sequence);
            }
        }

        fn silence(&mut self, at_ms: u64) {
            let now = self.base + Duration::from_millis(at_ms);
            assert!(self.relay.is_paused(now));
            if let Some(position) = self.egress.place(at_ms / 20 * FRAME_SAMPLES, FRAME_SAMPLES) {
                self.egress.stamp(position, FRAME_SAMPLES, 0);
                self.relay.filled();
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a base for virtual time")]
    fn base() -> Instant {
        Instant::now()
    }

    #[test]
    fn reordered_packets_leave_in_order() {
        let mut bench = Bench::new();
        for (at, sequence) in [(0, 10), (20, 12), (25, 11), (60, 13)] {
            bench.packet(at, sequence);
        }
        assert_eq!(bench.sent, [10, 11, 12, 13]);
        assert_eq!(bench.egress.next(), 4 * FRAME_SAMPLES);
        assert_eq!(bench.egress.violations(), 0);
    }

    #[test]
    fn a_lost_packet_is_waited_for_one_frame() {
        let mut bench = Bench::new();
        bench.packet(0, 10);
        bench.packet(40, 12);
        bench.flush(55);
        assert_eq!(bench.sent, [10]);
        bench.flush(60);
        assert_eq!(bench.sent, [10, 12]);
        bench.packet(61, 11);
        assert_eq!(bench.sent, [10, 12]);
        assert_eq!(bench.egress.next(), 3 * FRAME_SAMPLES);
    }

    #[test]
    fn a_burst_after_a_pause_that_was_filled_is_not_repeated() {
        let mut bench = Bench::new();
        bench.packet(0, 10);
        bench.packet(20, 11);
        for at in [100, 120, 140, 160] {
            bench.silence(at);
        }
        for sequence in 12..=18 {
            bench.packet(165, sequence);
        }
        // Positions 1 to 8 are over; packet 18 belongs there too, but is late by one frame only.
        assert_eq!(bench.sent, [10, 11, 18]);
        bench.packet(180, 19);
        bench.packet(200, 20);
        assert_eq!(bench.sent, [10, 11, 18, 19, 20]);
        assert_eq!(bench.egress.violations(), 0);
    }

    #[test]
    fn when_the_way_becomes_longer_for_good_audio_returns_within_60_ms() {
        let mut bench = Bench::new();
        bench.packet(0, 10);
        for at in [80, 100, 120, 140, 160, 180, 200] {
            bench.silence(at);
        }
        for (index, sequence) in (11..20).enumerate() {
            bench.packet(205 + 20 * index as u64, sequence);
        }
        assert_eq!(bench.sent[..2], [10, 14]);
        assert_eq!(bench.egress.violations(), 0);
    }

    #[test]
    fn a_jump_of_the_sources_timestamps_is_not_passed_on() {
        let mut bench = Bench::new();
        bench.packet(0, 10);
        let packet = Relayed { sequence: 11, timestamp: 0x7000_0000, marker: false, payload: &[0; 160] };
        assert_eq!(bench.relay.offer(bench.base, &packet), Turn::Now);
        bench.send(20, &packet);
        assert_eq!(bench.egress.next(), 2 * FRAME_SAMPLES);
    }

    #[test]
    fn joining_a_stream_in_a_burst_passes_on_little_of_it_and_then_everything() {
        let mut bench = Bench::new();
        for sequence in 10..20 {
            bench.packet(0, sequence);
        }
        assert_eq!(bench.sent, [10, 11, 12, 13]);
        for sequence in 20..40 {
            bench.packet((sequence - 19) * 20, sequence);
        }
        assert_eq!(bench.sent[4..], (20..40).collect::<Vec<_>>());
        assert_eq!(bench.egress.next(), 24 * FRAME_SAMPLES);
        assert_eq!(bench.egress.violations(), 0);
    }

    #[test]
    fn a_flood_is_not_passed_on() {
        let mut bench = Bench::new();
        for sequence in 0..500 {
            bench.packet(sequence, sequence);
        }
        // Half a second at twenty times real time.
        assert!(bench.sent.len() <= 52 + 25, "{}", bench.sent.len());
    }
}
