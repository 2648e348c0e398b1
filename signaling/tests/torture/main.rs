//! Messages that are hard to read, in the spirit of RFC 4475 and RFC 5118 and under the names of their tests.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod application;
mod invalid;
mod valid;
mod version_six;

use bytes::Bytes;
use offhook_signaling::message::{Message, ParseError, Request, Response};

/// Lines as written here, with the line ends of the network and without the one that follows the opening quotes.
fn bytes(text: &str) -> Bytes {
    Bytes::from(text.strip_prefix('\n').unwrap_or(text).replace('\n', "\r\n"))
}

fn parse(text: &str) -> Result<Message, ParseError> {
    Message::parse(&bytes(text))
}

/// A well-formed request; it must survive being printed.
fn request(text: &str) -> Request {
    match parse(text) {
        Ok(Message::Request(request)) => {
            assert_eq!(Message::parse(&request.to_bytes()), Ok(Message::Request(request.clone())));
            request
        }
        other => panic!("no request: {other:?}"),
    }
}

/// A well-formed response; it must survive being printed.
fn response(text: &str) -> Response {
    match parse(text) {
        Ok(Message::Response(response)) => {
            assert_eq!(Message::parse(&response.to_bytes()), Ok(Message::Response(response.clone())));
            response
        }
        other => panic!("no response: {other:?}"),
    }
}

/// A broken message.
fn error(text: &str) -> ParseError {
    parse(text).expect_err("it is broken")
}
