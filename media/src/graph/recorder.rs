//! Taps: what a session says and hears, copied into a ring that a reader empties at its leisure.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Which half of a session was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Track {
    /// What the peer says.
    Said,
    /// What the peer hears.
    Heard,
}

/// A pair of ring ends that holds `capacity_ms` of both tracks. Samples are 8 kHz.
#[must_use]
pub fn recorder(capacity_ms: u32) -> (Recorder, Recording) {
    let blocks = (capacity_ms as usize / 20).max(1) * 2;
    let (producer, consumer) = rtrb::RingBuffer::new(blocks);
    let overruns = Arc::new(AtomicU64::new(0));
    let recorder = Recorder { ring: producer, next: [0; 2], overruns: Arc::clone(&overruns) };
    (recorder, Recording { ring: consumer, overruns })
}

/// The tap's end. Never blocks, never allocates; when the ring is full audio is lost and counted.
#[derive(Debug)]
pub struct Recorder {
    ring: rtrb::Producer<Block>,
    /// Where each track goes on.
    next: [u64; 2],
    overruns: Arc<AtomicU64>,
}

impl Recorder {
    /// Writes audio that begins `at` samples after the tap began. A track never goes back: what would overlap is
    /// moved behind what is there, by at most a second.
    pub fn push(&mut self, track: Track, at: u64, samples: &[i16]) {
        let next = &mut self.next[track as usize];
        if at + MAX_LAG < *next {
            self.overruns.fetch_add(samples.len() as u64, Ordering::Relaxed);
            return;
        }
        let mut at = at.max(*next);
        for piece in samples.chunks(BLOCK_SAMPLES) {
            let mut block = Block { track, length: piece.len() as u16, at, samples: [0; BLOCK_SAMPLES] };
            block.samples[..piece.len()].copy_from_slice(piece);
            if self.ring.push(block).is_err() {
                self.overruns.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
            at += piece.len() as u64;
        }
        *next = at;
    }

    /// Samples that were lost because nobody read.
    #[must_use]
    pub fn overruns(&self) -> u64 {
        self.overruns.load(Ordering::Relaxed)
    }
}

/// The reader's end.
#[derive(Debug)]
pub struct Recording {
    ring: rtrb::Consumer<Block>,
    overruns: Arc<AtomicU64>,
}

impl Recording {
    /// Hands over everything there is: track, samples since the tap began, audio. Each track comes in order.
    pub fn read(&mut self, mut take: impl FnMut(Track, u64, &[i16])) {
        while let Ok(block) = self.ring.pop() {
            take(block.track, block.at, &block.samples[..usize::from(block.length)]);
        }
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
        self.overruns.load(Ordering::Relaxed)
    }
}

/// Puts the two tracks side by side; what neither holds is silence.
#[derive(Debug, Default)]
pub struct TrackAssembler {
    tracks: [VecDeque<i16>; 2],
    /// Samples handed out.
    done: u64,
    overlapped: u64,
}

impl TrackAssembler {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes audio as [`Recording::read`] gives it, and appends what is complete to `out` as (said, heard).
    pub fn push(&mut self, track: Track, at: u64, samples: &[i16], out: &mut Vec<[i16; 2]>) {
        // A gap as long as the tap was idle must not be kept in memory: only the last second of it is.
        let end = at.saturating_add(samples.len() as u64);
        self.hand_out(end.saturating_sub(HORIZON), out);
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
    track: Track,
    length: u16,
    at: u64,
    samples: [i16; BLOCK_SAMPLES],
}

/// 20 ms at 8 kHz.
const BLOCK_SAMPLES: usize = 160;

/// How long one track waits for the other: a second at 8 kHz.
const HORIZON: u64 = 8_000;

/// How far audio may be moved to avoid an overlap: a second at 8 kHz.
const MAX_LAG: u64 = 8_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tracks_lie_side_by_side_and_gaps_are_silence() {
        let (mut recorder, mut recording) = recorder(1_000);
        recorder.push(Track::Said, 0, &[1; 160]);
        recorder.push(Track::Said, 480, &[2; 160]);
        recorder.push(Track::Heard, 160, &[3; 480]);
        drop(recorder);
        let stereo = assemble(&mut recording);
        assert_eq!(stereo.len(), 640);
        assert_eq!(stereo[0], [1, 0]);
        assert_eq!(stereo[160], [0, 3]);
        assert_eq!(stereo[480], [2, 3]);
        assert_eq!(stereo[639], [2, 3]);
        assert!(recording.is_finished());
    }

    #[test]
    fn a_full_ring_loses_and_counts_but_never_waits() {
        let (mut recorder, mut recording) = recorder(40);
        for frame in 0..6 {
            recorder.push(Track::Said, frame * 160, &[7; 160]);
        }
        assert_eq!(recorder.overruns(), 320);
        assert_eq!(recording.overruns(), 320);
        assert_eq!(assemble(&mut recording).len(), 640);
        assert!(!recording.is_finished());
    }

    #[test]
    fn audio_that_would_overlap_is_moved_behind() {
        let (mut recorder, mut recording) = recorder(1_000);
        recorder.push(Track::Heard, 0, &[1; 160]);
        recorder.push(Track::Heard, 80, &[2; 160]);
        recorder.push(Track::Heard, 480, &[3; 160]);
        let stereo = assemble(&mut recording);
        assert_eq!(stereo[319], [0, 2]);
        assert_eq!(stereo[320], [0, 0]);
        assert_eq!(stereo[480], [0, 3]);
    }

    #[test]
    fn an_assembler_keeps_about_a_second_whatever_the_gap() {
        let (mut assembler, mut out) = (TrackAssembler::new(), Vec::new());
        assembler.push(Track::Said, 0, &[1; 160], &mut out);
        assembler.push(Track::Heard, 80_000, &[2; 160], &mut out);
        assert_eq!(out.len(), 80_160 - 8_000);
        assert_eq!(out[0], [1, 0]);
        assembler.finish(&mut out);
        assert_eq!(out.len(), 80_160);
        assert_eq!(out[80_159], [0, 2]);
        assert_eq!(assembler.overlapped(), 0);
    }
}
