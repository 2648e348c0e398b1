//! What names a dialog.

/// RFC 3261 §12: Call-ID and both tags, seen from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DialogId {
    /// Call-ID.
    pub(crate) call_id: String,
    /// The tag we chose.
    pub(crate) local_tag: String,
    /// The tag of the peer; empty if it is older than RFC 3261.
    pub(crate) remote_tag: String,
}
