//! Everything a leg can be asked.

use std::{path::PathBuf, sync::Arc, time::Duration};

use media::{
    Detectors, DigitString, MixId, PlayerId, Prompt, Srtp, Steer, SteerTap, TapId,
    dsp::tone_script::ToneScript, graph::recorder::Recorder,
};
use signaling::{NameAddr, StatusCode, Uri};

use crate::speech::Utterance;

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

/// Something to play.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Source {
    /// A prompt that is at hand.
    Prompt(Arc<Prompt>),
    /// A file: WAV, MP3, AAC, MP4, FLAC, Ogg.
    File(PathBuf),
    /// The same from a web server.
    Url(String),
    /// The same in memory.
    Bytes(Arc<[u8]>),
    /// Speech under synthesis. Its text is plain; [`Command::Say`] understands SSML.
    Speech(Utterance),
    /// Tones.
    Tones(Box<ToneScript>),
    /// So many ms of nothing.
    Silence(u32),
}

/// When a playback begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Begin {
    /// At once.
    #[default]
    Now,
    /// When the peer can hear it from its first word on: with the ACK to our answer or the peer's first RTP, and
    /// anyway when that much time has passed (200 ms is usual). At once where that is long over.
    Heard(Duration),
}

/// A playback.
#[derive(Debug, Clone)]
pub struct Play {
    /// Named by the caller; comes back in the events.
    pub player: PlayerId,
    /// What, one after the other without a gap.
    pub sources: Vec<Source>,
    /// How often; `None` loops.
    pub times: Option<u32>,
    /// How much louder than it is, dB.
    pub volume_db: f32,
    /// After what runs, instead of in its place.
    pub queued: bool,
    /// When it begins.
    pub begin: Begin,
    /// Silence before the first sample, ms.
    pub lead_in_ms: u32,
    /// Where it begins, ms from the beginning of the first source.
    pub from_ms: u32,
    /// How long it fades out when it is stopped, ms; 5 at least.
    pub fade_out_ms: u32,
    /// Places, ms from the beginning of the first source, that an event tells about.
    pub markers: Vec<u32>,
}

impl Play {
    /// These sources once, at once.
    #[must_use]
    pub fn of(player: PlayerId, sources: Vec<Source>) -> Self {
        Self {
            player,
            sources,
            times: Some(1),
            volume_db: 0.0,
            queued: false,
            begin: Begin::Now,
            lead_in_ms: 0,
            from_ms: 0,
            fade_out_ms: 5,
            markers: Vec::new(),
        }
    }

    /// One prompt, so many times; `None` loops.
    #[must_use]
    pub fn prompt(player: PlayerId, prompt: Arc<Prompt>, times: Option<u32>) -> Self {
        Self { times, ..Self::of(player, vec![Source::Prompt(prompt)]) }
    }
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
    /// Plays; replaces all playbacks that run or wait, unless it is queued.
    Play(Box<Play>),
    /// Says a text, in place of what is played: a playback whose sources are what the text comes down to.
    Say(PlayerId, Utterance),
    /// Stops a playback that runs or waits.
    StopPlay(PlayerId),
    /// Pauses, resumes, seeks, changes the volume of a playback.
    SteerPlay(PlayerId, Steer),
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
    /// Pauses or resumes a recording, or names this moment of it.
    SteerRecord(TapId, SteerTap),
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
