//! Tags, branches and Call-IDs: unguessable in production, repeatable in the simulator.

use std::time::Duration;

use rand_chacha::{
    ChaCha12Rng,
    rand_core::{Rng, SeedableRng},
};
use sha2::{Digest, Sha256};

/// The one source of randomness of an endpoint.
#[derive(Debug)]
pub(crate) struct Random {
    generator: ChaCha12Rng,
    secret: [u8; 32],
}

impl Random {
    /// Everything follows from the seed.
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        let mut generator = ChaCha12Rng::from_seed(seed);
        let mut secret = [0; 32];
        generator.fill_bytes(&mut secret);
        Self { generator, secret }
    }

    /// A seed for another generator.
    pub(crate) fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.generator.fill_bytes(&mut seed);
        seed
    }

    /// A From or To tag: RFC 3261 §19.3 asks for 32 bits, this has 64.
    pub(crate) fn tag(&mut self) -> String {
        hex(&self.generator.next_u64().to_be_bytes())
    }

    /// A Via branch with the magic cookie of RFC 3261 §8.1.1.7.
    pub(crate) fn branch(&mut self) -> String {
        format!("z9hG4bK{}", hex(&self.generator.next_u64().to_be_bytes()))
    }

    /// A Call-ID of 128 bits.
    pub(crate) fn call_id(&mut self) -> String {
        format!("{}{}", self.tag(), self.tag())
    }

    /// A client nonce for digest authentication.
    pub(crate) fn cnonce(&mut self) -> String {
        self.tag()
    }

    /// A first sequence number below 2^16, as RFC 3261 §8.1.1.5 leaves room for.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        let wide = u64::from(self.generator.next_u32()) * u64::from(bound.max(1));
        u32::try_from(wide >> 32).unwrap_or(0)
    }

    /// A duration between the two, in steps of 10 ms.
    pub(crate) fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let steps = u32::try_from(most.saturating_sub(least).as_millis() / 10).unwrap_or(0);
        least + Duration::from_millis(10) * self.below(steps + 1)
    }

    /// The tag of a stateless response: the same for every retransmission of one request (RFC 3261 §8.2.7).
    pub(crate) fn stateless_tag(&self, parts: &[&str]) -> String {
        let mut hash = Sha256::new();
        hash.update(self.secret);
        for part in parts {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        hex(&hash.finalize()[..8])
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_decides_everything() {
        let (mut a, mut b, mut c) = (Random::new([7; 32]), Random::new([7; 32]), Random::new([8; 32]));
        assert_eq!(a.call_id(), b.call_id());
        assert_eq!(a.stateless_tag(&["x", "y"]), b.stateless_tag(&["x", "y"]));
        assert_ne!(a.tag(), c.tag());
        assert_ne!(a.stateless_tag(&["x", "y"]), a.stateless_tag(&["xy", ""]));
    }

    #[test]
    fn between_stays_inside() {
        let mut random = Random::new([1; 32]);
        for _ in 0..1000 {
            let pause = random.between(Duration::from_millis(2100), Duration::from_secs(4));
            assert!(pause >= Duration::from_millis(2100) && pause <= Duration::from_secs(4));
            assert_eq!(pause.as_millis() % 10, 0);
        }
    }
}
