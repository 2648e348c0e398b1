//! The sum of all voices at one rate, and one voice at that rate.

use std::ops::Range;

use super::piece;
use crate::{
    codec::{Codec, Encoder, EncoderSettings},
    dsp::{
        limiter::{Limiter, Ramp},
        mix,
        polyphase::Polyphase,
    },
    graph::Frame,
    time::BEAT,
};

/// What all say, for those who hear it at one rate.
#[derive(Debug)]
pub(super) struct Band {
    rate: u32,
    /// Samples of a beat.
    piece: usize,
    /// Who hears it.
    pub(super) listeners: usize,
    /// What all say, by beat.
    sum: Box<[i32]>,
    /// Beats before this one have their place in `sum`; what stands there for later ones is old.
    cleared: u64,
    /// In this beat and later ones nobody is heard.
    silent_from: u64,
    /// How loud the sum is heard, by beat.
    ramps: [Ramp; PIECES],
    /// Beats before this one have their place in `ramps`.
    followed: u64,
    limiter: Limiter,
    shared: Vec<Shared>,
}

/// One voice at the rate of a band.
#[derive(Debug)]
pub(super) struct Line {
    piece: usize,
    /// What it says, by beat; silence where it is not worth hearing.
    voice: Box<[i16]>,
    /// What of it is in the sum.
    part: Box<[i16]>,
    /// From this beat on its part is silence.
    silent_from: u64,
    /// From the rate at which it is said, where that is another.
    resampler: Option<(u32, Box<Polyphase>)>,
    /// It is in this band for the first time.
    is_new: bool,
}

/// The whole mix in one codec, for those who add nothing to it.
#[derive(Debug)]
struct Shared {
    codec: Codec,
    settings: EncoderSettings,
    units: usize,
    /// Frames of the same length end with different beats. Each is a stream of its own for an encoder with a memory.
    phase: u64,
    beat: u64,
    encoder: Option<Box<Encoder>>,
    payload: [u8; MAX_PAYLOAD],
    bytes: usize,
}

impl Band {
    pub(super) fn new(rate: u32, beat: u64) -> Self {
        let piece = piece(rate);
        Self {
            rate,
            piece,
            listeners: 0,
            sum: vec![0; piece * PIECES].into_boxed_slice(),
            cleared: beat,
            silent_from: 0,
            ramps: [Ramp::UNITY; PIECES],
            followed: beat,
            limiter: Limiter::default(),
            shared: Vec::new(),
        }
    }

    pub(super) fn rate(&self) -> u32 {
        self.rate
    }

    pub(super) fn silent_from(&self) -> u64 {
        self.silent_from
    }

    /// Makes room for all beats before `end`.
    pub(super) fn clear_to(&mut self, end: u64) {
        let first = self.cleared.max(end.saturating_sub(PIECES as u64));
        for beat in first..end {
            self.sum[place(beat, self.piece)].fill(0);
        }
        self.cleared = self.cleared.max(end);
    }

    /// All beats before `end` are said: finds how loud they are heard.
    pub(super) fn follow_to(&mut self, end: u64) {
        self.clear_to(end);
        for beat in self.followed.max(end.saturating_sub(PIECES as u64))..end {
            self.ramps[slot(beat)] = self.limiter.follow(&self.sum[place(beat, self.piece)]);
        }
        self.followed = self.followed.max(end);
    }

    /// Brings what one hears of the sum from `first` on down to 16 bits.
    pub(super) fn limit(&self, sum: &mut [i32], first: u64, out: &mut [i16]) {
        for (now, sum) in (first..).zip(sum.chunks_exact_mut(self.piece)) {
            self.ramps[slot(now)].apply(sum);
        }
        mix::limit(sum, out);
    }

