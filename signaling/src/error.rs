//! Small errors, one per operation.

/// Why a command on an INVITE usage was refused. Nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InviteError {
    /// The usage has ended or never was.
    Gone,
    /// Not possible in this state, for example `accept` on an outgoing or already answered INVITE.
    WrongState,
    /// An offer is already outstanding (RFC 3264 §5).
    OfferPending,
    /// An offer or answer is owed here, but no body was given.
    BodyMissing,
}

impl std::fmt::Display for InviteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Gone => "the call has ended",
            Self::WrongState => "not possible in this state of the call",
            Self::OfferPending => "an offer is already outstanding",
            Self::BodyMissing => "an offer or answer is owed, but no body was given",
        })
    }
}

impl std::error::Error for InviteError {}
