//! Changes the sample rate of live audio by a fixed ratio, with about 2 ms of delay: between 8, 16, 24, 32 and 48 kHz.
//!
//! The filter passes up to 0.85 of the lower of the two Nyquist frequencies and stops, by more than 60 dB, from 1.12 of
//! it; what lies between is in the upper end of the band, above telephone speech. It computes in integers, so that
//! every processor hears the same.

use std::sync::LazyLock;

/// One stream of mono audio on its way from one rate to another.
#[derive(Debug, Clone)]
pub struct Polyphase {
    filter: &'static Filter,
    /// The last input, oldest first; as much as the filter is long, less one.
    history: [i16; MOST_TAPS - 1],
    /// Where the next output lies, behind the first sample of the next input, in parts of a sample.
    position: usize,
}

impl Polyphase {
    /// From `from` to `to` samples per second; `None` if these are not two of 8,000, 16,000, 24,000, 32,000 and 48,000.
    #[must_use]
    pub fn new(from: u32, to: u32) -> Option<Self> {
        let known = |rate| matches!(rate, 8_000 | 16_000 | 24_000 | 32_000 | 48_000);
        if from == to || !known(from) || !known(to) {
            return None;
        }
        let divisor = greatest_common_divisor(from, to);
        let filter: &'static Filter = match (to / divisor, from / divisor) {
            (2, 1) => &UP_2,
            (3, 1) => &UP_3,
            (4, 1) => &UP_4,
            (6, 1) => &UP_6,
            (1, 2) => &DOWN_2,
            (1, 3) => &DOWN_3,
            (1, 4) => &DOWN_4,
            (1, 6) => &DOWN_6,
            (3, 2) => &UP_3_DOWN_2,
            (2, 3) => &UP_2_DOWN_3,
            (4, 3) => &UP_4_DOWN_3,
            _ => &UP_3_DOWN_4,
        };
        Some(Self { filter, history: [0; MOST_TAPS - 1], position: 0 })
    }

    /// Samples that come out for so many that go in, if that is a multiple of a millisecond.
    #[must_use]
    pub fn output_len(&self, input: usize) -> usize {
        input * self.filter.up / self.filter.down
    }

    /// How much later a sound comes out, in µs.
    #[must_use]
    pub fn delay_us(&self, from: u32) -> u32 {
        let length = self.filter.taps_per_phase * self.filter.up;
        ((length - 1) * 500_000 / (from as usize * self.filter.up)) as u32
    }

    /// Takes all of `samples` and returns how many were written to `out`. What does not fit is lost.
    pub fn process(&mut self, samples: &[i16], out: &mut [i16]) -> usize {
        let past = self.filter.taps_per_phase - 1;
        let mut line = [0; MOST_TAPS - 1 + CHUNK];
        let mut written = 0;
        for chunk in samples.chunks(CHUNK) {
            line[..past].copy_from_slice(&self.history[..past]);
            line[past..][..chunk.len()].copy_from_slice(chunk);
            let end = chunk.len() * self.filter.up;
            let count = end.saturating_sub(self.position).div_ceil(self.filter.down);
            let room = count.min(out.len() - written);
            self.filter.run(&line[..past + chunk.len()], self.position, &mut out[written..written + room]);
            written += room;
            self.position = self.position + count * self.filter.down - end;
            self.history[..past].copy_from_slice(&line[chunk.len()..][..past]);
        }
        written
    }

    /// Forgets what came before.
    pub fn reset(&mut self) {
        self.history.fill(0);
        self.position = 0;
    }
}

/// The impulse response, cut into phases.
#[derive(Debug)]
struct Filter {
    /// Outputs per `down` inputs; the number of phases.
    up: usize,
    down: usize,
    taps_per_phase: usize,
    /// Phase after phase, each in the order of the input, 14 bits behind the point.
    taps: Box<[i16]>,
}

