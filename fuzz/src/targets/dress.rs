//! Turns seeds into messages that belong to a running call: with its tags, branches and sequence numbers.

use std::fmt::Write as _;

use bytes::Bytes;
use signaling::{
    StatusCode, Uri,
    auth::ClientAuth,
    message::{Headers, Message, Method, Name, Request, Response},
};

use crate::random::Random;

const CODES: &[u16] = &[
    100, 180, 180, 183, 199, 200, 200, 200, 202, 300, 302, 400, 401, 403, 404, 407, 408, 422, 481, 482, 486,
    487, 488, 491, 491, 500, 503, 603, 699,
];

const METHODS: &[&str] = &[
    "ACK", "ACK", "BYE", "INVITE", "INVITE", "UPDATE", "INFO", "CANCEL", "OPTIONS", "PRACK", "REFER",
    "NOTIFY",
];

/// What a peer may say next after it got `live` from us; the body is the seed's.
pub fn as_peer(live: &Bytes, seed: &[u8], random: &mut Random) -> Option<Vec<u8>> {
    let mut text = match Message::parse(live).ok()? {
        Message::Request(request) => {
            if request.headers.to_tag().is_some() && random.one_in(3) {
                let names = [(Name::From, Name::To), (Name::To, Name::From)];
                in_dialog(&request.headers, names, random)?
            } else {
                answer(&request.headers, random)?
            }
        }
        Message::Response(response) if response.status == StatusCode::UNAUTHORIZED => {
            return authenticated(&response, random);
        }
        Message::Response(response) => {
            let names = [(Name::From, Name::From), (Name::To, Name::To)];
            in_dialog(&response.headers, names, random)?
        }
    };
    let body = seed.windows(4).position(|four| four == b"\r\n\r\n").map_or(&b""[..], |at| &seed[at + 4..]);
    if !body.is_empty() && !random.one_in(3) {
        text.push_str("Content-Type: application/sdp\r\n");
        let _ = write!(text, "Content-Length: {}\r\n\r\n", body.len());
        return Some([text.as_bytes(), body].concat());
    }
    text.push_str("Content-Length: 0\r\n\r\n");
    Some(text.into_bytes())
}

/// Makes a seed another call than all before it: by its Call-ID, and by the branch of each Via.
pub fn as_new(seed: &mut Vec<u8>, random: &mut Random) {
    let serial = format!("{:x}-", random.bits());
    for mark in [&b"Call-ID: "[..], b"branch=z9hG4bK"] {
        let mut at = 0;
        while let Some(found) = seed[at..].windows(mark.len()).position(|window| window == mark) {
            at += found + mark.len();
            seed.splice(at..at, serial.bytes());
        }
    }
}

/// A response to our request.
fn answer(ours: &Headers, random: &mut Random) -> Option<String> {
    let code = CODES[random.below(CODES.len())];
    let mut text = format!("SIP/2.0 {code} Whatever\r\n");
    for via in ours.all(Name::Via) {
        let _ = write!(text, "Via: {via}\r\n");
    }
    let _ = write!(text, "From: {}\r\nTo: {}", ours.get(Name::From)?, ours.get(Name::To)?);
    if ours.to_tag().is_none() && !random.one_in(10) {
        // A few branches of a fork.
        let _ = write!(text, ";tag=branch{}", random.below(4));
    }
    let _ = write!(text, "\r\nCall-ID: {}\r\nCSeq: {}\r\n", ours.get(Name::CallId)?, ours.get(Name::CSeq)?);
    let _ = write!(text, "Contact: <sip:peer@127.0.0.1:{}>\r\n", 5070 + random.below(3));
    if matches!(code, 401 | 407) {
        let name = if code == 401 { "WWW-Authenticate" } else { "Proxy-Authenticate" };
        let nonce = random.below(3);
        let _ =
            write!(text, "{name}: Digest realm=\"x\", nonce=\"n{nonce}\", qop=\"auth\", algorithm=MD5\r\n");
    }
    if random.one_in(4) {
        text.push_str("Record-Route: <sip:127.0.0.1:5080;lr>\r\n");
    }
    Some(text)
}

/// The request that was challenged, with the password; a REGISTER for one of a few contacts, or of none.
fn authenticated(challenge: &Response, random: &mut Random) -> Option<Vec<u8>> {
    let asked = challenge.headers.cseq().ok()?;
    let user = random.pick(&["ana", "bo"]);
    let register = asked.method == Method::Register;
    let uri: Uri = if register { "sip:127.0.0.1" } else { "sip:eva@127.0.0.1" }.parse().ok()?;
    let mut request = Request::new(asked.method.clone(), uri);
    let headers = &mut request.headers;
    headers.push(Name::Via, format!("SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK-g{};rport", random.bits()));
    headers.push(Name::MaxForwards, "70");
    headers.push(Name::From, format!("<sip:{user}@127.0.0.1>;tag=f{}", random.below(9)));
    headers.push(Name::To, format!("<sip:{user}@127.0.0.1>"));
    headers.push(Name::CallId, challenge.headers.get(Name::CallId)?);
    headers.push(Name::CSeq, format!("{} {}", asked.sequence.wrapping_add(1), asked.method));
    match random.below(8) {
        0 if register => {
            headers.push(Name::Contact, "*");
            headers.push(Name::Expires, "0");
        }
        1 if register => {}
        port => {
            let expires = random.pick(&["0", "60", "3600", "4294967295", "1"]);
            headers.push(Name::Contact, format!("<sip:{user}@127.0.0.1:{}>;q=0.{port}", 5070 + port));
            headers.push(Name::Expires, expires);
        }
    }
    let mut auth = ClientAuth::new(user, "secret");
    auth.handle_challenge(challenge).ok()?;
    auth.authorize(&mut request, "0a4f113b");
    Some(request.to_bytes().to_vec())
}

/// A request of the peer in the dialog that our message belongs to: each name takes the value of the other one.
fn in_dialog(ours: &Headers, names: [(Name<'_>, Name<'_>); 2], random: &mut Random) -> Option<String> {
    let method = random.pick(METHODS);
    let mut number = ours.cseq().ok()?.sequence;
    let mut text = format!("{method} sip:bo@127.0.0.1:5060 SIP/2.0\r\n");
    match method {
        // Those belong to the INVITE of the same number, CANCEL to its transaction as well.
        "CANCEL" => _ = write!(text, "Via: {}\r\n", ours.get(Name::Via)?),
        "ACK" => _ = write!(text, "Via: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK-f{}\r\n", random.bits()),
        _ => {
            number = number.wrapping_add(random.below(4) as u32);
            let branch = random.below(100_000);
            let _ = write!(text, "Via: SIP/2.0/UDP 127.0.0.1:5070;rport;branch=z9hG4bK-d{branch}\r\n");
        }
    }
    for (name, value) in names {
        let _ = write!(text, "{name}: {}\r\n", ours.get(value)?);
    }
    let _ = write!(text, "Call-ID: {}\r\nCSeq: {number} {method}\r\n", ours.get(Name::CallId)?);
    text.push_str("Max-Forwards: 70\r\nContact: <sip:peer@127.0.0.1:5071>\r\n");
    Some(text)
}
