//! Everything a shard can tell.

use std::net::SocketAddr;

use crate::{
    command::{PlayerId, SessionId, TapId},
    dsp::{answering_machine::Verdict, call_progress::Progress},
    graph::player::Spent,
    quality::Quality,
    shard::Moving,
    stats::SessionStats,
};

/// Why a playback ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// It was heard to its end.
    Ended,
    /// `StopPlay` came.
    Stopped,
    /// Another playback took its place.
    Replaced,
    /// The session was closed.
    Closed,
    /// It could not go on; [`Event::PlayFailed`] came before and says why.
    Failed,
}

/// A fact from a shard.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The first valid RTP packet of the peer arrived, or the first after [`Event::MediaStopped`].
    MediaStarted(SessionId),
    /// Neither RTP nor RTCP for [`crate::session::MEDIA_TIMEOUT`] although media had started and the peer may send.
    MediaStopped(SessionId),
    /// The remote address was learned from received packets and is not that of the SDP.
    Latched(SessionId, SocketAddr),
    /// The peer pressed a key, by whatever way it was learned: 0 to 9, 10 `*`, 11 `#`, 12 to 15 `A` to `D`. Never two
    /// without a [`Event::DigitUp`] between them.
    DigitDown(SessionId, u8),
    /// It released the key; how long it was down, ms.
    DigitUp(SessionId, u8, u32),
    /// A tone of the network or of a fax, once until something else is heard ([`crate::Detectors::tones`]).
    ToneHeard(SessionId, Progress),
    /// A voicemail's beep is over; its frequency, Hz, and length, ms ([`crate::Detectors::beep`]).
    BeepHeard(SessionId, u16, u32),
    /// Who answered, as far as can be told. The times in it are ms since the detector was started.
    Answerer(SessionId, Verdict),
    /// The peer talks ([`crate::Detectors::speech`]).
    SpeechStarted(SessionId),
    /// It no longer does.
    SpeechStopped(SessionId),
    /// All queued digits were sent.
    DigitsSent(SessionId),
    /// A member of a mix talks, for 40 ms by now. Mute does not change that.
    TalkStarted(SessionId),
    /// It has not talked for 400 ms, or left the mix.
    TalkStopped(SessionId),
    /// A [`crate::Feed::Tone`] was heard to its end; silence follows.
    ToneEnded(SessionId),
    /// The first frame of a playback left.
    PlayStarted(SessionId, PlayerId),
    /// A playback ended; `played_ms` of it left.
    PlayFinished {
        /// The listener.
        session: SessionId,
        /// The playback.
        player: PlayerId,
        /// Why.
        reason: FinishReason,
        /// Audio sent, ms.
        played_ms: u32,
        /// What it held, to be dropped where that takes no media thread's time.
        spent: Spent,
    },
    /// A playback passed one of its markers: the number of that marker.
    PlayMarker(SessionId, PlayerId, u32),
    /// A playback cannot go on, for that reason. Its [`Event::PlayFinished`] follows.
    PlayFailed(SessionId, PlayerId, Box<str>),
    /// A tap is finished; nothing more is written to its recorder.
    TapEnded(SessionId, TapId),
    /// The session left its shard ([`crate::Command::Release`]) and waits to be adopted by another.
    Released(SessionId, Box<Moving>),
    /// How good the last seconds were, with each report of ours: every 5 s on average.
    Statistics(SessionId, Quality),
    /// Last event of a session, with what it measured.
    Closed(SessionId, Box<SessionStats>),
}

impl Event {
    /// The session that tells it.
    #[must_use]
    pub fn session(&self) -> SessionId {
        match self {
            Self::MediaStarted(id)
            | Self::MediaStopped(id)
            | Self::Latched(id, _)
            | Self::DigitDown(id, _)
            | Self::DigitUp(id, _, _)
            | Self::ToneHeard(id, _)
            | Self::BeepHeard(id, _, _)
            | Self::Answerer(id, _)
            | Self::SpeechStarted(id)
            | Self::SpeechStopped(id)
            | Self::DigitsSent(id)
            | Self::ToneEnded(id)
            | Self::TalkStarted(id)
            | Self::TalkStopped(id)
            | Self::PlayStarted(id, _)
            | Self::PlayFinished { session: id, .. }
            | Self::PlayMarker(id, _, _)
            | Self::PlayFailed(id, _, _)
            | Self::TapEnded(id, _)
            | Self::Released(id, _)
            | Self::Statistics(id, _)
            | Self::Closed(id, _) => *id,
        }
    }
}
