//! From packets to one frame per tick: waits as long as the network asks for, puts in order, conceals what is missing,
//! and follows the peer's clock.
//!
//! Audio that waits to be heard lies behind audio that was heard, in one piece of memory, so that a pitch period can
//! be inserted or left out anywhere between. Three numbers tell everything about time: the timestamp of the next
//! sample to be heard, the worker's clock when it will be, and their difference, which less the transit of the
//! quickest packet is the playout delay.

mod adapt;

use std::time::Instant;

use super::{
    jitter_buffer::JitterBuffer,
    lateness::{self, Lateness},
};
use crate::{
    codec::Codec,
    dsp::{conceal::Concealer, stretch},
};

/// The peer's audio as a continuous signal.
#[derive(Debug)]
pub(crate) struct Playout {
    buffer: JitterBuffer,
    lateness: Lateness,
    concealer: Concealer,
    clock: Clock,
    /// Extended timestamp of the sample after those in `line`; `None` before the first packet.
    position: Option<i64>,
    /// What was heard last, and after that what is about to be.
    line: [i16; PAST + AHEAD],
    /// Samples about to be heard.
    ahead: usize,
    /// Frames since audio was made up.
    whole: u32,
    /// Frames since the delay became longer than it should be.
    too_long: u32,
    /// Frames since a period was inserted or left out.
    since_stretch: u32,
    /// Samples by which the peer's clock has moved against ours, millionths.
    drift: i64,
    /// Transit of a packet far off the stream.
    suspect: Option<i64>,
    /// Packets in a row that came too late, and when the first did.
    late_in_row: u8,
    late_since: i64,
    /// What was decoded, by position on the worker's clock.
    said: [i16; SAID],
    produced: u64,
    counters: PlayoutCounters,
}

/// What a playout counts.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PlayoutCounters {
    /// Packets that came too late.
    pub(crate) late: u64,
    /// Frames that were made up.
    pub(crate) concealed: u64,
    /// Pitch periods inserted or left out.
    pub(crate) stretched: u64,
    /// Times the stream started over: another source, or a jump.
    pub(crate) realigned: u64,
}

impl std::ops::AddAssign for PlayoutCounters {
    fn add_assign(&mut self, other: Self) {
        self.late += other.late;
        self.concealed += other.concealed;
        self.stretched += other.stretched;
        self.realigned += other.realigned;
    }
}

impl Playout {
    /// Begins at that time on the worker's clock.
    pub(crate) fn new(clock: u64) -> Self {
        Self {
            buffer: JitterBuffer::new(),
            lateness: Lateness::new(),
            concealer: Concealer::new(),
            clock: Clock::default(),
            position: None,
            line: [0; PAST + AHEAD],
            ahead: 0,
            whole: 0,
            too_long: 0,
            since_stretch: 0,
            drift: 0,
            suspect: None,
            late_in_row: 0,
            late_since: 0,
            said: [0; SAID],
            produced: clock,
            counters: PlayoutCounters::default(),
        }
    }

    /// Another source, or the same one started over: what waits is forgotten, the delay is kept.
    pub(crate) fn restart(&mut self) {
        self.buffer.clear();
        self.lateness.restart();
        self.counters.realigned += u64::from(self.position.is_some());
        self.position = None;
        self.suspect = None;
    }

    /// Takes a packet in. `talk_begins` is the marker bit.
    pub(crate) fn insert(
        &mut self,
        now: Instant,
        timestamp: u32,
        talk_begins: bool,
        codec: Codec,
        payload: &[u8],
    ) {
        if payload.is_empty() {
            return;
        }
        let arrival = self.clock.at(now, self.produced as i64);
        let Some(position) = self.position else {
            let at = i64::from(timestamp);
            self.lateness.record(arrival, at, payload.len());
            self.align(at);
            self.buffer.insert(at, codec, payload);
            return;
        };
        let at = position + i64::from(timestamp.wrapping_sub(position as u32) as i32);
        if self.judge(arrival, at, talk_begins, payload.len()) {
            self.late_in_row = 0;
            self.suspect = None;
            self.buffer.insert(at, codec, payload);
        }
    }

