//! ITU-T G.722 at 64 kbit/s: two bands of 8000 samples per second, 6 bits of each lower and 2 bits of each upper sample.
//!
//! Audio is 16 kHz and 16 bits; one byte of payload carries two samples. The names of blocks and signals are those of
//! the Recommendation, clause 6. Encoder and decoder are exact to the bit, also where the arithmetic saturates.

mod lanes;

use lanes::{Lanes, decisions_passed};

/// What the encoder remembers between frames.
#[derive(Debug, Clone)]
pub struct Encoder {
    lower: Band,
    upper: Band,
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
        Self { lower: Band::new(LOWER_RESET), upper: Band::new(UPPER_RESET), delay: [0; TAPS - 2] }
    }

    /// Encodes pairs of samples into a byte each, as many as fit, and returns the bytes written.
    pub fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> usize {
        let count = (samples.len() / 2).min(out.len());
        let mut line = [0; TAPS - 2 + 2 * CHUNK];
        for (samples, out) in samples[..2 * count].chunks(2 * CHUNK).zip(out[..count].chunks_mut(CHUNK)) {
            line[..TAPS - 2].copy_from_slice(&self.delay);
            line[TAPS - 2..][..samples.len()].copy_from_slice(samples);
            for (pair, out) in out.iter_mut().enumerate() {
                let (low, high) = split(&line[2 * pair..]);
                *out = self.encode_bands(low, high);
            }
            self.delay.copy_from_slice(&line[samples.len()..][..TAPS - 2]);
        }
        count
    }

    /// Both ADPCM encoders, behind the filters.
    #[inline]
    fn encode_bands(&mut self, low: i16, high: i16) -> u8 {
        let lower = self.lower.quantize_lower(low);
        let upper = self.upper.quantize_upper(high);
        self.lower.adapt_lower(lower >> 2);
        self.upper.adapt_upper(upper);
        upper << 6 | lower
    }
}

/// What the decoder remembers between frames.
#[derive(Debug, Clone)]
pub struct Decoder {
    lower: Band,
    upper: Band,
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
            lower: Band::new(LOWER_RESET),
            upper: Band::new(UPPER_RESET),
            sums: [0; TAPS / 2 - 1],
            differences: [0; TAPS / 2 - 1],
        }
    }

    /// Decodes each byte into two samples, as many as fit, and returns the samples written.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        const DELAY: usize = TAPS / 2 - 1;
        let count = payload.len().min(out.len() / 2);
        let (mut sums, mut differences) = ([0; DELAY + CHUNK], [0; DELAY + CHUNK]);
        for (payload, out) in payload[..count].chunks(CHUNK).zip(out[..2 * count].chunks_mut(2 * CHUNK)) {
            sums[..DELAY].copy_from_slice(&self.sums);
            differences[..DELAY].copy_from_slice(&self.differences);
            for ((&byte, sum), difference) in
                payload.iter().zip(&mut sums[DELAY..]).zip(&mut differences[DELAY..])
            {
                let (low, high) = self.decode_bands(byte);
                // Both are within 15 bits.
                (*sum, *difference) = (low + high, low - high);
            }
            for (pair, out) in out.chunks_exact_mut(2).enumerate() {
                out[0] = join(&differences[pair..], &QMF_REVERSED);
                out[1] = join(&sums[pair..], &QMF);
            }
            self.sums.copy_from_slice(&sums[payload.len()..][..DELAY]);
            self.differences.copy_from_slice(&differences[payload.len()..][..DELAY]);
        }
        2 * count
    }

    /// Both ADPCM decoders, before the filters.
    #[inline]
    fn decode_bands(&mut self, byte: u8) -> (i16, i16) {
        let (lower, upper) = (byte & 0x3F, byte >> 6);
        // BLOCK 5L, BLOCK 6L, BLOCK 5H, BLOCK 6H.
        let low = i32::from(self.lower.prediction) + self.lower.scaled(QM6[usize::from(lower)]);
        let high = i32::from(self.upper.prediction) + self.upper.scaled(QM2[usize::from(upper)]);
        self.lower.adapt_lower(lower >> 2);
        self.upper.adapt_upper(upper);
        (limit(low), limit(high))
    }
}

