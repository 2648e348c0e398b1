//! Tones and cadences, generated sample by sample.

use super::level::DBM0_PEAK;

/// A tone, or a cadence of one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ToneSpec {
    /// Frequencies, Hz, sounding together; 0 is unused.
    pub frequencies: [f32; 2],
    /// Level of each frequency, dBm0. A sine of 0 dBm0 peaks 3.14 dB below full scale, the A-law convention
    /// of ITU-T G.711 (µ-law has 3.17 dB).
    pub level_dbm0: f32,
    /// Lengths, ms, in turn: on, off, on, off … until the last that is not 0, then again from the start. All 0,
    /// or no off, is a continuous tone.
    pub cadence_ms: [u16; 8],
}

impl ToneSpec {
    /// One frequency without end.
    #[must_use]
    pub fn continuous(hz: f32, level_dbm0: f32) -> Self {
        Self { frequencies: [hz, 0.0], level_dbm0, cadence_ms: [0; 8] }
    }

    /// The pair of frequencies of a telephone event: 0 to 9, 10 `*`, 11 `#`, 12 to 15 `A` to `D` (ITU-T Q.23).
    #[must_use]
    pub fn dtmf(event: u8) -> Option<Self> {
        const LOW: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
        const HIGH: [f32; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
        let (row, column) = match event {
            0 => (3, 1),
            digit @ 1..=9 => (usize::from(digit - 1) / 3, usize::from(digit - 1) % 3),
            10 => (3, 0),
            11 => (3, 2),
            letter @ 12..=15 => (usize::from(letter - 12), 3),
            _ => return None,
        };
        Some(Self { frequencies: [LOW[row], HIGH[column]], level_dbm0: -8.0, cadence_ms: [0; 8] })
    }

    /// The same tone with a cadence.
    #[must_use]
    pub fn with_cadence(mut self, cadence_ms: [u16; 8]) -> Self {
        self.cadence_ms = cadence_ms;
        self
    }
}

/// Generates a [`ToneSpec`] sample by sample. Starts with the on-phase; edges are ramps of 3 ms.
#[derive(Debug, Clone)]
pub struct ToneGenerator {
    oscillators: [Oscillator; 2],
    /// Phases in samples, `[on, off, on, off …]`.
    phases: [u32; 8],
    phase_count: usize,
    phase: usize,
    position: u32,
    ramp: u32,
}

impl ToneGenerator {
    /// A generator for that many samples per second.
    #[must_use]
    pub fn new(spec: ToneSpec, rate: u32) -> Self {
        let has_off = spec.cadence_ms.iter().skip(1).step_by(2).any(|&ms| ms > 0);
        let mut phases = [0; 8];
        let mut phase_count = 0;
        if has_off {
            phases = spec.cadence_ms.map(|ms| (u64::from(ms) * u64::from(rate) / 1000) as u32);
            phase_count = phases.iter().rposition(|&samples| samples > 0).map_or(0, |last| last + 1);
        }
        let mut generator = Self {
            oscillators: spec.frequencies.map(|hz| Oscillator::of(hz, spec.level_dbm0, rate)),
            phases,
            phase_count,
            phase: 0,
            position: 0,
            ramp: (rate * RAMP_MS / 1000).max(1),
        };
        generator.skip_empty_phases();
        generator
    }

    /// Writes the next samples over `out`.
    pub fn fill(&mut self, mut out: &mut [i16]) {
        while !out.is_empty() {
            let left = self.left_in_phase().min(out.len() as u32);
            let (now, later) = out.split_at_mut(left as usize);
            if self.is_on() {
                for sample in now {
                    *sample = (self.next_sample() * self.gain()) as i16;
                    self.position = self.position.saturating_add(1);
                }
            } else {
                now.fill(0);
                self.position += left;
            }
            if self.phase_count > 0 && self.position >= self.phases[self.phase] {
                self.position = 0;
                self.phase = (self.phase + 1) % self.phase_count;
                self.skip_empty_phases();
            }
            out = later;
        }
        self.oscillators.iter_mut().for_each(Oscillator::renormalise);
    }

    /// Whether the tone sounds at the next sample.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.phase.is_multiple_of(2)
    }

    fn next_sample(&mut self) -> f64 {
        let [first, second] = &mut self.oscillators;
        first.advance() + second.advance()
    }

    fn gain(&self) -> f64 {
        let rise = self.position.saturating_add(1);
        let edge = match self.phase_count {
            0 => rise,
            _ => rise.min(self.phases[self.phase] - self.position),
        };
        if edge >= self.ramp { 1.0 } else { f64::from(edge) / f64::from(self.ramp) }
    }

    fn left_in_phase(&self) -> u32 {
        if self.phase_count == 0 { u32::MAX } else { self.phases[self.phase] - self.position }
    }

    fn skip_empty_phases(&mut self) {
        // The last phase is never empty, so this ends.
        while self.phase_count > 0 && self.phases[self.phase] == 0 {
            self.phase = (self.phase + 1) % self.phase_count;
        }
    }
}

/// A point turning on a circle: one complex multiplication per sample, no sine.
#[derive(Debug, Clone, Copy)]
pub(in crate::dsp) struct Oscillator {
    amplitude: f64,
    x: f64,
    y: f64,
    cos: f64,
    sin: f64,
}

impl Oscillator {
    pub(in crate::dsp) fn of(hz: f32, level_dbm0: f32, rate: u32) -> Self {
        let peak = f64::from(DBM0_PEAK) * 10_f64.powf(f64::from(level_dbm0) / 20.0);
        Self::new(f64::from(hz), peak, f64::from(rate))
    }