    /// Appends one frame to what was said, up to `clock`. Time that passed without a call is skipped.
    pub(crate) fn produce(&mut self, now: Instant, clock: u64) -> [i16; FRAME] {
        let start = clock.saturating_sub(FRAME as u64);
        self.clock.tick(now, start as i64);
        self.skip(start.saturating_sub(self.produced));
        self.produced = start;
        self.pull(FRAME);
        let taken = self.adapt();
        let mut frame = [0; FRAME];
        if taken == FRAME {
            frame.copy_from_slice(&self.line[PAST..PAST + FRAME]);
        } else {
            stretch::glide(&self.line, PAST, taken, &mut frame);
        }
        self.drop_front(taken);
        for (index, sample) in frame.iter().enumerate() {
            self.said[(start as usize + index) % SAID] = *sample;
        }
        self.produced = clock;
        frame
    }

    /// Puts other audio in the place of the frame that was produced last.
    pub(crate) fn replace(&mut self, frame: &[i16]) {
        let start = self.produced - frame.len() as u64;
        for (index, sample) in frame.iter().enumerate() {
            self.said[(start as usize + index) % SAID] = *sample;
        }
    }

    /// Copies what was said from `from` on. `None`: not there yet, or no longer.
    pub(crate) fn read(&self, from: u64, out: &mut [i16]) -> Option<()> {
        let end = from + out.len() as u64;
        if end > self.produced || from + (SAID as u64) < self.produced {
            return None;
        }
        for (index, sample) in out.iter_mut().enumerate() {
            *sample = self.said[(from as usize + index) % SAID];
        }
        Some(())
    }

    /// Up to where audio was produced, on the worker's clock.
    pub(crate) fn produced(&self) -> u64 {
        self.produced
    }

    pub(crate) fn counters(&self) -> PlayoutCounters {
        self.counters
    }

    /// How long the quickest packet waits before it is heard, ms. The network may ask for another delay:
    /// [`target_ms`](Self::target_ms).
    pub(crate) fn delay_ms(&self) -> u32 {
        self.delay().map_or(0, |delay| delay.max(0) as u32 / 8)
    }

    /// How long it should wait, ms.
    pub(crate) fn target_ms(&self) -> u32 {
        self.lateness.target() as u32 / 8
    }

    /// How much slower than ours the peer's clock is, in millionths.
    pub(crate) fn drift_ppm(&self) -> i32 {
        self.lateness.drift_ppm()
    }

    // ---- where a packet belongs --------------------------------------------------------------------------------

    /// Whether a packet is to be kept. Moves the position where it must.
    fn judge(&mut self, arrival: i64, at: i64, talk_begins: bool, length: usize) -> bool {
        let transit = arrival - at;
        let is_silent = self.concealer.is_faded() && self.ahead == 0 && self.buffer.first().is_none();
        if !self.lateness.fits(transit) && (is_silent || !self.is_behind(at, length)) {
            // A jump of the timestamp. One packet alone may be mistaken.
            let confirmed = self.suspect.is_some_and(|suspect| (suspect - transit).abs() <= lateness::MAX);
            if !(is_silent || talk_begins || confirmed) {
                self.suspect = Some(transit);
                return false;
            }
            self.start_over(arrival, at, length);
            return true;
        }
        if is_silent {
            // Nobody hears the delay change now. A pause that the sender's clock did not count is no lateness.
            if talk_begins && self.lateness.is_late(transit) {
                self.start_over(arrival, at, length);
            } else {
                self.lateness.record(arrival, at, length);
                self.align(at);
            }
            return true;
        }
        if self.lateness.fits(transit) {
            self.lateness.record(arrival, at, length);
        }
        self.is_in_time(arrival, at, length)
    }

    /// Whether everything of a packet is over.
    fn is_behind(&self, at: i64, length: usize) -> bool {
        self.position.is_some_and(|position| at + length as i64 <= position)
    }

