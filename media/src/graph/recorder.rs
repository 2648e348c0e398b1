//! Taps: what a session says and hears, copied into a ring that a reader empties at its leisure.
//!
//! The tap's end writes samples as they are; whatever costs time, such as another sample rate, is the reader's work.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use crate::dsp::polyphase::Polyphase;

/// Which half of a session was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Track {
    /// What the peer says.
    Said,
    /// What the peer hears.
    Heard,
}

/// A moment of a recording that somebody named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// Its name, at most [`MARKER_BYTES`] of it.
    pub name: String,
    /// Where it is in the recording, ms.
    pub at_ms: u64,
}

/// A part of the call that is not in the recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// Where it would be in the recording, ms.
    pub at_ms: u64,
    /// How long it lasted, ms.
    pub length_ms: u64,
}

/// Bytes of a marker's name that are kept.
pub const MARKER_BYTES: usize = 2 * BLOCK_SAMPLES;

/// A pair of ring ends that holds `capacity_ms` of both tracks at 8 kHz, and less of higher rates. The reader gets 8 kHz
/// unless it asks for more.
#[must_use]
pub fn recorder(capacity_ms: u32) -> (Recorder, Recording) {
    let blocks = (capacity_ms as usize / 20).max(1) * 2;
    let (producer, consumer) = rtrb::RingBuffer::new(blocks);
    let shared = Arc::new(Shared { overruns: AtomicU64::new(0), rate: AtomicU32::new(0) });
    let recorder = Recorder {
        ring: producer,
        next: [0; 2],
        shared: Arc::clone(&shared),
        rate: 0,
        cut: Cut { from: 0, to: Some(0), before: 0 },
        unwritten: [Unwritten::NOTHING; 2],
    };
    let recording = Recording {
        ring: consumer,
        shared,
        rate: 8_000,
        tracks: [const { None }; 2],
        markers: Vec::new(),
        pauses: Vec::new(),
    };
    (recorder, recording)
}

/// What both ends know.
#[derive(Debug)]
struct Shared {
    overruns: AtomicU64,
    /// The highest rate that was written.
    rate: AtomicU32,
}

/// The tap's end. Never blocks, never allocates; when the ring is full audio is lost and counted.
#[derive(Debug)]
pub struct Recorder {
    ring: rtrb::Producer<Block>,
    /// Where each track goes on, in ticks.
    next: [u64; 2],
    shared: Arc<Shared>,
    rate: u32,
    cut: Cut,
    unwritten: [Unwritten; 2],
}

/// The latest pause, in ticks since the tap began.
#[derive(Debug, Clone, Copy)]
struct Cut {
    from: u64,
    /// `None`: it lasts.
    to: Option<u64>,
    /// What was left out before it.
    before: u64,
}

/// The latest frame of a track that a pause left out: a pause may end within it.
#[derive(Debug, Clone, Copy)]
struct Unwritten {
    at: u64,
    rate: u32,
    length: usize,
    samples: [i16; FRAME_SAMPLES],
}

impl Unwritten {
    const NOTHING: Self = Self { at: 0, rate: 8_000, length: 0, samples: [0; FRAME_SAMPLES] };
}

impl Recorder {
    /// Writes audio of 8 kHz that begins `at` samples after the tap began. A track never goes back: what would overlap
    /// is moved behind what is there, by at most a second.
    pub fn push(&mut self, track: Track, at: u64, samples: &[i16]) {
        self.push_at_rate(track, at, samples, 8_000);
    }

    /// As [`push`](Self::push), with samples of another rate that 48,000 is a multiple of. `at` stays in units of 8 kHz.
    pub fn push_at_rate(&mut self, track: Track, at: u64, samples: &[i16], rate: u32) {
        if rate == 0 || !TICKS.is_multiple_of(rate) {
            self.lose(samples.len());
            return;
        }
        if rate > self.rate {
            self.rate = rate;
            self.shared.rate.store(rate, Ordering::Relaxed);
        }
        let step = u64::from(TICKS / rate);
        let begin = at * TICKS_PER_UNIT;
        // What lies before and behind the latest pause.
        let samples_until =
            |tick: u64| (tick.saturating_sub(begin).div_ceil(step) as usize).min(samples.len());
        let Cut { from, to, before } = self.cut;
        let (head, tail) = (samples_until(from), to.map_or(samples.len(), samples_until));
        if head > 0 {
            self.write(track, begin.saturating_sub(before), &samples[..head], rate, step);
        }
        if to.is_none() && samples.len() <= FRAME_SAMPLES {
            let unwritten = &mut self.unwritten[track as usize];
            (unwritten.at, unwritten.rate, unwritten.length) = (at, rate, samples.len());
            unwritten.samples[..samples.len()].copy_from_slice(samples);
        }
        if let Some(to) = to
            && tail < samples.len()
        {
            let begin = begin + tail as u64 * step;
            self.write(track, begin.saturating_sub(before + to - from), &samples[tail..], rate, step);
        }
    }

