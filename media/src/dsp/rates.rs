//! Between 8, 16 and 48 kHz, any piece of a recording at a time.
//!
//! The filters look at the samples around the wanted one and keep nothing, so that a recording can be read from
//! anywhere, forwards and in pieces of any length, and always sounds the same. Where audio arrives live, a filter
//! that keeps its state is the better tool: this one needs samples that are still to come.

use std::f64::consts::PI;
use std::sync::LazyLock;

/// Samples of the lower rate on each side of the wanted one that count.
pub const REACH: usize = 8;

/// Whether this module converts between two rates.
#[must_use]
pub fn is_convertible(from: u32, to: u32) -> bool {
    [from, to].iter().all(|rate| matches!(rate, 8_000 | 16_000 | 48_000))
}

/// Raises the rate by `factor` (2, 3 or 6). `source[REACH - 1]` is the sample at or before the first wanted one,
/// which lies `phase` new samples behind it. `source` has to reach [`REACH`] samples beyond the last wanted one; what
/// is missing counts as silence.
pub fn interpolate(factor: usize, phase: usize, source: &[i16], out: &mut [i16]) {
    let Some(filter) = FILTERS.iter().find(|filter| filter.factor == factor) else {
        out.fill(0);
        return;
    };
    for (index, out) in out.iter_mut().enumerate() {
        let (at, phase) = ((phase + index) / factor, (phase + index) % factor);
        let taps = &filter.up[phase];
        let sum: f32 = match source.get(at..at + 2 * REACH) {
            Some(around) => around.iter().zip(taps).map(|(&sample, tap)| f32::from(sample) * tap).sum(),
            None => source.iter().skip(at).zip(taps).map(|(&sample, tap)| f32::from(sample) * tap).sum(),
        };
        *out = sum.round() as i16;
    }
}

/// Lowers the rate by `factor` (2, 3 or 6). `source[REACH * factor - 1]` is the first wanted sample, and `source`
/// has to reach `REACH * factor - 1` samples beyond the last wanted one; what is missing counts as silence.
pub fn decimate(factor: usize, source: &[i16], out: &mut [i16]) {
    let Some(filter) = FILTERS.iter().find(|filter| filter.factor == factor) else {
        out.fill(0);
        return;
    };
    for (index, out) in out.iter_mut().enumerate() {
        let around = source.get(index * factor..).unwrap_or_default();
        let sum: f32 = around.iter().zip(&filter.down).map(|(&sample, tap)| f32::from(sample) * tap).sum();
        *out = sum.round() as i16;
    }
}

struct Filter {
    factor: usize,
    /// By phase.
    up: Vec<[f32; 2 * REACH]>,
    down: Vec<f32>,
}

static FILTERS: LazyLock<[Filter; 3]> = LazyLock::new(|| [2, 3, 6].map(Filter::new));

impl Filter {
    fn new(factor: usize) -> Self {
        let up = (0..factor).map(|phase| {
            let taps: [f64; 2 * REACH] = std::array::from_fn(|tap| {
                kernel(tap as f64 - (REACH - 1) as f64 - phase as f64 / factor as f64)
            });
            let sum: f64 = taps.iter().sum();
            taps.map(|tap| (tap / sum) as f32)
        });
        let edge = (REACH * factor) as i32 - 1;
        let down: Vec<f64> = (-edge..=edge).map(|tap| kernel(f64::from(tap) / factor as f64)).collect();
        let sum: f64 = down.iter().sum();
        Self { factor, up: up.collect(), down: down.into_iter().map(|tap| (tap / sum) as f32).collect() }
    }
}

/// A low-pass a little below half the lower rate, cut off by a Kaiser-like window. `at` counts samples of the lower
/// rate.
fn kernel(at: f64) -> f64 {
    let place = at / REACH as f64;
    if place.abs() >= 1.0 {
        return 0.0;
    }
    let angle = PI * at * CUTOFF;
    let sinc = if angle.abs() < 1e-9 { 1.0 } else { angle.sin() / angle };
    // Blackman.
    sinc * (0.42 + 0.5 * (PI * place).cos() + 0.08 * (2.0 * PI * place).cos())
}

/// Of half the lower rate: speech to 3.4 kHz passes at 8 kHz.
const CUTOFF: f64 = 0.92;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::{
        detect::tone_level,
        level::dbfs,
        tone::{ToneGenerator, ToneSpec},
    };

    fn tone(hz: f32, rate: u32) -> Vec<i16> {
        let mut samples = vec![0; rate as usize];
        ToneGenerator::new(ToneSpec::continuous(hz, -10.0), rate).fill(&mut samples);
        samples
    }

    fn padded(samples: &[i16], before: usize) -> Vec<i16> {
        let mut out = vec![0; before];
        out.extend(samples);
        out
    }

    #[test]
    fn speech_keeps_its_level_in_both_directions() {
        for (low, factor) in [(8_000, 2), (8_000, 6), (16_000, 3)] {
            for hz in [300.0, 1_000.0, 3_000.0] {
                let high = low * factor as u32;
                let mut up = vec![0; high as usize];
                interpolate(factor, 0, &padded(&tone(hz, low), REACH - 1), &mut up);
                let level = tone_level(&up[1_000..high as usize - 1_000], high, hz);
                assert!((level + 13.14).abs() < 0.8, "{low} x{factor} {hz}: {level}");
                let mut down = vec![0; low as usize];
                decimate(factor, &padded(&tone(hz, high), REACH * factor - 1), &mut down);
                let level = tone_level(&down[500..low as usize - 500], low, hz);
                assert!((level + 13.14).abs() < 0.8, "{high} /{factor} {hz}: {level}");
            }
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_carry_does_not_come_back_as_something_else() {
        let mut down = vec![0; 8_000];
        decimate(6, &padded(&tone(5_500.0, 48_000), 47), &mut down);
        assert!(dbfs(&down[500..7_500]) < -55.0, "{}", dbfs(&down[500..7_500]));
        let mut up = vec![0; 48_000];
        interpolate(6, 0, &padded(&tone(1_000.0, 8_000), REACH - 1), &mut up);
        let image = tone_level(&up[1_000..47_000], 48_000, 7_000.0);
        assert!(image < -65.0, "{image}");
    }

    #[test]
    fn pieces_of_any_length_are_the_same_as_the_whole() {
        let source = padded(&tone(700.0, 8_000)[..800], REACH - 1);
        let mut whole = vec![0; 4_800];
        interpolate(6, 0, &source, &mut whole);
        let mut pieces = vec![0; 4_800];
        let mut at = 0;
        while at < pieces.len() {
            let length = (17 + at % 91).min(pieces.len() - at);
            interpolate(6, at % 6, &source[at / 6..], &mut pieces[at..at + length]);
            at += length;
        }
        assert_eq!(whole, pieces);
    }
}
