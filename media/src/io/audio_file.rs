//! Recorded audio of many formats as mono samples, piece by piece.

use std::io::{Cursor, Read, Seek, SeekFrom};

use rubato::{Fft, FixedSync, Resampler, audioadapter_buffers::direct::InterleavedSlice};
use symphonia::core::{
    codecs::audio::{AudioDecoder, AudioDecoderOptions, well_known::CODEC_ID_OPUS},
    errors::Error,
    formats::{FormatReader, SeekMode, SeekTo, TrackType, probe::Hint, well_known::FORMAT_ID_ISOMP4},
    io::{MediaSource, MediaSourceStream},
    units::Time,
};

use crate::{
    codec::{Codec, Decoder},
    graph::prompt::{PromptError, RATES},
};

/// Audio that is read from its beginning to its end, and perhaps from elsewhere.
pub trait Audio: Send {
    /// Samples per second; known before the first sample is read, the same until the end.
    fn rate(&self) -> u32;

    /// Appends the next mono samples, of a fraction of a second. False at the end.
    ///
    /// # Errors
    /// Why nothing more can be read.
    fn read(&mut self, out: &mut Vec<i16>) -> Result<bool, String>;

    /// Goes on with the first sample at or after `ms` from the beginning. False where that is not possible; reading
    /// goes on as if nothing had happened then.
    fn seek(&mut self, ms: u32) -> bool;
}

/// A file of WAV (PCM, float, A-law, µ-law), MP3, AAC, MP4, FLAC or Ogg with Vorbis or Opus.
pub struct AudioFile {
    format: Box<dyn FormatReader>,
    decoder: Decoding,
    track: u32,
    rate: u32,
    interleaved: Vec<f32>,
    /// What was decoded to learn the rate.
    first: Vec<i16>,
    /// Samples to leave out after a seek.
    skip: u64,
    damaged: u32,
    /// The end was reached.
    ended: bool,
}

impl AudioFile {
    /// Reads the beginning of a file. `hint` is the extension of its name, which helps with damaged files.
    ///
    /// # Errors
    /// When it is none of the formats, or has no audio.
    pub fn open(source: impl MediaSource + 'static, hint: Option<&str>) -> Result<Self, PromptError> {
        let stream = MediaSourceStream::new(Box::new(source), Default::default());
        let mut known = Hint::new();
        if let Some(extension) = hint {
            known.with_extension(extension);
        }
        let format = symphonia::default::get_probe()
            .probe(&known, stream, Default::default(), Default::default())
            .map_err(|error| problem(&error))?;
        let track = format.default_track(TrackType::Audio).ok_or(PromptError::Empty)?;
        let parameters = track.codec_params.as_ref().and_then(|parameters| parameters.audio());
        let parameters = parameters.ok_or(PromptError::Unsupported)?;
        let opus = parameters.codec == CODEC_ID_OPUS && cfg!(feature = "opus");
        let decoder = if opus {
            Decoding::Opus(Box::new(Decoder::new(Codec::Opus, OPUS_RATE)))
        } else {
            let codecs = symphonia::default::get_codecs();
            let decoder = codecs.make_audio_decoder(parameters, &AudioDecoderOptions::default());
            Decoding::Other(decoder.map_err(|error| problem(&error))?)
        };
        let (track_id, rate) = (track.id, parameters.sample_rate.unwrap_or(0));
        // What the encoder needed to get going is no part of the recording (RFC 7845 §4.2).
        let skip = if opus { u64::from(track.delay.unwrap_or(0)) } else { 0 };
        let track = track_id;
        let mut file = Self {
            format,
            decoder,
            track,
            rate,
            interleaved: Vec::new(),
            first: Vec::new(),
            skip,
            damaged: 0,
            ended: false,
        };
        // What a header says of the rate may be wrong (AAC with spectral band replication), what is decoded is not.
        let mut first = Vec::new();
        while first.is_empty() {
            if !file.decode(&mut first)? {
                return Err(PromptError::Empty);
            }
        }
        if !RATES.contains(&file.rate) {
            return Err(PromptError::Rate(file.rate));
        }
        file.first = first;
        Ok(file)
    }

