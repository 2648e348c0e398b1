//! What a recording's file is to be like.

use std::path::{Path, PathBuf};

/// How a recording is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingSettings {
    /// Where the file will be. Missing folders are created, an existing file is replaced at the end.
    pub path: PathBuf,
    /// What goes into which channel. Default stereo.
    pub layout: Layout,
    /// Default: what the path ends in, else WAV.
    pub format: RecordingFormat,
    /// Samples per second: 8,000, 16,000, 24,000 or 48,000. Default: the higher of what both tracks begin with.
    pub rate: Option<u32>,
    /// Whether a JSON file beside it, with `.json` appended to its name, tells what is in it. Default yes.
    pub manifest: bool,
}

impl RecordingSettings {
    /// The defaults for that file.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let format = RecordingFormat::from_path(&path).unwrap_or_default();
        Self { path, layout: Layout::default(), format, rate: None, manifest: true }
    }
}

/// How audio is encoded. There is no MP3: its only encoder without C is under the LGPL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum RecordingFormat {
    /// 16-bit PCM, `.wav`.
    #[default]
    Wav,
    /// Every sample in about half the space, `.flac`.
    Flac,
    /// Speech in a tenth of the space, `.opus` or `.ogg`.
    #[cfg(feature = "opus")]
    OggOpus,
}

impl RecordingFormat {
    /// The format that a file's name ends in.
    #[must_use]
    pub fn from_path(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "wav" => Some(Self::Wav),
            "flac" => Some(Self::Flac),
            #[cfg(feature = "opus")]
            "opus" | "ogg" => Some(Self::OggOpus),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Wav => "wav",
            Self::Flac => "flac",
            #[cfg(feature = "opus")]
            Self::OggOpus => "ogg/opus",
        }
    }
}

/// How the two tracks of a recording are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Layout {
    /// Left what the peer said, right what it heard.
    #[default]
    Stereo,
    /// Both, added.
    Mixed,
    /// Only what the peer said.
    Said,
    /// Only what the peer heard.
    Heard,
    /// Two files of equal length, with `-said` and `-heard` before the ending of their names.
    Separate,
}

impl Layout {
    pub(super) fn channels(self) -> u16 {
        match self {
            Self::Stereo => 2,
            Self::Mixed | Self::Said | Self::Heard | Self::Separate => 1,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stereo => "stereo",
            Self::Mixed => "mixed",
            Self::Said => "said",
            Self::Heard => "heard",
            Self::Separate => "separate",
        }
    }

    /// The files that a recording consists of, and what is in each.
    pub(super) fn files(self, path: &Path) -> Vec<(PathBuf, Self)> {
        if self != Self::Separate {
            return vec![(path.to_owned(), self)];
        }
        let name = |suffix: &str| {
            let mut name = path.file_stem().unwrap_or_default().to_owned();
            name.push(suffix);
            if let Some(extension) = path.extension() {
                name.push(".");
                name.push(extension);
            }
            path.with_file_name(name)
        };
        vec![(name("-said"), Self::Said), (name("-heard"), Self::Heard)]
    }

    /// Interleaved samples of this layout.
    pub(super) fn interleave(self, frames: &[[i16; 2]], out: &mut Vec<i16>) {
        out.clear();
        match self {
            Self::Stereo | Self::Separate => out.extend(frames.iter().flatten()),
            Self::Mixed => out.extend(frames.iter().map(|[said, heard]| said.saturating_add(*heard))),
            Self::Said => out.extend(frames.iter().map(|[said, _]| said)),
            Self::Heard => out.extend(frames.iter().map(|[_, heard]| heard)),
        }
    }
}