    /// Leaves out what follows `at` units of 8 kHz, in both tracks, or what follows the frame that is already written.
    pub fn pause(&mut self, at: u64) {
        if let Cut { from, to: Some(to), before } = self.cut {
            let before = before + to - from;
            let written = self.next[0].max(self.next[1]) + before;
            self.cut = Cut { from: (at * TICKS_PER_UNIT).max(to).max(written), to: None, before };
            self.unwritten = [Unwritten::NOTHING; 2];
        }
    }

    /// Goes on at `at`, directly behind what was before the pause.
    pub fn resume(&mut self, at: u64) {
        let Cut { from, to: None, before } = self.cut else { return };
        let to = (at * TICKS_PER_UNIT).max(from);
        self.cut.to = Some(to);
        let mut block = Block::new(Content::Pause, from.saturating_sub(before));
        for (sample, bytes) in block.samples.iter_mut().zip((to - from).to_le_bytes().as_chunks().0) {
            *sample = i16::from_le_bytes(*bytes);
        }
        if self.ring.push(block).is_err() {
            self.lose(0);
        }
        for (track, unwritten) in [Track::Said, Track::Heard].into_iter().zip(self.unwritten) {
            let step = u64::from(TICKS / unwritten.rate);
            let begin = unwritten.at * TICKS_PER_UNIT;
            let head = (to.saturating_sub(begin).div_ceil(step) as usize).min(unwritten.length);
            if head < unwritten.length {
                let begin = (begin + head as u64 * step).saturating_sub(before + to - from);
                let rest = &unwritten.samples[head..unwritten.length];
                self.write(track, begin, rest, unwritten.rate, step);
            }
        }
    }

    /// Names the moment `at` units of 8 kHz after the tap began.
    pub fn mark(&mut self, at: u64, name: &str) {
        let tick = at * TICKS_PER_UNIT;
        let Cut { from, to, before } = self.cut;
        let left_out = if tick <= from { before } else { before + to.unwrap_or(tick).min(tick) - from };
        let mut block = Block::new(Content::Marker, tick.saturating_sub(left_out));
        let end =
            (0..=name.len().min(MARKER_BYTES)).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
        let name = &name.as_bytes()[..end];
        block.length = name.len() as u16;
        for (sample, bytes) in block.samples.iter_mut().zip(name.chunks(2)) {
            *sample = i16::from_le_bytes([bytes[0], bytes.get(1).copied().unwrap_or(0)]);
        }
        if self.ring.push(block).is_err() {
            self.lose(0);
        }
    }

    fn write(&mut self, track: Track, begin: u64, samples: &[i16], rate: u32, step: u64) {
        let next = self.next[track as usize];
        if begin + MAX_LAG < next {
            self.lose(samples.len());
            return;
        }
        let mut at = begin.max(next);
        for piece in samples.chunks(BLOCK_SAMPLES) {
            let content = match track {
                Track::Said => Content::Said,
                Track::Heard => Content::Heard,
            };
            let mut block = Block { rate, length: piece.len() as u16, ..Block::new(content, at) };
            block.samples[..piece.len()].copy_from_slice(piece);
            if self.ring.push(block).is_err() {
                self.lose(piece.len());
            }
            at += piece.len() as u64 * step;
        }
        self.next[track as usize] = at;
    }

    fn lose(&self, samples: usize) {
        self.shared.overruns.fetch_add(samples as u64, Ordering::Relaxed);
    }

    /// Samples that were lost because nobody read.
    #[must_use]
    pub fn overruns(&self) -> u64 {
        self.shared.overruns.load(Ordering::Relaxed)
    }
}

/// The reader's end.
#[derive(Debug)]
pub struct Recording {
    ring: rtrb::Consumer<Block>,
    shared: Arc<Shared>,
    rate: u32,
    tracks: [Option<Conversion>; 2],
    markers: Vec<Marker>,
    pauses: Vec<Pause>,
}

