//! RFC 4475 §3.1.2: broken messages. What can be answered is, the rest is dropped.

use bytes::Bytes;
use offhook_signaling::message::{HeaderError, Message, Name, Problem, StatusCode};

use crate::{error, parse, request};

/// A request with one line replaced or, with an empty name, the request line.
fn broken(header: &str, line: &str) -> String {
    let mut lines = vec![
        ("", "OPTIONS sip:user@example.com SIP/2.0"),
        ("Via", "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK7"),
        ("From", "From: <sip:caller@example.org>;tag=33242"),
        ("To", "To: <sip:user@example.com>"),
        ("Call-ID", "Call-ID: broken.1"),
        ("CSeq", "CSeq: 8 OPTIONS"),
        ("Max-Forwards", "Max-Forwards: 70"),
        ("Content-Length", "Content-Length: 0"),
    ];
    match lines.iter_mut().find(|(name, _)| *name == header) {
        Some(entry) => entry.1 = line,
        None => lines.push((header, line)),
    }
    lines.iter().filter(|(_, line)| !line.is_empty()).map(|(_, line)| format!("{line}\n")).collect::<String>()
        + "\n"
}

/// What is wrong is found, told, and answered 400 with what the sender needs to recognise its request.
fn refused(text: &str, problem: Problem) {
    let error = error(text);
    assert_eq!(error.problem, problem);
    let answer = error.answerable().expect("it can be answered");
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.headers.via().unwrap().branch(), Some("z9hG4bK7"));
}

fn malformed(name: Name<'static>) -> Problem {
    Problem::Header(HeaderError::Malformed(name))
}

/// Separators without anything between them.
#[test]
fn badinv01() {
    let error = error(&broken("Via", "Via: SIP/2.0/UDP 192.0.2.15;;,;,,"));
    assert_eq!((error.problem, error.answerable()), (malformed(Name::Via), None));
    let request = request(&broken("Contact", "Contact: \"Joe\" <sip:joe@example.org>;;;;"));
    assert_eq!(request.headers.contacts(), Err(HeaderError::Malformed(Name::Contact)));
}

/// Less body than announced.
#[test]
fn clerr() {
    refused(&(broken("Content-Length", "Content-Length: 9999") + "v=0\n"), Problem::Truncated);
}

/// A negative length.
#[test]
fn ncl() {
    refused(&broken("Content-Length", "Content-Length: -999"), malformed(Name::ContentLength));
}

/// Numbers that do not fit.
#[test]
fn scalar02() {
    refused(&broken("CSeq", "CSeq: 36893488147419103232 OPTIONS"), malformed(Name::CSeq));
    refused(&broken("Max-Forwards", "Max-Forwards: 300"), malformed(Name::MaxForwards));
    let request = request(&broken("Expires", "Expires: 10000000000000000000000"));
    assert_eq!(request.headers.expires(), Some(u32::MAX));
}

/// The same in a response, which nobody answers.
#[test]
fn scalarlg() {
    let text = broken("CSeq", "CSeq: 9292394834772304023312 OPTIONS");
    let text = text.replace("OPTIONS sip:user@example.com SIP/2.0", "SIP/2.0 503 Service Unavailable");
    assert_eq!((error(&text).problem, error(&text).answerable()), (malformed(Name::CSeq), None));
}

/// A quoted string without end.
#[test]
fn quotbal() {
    refused(&broken("To", "To: \"Mr. J. User <sip:j.user@example.com>"), malformed(Name::To));
}

/// Brackets around the request URI.
#[test]
fn ltgtruri() {
    refused(&broken("", "OPTIONS <sip:user@example.com> SIP/2.0"), Problem::RequestUri);
}

/// Blanks in the request URI.
#[test]
fn lwsruri() {
    refused(&broken("", "OPTIONS sip:user@example.com; lr SIP/2.0"), Problem::RequestLine);
}

/// More than one blank between the parts of the request line.
#[test]
fn lwsstart() {
    refused(&broken("", "OPTIONS  sip:user@example.com  SIP/2.0"), Problem::RequestLine);
}

/// Blanks behind the request line.
#[test]
fn trws() {
    refused(&broken("", "OPTIONS sip:user@example.com SIP/2.0  "), Problem::RequestLine);
}

/// Headers in the request URI.
#[test]
fn escruri() {
    refused(
        &broken("", "OPTIONS sip:user@example.com?Route=%3Csip:example.com%3E SIP/2.0"),
        Problem::RequestUri,
    );
}