    /// Adds what somebody says from `beat` on at `rate`: as far as it is worth hearing, in the line, and as far as it is
    /// for everybody, in the sum. Both are told as before this frame and now.
    pub(super) fn add(
        &mut self,
        line: &mut Line,
        said: &[i16],
        rate: u32,
        beat: u64,
        open: [bool; 2],
        aloud: [bool; 2],
    ) {
        let is_new = std::mem::take(&mut line.is_new);
        let open = [open[0] && !is_new, open[1]];
        if rate == self.rate {
            line.resampler = None;
            self.add_pieces(line, said, beat, open, aloud);
            return;
        }
        let mut converted = [0; LONGEST_SAID];
        let length = (said.len() * self.rate as usize / rate as usize).min(LONGEST_SAID);
        if open[0] || open[1] {
            line.convert(said, [rate, self.rate], !open[0], &mut converted[..length]);
        }
        self.add_pieces(line, &converted[..length], beat, open, aloud);
    }

    fn add_pieces(&mut self, line: &mut Line, said: &[i16], beat: u64, open: [bool; 2], aloud: [bool; 2]) {
        for (now, said) in (beat..).zip(said.chunks_exact(self.piece)) {
            let (at, first) = (place(now, self.piece), now == beat);
            let (voice, part) = (&mut line.voice[at.clone()], &mut line.part[at.clone()]);
            voice.copy_from_slice(said);
            let audible = gate(voice, open, first);
            part.copy_from_slice(voice);
            if gate(part, aloud, first) && audible {
                mix::add(&mut self.sum[at], part);
                line.silent_from = now + 1;
            }
        }
        self.silent_from = self.silent_from.max(line.silent_from);
    }

    /// Takes a voice out that was there up to `end`. What it said up to `beat` stays, and fades out within the next one.
    pub(super) fn take_out(&mut self, line: &mut Line, end: u64, beat: u64) {
        let (piece, next) = (self.piece, beat + 1);
        self.clear_to(next + 1);
        for later in next..end {
            let at = place(later, piece);
            mix::subtract(&mut self.sum[at.clone()], &line.part[at]);
        }
        if line.silent_from >= next {
            let at = place(next, piece);
            if end <= next {
                // Nobody knows what it would have said next. Its last words backwards go on from where it was.
                line.part.copy_within(place(beat, piece), at.start);
                line.part[at.clone()].reverse();
            }
            mix::fade_out(&mut line.part[at.clone()]);
            mix::add(&mut self.sum[at.clone()], &line.part[at]);
            self.silent_from = self.silent_from.max(next + 1);
        }
    }

    /// The sum from `first` on without one voice.
    pub(super) fn sum_without(&self, line: &Line, first: u64, sum: &mut [i32]) {
        for (now, sum) in (first..).zip(sum.chunks_exact_mut(self.piece)) {
            let at = place(now, self.piece);
            sum.copy_from_slice(&self.sum[at.clone()]);
            mix::subtract(sum, &line.part[at]);
        }
    }

    /// The whole mix, encoded once for all whose frames end with the same beat. `own` is the encoder of who asks: where
    /// nobody used the common one lately, it goes on from there.
    pub(super) fn payload(
        &mut self,
        (codec, settings): (Codec, EncoderSettings),
        own: Option<&Encoder>,
        units: usize,
        beat: u64,
    ) -> (&[u8], Option<&Encoder>) {
        let length = units / super::UNITS;
        let phase = if codec.is_stateless() { 0 } else { beat % length as u64 };
        let known = self.shared.iter().position(|shared| {
            shared.codec == codec
                && shared.units == units
                && shared.phase == phase
                && (shared.encoder.is_none() || shared.settings == settings)
        });
        let index = known.unwrap_or_else(|| self.share(codec, settings, units, phase));
        let shared = &mut self.shared[index];
        if shared.beat != beat {
            let first = (beat + 1).saturating_sub(length as u64);
            let mut audio = [0; Frame::CAPACITY];
            let audio = &mut audio[..length * self.piece];
            for (now, samples) in (first..=beat).zip(audio.chunks_exact_mut(self.piece)) {
                let mut sum = [0; LONGEST_PIECE];
                let sum = &mut sum[..self.piece];
                sum.copy_from_slice(&self.sum[place(now, self.piece)]);
                self.ramps[slot(now)].apply(sum);
                mix::limit(sum, samples);
            }
            shared.bytes = match &mut shared.encoder {
                None => codec.encode(audio, &mut shared.payload),
                Some(encoder) => {
                    let goes_on = shared.beat + length as u64 == beat;
                    if !goes_on && !own.is_some_and(|own| encoder.adopt(own)) {
                        encoder.reset();
                    }
                    encoder.encode(audio, &mut shared.payload)
                }
            };
            shared.beat = beat;
        }
        (&shared.payload[..shared.bytes], shared.encoder.as_deref())
    }

