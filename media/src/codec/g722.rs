//! ITU-T G.722 at 64 kbit/s: two bands of 8000 samples per second, 6 bits of each lower and 2 bits of each upper sample.
//!
//! Audio is 16 kHz and 16 bits; one byte of payload carries two samples. The names of blocks and signals are those of
//! the Recommendation, clause 6. Encoder and decoder are exact to the bit, also where the arithmetic saturates.

mod lanes;

use lanes::{Lanes, TAPS};

/// What the encoder remembers between frames.
#[derive(Debug, Clone)]
pub struct Encoder {
    bands: Bands,
    /// The last samples, oldest first.
    delay: [i16; TAPS - 2],
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// The state after reset.
    #[must_use]
    pub fn new() -> Self {
        Self { bands: Bands::new([LOWER_RESET, UPPER_RESET]), delay: [0; TAPS - 2] }
    }

    /// Encodes pairs of samples into a byte each, as many as fit, and returns the bytes written.
    pub fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> usize {
        let count = (samples.len() / 2).min(out.len());
        let mut line = [0; TAPS - 2 + 2 * CHUNK];
        for (samples, out) in samples[..2 * count].chunks(2 * CHUNK).zip(out[..count].chunks_mut(CHUNK)) {
            line[..TAPS - 2].copy_from_slice(&self.delay);
            line[TAPS - 2..][..samples.len()].copy_from_slice(samples);
            // In a place of its own the compiler keeps it in registers.
            let mut bands = self.bands;
            for (pair, out) in out.iter_mut().enumerate() {
                let Some(line) = line[2 * pair..].first_chunk() else { break };
                *out = bands.encode(limit(Lanes::split(line)));
            }
            self.bands = bands;
            self.delay.copy_from_slice(&line[samples.len()..][..TAPS - 2]);
        }
        count
    }
}

/// What the decoder remembers between frames.
#[derive(Debug, Clone)]
pub struct Decoder {
    bands: Bands,
    /// The last sums and differences of the bands, oldest first.
    sums: [i16; TAPS / 2 - 1],
    differences: [i16; TAPS / 2 - 1],
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// The state after reset.
    #[must_use]
    pub fn new() -> Self {
        Self {
            bands: Bands::new([LOWER_RESET, UPPER_RESET]),
            sums: [0; TAPS / 2 - 1],
            differences: [0; TAPS / 2 - 1],
        }
    }

    /// Decodes each byte into two samples, as many as fit, and returns the samples written.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        const DELAY: usize = TAPS / 2 - 1;
        // The filters also look at what lies behind the newest, without effect.
        const BEHIND: usize = 4;
        let count = payload.len().min(out.len() / 2);
        let (mut sums, mut differences) = ([0; DELAY + CHUNK + BEHIND], [0; DELAY + CHUNK + BEHIND]);
        for (payload, out) in payload[..count].chunks(CHUNK).zip(out[..2 * count].chunks_mut(2 * CHUNK)) {
            sums[..DELAY].copy_from_slice(&self.sums);
            differences[..DELAY].copy_from_slice(&self.differences);
            let mut bands = self.bands;
            for ((&byte, sum), difference) in
                payload.iter().zip(&mut sums[DELAY..]).zip(&mut differences[DELAY..])
            {
                let (low, high) = bands.decode(byte).to_pair();
                // Both are within 15 bits.
                (*sum, *difference) = (low + high, low - high);
            }
            self.bands = bands;
            for (pair, out) in out.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                let lines = (differences[pair..].first_chunk(), sums[pair..].first_chunk());
                let (Some(differences), Some(sums)) = lines else { break };
                let (first, second) = Lanes::join(differences, sums).to_pair();
                *out = [first, second];
            }
            self.sums.copy_from_slice(&sums[payload.len()..][..DELAY]);
            self.differences.copy_from_slice(&differences[payload.len()..][..DELAY]);
        }
        2 * count
    }
}

/// Both bands: adaptive quantisers and predictors, the same on both ends of the line. In pairs of lanes the lower band
/// is the first.
#[derive(Debug, Clone, Copy)]
struct Bands {
    /// The coefficients BL and BH of the zeros, from the first lane on.
    zeros: [Lanes; 2],
    /// The quantised differences DLT and DH, the newest first.
    differences: [Lanes; 2],
    /// The coefficients AL and AH of the poles: first and second.
    poles: [Lanes; 2],
    /// The last partially reconstructed signals PLT and PH.
    partial: [Lanes; 2],
    /// The last reconstructed signals RLT and RH, doubled.
    reconstructed: Lanes,
    /// What the zeros contribute to the prediction: SZL and SZH.
    from_zeros: Lanes,
    /// SL and SH.
    prediction: Lanes,
    /// The logarithms NBL and NBH of the scale factors.
    log_scales: [i32; 2],
    /// The scale factors DETL and DETH.
    scales: [i32; 2],
}

