//! `StreamDecoder`: a byte stream in pieces of any size.

use signaling::message::{
    Message,
    framing::{Frame, StreamDecoder},
};

use super::{Target, Verdict};
use crate::{
    mutate::{self, SIP_WORDS},
    random::Random,
};

/// The limit that the decoder is given, bytes.
const MESSAGE: usize = 65_535;

pub struct SipFraming;

impl Target for SipFraming {
    fn name(&self) -> &'static str {
        "sip_framing"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["stream"]
    }

    fn share(&self) -> usize {
        10
    }

    fn mutate(&self, input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
        if random.one_in(3) {
            input.extend_from_slice(other);
        }
        mutate::text(input, other, SIP_WORDS, random);
    }

    fn run(&mut self, input: &[u8], random: &mut Random) -> Verdict {
        let whole = decode(input, input.len().max(1));
        // How the stream is cut changes nothing.
        let piece = *random.pick(&[&1, &2, &7, &100, &1_460]);
        if input.len() < 4_000 || piece > 7 {
            assert_eq!(whole, decode(input, piece), "cut into pieces of {piece}");
        }
        if whole.failed { Verdict::Refused } else { Verdict::Accepted }
    }

    fn allowance(&self, length: usize) -> usize {
        // Two decodings side by side and the parsed messages.
        64 * 1024 + 40 * length
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Decoded {
    messages: Vec<bytes::Bytes>,
    pings: usize,
    failed: bool,
}

fn decode(input: &[u8], piece: usize) -> Decoded {
    let mut decoder = StreamDecoder::new(MESSAGE);
    let mut decoded = Decoded::default();
    for piece in input.chunks(piece) {
        decoder.push(piece);
        while let Some(item) = decoder.next() {
            match item {
                Ok(Frame::Message(bytes)) => {
                    assert!(bytes.len() <= MESSAGE, "a message of {} bytes", bytes.len());
                    let _ = Message::parse(&bytes);
                    decoded.messages.push(bytes);
                }
                Ok(Frame::Ping) => decoded.pings += 1,
                Err(_) => {
                    decoded.failed = true;
                    return decoded;
                }
            }
        }
    }
    decoded
}