    /// The same for a file in memory.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_bytes(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Result<Self, PromptError> {
        Self::open(Cursor::new(bytes), None)
    }

    /// The same for bytes that come one after the other. Nothing can be sought in them.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_reader(
        reader: impl Read + Send + Sync + 'static,
        hint: Option<&str>,
    ) -> Result<Self, PromptError> {
        Self::open(OneWay(reader), hint)
    }

    fn decode(&mut self, out: &mut Vec<i16>) -> Result<bool, PromptError> {
        let packet = match self.format.next_packet() {
            Ok(Some(packet)) => packet,
            // The next file of a chain would be another recording.
            Ok(None) | Err(Error::ResetRequired) => {
                self.ended = true;
                return Ok(false);
            }
            // Recordings that were cut off are heard as far as they go.
            Err(Error::IoError(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Ok(false);
            }
            Err(error) => return Err(problem(&error)),
        };
        if packet.track_id != self.track {
            return Ok(true);
        }
        let decoder = match &mut self.decoder {
            Decoding::Other(decoder) => decoder,
            Decoding::Opus(decoder) => {
                let mut samples = [0; OPUS_LONGEST];
                let count = decoder.decode(&packet.data, &mut samples);
                self.damaged += u32::from(count == 0);
                if self.damaged > MAX_DAMAGED {
                    return Err(PromptError::Malformed("damaged Opus packets".to_owned()));
                }
                let skipped = self.skip.min(count as u64);
                self.skip -= skipped;
                self.rate = OPUS_RATE;
                out.extend_from_slice(&samples[skipped as usize..count]);
                return Ok(true);
            }
        };
        let audio = match decoder.decode(&packet) {
            Ok(audio) => audio,
            Err(Error::DecodeError(what)) => {
                self.damaged += 1;
                if self.damaged > MAX_DAMAGED {
                    return Err(PromptError::Malformed(what.to_owned()));
                }
                return Ok(true);
            }
            Err(error) => return Err(problem(&error)),
        };
        let channels = audio.spec().channels().count().max(1);
        let rate = audio.spec().rate();
        if self.first.is_empty() && out.is_empty() {
            self.rate = rate;
        }
        audio.copy_to_vec_interleaved(&mut self.interleaved);
        let frames = self.interleaved.chunks_exact(channels);
        let skipped = self.skip.min(frames.len() as u64);
        self.skip -= skipped;
        let scale = 32_768.0 / channels as f32;
        // `as` saturates, and takes NaN for 0.
        out.extend(
            frames.skip(skipped as usize).map(|frame| (frame.iter().sum::<f32>() * scale).round() as i16),
        );
        Ok(true)
    }
}

impl Audio for AudioFile {
    fn rate(&self) -> u32 {
        self.rate
    }

    fn read(&mut self, out: &mut Vec<i16>) -> Result<bool, String> {
        if !self.first.is_empty() {
            out.append(&mut self.first);
            return Ok(true);
        }
        self.decode(out).map_err(|error| error.to_string())
    }

    fn seek(&mut self, ms: u32) -> bool {
        // The reader of MP4 finds nothing any more once it was at the end.
        if self.ended && self.format.format_info().format == FORMAT_ID_ISOMP4 {
            return false;
        }
        let Some(time) = Time::try_from_secs_f64(f64::from(ms) / 1_000.0) else { return false };
        let to = SeekTo::Time { time, track_id: Some(self.track) };
        let Ok(sought) = self.format.seek(SeekMode::Accurate, to) else { return false };
        match &mut self.decoder {
            Decoding::Other(decoder) => decoder.reset(),
            Decoding::Opus(decoder) => decoder.reset(),
        }
        self.first.clear();
        // Formats land on the packet before; the rest of the way is left out.
        let ahead = sought.required_ts.get().saturating_sub(sought.actual_ts.get()).max(0);
        let base = self.format.tracks().iter().find(|track| track.id == self.track).and_then(|t| t.time_base);
        let seconds = base
            .and_then(|base| base.calc_time(symphonia::core::units::Timestamp::new(ahead)))
            .map_or(0.0, |time| time.as_secs_f64());
        self.skip = (seconds * f64::from(self.rate)).round() as u64;
        true
    }
}

