//! Messages from bytes: one pass over the lines, values stay where they are.

use std::{borrow::Cow, ops::Range};

use bytes::Bytes;

use super::{
    Message,
    error::{HeaderError, ParseError, Problem},
    header::{cseq, via},
    headers::{Headers, Text},
    method::Method,
    name::Name,
    name_addr,
    request::Request,
    response::Response,
    scan,
    status::StatusCode,
    uri::Uri,
};

/// More headers than this are an attack.
const MAX_HEADERS: usize = 128;
/// Longest name and longest value of a header, folded lines together, bytes.
const MAX_HEADER: usize = 8192;

pub(super) fn message(input: &Bytes) -> Result<Message, ParseError> {
    // RFC 3261 §7.5: line ends before the start line are ignored.
    let Some(start) = input.iter().position(|byte| !matches!(byte, b'\r' | b'\n')) else {
        return Err(ParseError { problem: Problem::Empty, offset: 0, answer: None });
    };
    let mut scanner = Scanner { input, at: start, fault: None };
    let line = scanner.line().unwrap_or(start..input.len());
    if input[start..].starts_with(b"SIP/") { response(scanner, line) } else { request(scanner, line) }
}

fn request(mut scanner: Scanner<'_>, line: Range<usize>) -> Result<Message, ParseError> {
    let start = line.start;
    let drop = |problem| ParseError { problem, offset: start, answer: None };
    let line = std::str::from_utf8(&scanner.input[line]).map_err(|_| drop(Problem::NotSip))?;
    // RFC 3261 §7.1: exactly one blank between the three parts and none inside them.
    let (method, rest) = line.split_once(' ').ok_or_else(|| drop(Problem::NotSip))?;
    let (uri, version) = scan::trim(rest).rsplit_once(' ').ok_or_else(|| drop(Problem::NotSip))?;
    let version_number = version
        .get(..4)
        .filter(|name| name.eq_ignore_ascii_case("SIP/"))
        .ok_or_else(|| drop(Problem::NotSip))?;
    let version_number = &version[version_number.len()..];
    if !scan::is_token(method) {
        return Err(drop(Problem::NotSip));
    }
    if version_number != "2.0" {
        scanner.fault(Problem::Version, start);
    }
    if uri.is_empty() || rest.trim() != rest || uri.contains([' ', '\t']) {
        scanner.fault(Problem::RequestLine, start);
    }
    let uri = Uri::parse(uri);
    // RFC 3261 §19.1.1: headers of a URI have no place in a request line.
    if uri.as_ref().map_or(true, |uri| uri.headers.is_some()) {
        scanner.fault(Problem::RequestUri, start + method.len() + 1);
    }
    let (headers, body) = scanner.rest(Some(method));
    match (scanner.fault, uri) {
        (None, Ok(uri)) => Ok(Message::Request(Request { method: Method::from(method), uri, headers, body })),
        (fault, _) => {
            let (problem, offset) = fault.unwrap_or((Problem::RequestUri, start));
            let mut error = ParseError { problem, offset, answer: None };
            error.answer = refusal(&error, method, &headers).map(Box::new);
            Err(error)
        }
    }
}

fn response(mut scanner: Scanner<'_>, line: Range<usize>) -> Result<Message, ParseError> {
    let start = line.start;
    let line = String::from_utf8_lossy(&scanner.input[line]);
    let Some((status, reason)) = status_line(&line) else {
        let problem = if line.starts_with("SIP/2.0 ") { Problem::StatusLine } else { Problem::Version };
        return Err(ParseError { problem, offset: start, answer: None });
    };
    let reason = if reason == status.phrase() { status.phrase().into() } else { Cow::Owned(reason.into()) };
    let (headers, body) = scanner.rest(None);
    match scanner.fault {
        None => Ok(Message::Response(Response { status, reason, headers, body })),
        Some((problem, offset)) => Err(ParseError { problem, offset, answer: None }),
    }
}

