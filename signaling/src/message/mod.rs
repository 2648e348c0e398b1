//! SIP messages: what they are made of, read from bytes and written to bytes (RFC 3261 §7, §25).
//!
//! [`Message::parse`] takes one datagram or one message framed by [`framing::StreamDecoder`]. Header values stay slices
//! of those bytes, so a parsed message keeps its datagram alive; everything the typed accessors of
//! [`headers::Headers`] return is a copy of its own and may be kept for as long as one likes.

pub mod body;
pub mod error;
pub mod framing;
pub mod header;
pub mod headers;
pub mod method;
pub mod name;
pub mod name_addr;
pub mod params;
mod parse;
mod print;
pub mod request;
pub mod response;
pub(crate) mod scan;
pub mod status;
pub mod uri;

use bytes::Bytes;

pub use body::Body;
pub use error::{HeaderError, ParseError, Problem};
pub use header::{cseq::CSeq, via::Via};
pub use headers::Headers;
pub use method::Method;
pub use name::Name;
pub use name_addr::NameAddr;
pub use params::Params;
pub use request::Request;
pub use response::Response;
pub use status::StatusCode;
pub use uri::{Host, Scheme, Uri};

/// A SIP message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "short-lived and matched at once; a box would cost each parse an allocation"
)]
pub enum Message {
    /// Asks for something.
    Request(Request),
    /// Answers a request.
    Response(Response),
}

impl Message {
    /// Reads one whole message: a datagram, or what a [`framing::StreamDecoder`] cut out of a stream.
    ///
    /// The headers every message needs (Via, From, To, Call-ID, CSeq) are present and well-formed in a parsed message;
    /// all others are checked when they are asked for.
    ///
    /// # Errors
    /// What is wrong and where; [`ParseError::answerable`] has the refusal to send, if one can be sent.
    pub fn parse(bytes: &Bytes) -> Result<Self, ParseError> {
        parse::message(bytes)
    }

    /// The headers of either kind.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        match self {
            Self::Request(request) => &request.headers,
            Self::Response(response) => &response.headers,
        }
    }

    /// The body of either kind.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        match self {
            Self::Request(request) => &request.body,
            Self::Response(response) => &response.body,
        }
    }

    /// The message as it travels.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Self::Request(request) => request.to_bytes(),
            Self::Response(response) => response.to_bytes(),
        }
    }
}
