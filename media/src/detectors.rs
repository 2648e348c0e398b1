//! What is listened for in what a peer says.

use crate::dsp::{
    answering_machine::AnsweringMachineConfig, tone_plan::Country, voice_activity::VoiceConfig,
};

/// Which detectors run on a session ([`crate::Command::Detect`]). By default none: then nothing is decoded for them.
///
/// They hear what is played out, once per 20 ms, and change nothing that others hear, except with
/// [`Inband::Remove`]. All of them work on early media as well.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Detectors {
    /// Keys as tones in the audio. They are fused with telephone events and with
    /// [`crate::Command::DigitHeard`]: the same key in two ways within 300 ms is told once.
    pub digits: Inband,
    /// Ringback, busy, congestion and dial tone of that country, fax tones, special information tones:
    /// [`crate::Event::ToneHeard`].
    pub tones: Option<Country>,
    /// Whether a human answered: [`crate::Event::Answerer`], once, and perhaps once more as a revision. The greeting is
    /// judged from [`crate::Command::Answered`] on. Fax, special information, beeps and keys are taken into account
    /// without being told for that.
    pub answering_machine: Option<AnsweringMachineConfig>,
    /// The beep after which a voicemail records: [`crate::Event::BeepHeard`].
    pub beep: bool,
    /// Talk and silence: [`crate::Event::SpeechStarted`] and [`crate::Event::SpeechStopped`].
    pub speech: Option<VoiceConfig>,
}

/// What is done about digits in the audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Inband {
    /// Nothing.
    #[default]
    Ignore,
    /// They are told. Whoever hears the session hears their tones, so the keys are not sent on as events.
    Tell,
    /// They are told, cut out of what others hear and record, and sent on as events instead.
    ///
    /// For this, all that the session says is heard 20 ms later, and never passed on as packets. It is best effort:
    /// tones are known after 15 to 25 ms, so the first 5 ms of a digit may remain, and short whistles may be cut.
    Remove,
}

impl Detectors {
    /// Whether there is nothing to listen for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
