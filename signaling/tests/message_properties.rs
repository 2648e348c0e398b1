//! Whatever the bytes: nothing panics, and what was read is read the same again after printing.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use bytes::Bytes;
use offhook_signaling::message::{
    Host, Message, NameAddr, Params, Uri, Via,
    framing::{Frame, StreamDecoder},
    header::{authorization::Authorization, reason::Reason, www_authenticate::WwwAuthenticate},
};
use proptest::prelude::*;

const SEEDS: [&str; 4] = [
    "INVITE sip:bob:pw@[2001:db8::1]:5080;transport=tcp;lr SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport\r\nv: SIP/2.0/TCP h.example.com\r\nMax-Forwards: 70\r\nf: \"A \\\"B\\\" <C>\" <sip:a@example.com>;tag=1\r\nTo: <tel:+1234;x=y>\r\nCall-ID: a@b\r\nCSeq: 1 INVITE\r\nContact: <sip:a@192.0.2.1>;q=0.5;+sip.instance=\"<urn:uuid:1>\", <sip:b@192.0.2.2>\r\nRecord-Route: <sip:p;lr>\r\nX-Folded: one\r\n two\r\n\tthree\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n",
    "SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1;received=192.0.2.9;rport=7\r\nFrom: sip:a@b;tag=1\r\nTo: sip:c@d;tag=2\r\ni: x\r\nCSeq: 2 REGISTER\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth,auth-int\", algorithm=SHA-256, stale=true\r\nReason: SIP;cause=200;text=\"x\"\r\nl: 0\r\n\r\n",
    "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 3 REGISTER\r\nContact: *\r\nExpires: 0\r\nAuthorization: Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"sip:x\", response=\"0\", nc=00000001, qop=auth, cnonce=\"c\"\r\n\r\n",
    "BYE urn:service:sos SIP/2.0\nv:SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bK\nf:sip:a@b\nt:sip:c@d\ni:1\nCSeq:4 BYE\n\n",
];

/// Pieces that parsers trip over.
const PIECES: [&str; 24] = [
    "\r\n",
    "\r",
    "\n",
    "\0",
    ":",
    ";",
    ",",
    "\"",
    "\\",
    "<",
    ">",
    "@",
    "%",
    "%00",
    "[",
    "]",
    "=",
    " ",
    "\t",
    "?",
    "\u{fc}",
    "\r\n ",
    "99999999999",
    "-1",
];

#[derive(Debug, Clone)]
enum Mutation {
    Insert(prop::sample::Index, usize),
    Remove(prop::sample::Index, usize),
    Set(prop::sample::Index, u8),
    Repeat(prop::sample::Index, usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        (any::<prop::sample::Index>(), 0..PIECES.len()).prop_map(|(at, piece)| Mutation::Insert(at, piece)),
        (any::<prop::sample::Index>(), 1..40usize).prop_map(|(at, length)| Mutation::Remove(at, length)),
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (any::<prop::sample::Index>(), 1..60usize).prop_map(|(at, length)| Mutation::Repeat(at, length)),
    ]
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    (0..SEEDS.len(), prop::collection::vec(mutation(), 0..5)).prop_map(|(seed, mutations)| {
        let mut bytes = SEEDS[seed].as_bytes().to_vec();
        for mutation in mutations {
            apply(&mut bytes, &mutation);
        }
        bytes
    })
}

