//! `Message::parse`, the typed headers, and printing.

use bytes::Bytes;
use signaling::message::{Message, Name};

use super::{Target, Verdict};
use crate::{
    mutate::{self, SIP_WORDS},
    random::Random,
};

pub struct SipMessage;

impl Target for SipMessage {
    fn name(&self) -> &'static str {
        "sip_message"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["sip"]
    }

    fn share(&self) -> usize {
        25
    }

    fn mutate(&self, input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
        mutate::text(input, other, SIP_WORDS, random);
    }

    fn run(&mut self, input: &[u8], _: &mut Random) -> Verdict {
        let input = Bytes::copy_from_slice(input);
        match Message::parse(&input) {
            Ok(message) => {
                read_all(&message);
                let printed = message.to_bytes();
                // What we print we must be able to read, and reading it must change nothing.
                let again = Message::parse(&printed).unwrap_or_else(|error| {
                    panic!("{error} in our own\n{}", String::from_utf8_lossy(&printed))
                });
                let reprinted = again.to_bytes();
                assert_eq!(String::from_utf8_lossy(&printed), String::from_utf8_lossy(&reprinted));
                assert_eq!(message.body(), again.body());
                Verdict::Accepted
            }
            Err(error) => {
                assert!(error.offset <= input.len(), "an error at {} of {}", error.offset, input.len());
                if let Some(answer) = error.answerable() {
                    let printed = answer.to_bytes();
                    assert!(
                        printed.len() < 3 * input.len() + 400,
                        "amplifies {} to {}",
                        input.len(),
                        printed.len()
                    );
                }
                let _ = error.to_string();
                Verdict::Refused
            }
        }
    }
}

/// Every typed header is asked for; none may panic.
fn read_all(message: &Message) {
    let headers = message.headers();
    let _ = (headers.via(), headers.cseq().ok(), headers.call_id().ok());
    let _ = (headers.from().map(|from| from.to_string()), headers.to().map(|to| to.to_string()));
    let _ = (headers.contacts(), headers.contact_is_star(), headers.max_forwards(), headers.expires());
    let _ = (headers.min_expires(), headers.retry_after(), headers.reason());
    let _ = (headers.routes(Name::Route), headers.routes(Name::RecordRoute));
    for (name, value) in headers.iter() {
        let _ = (name.to_string(), value.len());
    }
    if let Message::Request(request) = message {
        let uri = request.uri.to_string();
        assert!(request.uri.equivalent(&request.uri), "{uri} is not itself");
    }
}
