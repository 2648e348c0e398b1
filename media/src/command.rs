//! Everything a shard can be told. Nothing is hidden elsewhere.

use std::sync::Arc;

use crate::{
    config::SessionConfig, detectors::Detectors, dsp::tone_script::ToneScript, graph::player::Playback,
    graph::recorder::Recorder, shard::Moving,
};

/// One session: the worker and slot it was opened on, and a generation, so that a late command never reaches a
/// successor. The name stays when the session moves to another worker.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(u64);

impl SessionId {
    /// Composes an id. `slot` is an index into the worker's sessions.
    #[must_use]
    pub fn new(worker: u8, slot: u32, generation: u32) -> Self {
        Self((u64::from(worker) << 56) | (u64::from(generation & 0x00FF_FFFF) << 32) | u64::from(slot))
    }

    /// Number of the worker the session was opened on.
    #[must_use]
    pub fn worker(self) -> u8 {
        (self.0 >> 56) as u8
    }

    /// Index of the session within that worker.
    #[must_use]
    pub fn slot(self) -> u32 {
        self.0 as u32
    }

    /// How often the slot was used before (24 bits).
    #[must_use]
    pub fn generation(self) -> u32 {
        (self.0 >> 32) as u32 & 0x00FF_FFFF
    }
}

impl std::fmt::Debug for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session {}/{}.{}", self.worker(), self.slot(), self.generation())
    }
}

/// One running playback, named by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlayerId(pub u64);

/// One tap, named by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TapId(pub u64);

/// One mix, named by the caller. It is there while somebody is in it, on the worker of its members; the same id on
/// another worker is another mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MixId(pub u64);

/// What one session hears: exactly one of these at a time.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Feed {
    /// Packets of silence, so that the stream and NAT bindings stay alive.
    #[default]
    Silence,
    /// What another session says; its own id makes an echo. Packets are relayed where codecs match.
    Session(SessionId),
    /// Everybody else in a mix, who hear this session as well: the feed is the membership.
    Mix(MixId),
    /// A generated tone, cadence or sequence of them, from its beginning. After its end there is silence.
    Tone(Arc<ToneScript>),
}

impl Feed {
    /// A tone, cadence or script.
    #[must_use]
    pub fn tone(tone: impl Into<ToneScript>) -> Self {
        Self::Tone(Arc::new(tone.into()))
    }
}

/// How a running playback changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Steer {
    /// Silence within 5 ms, until `Resume`.
    Pause,
    /// Goes on, or begins, where it paused.
    Resume,
    /// Goes on there: ms from the beginning of the first piece. Beyond the end the round is over.
    Seek(u32),
    /// How much louder than it is, dB, −60 to 30; below −60 is silence. Changes within 5 ms.
    Volume(f32),
}

/// Digits to send, with pauses. Built by [`DigitString::parse`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigitString {
    /// The steps in order.
    pub steps: Vec<DigitStep>,
    /// Length of each digit, ms (default 100, at least 40).
    pub on_ms: u16,
    /// Gap after each digit, ms (default 100, at least 40).
    pub gap_ms: u16,
}

/// One step of a [`DigitString`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigitStep {
    /// A telephone event: 0 to 9, 10 `*`, 11 `#`, 12 to 15 `A` to `D`, 16 flash (RFC 4733 §3.2).
    Digit(u8),
    /// Nothing for that many ms.
    Pause(u16),
}

