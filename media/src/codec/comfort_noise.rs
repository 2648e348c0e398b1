//! Comfort noise (RFC 3389): what a speaker's pause sounds like, told in a few bytes.
//!
//! A payload is a level and, if the sender knows it, the colour of the noise as reflection coefficients of an all-pole
//! filter. At 8 kHz it has the static payload type 13.

/// The static payload type at a clock rate of 8,000.
pub const PAYLOAD_TYPE: u8 = 13;

/// Makes noise like the one that was told.
#[derive(Debug, Clone)]
pub struct Generator {
    /// Root mean square of what is wanted, and of what is made at the moment.
    target: f32,
    level: f32,
    reflections: [f32; MOST],
    order: usize,
    /// The backward residuals of the lattice.
    memory: [f32; MOST],
    seed: u32,
}

impl Generator {
    /// Silence, until a payload comes. Generators with different seeds make different noise.
    #[must_use]
    pub fn new(seed: u32) -> Self {
        Self { target: 0.0, level: 0.0, reflections: [0.0; MOST], order: 0, memory: [0.0; MOST], seed }
    }

    /// Takes a payload. `false`: it is empty, nothing has changed.
    pub fn update(&mut self, payload: &[u8]) -> bool {
        let Some((&level, colour)) = payload.split_first() else { return false };
        // RFC 3389 §3.1: the most significant bit is always 0.
        self.target = OVERLOAD * 10_f32.powf(-f32::from(level & 0x7F) / 20.0);
        self.order = colour.len().min(MOST);
        for (reflection, &byte) in self.reflections.iter_mut().zip(colour) {
            // RFC 3389 §3.2; 255 is reserved.
            *reflection = 258.0 * (f32::from(byte.min(254)) - 127.0) / 32_768.0;
        }
        self.memory[self.order..].fill(0.0);
        true
    }

    /// Fills `out` with noise. After an update the level gets there within some 20 ms.
    pub fn fill(&mut self, out: &mut [i16]) {
        let reflections = &self.reflections[..self.order];
        // What white noise gains on its way through the filter.
        let loss = reflections.iter().map(|k| 1.0 - k * k).product::<f32>().max(0.0).sqrt();
        for sample in out {
            self.level += (self.target - self.level) / 64.0;
            let mut forward = gaussian(&mut self.seed) * self.level * loss;
            for stage in (0..reflections.len()).rev() {
                let k = reflections[stage];
                forward -= k * self.memory[stage];
                if stage + 1 < MOST {
                    self.memory[stage + 1] = k * forward + self.memory[stage];
                }
            }
            self.memory[0] = forward;
            // `as` saturates.
            *sample = forward.round() as i16;
        }
    }
}

/// Measures noise, to tell it to the peer.
#[derive(Debug, Clone, Default)]
pub struct Analyser {
    /// Smoothed correlation of the signal with itself, by delay.
    correlation: [f64; ORDER + 1],
}

impl Analyser {
    /// One that has heard nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Listens to a frame of noise. The last 100 ms or so count.
    pub fn listen(&mut self, samples: &[i16]) {
        if samples.is_empty() {
            return;
        }
        for (delay, correlation) in self.correlation.iter_mut().enumerate() {
            let pairs = samples.iter().zip(samples.get(delay..).unwrap_or(&[]));
            let sum: i64 = pairs.map(|(&a, &b)| i64::from(a) * i64::from(b)).sum();
            *correlation += (sum as f64 / samples.len() as f64 - *correlation) * 0.25;
        }
    }

    /// Writes the payload that describes what was heard, and returns its length; 0 if there is no room for a level.
    pub fn payload(&self, out: &mut [u8]) -> usize {
        let Some((level, colour)) = out.split_first_mut() else { return 0 };
        let power = self.correlation[0];
        let below = -20.0 * (power.sqrt() / f64::from(OVERLOAD)).max(1e-7).log10();
        *level = below.round().clamp(0.0, 127.0) as u8;
        let order = if power < 1.0 { 0 } else { colour.len().min(ORDER) };
        for (byte, reflection) in colour.iter_mut().zip(self.reflections()).take(order) {
            *byte = (reflection * 32_768.0 / 258.0 + 127.0).round().clamp(0.0, 254.0) as u8;
        }
        1 + order
    }

    /// The recursion of Levinson and Durbin.
    fn reflections(&self) -> [f64; ORDER] {
        let mut reflections = [0.0; ORDER];
        let mut filter = [0.0; ORDER + 1];
        filter[0] = 1.0;
        // A little white noise keeps it stable.
        let mut error = self.correlation[0] * 1.0001 + 1e-3;
        for order in 1..=ORDER {
            let sum: f64 = (0..order).map(|tap| filter[tap] * self.correlation[order - tap]).sum();
            let k = (-sum / error).clamp(-0.99, 0.99);
            reflections[order - 1] = k;
            let before = filter;
            for tap in 1..=order {
                filter[tap] = before[tap] + k * before[order - tap];
            }
            error *= 1.0 - k * k;
        }
        reflections
    }
}