fn apply(bytes: &mut Vec<u8>, mutation: &Mutation) {
    match *mutation {
        Mutation::Insert(at, piece) => {
            let at = at.index(bytes.len() + 1);
            bytes.splice(at..at, PIECES[piece].bytes());
        }
        Mutation::Remove(at, length) if !bytes.is_empty() => {
            let at = at.index(bytes.len());
            bytes.drain(at..(at + length).min(bytes.len()));
        }
        Mutation::Set(at, byte) if !bytes.is_empty() => {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        Mutation::Repeat(at, length) if !bytes.is_empty() => {
            let at = at.index(bytes.len());
            let again = bytes[at..(at + length).min(bytes.len())].to_vec();
            bytes.splice(at..at, again);
        }
        Mutation::Remove(..) | Mutation::Set(..) | Mutation::Repeat(..) => {}
    }
}

/// Asks a message for everything it can be asked for.
fn interrogate(message: &Message) {
    let headers = message.headers();
    let _ = (headers.via(), headers.contacts(), headers.contact_is_star(), headers.max_forwards());
    let _ = (headers.expires(), headers.min_expires(), headers.retry_after(), headers.reason());
    assert!(headers.via().is_ok() && headers.from().is_ok() && headers.to().is_ok());
    assert!(headers.cseq().is_ok() && headers.call_id().is_ok());
    for (_, value) in headers.iter() {
        same_again(value, Uri::parse(value).ok(), |text| Uri::parse(text).ok());
        same_again(value, NameAddr::parse(value).ok(), |text| NameAddr::parse(text).ok());
        same_again(value, Via::parse(value), Via::parse);
        same_again(value, Params::parse(value), Params::parse);
        same_again(value, Host::parse(value), Host::parse);
        same_again(value, Reason::parse(value), Reason::parse);
        same_again(value, Authorization::parse(value), Authorization::parse);
        same_again(value, WwwAuthenticate::parse(value), WwwAuthenticate::parse);
    }
}

fn same_again<T: PartialEq + std::fmt::Debug + std::fmt::Display>(
    text: &str,
    read: Option<T>,
    parse: impl Fn(&str) -> Option<T>,
) {
    if let Some(read) = read {
        assert_eq!(parse(&read.to_string()).as_ref(), Some(&read), "from {text:?}");
    }
}

fn check(bytes: &[u8]) {
    match Message::parse(&Bytes::copy_from_slice(bytes)) {
        Ok(message) => {
            interrogate(&message);
            assert_eq!(Message::parse(&message.to_bytes()), Ok(message));
        }
        Err(error) => {
            assert!(error.offset <= bytes.len());
            if let Some(answer) = error.answerable() {
                assert!(answer.headers.via().is_ok());
                let _ = Message::parse(&answer.to_bytes());
            }
        }
    }
}

#[test]
fn the_seeds_are_valid() {
    for seed in SEEDS {
        assert!(Message::parse(&Bytes::from_static(seed.as_bytes())).is_ok(), "{seed}");
        check(seed.as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_messages_neither_panic_nor_change_by_printing(bytes in mutated()) {
        check(&bytes);
    }

    #[test]
    fn a_stream_is_cut_the_same_in_pieces_of_any_size(
        messages in prop::collection::vec(mutated(), 1..4),
        sizes in prop::collection::vec(1..200usize, 1..8),
    ) {
        let stream = messages.concat();
        let frames = |mut rest: &[u8], sizes: &[usize]| {
            let mut decoder = StreamDecoder::new(4000);
            let mut frames = Vec::new();
            let mut sizes = sizes.iter().cycle();
            while !rest.is_empty() {
                let (now, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
                decoder.push(now);
                rest = later;
                while let Some(frame) = decoder.next() {
                    let over = frame.is_err();
                    frames.push(frame);
                    if over {
                        return frames;
                    }
                }
            }
            frames
        };
        let whole = frames(&stream, &[stream.len().max(1)]);
        prop_assert_eq!(&whole, &frames(&stream, &sizes));
        for frame in whole.into_iter().flatten() {
            let Frame::Message(bytes) = frame else { continue };
            // The parser finds the same end of the headers and the same length.
            if let Ok(message) = Message::parse(&bytes) {
                prop_assert!(bytes.ends_with(message.body()));
            }
        }
    }

    #[test]
    fn any_text_is_a_user_or_display_name(user in ".*", display in ".*") {
        let uri = Uri::sip(Some(&user), Host::Name("example.com".into()), None);
        let address = NameAddr::new(uri).with_display(display.clone());
        let again = NameAddr::parse(&address.to_string());
        if user.is_empty() {
            prop_assert!(again.is_err());
        } else {
            let again = again.unwrap();
            prop_assert_eq!(again.uri.user_unescaped().unwrap(), user);
            prop_assert_eq!(again.display.unwrap(), display.replace(['\r', '\n', '\0'], " "));
        }
    }

    #[test]
    fn any_text_is_a_parameter_value(value in ".*") {
        let mut params = Params::new();
        params.set("x", value.clone());
        let again = Params::parse(&params.to_string()).unwrap();
        prop_assert_eq!(&again, &params);
    }
}
