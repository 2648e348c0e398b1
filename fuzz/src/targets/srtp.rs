//! `ReceiveContext` and the keys of an SDP: nothing that is not genuine is opened, and nothing of it stays.

use media::{
    sdp::Crypto,
    srtp::{KeySource, MasterKey, ReceiveContext, SendContext, Suite},
};

use super::{Target, Verdict};
use crate::{mutate, random::Random};

pub struct Srtp {
    pairs: Vec<(SendContext, ReceiveContext)>,
    sequence: u16,
}

impl Srtp {
    pub fn new() -> Self {
        let mut source = KeySource::new([42; 32]);
        let keys: Vec<MasterKey> = Suite::ALL.into_iter().map(|suite| source.master_key(suite)).collect();
        let pair = |key: &MasterKey| (SendContext::new(key), ReceiveContext::new(key));
        Self { pairs: keys.iter().map(pair).collect(), sequence: 65_000 }
    }

    /// A genuine packet is opened once, however much else came before it.
    fn converse(&mut self, random: &mut Random) {
        self.sequence = self.sequence.wrapping_add(1);
        for (send, receive) in &mut self.pairs {
            let mut packet = [0x5A; 12 + 160 + 16];
            packet[0] = 0x80;
            packet[1] = 0;
            packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
            let length = 172 + send.suite().rtp_overhead();
            send.protect_rtp(&mut packet[..length]).expect("packets in order");
            // Another bit of it changed.
            let mut damaged = packet;
            let bit = random.below(length * 8);
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(receive.unprotect_rtp(&mut damaged[..length]).is_err(), "bit {bit}");
            assert_eq!(receive.unprotect_rtp(&mut packet.clone()[..length]), Ok(172));
            assert!(receive.unprotect_rtp(&mut packet[..length]).is_err(), "a replay");
        }
    }
}

impl Target for Srtp {
    fn name(&self) -> &'static str {
        "srtp"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["rtp", "rtcp", "srtp"]
    }

    fn share(&self) -> usize {
        5
    }

    fn mutate(&self, input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
        mutate::bytes(input, other, random);
    }

    fn run(&mut self, input: &[u8], random: &mut Random) -> Verdict {
        for (_, receive) in &mut self.pairs {
            let mut datagram = input.to_vec();
            assert!(receive.unprotect_rtp(&mut datagram).is_err(), "not of this key");
            assert_eq!(datagram, input, "what is refused is left as it was");
            assert!(receive.unprotect_rtcp(&mut datagram).is_err(), "not of this key");
            assert_eq!(datagram, input, "what is refused is left as it was");
        }
        self.converse(random);
        if let Some(crypto) = std::str::from_utf8(input).ok().and_then(Crypto::parse) {
            // What we write is what we read, but for the identifier, which is the peer's.
            let again = Crypto::parse(crypto.text().expose()).expect("our own line");
            assert_eq!((again.tag, again.key.key_and_salt()), (crypto.tag, crypto.key.key_and_salt()));
            return Verdict::Accepted;
        }
        Verdict::None
    }

    fn remembers(&self) -> bool {
        true
    }

    fn settle(&mut self) -> Result<(), String> {
        Ok(())
    }
}
