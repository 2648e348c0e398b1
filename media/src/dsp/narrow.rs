//! What detectors hear of wide audio: the part of it that telephones carry.

use std::f64::consts::PI;

/// Brings audio of 16 or 48 kHz down to 8 kHz, frame by frame. The delay is 1.5 ms; what 8 kHz cannot carry is 40 dB
/// down.
#[derive(Debug, Clone)]
pub struct Narrow {
    rate: u32,
    taps: [f32; MOST_TAPS],
    past: [f32; MOST_TAPS],
}

impl Default for Narrow {
    fn default() -> Self {
        Self::new()
    }
}

impl Narrow {
    /// Nothing heard yet.
    #[must_use]
    pub fn new() -> Self {
        Self { rate: RATE, taps: [0.0; MOST_TAPS], past: [0.0; MOST_TAPS] }
    }

    /// What of `samples`, at that many samples per second, 8 kHz can carry. `out` gives the room; what is at 8 kHz
    /// already is returned as it is. `samples` has whole samples of 8 kHz.
    pub fn hear<'a>(&mut self, samples: &'a [i16], rate: u32, out: &'a mut [i16]) -> &'a [i16] {
        let factor = (rate / RATE).clamp(1, MOST_FACTOR) as usize;
        if rate != self.rate {
            self.rate = rate;
            self.past.fill(0.0);
            self.design(factor);
        }
        if factor == 1 {
            return samples;
        }
        let taps = &self.taps[..TAPS_PER_STEP * factor];
        let past = &mut self.past[..taps.len()];
        let mut count = 0;
        for (step, out) in samples.chunks_exact(factor).zip(out.iter_mut()) {
            past.copy_within(factor.., 0);
            let newest = past.len() - factor;
            for (past, &sample) in past[newest..].iter_mut().zip(step) {
                *past = f32::from(sample);
            }
            // `as` saturates: a filter may overshoot full scale.
            *out = sum_of_products(past, taps).round() as i16;
            count += 1;
        }
        &out[..count]
    }

    /// A windowed sinc that lets 3.5 kHz through.
    fn design(&mut self, factor: usize) {
        let count = TAPS_PER_STEP * factor;
        let cutoff = PASS_HZ / (f64::from(RATE) * factor as f64);
        let mut sum = 0.0;
        for (index, tap) in self.taps[..count].iter_mut().enumerate() {
            let at = index as f64 - (count - 1) as f64 / 2.0;
            let angle = 2.0 * PI * cutoff * at;
            let sinc = if angle.abs() < 1e-9 { 1.0 } else { angle.sin() / angle };
            let window = (PI * (index as f64 + 0.5) / count as f64).sin().powi(2);
            *tap = (sinc * window) as f32;
            sum += *tap;
        }
        self.taps[..count].iter_mut().for_each(|tap| *tap /= sum);
    }
}

/// In eight sums, so that they can be taken side by side.
fn sum_of_products(left: &[f32], right: &[f32]) -> f32 {
    let mut sums = [0.0; 8];
    for (left, right) in left.as_chunks::<8>().0.iter().zip(right.as_chunks::<8>().0) {
        for ((sum, left), right) in sums.iter_mut().zip(left).zip(right) {
            *sum += left * right;
        }
    }
    sums.iter().sum()
}

const RATE: u32 = 8000;
/// 48 kHz.
const MOST_FACTOR: u32 = 6;
/// Taps for each sample of 8 kHz; a multiple of 8.
const TAPS_PER_STEP: usize = 24;
const MOST_TAPS: usize = TAPS_PER_STEP * MOST_FACTOR as usize;
/// Half-way down.
const PASS_HZ: f64 = 3650.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::{
        detect::tone_level,
        level::dbfs,
        tone::{ToneGenerator, ToneSpec},
    };

    fn narrowed(hz: f32, rate: u32) -> Vec<i16> {
        let mut samples = vec![0; rate as usize];
        ToneGenerator::new(ToneSpec::continuous(hz, -10.0), rate).fill(&mut samples);
        let mut narrow = Narrow::new();
        let mut out = Vec::new();
        for frame in samples.chunks(rate as usize / 50) {
            let mut room = [0; 160];
            out.extend_from_slice(narrow.hear(frame, rate, &mut room));
        }
        out
    }

    #[test]
    fn tones_of_telephones_keep_their_level() {
        for rate in [8000, 16_000, 48_000] {
            for hz in [400.0, 697.0, 1633.0, 2100.0, 3266.0] {
                let samples = narrowed(hz, rate);
                assert_eq!(samples.len(), 8000);
                let level = tone_level(&samples[800..], 8000, hz);
                assert!((level + 13.14).abs() < 0.6, "{hz} Hz at {rate}: {level}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_not_folded_back() {
        for (hz, rate) in [(4700.0, 16_000), (6500.0, 16_000), (5000.0, 48_000), (15_000.0, 48_000)] {
            let samples = narrowed(hz, rate);
            assert!(dbfs(&samples[800..]) < -50.0, "{hz} Hz at {rate}: {}", dbfs(&samples[800..]));
        }
    }
}
