//! Everything a switchboard can tell.

use media::{
    FinishReason, MixId, PlayerId, TapId,
    dsp::{answering_machine::Verdict, call_progress::Progress},
};
use signaling::{Incoming, RegistrationId, RegistrationState, StatusCode, Uri};

use crate::{call_record::CallRecord, command::LegId};

/// A fact about a leg.
#[derive(Debug, Clone)]
pub struct Event {
    /// Grows by one with every event of the switchboard, so also orders the events of one call.
    pub seq: u64,
    /// Which leg.
    pub leg: LegId,
    /// What happened.
    pub kind: EventKind,
}

/// How a collection of digits ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CollectEnd {
    /// As many digits as asked for.
    Full,
    /// A terminator was pressed.
    Terminator,
    /// No (further) digit in time.
    Timeout,
    /// Another `Collect` took its place.
    Replaced,
}

/// What can happen to a leg.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum EventKind {
    /// A peer calls; its media is ready, so every verb may be used at once.
    Incoming(Box<Incoming>),
    /// The called party makes progress; `true` when media came with it (the leg can be bridged now).
    Progress(StatusCode, bool),
    /// The outgoing leg was answered, or the ACK to our answer arrived.
    Answered,
    /// First RTP of the peer.
    MediaStarted,
    /// The peer's RTP fell silent.
    MediaStopped,
    /// The peer pressed a key (`0`-`9`, `*`, `#`, `A`-`D`), by whatever way: telephone event, INFO or tones. The same
    /// key in several ways is told once.
    DigitDown(char),
    /// The peer released it; how long it was held, ms.
    Digit(char, u32),
    /// The collection is over.
    Collected(String, CollectEnd),
    /// The peer's line says something in tones: ringing, busy, congestion, a fax, an announcement.
    ToneHeard(Progress),
    /// A voicemail's beep is over; its frequency, Hz, and length, ms.
    BeepHeard(u16, u32),
    /// Who answered, as far as can be told; may be revised once. The times in it are ms since the detector was started.
    AnsweredBy(Verdict),
    /// The peer talks.
    SpeechStarted,
    /// It no longer does.
    SpeechStopped,
    /// All digits were sent.
    DigitsSent,
    /// The tone was heard to its end.
    ToneEnded,
    /// The first frame of a playback left.
    PlayStarted(PlayerId),
    /// A playback passed one of its markers: its number, counted from 0.
    PlayMarker(PlayerId, u32),
    /// A playback cannot go on, and why: its [`Self::PlayFinished`] follows.
    PlayFailed(PlayerId, String),
    /// An element of SSML was read as if it were not there.
    SpeechIgnored(PlayerId, String),
    /// A playback ended; ms heard.
    PlayFinished(PlayerId, FinishReason, u32),
    /// The peer put us on hold.
    Held,
    /// The peer took us off hold.
    Resumed,
    /// Our hold (`true`) or resume (`false`) took effect.
    HoldChanged(bool),
    /// Our hold or resume was refused; the session is as before.
    HoldFailed(StatusCode),
    /// The other leg of the bridge; both hear each other now.
    Bridged(LegId),
    /// The bridge ended.
    Unbridged(LegId),
    /// The leg is in that conference.
    Joined(MixId),
    /// It is no longer.
    Left(MixId),
    /// In a conference: the peer talks, for 40 ms by now. A muted one as well.
    TalkStarted,
    /// It has not talked for 400 ms, or left the conference.
    TalkStopped,
    /// The recorder of this tap is complete.
    Recorded(TapId),
    /// Last event of a leg, exactly once, with the first cause.
    Ended(Box<CallRecord>),
}

/// A fact that concerns no leg.
#[derive(Debug, Clone)]
pub enum Notice {
    /// A user of ours registered a contact.
    Bound(String, Uri),
    /// A contact expired or was removed.
    Unbound(String, Uri),
    /// News of our own registration.
    Registration(RegistrationId, RegistrationState),
}
