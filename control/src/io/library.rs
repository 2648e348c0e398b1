//! Where sources come from: files, and whatever speech and addresses somebody else knows how to get.

use std::sync::Arc;

use media::{
    Piece,
    graph::stream::stream,
    io::{Prompts, Recording},
};

use crate::{Source, Utterance};

/// Makes speech of text.
pub trait Speech: Send + Sync {
    /// The recording that an utterance is; its text is plain. Nothing is synthesised before it is opened.
    ///
    /// # Errors
    /// Why it cannot be said.
    fn recording(&self, utterance: &Utterance) -> Result<Recording, String>;
}

/// Gets what is behind an address.
pub trait Fetch: Send + Sync {
    /// The recording at a URL. Nothing is fetched before it is opened.
    ///
    /// # Errors
    /// Why it may not be fetched.
    fn recording(&self, url: &str) -> Result<Recording, String>;
}

/// All that can be played.
pub struct Library {
    pub(super) prompts: Prompts,
    speech: Option<Arc<dyn Speech>>,
    fetch: Option<Arc<dyn Fetch>>,
}

impl Library {
    pub(super) fn new(prompts: Prompts) -> Self {
        Self { prompts, speech: None, fetch: None }
    }

    /// Who speaks.
    pub fn set_speech(&mut self, speech: Arc<dyn Speech>) {
        self.speech = Some(speech);
    }

    /// Who gets what is behind addresses.
    pub fn set_fetch(&mut self, fetch: Arc<dyn Fetch>) {
        self.fetch = Some(fetch);
    }

    /// What is kept.
    #[must_use]
    pub fn prompts(&self) -> &Prompts {
        &self.prompts
    }

    /// Gets sources ready before anybody hears them; [`super::Happening::Prompt`] tells of each that has to be opened.
    ///
    /// # Errors
    /// Why one of them cannot be had; those before it are under way.
    pub fn prepare(&self, sources: &[Source]) -> Result<(), String> {
        for source in sources {
            if let Some(recording) = self.recording(source)? {
                self.prompts.prepare(&recording);
            }
        }
        Ok(())
    }

    /// What a source is. One that cannot be had fails when it is played, and says why.
    pub(super) fn piece(&self, source: &Source, loops: bool) -> Piece {
        match self.recording(source) {
            Ok(Some(recording)) => self.prompts.piece(&recording, loops),
            Ok(None) => Piece::Silence(0),
            Err(why) => {
                let (mut writer, stream) = stream(8_000, 100);
                writer.fail(&why);
                Piece::Stream(Box::new(stream))
            }
        }
    }

    fn recording(&self, source: &Source) -> Result<Option<Recording>, String> {
        Ok(Some(match source {
            Source::File(path) => Recording::file(path),
            Source::Bytes(bytes) => Recording::bytes(Arc::clone(bytes)),
            Source::Url(url) => self.fetch.as_ref().ok_or("nobody fetches addresses here")?.recording(url)?,
            Source::Speech(utterance) => {
                self.speech.as_ref().ok_or("nobody speaks here")?.recording(utterance)?
            }
            Source::Prompt(_) | Source::Tones(_) | Source::Silence(_) => return Ok(None),
        }))
    }
}
