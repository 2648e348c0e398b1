//! A recording that grows under a temporary name, readable at any moment.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

#[cfg(feature = "opus")]
use super::ogg_opus;
use super::{flac, recording_settings::RecordingFormat, wav};

/// Written beside its place. After a crash the temporary file is a valid recording up to the last
/// [`Self::checkpoint`].
#[derive(Debug)]
pub(super) struct GrowingFile {
    file: File,
    path: PathBuf,
    temporary: PathBuf,
    tag: u64,
    encoding: Option<Encoding>,
    rate: u32,
    channels: u16,
    /// Samples of each channel that were taken in.
    frames: u64,
    /// Bytes on disk.
    bytes: u64,
    buffer: Vec<u8>,
}

#[derive(Debug)]
enum Encoding {
    Wav,
    Flac(flac::Encoder),
    #[cfg(feature = "opus")]
    OggOpus(Box<ogg_opus::Encoder>),
}

/// A complete file that is not yet in its place.
#[derive(Debug)]
pub(super) struct Complete {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) temporary: PathBuf,
    pub(super) rate: u32,
    pub(super) channels: u16,
    pub(super) frames: u64,
    pub(super) bytes: u64,
}

impl GrowingFile {
    /// Creates `.NAME.TAG.part` beside `path`, and missing folders. `tag` tells apart files for one path.
    pub(super) fn create(path: &Path, tag: u64) -> io::Result<Self> {
        let Some(name) = path.file_name() else { return Err(io::ErrorKind::InvalidInput.into()) };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let temporary = path.with_file_name(format!(".{}.{tag:x}.part", name.to_string_lossy()));
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&temporary)?;
        Ok(Self {
            file,
            path: path.to_owned(),
            temporary,
            tag,
            encoding: None,
            rate: 0,
            channels: 0,
            frames: 0,
            bytes: 0,
            buffer: Vec::new(),
        })
    }

    /// Tells what will be written; before anything is.
    pub(super) fn start(&mut self, format: RecordingFormat, rate: u32, channels: u16) {
        (self.rate, self.channels) = (rate, channels);
        self.encoding = Some(match format {
            RecordingFormat::Wav => {
                self.buffer.extend(wav::header(rate, channels, 0));
                Encoding::Wav
            }
            RecordingFormat::Flac => {
                let encoder = flac::Encoder::new(rate, channels);
                self.buffer.extend(encoder.header());
                Encoding::Flac(encoder)
            }
            #[cfg(feature = "opus")]
            RecordingFormat::OggOpus => {
                let mut encoder = Box::new(ogg_opus::Encoder::new(rate, channels, self.tag as u32));
                encoder.begin(&mut self.buffer);
                Encoding::OggOpus(encoder)
            }
        });
    }

    /// Appends interleaved samples; fails with `FileTooLarge` at the end of what a WAV file can describe.
    pub(super) fn append(&mut self, samples: &[i16]) -> io::Result<()> {
        self.frames += samples.len() as u64 / u64::from(self.channels.max(1));
        match &mut self.encoding {
            Some(Encoding::Wav) => self.buffer.extend(samples.iter().flat_map(|sample| sample.to_le_bytes())),
            Some(Encoding::Flac(encoder)) => encoder.append(samples, &mut self.buffer),
            #[cfg(feature = "opus")]
            Some(Encoding::OggOpus(encoder)) => encoder.append(samples, &mut self.buffer),
            None => {}
        }
        if self.buffer.len() >= FLUSH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        let wav = matches!(self.encoding, Some(Encoding::Wav));
        if wav && self.bytes + self.buffer.len() as u64 > wav::MAX_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.file.write_all(&self.buffer)?;
        self.bytes += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Makes everything so far readable under the temporary name.
    pub(super) fn checkpoint(&mut self) -> io::Result<()> {
        #[cfg(feature = "opus")]
        if let Some(Encoding::OggOpus(encoder)) = &mut self.encoding {
            encoder.checkpoint(&mut self.buffer);
        }
        self.flush()?;
        match &self.encoding {
            Some(Encoding::Wav) => {
                let frames = (self.bytes - wav::HEADER as u64) / u64::from(self.channels * 2);
                self.file.write_all_at(&wav::header(self.rate, self.channels, frames), 0)
            }
            Some(Encoding::Flac(encoder)) => self.file.write_all_at(&encoder.header(), 0),
            #[cfg(feature = "opus")]
            Some(Encoding::OggOpus(_)) => Ok(()),
            None => Ok(()),
        }
    }

    /// Writes everything; the file is then to be moved to its place.
    pub(super) fn finish(mut self) -> io::Result<Complete> {
        match &mut self.encoding {
            Some(Encoding::Flac(encoder)) => encoder.finish(&mut self.buffer),
            #[cfg(feature = "opus")]
            Some(Encoding::OggOpus(encoder)) => encoder.finish(&mut self.buffer),
            Some(Encoding::Wav) | None => {}
        }
        self.checkpoint()?;
        let Self { file, path, temporary, rate, channels, frames, bytes, .. } = self;
        Ok(Complete { file, path, temporary, rate, channels, frames, bytes })
    }

    /// Where the file is until it is in its place.
    pub(super) fn temporary(&self) -> &Path {
        &self.temporary
    }
}

/// Bytes that are worth a system call.
const FLUSH: usize = 16 * 1024;
