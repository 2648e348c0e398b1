//! Turns telephone-event packets into keys going down and up (RFC 4733 §2.5.2).

use std::time::{Duration, Instant};

use super::EventPayload;
use crate::rtp::{Header, sequence::distance};

/// A key moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// The key with that event code went down.
    Down(u8),
    /// It went up; how long it was down, ms.
    Up(u8, u32),
}

/// The keys that moved in one packet or one tick of 20 ms, in order. There are never more than seven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Edges {
    edges: [Option<Edge>; 8],
    length: usize,
    /// So many of them were taken out.
    taken: usize,
}

impl Edges {
    /// Whether nothing moved.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.taken == self.length
    }

    pub(crate) fn push(&mut self, edge: Edge) {
        self.edges[self.length] = Some(edge);
        self.length += 1;
    }
}

impl Iterator for Edges {
    type Item = Edge;

    fn next(&mut self) -> Option<Edge> {
        if self.is_empty() {
            return None;
        }
        self.taken += 1;
        self.edges[self.taken - 1].take()
    }
}

/// Follows the telephone events of one peer. An event is known by its SSRC, timestamp and code, whatever is lost,
/// repeated or reordered on the way.
#[derive(Debug, Clone)]
pub struct EventReceiver {
    clock_rate: u32,
    latest: Option<Key>,
    down: Option<Pressed>,
}

/// The newest event, over or not.
#[derive(Debug, Clone, Copy)]
struct Key {
    ssrc: u32,
    timestamp: u32,
    code: u8,
    sequence: u16,
}

#[derive(Debug, Clone, Copy)]
struct Pressed {
    code: u8,
    /// Length of finished segments and of wraps, timestamp units.
    before: u32,
    /// Length in the current segment.
    duration: u16,
    heard: Instant,
}

impl Default for EventReceiver {
    /// For events at 8,000 units per second.
    fn default() -> Self {
        Self::new(8000)
    }
}

impl EventReceiver {
    /// For events with that many timestamp units per second.
    #[must_use]
    pub fn new(clock_rate: u32) -> Self {
        Self { clock_rate: clock_rate.max(1), latest: None, down: None }
    }

    /// Events count that many timestamp units per second from now on.
    pub fn set_clock_rate(&mut self, clock_rate: u32) {
        self.clock_rate = clock_rate.max(1);
    }

    /// Takes in a packet whose payload type is a telephone event.
    pub fn handle(&mut self, now: Instant, header: &Header, payload: &[u8]) -> Edges {
        let mut edges = Edges::default();
        let Some(event) = EventPayload::parse(payload) else { return edges };
        // A flash and other signals are no digits; a duration of zero says nothing yet.
        if event.code > 15 || event.duration == 0 {
            return edges;
        }
        match self.latest {
            Some(latest) if latest.ssrc == header.ssrc && latest.timestamp == header.timestamp => {
                if latest.code == event.code {
                    self.refresh(now, header, event, &mut edges);
                    return edges;
                }
                // The same moment cannot be two keys, unless the older packet is the wrong one.
                if distance(latest.sequence, header.sequence) < 0 {
                    return edges;
                }
            }
            Some(latest) if latest.ssrc == header.ssrc => {
                let behind = distance(latest.sequence, header.sequence) < 0;
                let older = (header.timestamp.wrapping_sub(latest.timestamp) as i32) < 0;
                // Older by timestamp alone is a source that set its clock back.
                if behind && older {
                    return edges;
                }
                if self.continues(&latest, header, event) {
                    self.refresh(now, header, event, &mut edges);
                    return edges;
                }
            }
            _ => {}
        }
        if let Some(edge) = self.release() {
            edges.push(edge);
        }
        self.latest = Some(Key {
            ssrc: header.ssrc,
            timestamp: header.timestamp,
            code: event.code,
            sequence: header.sequence,
        });
        self.down = Some(Pressed { code: event.code, before: 0, duration: event.duration, heard: now });
        edges.push(Edge::Down(event.code));
        if event.end
            && let Some(edge) = self.release()
        {
            edges.push(edge);
        }
        edges
    }

