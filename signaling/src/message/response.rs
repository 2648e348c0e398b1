//! Responses.

use std::borrow::Cow;

use bytes::Bytes;

use super::{body::Body, headers::Headers, print, request, status::StatusCode};

/// A SIP response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// How the request went.
    pub status: StatusCode,
    /// The same in words, as received.
    pub reason: Cow<'static, str>,
    /// All headers in order, except Content-Length: that is always the size of the body.
    pub headers: Headers,
    /// The body as received.
    pub body: Bytes,
}

impl Response {
    /// With the usual reason phrase, without headers and body. See also [`super::Request::reply`].
    #[must_use]
    pub fn new(status: StatusCode) -> Self {
        let reason = Cow::Borrowed(status.phrase());
        Self { status, reason, headers: Headers::new(), body: Bytes::new() }
    }

    /// The body with its type, copied out of the datagram; `None` if it is empty.
    #[must_use]
    pub fn content(&self) -> Option<Body> {
        request::content(&self.headers, &self.body)
    }

    /// Replaces the body and its Content-Type.
    pub fn set_content(&mut self, body: Option<Body>) {
        request::set_content(&mut self.headers, &mut self.body, body);
    }

    /// The response as it travels.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        print::response(self)
    }
}
