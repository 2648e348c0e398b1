//! What arrived, what did not, and how evenly: reception statistics of one peer (RFC 3550 §6.4.1, §A.1, §A.3, §A.8).

use std::time::Instant;

use super::{ExtendedSequence, Header};

/// Where a packet stands in its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The first of all.
    First,
    /// The one after the highest so far.
    Next,
    /// Later than the next one; so many are missing before it.
    Ahead(u16),
    /// Earlier than the highest so far, and not seen before.
    Reordered,
    /// Seen before, or too old to tell.
    Duplicate,
    /// Far off the stream. Ignored unless the packet after it follows on.
    Stray,
    /// The stream starts over: another SSRC, or the second packet after a jump.
    Restarted,
}

/// One packet's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// The extended sequence number. Grows over the life of the session, also over restarts.
    pub sequence: u64,
    /// Where the packet stands.
    pub order: Order,
}

impl Arrival {
    /// Whether the packet brings something that was not there before.
    #[must_use]
    pub fn is_new(self) -> bool {
        match self.order {
            Order::First | Order::Next | Order::Ahead(_) | Order::Reordered | Order::Restarted => true,
            Order::Duplicate | Order::Stray => false,
        }
    }
}

/// What a report block tells about a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReceptionReport {
    /// Share lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Lost since the stream began; negative when duplicates outnumber losses. 24 bits.
    pub cumulative_lost: i32,
    /// Highest sequence number with its number of wraps.
    pub highest: u32,
    /// Interarrival jitter, RTP timestamp units.
    pub jitter: u32,
}

/// Statistics of one received stream. Allocates nothing.
#[derive(Debug, Clone)]
pub struct Reception {
    clock_rate: u32,
    stream: Option<Stream>,
    sequence: ExtendedSequence,
    lost_before: u64,
    received: u64,
    duplicates: u64,
    reordered: u64,
    strays: u64,
}

/// From one restart to the next.
#[derive(Debug, Clone, Copy)]
struct Stream {
    ssrc: u32,
    base: u64,
    /// Bit n: the packet n before the highest has arrived.
    seen: u64,
    received: u64,
    /// What would follow a stray packet.
    after_stray: Option<u16>,
    expected_prior: u64,
    received_prior: u64,
    clock: Clock,
}

#[derive(Debug, Clone, Copy)]
struct Clock {
    began: Instant,
    transit: u32,
    timestamp: u32,
    /// Sixteen times the jitter, as in RFC 3550 §A.8.
    jitter_q4: u32,
}

impl Reception {
    /// Statistics for a stream of that many timestamp units per second.
    #[must_use]
    pub fn new(clock_rate: u32) -> Self {
        Self {
            clock_rate: clock_rate.max(1),
            stream: None,
            sequence: ExtendedSequence::default(),
            lost_before: 0,
            received: 0,
            duplicates: 0,
            reordered: 0,
            strays: 0,
        }
    }

    /// The stream goes on in another codec. The jitter of before is taken along.
    pub fn set_clock_rate(&mut self, clock_rate: u32) {
        let before = std::mem::replace(&mut self.clock_rate, clock_rate.max(1));
        if let Some(stream) = &mut self.stream {
            let jitter = u64::from(stream.clock.jitter_q4) * u64::from(self.clock_rate) / u64::from(before);
            stream.clock.jitter_q4 = jitter.min(u64::from(u32::MAX)) as u32;
        }
    }

    /// Counts a packet and tells where it stands.
    pub fn record(&mut self, now: Instant, header: &Header) -> Arrival {
        let arrival = self.place(now, header);
        if arrival.is_new() {
            self.received += 1;
            if let Some(stream) = &mut self.stream {
                stream.received += 1;
                stream.clock.advance(now, header.timestamp, self.clock_rate);
            }
        }
        match arrival.order {
            Order::Reordered => self.reordered += 1,
            Order::Duplicate => self.duplicates += 1,
            Order::Stray => self.strays += 1,
            Order::First | Order::Next | Order::Ahead(_) | Order::Restarted => {}
        }
        arrival
    }

