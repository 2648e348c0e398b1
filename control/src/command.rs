//! Everything a leg can be asked.

use std::{sync::Arc, time::Duration};

use media::{
    Detectors, DigitString, MixId, PlayerId, Prompt, Srtp, TapId, dsp::tone_script::ToneScript,
    graph::recorder::Recorder,
};
use signaling::{NameAddr, StatusCode, Uri};

/// One party of a call. Chosen by the caller for outgoing legs (below 2^63); incoming legs get theirs from the
/// switchboard (from 2^63 on).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LegId(pub u64);

impl LegId {
    /// First id of incoming legs.
    pub(crate) const FIRST_INCOMING: u64 = 1 << 63;

    /// Whether the peer called us.
    #[must_use]
    pub fn is_incoming(self) -> bool {
        self.0 >= Self::FIRST_INCOMING
    }
}

/// Whom to dial.
#[derive(Debug, Clone)]
pub enum Target {
    /// A SIP URI.
    Uri(Uri),
    /// One registered contact of a user, as [`crate::Switchboard::contacts`] lists them.
    Contact(Box<signaling::register::bindings::Contact>),
}

/// An outgoing leg.
#[derive(Debug, Clone)]
pub struct Dial {
    /// Whom.
    pub target: Target,
    /// The calling party shown.
    pub from: NameAddr,
    /// Place the media beside this leg's, so that none has to move when the two are bridged.
    pub near: Option<LegId>,
    /// User and password for a 401 or 407.
    pub credentials: Option<(String, String)>,
    /// Extra headers for the INVITE.
    pub headers: Vec<(String, String)>,
    /// How long it may ring; the endpoint's default where `None`.
    pub ring_timeout: Option<Duration>,
    /// Whether this leg's media is encrypted; the configuration's choice where `None`.
    pub srtp: Option<Srtp>,
}

impl Dial {
    /// A call without anything special.
    #[must_use]
    pub fn new(target: Target, from: NameAddr) -> Self {
        Self {
            target,
            from,
            near: None,
            credentials: None,
            headers: Vec::new(),
            ring_timeout: None,
            srtp: None,
        }
    }
}

/// A playback.
#[derive(Debug, Clone)]
pub struct Play {
    /// Named by the caller; comes back in the events.
    pub player: PlayerId,
    /// What.
    pub prompt: Arc<Prompt>,
    /// How often; `None` loops.
    pub times: Option<u32>,
}

/// How digits are collected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collect {
    /// Complete after so many digits.
    pub max: usize,
    /// Digits that complete the input and are not part of it.
    pub terminators: String,
    /// Longest wait for the first digit; counted from the end of a running playback.
    pub first: Duration,
    /// Longest wait between digits.
    pub between: Duration,
    /// Whether the first digit stops a running playback.
    pub barge_in: bool,
}

impl Default for Collect {
    fn default() -> Self {
        Self {
            max: 1,
            terminators: "#".into(),
            first: Duration::from_secs(10),
            between: Duration::from_secs(4),
            barge_in: true,
        }
    }
}

/// A telephone verb.
#[derive(Debug)]
pub enum Command {
    /// Creates an outgoing leg and calls.
    Dial(Box<Dial>),
    /// Tells the caller that it rings (180 without media).
    Ring,
    /// Opens media to the caller before answering (183 with our answer).
    Early,
    /// Answers (200). The media is that of `Early`, if it was sent.
    Answer,
    /// Refuses an incoming leg that is not answered.
    Reject(StatusCode),
    /// Plays; replaces a running playback.
    Play(Play),
    /// Stops the playback, if that one is running.
    StopPlay(PlayerId),
    /// Lets the leg hear a tone, cadence or script instead of its feed; [`Command::tone`] makes one.
    Tone(Arc<ToneScript>),
    /// Lets the leg hear silence: ends `Tone` and `Echo`.
    Silence,
    /// Lets the leg hear itself.
    Echo,
    /// Sends digits.
    SendDigits(DigitString),
    /// Collects digits; replaces a running collection, which ends as [`crate::CollectEnd::Replaced`].
    Collect(Collect),
    /// Starts and stops detectors on what the peer says, early media included; they tell
    /// [`crate::EventKind::ToneHeard`], [`crate::EventKind::BeepHeard`], [`crate::EventKind::AnsweredBy`],
    /// [`crate::EventKind::SpeechStarted`] and keys. Takes the place of those wanted before.
    Detect(Box<Detectors>),
    /// Records what the leg says and hears.
    Record(TapId, Box<Recorder>),
    /// Ends a recording.
    StopRecord(TapId),
    /// Lets this leg and the other hear each other. Works as soon as both have media, answered or not; a bridge
    /// that either is in ends first.
    Bridge(LegId),
    /// Ends the bridge this leg is in.
    Unbridge,
    /// Lets this leg and all others in the conference hear each other; a bridge or conference it is in ends for it
    /// first. A conference is there while somebody is in it.
    Join(MixId),
    /// Leaves the conference: the leg hears silence.
    Leave,
    /// Keeps what the leg says out of the conference it is or will be in, or lets it in again.
    Mute(bool),
    /// Sets how loud this leg hears another in their conference, as a factor from 0 to 4, also when that is muted;
    /// `None` as everybody hears it. Forgotten when either leaves.
    Gain(LegId, Option<f32>),
    /// Puts the peer on hold (re-INVITE with `sendonly`).
    Hold,
    /// Takes the peer off hold.
    Resume,
    /// Ends the leg in whatever state it is. The status goes with it where SIP has a place for it.
    HangUp(Option<StatusCode>),
}

impl Command {
    /// Lets the leg hear a tone, cadence or script.
    #[must_use]
    pub fn tone(tone: impl Into<ToneScript>) -> Self {
        Self::Tone(Arc::new(tone.into()))
    }
}