    fn is_in_time(&mut self, arrival: i64, at: i64, length: usize) -> bool {
        let Some(position) = self.position else { return false };
        if at < position && self.concealer.is_open() && self.waits_for(at) {
            self.position = Some(at);
            if let Some(delay) = self.delay() {
                self.lateness.raise(delay);
            }
            return true;
        }
        if !self.is_behind(at, length) {
            self.give_up_excess();
            return true;
        }
        self.counters.late += 1;
        if self.late_in_row == 0 {
            self.late_since = arrival;
        }
        self.late_in_row = self.late_in_row.saturating_add(1);
        // A burst of late packets is over at once; a longer way is not.
        if self.late_in_row < LATE_IN_ROW || arrival - self.late_since < LATE_FOR {
            return false;
        }
        self.start_over(arrival, at, length);
        true
    }

    /// Whether the gap that is being filled shall grow, so that a late packet is heard and not lost.
    fn waits_for(&self, at: i64) -> bool {
        let delay = self.produced as i64 + self.ahead as i64 - at - self.lateness.quickest();
        let most = if self.concealer.run() > STALL { lateness::MAX } else { self.lateness.target() };
        delay <= most
    }

    /// The way became much shorter: what waits too long is given up.
    fn give_up_excess(&mut self) {
        if self.delay().is_some_and(|delay| delay > EXCESS) {
            let wanted = self.wanted_position();
            self.position = Some(wanted);
            self.begin_gap();
        }
    }

    fn start_over(&mut self, arrival: i64, at: i64, length: usize) {
        self.restart();
        self.lateness.record(arrival, at, length);
        self.align(at);
    }

    /// Lets the packet that begins `at` be heard after the delay that the network asks for, and gives up what waits.
    fn align(&mut self, at: i64) {
        self.position = Some(self.wanted_position().min(at));
        self.drift = 0;
        self.late_in_row = 0;
        self.suspect = None;
    }

    fn wanted_position(&self) -> i64 {
        self.produced as i64 + self.ahead as i64 - self.lateness.quickest() - self.lateness.target()
    }

    /// How long the quickest packet waits.
    fn delay(&self) -> Option<i64> {
        let heard_next = self.position? - self.ahead as i64;
        Some(self.produced as i64 - heard_next - self.lateness.quickest())
    }

    // ---- what is about to be heard -----------------------------------------------------------------------------

    /// Sees to it that so many samples wait, made up if they must be.
    fn pull(&mut self, wanted: usize) {
        let mut made_up = false;
        while self.ahead < wanted {
            if self.decode_next() {
                continue;
            }
            let wait = match (self.position, self.buffer.first()) {
                (Some(position), Some(first)) => (first - position).unsigned_abs() as usize,
                _ => usize::MAX,
            };
            let count = wait.min(wanted - self.ahead);
            if !self.concealer.is_open() {
                self.begin_gap();
            }
            made_up |= !self.concealer.is_faded();
            let end = PAST + self.ahead;
            self.concealer.fill(&mut self.line[end..end + count]);
            self.ahead += count;
            self.position = self.position.map(|position| position + count as i64);
            self.whole = 0;
        }
        self.counters.concealed += u64::from(made_up);
    }

    /// Adds the next packet if it follows on. Returns whether it did.
    fn decode_next(&mut self) -> bool {
        let Some(position) = self.position else { return false };
        while let Some(over) = self.buffer.first().map(|first| position - first).filter(|over| *over >= 0) {
            let Some(slot) = self.buffer.pop() else { return false };
            let mut audio = [0; PIECE];
            let length = slot.codec().decode(slot.payload(), &mut audio);
            let Some(audio) = audio[..length].get_mut(over as usize..).filter(|audio| !audio.is_empty())
            else {
                continue;
            };
            self.concealer.merge(audio);
            self.concealer.listen(audio);
            let end = PAST + self.ahead;
            self.line[end..end + audio.len()].copy_from_slice(audio);
            self.ahead += audio.len();
            self.position = Some(position + audio.len() as i64);
            return true;
        }
        false
    }

    fn begin_gap(&mut self) {
        self.concealer.begin(&self.line[..PAST + self.ahead]);
    }

    fn drop_front(&mut self, count: usize) {
        self.line.copy_within(count..PAST + self.ahead, 0);
        self.ahead -= count;
    }

