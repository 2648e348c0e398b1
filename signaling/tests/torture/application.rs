//! RFC 4475 §3.2 to §3.4: messages whose meaning, not whose form, is the difficulty.

use offhook_signaling::message::{HeaderError, Method, Name, Problem, Scheme, StatusCode};

use crate::{error, request};

/// A branch that is nothing but the cookie.
#[test]
fn badbranch() {
    let request = request(
        "
OPTIONS sip:user@example.com SIP/2.0
To: sip:user@example.com
From: sip:caller@example.org;tag=33242
Max-Forwards: 3
Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK
Accept: application/sdp
Call-ID: badbranch.sadonfo23i420jv0as0derf3j3n
CSeq: 8 OPTIONS
l: 0

",
    );
    assert_eq!(request.headers.via().unwrap().branch(), Some("z9hG4bK"));
}

/// Headers are missing: the answer has what there is.
#[test]
fn insuf() {
    let error = error(
        "
INVITE sip:user@example.com SIP/2.0
CSeq: 193942 INVITE
Via: SIP/2.0/UDP 192.0.2.95;branch=z9hG4bKkdj.insuf
Content-Type: application/sdp
l: 5

v=0
",
    );
    assert_eq!(error.problem, Problem::Header(HeaderError::Missing(Name::From)));
    let answer = error.answerable().unwrap();
    assert_eq!((answer.status, &*answer.reason), (StatusCode::BAD_REQUEST, "Missing From"));
    assert!(answer.headers.has(Name::CSeq) && !answer.headers.has(Name::To));
}

fn options(uri: &str, more: &str) -> String {
    format!(
        "
OPTIONS {uri} SIP/2.0
To: sip:user@example.com
From: sip:caller@example.net;tag=384
Max-Forwards: 3
Call-ID: application.nasdfasser0q239nwsdfasdkl34
CSeq: 3923423 OPTIONS
Via: SIP/2.0/TCP host9.example.com;branch=z9hG4bKkdjuw39234
{more}Content-Length: 0

"
    )
}

/// A scheme nobody knows.
#[test]
fn unkscm() {
    let request = request(&options("nobodyKnowsThisScheme:totallyopaquecontent", ""));
    assert_eq!(request.uri.scheme, Scheme::Other("nobodyKnowsThisScheme".into()));
    assert_eq!(request.uri.user.as_deref(), Some("totallyopaquecontent"));
}

/// A scheme that exists, but not for calls.
#[test]
fn novelsc() {
    let request = request(&options("soap.beep://192.0.2.103:3002", ""));
    assert_eq!(request.uri.scheme, Scheme::Other("soap.beep".into()));
}

/// Unknown schemes in To, From and Contact.
#[test]
fn unksm2() {
    let text = options("sip:example.com", "Contact: <name:John_Smith>\n")
        .replace("To: sip:user@example.com", "To: isbn:2983792873")
        .replace("From: sip:caller@example.net", "From: <http://www.example.com>");
    let request = request(&text);
    assert_eq!(request.headers.to().unwrap().uri.scheme, Scheme::Other("isbn".into()));
    assert_eq!(request.headers.contact().unwrap().uri.scheme, Scheme::Other("name".into()));
}

/// Extensions that are required but do not exist.
#[test]
fn bext01() {
    let more =
        "Require: nothingSupportsThis, nothingSupportsThisEither\nProxy-Require: noProxiesSupportThis\n";
    let request = request(&options("sip:user@example.com", more));
    let required: Vec<_> = request.headers.values(Name::Require).collect();
    assert_eq!(required, ["nothingSupportsThis", "nothingSupportsThisEither"]);
}

/// A body of an unknown type.
#[test]
fn invut() {
    let text = options("sip:user@example.com", "Content-Type: application/unknownformat\n");
    let request = request(&(text.replace("Content-Length: 0", "Content-Length: 7") + "<audio>"));
    let body = request.content().unwrap();
    assert_eq!((body.is_sdp(), &body.bytes[..]), (false, &b"<audio>"[..]));
}

/// An authorization of an unknown scheme is as good as none.
#[test]
fn regaut01() {
    use offhook_signaling::message::header::authorization::Authorization;
    let more = "Authorization: NoOneKnowsThisScheme opaque-data=here\n";
    let request = request(&options("sip:example.com", more));
    assert_eq!(request.headers.get(Name::Authorization).and_then(Authorization::parse), None);
}

/// Headers that may occur once occur twice.
#[test]
fn multi01() {
    for (line, name) in [
        ("CSeq: 59 OPTIONS\n", Name::CSeq),
        ("Call-ID: another\n", Name::CallId),
        ("f: sip:other@example.org;tag=3\n", Name::From),
        ("t: sip:other@example.org\n", Name::To),
        ("Max-Forwards: 4\n", Name::MaxForwards),
    ] {
        let error = error(&options("sip:user@company.com", line));
        assert_eq!(error.problem, Problem::Repeated(name));
        assert!(error.answerable().is_some());
    }
}

/// Two lengths leave open where the message ends.
#[test]
fn mcl01() {
    let error = error(&(options("sip:user@example.com", "Content-Length: 1\n") + "x"));
    assert_eq!(error.problem, Problem::Repeated(Name::ContentLength));
}

/// No hops left.
#[test]
fn zeromf() {
    let text = options("sip:user@example.com", "").replace("Max-Forwards: 3", "Max-Forwards: 0");
    assert_eq!(request(&text).headers.max_forwards(), Ok(0));
}

/// A parameter without brackets belongs to the header.
#[test]
fn cparam01() {
    let request =
        request(&options("sip:example.com", "Contact: sip:+19725552222@gw1.example.net;unknownparam\n"));
    let contact = request.headers.contact().unwrap();
    assert_eq!((contact.params.has("unknownparam"), contact.uri.params.is_empty()), (true, true));
}

/// A parameter inside brackets belongs to the URI.
#[test]
fn cparam02() {
    let request =
        request(&options("sip:example.com", "Contact: <sip:+19725552222@gw1.example.net;unknownparam>\n"));
    let contact = request.headers.contact().unwrap();
    assert_eq!((contact.params.is_empty(), contact.uri.params.has("unknownparam")), (true, true));
}

/// Headers inside the URI of a contact.
#[test]
fn regescrt() {
    let more = "Contact: <sip:user@example.com?Route=%3Csip:sip.example.com%3E>\n";
    let contact = request(&options("sip:example.com", more)).headers.contact().unwrap();
    assert_eq!(contact.uri.headers.as_deref(), Some("Route=%3Csip:sip.example.com%3E"));
}

/// A phone of RFC 2543: no branch, no tag, no Max-Forwards.
#[test]
fn inv2543() {
    let request = request(
        "
INVITE sip:UserB@example.com SIP/2.0
Via: SIP/2.0/UDP iftgw.example.com
From: <sip:+13035551111@ift.client.example.net;user=phone>
Record-Route: <sip:UserB@example.com;maddr=ss1.example.com>
To: sip:+16505552222@ss1.example.net;user=phone
Call-ID: inv2543.1717@ift.client.example.com
CSeq: 56 INVITE
Content-Type: application/sdp

v=0
",
    );
    assert_eq!(request.method, Method::Invite);
    assert_eq!(request.headers.via().unwrap().branch(), None);
    assert_eq!((request.headers.from_tag(), request.headers.max_forwards()), (None, Ok(70)));
    assert_eq!(&request.body[..], b"v=0\r\n");
    assert!(!request.headers.routes(Name::RecordRoute).unwrap()[0].uri.is_loose());
}
