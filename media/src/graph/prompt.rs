//! Prompts: decoded once, encoded once per codec, shared by every listener.

use crate::{
    codec::Codec,
    dsp::{
        rates::{REACH, interpolate},
        resample::resample,
    },
};

/// Recorded speech or music, whole in memory and ready to be sent in any codec.
///
/// It is kept at 8 kHz, and besides at 16 and 48 kHz as far as the recording has more to give. Codecs without state
/// (G.711) have their payload ready.
pub struct Prompt {
    /// 8 kHz.
    narrow: Box<[i16]>,
    /// 16 kHz, twice as long; empty where the recording has no more than 8 kHz.
    wide: Box<[i16]>,
    /// 48 kHz, six times as long; empty where the recording has no more than 16 kHz.
    full: Box<[i16]>,
    pcmu: Box<[u8]>,
    pcma: Box<[u8]>,
}

impl Prompt {
    /// Takes mono audio of `rate` samples per second, 1,000 to 384,000 (others are taken for the nearest of these),
    /// and keeps what up to 48 kHz can carry.
    #[must_use]
    pub fn from_samples(samples: &[i16], rate: u32) -> Self {
        Self::with_ceiling(samples, rate, FULL)
    }

    /// As [`from_samples`](Self::from_samples), for listeners of at most `ceiling` samples per second.
    #[must_use]
    pub fn with_ceiling(samples: &[i16], rate: u32, ceiling: u32) -> Self {
        let rate = rate.clamp(*RATES.start(), *RATES.end());
        let at = |rate_out: u32| resample(samples, rate, rate_out).expect("both rates are within bounds");
        let narrow = at(NARROW).into_boxed_slice();
        let richer = |wanted: u32, below: u32| {
            let worth = rate > below && ceiling > below;
            let length = narrow.len() * (wanted / NARROW) as usize;
            if worth { stretched(at(wanted), length) } else { Box::default() }
        };
        let (wide, full) = (richer(WIDE, NARROW), richer(FULL, WIDE));
        let encode = |codec: Codec| {
            let mut payload = vec![0; narrow.len()];
            codec.encode(&narrow, &mut payload);
            payload.into_boxed_slice()
        };
        let (pcmu, pcma) = (encode(Codec::Pcmu), encode(Codec::Pcma));
        Self { narrow, wide, full, pcmu, pcma }
    }

    /// Reads a WAV file: PCM of 8 to 32 bits or 32-bit float, any rate; channels are mixed to one.
    pub fn from_wav(bytes: &[u8]) -> Result<Self, PromptError> {
        let mut reader = hound::WavReader::new(bytes).map_err(|error| PromptError::from_hound(&error))?;
        let spec = reader.spec();
        if !RATES.contains(&spec.sample_rate) {
            return Err(PromptError::Rate(spec.sample_rate));
        }
        let channels = usize::from(spec.channels.max(1));
        let mut mixer = Downmix { channels, filled: 0, sum: 0.0, out: Vec::new() };
        match spec.sample_format {
            hound::SampleFormat::Int => {
                let scale = 32_768.0 / f64::from(1_u32 << (spec.bits_per_sample.clamp(1, 32) - 1));
                for sample in reader.samples::<i32>() {
                    mixer.push(f64::from(sample.map_err(|error| PromptError::from_hound(&error))?) * scale);
                }
            }
            hound::SampleFormat::Float => {
                for sample in reader.samples::<f32>() {
                    mixer
                        .push(f64::from(sample.map_err(|error| PromptError::from_hound(&error))?) * 32_768.0);
                }
            }
        }
        if mixer.out.is_empty() {
            return Err(PromptError::Empty);
        }
        Ok(Self::from_samples(&mixer.out, spec.sample_rate))
    }

    /// The payload in that codec, a byte per sample of [`samples`](Self::samples); `None` for codecs that have to be
    /// encoded for each listener.
    #[must_use]
    pub fn encoded(&self, codec: Codec) -> Option<&[u8]> {
        match codec {
            Codec::Pcmu => Some(&self.pcmu),
            Codec::Pcma => Some(&self.pcma),
            Codec::G722 | Codec::L16(_) | Codec::Opus => None,
        }
    }