impl Filter {
    fn new(up: usize, down: usize) -> Self {
        let taps_per_phase = (TAPS * up.max(down) / up).next_multiple_of(16);
        let length = taps_per_phase * up;
        // At the rate that both are fractions of.
        let cutoff = CUTOFF / up.max(down) as f64;
        let middle = (length - 1) as f64 / 2.0;
        let response = |index: usize| {
            let distance = index as f64 - middle;
            let angle = std::f64::consts::PI * cutoff * distance;
            let sinc = if distance == 0.0 { 1.0 } else { angle.sin() / angle };
            sinc * kaiser(distance / (middle + 0.5))
        };
        let mut taps = Vec::with_capacity(length);
        for phase in 0..up {
            let wanted: Vec<f64> = (0..taps_per_phase).rev().map(|tap| response(phase + tap * up)).collect();
            let scale = UNITY / wanted.iter().sum::<f64>();
            let begin = taps.len();
            taps.extend(wanted.iter().map(|tap| (tap * scale).round() as i16));
            // Each phase passes a constant unchanged, or else a constant would come out as a tone.
            let missing = UNITY as i32 - taps[begin..].iter().map(|&tap| i32::from(tap)).sum::<i32>();
            if let Some(largest) = taps[begin..].iter_mut().max_by_key(|tap| **tap) {
                *largest += missing as i16;
            }
        }
        Self { up, down, taps_per_phase, taps: taps.into_boxed_slice() }
    }

    /// Fills `out`, from `position` on.
    fn run(&self, line: &[i16], position: usize, out: &mut [i16]) {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            #[allow(unsafe_code, reason = "instructions chosen at run time")]
            // SAFETY: the processor has AVX2.
            unsafe {
                return self.run_avx2(line, position, out);
            }
        }
        self.run_with(line, position, out, sum_of_products);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn run_avx2(&self, line: &[i16], position: usize, out: &mut [i16]) {
        self.run_with(line, position, out, |a, b| avx2::sum_of_products(a, b));
    }

    #[inline(always)]
    fn run_with(
        &self,
        line: &[i16],
        mut position: usize,
        out: &mut [i16],
        sum: impl Fn(&[i16], &[i16]) -> i32,
    ) {
        let mut phase = position % self.up;
        position /= self.up;
        let (steps, rest) = (self.down / self.up, self.down % self.up);
        for out in out {
            let window = &line[position..][..self.taps_per_phase];
            let taps = &self.taps[phase * self.taps_per_phase..][..self.taps_per_phase];
            let sample = (sum(window, taps) + (1 << (FRACTION - 1))) >> FRACTION;
            *out = sample.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
            position += steps;
            phase += rest;
            if phase >= self.up {
                phase -= self.up;
                position += 1;
            }
        }
    }
}

/// The taps of a phase add up to less than 2.5 in magnitude, so that 31 bits hold any sum.
#[inline(always)]
fn sum_of_products(a: &[i16], b: &[i16]) -> i32 {
    a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum()
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "instructions chosen at run time")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm_add_epi32, _mm_cvtsi128_si32, _mm_shuffle_epi32, _mm256_add_epi32,
        _mm256_castsi256_si128, _mm256_extracti128_si256, _mm256_loadu_si256, _mm256_madd_epi16,
        _mm256_setzero_si256,
    };

    /// Of as many chunks of 16 as both have.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn sum_of_products(a: &[i16], b: &[i16]) -> i32 {
        let mut sum = _mm256_setzero_si256();
        for (a, b) in a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0) {
            // SAFETY: both are 32 bytes long; loads need no alignment.
            let (a, b) = unsafe {
                (
                    _mm256_loadu_si256(a.as_ptr().cast::<__m256i>()),
                    _mm256_loadu_si256(b.as_ptr().cast::<__m256i>()),
                )
            };
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
        }
        let sum = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
        let sum = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b0100_1110>(sum));
        _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32::<0b1011_0001>(sum)))
    }
}