    fn new(hz: f64, amplitude: f64, rate: f64) -> Self {
        // What cannot be represented is silent; this also catches NaN.
        let amplitude = if hz > 0.0 && hz < rate / 2.0 { amplitude } else { 0.0 };
        let (sin, cos) = (std::f64::consts::TAU * hz / rate).sin_cos();
        if amplitude == 0.0 {
            return Self { amplitude, x: 1.0, y: 0.0, cos: 1.0, sin: 0.0 };
        }
        Self { amplitude, x: 1.0, y: 0.0, cos, sin }
    }

    pub(in crate::dsp) fn advance(&mut self) -> f64 {
        let sample = self.amplitude * self.y;
        (self.x, self.y) = (self.x * self.cos - self.y * self.sin, self.x * self.sin + self.y * self.cos);
        sample
    }

    /// Keeps rounding errors from growing over hours.
    pub(in crate::dsp) fn renormalise(&mut self) {
        let scale = 1.5 - 0.5 * (self.x * self.x + self.y * self.y);
        self.x *= scale;
        self.y *= scale;
    }
}

pub(in crate::dsp) const RAMP_MS: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn generate(spec: ToneSpec, samples: usize) -> Vec<i16> {
        let mut out = vec![0; samples];
        ToneGenerator::new(spec, 8000).fill(&mut out);
        out
    }

    #[test]
    fn the_level_is_what_was_asked_for() {
        let samples = generate(ToneSpec::continuous(1000.0, 0.0), 8000);
        assert_eq!(samples[4000..].iter().max(), Some(&22_827));
        let quiet = generate(ToneSpec::continuous(1000.0, -20.0), 8000);
        assert_eq!(quiet[4000..].iter().max(), Some(&2_282));
    }

    #[test]
    fn frame_by_frame_is_the_same_as_at_once() {
        let spec = ToneSpec {
            frequencies: [440.0, 480.0],
            level_dbm0: -13.0,
            cadence_ms: [33, 7, 5, 11, 0, 0, 0, 0],
        };
        let whole = generate(spec, 16_000);
        let mut generator = ToneGenerator::new(spec, 8000);
        let mut pieces = vec![0; 16_000];
        for (piece, length) in pieces.chunks_mut(163).zip(1..) {
            let cut = piece.len() * (length % 7) / 7;
            generator.fill(&mut piece[..cut]);
            generator.fill(&mut piece[cut..]);
        }
        // Renormalising at other places may round a sample differently.
        assert!(whole.iter().zip(&pieces).all(|(a, b)| a.abs_diff(*b) <= 1));
    }

    #[test]
    fn a_cadence_starts_with_tone_and_is_exact_to_the_sample() {
        let spec = ToneSpec::continuous(425.0, -10.0).with_cadence([100, 50, 0, 0, 0, 0, 0, 0]);
        let samples = generate(spec, 2400);
        assert!(samples[1..100].iter().any(|&s| s != 0));
        for (index, sample) in samples.iter().enumerate() {
            if index % 1200 >= 800 {
                assert_eq!(*sample, 0, "at {index}");
            }
        }
        assert!(samples[1201..1300].iter().any(|&s| s != 0));
    }

    #[test]
    fn edges_are_ramps() {
        let spec = ToneSpec::continuous(1000.0, 0.0).with_cadence([100, 100, 0, 0, 0, 0, 0, 0]);
        let samples = generate(spec, 1600);
        let peak_of =
            |range: std::ops::Range<usize>| samples[range].iter().map(|s| s.unsigned_abs()).max().unwrap();
        assert!(peak_of(0..8) < 10_000);
        assert!(peak_of(792..800) < 10_000);
        assert!(peak_of(100..700) > 22_000);
    }

    #[test]
    fn hours_later_the_tone_has_kept_its_level() {
        let mut generator = ToneGenerator::new(ToneSpec::continuous(425.0, -10.0), 8000);
        let mut frame = [0; 960];
        for _ in 0..30_000 {
            generator.fill(&mut frame);
        }
        let peak = frame.iter().max().copied().unwrap();
        assert!((7_200..=7_219).contains(&peak), "{peak}");
    }

    #[test]
    fn nonsense_is_silent_and_loud_is_clipped() {
        for hz in [f32::NAN, -1.0, 4000.0, 1e9, f32::INFINITY] {
            assert!(generate(ToneSpec::continuous(hz, 0.0), 100).iter().all(|&s| s == 0), "{hz}");
        }
        assert_eq!(generate(ToneSpec::continuous(1000.0, 40.0), 800).iter().max(), Some(&i16::MAX));
        let only_off = ToneSpec::continuous(1000.0, 0.0).with_cadence([0, 100, 0, 0, 0, 0, 0, 0]);
        assert!(generate(only_off, 3000).iter().all(|&s| s == 0));
        let too_short = ToneSpec::continuous(1000.0, 0.0).with_cadence([1; 8]);
        assert_eq!(generate(too_short, 3000).len(), 3000);
    }

    #[test]
    fn digits_have_the_frequencies_of_q_23() {
        let pairs: Vec<_> = (0..16).map(|event| ToneSpec::dtmf(event).unwrap().frequencies).collect();
        assert_eq!(pairs[1], [697.0, 1209.0]);
        assert_eq!(pairs[5], [770.0, 1336.0]);
        assert_eq!(pairs[9], [852.0, 1477.0]);
        assert_eq!(pairs[0], [941.0, 1336.0]);
        assert_eq!(pairs[10], [941.0, 1209.0]);
        assert_eq!(pairs[11], [941.0, 1477.0]);
        assert_eq!(pairs[12], [697.0, 1633.0]);
        assert_eq!(pairs[15], [941.0, 1633.0]);
        assert_eq!(ToneSpec::dtmf(16), None);
    }
}
