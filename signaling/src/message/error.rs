//! What can be wrong with a message.

use std::fmt;

use super::{name::Name, response::Response, status::StatusCode};

/// A header that was asked for cannot be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderError {
    /// There is none of this name.
    Missing(Name<'static>),
    /// There is one that breaks its grammar.
    Malformed(Name<'static>),
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(name) => write!(f, "Missing {name}"),
            Self::Malformed(name) => write!(f, "Malformed {name}"),
        }
    }
}

impl std::error::Error for HeaderError {}

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// Nothing but line ends, as sent to keep a NAT binding alive. No fault.
    Empty,
    /// The first line is neither a request line nor a status line.
    NotSip,
    /// A protocol version other than 2.0.
    Version,
    /// The request line has blanks where none may be, or an invalid method.
    RequestLine,
    /// The request URI is malformed.
    RequestUri,
    /// The status line is malformed.
    StatusLine,
    /// A header line without name or colon, or with a lone carriage return or a zero byte.
    HeaderLine,
    /// A header of more than 8 KB.
    HeaderTooLong,
    /// More than 128 headers.
    TooManyHeaders,
    /// The bytes end inside the headers, or before Content-Length says.
    Truncated,
    /// A header is missing or malformed.
    Header(HeaderError),
    /// A header that may occur once occurs again.
    Repeated(Name<'static>),
    /// The CSeq names another method than the request line.
    MethodMismatch,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::NotSip => "Not SIP",
            Self::Version => "Version Not Supported",
            Self::RequestLine => "Malformed Request Line",
            Self::RequestUri => "Malformed Request-URI",
            Self::StatusLine => "Malformed Status Line",
            Self::HeaderLine => "Malformed Header Line",
            Self::HeaderTooLong => "Header Too Long",
            Self::TooManyHeaders => "Too Many Headers",
            Self::Truncated => "Message Truncated",
            Self::Header(error) => return error.fmt(f),
            Self::Repeated(name) => return write!(f, "Repeated {name}"),
            Self::MethodMismatch => "CSeq Method Mismatch",
        })
    }
}

/// A message that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// What.
    pub problem: Problem,
    /// Where, in bytes from the start.
    pub offset: usize,
    pub(super) answer: Option<Box<Response>>,
}

impl ParseError {
    /// The refusal (400 or 505) that the sender can understand: status, reason and as much of Via, From, To, Call-ID and
    /// CSeq as there is; the To has no tag added. `None` means to drop the message silently: it is a response, an ACK,
    /// no SIP at all, or has no Via to answer to.
    #[must_use]
    pub fn answerable(&self) -> Option<&Response> {
        self.answer.as_deref()
    }

    /// The status a refusal has.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        if self.problem == Problem::Version {
            StatusCode::VERSION_NOT_SUPPORTED
        } else {
            StatusCode::BAD_REQUEST
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.problem, self.offset)
    }
}

impl std::error::Error for ParseError {}