    /// The audio, 8 kHz.
    #[must_use]
    pub fn samples(&self) -> &[i16] {
        &self.narrow
    }

    /// Samples per second of the richest version.
    #[must_use]
    pub fn rate(&self) -> u32 {
        match (self.full.is_empty(), self.wide.is_empty()) {
            (false, _) => FULL,
            (true, false) => WIDE,
            (true, true) => NARROW,
        }
    }

    /// Length in ms, rounded up.
    #[must_use]
    pub fn duration_ms(&self) -> u32 {
        self.narrow.len().div_ceil(NARROW as usize / 1000) as u32
    }

    /// Memory it takes, bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        4 * self.narrow.len() + 2 * (self.wide.len() + self.full.len())
    }

    /// Copies the audio from sample `from` of `rate` on, 8, 16 or 48 kHz. Returns how many samples there were.
    pub fn read(&self, rate: u32, from: usize, out: &mut [i16]) -> usize {
        let end = self.narrow.len() * (rate / NARROW) as usize;
        let count = end.saturating_sub(from).min(out.len());
        let out = &mut out[..count];
        let (version, factor): (&[i16], _) = match rate {
            FULL if !self.full.is_empty() => (&self.full, 1),
            FULL if !self.wide.is_empty() => (&self.wide, 3),
            FULL => (&self.narrow, 6),
            WIDE if !self.wide.is_empty() => (&self.wide, 1),
            WIDE => (&self.narrow, 2),
            _ => (&self.narrow, 1),
        };
        if factor == 1 {
            out.copy_from_slice(&version[from..from + count]);
            return count;
        }
        for (index, out) in out.chunks_mut(PIECE).enumerate() {
            let from = from + index * PIECE;
            let base = from / factor;
            let mut around = [0; PIECE + 2 * REACH];
            let before = base.min(REACH - 1);
            let (first, last) = (base - before, (base + PIECE + REACH).min(version.len()));
            let start = REACH - 1 - before;
            around[start..start + last - first].copy_from_slice(&version[first..last]);
            interpolate(factor, from % factor, &around, out);
        }
        count
    }
}

/// Brings a version to the length that goes with the narrow one; a rounding error of a few samples goes on as the
/// last one, so that a loop does not click.
fn stretched(mut samples: Vec<i16>, length: usize) -> Box<[i16]> {
    let last = samples.last().copied().unwrap_or(0);
    samples.resize(length, last);
    samples.into_boxed_slice()
}

impl std::fmt::Debug for Prompt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Prompt of {} ms", self.duration_ms())
    }
}

/// Why a file cannot be played.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PromptError {
    /// Not an audio file we know, or a damaged one; what the reader says.
    Malformed(String),
    /// A file in an encoding we do not read.
    Unsupported,
    /// A sample rate outside 1,000 to 384,000 per second.
    Rate(u32),
    /// No audio in it.
    Empty,
}

impl PromptError {
    fn from_hound(error: &hound::Error) -> Self {
        match error {
            hound::Error::Unsupported | hound::Error::TooWide => Self::Unsupported,
            hound::Error::IoError(_)
            | hound::Error::FormatError(_)
            | hound::Error::UnfinishedSample
            | hound::Error::InvalidSampleFormat => Self::Malformed(error.to_string()),
        }
    }
}

impl std::fmt::Display for PromptError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "not a readable audio file: {what}"),
            Self::Unsupported => f.write_str("audio encoding not supported"),
            Self::Rate(rate) => write!(f, "sample rate {rate} not supported, expected 1000 to 384000"),
            Self::Empty => f.write_str("audio file without audio"),
        }
    }
}

impl std::error::Error for PromptError {}

struct Downmix {
    channels: usize,
    filled: usize,
    sum: f64,
    out: Vec<i16>,
}

impl Downmix {
    fn push(&mut self, sample: f64) {
        self.sum += sample;
        self.filled += 1;
        if self.filled == self.channels {
            // `as` saturates, and takes NaN for 0.
            self.out.push((self.sum / self.channels as f64).round() as i16);
            (self.filled, self.sum) = (0, 0.0);
        }
    }
}

