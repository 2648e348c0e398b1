//! Requests.

use bytes::Bytes;

use super::{
    body::Body, headers::Headers, method::Method, name::Name, print, response::Response, status::StatusCode,
    uri::Uri,
};

/// A SIP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What is asked for.
    pub method: Method,
    /// Of whom.
    pub uri: Uri,
    /// All headers in order, except Content-Length: that is always the size of the body.
    pub headers: Headers,
    /// The body as received.
    pub body: Bytes,
}

impl Request {
    /// Without headers and body.
    #[must_use]
    pub fn new(method: Method, uri: Uri) -> Self {
        Self { method, uri, headers: Headers::new(), body: Bytes::new() }
    }

    /// The body with its type, copied out of the datagram; `None` if it is empty.
    #[must_use]
    pub fn content(&self) -> Option<Body> {
        content(&self.headers, &self.body)
    }

    /// Replaces the body and its Content-Type.
    pub fn set_content(&mut self, body: Option<Body>) {
        set_content(&mut self.headers, &mut self.body, body);
    }

    /// RFC 3261 §8.2.6.2: a response with this request's Via, From, To, Call-ID and CSeq. The To is copied as it is: add
    /// a tag where one is due.
    #[must_use]
    pub fn reply(&self, status: StatusCode) -> Response {
        let mut response = Response::new(status);
        for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
            response.headers.copy(name, &self.headers);
        }
        if status == StatusCode::TRYING {
            response.headers.copy(Name::Timestamp, &self.headers);
        }
        response
    }

    /// The request as it travels.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        print::request(self)
    }
}

pub(super) fn content(headers: &Headers, body: &Bytes) -> Option<Body> {
    if body.is_empty() {
        return None;
    }
    // RFC 3261 §20.15: a body has a Content-Type; one without is most likely what all of them are.
    let content_type = headers.get(Name::ContentType).unwrap_or("application/sdp");
    Some(Body::new(content_type, Bytes::copy_from_slice(body)))
}

pub(super) fn set_content(headers: &mut Headers, bytes: &mut Bytes, body: Option<Body>) {
    match body {
        Some(body) => {
            headers.set(Name::ContentType, body.content_type);
            *bytes = body.bytes;
        }
        None => {
            headers.remove(Name::ContentType);
            *bytes = Bytes::new();
        }
    }
}