/// One band: adaptive quantiser and predictor, the same on both ends of the line.
#[derive(Debug, Clone)]
struct Band {
    /// The coefficients BL or BH of the zeros.
    zeros: Lanes,
    /// The quantised differences DLT or DH, the newest first.
    differences: Lanes,
    /// The coefficients AL or AH of the poles.
    poles: [i32; 2],
    /// The last partially reconstructed signals PLT or PH.
    partial: [i16; 2],
    /// The last reconstructed signals RLT or RH.
    reconstructed: i16,
    /// What the zeros contribute to the prediction: SZL or SZH.
    from_zeros: i16,
    /// SL or SH.
    prediction: i16,
    /// The logarithm NBL or NBH of the scale factor.
    log_scale: i32,
    /// The scale factor DETL or DETH.
    scale: i32,
}

impl Band {
    fn new(scale: i32) -> Self {
        Self {
            zeros: Lanes::zero(),
            differences: Lanes::zero(),
            poles: [0; 2],
            partial: [0; 2],
            reconstructed: 0,
            from_zeros: 0,
            prediction: 0,
            log_scale: 0,
            scale,
        }
    }

    #[inline]
    fn scaled(&self, level: i16) -> i32 {
        (self.scale * i32::from(level)) >> 15
    }

    /// BLOCK 1L: SUBTRA, QUANTL. The 6 bits IL.
    #[inline]
    fn quantize_lower(&self, sample: i16) -> u8 {
        let error = sample.saturating_sub(self.prediction);
        let magnitude = error ^ (error >> 15);
        let step = decisions_passed(magnitude, self.scale as u16);
        if error >= 0 {
            61 - step
        } else if step < 2 {
            63 - step
        } else {
            33 - step
        }
    }

    /// BLOCK 1H: SUBTRA, QUANTH. The 2 bits IH.
    #[inline]
    fn quantize_upper(&self, sample: i16) -> u8 {
        let error = sample.saturating_sub(self.prediction);
        let magnitude = i32::from(error ^ (error >> 15));
        let far = magnitude >= (564 * self.scale) >> 12;
        u8::from(!far) | u8::from(error >= 0) << 1
    }

    /// BLOCK 2L to 4L, with the upper 4 bits of IL.
    #[inline]
    fn adapt_lower(&mut self, code: u8) {
        let code = usize::from(code & 15);
        let difference = self.scaled(QM4[code]) as i16;
        self.log_scale = (((self.log_scale * 127) >> 7) + WL[code]).clamp(0, LOWER_MOST);
        self.scale = i32::from(LOWER_SCALES[(self.log_scale >> 6) as usize]);
        self.predict(difference);
    }

    /// BLOCK 2H to 4H.
    #[inline]
    fn adapt_upper(&mut self, code: u8) {
        let code = usize::from(code & 3);
        let difference = self.scaled(QM2[code]) as i16;
        self.log_scale = (((self.log_scale * 127) >> 7) + WH[code]).clamp(0, UPPER_MOST);
        self.scale = i32::from(UPPER_SCALES[(self.log_scale >> 6) as usize]);
        self.predict(difference);
    }

    /// BLOCK 4: adapts the predictor to a quantised difference and predicts the next sample.
    #[inline]
    fn predict(&mut self, difference: i16) {
        // UPZERO, FILTEZ.
        self.zeros = self.zeros.adapt(self.differences, difference);
        self.differences = self.differences.shift_in(difference);
        let from_zeros = self.zeros.weigh(self.differences);
        // PARREC, RECONS.
        let partial = self.from_zeros.saturating_add(difference);
        let reconstructed = self.prediction.saturating_add(difference);
        // UPPOL2.
        let [first, second] = self.poles;
        let same = [partial ^ self.partial[0] >= 0, partial ^ self.partial[1] >= 0];
        let four = (4 * first).clamp(-32_768, 32_767);
        let toward = if same[0] { (-four).min(32_767) } else { four };
        let sign = if same[1] { 128 } else { -128 };
        let second = (sign + (toward >> 7) + ((second * 32_512) >> 15)).clamp(-12_288, 12_288);
        // UPPOL1.
        let bound = 15_360 - second;
        let sign = if same[0] { 192 } else { -192 };
        let first = (sign + ((first * 32_640) >> 15)).clamp(-bound, bound);
        // FILTEP, PREDIC.
        let newest = i32::from(reconstructed.saturating_mul(2));
        let older = i32::from(self.reconstructed.saturating_mul(2));
        let from_poles = ((first * newest) >> 15) as i16;
        let from_poles = from_poles.saturating_add(((second * older) >> 15) as i16);
        self.poles = [first, second];
        self.partial = [partial, self.partial[0]];
        self.reconstructed = reconstructed;
        self.from_zeros = from_zeros;
        self.prediction = from_poles.saturating_add(from_zeros);
    }
}

