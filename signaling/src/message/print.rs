//! Messages as bytes.

use std::io::Write;

use bytes::Bytes;

use super::{headers::Headers, name::Name, request::Request, response::Response};

pub(super) fn request(request: &Request) -> Bytes {
    let mut out = Vec::with_capacity(capacity(&request.headers, &request.body));
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{} {} SIP/2.0\r\n", request.method, request.uri);
    rest(out, &request.headers, &request.body)
}

pub(super) fn response(response: &Response) -> Bytes {
    let mut out = Vec::with_capacity(capacity(&response.headers, &response.body));
    let _ = write!(out, "SIP/2.0 {} ", response.status);
    // A line end in a reason given by a program would start a header.
    out.extend(response.reason.bytes().map(|b| if matches!(b, b'\r' | b'\n') { b' ' } else { b }));
    out.extend_from_slice(b"\r\n");
    rest(out, &response.headers, &response.body)
}

fn rest(mut out: Vec<u8>, headers: &Headers, body: &Bytes) -> Bytes {
    for (name, value) in headers.iter().filter(|(name, _)| *name != Name::ContentLength) {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    let _ = write!(out, "Content-Length: {}\r\n\r\n", body.len());
    out.extend_from_slice(body);
    out.into()
}

fn capacity(headers: &Headers, body: &Bytes) -> usize {
    160 + headers.printed_len() + body.len()
}
