//! Changes the sample rate of whole recordings, where neither delay nor allocation matters.

use std::fmt;

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler};

/// Converts mono samples from one rate to another, with a filter against aliases. The length is scaled, rounded up.
pub fn resample(samples: &[i16], from: u32, to: u32) -> Result<Vec<i16>, RateError> {
    for rate in [from, to] {
        if !RATES.contains(&rate) {
            return Err(RateError { rate });
        }
    }
    if from == to || samples.is_empty() {
        return Ok(samples.to_vec());
    }
    let input: Vec<f32> = samples.iter().map(|&sample| f32::from(sample)).collect();
    let mut resampler = Fft::<f32>::new(from as usize, to as usize, 1024, 1, FixedSync::Both)
        .expect("rates and channels are not zero");
    let adapter = InterleavedSlice::new(&input, 1, input.len()).expect("one channel of that length");
    let output =
        resampler.process_all(&adapter, input.len(), None).expect("input has the length that is announced");
    // `as` saturates: a filter may overshoot full scale.
    Ok(output.take_data().into_iter().map(|sample| sample.round() as i16).collect())
}

/// A sample rate beyond reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateError {
    /// The rate, samples per second.
    pub rate: u32,
}

impl fmt::Display for RateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} samples per second; expected {} to {}", self.rate, RATES.start(), RATES.end())
    }
}

impl std::error::Error for RateError {}

const RATES: std::ops::RangeInclusive<u32> = 1000..=384_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::detect::tone_level;
    use crate::dsp::level::dbfs;
    use crate::dsp::tone::{ToneGenerator, ToneSpec};

    fn tone(hz: f32, rate: u32) -> Vec<i16> {
        let mut samples = vec![0; rate as usize];
        ToneGenerator::new(ToneSpec::continuous(hz, -10.0), rate).fill(&mut samples);
        samples
    }

    #[test]
    fn a_tone_keeps_frequency_level_and_length() {
        for rate in [8000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000] {
            let samples = resample(&tone(1000.0, rate), rate, 8000).unwrap();
            assert_eq!(samples.len(), 8000, "{rate}");
            let level = tone_level(&samples[1000..7000], 8000, 1000.0);
            assert!((level + 13.14).abs() < 0.2, "{rate}: {level}");
        }
    }

    #[test]
    fn what_8000_samples_cannot_carry_is_filtered_out() {
        let samples = resample(&tone(5000.0, 48_000), 48_000, 8000).unwrap();
        assert!(dbfs(&samples[500..7500]) < -60.0, "{}", dbfs(&samples[500..7500]));
    }

    #[test]
    fn short_and_odd_input_is_no_problem() {
        assert_eq!(resample(&[], 44_100, 8000), Ok(vec![]));
        assert_eq!(resample(&[5], 44_100, 8000).unwrap().len(), 1);
        assert_eq!(resample(&[100; 44_101], 44_101, 8000).unwrap().len(), 8000);
        assert_eq!(resample(&[i16::MAX; 100], 8000, 16_000).unwrap().len(), 200);
    }

    #[test]
    fn rates_beyond_reason_are_refused() {
        assert_eq!(resample(&[1], 0, 8000), Err(RateError { rate: 0 }));
        assert_eq!(resample(&[1], u32::MAX, 8000), Err(RateError { rate: u32::MAX }));
    }
}