fn status_line(line: &str) -> Option<(StatusCode, &str)> {
    let rest = line.strip_prefix("SIP/2.0 ")?;
    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let code = scan::number(code).filter(|_| code.len() == 3)?;
    Some((StatusCode::new(code.try_into().ok()?)?, scan::trim(reason)))
}

/// What can be said to the sender of a broken request.
fn refusal(error: &ParseError, method: &str, headers: &Headers) -> Option<Response> {
    // RFC 3261 §17.1.1.3: an ACK is never answered. Without a Via there is nobody to answer to.
    if method == "ACK" || !headers.values(Name::Via).next().is_some_and(via::is_valid) {
        return None;
    }
    let mut response = Response::new(error.status());
    if response.status == StatusCode::BAD_REQUEST {
        response.reason = error.problem.to_string().into();
    }
    for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
        response.headers.copy(name, headers);
    }
    Some(response)
}

/// Walks the lines and remembers the first fault; reading goes on behind it to gather what an answer needs.
struct Scanner<'a> {
    input: &'a Bytes,
    at: usize,
    fault: Option<(Problem, usize)>,
}

/// What must be there once.
#[derive(Default)]
struct Seen {
    via: bool,
    from: bool,
    to: bool,
    call_id: bool,
    cseq: bool,
    max_forwards: bool,
    content_length: Option<usize>,
}

