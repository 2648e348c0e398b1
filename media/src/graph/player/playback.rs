//! What a player plays: a list of pieces, and how they are to be heard.

use std::sync::Arc;

use super::{FADE_MS, PER_MS, PER_NARROW};
use crate::{
    dsp::tone_script::ToneScript,
    graph::{prompt::Prompt, stream::Stream},
};

/// What is played, and how.
#[derive(Debug)]
pub struct Playback {
    /// One after the other, without a gap.
    pub pieces: Vec<Piece>,
    /// How often all of it is played; `None` loops until stopped. Zero counts as one.
    pub times: Option<u32>,
    /// How much louder than it is, dB, −60 to 30; below −60 is silence. The default is 0.
    pub volume_db: f32,
    /// Waits for what runs to end. By default it replaces that, and all that waits.
    pub queued: bool,
    /// Waits for [`Steer::Resume`](crate::Steer::Resume) before it begins.
    pub paused: bool,
    /// Silence before the first sample, ms; not counted as played.
    pub lead_in_ms: u32,
    /// Where it begins, ms from the beginning of the first piece.
    pub from_ms: u32,
    /// How long it fades out when it is stopped, ms. The default is 5, which is the least.
    pub fade_out_ms: u32,
    /// Places, ms from the beginning of the first piece, in ascending order: an event tells when one is passed, in
    /// each round anew.
    pub markers: Vec<u32>,
}

/// A part of a [`Playback`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Piece {
    /// Decoded and encoded once, shared by every listener.
    Prompt(Arc<Prompt>),
    /// Audio that comes while it is played.
    Stream(Box<Stream>),
    /// Tones. A script without end plays until it is stopped.
    Tones(Box<ToneScript>),
    /// So many ms of nothing.
    Silence(u32),
}

impl Playback {
    /// These pieces, once.
    #[must_use]
    pub fn of(pieces: Vec<Piece>) -> Self {
        Self {
            pieces,
            times: Some(1),
            volume_db: 0.0,
            queued: false,
            paused: false,
            lead_in_ms: 0,
            from_ms: 0,
            fade_out_ms: FADE_MS,
            markers: Vec::new(),
        }
    }

    /// One prompt, so many times; `None` loops until stopped.
    #[must_use]
    pub fn prompt(prompt: Arc<Prompt>, times: Option<u32>) -> Self {
        Self { times, ..Self::of(vec![Piece::Prompt(prompt)]) }
    }
}

impl Piece {
    pub(super) fn prompt(&self) -> Option<&Arc<Prompt>> {
        match self {
            Self::Prompt(prompt) => Some(prompt),
            Self::Stream(stream) => stream.prompt(),
            Self::Tones(_) | Self::Silence(_) => None,
        }
    }

    /// Length, if it is known and has an end.
    pub(super) fn length(&self) -> Option<u64> {
        if let Some(prompt) = self.prompt() {
            return Some(prompt.samples().len() as u64 * PER_NARROW);
        }
        match self {
            Self::Silence(ms) => Some(u64::from(*ms) * PER_MS),
            Self::Tones(script) => script.length_ms().map(|ms| ms * PER_MS),
            Self::Prompt(_) | Self::Stream(_) => None,
        }
    }
}
