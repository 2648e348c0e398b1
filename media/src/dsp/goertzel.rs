//! Goertzel's algorithm: how much of a few frequencies is in a stretch of samples, and at which phase.
//!
//! One multiplication and two additions per sample and frequency. The phase of a steady tone advances from one
//! window to the next by its true frequency, which tells it far more exactly than the width of the window does.

/// The sample rate of every detector, Hz.
pub const RATE: u32 = 8000;

/// What one frequency amounts to in a window. The phase is that at the window's last sample.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Bin {
    /// Real part.
    pub re: f32,
    /// Imaginary part.
    pub im: f32,
}

impl Bin {
    /// Squared magnitude.
    #[must_use]
    pub fn power(self) -> f32 {
        self.re * self.re + self.im * self.im
    }

    /// Magnitude.
    #[must_use]
    pub fn magnitude(self) -> f32 {
        self.power().sqrt()
    }

    /// How far a tone heard near `hz` is away from it, Hz, when this bin was `hop` samples after `before`.
    /// Unambiguous within half of [`RATE`] / `hop`.
    #[must_use]
    pub fn offset_hz(self, before: Self, hz: f32, hop: usize) -> f32 {
        let re = self.re * before.re + self.im * before.im;
        let im = self.im * before.re - self.re * before.im;
        let expected = turns(hz, hop);
        let turned = f64::from(im.atan2(re)) / std::f64::consts::TAU - expected;
        ((turned - turned.round()) * f64::from(RATE) / hop as f64) as f32
    }
}

fn turns(hz: f32, samples: usize) -> f64 {
    f64::from(hz) * samples as f64 / f64::from(RATE)
}

/// Measures `N` frequencies of the same samples at once.
#[derive(Debug, Clone)]
pub struct Bank<const N: usize> {
    cos: [f32; N],
    sin: [f32; N],
}

impl<const N: usize> Bank<N> {
    /// A bank for frequencies in Hz.
    #[must_use]
    pub fn new(frequencies: [f32; N]) -> Self {
        let angles = frequencies.map(|hz| (std::f64::consts::TAU * turns(hz, 1)).sin_cos());
        Self { cos: angles.map(|(_, cos)| cos as f32), sin: angles.map(|(sin, _)| sin as f32) }
    }

    /// What each frequency amounts to in these samples.
    #[must_use]
    pub fn measure(&self, samples: &[f32]) -> [Bin; N] {
        let feedback = self.cos.map(|cos| 2.0 * cos);
        let (mut newer, mut older) = ([0.0_f32; N], [0.0_f32; N]);
        for &sample in samples {
            // The bracket does not wait for the step before. Written so, compilers do four at a time.
            let next = std::array::from_fn(|index| feedback[index] * newer[index] + (sample - older[index]));
            older = newer;
            newer = next;
        }
        std::array::from_fn(|index| Bin {
            re: newer[index] - older[index] * self.cos[index],
            im: older[index] * self.sin[index],
        })
    }
}