fn problem(error: &Error) -> PromptError {
    match error {
        Error::Unsupported(_) => PromptError::Unsupported,
        Error::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            PromptError::Malformed("not an audio file we know, or cut off".to_owned())
        }
        Error::IoError(_)
        | Error::DecodeError(_)
        | Error::SeekError(_)
        | Error::LimitError(_)
        | Error::ResetRequired => PromptError::Malformed(error.to_string()),
        _ => PromptError::Malformed(error.to_string()),
    }
}

/// What makes samples of packets.
enum Decoding {
    Other(Box<dyn AudioDecoder>),
    /// Symphonia finds the packets, and leaves them to us.
    Opus(Box<Decoder>),
}

/// Bytes that come one after the other.
struct OneWay<R>(R);

impl<R: Read> Read for OneWay<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(out)
    }
}

impl<R> Seek for OneWay<R> {
    fn seek(&mut self, _: SeekFrom) -> std::io::Result<u64> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
}

impl<R: Read + Send + Sync> MediaSource for OneWay<R> {
    fn is_seekable(&self) -> bool {
        false
    }

    fn byte_len(&self) -> Option<u64> {
        None
    }
}

/// Samples of 16 bits, little-endian, mono, without any header.
pub struct RawAudio<R> {
    reader: R,
    rate: u32,
    /// Half a sample.
    odd: Option<u8>,
}

impl<R: Read + Send> RawAudio<R> {
    /// Samples of that rate.
    pub fn new(reader: R, rate: u32) -> Self {
        Self { reader, rate, odd: None }
    }
}

impl<R: Read + Send> Audio for RawAudio<R> {
    fn rate(&self) -> u32 {
        self.rate
    }

    fn read(&mut self, out: &mut Vec<i16>) -> Result<bool, String> {
        let mut bytes = [0; 4_096];
        let length = loop {
            match self.reader.read(&mut bytes) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
                Ok(length) => break length,
            }
        };
        for &byte in &bytes[..length] {
            match self.odd.take() {
                None => self.odd = Some(byte),
                Some(low) => out.push(i16::from_le_bytes([low, byte])),
            }
        }
        Ok(length > 0)
    }

    fn seek(&mut self, _: u32) -> bool {
        false
    }
}

/// Changes the rate of audio that comes in pieces.
pub(crate) struct Rate {
    from: u32,
    to: u32,
    inner: Option<Box<Fft<f32>>>,
    input: Vec<f32>,
    /// Output samples that are only the delay of the filter.
    skip: usize,
    taken: u64,
    given: u64,
}

impl Rate {
    pub(crate) fn new(from: u32, to: u32) -> Self {
        let inner = (from != to).then(|| {
            Fft::<f32>::new(from as usize, to as usize, 1_024, 1, FixedSync::Both).ok().map(Box::new)
        });
        let inner = inner.flatten();
        let skip = inner.as_ref().map_or(0, |inner| inner.output_delay());
        Self { from, to, inner, input: Vec::new(), skip, taken: 0, given: 0 }
    }

    pub(crate) fn push(&mut self, samples: &[i16], out: &mut Vec<i16>) {
        self.taken += samples.len() as u64;
        if self.inner.is_none() {
            out.extend_from_slice(samples);
            return;
        }
        self.input.extend(samples.iter().map(|&sample| f32::from(sample)));
        self.process(out);
    }

    /// The rest, so that the length is that of the input.
    pub(crate) fn finish(&mut self, out: &mut Vec<i16>) {
        let Some(chunk) = self.inner.as_ref().map(|inner| inner.input_frames_next()) else { return };
        let end = (self.taken * u64::from(self.to)).div_ceil(u64::from(self.from));
        let before = out.len();
        let already = self.given;
        for _ in 0..64 {
            if self.given >= end {
                break;
            }
            self.input.resize(self.input.len() + chunk, 0.0);
            self.process(out);
        }
        out.truncate(before + end.saturating_sub(already) as usize);
    }

