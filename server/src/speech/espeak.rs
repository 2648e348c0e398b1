//! The voice that is built in: a port of eSpeak NG, in programs built with the feature `speech-espeak`.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use control::media::io::Audio;
use espeak_ng::{EspeakNg, Parameter};

/// Languages whose pronunciation is in the program.
pub(super) const LANGUAGES: [&str; 11] = ["de", "en", "es", "fr", "it", "nl", "pl", "pt", "ru", "sv", "tr"];

/// Says a text in one of [`LANGUAGES`], so many words a minute. The tables are unpacked into `folder` the first time.
pub(super) fn speak(folder: &Path, language: &str, text: &str, speed: u32) -> Result<Box<dyn Audio>, String> {
    unpack(folder)?;
    let mut voice = EspeakNg::with_data_dir(language, folder).map_err(|error| format!("speech: {error}"))?;
    voice.set_parameter(Parameter::Rate, i32::try_from(speed).unwrap_or(i32::MAX));
    Ok(Box::new(Spoken { voice, text: speakable(text), said: 0 }))
}

/// A text that is said piece by piece, so that the first words are heard before the last are synthesised.
struct Spoken {
    voice: EspeakNg,
    text: String,
    /// Bytes of the text.
    said: usize,
}

impl Audio for Spoken {
    fn rate(&self) -> u32 {
        self.voice.sample_rate()
    }

    fn read(&mut self, out: &mut Vec<i16>) -> Result<bool, String> {
        let left = &self.text[self.said..];
        let piece = &left[..end_of_piece(left)];
        // A port of a large program: what it trips over must not take anything else down.
        let spoken = catch_unwind(AssertUnwindSafe(|| self.voice.synth(piece)));
        let (samples, _) = spoken
            .map_err(|_| "speech: the built-in voice failed")?
            .map_err(|error| format!("speech: {error}"))?;
        out.extend_from_slice(&samples);
        self.said += piece.len();
        Ok(self.said < self.text.len())
    }

    fn seek(&mut self, _: u32) -> bool {
        false
    }
}

/// Without control characters, which are commands to the voice, and with words no longer than it can stress.
fn speakable(text: &str) -> String {
    let mut speakable = String::with_capacity(text.len());
    let mut letters = 0;
    for character in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        letters = if character.is_whitespace() { 0 } else { letters + 1 };
        if letters > LONGEST_WORD {
            speakable.push(' ');
            letters = 1;
        }
        speakable.push(character);
    }
    speakable
}

/// Where a text can be cut without being heard: behind the first sentence that ends after [`PIECE`] bytes, or behind a
/// word where sentences are longer than anybody speaks.
fn end_of_piece(text: &str) -> usize {
    let mut word = None;
    let mut ended = false;
    for (at, character) in text.char_indices().skip_while(|(at, _)| *at < PIECE) {
        if character.is_whitespace() {
            if ended {
                return at;
            }
            word = Some(at);
        }
        if at >= LONGEST_PIECE {
            return word.unwrap_or(at);
        }
        ended = matches!(character, '.' | '!' | '?' | ';' | ':' | '…');
    }
    text.len()
}

fn unpack(folder: &Path) -> Result<(), String> {
    /// Where the tables are.
    static UNPACKED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let mut unpacked = UNPACKED.lock().unwrap_or_else(PoisonError::into_inner);
    if !unpacked.contains(folder) {
        std::fs::create_dir_all(folder)
            .and_then(|()| espeak_ng::install_bundled_languages(folder, &LANGUAGES))
            .map_err(|error| format!("speech: {}: {error}", folder.display()))?;
        unpacked.insert(folder.to_owned());
    }
    Ok(())
}

const PIECE: usize = 120;
const LONGEST_PIECE: usize = 1_000;
/// Characters.
const LONGEST_WORD: u32 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_to_the_voice_are_left_out_and_endless_words_are_broken() {
        assert_eq!(speakable("a\u{1}50S b\n"), "a 50S b ");
        assert_eq!(speakable(&"é".repeat(61)), format!("{} é", "é".repeat(60)));
    }

    #[test]
    fn long_texts_are_cut_behind_sentences_or_words_and_short_ones_are_not() {
        assert_eq!(end_of_piece("Dr. Who. Is. In."), 16);
        let long = format!("{}. Then more. ", "word ".repeat(30).trim_end());
        assert_eq!(&long[end_of_piece(&long)..], " Then more. ");
        let endless = "word ".repeat(1_000);
        let end = end_of_piece(&endless);
        assert!(endless[end..].starts_with(' ') && end < 1_010, "{end}");
        let one = "é".repeat(5_000);
        assert!(one.is_char_boundary(end_of_piece(&one)) && end_of_piece(&one) <= 1_001);
    }
}