/// One track on its way to the reader's rate.
#[derive(Debug)]
struct Conversion {
    resampler: Polyphase,
    from: u32,
    /// The tick at which the next block continues this one.
    expected: u64,
    /// Where the next sample belongs.
    at: u64,
    /// Samples that the filter is late and that are not yet dropped.
    skip: usize,
}

impl Recording {
    /// The highest rate that was written so far, samples per second; `None` before the first.
    #[must_use]
    pub fn highest_rate(&self) -> Option<u32> {
        Some(self.shared.rate.load(Ordering::Relaxed)).filter(|&rate| rate > 0)
    }

    /// From now on [`read`](Self::read) gives that rate: 8,000, 16,000, 24,000 or 48,000 samples per second. Others
    /// change nothing.
    pub fn set_rate(&mut self, rate: u32) {
        if matches!(rate, 8_000 | 16_000 | 24_000 | 48_000) {
            self.rate = rate;
            self.tracks = [None, None];
        }
    }

    /// Samples per second of what [`read`](Self::read) gives.
    #[must_use]
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Hands over everything there is: track, samples since the tap began, audio. Each track comes in order.
    pub fn read(&mut self, mut take: impl FnMut(Track, u64, &[i16])) {
        while let Ok(block) = self.ring.pop() {
            let track = match block.content {
                Content::Said => Track::Said,
                Content::Heard => Track::Heard,
                Content::Marker => {
                    self.markers.push(Marker { name: block.text(), at_ms: block.at / TICKS_PER_MS });
                    continue;
                }
                Content::Pause => {
                    let length_ms = block.number() / TICKS_PER_MS;
                    self.pauses.push(Pause { at_ms: block.at / TICKS_PER_MS, length_ms });
                    continue;
                }
            };
            let samples = &block.samples[..usize::from(block.length)];
            if block.rate == self.rate {
                take(track, block.at / u64::from(TICKS / self.rate), samples);
            } else {
                let place = &mut self.tracks[track as usize];
                Conversion::convert(place, self.rate, block.rate, block.at, samples, |at, samples| {
                    take(track, at, samples);
                });
            }
        }
    }

    /// The moments named in what was read.
    #[must_use]
    pub fn markers(&self) -> &[Marker] {
        &self.markers
    }

    /// The pauses in what was read.
    #[must_use]
    pub fn pauses(&self) -> &[Pause] {
        &self.pauses
    }

    /// Whether the tap ended and everything was read.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        // In this order: what was pushed before the end is seen after it.
        self.ring.is_abandoned() && self.ring.is_empty()
    }

    /// Samples that were lost because the ring was full.
    #[must_use]
    pub fn overruns(&self) -> u64 {
        self.shared.overruns.load(Ordering::Relaxed)
    }
}

impl Conversion {
    fn convert(
        place: &mut Option<Self>,
        to: u32,
        from: u32,
        at: u64,
        samples: &[i16],
        mut take: impl FnMut(u64, &[i16]),
    ) {
        let mut out = [0; BLOCK_SAMPLES * 6];
        if place.as_ref().is_none_or(|conversion| conversion.from != from || conversion.expected != at) {
            if let Some(old) = place {
                // The filter still holds the end of what came before the gap.
                let late = old.skip_for(to) * old.from as usize / to as usize;
                let written = old.resampler.process(&[0; BLOCK_SAMPLES][..late.min(BLOCK_SAMPLES)], &mut out);
                take(old.at, &out[old.skip.min(written)..written]);
            }
            let Some(resampler) = Polyphase::new(from, to) else { return };
            let mut new = Self { resampler, from, expected: at, at: at / u64::from(TICKS / to), skip: 0 };
            new.skip = new.skip_for(to);
            *place = Some(new);
        }
        let Some(conversion) = place else { return };
        let written = conversion.resampler.process(samples, &mut out);
        let skipped = conversion.skip.min(written);
        conversion.skip -= skipped;
        take(conversion.at, &out[skipped..written]);
        conversion.at += (written - skipped) as u64;
        conversion.expected = at + samples.len() as u64 * u64::from(TICKS / from);
    }

    /// Samples that the filter is late.
    fn skip_for(&self, to: u32) -> usize {
        ((u64::from(self.resampler.delay_us(self.from)) * u64::from(to) + 500_000) / 1_000_000) as usize
    }
}