    #[cold]
    fn share(&mut self, codec: Codec, settings: EncoderSettings, units: usize, phase: u64) -> usize {
        let encoder = (!codec.is_stateless()).then(|| Box::new(Encoder::new(codec, self.rate, settings)));
        let payload = [0; MAX_PAYLOAD];
        self.shared.push(Shared { codec, settings, units, phase, beat: 0, encoder, payload, bytes: 0 });
        self.shared.len() - 1
    }
}

impl Line {
    pub(super) fn new(rate: u32) -> Self {
        let piece = piece(rate);
        let silence = || vec![0; piece * PIECES].into_boxed_slice();
        Self { piece, voice: silence(), part: silence(), silent_from: 0, resampler: None, is_new: true }
    }

    pub(super) fn silent_from(&self) -> u64 {
        self.silent_from
    }

    pub(super) fn voice(&self, beat: u64) -> &[i16] {
        &self.voice[place(beat, self.piece)]
    }

    pub(super) fn part(&self, beat: u64) -> &[i16] {
        &self.part[place(beat, self.piece)]
    }

    /// Nothing was said in these beats.
    pub(super) fn skip(&mut self, beats: Range<u64>) {
        for beat in beats {
            self.voice[place(beat, self.piece)].fill(0);
            self.part[place(beat, self.piece)].fill(0);
        }
    }

    fn convert(&mut self, said: &[i16], [from, to]: [u32; 2], begins: bool, out: &mut [i16]) {
        let resampler = match &mut self.resampler {
            Some((known, resampler)) if *known == from => resampler,
            stale => {
                let resampler = Polyphase::new(from, to).expect("two of 8, 16 and 48 kHz");
                &mut stale.insert((from, Box::new(resampler))).1
            }
        };
        if begins {
            resampler.reset();
        }
        resampler.process(said, out);
    }
}

/// Lets a voice through, or not, as it was before and is now. It changes within the first piece of a frame. Whether
/// something is left.
fn gate(voice: &mut [i16], [before, now]: [bool; 2], first: bool) -> bool {
    match (before, now) {
        (true, false) if first => mix::fade_out(voice),
        (false, true) if first => mix::fade_in(voice),
        (_, true) => {}
        (_, false) => voice.fill(0),
    }
    now || before && first
}

/// Where a beat stands in a ring.
#[inline]
fn place(beat: u64, piece: usize) -> Range<usize> {
    let start = slot(beat) * piece;
    start..start + piece
}

#[inline]
fn slot(beat: u64) -> usize {
    (beat % PIECES as u64) as usize
}

/// Beats that are kept: the longest frame that is heard, a frame ahead that is said, and one in which a voice fades.
pub(super) const PIECES: usize = LONGEST + FRAME_BEATS as usize;

/// Beats of the longest frame, 60 ms.
pub(super) const LONGEST: usize = 12;

/// Beats of a frame that is said.
pub(super) const FRAME_BEATS: u64 = crate::time::SLOTS;

/// Samples of a beat at 48 kHz.
const LONGEST_PIECE: usize = 48 * BEAT.as_millis() as usize;

/// Samples of a frame that is said, at 48 kHz.
const LONGEST_SAID: usize = FRAME_BEATS as usize * LONGEST_PIECE;

/// Payload of the largest packet.
const MAX_PAYLOAD: usize = 1_480;
