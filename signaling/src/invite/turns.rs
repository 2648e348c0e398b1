//! Whose move it is in offer and answer (RFC 3264 §5, RFC 6337). What is offered is not looked at.

/// State of the exchange in one dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turns {
    /// Both agree; either may make an offer.
    Idle,
    /// We made an offer; the peer owes the answer.
    PeerOwes,
    /// The peer made an offer; we owe the answer.
    WeOwe,
}

impl Turns {
    /// Whether a new offer may be made by either side.
    pub(super) fn is_idle(self) -> bool {
        match self {
            Self::Idle => true,
            Self::PeerOwes | Self::WeOwe => false,
        }
    }
}
