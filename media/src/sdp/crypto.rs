//! Keys in a description: the `a=crypto` line (RFC 4568, RFC 7714 §14).

use std::fmt;

use crate::srtp::{MasterKey, Suite};

/// What follows `a=crypto:`. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct CryptoText(String);

impl CryptoText {
    /// Takes the text as it is.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text, key included.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for CryptoText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CryptoText(…)")
    }
}

/// A key that its sender will use, and the suite it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crypto {
    /// Names the line, so that an answer can say which one it took.
    pub tag: u32,
    /// The key.
    pub key: MasterKey,
}

impl Crypto {
    /// Reads what follows `a=crypto:`. `None` where it is malformed or asks for what we cannot do: another suite,
    /// several keys, or session parameters that change what is encrypted and how.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let tag =
            words.next().filter(|tag| tag.len() <= 9 && tag.bytes().all(|byte| byte.is_ascii_digit()))?;
        let suite = Suite::from_name(words.next()?)?;
        let key = key_of(suite, words.next()?)?;
        // RFC 4568 §6.3: the window size is a hint, and what begins with `-` may be ignored.
        let harmless = |word: &str| {
            word.starts_with('-') || word.get(..4).is_some_and(|name| name.eq_ignore_ascii_case("WSH="))
        };
        words.all(harmless).then(|| Self { tag: tag.parse().unwrap_or(0), key })
    }

    /// The line to send.
    #[must_use]
    pub fn text(&self) -> CryptoText {
        let mut text = format!("{} {} inline:", self.tag, self.key.suite());
        encode_base64(self.key.key_and_salt(), &mut text);
        CryptoText(text)
    }
}

/// RFC 4568 §6.1: `inline:` key and salt, then `|` lifetime and `|` key identifier, both optional.
fn key_of(suite: Suite, parameters: &str) -> Option<MasterKey> {
    let inline = parameters.get(..7).filter(|method| method.eq_ignore_ascii_case("inline:"))?;
    let mut parts = parameters[inline.len()..].split('|');
    let key = MasterKey::new(suite, &decode_base64(parts.next()?)?)?;
    let mut mki = None;
    for (place, part) in parts.enumerate() {
        match part.split_once(':') {
            // The identifier of the only key says nothing new; its bytes are in every packet.
            Some((value, length)) if mki.is_none() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                mki = Some(length.parse().ok().filter(|length| (1..=MAX_MKI).contains(length))?);
            }
            // No call lasts as long as the shortest lifetime that makes sense; keys are renewed by the peer.
            None if place == 0 && is_lifetime(part) => {}
            Some(_) | None => return None,
        }
    }
    Some(match mki {
        Some(length) => key.with_mki_length(length),
        None => key,
    })
}

/// A count of packets, also as a power of two: `2^20`.
fn is_lifetime(text: &str) -> bool {
    let number = text.strip_prefix("2^").unwrap_or(text);
    !number.is_empty() && number.len() <= 15 && number.bytes().all(|byte| byte.is_ascii_digit())
}

fn encode_base64(bytes: &[u8], text: &mut String) {
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let letter = ALPHABET[(word >> (18 - 6 * place)) as usize & 0x3F];
            text.push(if place <= group.len() { char::from(letter) } else { '=' });
        }
    }
}

/// Also without the `=` at the end, which some leave out.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let letters = text.trim_end_matches('=').as_bytes();
    if letters.len() > MAX_BASE64 || letters.len() % 4 == 1 || text.len() - letters.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(MAX_BASE64);
    let (mut word, mut bits) = (0_u32, 0);
    for letter in letters {
        let value = ALPHABET.iter().position(|known| known == letter)?;
        word = (word << 6 | value as u32) & 0xFFFF;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((word >> bits) as u8);
        }
    }
    Some(bytes)
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Letters of the longest key, 44 bytes.
const MAX_BASE64: usize = 60;

/// Longest key identifier, bytes (RFC 4568 §6.1).
const MAX_MKI: u8 = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::KeySource;
    use proptest::prelude::*;

    const KEY: &str = "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

    #[test]
    fn lines_of_rfc_4568_are_read() {
        let crypto = Crypto::parse(&format!("1 AES_CM_128_HMAC_SHA1_80 {KEY}|2^20|1:4")).unwrap();
        assert_eq!((crypto.tag, crypto.key.suite()), (1, Suite::AesCm128HmacSha1_80));
        assert_eq!(crypto.key.mki_length(), 4);
        assert_eq!(crypto.key.key_and_salt(), b"YS___semctl () {\t220;}\n}\nunles");
        for tail in ["", "|2^20", "|1048576", "|1:4", "|2^48|1:1", " WSH=128", " -x=1"] {
            let text = format!("12 aes_cm_128_hmac_sha1_32 {KEY}{tail}");
            let crypto = Crypto::parse(&text).expect(&text);
            assert_eq!((crypto.tag, crypto.key.suite()), (12, Suite::AesCm128HmacSha1_32));
        }
    }

    #[test]
    fn what_we_cannot_do_is_not_taken() {
        let of = |text: &str| Crypto::parse(&text.replace("KEY", KEY));
        for text in [
            "",
            "1",
            "1 AES_CM_128_HMAC_SHA1_80",
            "x AES_CM_128_HMAC_SHA1_80 KEY",
            "-1 AES_CM_128_HMAC_SHA1_80 KEY",
            "1234567890 AES_CM_128_HMAC_SHA1_80 KEY",
            "1 F8_128_HMAC_SHA1_80 KEY",
            "1 AEAD_AES_128_GCM KEY",
            "1 AES_CM_128_HMAC_SHA1_80 KEYAAAA",
            "1 AES_CM_128_HMAC_SHA1_80 inline:WVNf*19z",
            "1 AES_CM_128_HMAC_SHA1_80 other:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz",
            "1 AES_CM_128_HMAC_SHA1_80 KEY|1:4;KEY|2:4",
            "1 AES_CM_128_HMAC_SHA1_80 KEY|2^20|2^20",
            "1 AES_CM_128_HMAC_SHA1_80 KEY|1:129",
            "1 AES_CM_128_HMAC_SHA1_80 KEY|1:0",
            "1 AES_CM_128_HMAC_SHA1_80 KEY UNENCRYPTED_SRTP",
            "1 AES_CM_128_HMAC_SHA1_80 KEY UNENCRYPTED_SRTCP",
            "1 AES_CM_128_HMAC_SHA1_80 KEY UNAUTHENTICATED_SRTP",
            "1 AES_CM_128_HMAC_SHA1_80 KEY KDR=1",
            "1 AES_CM_128_HMAC_SHA1_80 KEY FEC_ORDER=FEC_SRTP",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_printed_is_read_back_and_padding_may_be_missing() {
        let mut source = KeySource::new([3; 32]);
        for (tag, suite) in (1..).zip(Suite::ALL) {
            let crypto = Crypto { tag, key: source.master_key(suite) };
            let text = crypto.text();
            assert_eq!(Crypto::parse(text.expose()).as_ref(), Some(&crypto));
            assert_eq!(Crypto::parse(text.expose().trim_end_matches('=')), Some(crypto));
            assert_eq!(format!("{text:?}"), "CryptoText(…)");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in "[ -~]{0,120}", tail in "\\PC{0,40}") {
            let _ = Crypto::parse(&text);
            let _ = Crypto::parse(&format!("1 AES_CM_128_HMAC_SHA1_80 {KEY}{tail}"));
            let _ = Crypto::parse(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{tail}"));
        }
    }
}