/// About normal: mean 0, variance 1.
fn gaussian(seed: &mut u32) -> f32 {
    let mut sum = 0;
    for _ in 0..4 {
        *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        sum += (*seed >> 16) as i32 - 32_768;
    }
    // Four uniform numbers of variance 65,536² / 12 each.
    sum as f32 / (2.0 * 18_918.6)
}

/// Coefficients that are used; more are allowed in a payload and left out.
const MOST: usize = 12;
/// Coefficients that are sent.
const ORDER: usize = 4;
/// 0 dBov: a square wave as high as µ-law gets (RFC 3389 §3.1).
const OVERLOAD: f32 = 32_124.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::detect::tone_level;

    /// More coefficients than are used.
    const MANY: [u8; 30] = {
        let mut payload = [120; 30];
        payload[0] = 40;
        payload
    };

    fn rms(samples: &[i16]) -> f64 {
        (samples.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / samples.len() as f64).sqrt()
    }

    fn dbov(samples: &[i16]) -> f64 {
        20.0 * (rms(samples) / f64::from(OVERLOAD)).log10()
    }

    #[test]
    fn noise_has_the_level_that_was_told() {
        for payload in [&[40][..], &[60], &[50, 100, 140], &[45, 27, 180, 120, 130], &[50; 1], &MANY] {
            let mut generator = Generator::new(1);
            let mut samples = [0; 16_000];
            generator.fill(&mut samples);
            assert!(samples.iter().all(|&sample| sample == 0));
            assert!(generator.update(payload));
            generator.fill(&mut samples);
            let expected = -f64::from(payload[0]);
            assert!(
                (dbov(&samples[1000..]) - expected).abs() < 1.0,
                "{payload:?}: {}",
                dbov(&samples[1000..])
            );
        }
    }

    #[test]
    fn what_was_measured_comes_out_the_same() {
        // Dark noise: white noise through a simple low pass.
        let mut seed = 3;
        let mut last = 0.0;
        let noise: Vec<i16> = (0..16_000)
            .map(|_| {
                last = 0.8 * last + gaussian(&mut seed) * 200.0;
                last as i16
            })
            .collect();
        let mut analyser = Analyser::new();
        noise.chunks_exact(160).for_each(|frame| analyser.listen(frame));
        let mut payload = [0; 10];
        assert_eq!(analyser.payload(&mut payload), 5);
        let mut generator = Generator::new(4);
        generator.update(&payload[..5]);
        let mut made = [0; 16_000];
        generator.fill(&mut made);
        assert!((dbov(&made[1000..]) - dbov(&noise)).abs() < 1.5, "{} {}", dbov(&made[1000..]), dbov(&noise));
        // As dark as it was: neighbours resemble each other by as much.
        let likeness = |samples: &[i16]| {
            let sum: f64 = samples.windows(2).map(|pair| f64::from(pair[0]) * f64::from(pair[1])).sum();
            sum / samples.len() as f64 / rms(samples).powi(2)
        };
        assert!(
            (likeness(&made[1000..]) - likeness(&noise)).abs() < 0.08,
            "{} {}",
            likeness(&made),
            likeness(&noise)
        );
    }

    #[test]
    fn level_steps_are_not_heard_as_clicks_and_noise_has_no_tone() {
        let mut generator = Generator::new(7);
        generator.update(&[30]);
        let mut samples = [0; 8000];
        generator.fill(&mut samples);
        assert!(samples[..8].iter().all(|sample| sample.abs() < 1000));
        for hz in [300.0, 1000.0, 2000.0, 3400.0] {
            assert!(f64::from(tone_level(&samples[800..], 8000, hz)) < -45.0, "{hz}");
        }
    }

    #[test]
    fn any_payload_makes_noise_and_silence_measures_as_silence() {
        let mut generator = Generator::new(9);
        assert!(!generator.update(&[]));
        for byte in 0..=255_u8 {
            assert!(generator.update(&[byte; 13]));
            generator.fill(&mut [0; 160]);
            assert!(generator.memory.iter().all(|value| value.is_finite()), "{byte}");
        }
        let mut analyser = Analyser::new();
        analyser.listen(&[0; 160]);
        analyser.listen(&[]);
        let mut payload = [0; 5];
        assert_eq!((analyser.payload(&mut payload), payload[0]), (1, 127));
        assert_eq!(analyser.payload(&mut []), 0);
        analyser.listen(&[i16::MIN; 160]);
        assert_eq!(analyser.payload(&mut payload), 5);
    }
}
