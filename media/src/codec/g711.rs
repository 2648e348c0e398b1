//! G.711: logarithmic quantisation of 14-bit (µ-law) and 13-bit (A-law) samples into 8 bits.
//!
//! Samples are 16-bit with the quantiser's scale in the upper bits, as everywhere in this crate.

/// Encodes one sample with µ-law.
#[must_use]
#[inline]
pub fn encode_ulaw(sample: i16) -> u8 {
    ULAW_ENCODED[(sample as u16 >> 2) as usize]
}

/// Encodes one sample with A-law.
#[must_use]
#[inline]
pub fn encode_alaw(sample: i16) -> u8 {
    ALAW_ENCODED[(sample as u16 >> 4) as usize]
}

/// Decodes one µ-law byte.
#[must_use]
#[inline]
pub fn decode_ulaw(byte: u8) -> i16 {
    ULAW_DECODED[usize::from(byte)]
}

/// Decodes one A-law byte.
#[must_use]
#[inline]
pub fn decode_alaw(byte: u8) -> i16 {
    ALAW_DECODED[usize::from(byte)]
}

pub(super) fn encode(samples: &[i16], out: &mut [u8], law: impl Fn(i16) -> u8) -> usize {
    out.iter_mut().zip(samples).map(|(byte, &sample)| *byte = law(sample)).count()
}

pub(super) fn decode(payload: &[u8], out: &mut [i16], law: impl Fn(u8) -> i16) -> usize {
    out.iter_mut().zip(payload).map(|(sample, &byte)| *sample = law(byte)).count()
}

/// ITU-T G.711 table 2: chords of 16 steps, each chord twice as coarse, offset 33; all bits inverted on the line.
const fn ulaw_compress(sample: i16) -> u8 {
    // One's complement keeps the two halves symmetric around zero.
    let magnitude = (if sample < 0 { !sample } else { sample } >> 2) as u16 + ULAW_BIAS;
    let magnitude = if magnitude > 0x1FFF { 0x1FFF } else { magnitude };
    let chord = 10 - magnitude.leading_zeros() as u16;
    let step = (magnitude >> (chord + 1)) & 0xF;
    let sign = if sample < 0 { 0x80 } else { 0 };
    !(sign | ((chord << 4) | step) as u8)
}

const fn ulaw_expand(byte: u8) -> i16 {
    let code = !byte;
    let chord = (code >> 4) & 7;
    let step = (code & 0xF) as i16;
    // The middle of the step, at the scale of 16 bits.
    let magnitude = (((2 * step + 33) << chord) - ULAW_BIAS as i16) << 2;
    if code & 0x80 != 0 { -magnitude } else { magnitude }
}

/// ITU-T G.711 table 1: the two lowest chords share a step; even bits inverted on the line.
const fn alaw_compress(sample: i16) -> u8 {
    let magnitude = (if sample < 0 { !sample } else { sample } >> 4) as u16;
    let chord = if magnitude < 32 { magnitude >> 4 } else { 12 - magnitude.leading_zeros() as u16 };
    let step = (if chord > 1 { magnitude >> (chord - 1) } else { magnitude }) & 0xF;
    let sign = if sample < 0 { 0 } else { 0x80 };
    (sign | ((chord << 4) | step) as u8) ^ 0x55
}

const fn alaw_expand(byte: u8) -> i16 {
    let code = byte ^ 0x55;
    let chord = (code >> 4) & 7;
    let step = (code & 0xF) as i16;
    let magnitude = match chord {
        0 => (step << 4) + 8,
        _ => ((step << 4) + 0x108) << (chord - 1),
    };
    if code & 0x80 != 0 { magnitude } else { -magnitude }
}

const ULAW_BIAS: u16 = 33;

static ULAW_ENCODED: [u8; 1 << 14] = {
    let mut table = [0; 1 << 14];
    let mut index = 0;
    while index < table.len() {
        table[index] = ulaw_compress(((index as u16) << 2) as i16);
        index += 1;
    }
    table
};

static ALAW_ENCODED: [u8; 1 << 12] = {
    let mut table = [0; 1 << 12];
    let mut index = 0;
    while index < table.len() {
        table[index] = alaw_compress(((index as u16) << 4) as i16);
        index += 1;
    }
    table
};

static ULAW_DECODED: [i16; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < table.len() {
        table[index] = ulaw_expand(index as u8);
        index += 1;
    }
    table
};

