//! How loud samples are.

/// Peak of a sine of 0 dBm0 in 16-bit samples: 3.14 dB below full scale (ITU-T G.711, A-law).
pub const DBM0_PEAK: f32 = 22_827.4;

/// What silence measures, dB; also the floor of every level here.
pub const FLOOR_DB: f32 = -100.0;

/// Root mean square, in sample units; 0 for no samples.
#[must_use]
pub fn rms(samples: &[i16]) -> f32 {
    if samples.is_empty() {
        return 0.0;
    }
    let power: u64 = samples.iter().map(|&s| u64::from(s.unsigned_abs()).pow(2)).sum();
    (power as f64 / samples.len() as f64).sqrt() as f32
}

/// Largest magnitude, up to 32,768; 0 for no samples.
#[must_use]
pub fn peak(samples: &[i16]) -> u16 {
    samples.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0)
}

/// Level relative to a full-scale sine, dBFS; at least [`FLOOR_DB`].
#[must_use]
pub fn dbfs(samples: &[i16]) -> f32 {
    rms_to_dbfs(rms(samples))
}

/// Level in dBm0; at least [`FLOOR_DB`].
#[must_use]
pub fn dbm0(samples: &[i16]) -> f32 {
    to_db(rms(samples) * std::f32::consts::SQRT_2 / DBM0_PEAK)
}

/// The level of a root mean square in sample units, relative to a full-scale sine, dBFS.
#[must_use]
pub fn rms_to_dbfs(rms: f32) -> f32 {
    to_db(rms * std::f32::consts::SQRT_2 / FULL_SCALE)
}

pub(crate) fn to_db(ratio: f32) -> f32 {
    if ratio > 0.0 { (20.0 * ratio.log10()).max(FLOOR_DB) } else { FLOOR_DB }
}

pub(crate) const FULL_SCALE: f32 = 32_768.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::tone::{ToneGenerator, ToneSpec};

    #[test]
    fn a_tone_measures_what_it_was_generated_at() {
        for level in [0.0, -13.0, -40.0] {
            let mut samples = vec![0; 8000];
            let mut generator = ToneGenerator::new(ToneSpec::continuous(1000.0, level), 8000);
            generator.fill(&mut samples);
            generator.fill(&mut samples);
            assert!((dbm0(&samples) - level).abs() < 0.05, "{}", dbm0(&samples));
            assert!(
                (dbfs(&samples) - level - to_db(DBM0_PEAK / FULL_SCALE)).abs() < 0.05,
                "{}",
                dbfs(&samples)
            );
        }
    }

    #[test]
    fn silence_and_nothing_are_at_the_floor() {
        assert_eq!(dbfs(&[0; 160]), FLOOR_DB);
        assert_eq!(dbm0(&[]), FLOOR_DB);
        assert_eq!((rms(&[]), peak(&[])), (0.0, 0));
    }

    #[test]
    fn the_most_negative_sample_does_not_overflow() {
        assert_eq!(peak(&[i16::MIN, 0]), 32_768);
        assert!((rms(&[i16::MIN; 100]) - 32_768.0).abs() < 0.5);
    }
}