    fn process(&mut self, out: &mut Vec<i16>) {
        let Some(inner) = &mut self.inner else { return };
        let mut used = 0;
        loop {
            let chunk = inner.input_frames_next();
            let Some(input) = self.input.get(used..used + chunk) else { break };
            let Ok(adapter) = InterleavedSlice::new(input, 1, chunk) else { break };
            let Ok(output) = inner.process(&adapter, None) else { break };
            used += chunk;
            let samples = output.take_data();
            let skipped = self.skip.min(samples.len());
            self.skip -= skipped;
            self.given += (samples.len() - skipped) as u64;
            out.extend(samples[skipped..].iter().map(|sample| sample.round() as i16));
        }
        self.input.drain(..used);
    }
}

/// Opus is always decoded to this rate.
const OPUS_RATE: u32 = 48_000;
/// Samples of the longest Opus packet, 120 ms.
const OPUS_LONGEST: usize = 5_760;
/// Packets of a file that may be damaged.
const MAX_DAMAGED: u32 = 50;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::{
        detect::tone_level,
        tone::{ToneGenerator, ToneSpec},
    };

    fn tone(hz: f32, rate: u32) -> Vec<i16> {
        let mut samples = vec![0; rate as usize];
        ToneGenerator::new(ToneSpec::continuous(hz, -10.0), rate).fill(&mut samples);
        samples
    }

    fn everything(audio: &mut dyn Audio) -> Vec<i16> {
        let mut out = Vec::new();
        while audio.read(&mut out).unwrap() {}
        out
    }

    fn wav(format: u16, rate: u32, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"RIFF\0\0\0\0WAVEfmt \x12\0\0\0".to_vec();
        bytes.extend(format.to_le_bytes());
        bytes.extend(1_u16.to_le_bytes());
        bytes.extend(rate.to_le_bytes());
        bytes.extend(rate.to_le_bytes());
        bytes.extend([1, 0, 8, 0, 0, 0]);
        bytes.extend(b"data");
        bytes.extend((data.len() as u32).to_le_bytes());
        bytes.extend(data);
        let length = bytes.len() as u32 - 8;
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        bytes
    }

    #[test]
    fn telephone_codecs_in_wav_files_are_read() {
        use crate::codec::Codec;
        for (format, codec) in [(6, Codec::Pcma), (7, Codec::Pcmu)] {
            let samples = tone(1_000.0, 8_000);
            let mut payload = vec![0; samples.len()];
            codec.encode(&samples, &mut payload);
            let mut file = AudioFile::from_bytes(wav(format, 8_000, &payload)).unwrap();
            assert_eq!(file.rate(), 8_000);
            let heard = everything(&mut file);
            assert_eq!(heard.len(), 8_000);
            assert!((tone_level(&heard[1_000..7_000], 8_000, 1_000.0) + 13.14).abs() < 0.2);
            assert!(file.seek(500));
            assert_eq!(everything(&mut file), heard[4_000..]);
        }
    }

    /// One page of Ogg (RFC 3533 §6) with whole packets.
    #[cfg(feature = "opus")]
    fn page(flags: u8, granule: u64, number: u32, packets: &[Vec<u8>]) -> Vec<u8> {
        let lacing: Vec<u8> = packets
            .iter()
            .flat_map(|packet| {
                let mut lacing = vec![255; packet.len() / 255];
                lacing.push((packet.len() % 255) as u8);
                lacing
            })
            .collect();
        let mut page = [&b"OggS\0"[..], &[flags], &granule.to_le_bytes(), &[1, 0, 0, 0]].concat();
        page.extend(number.to_le_bytes());
        page.extend([0; 4]);
        page.push(lacing.len() as u8);
        page.extend(lacing);
        page.extend(packets.concat());
        let crc = page.iter().fold(0_u32, |crc, &byte| {
            (0..8).fold(crc ^ (u32::from(byte) << 24), |crc, _| {
                if crc >> 31 == 1 { (crc << 1) ^ 0x04C1_1DB7 } else { crc << 1 }
            })
        });
        page[22..26].copy_from_slice(&crc.to_le_bytes());
        page
    }

    #[cfg(feature = "opus")]
    #[test]
    fn opus_in_ogg_is_read_without_what_the_encoder_needed_to_get_going() {
        use crate::codec::{Encoder, EncoderSettings};
        let mut encoder = Encoder::new(Codec::Opus, 48_000, EncoderSettings::default());
        let sound = tone(1_000.0, 48_000);
        let packets: Vec<Vec<u8>> = sound
            .chunks_exact(960)
            .map(|frame| {
                let mut packet = vec![0; 1_500];
                let length = encoder.encode(frame, &mut packet);
                packet.truncate(length);
                packet
            })
            .collect();
        let head =
            [&b"OpusHead\x01\x01"[..], &312_u16.to_le_bytes(), &48_000_u32.to_le_bytes(), &[0; 3]].concat();
        let tags = [&b"OpusTags"[..], &4_u32.to_le_bytes(), b"test", &[0; 4]].concat();
        let mut bytes = [page(2, 0, 0, &[head]), page(0, 0, 1, &[tags])].concat();
        for (number, packets) in packets.chunks(10).enumerate() {
            let (number, last) = (number as u32 + 2, number == 4);
            let granule = u64::from(number - 1) * 9_600;
            bytes.extend(page(if last { 4 } else { 0 }, granule, number, packets));
        }
        let mut file = AudioFile::from_bytes(bytes).unwrap();
        assert_eq!(file.rate(), 48_000);
        let heard = everything(&mut file);
        assert_eq!(heard.len(), 48_000 - 312);
        let level = tone_level(&heard[10_000..40_000], 48_000, 1_000.0);
        assert!((level + 13.14).abs() < 1.0, "{level}");
        assert!(file.seek(500));
        assert!(everything(&mut file).len().abs_diff(24_000 - 312) <= 960);
    }

    #[test]
    fn a_file_that_comes_byte_by_byte_is_the_same() {
        struct Slow(Vec<u8>, usize);
        impl Read for Slow {
            fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
                let count = out.len().min(7).min(self.0.len() - self.1);
                out[..count].copy_from_slice(&self.0[self.1..self.1 + count]);
                self.1 += count;
                Ok(count)
            }
        }
        let bytes = wav(7, 8_000, &[0x55; 3_000]);
        let mut file = AudioFile::from_reader(Slow(bytes, 0), Some("wav")).unwrap();
        assert_eq!(everything(&mut file).len(), 3_000);
        assert!(!file.seek(0));
    }

    #[test]
    fn noise_is_refused_with_a_reason() {
        for bytes in [&b""[..], b"hello", &[0; 5_000], &[0xFF; 5_000]] {
            assert!(AudioFile::from_bytes(bytes.to_vec()).is_err());
        }
    }

    #[test]
    fn raw_samples_may_be_torn_apart() {
        let bytes: Vec<u8> = [1_i16, -2, 300].iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let mut audio = RawAudio::new((&bytes[..3]).chain(&bytes[3..]), 8_000);
        assert_eq!(everything(&mut audio), [1, -2, 300]);
    }

    #[test]
    fn another_rate_keeps_length_and_sound() {
        for (from, to) in [(44_100, 8_000), (8_000, 48_000), (22_050, 16_000), (16_000, 16_000)] {
            let (mut rate, mut out) = (Rate::new(from, to), Vec::new());
            for piece in tone(1_000.0, from).chunks(777) {
                rate.push(piece, &mut out);
            }
            rate.finish(&mut out);
            assert_eq!(out.len(), to as usize, "{from} to {to}");
            let level = tone_level(&out[1_000..to as usize - 1_000], to, 1_000.0);
            assert!((level + 13.14).abs() < 0.2, "{from} to {to}: {level}");
        }
    }
}