/// The transmit filters: the newest sample of each band.
#[inline]
fn split(line: &[i16]) -> (i16, i16) {
    let Some(line) = line.first_chunk::<TAPS>() else { return (0, 0) };
    let (mut low, mut high) = (0, 0);
    for tap in 0..TAPS {
        low += i32::from(line[tap]) * i32::from(QMF_LOW[tap]);
        high += i32::from(line[tap]) * i32::from(QMF_HIGH[tap]);
    }
    (limit(low >> 14), limit(high >> 14))
}

/// The receive filters: one sample of audio.
#[inline]
fn join(line: &[i16], taps: &[i16; TAPS / 2]) -> i16 {
    let Some(line) = line.first_chunk::<{ TAPS / 2 }>() else { return 0 };
    let sum: i32 = line.iter().zip(taps).map(|(&sample, &tap)| i32::from(sample) * i32::from(tap)).sum();
    (sum >> 11).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

/// A sample of a band has 15 bits.
#[inline]
fn limit(sample: i32) -> i16 {
    sample.clamp(-16_384, 16_383) as i16
}

/// Taps of the quadrature mirror filters.
const TAPS: usize = 24;

/// Pairs of samples that are filtered at once: 20 ms.
const CHUNK: usize = 160;

/// Scale factors after reset.
const LOWER_RESET: i32 = 32;
const UPPER_RESET: i32 = 8;

/// The largest logarithms of scale factors.
const LOWER_MOST: i32 = 18_432;
const UPPER_MOST: i32 = 22_528;

/// Table 11: half of the symmetric impulse response, 13 bits behind the point.
const QMF: [i16; TAPS / 2] = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11];

const QMF_REVERSED: [i16; TAPS / 2] = {
    let mut taps = QMF;
    let mut tap = 0;
    while tap < taps.len() {
        taps[tap] = QMF[QMF.len() - 1 - tap];
        tap += 1;
    }
    taps
};

/// Both halves, interleaved.
const QMF_LOW: [i16; TAPS] = {
    let mut taps = [0; TAPS];
    let mut tap = 0;
    while tap < TAPS {
        taps[tap] = if tap % 2 == 0 { QMF[tap / 2] } else { QMF_REVERSED[tap / 2] };
        tap += 1;
    }
    taps
};

/// The mirror image.
const QMF_HIGH: [i16; TAPS] = {
    let mut taps = QMF_LOW;
    let mut tap = 0;
    while tap < TAPS {
        taps[tap] = -taps[tap];
        tap += 2;
    }
    taps
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
        let mut encoder = Encoder::new();
        let codes: Vec<u16> = input
            .iter()
            .map(|&word| {
                let sample = word as i16 >> 1;
                if word & 1 == 1 { 1 } else { u16::from(encoder.encode_bands(sample, sample)) << 8 }
            })
            .collect();
        assert_eq!(crc32(&codes), 0x344E_A5D0, "bt2r2.cod");
        let mut decoder = Decoder::new();
        let (low, high): (Vec<u16>, Vec<u16>) = codes
            .iter()
            .map(|&word| {
                if word & 1 == 1 {
                    return (1, 1);
                }
                let (low, high) = decoder.decode_bands((word >> 8) as u8);
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
            let (lower, upper) = (Band::new(4 * LOWER_RESET), Band::new(4 * UPPER_RESET));
            let mut encoder = Encoder { lower, upper, ..Encoder::new() };
            assert_eq!(encoder.encode(&samples, &mut payload), payload.len());
            let theirs = g722::G722Encoder::new().encode(&samples);
            assert_eq!(payload.iter().zip(&theirs).position(|(a, b)| a != b), None, "{name}");
            let mut decoded = vec![0; samples.len()];
            let mut decoder = Decoder { lower: Band::new(0), upper: Band::new(0), ..Decoder::new() };
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
        Decoder { lower: Band::new(0), upper: Band::new(0), ..Decoder::new() }.decode(&payload, &mut decoded);
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