/// A request to a shard.
#[derive(Debug)]
pub enum Command {
    /// Creates a session. Until a `Configure` with a remote address it neither sends nor latches.
    Open(SessionId, Box<SessionConfig>),
    /// Applies the result of an offer/answer; SSRC, sequence and clock continue.
    Configure(SessionId, Box<SessionConfig>),
    /// Sets what the session hears when no playback is running.
    Feed(SessionId, Feed),
    /// Keeps what the session says out of the mix it is or will be in (`true`), or lets it in again. It takes
    /// effect with the session's next frame, over 5 ms.
    Mute(SessionId, bool),
    /// Sets how loud the first session hears the second one in their mix, as a factor from 0 to 4; `None` as loud as
    /// everybody hears it. With a factor it hears the other even when that is muted. Forgotten when either leaves.
    Gain(SessionId, SessionId, Option<f32>),
    /// Lets only so many talkers be heard at a time in the mix the session is in, those who are loudest, until its last
    /// member leaves; 0 is no limit. Who hears whom alone ([`Gain`](Self::Gain)) is not affected.
    Loudest(SessionId, u16),
    /// Starts a playback at once, replacing those that run or wait (which finish as `Replaced`), or after them if it
    /// is [`queued`](Playback::queued). When the last one ends the session hears its feed again.
    Play(SessionId, PlayerId, Box<Playback>),
    /// Ends a playback, running or waiting, with its fade; it finishes as `Stopped`.
    StopPlay(SessionId, PlayerId),
    /// Changes a playback, running or waiting.
    SteerPlay(SessionId, PlayerId, Steer),
    /// Sends digits to the peer, after those already queued; RFC 4733, or tones where that was not negotiated.
    SendDigits(SessionId, Box<DigitString>),
    /// Starts and stops detectors on what the peer says. Those that ran and are wanted as before go on undisturbed.
    Detect(SessionId, Box<Detectors>),
    /// The call was answered: what the peer says from now on is its greeting, for
    /// [`Detectors::answering_machine`]. Only the first time counts.
    Answered(SessionId),
    /// The peer pressed a key, as was learned in another way than from its media (SIP INFO): a telephone event from 0
    /// to 15, and for how many ms (40 to 5,000). It is fused with what the media tells and passed on like a telephone
    /// event.
    DigitHeard(SessionId, u8, u16),
    /// Starts recording what the session says and hears; changes nothing that anyone hears.
    Tap(SessionId, TapId, Box<Recorder>),
    /// Pauses or resumes a recording, or names this moment of it, to the sample.
    SteerTap(SessionId, TapId, SteerTap),
    /// Ends a tap: its recorder is finished and dropped.
    Untap(SessionId, TapId),
    /// Takes the session out of its shard as it is, answered by [`crate::Event::Released`]. An engine does this itself
    /// when sessions of different workers are to hear each other.
    Release(SessionId),
    /// Takes a released session in, at that free slot; its id stays. Both shards were made with the same time, and
    /// the slot is one with the same sub-slot of the frame as the one before ([`crate::Slots::allocate_beside`]).
    Adopt(SessionId, u32, Box<Moving>),
    /// Ends the session. Answered by exactly one [`crate::Event::Closed`], the last event of this id.
    Close(SessionId),
}

/// What happens to a recording that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SteerTap {
    /// What follows is left out.
    Pause,
    /// It goes on, directly behind what was before the pause.
    Resume,
    /// This moment gets a name, of [`MARKER_BYTES`](crate::graph::recorder::MARKER_BYTES) at most.
    Mark(Box<str>),
}

impl Command {
    /// The session that is meant.
    #[must_use]
    pub fn session(&self) -> SessionId {
        match self {
            Self::Open(id, _)
            | Self::Configure(id, _)
            | Self::Feed(id, _)
            | Self::Mute(id, _)
            | Self::Gain(id, _, _)
            | Self::Loudest(id, _)
            | Self::Play(id, _, _)
            | Self::StopPlay(id, _)
            | Self::SteerPlay(id, _, _)
            | Self::SendDigits(id, _)
            | Self::Detect(id, _)
            | Self::Answered(id)
            | Self::DigitHeard(id, _, _)
            | Self::Tap(id, _, _)
            | Self::SteerTap(id, _, _)
            | Self::Untap(id, _)
            | Self::Release(id)
            | Self::Adopt(id, _, _)
            | Self::Close(id) => *id,
        }
    }
}