impl Bands {
    fn new(scales: [i32; 2]) -> Self {
        let zero = Lanes::splat(0);
        Self {
            zeros: [zero; 2],
            differences: [zero; 2],
            poles: [zero; 2],
            partial: [zero; 2],
            reconstructed: zero,
            from_zeros: zero,
            prediction: zero,
            log_scales: [0; 2],
            scales,
        }
    }

    /// A sample of each band, of 15 bits.
    #[inline(always)]
    fn encode(&mut self, samples: Lanes) -> u8 {
        // BLOCK 1: SUBTRA.
        let errors = samples.saturating_sub(self.prediction);
        let magnitudes = errors.xor(errors.shift_right::<15>());
        let (error, upper_error) = errors.to_pair();
        // QUANTL.
        let step = magnitudes.splat_first().decisions_passed(self.scales[0] as u16);
        let lower = LOWER_CODES[usize::from(error < 0)][step];
        // QUANTH.
        let (_, magnitude) = magnitudes.to_pair();
        let near = i32::from(magnitude) < (564 * self.scales[1]) >> 12;
        let upper = u8::from(near) | u8::from(upper_error >= 0) << 1;
        self.adapt(lower, upper);
        upper << 6 | lower
    }

    /// The samples of both bands, of 15 bits.
    #[inline(always)]
    fn decode(&mut self, byte: u8) -> Lanes {
        let (lower, upper) = (byte & 0x3F, byte >> 6);
        // BLOCK 5, BLOCK 6.
        let low = (self.scales[0] * i32::from(QM6[usize::from(lower)])) >> 15;
        let high = (self.scales[1] * i32::from(QM2[usize::from(upper)])) >> 15;
        let samples = limit(self.prediction.saturating_add(Lanes::pair(low as i16, high as i16)));
        self.adapt(lower, upper);
        samples
    }

    /// BLOCK 2 and 3, with the codes IL and IH.
    #[inline(always)]
    fn adapt(&mut self, lower: u8, upper: u8) {
        let (lower, upper) = (usize::from(lower >> 2 & 15), usize::from(upper & 3));
        let low = (self.scales[0] * i32::from(QM4[lower])) >> 15;
        let high = (self.scales[1] * i32::from(QM2[upper])) >> 15;
        let [low_log, high_log] = self.log_scales;
        let low_log = (((low_log * 127) >> 7) + WL[lower]).clamp(0, LOWER_MOST);
        let high_log = (((high_log * 127) >> 7) + WH[upper]).clamp(0, UPPER_MOST);
        self.log_scales = [low_log, high_log];
        self.scales = [
            i32::from(LOWER_SCALES[(low_log >> 6) as usize]),
            i32::from(UPPER_SCALES[(high_log >> 6) as usize]),
        ];
        self.predict(Lanes::pair(low as i16, high as i16));
    }

    /// BLOCK 4: adapts the predictors to the quantised differences and predicts the next samples.
    #[inline(always)]
    fn predict(&mut self, difference: Lanes) {
        let from_zeros = self.filter_zeros(difference);
        // PARREC, RECONS.
        let partial = self.from_zeros.saturating_add(difference);
        let reconstructed = self.prediction.saturating_add(difference);
        let reconstructed = reconstructed.saturating_add(reconstructed);
        // All ones where signs differ.
        let differ = partial.xor(self.partial[0]).shift_right::<15>();
        let differ_before = partial.xor(self.partial[1]).shift_right::<15>();
        // UPPOL2.
        let [first, second] = self.poles;
        let twice = first.saturating_add(first);
        let four = twice.saturating_add(twice);
        let minus_four = Lanes::splat(0).saturating_sub(four);
        let toward = minus_four.xor(minus_four.xor(four).and(differ));
        let second = leaked(second, 7)
            .add(toward.shift_right::<7>())
            .add(signed(128, differ_before))
            .min(Lanes::splat(12_288))
            .max(Lanes::splat(-12_288));
        // UPPOL1.
        let bound = Lanes::splat(15_360).sub(second);
        let first = leaked(first, 8).add(signed(192, differ)).min(bound).max(Lanes::splat(0).sub(bound));
        // FILTEP, PREDIC.
        let from_poles = first.multiply(reconstructed).saturating_add(second.multiply(self.reconstructed));
        self.prediction = from_poles.saturating_add(from_zeros);
        self.poles = [first, second];
        self.partial = [partial, self.partial[0]];
        self.reconstructed = reconstructed;
        self.from_zeros = from_zeros;
    }