/// Rate of the version every prompt has.
const NARROW: u32 = 8_000;
const WIDE: u32 = 16_000;
const FULL: u32 = 48_000;
/// Samples that are interpolated at a time.
const PIECE: usize = 240;

/// Rates that can be resampled.
pub(crate) const RATES: std::ops::RangeInclusive<u32> = 1_000..=384_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::{
        detect::tone_level,
        tone::{ToneGenerator, ToneSpec},
    };

    #[test]
    fn wav_files_of_every_depth_and_two_channels_become_the_same_prompt() {
        for (bits, format) in [
            (8, hound::SampleFormat::Int),
            (16, hound::SampleFormat::Int),
            (24, hound::SampleFormat::Int),
            (32, hound::SampleFormat::Int),
            (32, hound::SampleFormat::Float),
        ] {
            let spec = hound::WavSpec {
                channels: 2,
                sample_rate: 8_000,
                bits_per_sample: bits,
                sample_format: format,
            };
            let mut file = std::io::Cursor::new(Vec::new());
            let mut writer = hound::WavWriter::new(&mut file, spec).unwrap();
            for index in 0..320 {
                let value = if index % 2 == 0 { 0.5 } else { 0.25 };
                match format {
                    hound::SampleFormat::Float => writer.write_sample(value as f32).unwrap(),
                    hound::SampleFormat::Int => {
                        writer.write_sample((value * f64::from(1_u32 << (bits - 1))) as i32).unwrap();
                    }
                }
            }
            writer.finalize().unwrap();
            let prompt = Prompt::from_wav(file.get_ref()).unwrap();
            assert_eq!(prompt.samples(), [12_288; 160], "{bits} {format:?}");
            assert_eq!(prompt.encoded(Codec::Pcma).map(<[u8]>::len), Some(160));
            assert_eq!((prompt.duration_ms(), prompt.rate(), prompt.bytes()), (20, 8_000, 640));
        }
    }

    #[test]
    fn other_files_are_refused() {
        assert!(matches!(Prompt::from_wav(b"hello"), Err(PromptError::Malformed(_))));
        assert!(matches!(Prompt::from_wav(b""), Err(PromptError::Malformed(_))));
    }

    #[test]
    fn other_rates_keep_their_length() {
        let prompt = Prompt::from_samples(&[0; 44_100], 44_100);
        assert!((995..=1_005).contains(&prompt.duration_ms()), "{} ms", prompt.duration_ms());
    }

    fn tone(hz: f32, rate: u32) -> Vec<i16> {
        let mut samples = vec![0; rate as usize];
        ToneGenerator::new(ToneSpec::continuous(hz, -10.0), rate).fill(&mut samples);
        samples
    }

    #[test]
    fn every_recording_can_be_heard_at_every_rate() {
        for (rate, kept) in
            [(8_000, 8_000), (11_025, 16_000), (16_000, 16_000), (22_050, 48_000), (48_000, 48_000)]
        {
            let prompt = Prompt::from_samples(&tone(1_000.0, rate), rate);
            assert_eq!(prompt.rate(), kept, "{rate}");
            for wanted in [8_000, 16_000, 48_000] {
                let mut heard = vec![0; wanted as usize + 100];
                assert_eq!(prompt.read(wanted, 0, &mut heard), wanted as usize, "{rate} at {wanted}");
                let level = tone_level(&heard[2_000..wanted as usize - 1_000], wanted, 1_000.0);
                assert!((level + 13.14).abs() < 0.3, "{rate} at {wanted}: {level}");
                let mut pieces = vec![0; wanted as usize];
                for (index, piece) in pieces.chunks_mut(331).enumerate() {
                    assert_eq!(prompt.read(wanted, index * 331, piece), piece.len());
                }
                assert_eq!(pieces, heard[..wanted as usize], "{rate} at {wanted}");
            }
        }
    }

    #[test]
    fn nothing_richer_than_anybody_hears_is_kept() {
        let prompt = Prompt::with_ceiling(&tone(1_000.0, 48_000), 48_000, 8_000);
        assert_eq!((prompt.rate(), prompt.bytes()), (8_000, 32_000));
        assert_eq!(Prompt::with_ceiling(&tone(1_000.0, 48_000), 48_000, 16_000).rate(), 16_000);
    }
}