/// Energy of samples. Eight sums side by side, so that no addition waits for the one before.
#[must_use]
pub fn energy(samples: &[f32]) -> f32 {
    let (eights, rest) = samples.as_chunks::<8>();
    let mut sums = [0.0_f32; 8];
    for eight in eights {
        for (sum, sample) in sums.iter_mut().zip(eight) {
            *sum += sample * sample;
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|sample| sample * sample).sum::<f32>()
}

/// A window of `N` samples that falls to zero at both ends (von Hann), so that loud tones do not spill over quiet
/// ones.
#[derive(Debug, Clone)]
pub struct Hann<const N: usize>([f32; N]);

impl<const N: usize> Hann<N> {
    /// Sum of all weights.
    pub const SUM: f32 = N as f32 / 2.0;
    /// Sum of their squares.
    pub const SQUARES: f32 = N as f32 * 0.375;

    /// The weights.
    #[must_use]
    pub fn new() -> Self {
        let angle = |index: usize| std::f64::consts::PI * (index as f64 + 0.5) / N as f64;
        Self(std::array::from_fn(|index| angle(index).sin().powi(2) as f32))
    }

    /// The weighted samples and their energy.
    #[must_use]
    pub fn apply(&self, samples: &[f32; N]) -> ([f32; N], f32) {
        let weighted: [f32; N] = std::array::from_fn(|index| samples[index] * self.0[index]);
        (weighted, energy(&weighted))
    }

    /// Peak amplitude of the tone that gave such a bin.
    #[must_use]
    pub fn amplitude(bin: Bin) -> f32 {
        2.0 * bin.magnitude() / Self::SUM
    }

    /// Energy in the weighted samples of a tone with that peak amplitude.
    #[must_use]
    pub fn energy_of(amplitude: f32) -> f32 {
        amplitude * amplitude / 2.0 * Self::SQUARES
    }

    /// What is left of the amplitude of a tone that is measured `hz` beside its frequency.
    #[must_use]
    pub fn response(hz: f32) -> f32 {
        let bins = (hz * N as f32 / RATE as f32).abs();
        if bins < 1e-3 {
            return 1.0;
        }
        if (bins - 1.0).abs() < 1e-3 {
            return 0.5;
        }
        let angle = std::f32::consts::PI * bins;
        (angle.sin() / angle / (1.0 - bins * bins)).abs()
    }
}

impl<const N: usize> Default for Hann<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// The newest `N` samples, given out again after every `hop`, whatever the length of the chunks they come in.
#[derive(Debug, Clone)]
pub struct Sliding<const N: usize> {
    samples: [f32; N],
    hop: usize,
    /// Samples since the last hop.
    fresh: usize,
    /// Samples heard since the beginning.
    position: u64,
}

impl<const N: usize> Sliding<N> {
    /// Nothing but silence so far. A hop is 1 to `N` samples.
    #[must_use]
    pub fn new(hop: usize) -> Self {
        Self { samples: [0.0; N], hop: hop.clamp(1, N), fresh: 0, position: 0 }
    }

    /// Takes from the front of `samples` what is left to the next hop; whether that is reached.
    pub fn take(&mut self, samples: &mut &[i16]) -> bool {
        let count = (self.hop - self.fresh).min(samples.len());
        let (now, later) = samples.split_at(count);
        let start = N - self.hop + self.fresh;
        for (slot, &sample) in self.samples[start..].iter_mut().zip(now) {
            *slot = f32::from(sample);
        }
        self.fresh += count;
        self.position += count as u64;
        *samples = later;
        self.fresh == self.hop
    }

    /// The window that ends with the hop just reached.
    #[must_use]
    pub fn window(&self) -> &[f32; N] {
        &self.samples
    }

    /// Makes room for the next hop. Call after the window was looked at.
    pub fn advance(&mut self) {
        self.samples.copy_within(self.hop.., 0);
        self.fresh = 0;
    }

    /// Samples heard since the beginning.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::tone::{ToneGenerator, ToneSpec};

    fn tone(hz: f32, level: f32, samples: usize) -> Vec<i16> {
        let mut out = vec![0; samples];
        ToneGenerator::new(ToneSpec::continuous(hz, level), RATE).fill(&mut out);
        out
    }

    fn last_windows(samples: &[i16]) -> [[f32; 160]; 2] {
        let window = |end: usize| std::array::from_fn(|index| f32::from(samples[end - 160 + index]));
        [window(samples.len() - 40), window(samples.len())]
    }

    #[test]
    fn amplitude_and_frequency_are_told_between_the_bins() {
        let hann = Hann::<160>::new();
        let bank = Bank::new([852.0]);
        for hz in [822.0, 840.0, 852.0, 861.5, 882.0] {
            let [before, after] = last_windows(&tone(hz, -10.0, 800)).map(|window| {
                let (weighted, _) = hann.apply(&window);
                bank.measure(&weighted)[0]
            });
            let offset = after.offset_hz(before, 852.0, 40);
            assert!((offset - (hz - 852.0)).abs() < 0.3, "{hz}: {offset}");
            let amplitude = Hann::<160>::amplitude(after) / Hann::<160>::response(offset);
            assert!((amplitude / 7219.0 - 1.0).abs() < 0.01, "{hz}: {amplitude}");
        }
    }

    #[test]
    fn a_pure_tone_is_all_the_energy_there_is() {
        let hann = Hann::<160>::new();
        let [_, window] = last_windows(&tone(1209.0, -20.0, 800));
        let (weighted, energy) = hann.apply(&window);
        let [bin] = Bank::new([1209.0]).measure(&weighted);
        let share = Hann::<160>::energy_of(Hann::<160>::amplitude(bin)) / energy;
        assert!((share - 1.0).abs() < 0.01, "{share}");
    }

    #[test]
    fn any_chunks_give_the_same_windows() {
        let samples: Vec<i16> = (0..1000).map(|n| (n * 37 % 1001) as i16).collect();
        let windows_of = |lengths: &[usize]| {
            let (mut sliding, mut rest) = (Sliding::<160>::new(40), &samples[..]);
            let mut windows = Vec::new();
            for &length in lengths.iter().cycle() {
                let (mut chunk, later) = rest.split_at(length.min(rest.len()));
                while !chunk.is_empty() {
                    if sliding.take(&mut chunk) {
                        windows.push((sliding.position(), *sliding.window()));
                        sliding.advance();
                    }
                }
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            windows
        };
        let whole = windows_of(&[1000]);
        assert_eq!(whole.len(), 25);
        assert_eq!(whole[24].1[159], f32::from(samples[999]));
        assert_eq!(whole, windows_of(&[1, 39, 40, 41, 160, 7]));
    }
}