/// A date in a zone of its own harms nobody.
#[test]
fn baddate() {
    let request = request(&broken("Date", "Date: Fri, 01 Jan 2010 16:00:00 EST"));
    assert_eq!(request.headers.get(Name::Date), Some("Fri, 01 Jan 2010 16:00:00 EST"));
}

/// A contact whose URI has headers needs brackets.
#[test]
fn regbadct() {
    let request =
        request(&broken("Contact", "Contact: sip:user@example.com?Route=%3Csip:sip.example.com%3E"));
    assert_eq!(request.headers.contacts(), Err(HeaderError::Malformed(Name::Contact)));
}

/// Blanks inside the brackets.
#[test]
fn badaspec() {
    refused(&broken("To", "To: \"Watson, Thomas\" < sip:t.watson@example.org >"), malformed(Name::To));
}

/// A display name that should be quoted; its meaning is clear.
#[test]
fn baddn() {
    let request = request(&broken("From", "From: Bell, Alexander <sip:a.g.bell@example.com>;tag=43"));
    assert_eq!(request.headers.from().unwrap().display.as_deref(), Some("Bell, Alexander"));
    assert_eq!(request.headers.from_tag(), Some("43"));
}

/// Another version of the protocol.
#[test]
fn badvers() {
    let error = error(&broken("", "OPTIONS sip:t.watson@example.org SIP/7.0"));
    assert_eq!(error.problem, Problem::Version);
    assert_eq!(error.answerable().map(|answer| answer.status), Some(StatusCode::VERSION_NOT_SUPPORTED));
}

/// The CSeq names another method.
#[test]
fn mismatch01() {
    refused(&broken("CSeq", "CSeq: 8 INVITE"), Problem::MethodMismatch);
}

/// The same with a method that is unknown.
#[test]
fn mismatch02() {
    refused(&broken("", "NEWMETHOD sip:user@example.com SIP/2.0"), Problem::MethodMismatch);
}

/// A status that does not fit, and others that are none.
#[test]
fn bigcode() {
    for line in
        ["SIP/2.0 4294967301 better not break the receiver", "SIP/2.0 99 x", "SIP/2.0 700 x", "SIP/2.0 20x"]
    {
        let error = error(&broken("", line));
        assert_eq!((error.problem, error.answerable()), (Problem::StatusLine, None), "{line}");
    }
}

/// Nobody answers an ACK, and what is no SIP gets no word.
#[test]
fn what_must_not_be_answered_is_dropped() {
    let ack = broken("", "ACK sip:user@example.com SIP/2.0").replace("8 OPTIONS", "8 INVITE");
    assert_eq!(error(&ack).answerable(), None);
    for text in
        ["GET / HTTP/1.1\nHost: x\n\n", "\u{1}\u{1}binary", "x", "OPTIONS sip:a", "SIP/3.0 200 OK\n\n"]
    {
        assert_eq!(error(text).answerable(), None, "{text}");
    }
    assert_eq!(error("\n\n").problem, Problem::Empty);
    assert_eq!(Message::parse(&Bytes::new()).map_err(|error| error.problem), Err(Problem::Empty));
}

/// Limits on number and length; both are refused without being kept.
#[test]
fn floods_of_headers_are_refused() {
    let many: String = (0..200).map(|number| format!("X-{number}: y\n")).collect();
    refused(&broken("X", many.trim_end()), Problem::TooManyHeaders);
    let long = format!("X: {}", "y".repeat(9000));
    refused(&broken("X", &long), Problem::HeaderTooLong);
    let folded = format!("X: {}", "y\n ".repeat(9000) + "y");
    refused(&broken("X", &folded), Problem::HeaderTooLong);
}

/// A lone carriage return may hide a header from one reader and show it to another.
#[test]
fn hidden_headers_are_refused() {
    refused(&broken("X", "X: a\rRoute: <sip:evil.example>"), Problem::HeaderLine);
    refused(&broken("X", "no header at all"), Problem::HeaderLine);
    refused(&broken("X", ": value"), Problem::HeaderLine);
    let request = request(&broken("X", "X-Internal\t : 1"));
    assert_eq!(request.headers.get(Name::Other("x-internal")), Some("1"));
}

/// Bytes that end too early.
#[test]
fn cut_messages_are_refused() {
    let whole = broken("X", "X: y");
    let cut = whole.trim_end();
    refused(cut, Problem::Truncated);
    assert!(parse(&whole[..whole.len() - 1]).is_ok(), "only the blank line is missing");
}