    /// Time passed without a frame.
    fn skip(&mut self, skipped: u64) {
        if skipped == 0 {
            return;
        }
        if !self.concealer.is_open() {
            self.concealer.begin(&self.line[..PAST]);
        }
        let dropped = self.ahead.min(skipped as usize);
        self.line.copy_within(PAST + dropped..PAST + self.ahead, PAST);
        self.ahead -= dropped;
        if self.ahead > 0 {
            self.concealer.merge(&mut self.line[PAST..PAST + self.ahead]);
        }
        let rest = skipped as i64 - dropped as i64;
        self.position = self.position.map(|position| position + rest);
    }
}

/// Leads from the time of arrival to the worker's clock.
#[derive(Debug, Default)]
struct Clock {
    /// When the first call came, and how many samples the worker's clock shows less than have passed since.
    began: Option<Instant>,
    behind: Option<i64>,
    guess: i64,
}

impl Clock {
    fn since(&mut self, now: Instant) -> i64 {
        let began = *self.began.get_or_insert(now);
        (now.saturating_duration_since(began).as_micros() * SAMPLES_PER_SECOND / 1_000_000) as i64
    }

    /// A tick happens. Ticks are late at times, but never early.
    fn tick(&mut self, now: Instant, clock: i64) {
        let behind = self.since(now) - clock;
        self.behind = Some(self.behind.map_or(behind, |known| known.min(behind)));
    }

    /// The worker's clock `now`. Before the first tick it is not known well.
    fn at(&mut self, now: Instant, produced: i64) -> i64 {
        let since = self.since(now);
        if self.behind.is_none() && since == 0 {
            self.guess = produced;
        }
        self.behind.map_or(self.guess + since, |behind| since - behind)
    }
}

/// 20 ms at 8 kHz.
pub(crate) const FRAME: usize = 160;

/// Longest packet decoded at once: a piece of the jitter buffer.
const PIECE: usize = 160;

/// What was heard, kept to conceal gaps and to find pitch periods.
const PAST: usize = Concealer::PAST;

/// A frame, what it takes to leave a period out of it, and the packet that brought the last of that.
const AHEAD: usize = FRAME + stretch::NEEDED + PIECE;

/// How much of the past can be read: 256 ms.
const SAID: usize = 2_048;

/// A way that is so much too long is given up: 300 ms.
const EXCESS: i64 = 2_400;

/// After so many late packets in a row, and so long (60 ms), the way is a longer one.
const LATE_IN_ROW: u8 = 3;
const LATE_FOR: i64 = 480;

/// When no packet came for so long (40 ms), they were all held up and none was lost.
const STALL: usize = 320;

