//! One party: an INVITE usage and a media session, in either direction.

use std::time::Instant;

use media::{Detectors, Feed, Inband, Negotiation, PlayerId, Quality, SessionConfig, SessionId};
use signaling::{Body, Cause, EarlyId, Incoming, InviteId, StatusCode};

use crate::{
    call_record::Direction,
    command::{Collect, Dial, LegId},
};

/// How far a leg has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LegState {
    /// Waits for its media port.
    Opening,
    /// The INVITE is out (or in), nothing was said yet.
    Dialing,
    /// It rings.
    Ringing,
    /// Media flows before the answer.
    Early,
    /// 200 sent or received.
    Answered,
    /// The cause of the end is known; the media session is closing.
    Ending,
}

/// What opened a leg and is needed once its media port is there.
#[derive(Debug)]
pub(crate) enum Opening {
    Incoming(Box<Incoming>),
    Outgoing(Box<Dial>),
    Done,
}

/// First cause of the end.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) at: Instant,
    pub(crate) cause: Cause,
    pub(crate) code: StatusCode,
    pub(crate) reason: String,
}

/// A running collection of digits.
#[derive(Debug)]
pub(crate) struct Collecting {
    pub(crate) how: Collect,
    pub(crate) digits: String,
    pub(crate) deadline: Option<Instant>,
}

/// Who put whom on hold.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    /// The peer is held by us.
    pub(crate) local: bool,
    /// We are held by the peer.
    pub(crate) remote: bool,
    /// Our re-INVITE that would change `local` is under way.
    pub(crate) pending: Option<bool>,
}

#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) direction: Direction,
    pub(crate) state: LegState,
    pub(crate) opening: Opening,
    pub(crate) invite: Option<InviteId>,
    pub(crate) session: Option<SessionId>,
    pub(crate) negotiation: Option<Negotiation>,
    /// Our answer to the caller's offer, the same in 183 and 200 (RFC 3261 §13.3.1).
    pub(crate) answer: Option<Body>,
    /// Result of the caller's offer, applied when our answer leaves: no media before.
    pub(crate) prepared: Option<Box<SessionConfig>>,
    /// The early dialog whose preview is applied.
    pub(crate) early: Option<EarlyId>,
    /// What the leg hears when nothing is played.
    pub(crate) heard: Feed,
    pub(crate) bridged: Option<LegId>,
    /// The playback that runs, and those that wait for it.
    pub(crate) player: Option<PlayerId>,
    pub(crate) queued: Vec<PlayerId>,
    /// Playbacks that begin when the peer can hear them.
    pub(crate) begins: Vec<PlayerId>,
    /// The peer has our answer: its ACK or its RTP came.
    pub(crate) hears: bool,
    pub(crate) collecting: Option<Collecting>,
    pub(crate) hold: Hold,
    /// As the media session told it last.
    pub(crate) quality: Quality,
    /// What is listened for by command.
    pub(crate) detectors: Detectors,
    /// What is done about digits in the audio unless a command says otherwise.
    pub(crate) inband: Inband,
    /// Whether [`crate::EventKind::Incoming`] was told; a leg refused before is never heard of.
    pub(crate) told: bool,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) call_id: String,
    pub(crate) signaling_ip: Option<std::net::IpAddr>,
    pub(crate) started: Instant,
    pub(crate) ringing: Option<Instant>,
    pub(crate) answered: Option<Instant>,
    pub(crate) end: Option<End>,
}

impl Leg {
    pub(crate) fn incoming(now: Instant, invite: InviteId, incoming: Box<Incoming>) -> Self {
        let mut leg = Self::new(now, Direction::Incoming);
        leg.invite = Some(invite);
        leg.from = incoming.from.uri.to_string();
        leg.to = incoming.request_uri.to_string();
        leg.call_id.clone_from(&incoming.call_id);
        leg.signaling_ip = Some(incoming.source.remote.ip());
        leg.opening = Opening::Incoming(incoming);
        leg
    }

    pub(crate) fn outgoing(now: Instant, to: String, dial: Box<Dial>) -> Self {
        let mut leg = Self::new(now, Direction::Outgoing);
        leg.from = dial.from.uri.to_string();
        leg.to = to;
        leg.told = true;
        leg.opening = Opening::Outgoing(dial);
        leg
    }

    fn new(now: Instant, direction: Direction) -> Self {
        Self {
            direction,
            state: LegState::Opening,
            opening: Opening::Done,
            invite: None,
            session: None,
            negotiation: None,
            answer: None,
            prepared: None,
            early: None,
            heard: Feed::Silence,
            bridged: None,
            player: None,
            queued: Vec::new(),
            begins: Vec::new(),
            hears: false,
            collecting: None,
            hold: Hold::default(),
            quality: Quality::default(),
            detectors: Detectors::default(),
            inband: Inband::Ignore,
            told: false,
            from: String::new(),
            to: String::new(),
            call_id: String::new(),
            signaling_ip: None,
            started: now,
            ringing: None,
            answered: None,
            end: None,
        }
    }

    /// Moves on, never back: a 180 after early media does not end the media.
    pub(crate) fn advance(&mut self, now: Instant, state: LegState) {
        if state > self.state {
            self.state = state;
        }
        match state {
            LegState::Ringing | LegState::Early => {
                self.ringing.get_or_insert(now);
            }
            LegState::Answered => {
                self.answered.get_or_insert(now);
            }
            LegState::Opening | LegState::Dialing | LegState::Ending => {}
        }
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.state == LegState::Ending
    }
}
