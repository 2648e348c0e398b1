//! What remains of a leg when it is gone.

use std::time::{Duration, Instant};

use media::SessionStats;
use signaling::{Cause, StatusCode};

/// Whose call it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The peer called us.
    Incoming,
    /// We called the peer.
    Outgoing,
}

/// The account of one leg.
#[derive(Debug, Clone)]
pub struct CallRecord {
    /// Whose call.
    pub direction: Direction,
    /// Calling party, as a URI.
    pub from: String,
    /// Called party, as a URI.
    pub to: String,
    /// SIP Call-ID; empty when the INVITE was never sent.
    pub call_id: String,
    /// First INVITE received, or dialled.
    pub started: Instant,
    /// First provisional response above 100, sent or received.
    pub ringing: Option<Instant>,
    /// 200 sent or received.
    pub answered: Option<Instant>,
    /// The cause came in.
    pub ended: Instant,
    /// First cause.
    pub cause: Cause,
    /// Status that goes with it.
    pub code: StatusCode,
    /// Text that goes with it.
    pub reason: String,
    /// What the media session measured.
    pub stats: SessionStats,
}

impl CallRecord {
    /// Talking time; zero when it was not answered.
    #[must_use]
    pub fn talked(&self) -> Duration {
        self.answered.map_or(Duration::ZERO, |answered| self.ended.saturating_duration_since(answered))
    }
}