/// Puts the two tracks side by side; what neither holds is silence.
#[derive(Debug)]
pub struct TrackAssembler {
    tracks: [VecDeque<i16>; 2],
    /// How long one track waits for the other, samples.
    horizon: u64,
    /// Samples handed out.
    done: u64,
    overlapped: u64,
}

impl Default for TrackAssembler {
    fn default() -> Self {
        Self::new()
    }
}

impl TrackAssembler {
    /// An empty one for 8 kHz.
    #[must_use]
    pub fn new() -> Self {
        Self::at_rate(8_000)
    }

    /// An empty one for so many samples per second.
    #[must_use]
    pub fn at_rate(rate: u32) -> Self {
        let horizon = u64::from(rate) * HORIZON_MS / 1000;
        Self { tracks: [VecDeque::new(), VecDeque::new()], horizon, done: 0, overlapped: 0 }
    }

    /// Takes audio as [`Recording::read`] gives it, and appends what is complete to `out` as (said, heard).
    pub fn push(&mut self, track: Track, at: u64, samples: &[i16], out: &mut Vec<[i16; 2]>) {
        // A gap as long as the tap was idle must not be kept in memory: only the end of it is.
        let end = at.saturating_add(samples.len() as u64);
        self.hand_out(end.saturating_sub(self.horizon), out);
        let queue = &mut self.tracks[track as usize];
        let next = self.done + queue.len() as u64;
        let overlap = next.saturating_sub(at).min(samples.len() as u64);
        self.overlapped += overlap;
        let start = at.max(next);
        if overlap < samples.len() as u64 {
            queue.extend(std::iter::repeat_n(0, (start - next) as usize));
            queue.extend(&samples[overlap as usize..]);
        }
    }

    /// Hands out what is left; the shorter track ends in silence.
    pub fn finish(&mut self, out: &mut Vec<[i16; 2]>) {
        let longest = self.tracks.iter().map(VecDeque::len).max().unwrap_or(0);
        self.hand_out(self.done + longest as u64, out);
    }

    /// Samples that came too late for their place.
    #[must_use]
    pub fn overlapped(&self) -> u64 {
        self.overlapped
    }

    fn hand_out(&mut self, until: u64, out: &mut Vec<[i16; 2]>) {
        let count = until.saturating_sub(self.done) as usize;
        out.reserve(count);
        for _ in 0..count {
            let [said, heard] = &mut self.tracks;
            out.push([said.pop_front().unwrap_or(0), heard.pop_front().unwrap_or(0)]);
        }
        self.done += count as u64;
    }
}

/// Everything a recording holds now as (said, heard), gaps filled. Allocates.
#[must_use]
pub fn assemble(recording: &mut Recording) -> Vec<[i16; 2]> {
    let (mut assembler, mut out) = (TrackAssembler::new(), Vec::new());
    recording.read(|track, at, samples| assembler.push(track, at, samples, &mut out));
    assembler.finish(&mut out);
    out
}

#[derive(Debug, Clone, Copy)]
struct Block {
    content: Content,
    length: u16,
    rate: u32,
    /// Ticks since the recording began.
    at: u64,
    samples: [i16; BLOCK_SAMPLES],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Said,
    Heard,
    /// The samples are its name.
    Marker,
    /// The samples are its length in ticks.
    Pause,
}

impl Block {
    fn new(content: Content, at: u64) -> Self {
        Self { content, length: 0, rate: 8_000, at, samples: [0; BLOCK_SAMPLES] }
    }

    fn text(&self) -> String {
        let mut bytes: Vec<u8> = self.samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        bytes.truncate(usize::from(self.length));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn number(&self) -> u64 {
        let [a, b, c, d, ..] = self.samples.map(|sample| u64::from(sample as u16));
        a | b << 16 | c << 32 | d << 48
    }
}

/// 20 ms at 8 kHz.
const BLOCK_SAMPLES: usize = 160;

/// 20 ms at 48 kHz.
const FRAME_SAMPLES: usize = 960;

/// Positions are counted in samples of the highest rate.
const TICKS: u32 = 48_000;
const TICKS_PER_MS: u64 = 48;
/// A session counts in units of 8 kHz.
const TICKS_PER_UNIT: u64 = 6;

/// How long one track waits for the other, ms.
const HORIZON_MS: u64 = 400;

/// How far audio may be moved to avoid an overlap: a second.
const MAX_LAG: u64 = 48_000;

#[cfg(test)]
mod tests;
