//! Writing SIP messages.

use std::hint::black_box;

use bytes::Bytes;
use signaling::message::Message;

use super::{Body, sip_parse};

const MESSAGES: u64 = 16;

/// An INVITE with SDP and an answer without.
#[must_use]
pub fn all() -> Vec<Body> {
    vec![print("sip_print/invite", sip_parse::INVITE), print("sip_print/response", sip_parse::RINGING)]
}

fn print(name: &'static str, text: &'static [u8]) -> Body {
    let message = Message::parse(&Bytes::from_static(text)).expect("a message that is well formed");
    Body::new(name, "message", MESSAGES, move || {
        (0..MESSAGES).map(|_| u64::from(black_box(black_box(&message).to_bytes()).len() > 400)).sum()
    })
}
