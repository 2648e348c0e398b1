//! Whether a human answered, by the rhythm of the greeting.
//!
//! Humans say a short word and wait; machines talk on. [`AnsweringMachine`] hears what the answering party says, at
//! 8 kHz, in chunks of any length and without holes, beside whatever else happens to that sound: it never holds
//! media up. What other detectors find is given to it as a [`Clue`]. Before [`AnsweringMachine::answered`] (early
//! media) only clues count, as ringback and announcements have a rhythm too.
//!
//! One [`Verdict`] follows within [`AnsweringMachineConfig::total_ms`] of the answer. Stronger evidence may revise it,
//! once.

use super::{
    goertzel::RATE,
    voice_activity::{FRAME, Frame, FrameHeard},
};

/// The rules. Times are ms of sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnsweringMachineConfig {
    /// Nobody speaks for so long after the answer: a machine.
    pub initial_silence_ms: u32,
    /// Words of more than this in total: a machine.
    pub greeting_ms: u32,
    /// So long a silence after a greeting: a human who waits.
    pub after_greeting_silence_ms: u32,
    /// Nothing was certain for so long: not sure.
    pub total_ms: u32,
    /// Shorter sounds are no words.
    pub least_word_ms: u32,
    /// So long a silence separates words.
    pub between_words_ms: u32,
    /// More words than this: a machine.
    pub most_words: u32,
    /// A word longer than this: a machine.
    pub longest_word_ms: u32,
    /// Mean magnitude of samples from which sound is no silence.
    pub silence_threshold: u16,
    /// So long after the answer the verdict may still be revised.
    pub watch_ms: u32,
}

impl Default for AnsweringMachineConfig {
    fn default() -> Self {
        Self {
            initial_silence_ms: 2500,
            greeting_ms: 1500,
            after_greeting_silence_ms: 800,
            total_ms: 5000,
            least_word_ms: 100,
            between_words_ms: 50,
            most_words: 2,
            longest_word_ms: 5000,
            silence_threshold: 256,
            watch_ms: 30_000,
        }
    }
}

/// Who answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answerer {
    /// Somebody.
    Human,
    /// A recorded greeting.
    Machine,
    /// A fax machine.
    Fax,
    /// An announcement of the network.
    Network,
    /// No rule was certain in time.
    NotSure,
}

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// Nobody spoke.
    InitialSilence,
    /// The greeting went on and on.
    LongGreeting,
    /// One sound went on and on.
    LongWord,
    /// Too many words.
    ManyWords,
    /// A greeting, and silence after it.
    Pause,
    /// The time was over.
    TooLong,
    /// A key was pressed.
    Digit,
    /// A voicemail's beep.
    Beep,
    /// The tone of a fax.
    FaxTone,
    /// The three tones before an announcement.
    SpecialInformation,
}

/// What other detectors found in the sound of the same party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Clue {
    /// A key, by whatever way it came.
    Digit,
    /// [`super::beep::BeepDetector`] told one.
    Beep,
    /// CNG or CED.
    Fax,
    /// The special information tones.
    SpecialInformation,
}

/// What was found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Who answered.
    pub answerer: Answerer,
    /// Why this is thought.
    pub cause: Cause,
    /// When it was known, ms from the first sample heard.
    pub at_ms: u64,
    /// How sure it is, percent.
    pub confidence: u8,
    /// It takes the place of an earlier one. No other will follow.
    pub is_revision: bool,
}

/// Judges who answered.
#[derive(Debug, Clone)]
pub struct AnsweringMachine {
    config: AnsweringMachineConfig,
    frame: Frame,
    /// Samples heard.
    position: u64,
    answered_at: Option<u64>,
    greeting: Greeting,
    verdict: Option<Verdict>,
}

/// What was said so far, ms.
#[derive(Debug, Clone, Copy, Default)]
struct Greeting {
    words: u32,
    /// Sound of all words but the current.
    voiced: u32,
    /// Of the sound that goes on, pauses within a word excluded.
    word: u32,
    silence: u32,
}

impl AnsweringMachine {
    /// Nothing heard, nothing answered.
    #[must_use]
    pub fn new(config: AnsweringMachineConfig) -> Self {
        Self {
            config,
            frame: Frame::default(),
            position: 0,
            answered_at: None,
            greeting: Greeting::default(),
            verdict: None,
        }
    }

    /// The call was answered; what is heard from now on is a greeting. Only the first time counts.
    pub fn answered(&mut self) {
        self.answered_at.get_or_insert(self.position);
    }

