//! Master keys: where they come from, and that nobody sees them.

use std::fmt;

use aes::{
    Aes256Enc,
    cipher::{BlockCipherEncrypt, KeyInit},
};
use zeroize::Zeroize;

use super::Suite;

/// Master key and salt of one direction. Shown nowhere, and overwritten when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey {
    suite: Suite,
    /// The key, then the salt, then zeros.
    bytes: [u8; MAX_KEY],
    mki_length: u8,
}

impl MasterKey {
    /// From key and salt one after the other. `None` where their length is not that of the suite.
    #[must_use]
    pub fn new(suite: Suite, key_and_salt: &[u8]) -> Option<Self> {
        if key_and_salt.len() != suite.key_length() + suite.salt_length() {
            return None;
        }
        let mut bytes = [0; MAX_KEY];
        bytes[..key_and_salt.len()].copy_from_slice(key_and_salt);
        Some(Self { suite, bytes, mki_length: 0 })
    }

    /// Packets under this key carry a master key identifier of so many bytes.
    #[must_use]
    pub fn with_mki_length(self, mki_length: u8) -> Self {
        Self { mki_length, ..self.clone() }
    }

    /// What the key is for.
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Bytes of the master key identifier in each packet; usually 0.
    #[must_use]
    pub fn mki_length(&self) -> usize {
        usize::from(self.mki_length)
    }

    /// The key itself.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.bytes[..self.suite.key_length()]
    }

    /// The salt itself.
    #[must_use]
    pub fn salt(&self) -> &[u8] {
        &self.key_and_salt()[self.suite.key_length()..]
    }

    /// Key and salt one after the other, as SDP wants them.
    #[must_use]
    pub fn key_and_salt(&self) -> &[u8] {
        &self.bytes[..self.suite.key_length() + self.suite.salt_length()]
    }
}

impl Drop for MasterKey {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({}, …)", self.suite)
    }
}

/// The keys of both directions of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// What we send is protected with this one.
    pub send: MasterKey,
    /// What the peer sends is protected with this one.
    pub receive: MasterKey,
}

/// Makes master keys from a seed; the same seed gives the same keys.
///
/// The seed must come from a cryptographic random source: whoever knows it hears everything.
#[derive(Clone, PartialEq, Eq)]
pub struct KeySource {
    seed: [u8; 32],
    blocks: u128,
}

impl KeySource {
    /// Begins the sequence of keys of a seed.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        Self { seed, blocks: 0 }
    }

    /// The next key.
    pub fn master_key(&mut self, suite: Suite) -> MasterKey {
        let mut bytes = [0; MAX_KEY];
        let length = suite.key_length() + suite.salt_length();
        self.fill(&mut bytes[..length]);
        MasterKey { suite, bytes, mki_length: 0 }
    }

    /// A source of its own for somebody else, who learns nothing about this one.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        let mut seed = [0; 32];
        self.fill(&mut seed);
        Self::new(seed)
    }

    /// The key stream of AES-256 in counter mode.
    fn fill(&mut self, out: &mut [u8]) {
        let aes = Aes256Enc::new(&self.seed.into());
        for part in out.chunks_mut(16) {
            let mut block = self.blocks.to_be_bytes().into();
            aes.encrypt_block(&mut block);
            part.copy_from_slice(&block[..part.len()]);
            self.blocks += 1;
        }
    }
}

impl Drop for KeySource {
    fn drop(&mut self) {
        self.seed.zeroize();
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySource(…)")
    }
}

/// Key and salt of `AEAD_AES_256_GCM`; those with longer salts have shorter keys.
const MAX_KEY: usize = 32 + 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_length_of_their_suite_and_differ() {
        let mut source = KeySource::new([7; 32]);
        for suite in Suite::ALL {
            let (one, two) = (source.master_key(suite), source.master_key(suite));
            assert_eq!(one.key_and_salt().len(), suite.key_length() + suite.salt_length());
            assert_ne!(one.key(), two.key());
            assert_ne!(one.salt(), two.salt());
            assert_eq!(MasterKey::new(suite, one.key_and_salt()), Some(one));
        }
        let mut fork = source.fork();
        let suite = Suite::AeadAes256Gcm;
        assert_ne!(fork.master_key(suite).key(), KeySource::new([7; 32]).master_key(suite).key());
        assert_ne!(fork.master_key(suite).key(), source.master_key(suite).key());
    }

    #[test]
    fn a_key_of_another_length_is_none() {
        assert_eq!(MasterKey::new(Suite::AeadAes128Gcm, &[0; 30]), None);
        assert_eq!(MasterKey::new(Suite::AesCm128HmacSha1_80, &[0; 28]), None);
    }

    #[test]
    fn nothing_that_is_shown_holds_the_key() {
        let key = MasterKey::new(Suite::AesCm128HmacSha1_80, &[0xAB; 30]).unwrap();
        let keys = Keys { send: key.clone(), receive: key };
        let shown = format!("{keys:?} {keys:#?} {:?}", KeySource::new([0xAB; 32]));
        assert!(!shown.contains("171") && !shown.to_lowercase().contains("ab,"), "{shown}");
        assert!(shown.contains("AES_CM_128_HMAC_SHA1_80"));
    }
}