/// The Kaiser window at -1 to 1.
fn kaiser(at: f64) -> f64 {
    let bessel = |x: f64| {
        let (mut sum, mut term) = (1.0, 1.0);
        for k in 1..32 {
            term *= (x / (2.0 * f64::from(k))).powi(2);
            sum += term;
        }
        sum
    };
    bessel(BETA * (1.0 - at * at).max(0.0).sqrt()) / bessel(BETA)
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

static UP_2: LazyLock<Filter> = LazyLock::new(|| Filter::new(2, 1));
static UP_3: LazyLock<Filter> = LazyLock::new(|| Filter::new(3, 1));
static UP_4: LazyLock<Filter> = LazyLock::new(|| Filter::new(4, 1));
static UP_6: LazyLock<Filter> = LazyLock::new(|| Filter::new(6, 1));
static DOWN_2: LazyLock<Filter> = LazyLock::new(|| Filter::new(1, 2));
static DOWN_3: LazyLock<Filter> = LazyLock::new(|| Filter::new(1, 3));
static DOWN_4: LazyLock<Filter> = LazyLock::new(|| Filter::new(1, 4));
static DOWN_6: LazyLock<Filter> = LazyLock::new(|| Filter::new(1, 6));
static UP_3_DOWN_2: LazyLock<Filter> = LazyLock::new(|| Filter::new(3, 2));
static UP_2_DOWN_3: LazyLock<Filter> = LazyLock::new(|| Filter::new(2, 3));
static UP_4_DOWN_3: LazyLock<Filter> = LazyLock::new(|| Filter::new(4, 3));
static UP_3_DOWN_4: LazyLock<Filter> = LazyLock::new(|| Filter::new(3, 4));

/// Taps of each phase, at the lower of the two rates.
const TAPS: usize = 32;

/// Taps of the longest phase: 48 to 8 kHz.
const MOST_TAPS: usize = TAPS * 6;

/// Samples that are filtered at once: 20 ms at 48 kHz.
const CHUNK: usize = 960;

/// Where half of the amplitude passes, relative to the lower Nyquist frequency.
const CUTOFF: f64 = 0.985;

/// Shape of the window: more than 60 dB.
const BETA: f64 = 6.2;

/// Bits of a tap behind the point, and 1.
const FRACTION: u32 = 14;
const UNITY: f64 = (1 << FRACTION) as f64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::{
        detect::tone_level,
        level::dbfs,
        tone::{ToneGenerator, ToneSpec},
    };

    const RATES: [u32; 5] = [8_000, 16_000, 24_000, 32_000, 48_000];

    fn pairs() -> impl Iterator<Item = (u32, u32)> {
        RATES
            .into_iter()
            .flat_map(|from| RATES.into_iter().map(move |to| (from, to)))
            .filter(|(from, to)| from != to)
    }

    fn tone(hz: f32, rate: u32) -> Vec<i16> {
        let mut samples = vec![0; rate as usize];
        ToneGenerator::new(ToneSpec::continuous(hz, -10.0), rate).fill(&mut samples);
        samples
    }

    fn convert(samples: &[i16], from: u32, to: u32) -> Vec<i16> {
        let mut resampler = Polyphase::new(from, to).unwrap();
        let mut out = vec![0; to as usize];
        assert_eq!(resampler.process(samples, &mut out), to as usize);
        out
    }

    #[test]
    fn tones_within_the_band_keep_their_level() {
        for (from, to) in pairs() {
            let nyquist = from.min(to) as f32 / 2.0;
            for part in [0.05, 0.25, 0.5, 0.75, 0.85] {
                let out = convert(&tone(part * nyquist, from), from, to);
                let middle = &out[to as usize / 10..to as usize * 9 / 10];
                let level = tone_level(middle, to, part * nyquist);
                assert!((level + 13.01).abs() < 0.5, "{from} to {to}, {part}: {level}");
                // Nothing else is in it.
                assert!((dbfs(middle) - level).abs() < 0.1, "{from} to {to}, {part}: {}", dbfs(middle));
            }
        }
    }

    #[test]
    fn tones_beyond_the_band_leave_no_alias() {
        for (from, to) in pairs().filter(|(from, to)| from > to) {
            let nyquist = to as f32 / 2.0;
            for part in [1.12, 1.3, 1.5, 2.0, 2.9] {
                if part * nyquist < from as f32 / 2.0 {
                    let out = convert(&tone(part * nyquist, from), from, to);
                    let level = dbfs(&out[to as usize / 10..]);
                    assert!(level < -13.0 - 60.0, "{from} to {to}, {part}: {level}");
                }
            }
        }
    }

    #[test]
    fn tones_leave_no_image_when_the_rate_rises() {
        for (from, to) in pairs().filter(|(from, to)| from < to) {
            let hz = 0.8 * from as f32 / 2.0;
            let out = convert(&tone(hz, from), from, to);
            let middle = &out[to as usize / 10..to as usize * 9 / 10];
            let image = from as f32 - hz;
            assert!(tone_level(middle, to, image) < -13.0 - 60.0, "{from} to {to}");
        }
    }

    #[test]
    fn a_constant_stays_one_and_full_scale_does_not_wrap() {
        for (from, to) in pairs() {
            for level in [1, -3000, i16::MAX, i16::MIN] {
                let out = convert(&vec![level; from as usize], from, to);
                assert!(
                    out[to as usize / 100..].iter().all(|&sample| sample == level),
                    "{from} to {to}: {level}"
                );
            }
            let square: Vec<i16> =
                (0..from).map(|at| if at / 9 % 2 == 0 { i16::MAX } else { i16::MIN }).collect();
            let out = convert(&square, from, to);
            assert!(dbfs(&out) > -2.0);
        }
    }

    #[test]
    fn the_delay_is_two_milliseconds_or_less_and_as_told() {
        for (from, to) in pairs() {
            let mut samples = vec![0; from as usize];
            samples[from as usize / 10] = 20_000;
            let out = convert(&samples, from, to);
            let peak = out.iter().enumerate().max_by_key(|(_, sample)| **sample).unwrap().0;
            let delay_us = peak as f64 * 1e6 / f64::from(to) - 100_000.0;
            let told = f64::from(Polyphase::new(from, to).unwrap().delay_us(from));
            let step = 1e6 / f64::from(from.min(to));
            assert!((delay_us - told).abs() <= step, "{from} to {to}: {delay_us} {told}");
            assert!(told <= 2_700.0, "{from} to {to}: {told}");
        }
    }

    #[test]
    fn the_length_of_pieces_changes_nothing() {
        let mut seed = 1_u32;
        let samples: Vec<i16> = (0..48_000)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 17) as i16
            })
            .collect();
        for (from, to) in pairs() {
            let whole = convert(&samples[..from as usize], from, to);
            for length in [1, 7, 80, 1000] {
                let mut resampler = Polyphase::new(from, to).unwrap();
                let mut pieces = Vec::new();
                for piece in samples[..from as usize].chunks(length) {
                    let mut out = vec![0; piece.len() * 6];
                    let written = resampler.process(piece, &mut out);
                    pieces.extend_from_slice(&out[..written]);
                }
                assert!(pieces == whole, "{from} to {to} by {length}");
            }
            let mut resampler = Polyphase::new(from, to).unwrap();
            for frame in samples[..from as usize].chunks_exact(from as usize / 100) {
                assert_eq!(resampler.process(frame, &mut [0; 1000]), to as usize / 100);
                assert_eq!(resampler.output_len(frame.len()), to as usize / 100);
            }
        }
    }

    #[test]
    fn every_processor_computes_the_same() {
        let mut seed = 9_u32;
        let line: Vec<i16> = (0..MOST_TAPS + CHUNK)
            .map(|at| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if at % 97 < 40 {
                    if seed >> 31 == 0 { i16::MAX } else { i16::MIN }
                } else {
                    (seed >> 16) as i16
                }
            })
            .collect();
        for (from, to) in pairs() {
            let filter = Polyphase::new(from, to).unwrap().filter;
            let (mut plain, mut chosen) = ([0; 400], [0; 400]);
            let count = (400 * filter.up / filter.down).min(400);
            filter.run_with(&line, 0, &mut plain[..count], sum_of_products);
            filter.run(&line, 0, &mut chosen[..count]);
            assert_eq!(plain, chosen, "{from} to {to}");
        }
    }

    #[test]
    fn other_rates_and_small_outputs_are_refused() {
        assert!(Polyphase::new(8_000, 8_000).is_none());
        assert!(Polyphase::new(44_100, 8_000).is_none());
        assert!(Polyphase::new(8_000, 0).is_none());
        let mut resampler = Polyphase::new(8_000, 48_000).unwrap();
        assert_eq!(resampler.process(&[1; 160], &mut [0; 100]), 100);
        assert_eq!(resampler.process(&[1; 160], &mut [0; 960]), 960);
        assert_eq!(resampler.process(&[], &mut [0; 10]), 0);
    }
}
