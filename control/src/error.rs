//! Why a command was refused.

use signaling::InviteError;

use crate::{command::LegId, speech::SsmlError};

/// Why a verb was refused; nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandError {
    /// No such leg, or it has ended.
    NoLeg(LegId),
    /// The id is in use, or reserved for incoming legs.
    LegExists(LegId),
    /// The leg has no media yet.
    NoMedia(LegId),
    /// The verb does not fit the leg's direction or state.
    WrongState(LegId),
    /// The text to be said is malformed.
    Ssml(SsmlError),
    /// Signaling refused it.
    Invite(InviteError),
}

impl std::fmt::Display for CommandError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoLeg(leg) => write!(f, "leg {} does not exist or has ended", leg.0),
            Self::LegExists(leg) => write!(f, "leg {} exists already or its number is reserved", leg.0),
            Self::NoMedia(leg) => write!(f, "leg {} has no media yet", leg.0),
            Self::WrongState(leg) => write!(f, "not possible in the present state of leg {}", leg.0),
            Self::Ssml(error) => write!(f, "malformed SSML: {error}"),
            Self::Invite(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CommandError {}

impl From<InviteError> for CommandError {
    fn from(error: InviteError) -> Self {
        Self::Invite(error)
    }
}