    /// UPZERO, FILTEZ.
    #[inline(always)]
    fn filter_zeros(&mut self, difference: Lanes) -> Lanes {
        let step = difference.is_zero().and_not(Lanes::splat(128));
        let low =
            self.weigh(0, difference.splat_first(), step.splat_first(), difference.and(Lanes::pair(-1, 0)));
        let high = self.weigh(1, difference.splat_second(), step.splat_second(), difference.down::<2>());
        // Sums saturate, so that their order matters: from the oldest on.
        let (newer, older) = (low.zip_low(high), low.zip_high(high));
        let sum = older.down::<4>().saturating_add(older);
        let sum = sum.saturating_add(newer.down::<12>()).saturating_add(newer.down::<8>());
        sum.saturating_add(newer.down::<4>()).saturating_add(newer)
    }

    /// The product of each coefficient and its difference, in one band. `newest` has the difference in its first lane
    /// only.
    #[inline(always)]
    fn weigh(&mut self, band: usize, difference: Lanes, step: Lanes, newest: Lanes) -> Lanes {
        let turn = self.differences[band].xor(difference).shift_right::<15>();
        let zeros = leaked(self.zeros[band], 8).saturating_add(step.xor(turn).sub(turn));
        let differences = self.differences[band].up::<2>().add(newest);
        self.zeros[band] = zeros;
        self.differences[band] = differences;
        // A difference has at most 14 bits and a sign: doubling it cannot saturate.
        zeros.multiply(differences.add(differences))
    }
}

/// A coefficient less one part in 2 to the `bits`, rounded down.
#[inline(always)]
fn leaked(coefficient: Lanes, bits: u32) -> Lanes {
    coefficient.add(coefficient.multiply_high(Lanes::splat(-1 << (16 - bits))))
}

/// A step, negative where `negative` is all ones.
#[inline(always)]
fn signed(step: i16, negative: Lanes) -> Lanes {
    Lanes::splat(step).xor(negative).sub(negative)
}

/// A sample of a band has 15 bits.
#[inline(always)]
fn limit(samples: Lanes) -> Lanes {
    samples.min(Lanes::splat(16_383)).max(Lanes::splat(-16_384))
}

/// Pairs of samples that are filtered at once: 20 ms.
const CHUNK: usize = 160;

/// Scale factors after reset.
const LOWER_RESET: i32 = 32;
const UPPER_RESET: i32 = 8;

/// The largest logarithms of scale factors.
const LOWER_MOST: i32 = 18_432;
const UPPER_MOST: i32 = 22_528;

/// Table 14: IL by sign and by how many decision levels were passed.
const LOWER_CODES: [[u8; 30]; 2] = {
    let mut codes = [[0; 30]; 2];
    let mut step = 0;
    while step < 30 {
        codes[0][step] = 61 - step as u8;
        codes[1][step] = if step < 2 { 63 } else { 33 } - step as u8;
        step += 1;
    }
    codes
};

/// Table 15: output levels of the inverse 6-bit quantiser, by IL.
const QM6: [i16; 64] = [
    -136, -136, -136, -136, -24_808, -21_904, -19_008, -16_704, -14_984, -13_512, -12_280, -11_192, -10_232,
    -9360, -8576, -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776, -2400, -2032,
    -1688, -1360, -1040, -728, 24_808, 21_904, 19_008, 16_704, 14_984, 13_512, 12_280, 11_192, 10_232, 9360,
    8576, 7856, 7192, 6576, 6000, 5456, 4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040,
    728, 432, 136, -432, -136,
];

/// Table 15: output levels of the inverse 4-bit quantiser.
const QM4: [i16; 16] =
    [0, -20_456, -12_896, -8968, -6288, -4240, -2584, -1200, 20_456, 12_896, 8968, 6288, 4240, 2584, 1200, 0];

/// Table 18: output levels of the inverse 2-bit quantiser, by IH.
const QM2: [i16; 4] = [-7408, -1616, 7408, 1616];

/// Table 16: what a code adds to the logarithm of the lower scale factor.
const WL: [i32; 16] = [-60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60];

