//! From packets to one frame per tick: waits as long as the network asks for, puts in order, conceals what is missing,
//! and follows the peer's clock.
//!
//! Audio that waits to be heard lies behind audio that was heard, in one piece of memory, so that a pitch period can
//! be inserted or left out anywhere between. Three numbers tell everything about time: the timestamp of the next
//! sample to be heard, the worker's clock when it will be, and their difference, which less the transit of the
//! quickest packet is the playout delay.
//!
//! Clocks and delays are in units of 1/8000 s, whatever the rate of the audio; its density is the samples of one unit.

mod adapt;
mod source;

use std::time::Instant;

use source::Sources;

use super::{
    jitter_buffer::{JitterBuffer, PIECE},
    lateness::{self, Lateness},
};
use crate::{
    codec::Codec,
    dsp::{conceal::Concealer, stretch},
    time::UNIT_RATE,
};

/// The peer's audio as a continuous signal.
#[derive(Debug)]
pub(crate) struct Playout {
    /// Samples of 1/8000 s.
    density: usize,
    sources: Sources,
    buffer: JitterBuffer,
    lateness: Lateness,
    concealer: Concealer,
    clock: Clock,
    /// Extended timestamp of the sample after those in `line`, counted in samples; `None` before the first packet.
    position: Option<i64>,
    /// What was heard last, and after that what is about to be.
    line: Box<[i16]>,
    /// Samples about to be heard.
    ahead: usize,
    /// Frames since audio was made up.
    whole: u32,
    /// Frames since the delay became longer than it should be.
    too_long: u32,
    /// Frames since a period was inserted or left out.
    since_stretch: u32,
    /// Units by which the peer's clock has moved against ours, millionths.
    drift: i64,
    /// Transit of a packet far off the stream.
    suspect: Option<i64>,
    /// Packets in a row that came too late, and when the first did.
    late_in_row: u8,
    late_since: i64,
    /// What was decoded, by position on the worker's clock.
    said: Box<[i16]>,
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
    /// Packets that were lost, and read from what the next one told about them.
    pub(crate) recovered: u64,
    /// Pitch periods inserted or left out.
    pub(crate) stretched: u64,
    /// Times the stream started over: another source, or a jump.
    pub(crate) realigned: u64,
}

impl std::ops::AddAssign for PlayoutCounters {
    fn add_assign(&mut self, other: Self) {
        self.late += other.late;
        self.concealed += other.concealed;
        self.recovered += other.recovered;
        self.stretched += other.stretched;
        self.realigned += other.realigned;
    }
}

impl Playout {
    /// Begins at that time on the worker's clock, with audio of `rate` samples per second: 8,000, 16,000 or 48,000.
    pub(crate) fn new(clock: u64, rate: u32) -> Self {
        let density = density(rate);
        Self {
            density,
            sources: Sources::new(rate),
            buffer: JitterBuffer::new(),
            lateness: Lateness::new(),
            concealer: Concealer::new(density),
            clock: Clock::default(),
            position: None,
            line: vec![0; (PAST + AHEAD) * density].into_boxed_slice(),
            ahead: 0,
            whole: 0,
            too_long: 0,
            since_stretch: 0,
            drift: 0,
            suspect: None,
            late_in_row: 0,
            late_since: 0,
            said: vec![0; SAID * density].into_boxed_slice(),
            produced: clock,
            counters: PlayoutCounters::default(),
        }
    }

    /// Samples per second of what it produces.
    pub(crate) fn rate(&self) -> u32 {
        self.density as u32 * UNIT_RATE
    }

    /// Goes on with audio of another rate. What was produced and what waits is kept.
    pub(crate) fn set_rate(&mut self, rate: u32) {
        let (old, new) = (self.density, density(rate));
        if old == new {
            return;
        }
        let scale = |samples: i64| (samples * new as i64).div_euclid(old as i64);
        self.sources = Sources::new(rate);
        self.buffer.rescale(scale);
        self.position = self.position.map(scale);
        self.concealer.set_density(new);
        let filled = PAST * old + self.ahead;
        self.ahead = self.ahead * new / old;
        let mut line = vec![0; (PAST + AHEAD) * new].into_boxed_slice();
        rescale(&self.line[..filled], &mut line[..PAST * new + self.ahead]);
        let mut said = vec![0; SAID * new].into_boxed_slice();
        rescale(&self.said, &mut said);
        (self.line, self.said, self.density) = (line, said, new);
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
        let ticks = codec.ticks(payload);
        if ticks == 0 {
            return;
        }
        let arrival = self.clock.at(now, self.produced as i64);
        let (clock, rate) = (i64::from(codec.clock_rate()), i64::from(self.rate()));
        let samples = |ticks: i64| if clock == rate { ticks } else { (ticks * rate).div_euclid(clock) };
        let length = samples(i64::from(ticks)) as usize;
        let piece = codec.piece(PIECE, self.rate());
        let Some(position) = self.position else {
            let at = samples(i64::from(timestamp));
            self.lateness.record(arrival, self.units(at), self.units(length as i64) as usize);
            self.align(at);
            self.buffer.insert(at, codec, payload, piece);
            return;
        };
        let known = if clock == rate { position } else { (position * clock).div_euclid(rate) };
        let at = samples(known + i64::from(timestamp.wrapping_sub(known as u32) as i32));
        if self.judge(arrival, at, talk_begins, length) {
            self.late_in_row = 0;
            self.suspect = None;
            self.buffer.insert(at, codec, payload, piece);
        }
    }