    /// Hears the next samples and tells the verdict, or its revision.
    pub fn hear(&mut self, mut samples: &[i16], mut tell: impl FnMut(Verdict)) {
        while let Some(frame) = self.frame.take(&mut samples) {
            self.position = frame.end;
            if let Some(verdict) = self.judge(frame) {
                tell(verdict);
            }
        }
    }

    /// Takes what another detector found into account.
    #[must_use]
    pub fn clue(&mut self, clue: Clue) -> Option<Verdict> {
        let (answerer, cause, confidence) = match clue {
            Clue::Digit => (Answerer::Human, Cause::Digit, 90),
            Clue::Beep => (Answerer::Machine, Cause::Beep, 97),
            Clue::Fax => (Answerer::Fax, Cause::FaxTone, 99),
            Clue::SpecialInformation => (Answerer::Network, Cause::SpecialInformation, 98),
        };
        self.conclude(answerer, cause, confidence)
    }

    /// What is thought now.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }

    /// Whether nothing can change any more, so that it need not hear on.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let revised = self.verdict.is_some_and(|verdict| verdict.is_revision);
        revised || (self.verdict.is_some() && self.since_answer() > u64::from(self.config.watch_ms))
    }

    /// Ms; 0 before.
    fn since_answer(&self) -> u64 {
        self.answered_at.map_or(0, |at| (self.position - at) * 1000 / u64::from(RATE))
    }

    fn judge(&mut self, frame: FrameHeard) -> Option<Verdict> {
        let is_weak = self.verdict.is_none_or(|verdict| verdict.confidence < CERTAIN);
        if self.answered_at.is_none() || !is_weak || self.is_finished() {
            return None;
        }
        let config = self.config;
        let heard = &mut self.greeting;
        if frame.mean_magnitude >= u32::from(config.silence_threshold) {
            heard.voice(&config);
        } else {
            heard.pause(&config);
        }
        let greeting = heard.length(&config);
        let (answerer, cause, confidence) = if heard.word > config.longest_word_ms {
            (Answerer::Machine, Cause::LongWord, 80)
        } else if greeting > config.greeting_ms {
            (Answerer::Machine, Cause::LongGreeting, 80)
        } else if heard.words > config.most_words {
            (Answerer::Machine, Cause::ManyWords, 65)
        } else if heard.words > 0 && heard.silence >= config.after_greeting_silence_ms {
            // The shorter the greeting, the surer.
            let spare = 25 - (25 * greeting / config.greeting_ms.max(1)).min(25);
            (Answerer::Human, Cause::Pause, 65 + spare as u8)
        } else if self.verdict.is_some() {
            // The clocks below have run out for good.
            return None;
        } else if heard.words == 0
            && heard.silence > 0
            && self.since_answer() >= u64::from(config.initial_silence_ms)
        {
            (Answerer::Machine, Cause::InitialSilence, 40)
        } else if self.since_answer() >= u64::from(config.total_ms) {
            (Answerer::NotSure, Cause::TooLong, 0)
        } else {
            return None;
        };
        self.greeting = Greeting::default();
        self.conclude(answerer, cause, confidence)
    }

    fn conclude(&mut self, answerer: Answerer, cause: Cause, confidence: u8) -> Option<Verdict> {
        let is_news = match self.verdict {
            None => true,
            Some(before) => {
                !self.is_finished() && before.answerer != answerer && confidence > before.confidence
            }
        };
        is_news.then(|| {
            let at_ms = self.position * 1000 / u64::from(RATE);
            let is_revision = self.verdict.is_some();
            *self.verdict.insert(Verdict { answerer, cause, at_ms, confidence, is_revision })
        })
    }
}

impl Greeting {
    fn voice(&mut self, config: &AnsweringMachineConfig) {
        let before = self.word;
        self.word = before.saturating_add(FRAME_MS);
        if before < config.least_word_ms.max(1) && self.word >= config.least_word_ms.max(1) {
            self.words += 1;
        }
        self.silence = if self.word >= config.least_word_ms { 0 } else { self.silence };
    }

    fn pause(&mut self, config: &AnsweringMachineConfig) {
        self.silence = self.silence.saturating_add(FRAME_MS);
        if self.silence >= config.between_words_ms {
            self.voiced = self.length(config);
            self.word = 0;
        }
    }

    /// Sound in words.
    fn length(&self, config: &AnsweringMachineConfig) -> u32 {
        let word = if self.word >= config.least_word_ms { self.word } else { 0 };
        self.voiced.saturating_add(word)
    }
}

const FRAME_MS: u32 = FRAME as u32 * 1000 / RATE;
/// A verdict as sure as this is revised by clues alone.
const CERTAIN: u8 = 50;