    /// Ends a key whose packets stopped coming.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Edge> {
        if self.poll_timeout().is_some_and(|deadline| deadline <= now) { self.release() } else { None }
    }

    /// Whether a key is down.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.down.is_some()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.down.map(|pressed| pressed.heard + EVENT_TIMEOUT)
    }

    /// Ends a key that is down: its source is gone.
    pub fn release(&mut self) -> Option<Edge> {
        let pressed = self.down.take()?;
        let units = u64::from(pressed.before) + u64::from(pressed.duration);
        Some(Edge::Up(pressed.code, (units * 1000 / u64::from(self.clock_rate)) as u32))
    }

    /// Another packet of the newest event. It is ignored when the event is over.
    fn refresh(&mut self, now: Instant, header: &Header, event: EventPayload, edges: &mut Edges) {
        let (Some(latest), Some(pressed)) = (&mut self.latest, &mut self.down) else { return };
        if latest.timestamp != header.timestamp {
            // RFC 4733 §2.5.1.3: the next segment of a long event.
            pressed.before = pressed.before.saturating_add(header.timestamp.wrapping_sub(latest.timestamp));
            pressed.duration = event.duration;
            latest.timestamp = header.timestamp;
        } else if pressed.duration > NEAR_WRAP && event.duration < 0x8000 {
            pressed.before = pressed.before.saturating_add(0x1_0000);
            pressed.duration = event.duration;
        } else {
            pressed.duration = pressed.duration.max(event.duration);
        }
        if distance(latest.sequence, header.sequence) > 0 {
            latest.sequence = header.sequence;
        }
        pressed.heard = now;
        if event.end
            && let Some(edge) = self.release()
        {
            edges.push(edge);
        }
    }

    fn continues(&self, latest: &Key, header: &Header, event: EventPayload) -> bool {
        let step = header.timestamp.wrapping_sub(latest.timestamp);
        !header.marker
            && latest.code == event.code
            && self.down.is_some_and(|pressed| pressed.duration > LONG_SEGMENT && step <= 0x1_1000)
    }
}

/// Without a packet for so long the key is up.
pub const EVENT_TIMEOUT: Duration = Duration::from_millis(150);

