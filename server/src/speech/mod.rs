//! Who speaks: the voice that is built in, a program on this machine, or a server elsewhere.

mod command;
#[cfg(feature = "speech-espeak")]
mod espeak;
mod http;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use control::{
    Utterance,
    io::Speech,
    media::io::{Audio, AudioFile, Keep, Key, Open, Opened, RawAudio, Recording},
    signaling::auth::credentials::Secret,
};

use crate::fetch::Limits;

/// `[speech]`.
#[derive(Debug, Clone)]
pub struct Voices {
    /// Who speaks.
    pub provider: Provider,
    /// The voice of those who name none; the provider's default where `None`.
    pub voice: Option<String>,
    /// What the provider calls a voice or, where none is named, a language.
    pub names: BTreeMap<String, String>,
    /// What comes from the provider.
    pub format: Format,
    /// How long the provider may take for the next piece of audio. Default 15 s.
    pub patience: Duration,
}

/// Who speaks.
#[derive(Debug, Clone)]
pub enum Provider {
    /// The voice that is built in. Its voices are languages.
    Embedded {
        /// Where its tables are unpacked.
        folder: PathBuf,
        /// How fast it speaks, words per minute, 80 to 450. The default is 175.
        speed: u32,
    },
    /// A program and its arguments, in which `{text}`, `{voice}` and `{language}` are filled in; without `{text}` it
    /// reads the text from its input. It prints the audio.
    Command(Vec<String>),
    /// A server with `POST /v1/audio/speech` as OpenAI defines it.
    Http {
        /// The whole URL.
        url: String,
        /// The bearer token.
        key: Option<Secret>,
        /// Its model.
        model: String,
    },
}

/// What a provider sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// A file of any format that can be played; WAV is asked for.
    #[default]
    Wav,
    /// Samples of 16 bits, little-endian, mono, so many per second.
    Pcm(u32),
}

impl Format {
    fn name(self) -> String {
        match self {
            Self::Wav => "wav".into(),
            Self::Pcm(rate) => format!("pcm {rate}"),
        }
    }

    fn audio(self, reader: impl std::io::Read + Send + Sync + 'static) -> Result<Box<dyn Audio>, String> {
        Ok(match self {
            Self::Wav => Box::new(AudioFile::from_reader(reader, None).map_err(|error| error.to_string())?),
            Self::Pcm(rate) => Box::new(RawAudio::new(reader, rate)),
        })
    }
}

impl Voices {
    /// The voice that is built in, if there is one.
    #[must_use]
    pub fn built_in() -> Option<Self> {
        (!languages().is_empty()).then(|| Self {
            provider: Provider::Embedded { folder: PathBuf::new(), speed: SPEED },
            voice: None,
            names: BTreeMap::new(),
            format: Format::Wav,
            patience: Duration::from_secs(15),
        })
    }

    /// Where the provider may keep files.
    pub fn keep_in(&mut self, data: &Path) {
        if let Provider::Embedded { folder, .. } = &mut self.provider {
            *folder = data.join("espeak-ng");
        }
    }

    /// What the provider calls the voice of an utterance.
    fn voice(&self, utterance: &Utterance) -> String {
        let name = |name: &String| self.names.get(name).unwrap_or(name).clone();
        let of_language = || {
            let language = utterance.language.as_ref()?;
            let short = language.split('-').next().unwrap_or_default();
            self.names.get(language).or_else(|| self.names.get(short)).cloned()
        };
        // A voice that is built in is a language.
        let embedded = matches!(self.provider, Provider::Embedded { .. });
        utterance
            .voice
            .as_ref()
            .map(name)
            .or_else(of_language)
            .or_else(|| utterance.language.clone().filter(|_| embedded))
            .or_else(|| self.voice.as_ref().map(name))
            .unwrap_or_default()
    }
}