    fn place(&mut self, now: Instant, header: &Header) -> Arrival {
        let Some(stream) = &mut self.stream else {
            return self.start(now, header, Order::First);
        };
        if stream.ssrc != header.ssrc {
            return self.start(now, header, Order::Restarted);
        }
        let ahead = self.sequence.ahead(header.sequence);
        if !(-MAX_MISORDER..=MAX_DROPOUT).contains(&ahead) {
            // RFC 3550 §A.1: two packets in a row make a jump believable.
            if stream.after_stray == Some(header.sequence) {
                return self.start(now, header, Order::Restarted);
            }
            stream.after_stray = Some(header.sequence.wrapping_add(1));
            return Arrival { sequence: self.sequence.peek(header.sequence), order: Order::Stray };
        }
        stream.after_stray = None;
        let sequence = self.sequence.extend(header.sequence);
        let order = match ahead {
            1.. => {
                stream.seen = stream.seen.checked_shl(u32::from(ahead.unsigned_abs())).unwrap_or(0) | 1;
                if ahead == 1 { Order::Next } else { Order::Ahead(ahead.unsigned_abs() - 1) }
            }
            _ => {
                let bit = 1_u64 << ahead.unsigned_abs();
                let fresh = stream.seen & bit == 0 && sequence >= stream.base;
                stream.seen |= bit;
                if fresh { Order::Reordered } else { Order::Duplicate }
            }
        };
        Arrival { sequence, order }
    }

    fn start(&mut self, now: Instant, header: &Header, order: Order) -> Arrival {
        self.lost_before = self.lost();
        let sequence = self.sequence.restart(header.sequence);
        self.stream = Some(Stream {
            ssrc: header.ssrc,
            base: sequence,
            seen: 1,
            received: 0,
            after_stray: None,
            expected_prior: 0,
            received_prior: 0,
            clock: Clock { began: now, transit: 0, timestamp: header.timestamp, jitter_q4: 0 },
        });
        if let Some(stream) = &mut self.stream {
            stream.clock.anchor(now, header.timestamp, self.clock_rate);
        }
        Arrival { sequence, order }
    }

    /// Who sends, once something arrived.
    #[must_use]
    pub fn ssrc(&self) -> Option<u32> {
        self.stream.map(|stream| stream.ssrc)
    }

    /// Packets that arrived, duplicates and strays not counted.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Packets that never arrived, of all streams so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let current = self.stream.map_or(0, |stream| self.expected(&stream).saturating_sub(stream.received));
        self.lost_before + current
    }

    /// Packets that arrived more than once.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Packets that arrived after a later one.
    #[must_use]
    pub fn reordered(&self) -> u64 {
        self.reordered
    }

    /// Packets far off the stream.
    #[must_use]
    pub fn strays(&self) -> u64 {
        self.strays
    }

    /// Interarrival jitter, RTP timestamp units.
    #[must_use]
    pub fn jitter(&self) -> u32 {
        self.stream.map_or(0, |stream| stream.clock.jitter_q4 >> 4)
    }

    /// The figures of a report block; ends the interval for the fraction lost. `None` before the first packet.
    pub fn report(&mut self) -> Option<ReceptionReport> {
        let mut stream = self.stream?;
        let highest = self.sequence.highest()?;
        let expected = self.expected(&stream);
        // RFC 3550 §A.3
        let expected_interval = expected - stream.expected_prior;
        let received_interval = stream.received - stream.received_prior;
        let lost_interval = expected_interval.saturating_sub(received_interval);
        let fraction = (lost_interval << 8).checked_div(expected_interval).unwrap_or(0);
        stream.expected_prior = expected;
        stream.received_prior = stream.received;
        self.stream = Some(stream);
        let cumulative = expected as i64 - stream.received as i64;
        Some(ReceptionReport {
            fraction_lost: fraction.min(255) as u8,
            cumulative_lost: cumulative.clamp(-0x80_0000, 0x7F_FFFF) as i32,
            highest: (highest - (stream.base & !0xFFFF)) as u32,
            jitter: self.jitter(),
        })
    }

    fn expected(&self, stream: &Stream) -> u64 {
        self.sequence.highest().map_or(0, |highest| highest + 1 - stream.base)
    }
}

impl Clock {
    fn anchor(&mut self, now: Instant, timestamp: u32, rate: u32) {
        self.transit = self.arrival(now, rate).wrapping_sub(timestamp);
        self.timestamp = timestamp;
    }

    fn advance(&mut self, now: Instant, timestamp: u32, rate: u32) {
        // The packets of a telephone event share a timestamp (RFC 4733 §2.2) and say nothing about transit.
        if timestamp == self.timestamp {
            return;
        }
        let transit = self.arrival(now, rate).wrapping_sub(timestamp);
        let difference = (transit.wrapping_sub(self.transit) as i32).unsigned_abs();
        self.transit = transit;
        self.timestamp = timestamp;
        // More than a second is another clock, not jitter.
        if difference < rate {
            self.jitter_q4 = self.jitter_q4 + difference - ((self.jitter_q4 + 8) >> 4);
        }
    }

    /// Time of arrival in timestamp units since the stream began.
    fn arrival(&self, now: Instant, rate: u32) -> u32 {
        let (elapsed, rate) = (now.saturating_duration_since(self.began), u64::from(rate));
        let part = u64::from(elapsed.subsec_nanos()) * rate / 1_000_000_000;
        elapsed.as_secs().wrapping_mul(rate).wrapping_add(part) as u32
    }
}

