//! `Negotiation`: offers and answers of a peer, in any order with our own.

use std::net::SocketAddr;

use media::{Capabilities, Direction, Negotiation, sdp::Description, srtp::KeySource};

use super::{Target, Verdict};
use crate::{
    mutate::{self, SDP_WORDS},
    random::Random,
};

/// Inputs per negotiation.
const TURNS: usize = 8;

pub struct Sdp {
    /// A call that has seen some inputs already, besides the fresh one that each input meets.
    used: Negotiation,
    turns: usize,
}

impl Sdp {
    pub fn new() -> Self {
        Self { used: fresh(), turns: 0 }
    }
}

impl Target for Sdp {
    fn name(&self) -> &'static str {
        "sdp"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["sdp"]
    }

    fn share(&self) -> usize {
        15
    }

    fn mutate(&self, input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
        mutate::text(input, other, SDP_WORDS, random);
    }

    fn run(&mut self, input: &[u8], random: &mut Random) -> Verdict {
        let mut negotiation = fresh();
        let verdict = match negotiation.accept_offer(input) {
            Ok((answer, config)) => {
                assert!((10..=200).contains(&config.ptime_ms), "ptime {}", config.ptime_ms);
                assert!(config.receive.iter().any(|format| format.codec == config.send.codec));
                // RFC 3264 §6: the answer has as many media as the offer.
                assert_eq!(
                    media_lines(&answer),
                    offered_media(input),
                    "{}",
                    String::from_utf8_lossy(&answer)
                );
                let _ = negotiation.offer();
                Verdict::Accepted
            }
            Err(error) => {
                let _ = error.to_string();
                Verdict::Refused
            }
        };
        // The same as an answer to us.
        let mut offerer = fresh();
        let _ = offerer.accept_answer(input);
        let _ = offerer.offer();
        let _ = offerer.accept_answer(input);
        self.take(input, random);
        verdict
    }

    fn remembers(&self) -> bool {
        true
    }

    fn allowance(&self, length: usize) -> usize {
        // Three descriptions at a time, with their media (64 at most) and attributes.
        1024 * 1024 + 100 * length
    }

    fn settle(&mut self) -> Result<(), String> {
        *self = Self::new();
        Ok(())
    }
}

impl Sdp {
    /// Somewhere in the middle of a call.
    fn take(&mut self, input: &[u8], random: &mut Random) {
        self.turns += 1;
        if self.turns > TURNS {
            *self = Self::new();
        }
        match random.below(5) {
            0 => drop(self.used.offer()),
            1 => self.used.withdraw_offer(),
            2 => self.used.set_direction(*random.pick(&[
                &Direction::SendRecv,
                &Direction::SendOnly,
                &Direction::RecvOnly,
                &Direction::Inactive,
            ])),
            _ => {}
        }
        if random.one_in(2) {
            let _ = self.used.accept_offer(input);
        } else {
            let _ = self.used.accept_answer(input);
        }
    }
}

fn fresh() -> Negotiation {
    Negotiation::new(Capabilities::default(), SocketAddr::from(([127, 0, 0, 1], 40_000)), 7)
        .with_keys(KeySource::new([7; 32]))
}

fn offered_media(offer: &[u8]) -> usize {
    Description::parse(offer).map_or(0, |description| description.media.len())
}

fn media_lines(sdp: &[u8]) -> usize {
    sdp.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"m=")).count()
}