impl Scanner<'_> {
    fn fault(&mut self, problem: Problem, offset: usize) {
        self.fault.get_or_insert((problem, offset));
    }

    /// The next line without its end; `None` when the bytes end before the line does. A lone line feed ends a line too.
    fn line(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        let mut from = start;
        loop {
            let end = from + memchr::memchr2(b'\r', b'\n', &self.input[from..])?;
            if self.input[end] == b'\n' {
                self.at = end + 1;
                return Some(start..end);
            }
            if self.input.get(end + 1) == Some(&b'\n') {
                self.at = end + 2;
                return Some(start..end);
            }
            // A carriage return alone could hide a header from one reader and show it to another.
            self.fault(Problem::HeaderLine, end);
            from = end + 1;
        }
    }

    /// Headers and body. `method` is that of a request.
    fn rest(&mut self, method: Option<&str>) -> (Headers, Bytes) {
        let mut headers = Headers::over(self.input.clone());
        let mut seen = Seen::default();
        loop {
            if self.at >= self.input.len() {
                // The blank line is missing, but all lines are whole.
                break;
            }
            let Some(line) = self.line() else {
                self.fault(Problem::Truncated, self.input.len());
                self.at = self.input.len();
                break;
            };
            if line.is_empty() {
                break;
            }
            let offset = line.start;
            self.header(&mut headers, &mut seen, line, method);
            if headers.len() > MAX_HEADERS {
                self.fault(Problem::TooManyHeaders, offset);
                break;
            }
        }
        // A zero byte ends a text for some readers and not for others.
        if let Some(zero) = memchr::memchr(0, &self.input[..self.at]) {
            self.fault(Problem::HeaderLine, zero);
        }
        for (present, name) in [
            (seen.via, Name::Via),
            (seen.from, Name::From),
            (seen.to, Name::To),
            (seen.call_id, Name::CallId),
            (seen.cseq, Name::CSeq),
        ] {
            if !present {
                self.fault(Problem::Header(HeaderError::Missing(name)), self.at);
            }
        }
        (headers, self.body(seen.content_length))
    }

    // RFC 3261 §18.3: a datagram may be longer than its message, but not shorter.
    fn body(&mut self, content_length: Option<usize>) -> Bytes {
        let there = self.input.len() - self.at;
        let length = content_length.unwrap_or(there);
        if length > there {
            self.fault(Problem::Truncated, self.input.len());
        }
        self.input.slice(self.at..self.at + length.min(there))
    }

    fn header(&mut self, headers: &mut Headers, seen: &mut Seen, line: Range<usize>, method: Option<&str>) {
        let input = self.input;
        let bytes = &input[line.clone()];
        let Some(colon) = memchr::memchr(b':', bytes) else {
            return self.fault(Problem::HeaderLine, line.start);
        };
        // Blanks before the colon are trimmed, so that no spelling slips past who looks for the name.
        let name = bytes[..colon].trim_ascii_end();
        let known = Name::known(name);
        let label = match known {
            Some(name) => Ok(name),
            None if name.is_empty() || !scan::all_are(scan::TOKEN, name) => {
                return self.fault(Problem::HeaderLine, line.start);
            }
            None => match Text::received(line.start..line.start + name.len()) {
                Some(text) => Err(text),
                None => return self.fault(Problem::HeaderTooLong, line.start),
            },
        };
        let mut value = line.start + colon + 1..line.end;
        while value.start < value.end && matches!(input[value.start], b' ' | b'\t') {
            value.start += 1;
        }
        while value.start < value.end && matches!(input[value.end - 1], b' ' | b'\t') {
            value.end -= 1;
        }
        let text = std::str::from_utf8(&input[value.clone()]);
        let kept = match text {
            Ok(_) => Text::received(value.clone()),
            Err(_) => Some(Text::Owned(String::from_utf8_lossy(&input[value.clone()]).into())),
        };
        let Some(kept) = kept else {
            return self.fault(Problem::HeaderTooLong, line.start);
        };
        headers.push_received(label, kept);
        let folded = matches!(input.get(self.at), Some(b' ' | b'\t'));
        if folded {
            self.folds(headers);
        }
        if name.len() > MAX_HEADER || headers.last_len() > MAX_HEADER {
            self.fault(Problem::HeaderTooLong, line.start);
        }
        let Some(name) = known else { return };
        if name == Name::ContentLength {
            self.content_length(seen, headers.last(), line.start);
            return headers.drop_last();
        }
        match text {
            Ok(text) if !folded => self.check(seen, name, text, line.start, method),
            Ok(_) | Err(_) => self.check(seen, name, headers.last(), line.start, method),
        }
    }

    /// RFC 3261 §7.3.1: lines that begin with a blank continue the header above.
    fn folds(&mut self, headers: &mut Headers) {
        while matches!(self.input.get(self.at), Some(b' ' | b'\t')) {
            let Some(line) = self.line() else { return };
            if headers.last_len() <= MAX_HEADER {
                let more = String::from_utf8_lossy(&self.input[line]);
                headers.unfold(scan::trim(&more));
            }
        }
    }

    /// What every message needs is checked at once; the rest when it is asked for.
    #[expect(clippy::wildcard_enum_match_arm, reason = "header names are an open set")]
    fn check(
        &mut self,
        seen: &mut Seen,
        name: Name<'static>,
        value: &str,
        offset: usize,
        method: Option<&str>,
    ) {
        let (once, valid) = match name {
            Name::Via if seen.via => return,
            Name::Via => (&mut seen.via, scan::list(value).next().is_some_and(via::is_valid)),
            Name::From => (&mut seen.from, name_addr::is_valid(value)),
            Name::To => (&mut seen.to, name_addr::is_valid(value)),
            Name::CallId => (&mut seen.call_id, !value.is_empty()),
            Name::CSeq => {
                let cseq = cseq::split(value);
                if let (Some((_, own)), Some(method)) = (cseq, method)
                    && own != method
                {
                    self.fault(Problem::MethodMismatch, offset);
                }
                (&mut seen.cseq, cseq.is_some())
            }
            Name::MaxForwards => {
                (&mut seen.max_forwards, scan::number(value).is_some_and(|hops| hops <= u32::from(u8::MAX)))
            }
            _ => return,
        };
        if std::mem::replace(once, true) {
            self.fault(Problem::Repeated(name), offset);
        } else if !valid {
            self.fault(Problem::Header(HeaderError::Malformed(name)), offset);
        }
    }

    fn content_length(&mut self, seen: &mut Seen, value: &str, offset: usize) {
        match scan::number(value) {
            None => self.fault(Problem::Header(HeaderError::Malformed(Name::ContentLength)), offset),
            Some(length) => {
                let length = length as usize;
                if seen.content_length.replace(length).is_some_and(|before| before != length) {
                    self.fault(Problem::Repeated(Name::ContentLength), offset);
                }
            }
        }
    }
}