static ALAW_DECODED: [i16; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < table.len() {
        table[index] = alaw_expand(index as u8);
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    type Law = (fn(i16) -> u8, fn(u8) -> i16);

    const LAWS: [Law; 2] = [(encode_ulaw, decode_ulaw), (encode_alaw, decode_alaw)];

    #[test]
    fn published_values_hold() {
        // ITU-T G.711 tables 1a to 2b: the end points and the first steps, at 16 bits.
        for (byte, sample) in [
            (0x80, 32_124),
            (0x00, -32_124),
            (0xFF, 0),
            (0x7F, 0),
            (0xFE, 8),
            (0x7E, -8),
            (0xF0, 120),
            (0xEF, 132),
        ] {
            assert_eq!(decode_ulaw(byte), sample, "µ-law {byte:#04x}");
        }
        for (byte, sample) in
            [(0xAA, 32_256), (0x2A, -32_256), (0xD5, 8), (0x55, -8), (0xD4, 24), (0xC5, 264), (0xF5, 528)]
        {
            assert_eq!(decode_alaw(byte), sample, "A-law {byte:#04x}");
        }
        assert_eq!(encode_ulaw(i16::MAX), 0x80);
        assert_eq!(encode_ulaw(i16::MIN), 0x00);
        assert_eq!(encode_alaw(i16::MAX), 0xAA);
        assert_eq!(encode_alaw(i16::MIN), 0x2A);
    }

    #[test]
    fn the_digital_milliwatt_is_one_khz_at_0_dbm0() {
        // ITU-T G.711 tables 5 and 6.
        let ulaw = [0x1E, 0x0B, 0x0B, 0x1E, 0x9E, 0x8B, 0x8B, 0x9E].map(decode_ulaw);
        let alaw = [0x34, 0x21, 0x21, 0x34, 0xB4, 0xA1, 0xA1, 0xB4].map(decode_alaw);
        for samples in [ulaw, alaw] {
            let power = samples.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / 8.0;
            let below_full_scale = 10.0 * (power / (32_768.0_f64.powi(2) / 2.0)).log10();
            assert!((-3.22..-3.12).contains(&below_full_scale), "{below_full_scale}");
        }
    }

    #[test]
    fn every_byte_survives_decoding_and_encoding() {
        for byte in 0..=255 {
            assert_eq!(encode_alaw(decode_alaw(byte)), byte);
            // µ-law has two zeros.
            let expected = if byte == 0x7F { 0xFF } else { byte };
            assert_eq!(encode_ulaw(decode_ulaw(byte)), expected);
        }
    }

    /// Decision values of the positive half, at 16 bits: `steps` per chord, each step so many units long.
    fn decision_values(chords: &[(usize, i32)], first: i32, scale: i32) -> Vec<i32> {
        let mut values = vec![0, first * scale];
        for &(steps, length) in chords {
            for _ in 0..steps {
                values.push(values[values.len() - 1] + length * scale);
            }
        }
        values
    }

    #[test]
    fn every_sample_falls_between_its_decision_values() {
        // ITU-T G.711 tables 2a and 1a: µ-law in units of 1/8159, A-law in units of 1/4096.
        let ulaw = decision_values(
            &[(15, 2), (16, 4), (16, 8), (16, 16), (16, 32), (16, 64), (16, 128), (16, 256)],
            1,
            4,
        );
        let alaw =
            decision_values(&[(31, 2), (16, 4), (16, 8), (16, 16), (16, 32), (16, 64), (16, 128)], 2, 8);
        for ((encode, _), (decisions, inversion)) in LAWS.into_iter().zip([(ulaw, 0xFF), (alaw, 0xD5)]) {
            assert_eq!(decisions.len(), 129);
            for sample in 0..=i16::MAX {
                let step = decisions[..128].partition_point(|&decision| decision <= i32::from(sample)) - 1;
                assert_eq!(encode(sample), step as u8 ^ inversion, "{sample}");
            }
        }
    }

    #[test]
    fn the_decoded_value_is_the_middle_of_the_step() {
        for (encode, decode) in LAWS {
            for sample in i16::MIN..=i16::MAX {
                let error = (i32::from(decode(encode(sample))) - i32::from(sample)).abs();
                let clipped = sample.unsigned_abs() > 32_000;
                // 16 steps per octave: half a step is at most a 33rd of the value.
                assert!(error <= 16 + i32::from(sample).abs() / 31 || clipped, "{sample}: {error}");
            }
        }
    }

    #[test]
    fn positive_and_negative_halves_mirror_each_other() {
        for (encode, _) in LAWS {
            for sample in 0..=i16::MAX {
                assert_eq!(encode(sample) ^ 0x80, encode(!sample));
            }
        }
    }
}
