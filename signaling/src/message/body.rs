//! Bodies are opaque here.

use bytes::Bytes;

/// Content with its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// Content-Type as written, parameters included.
    pub content_type: String,
    /// The content.
    pub bytes: Bytes,
}

impl Body {
    /// Content of any type.
    #[must_use]
    pub fn new(content_type: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self { content_type: content_type.into(), bytes: bytes.into() }
    }

    /// A session description (RFC 4566), not looked into.
    #[must_use]
    pub fn sdp(bytes: impl Into<Bytes>) -> Self {
        Self::new("application/sdp", bytes)
    }

    /// Whether the type says that it is a session description.
    #[must_use]
    pub fn is_sdp(&self) -> bool {
        self.is("application/sdp")
    }

    /// Whether it is of this media type, whatever the parameters.
    #[must_use]
    pub fn is(&self, media_type: &str) -> bool {
        let own = self.content_type.split(';').next().unwrap_or_default();
        own.trim().eq_ignore_ascii_case(media_type)
    }
}
