//! `Packet::parse` and the demultiplexing of first bytes.

use media::rtp::{self, HEADER_LEN, Packet};

use super::{Target, Verdict};
use crate::{mutate, random::Random};

pub struct Rtp;

impl Target for Rtp {
    fn name(&self) -> &'static str {
        "rtp"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["rtp"]
    }

    fn share(&self) -> usize {
        10
    }

    fn mutate(&self, input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
        mutate::bytes(input, other, random);
    }

    fn run(&mut self, input: &[u8], _: &mut Random) -> Verdict {
        let _ = rtp::classify(input);
        let Ok(packet) = Packet::parse(input) else { return Verdict::Refused };
        assert!(packet.payload.len() + HEADER_LEN <= input.len());
        // What we write is what we read.
        let mut written = [0; HEADER_LEN];
        assert_eq!(packet.header.write(&mut written), HEADER_LEN);
        assert_eq!(Packet::parse(&written).map(|again| again.header), Ok(packet.header));
        Verdict::Accepted
    }

    fn allowance(&self, _: usize) -> usize {
        0
    }
}