/// A larger step forward is a jump.
const MAX_DROPOUT: i16 = 1000;
/// A larger step back is a jump; at most 63, so that duplicates are recognised.
const MAX_MISORDER: i16 = 50;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a base for virtual time")]
    fn base() -> Instant {
        Instant::now()
    }

    fn header(sequence: u16) -> Header {
        Header { sequence, timestamp: u32::from(sequence).wrapping_mul(160), ssrc: 1, ..Header::default() }
    }

    fn orders(sequences: &[u16]) -> (Vec<Order>, Reception) {
        let (mut reception, now) = (Reception::new(8000), base());
        let orders = sequences.iter().map(|&s| reception.record(now, &header(s)).order).collect();
        (orders, reception)
    }

    #[test]
    fn an_even_stream_loses_nothing_and_has_no_jitter() {
        let (mut reception, start) = (Reception::new(8000), base());
        for step in 0..1000_u32 {
            let packet = header(65_000_u16.wrapping_add(step as u16));
            let packet = Header { timestamp: step.wrapping_mul(160), ..packet };
            reception.record(start + Duration::from_millis(20) * step, &packet);
        }
        assert_eq!((reception.received(), reception.lost(), reception.jitter()), (1000, 0, 0));
        let report = reception.report().unwrap();
        assert_eq!((report.fraction_lost, report.cumulative_lost), (0, 0));
        assert_eq!(report.highest, 65_000 + 999);
    }

    #[test]
    fn loss_reordering_and_duplicates_are_told_apart() {
        let (orders, reception) = orders(&[10, 11, 14, 12, 12, 15, 13, 17]);
        assert_eq!(
            orders,
            [
                Order::First,
                Order::Next,
                Order::Ahead(2),
                Order::Reordered,
                Order::Duplicate,
                Order::Next,
                Order::Reordered,
                Order::Ahead(1)
            ]
        );
        assert_eq!((reception.lost(), reception.duplicates(), reception.reordered()), (1, 1, 2));
    }

    #[test]
    fn one_stray_packet_changes_nothing() {
        let (orders, reception) = orders(&[10, 30_000, 11, 12]);
        assert_eq!(orders, [Order::First, Order::Stray, Order::Next, Order::Next]);
        assert_eq!((reception.lost(), reception.strays()), (0, 1));
    }

    #[test]
    fn two_packets_after_a_jump_restart_the_stream() {
        let (orders, mut reception) = orders(&[10, 12, 30_000, 30_001, 30_002]);
        assert_eq!(orders[2..], [Order::Stray, Order::Restarted, Order::Next]);
        assert_eq!(reception.lost(), 1);
        assert_eq!(reception.report().unwrap().highest & 0xFFFF, 30_002);
    }

    #[test]
    fn another_ssrc_restarts_at_once_and_sequence_numbers_keep_growing() {
        let (mut reception, now) = (Reception::new(8000), base());
        let before = reception.record(now, &header(60_000));
        let after = reception.record(now, &Header { ssrc: 2, ..header(5) });
        assert_eq!(after.order, Order::Restarted);
        assert!(after.sequence > before.sequence);
        assert_eq!(reception.lost(), 0);
    }

    #[test]
    fn a_packet_from_before_the_first_is_not_counted() {
        let (orders, reception) = orders(&[10, 9]);
        assert_eq!(orders, [Order::First, Order::Duplicate]);
        assert_eq!((reception.received(), reception.lost()), (1, 0));
    }

    #[test]
    fn the_fraction_lost_covers_one_interval() {
        let (_, mut reception) = orders(&[0, 1, 2, 4]);
        assert_eq!(reception.report().unwrap().fraction_lost, 51);
        let now = base();
        for sequence in 5..10 {
            reception.record(now, &header(sequence));
        }
        let report = reception.report().unwrap();
        assert_eq!((report.fraction_lost, report.cumulative_lost), (0, 1));
    }

    #[test]
    fn jitter_follows_uneven_arrival_and_ignores_event_packets() {
        let (mut reception, start) = (Reception::new(8000), base());
        for step in 0..500_u32 {
            let late = if step % 2 == 0 { 0 } else { 10 };
            let packet = Header { timestamp: step * 160, ..header(step as u16) };
            reception.record(start + Duration::from_millis(u64::from(step * 20 + late)), &packet);
        }
        // Ten ms back and forth is 80 units.
        assert!((75..=80).contains(&reception.jitter()), "{}", reception.jitter());
        let settled = reception.jitter();
        for step in 500..600_u32 {
            let packet = Header { timestamp: 499 * 160, ..header(step as u16) };
            reception.record(start + Duration::from_millis(u64::from(step * 20)), &packet);
        }
        assert_eq!(reception.jitter(), settled);
    }
}