const SAMPLES_PER_SECOND: u128 = 8_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a base for virtual time")]
    fn base() -> Instant {
        Instant::now()
    }

    fn tick(base: Instant, tick: usize) -> Instant {
        base + Duration::from_millis(20 * tick as u64)
    }

    /// Feeds packets of constant level 1 frame apart; `arrives` names the packets that come before each tick.
    fn play(arrives: &[&[u32]]) -> (Playout, Vec<[i16; FRAME]>) {
        let base = base();
        let mut playout = Playout::new(1_000 * FRAME as u64);
        let mut frames = Vec::new();
        for (number, packets) in arrives.iter().enumerate() {
            let now = tick(base, number);
            for &index in *packets {
                let mut payload = [0; FRAME];
                Codec::Pcmu.encode(&[(index as i16 + 1) * 1_000; FRAME], &mut payload);
                playout.insert(now, index.wrapping_mul(160).wrapping_sub(500), false, Codec::Pcmu, &payload);
            }
            frames.push(playout.produce(now, (1_001 + number as u64) * FRAME as u64));
        }
        (playout, frames)
    }

    fn is_near(sample: i16, index: i16) -> bool {
        (i32::from(sample) - (i32::from(index) + 1) * 1_000).abs() < 200
    }

    #[test]
    fn the_first_packet_is_heard_after_40_ms_and_the_rest_without_a_gap() {
        let (playout, frames) = play(&[&[0], &[1], &[2], &[3], &[4]]);
        assert!(frames[..2].iter().all(|frame| frame.iter().all(|&sample| sample == 0)));
        for index in 0..3 {
            assert!(frames[2 + index].iter().all(|&sample| is_near(sample, index as i16)), "frame {index}");
        }
        assert_eq!((playout.counters.late, playout.counters.concealed), (0, 0));
    }

    #[test]
    fn reordered_packets_are_heard_in_order() {
        let (playout, frames) = play(&[&[0], &[2], &[1], &[3], &[4]]);
        for index in 0..3 {
            assert!(frames[2 + index].iter().all(|&sample| is_near(sample, index as i16)), "frame {index}");
        }
        assert_eq!(playout.counters.concealed, 0);
    }

    #[test]
    fn a_lost_packet_is_concealed_and_a_silent_source_fades() {
        let (playout, frames) = play(&[&[0], &[], &[2], &[], &[], &[], &[], &[], &[]]);
        assert!(frames[3][0] > 900, "repeats what was heard");
        assert!(is_near(frames[4][80], 2));
        assert!(frames[8].iter().all(|&sample| sample == 0));
        assert_eq!(playout.counters.concealed, 1 + 3);
    }

    #[test]
    fn late_packets_are_counted_and_a_longer_way_is_learned() {
        let (playout, frames) =
            play(&[&[0], &[1], &[2], &[], &[], &[], &[3], &[4], &[5], &[6], &[7], &[8], &[9]]);
        assert!(frames[8..].iter().any(|frame| frame[80] > 3_000));
        assert!(playout.counters.late <= 3, "{}", playout.counters.late);
    }

    #[test]
    fn a_jump_of_timestamps_does_not_stop_the_audio() {
        let base = base();
        let mut playout = Playout::new(0);
        for (number, timestamp) in
            [0, 160, 320, 9_000_000, 9_000_160, 9_000_320, 9_000_480].into_iter().enumerate()
        {
            playout.insert(tick(base, number), timestamp, false, Codec::Pcmu, &[0x80; FRAME]);
            playout.produce(tick(base, number), (number as u64 + 1) * 160);
        }
        let mut frame = [0; FRAME];
        playout.read(6 * 160, &mut frame).unwrap();
        assert!(frame[80].unsigned_abs() > 20_000);
    }

    #[test]
    fn what_was_said_can_be_read_for_a_while() {
        let (playout, frames) = play(&[&[0], &[1], &[2], &[3]]);
        let mut out = [0; 240];
        let start = 1_002 * FRAME as u64;
        playout.read(start, &mut out).unwrap();
        assert_eq!(out[..160], frames[2]);
        assert_eq!(out[160..], frames[3][..80]);
        assert!(playout.read(start + 160, &mut out).is_none(), "not there yet");
        assert!(playout.read(0, &mut out).is_none(), "no longer there");
    }

    #[test]
    fn packets_of_any_length_give_whole_frames() {
        let base = base();
        let mut playout = Playout::new(0);
        for number in 0..12 {
            let now = tick(base, number);
            if number % 3 == 0 {
                playout.insert(now, number as u32 * 160, false, Codec::Pcma, &[0x55; 480]);
            }
            playout.produce(now, (number as u64 + 1) * 160);
        }
        assert_eq!((playout.counters.late, playout.counters.concealed), (0, 0));
    }

    #[test]
    fn no_packet_whatever_breaks_the_playout() {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut below = |end: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % end
        };
        let mut now = base();
        let (mut clock, mut timestamp) = (0, 0_u32);
        let mut playout = Playout::new(clock);
        for _ in 0..60_000 {
            now += Duration::from_micros(below(25_000));
            timestamp = match below(40) {
                0 => below(1 << 32) as u32,
                1 => timestamp.wrapping_sub(below(20_000) as u32),
                2 => timestamp.wrapping_add(below(20_000) as u32),
                _ => timestamp.wrapping_add(160),
            };
            let payload = [below(256) as u8; 1_600];
            let length = if below(10) == 0 { below(1_601) as usize } else { 160 };
            playout.insert(now, timestamp, below(50) == 0, Codec::Pcmu, &payload[..length]);
            if below(500) == 0 {
                playout.restart();
            }
            if below(10) > 0 {
                clock += FRAME as u64 * if below(300) == 0 { 1 + below(10_000) } else { 1 };
                playout.produce(now, clock);
            }
            assert!(playout.ahead <= AHEAD && playout.target_ms() <= 200);
        }
    }
}