    /// Appends one frame to what was said, up to `clock`, and writes it to `frame`, which is as long. Time that passed
    /// without a call is skipped.
    pub(crate) fn produce(&mut self, now: Instant, clock: u64, frame: &mut [i16]) {
        let start = clock.saturating_sub(FRAME as u64);
        self.clock.tick(now, start as i64);
        self.skip(start.saturating_sub(self.produced));
        self.produced = start;
        let (past, length) = (PAST * self.density, FRAME * self.density);
        self.pull(length);
        let taken = self.adapt();
        if taken == length {
            frame.copy_from_slice(&self.line[past..past + length]);
        } else {
            stretch::glide(&self.line, past, taken, frame);
        }
        self.drop_front(taken);
        self.keep(start, frame);
        self.produced = clock;
    }

    fn keep(&mut self, start: u64, frame: &[i16]) {
        let place = start as usize * self.density % self.said.len();
        let (end, rest) = frame.split_at(frame.len().min(self.said.len() - place));
        self.said[place..place + end.len()].copy_from_slice(end);
        self.said[..rest.len()].copy_from_slice(rest);
    }

    /// Puts other audio in the place of the frame that was produced last.
    pub(crate) fn replace(&mut self, frame: &[i16]) {
        self.keep(self.produced - (frame.len() / self.density) as u64, frame);
    }

    /// Copies what was said from `from` on. `None`: not there yet, or no longer.
    pub(crate) fn read(&self, from: u64, out: &mut [i16]) -> Option<()> {
        let end = from + (out.len() / self.density) as u64;
        if end > self.produced || from + (SAID as u64) < self.produced {
            return None;
        }
        let place = from as usize * self.density % self.said.len();
        let (end, rest) = out.split_at_mut(out.len().min(self.said.len() - place));
        end.copy_from_slice(&self.said[place..place + end.len()]);
        rest.copy_from_slice(&self.said[..rest.len()]);
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
        let units = self.units(length as i64) as usize;
        let transit = arrival - self.units(at);
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
                self.lateness.record(arrival, self.units(at), units);
                self.align(at);
            }
            return true;
        }
        if self.lateness.fits(transit) {
            self.lateness.record(arrival, self.units(at), units);
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
        let delay = self.produced as i64 - self.units(at - self.ahead as i64) - self.lateness.quickest();
        let most =
            if self.concealer.run() > STALL * self.density { lateness::MAX } else { self.lateness.target() };
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
        self.lateness.record(arrival, self.units(at), self.units(length as i64) as usize);
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
        let heard_next = self.produced as i64 - self.lateness.quickest() - self.lateness.target();
        heard_next * self.density as i64 + self.ahead as i64
    }

    /// How long the quickest packet waits.
    fn delay(&self) -> Option<i64> {
        let heard_next = self.position? - self.ahead as i64;
        Some(self.produced as i64 - self.units(heard_next) - self.lateness.quickest())
    }

    /// Whole units of so many samples.
    fn units(&self, samples: i64) -> i64 {
        if self.density == 1 { samples } else { samples.div_euclid(self.density as i64) }
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
            let count = match self.recover(wait) {
                Some(count) => count,
                None => {
                    made_up |= !self.concealer.is_faded();
                    self.make_up(wait, wanted - self.ahead)
                }
            };
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
            let end = PAST * self.density + self.ahead;
            let length = self.sources.decode(slot.codec(), slot.payload(), &mut self.line[end..]);
            let over = over as usize;
            if over >= length {
                continue;
            }
            if over > 0 {
                self.line.copy_within(end + over..end + length, end);
            }
            let audio = &mut self.line[end..end + length - over];
            self.concealer.merge(audio);
            self.concealer.listen(audio);
            self.ahead += audio.len();
            self.position = Some(position + audio.len() as i64);
            return true;
        }
        false
    }

    /// Reads the lost packet before the next one from that one, if it tells about it. Returns its samples.
    fn recover(&mut self, wait: usize) -> Option<usize> {
        if wait > LONGEST_PACKET * self.density || !self.concealer.is_left_to_codec() {
            return None;
        }
        let next = self.buffer.peek()?;
        let end = PAST * self.density + self.ahead;
        let lost = &mut self.line[end..end + wait];
        if !self.sources.recover(next.codec(), next.payload(), lost) {
            return None;
        }
        self.concealer.merge(lost);
        self.counters.recovered += 1;
        Some(wait)
    }

    /// Makes up some of what is missing before the next packet, which begins after `wait` samples. The codec does it
    /// if it can. Returns how many samples.
    fn make_up(&mut self, wait: usize, missing: usize) -> usize {
        let end = PAST * self.density + self.ahead;
        if self.concealer.is_left_to_codec() {
            let step = CODEC_STEP * self.density;
            let count = missing.min(wait).next_multiple_of(step);
            let audio = &mut self.line[end..end + count];
            if self.sources.conceal(audio) {
                self.concealer.made_by_codec(audio);
                return count.min(wait);
            }
        }
        if !self.concealer.is_open() {
            self.begin_gap();
        }
        let count = missing.min(wait);
        self.concealer.fill(&mut self.line[end..end + count]);
        count
    }

    fn begin_gap(&mut self) {
        self.concealer.begin(&self.line[..PAST * self.density + self.ahead]);
    }

    fn drop_front(&mut self, count: usize) {
        self.line.copy_within(count..PAST * self.density + self.ahead, 0);
        self.ahead -= count;
    }

    /// Time passed without a frame.
    fn skip(&mut self, skipped: u64) {
        if skipped == 0 {
            return;
        }
        let past = PAST * self.density;
        if !self.concealer.is_open() {
            self.concealer.begin(&self.line[..past]);
        }
        let skipped = skipped.saturating_mul(self.density as u64);
        let dropped = self.ahead.min(skipped as usize);
        self.line.copy_within(past + dropped..past + self.ahead, past);
        self.ahead -= dropped;
        if self.ahead > 0 {
            self.concealer.merge(&mut self.line[past..past + self.ahead]);
        }
        let rest = skipped as i64 - dropped as i64;
        self.position = self.position.map(|position| position + rest);
    }
}