/// A duration this close to 65,535 may wrap instead of starting a segment.
const NEAR_WRAP: u16 = 64_000;
/// A segment at least this long may be followed by another.
const LONG_SEGMENT: u16 = 0xE000;

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a base for virtual time")]
    fn base() -> Instant {
        Instant::now()
    }

    struct Line {
        receiver: EventReceiver,
        now: Instant,
        sequence: u16,
    }

    impl Line {
        fn new() -> Self {
            Self { receiver: EventReceiver::default(), now: base(), sequence: 65_530 }
        }

        fn packet(&mut self, timestamp: u32, code: u8, end: bool, duration: u16) -> Vec<Edge> {
            self.sequence = self.sequence.wrapping_add(1);
            self.now += Duration::from_millis(20);
            let header = Header { timestamp, ssrc: 7, sequence: self.sequence, ..Header::default() };
            let payload = EventPayload { code, end, volume: 10, duration }.to_bytes();
            self.receiver.handle(self.now, &header, &payload).collect()
        }

        fn later(&mut self, ms: u64) -> Option<Edge> {
            self.now += Duration::from_millis(ms);
            self.receiver.handle_timeout(self.now)
        }
    }

    #[test]
    fn a_key_goes_down_at_the_first_packet_and_up_at_the_first_end() {
        let mut line = Line::new();
        assert_eq!(line.packet(1000, 5, false, 160), [Edge::Down(5)]);
        assert_eq!(line.packet(1000, 5, false, 320), []);
        assert_eq!(line.packet(1000, 5, true, 800), [Edge::Up(5, 100)]);
        assert_eq!(line.packet(1000, 5, true, 800), []);
        assert_eq!(line.packet(1000, 5, true, 800), []);
        assert_eq!(line.later(1000), None);
    }

    #[test]
    fn an_end_alone_is_a_whole_key() {
        let mut line = Line::new();
        assert_eq!(line.packet(1000, 11, true, 640), [Edge::Down(11), Edge::Up(11, 80)]);
        assert_eq!(line.packet(1000, 11, true, 640), []);
    }

    #[test]
    fn when_all_ends_are_lost_silence_releases_the_key() {
        let mut line = Line::new();
        line.packet(1000, 5, false, 160);
        line.packet(1000, 5, false, 320);
        assert_eq!(line.later(149), None);
        assert_eq!(line.later(1), Some(Edge::Up(5, 40)));
        assert_eq!(line.packet(1000, 5, true, 800), [], "the same event again is no second digit");
    }

    #[test]
    fn the_same_key_twice_is_two_keys() {
        let mut line = Line::new();
        line.packet(1000, 5, false, 160);
        line.packet(1000, 5, true, 800);
        assert_eq!(line.packet(2600, 5, false, 160), [Edge::Down(5)]);
        assert_eq!(line.packet(2600, 5, true, 800), [Edge::Up(5, 100)]);
    }

    #[test]
    fn another_key_releases_the_one_before() {
        let mut line = Line::new();
        line.packet(1000, 5, false, 160);
        assert_eq!(line.packet(2600, 6, false, 160), [Edge::Up(5, 20), Edge::Down(6)]);
        assert_eq!(
            line.packet(4000, 7, true, 320),
            [Edge::Up(6, 20), Edge::Down(7), Edge::Up(7, 40)],
            "three edges in one packet"
        );
    }

    #[test]
    fn packets_of_the_event_before_are_ignored() {
        let mut line = Line::new();
        line.packet(1000, 5, false, 160);
        line.packet(2600, 6, false, 160);
        line.sequence = line.sequence.wrapping_sub(5);
        assert_eq!(line.packet(1000, 5, true, 800), []);
        line.sequence = line.sequence.wrapping_add(4);
        assert_eq!(line.packet(2600, 6, true, 800), [Edge::Up(6, 100)]);
    }

    #[test]
    fn a_clock_set_back_does_not_make_the_receiver_deaf() {
        let mut line = Line::new();
        line.packet(3_000_000, 5, true, 160);
        assert_eq!(line.packet(1000, 5, false, 160), [Edge::Down(5)]);
    }

    #[test]
    fn signals_that_are_no_digits_and_garbage_are_ignored() {
        let mut line = Line::new();
        assert_eq!(line.packet(1000, 16, false, 160), []);
        assert_eq!(line.packet(1000, 255, true, 160), []);
        assert_eq!(line.packet(1000, 5, false, 0), []);
        let header = Header::default();
        assert!(line.receiver.handle(line.now, &header, &[]).is_empty());
        assert!(line.receiver.handle(line.now, &header, &[1, 2, 3]).is_empty());
    }

    #[test]
    fn a_long_key_in_segments_or_with_a_wrapped_duration_is_one_key() {
        let mut line = Line::new();
        assert_eq!(line.packet(1000, 5, false, 160), [Edge::Down(5)]);
        assert_eq!(line.packet(1000, 5, false, 65_440), []);
        assert_eq!(line.packet(66_440, 5, false, 160), []);
        assert_eq!(line.packet(66_440, 5, true, 800), [Edge::Up(5, (65_440 + 800) / 8)]);

        assert_eq!(line.packet(200_000, 6, false, 65_500), [Edge::Down(6)]);
        assert_eq!(line.packet(200_000, 6, false, 124), []);
        assert_eq!(line.packet(200_000, 6, true, 264), [Edge::Up(6, (0x1_0000 + 264) / 8)]);
    }

    #[test]
    fn another_source_releases_the_key_of_the_one_before() {
        let mut line = Line::new();
        line.packet(1000, 5, false, 160);
        let header = Header { timestamp: 1000, ssrc: 8, ..Header::default() };
        let payload = EventPayload { code: 5, end: false, volume: 10, duration: 160 }.to_bytes();
        let edges: Vec<_> = line.receiver.handle(line.now, &header, &payload).collect();
        assert_eq!(edges, [Edge::Up(5, 20), Edge::Down(5)]);
        assert_eq!(line.receiver.release(), Some(Edge::Up(5, 20)));
        assert_eq!(line.receiver.release(), None);
    }
}
