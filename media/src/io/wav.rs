//! A WAV file that grows: 16-bit PCM at 8 kHz, readable at any moment.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// Samples per second and channel.
const RATE: u32 = 8000;
/// Bytes before the first sample.
const HEADER: usize = 44;
/// Bytes of samples that the 32-bit lengths of RIFF allow; more than 37 hours of stereo.
const MAX_BYTES: u64 = u32::MAX as u64 - 64;

/// Header of a file with so many frames (one sample of each channel).
pub(super) fn header(channels: u16, frames: u64) -> [u8; HEADER] {
    let align = channels * 2;
    let bytes = (frames * u64::from(align)).min(MAX_BYTES) as u32;
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(b"RIFF");
    header[4..8].copy_from_slice(&(bytes + HEADER as u32 - 8).to_le_bytes());
    header[8..16].copy_from_slice(b"WAVEfmt ");
    header[16..20].copy_from_slice(&16u32.to_le_bytes());
    header[20..22].copy_from_slice(&1u16.to_le_bytes());
    header[22..24].copy_from_slice(&channels.to_le_bytes());
    header[24..28].copy_from_slice(&RATE.to_le_bytes());
    header[28..32].copy_from_slice(&(RATE * u32::from(align)).to_le_bytes());
    header[32..34].copy_from_slice(&align.to_le_bytes());
    header[34..36].copy_from_slice(&16u16.to_le_bytes());
    header[36..40].copy_from_slice(b"data");
    header[40..44].copy_from_slice(&bytes.to_le_bytes());
    header
}

/// Written beside its place under a temporary name and moved there when it is complete. After a crash the temporary
/// file is a valid recording up to the last [`Self::checkpoint`].
#[derive(Debug)]
pub(super) struct WavFile {
    file: File,
    path: PathBuf,
    temporary: PathBuf,
    channels: u16,
    frames: u64,
    buffer: Vec<u8>,
}

impl WavFile {
    /// Creates `.NAME.TAG.part` beside `path`, and missing folders. `tag` tells apart files for one path.
    pub(super) fn create(path: &Path, channels: u16, tag: u64) -> io::Result<Self> {
        let Some(name) = path.file_name() else { return Err(io::ErrorKind::InvalidInput.into()) };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let temporary = path.with_file_name(format!(".{}.{tag:x}.part", name.to_string_lossy()));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&temporary)?;
        file.write_all(&header(channels, 0))?;
        Ok(Self { file, path: path.to_owned(), temporary, channels, frames: 0, buffer: Vec::new() })
    }

    /// Appends interleaved samples; fails with `FileTooLarge` at the end of what RIFF can describe.
    pub(super) fn append(&mut self, samples: impl Iterator<Item = i16>) -> io::Result<()> {
        for sample in samples {
            self.buffer.extend_from_slice(&sample.to_le_bytes());
        }
        if self.buffer.len() >= FLUSH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        let align = u64::from(self.channels * 2);
        if self.frames * align + self.buffer.len() as u64 > MAX_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.file.write_all(&self.buffer)?;
        self.frames += self.buffer.len() as u64 / align;
        self.buffer.clear();
        Ok(())
    }

    /// Makes everything so far readable under the temporary name.
    pub(super) fn checkpoint(&mut self) -> io::Result<()> {
        self.flush()?;
        self.file.write_all_at(&header(self.channels, self.frames), 0)
    }

    /// Moves the complete file to its place, replacing what is there; returns frames and bytes. It survives the end
    /// of this process, not a power failure: waiting for the disk would delay the other recordings.
    pub(super) fn publish(mut self) -> io::Result<(u64, u64)> {
        self.checkpoint()?;
        fs::rename(&self.temporary, &self.path)?;
        Ok((self.frames, HEADER as u64 + self.frames * u64::from(self.channels * 2)))
    }

    /// Where the file is until it is published.
    pub(super) fn temporary(&self) -> &Path {
        &self.temporary
    }
}

/// Bytes that are worth a system call.
const FLUSH: usize = 16 * 1024;