impl Speech for Voices {
    fn recording(&self, utterance: &Utterance) -> Result<Recording, String> {
        if utterance.text.len() > MAX_TEXT {
            return Err(format!("a text of more than {MAX_TEXT} bytes"));
        }
        let voice = self.voice(utterance);
        let language = utterance.language.clone().unwrap_or_default();
        let text = utterance.text.clone();
        let (format, patience) = (self.format, self.patience);
        // All that changes the sound is in the key.
        let (vendor, open): (Vec<String>, Open) = match self.provider.clone() {
            Provider::Embedded { folder, speed } => {
                let vendor = vec!["espeak-ng 0.2".to_owned(), speed.to_string()];
                (vendor, embedded(folder, speed, &voice, text.clone())?)
            }
            Provider::Command(line) => {
                let vendor = std::iter::once("command".to_owned()).chain(line.iter().cloned()).collect();
                let (text, voice, language) = (text.clone(), voice.clone(), language.clone());
                let open: Open = Arc::new(move |_| {
                    let reader = command::Running::start(&line, &text, &voice, &language, patience)?;
                    let said = reader.complaint();
                    let audio = format.audio(reader).map_err(|error| said(&error))?;
                    Ok(Opened::Audio(audio, Keep::default()))
                });
                (vendor, open)
            }
            Provider::Http { url, key, model } => {
                let vendor = vec!["http".to_owned(), url.clone(), model.clone()];
                let (text, voice) = (text.clone(), voice.clone());
                let agent = crate::fetch::agent(&Limits { patience, private: true, ..Limits::default() }, 0);
                let open: Open = Arc::new(move |_| {
                    let reader = http::speak(&agent, &url, key.as_ref(), &model, &text, &voice, format)?;
                    Ok(Opened::Audio(format.audio(reader)?, Keep::default()))
                });
                (vendor, open)
            }
        };
        let format = self.format.name();
        let values = [("text", &text), ("voice", &voice), ("language", &language), ("format", &format)];
        let values = values.into_iter().chain(vendor.iter().map(|value| ("vendor", value)));
        let key = Key::of(values.map(|(name, value)| (name, value.as_bytes())));
        let name = format!("speech: {}", text.chars().take(40).collect::<String>());
        Ok(Recording { key, name, slow: true, store: true, open })
    }
}

/// Languages the built-in voice speaks; none in programs built without the feature `speech-espeak`.
#[must_use]
pub fn languages() -> &'static [&'static str] {
    #[cfg(feature = "speech-espeak")]
    return &espeak::LANGUAGES;
    #[cfg(not(feature = "speech-espeak"))]
    &[]
}

/// The language of a tag (BCP 47), English of an empty one.
fn language(tag: &str) -> Result<&'static str, String> {
    let short = tag.split(['-', '_']).next().filter(|short| !short.is_empty()).unwrap_or("en");
    match languages().iter().find(|language| language.eq_ignore_ascii_case(short)) {
        Some(language) => Ok(language),
        None if languages().is_empty() => Err("speech: no voice is built into this program".into()),
        None => Err(format!("speech: the built-in voice speaks {}, not {tag:?}", languages().join(", "))),
    }
}

#[cfg(feature = "speech-espeak")]
fn embedded(folder: PathBuf, speed: u32, voice: &str, text: String) -> Result<Open, String> {
    let language = language(voice)?;
    Ok(Arc::new(move |_| Ok(Opened::Audio(espeak::speak(&folder, language, &text, speed)?, Keep::default()))))
}

#[cfg(not(feature = "speech-espeak"))]
fn embedded(_: PathBuf, _: u32, voice: &str, _: String) -> Result<Open, String> {
    Err(language(voice).err().unwrap_or_default())
}

/// Longest text that is said at once, bytes.
const MAX_TEXT: usize = 10_000;
/// Words per minute.
pub(crate) const SPEED: u32 = 175;

#[cfg(test)]
mod tests {
    use super::*;

    fn voices() -> Voices {
        Voices {
            provider: Provider::Command(vec!["say".into(), "{text}".into()]),
            voice: Some("anna".into()),
            names: [("anna", "vendor-anna"), ("ru", "vendor-ru")].map(|(a, b)| (a.into(), b.into())).into(),
            format: Format::Wav,
            patience: Duration::from_secs(1),
        }
    }

    fn utterance(voice: Option<&str>, language: Option<&str>) -> Utterance {
        Utterance { text: "x".into(), voice: voice.map(Into::into), language: language.map(Into::into) }
    }

    #[test]
    fn voices_are_mapped_by_name_then_by_language_then_by_default() {
        let voices = voices();
        assert_eq!(voices.voice(&utterance(None, None)), "vendor-anna");
        assert_eq!(voices.voice(&utterance(None, Some("ru-RU"))), "vendor-ru");
        assert_eq!(voices.voice(&utterance(Some("other"), Some("ru"))), "other");
        assert_eq!(voices.voice(&utterance(None, Some("de"))), "vendor-anna");
    }

    #[test]
    fn everything_that_changes_the_sound_changes_the_key() {
        let key = |voices: &Voices, utterance: &Utterance| voices.recording(utterance).unwrap().key;
        let plain = utterance(None, None);
        let (one, mut other) = (voices(), voices());
        assert_eq!(key(&one, &plain), key(&other, &plain));
        assert_ne!(key(&one, &plain), key(&one, &utterance(Some("b"), None)));
        assert_ne!(key(&one, &plain), key(&one, &utterance(None, Some("ru"))));
        other.provider = Provider::Command(vec!["say".into(), "-fast".into(), "{text}".into()]);
        assert_ne!(key(&one, &plain), key(&other, &plain));
        other.format = Format::Pcm(16_000);
        assert_ne!(key(&one, &plain), key(&other, &plain));
        let http = |model: &str| Voices {
            provider: Provider::Http { url: "http://x".into(), key: None, model: model.into() },
            ..voices()
        };
        assert_ne!(key(&http("a"), &plain), key(&http("b"), &plain));
    }
}
