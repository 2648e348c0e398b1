//! Prompts: decoded once, encoded once per codec, shared by every listener. A player is one listener's place in one.

use std::{ops::Range, sync::Arc};

use crate::{
    codec::Codec,
    command::{Playback, PlayerId},
    dsp::resample::resample,
};

/// Recorded speech or music at 8 kHz, ready to be sent in any codec.
pub struct Prompt {
    samples: Box<[i16]>,
    pcmu: Box<[u8]>,
    pcma: Box<[u8]>,
}

impl Prompt {
    /// Takes mono audio of `rate` samples per second, 1,000 to 384,000 (others are taken for the nearest of these),
    /// and resamples it to 8 kHz.
    #[must_use]
    pub fn from_samples(samples: &[i16], rate: u32) -> Self {
        let rate = rate.clamp(*RATES.start(), *RATES.end());
        let samples = resample(samples, rate, RATE).expect("both rates are within bounds").into_boxed_slice();
        let encode = |codec: Codec| {
            let mut payload = vec![0; samples.len()];
            codec.encode(&samples, &mut payload);
            payload.into_boxed_slice()
        };
        let (pcmu, pcma) = (encode(Codec::Pcmu), encode(Codec::Pcma));
        Self { samples, pcmu, pcma }
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

    /// The payload in that codec, as long as the prompt; `None` for codecs other than G.711.
    #[must_use]
    pub fn encoded(&self, codec: Codec) -> Option<&[u8]> {
        match codec {
            Codec::Pcmu => Some(&self.pcmu),
            Codec::Pcma => Some(&self.pcma),
            Codec::G722 | Codec::Opus | Codec::L16(_) => None,
        }
    }

    /// The audio, 8 kHz.
    #[must_use]
    pub fn samples(&self) -> &[i16] {
        &self.samples
    }

    /// Length in ms, rounded up.
    #[must_use]
    pub fn duration_ms(&self) -> u32 {
        self.samples.len().div_ceil(RATE as usize / 1000) as u32
    }
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
    /// Not a WAV file, or a damaged one; what the reader says.
    Malformed(String),
    /// A WAV file in an encoding we do not read.
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
            Self::Malformed(what) => write!(f, "not a readable WAV file: {what}"),
            Self::Unsupported => f.write_str("WAV encoding not supported, expected PCM or 32-bit float"),
            Self::Rate(rate) => write!(f, "sample rate {rate} not supported, expected 1000 to 384000"),
            Self::Empty => f.write_str("WAV file without audio"),
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

/// One listener's place in a prompt.
#[derive(Debug)]
pub(crate) struct Player {
    id: PlayerId,
    prompt: Arc<Prompt>,
    /// Rounds after this one; `None` is endless.
    more: Option<u32>,
    offset: usize,
    played: u64,
    started: bool,
}

impl Player {
    pub(crate) fn new(id: PlayerId, playback: Playback) -> Self {
        let more = playback.times.map(|times| times.max(1) - 1);
        Self { id, prompt: playback.prompt, more, offset: 0, played: 0, started: false }
    }

    pub(crate) fn id(&self) -> PlayerId {
        self.id
    }

    pub(crate) fn prompt(&self) -> &Prompt {
        &self.prompt
    }

    /// True once, when the first frame is about to leave.
    pub(crate) fn starts(&mut self) -> bool {
        !std::mem::replace(&mut self.started, true)
    }

    pub(crate) fn is_started(&self) -> bool {
        self.started
    }

    /// Moves on by up to `length` samples and shows which part of the prompt goes where in the frame. Looping
    /// leaves no gap. Returns how much of the frame was filled; less than `length` only at the end.
    pub(crate) fn advance(
        &mut self,
        length: usize,
        mut copy: impl FnMut(&Prompt, Range<usize>, usize),
    ) -> usize {
        let mut filled = 0;
        while filled < length {
            if self.offset == self.prompt.samples.len() && !self.rewind() {
                break;
            }
            let count = (length - filled).min(self.prompt.samples.len() - self.offset);
            copy(&self.prompt, self.offset..self.offset + count, filled);
            self.offset += count;
            filled += count;
        }
        self.played += filled as u64;
        filled
    }

    /// Whether nothing is left to play.
    pub(crate) fn is_finished(&self) -> bool {
        let at_end = self.offset == self.prompt.samples.len();
        at_end && (self.more == Some(0) || self.prompt.samples.is_empty())
    }

    pub(crate) fn played_ms(&self) -> u32 {
        (self.played / u64::from(RATE / 1000)).min(u64::from(u32::MAX)) as u32
    }

    fn rewind(&mut self) -> bool {
        if self.is_finished() {
            return false;
        }
        self.more = self.more.map(|more| more - 1);
        self.offset = 0;
        true
    }
}

/// Rate of every prompt.
const RATE: u32 = 8_000;

/// Rates that can be resampled.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=384_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_has_no_gap_and_ends_after_its_rounds() {
        let prompt = Arc::new(Prompt::from_samples(&[1, 2, 3], 8_000));
        let mut player = Player::new(PlayerId(1), Playback { prompt, times: Some(3) });
        let mut heard = [0; 8];
        let filled = player.advance(8, |prompt, part, at| {
            heard[at..at + part.len()].copy_from_slice(&prompt.samples()[part]);
        });
        assert_eq!((filled, heard), (8, [1, 2, 3, 1, 2, 3, 1, 2]));
        assert!(!player.is_finished());
        assert_eq!(player.advance(8, |_, part, _| assert_eq!(part, 2..3)), 1);
        assert!(player.is_finished());
        assert_eq!(player.advance(8, |_, _, _| panic!("nothing is left")), 0);
    }

    #[test]
    fn an_empty_prompt_ends_even_when_it_loops() {
        let prompt = Arc::new(Prompt::from_samples(&[], 8_000));
        let mut player = Player::new(PlayerId(1), Playback { prompt, times: None });
        assert_eq!(player.advance(160, |_, _, _| {}), 0);
        assert!(player.is_finished());
    }

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
            assert_eq!(prompt.encoded(Codec::Pcma).unwrap().len(), 160);
            assert_eq!(prompt.duration_ms(), 20);
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
}