/// Table 19: what a code adds to the logarithm of the upper scale factor.
const WH: [i32; 4] = [798, -214, 798, -214];

/// Table 17: an octave of the inverse logarithm.
const ILB: [u16; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834, 2896,
    2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];

/// SCALEL.
static LOWER_SCALES: [u16; (LOWER_MOST >> 6) as usize + 1] = scales(8);

/// SCALEH.
static UPPER_SCALES: [u16; (UPPER_MOST >> 6) as usize + 1] = scales(10);

/// Scale factors by the upper bits of their logarithm.
const fn scales<const COUNT: usize>(shift: usize) -> [u16; COUNT] {
    let mut scales = [0; COUNT];
    let mut index = 0;
    while index < COUNT {
        let (octave, mantissa) = (index / 32, ILB[index % 32]);
        let scale = if octave > shift { mantissa << (octave - shift) } else { mantissa >> (shift - octave) };
        scales[index] = scale << 2;
        index += 1;
    }
    scales
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A test sequence of Appendix II as a file of 16-bit words, low byte first, has this CRC-32 (ITU's own list).
    fn crc32(words: &[u16]) -> u32 {
        !words.iter().flat_map(|word| word.to_le_bytes()).fold(!0, |crc, byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc: u32, _| {
                (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
            })
        })
    }

    /// T1C2.XMT, the sequence that provokes overflows. The lowest bit of a word is the reset signal.
    fn overflows() -> Vec<u16> {
        let mut words = vec![1; 16];
        words.extend([0x8000, 0x7FFE].iter().cycle().take(639));
        words.extend([0x0000, 0xB1E0, 0xC000]);
        words.extend([0x8000, 0x7FFE, 0x8000].iter().cycle().take(126));
        words.extend([1; 16]);
        words
    }

    #[test]
    fn the_published_sequence_of_overflows_is_exact_to_the_bit() {
        // Appendix II, configurations 1 and 2: the filters are left out, both bands get the same words.
        let input = overflows();
        assert_eq!(crc32(&input), 0x2D60_4685, "bt1c2.xmt");
        let mut encoder = Bands::new([LOWER_RESET, UPPER_RESET]);
        let codes: Vec<u16> = input
            .iter()
            .map(|&word| {
                let sample = word as i16 >> 1;
                if word & 1 == 1 { 1 } else { u16::from(encoder.encode(Lanes::pair(sample, sample))) << 8 }
            })
            .collect();
        assert_eq!(crc32(&codes), 0x344E_A5D0, "bt2r2.cod");
        let mut decoder = Bands::new([LOWER_RESET, UPPER_RESET]);
        let (low, high): (Vec<u16>, Vec<u16>) = codes
            .iter()
            .map(|&word| {
                if word & 1 == 1 {
                    return (1, 1);
                }
                let (low, high) = decoder.decode((word >> 8) as u8).to_pair();
                ((low << 1) as u16, (high << 1) as u16)
            })
            .unzip();
        assert_eq!(crc32(&low), 0xAF00_F31F, "bt3l2.rc1");
        assert_eq!(crc32(&high), 0x5330_AE2E, "bt3h2.rc0");
    }

    fn noise(seed: &mut u32) -> i16 {
        *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (*seed >> 16) as i16
    }

    /// Silence, tones, noise, bursts and steps, at levels up to full scale, 16 kHz.
    fn signals() -> Vec<(String, Vec<i16>)> {
        let mut seed = 1;
        let mut signals = vec![("silence".to_owned(), vec![0; 1600])];
        for hz in [50.0, 300.0, 1000.0, 2700.0, 3900.0, 4100.0, 6000.0, 7900.0] {
            for peak in [3.0, 300.0, 10_000.0, 32_700.0] {
                let tone = |at: usize| (at as f64 * hz / 16_000.0 * std::f64::consts::TAU).sin() * peak;
                signals
                    .push((format!("{hz} Hz, peak {peak}"), (0..4800).map(|at| tone(at) as i16).collect()));
            }
        }
        for shift in [0, 2, 6, 12] {
            let samples = (0..16_000).map(|_| noise(&mut seed) >> shift).collect();
            signals.push((format!("noise / {}", 1 << shift), samples));
        }
        // Like speech: pulses through a resonance, with pauses.
        let (mut last, mut before) = (0.0, 0.0);
        let speech = (0..32_000).map(|at| {
            let pulse =
                if at % 133 == 0 && at % 8000 < 5000 { 4000.0 } else { f64::from(noise(&mut seed)) / 400.0 };
            (last, before) = (pulse + 1.7 * last - 0.81 * before, last);
            last as i16
        });
        signals.push(("speech-like".to_owned(), speech.collect()));
        let steps = (0..3200).map(|at| if at / 40 % 2 == 0 { 16_000 } else { -16_000 });
        signals.push(("square".to_owned(), steps.collect()));
        signals
    }

    #[test]
    fn another_implementation_encodes_and_decodes_the_same_bits() {
        use audio_codec::{Decoder as _, Encoder as _, g722};
        for (name, samples) in signals() {
            let mut payload = vec![0; samples.len() / 2];
            // Its encoder begins with scale factors four times those of the Recommendation, its decoder with none.
            let bands = Bands::new([4 * LOWER_RESET, 4 * UPPER_RESET]);
            let mut encoder = Encoder { bands, ..Encoder::new() };
            assert_eq!(encoder.encode(&samples, &mut payload), payload.len());
            let theirs = g722::G722Encoder::new().encode(&samples);
            assert_eq!(payload.iter().zip(&theirs).position(|(a, b)| a != b), None, "{name}");
            let mut decoded = vec![0; samples.len()];
            let mut decoder = Decoder { bands: Bands::new([0; 2]), ..Decoder::new() };
            assert_eq!(decoder.decode(&payload, &mut decoded), decoded.len());
            let theirs = g722::G722Decoder::new().decode(&payload);
            assert_eq!(decoded.iter().zip(&theirs).position(|(a, b)| a != b), None, "{name}");
        }
    }

    #[test]
    fn another_implementation_decodes_random_bytes_the_same() {
        use audio_codec::{Decoder as _, g722};
        let mut seed = 7;
        let payload: Vec<u8> = (0..200_000).map(|_| noise(&mut seed) as u8).collect();
        let mut decoded = vec![0; 400_000];
        Decoder { bands: Bands::new([0; 2]), ..Decoder::new() }.decode(&payload, &mut decoded);
        let theirs = g722::G722Decoder::new().decode(&payload);
        assert_eq!(decoded.iter().zip(&theirs).position(|(a, b)| a != b), None);
    }

    #[test]
    fn the_length_of_pieces_changes_nothing() {
        let (_, samples) = signals().pop().unwrap();
        let mut whole = vec![0; samples.len() / 2];
        Encoder::new().encode(&samples, &mut whole);
        let mut encoder = Encoder::new();
        let mut pieces = Vec::new();
        for piece in samples.chunks(46) {
            let mut payload = [0; 40];
            let written = encoder.encode(piece, &mut payload);
            pieces.extend_from_slice(&payload[..written]);
        }
        assert_eq!(pieces, whole);
        let (mut one, mut many) = (vec![0; samples.len()], Vec::new());
        Decoder::new().decode(&whole, &mut one);
        let mut decoder = Decoder::new();
        for piece in whole.chunks(7) {
            let mut audio = [0; 14];
            let written = decoder.decode(piece, &mut audio);
            many.extend_from_slice(&audio[..written]);
        }
        assert_eq!(many, one);
    }

    #[test]
    fn a_small_output_is_not_overrun() {
        assert_eq!(Encoder::new().encode(&[1; 320], &mut [0; 10]), 10);
        assert_eq!(Encoder::new().encode(&[1; 3], &mut [0; 10]), 1);
        assert_eq!(Decoder::new().decode(&[1; 160], &mut [0; 11]), 10);
        assert_eq!(Decoder::new().decode(&[], &mut [0; 11]), 0);
    }

    #[test]
    fn a_tone_survives_with_little_noise() {
        // The filters delay by 22 samples.
        let tone: Vec<i16> = (0..16_000).map(|at| ((f64::from(at) * 0.3).sin() * 8000.0) as i16).collect();
        let (mut payload, mut decoded) = (vec![0; 8000], vec![0; 16_000]);
        Encoder::new().encode(&tone, &mut payload);
        Decoder::new().decode(&payload, &mut decoded);
        let (mut signal, mut error) = (0.0, 0.0);
        for (sample, heard) in tone.iter().zip(&decoded[22..]).skip(1000) {
            signal += f64::from(*sample).powi(2);
            error += (f64::from(*heard) - f64::from(*sample)).powi(2);
        }
        assert!(10.0 * (signal / error).log10() > 30.0, "{}", 10.0 * (signal / error).log10());
    }
}