/// Samples of 1/8000 s.
fn density(rate: u32) -> usize {
    (rate / UNIT_RATE).clamp(1, 6) as usize
}

/// A short stretch of audio at another rate. Straight lines between samples will do for what is about to be over.
fn rescale(from: &[i16], to: &mut [i16]) {
    let (from_length, to_length) = (from.len(), to.len());
    for (index, sample) in to.iter_mut().enumerate() {
        let place = index * from_length;
        let (whole, part) = (place / to_length, place % to_length);
        let (a, b) = (i64::from(from[whole]), i64::from(from[(whole + 1).min(from_length - 1)]));
        *sample = (a + (b - a) * part as i64 / to_length as i64) as i16;
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

/// Units of a frame: 20 ms.
pub(crate) const FRAME: usize = 160;

/// Units of the longest packet decoded at once: 120 ms of Opus.
const LONGEST_PACKET: usize = 960;

/// Codecs make audio up in steps of so many units: 2.5 ms.
const CODEC_STEP: usize = 20;

/// Units of what was heard that are kept to conceal gaps and to find pitch periods.
const PAST: usize = Concealer::PAST;

/// Units of a frame, of what it takes to leave a period out of it, and of the packet that brought the last of that.
const AHEAD: usize = FRAME + stretch::NEEDED + LONGEST_PACKET;

/// Units of the past that can be read: 256 ms.
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
        let mut playout = Playout::new(1_000 * FRAME as u64, 8_000);
        let mut frames = Vec::new();
        for (number, packets) in arrives.iter().enumerate() {
            let now = tick(base, number);
            for &index in *packets {
                let mut payload = [0; FRAME];
                Codec::Pcmu.encode(&[(index as i16 + 1) * 1_000; FRAME], &mut payload);
                playout.insert(now, index.wrapping_mul(160).wrapping_sub(500), false, Codec::Pcmu, &payload);
            }
            let mut frame = [0; FRAME];
            playout.produce(now, (1_001 + number as u64) * FRAME as u64, &mut frame);
            frames.push(frame);
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
        let mut playout = Playout::new(0, 8_000);
        for (number, timestamp) in
            [0, 160, 320, 9_000_000, 9_000_160, 9_000_320, 9_000_480].into_iter().enumerate()
        {
            playout.insert(tick(base, number), timestamp, false, Codec::Pcmu, &[0x80; FRAME]);
            playout.produce(tick(base, number), (number as u64 + 1) * 160, &mut [0; FRAME]);
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
        let mut playout = Playout::new(0, 8_000);
        for number in 0..12 {
            let now = tick(base, number);
            if number % 3 == 0 {
                playout.insert(now, number as u32 * 160, false, Codec::Pcma, &[0x55; 480]);
            }
            playout.produce(now, (number as u64 + 1) * 160, &mut [0; FRAME]);
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
        let mut playout = Playout::new(clock, 8_000);
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
                playout.produce(now, clock, &mut [0; FRAME]);
            }
            assert!(playout.ahead <= AHEAD && playout.target_ms() <= 200);
        }
    }
}
