//! The arithmetic of RFC 7616 §3.4.

use md5::Md5;
use sha2::{Digest, Sha256};

/// Hash algorithm of a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// `MD5`; also meant when none is written.
    Md5,
    /// `MD5-sess`
    Md5Session,
    /// `SHA-256` (RFC 8760).
    Sha256,
    /// `SHA-256-sess`
    Sha256Session,
}

impl Algorithm {
    /// `None` if it is not supported.
    #[must_use]
    pub fn parse(name: Option<&str>) -> Option<Self> {
        let Some(name) = name else { return Some(Self::Md5) };
        [Self::Md5, Self::Md5Session, Self::Sha256, Self::Sha256Session]
            .into_iter()
            .find(|algorithm| algorithm.as_str().eq_ignore_ascii_case(name))
    }

    /// As in the header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Md5Session => "MD5-sess",
            Self::Sha256 => "SHA-256",
            Self::Sha256Session => "SHA-256-sess",
        }
    }

    /// Whether the key is bound to the first nonces.
    #[must_use]
    pub const fn is_session(self) -> bool {
        match self {
            Self::Md5Session | Self::Sha256Session => true,
            Self::Md5 | Self::Sha256 => false,
        }
    }

    /// Whether it is of the SHA-256 family.
    #[must_use]
    pub const fn is_sha256(self) -> bool {
        match self {
            Self::Sha256 | Self::Sha256Session => true,
            Self::Md5 | Self::Md5Session => false,
        }
    }

    /// Hash of the parts with colons between them, in hexadecimal digits.
    #[must_use]
    pub fn hash(self, parts: &[&str]) -> String {
        if self.is_sha256() { hex(&joined::<Sha256>(parts)) } else { hex(&joined::<Md5>(parts)) }
    }
}

/// What goes into a response besides the password.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// How.
    pub algorithm: Algorithm,
    /// From the challenge.
    pub nonce: &'a str,
    /// The client's own nonce.
    pub cnonce: &'a str,
    /// `qop` and nonce count; `None` answers in the way of RFC 2069.
    pub qop: Option<(&'a str, u32)>,
    /// Method of the request.
    pub method: &'a str,
    /// The `uri` parameter.
    pub uri: &'a str,
}

/// RFC 7616 §3.4.2: what stands for the password; algorithms of the same family share it.
#[must_use]
pub fn key(algorithm: Algorithm, user: &str, realm: &str, password: &str) -> String {
    algorithm.hash(&[user, realm, password])
}

/// RFC 7616 §3.4.1: the `response` for a key.
#[must_use]
pub fn response(key: &str, inputs: &Inputs<'_>) -> String {
    let algorithm = inputs.algorithm;
    let session;
    let key = if algorithm.is_session() {
        session = algorithm.hash(&[key, inputs.nonce, inputs.cnonce]);
        &session
    } else {
        key
    };
    let what = algorithm.hash(&[inputs.method, inputs.uri]);
    match inputs.qop {
        Some((qop, count)) => {
            algorithm.hash(&[key, inputs.nonce, &format!("{count:08x}"), inputs.cnonce, qop, &what])
        }
        None => algorithm.hash(&[key, inputs.nonce, &what]),
    }
}

/// HMAC-SHA-256 (RFC 2104) with a key of 32 bytes.
pub(crate) fn mac(key: &[u8; 32], text: &[u8]) -> [u8; 32] {
    let pad = |with: u8| {
        let mut block = [with; 64];
        for (byte, key) in block.iter_mut().zip(key) {
            *byte ^= key;
        }
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 });
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn joined<D: Digest>(parts: &[&str]) -> Vec<u8> {
    let mut digest = D::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            digest.update(b":");
        }
        digest.update(part.as_bytes());
    }
    digest.finalize().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of RFC 7616 §3.9.1.
    const USER: (&str, &str, &str) = ("Mufasa", "http-auth@example.org", "Circle of Life");

    fn inputs(algorithm: Algorithm) -> Inputs<'static> {
        Inputs {
            algorithm,
            nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            qop: Some(("auth", 1)),
            method: "GET",
            uri: "/dir/index.html",
        }
    }

    #[test]
    fn responses_match_the_examples_of_the_rfc() {
        let respond = |algorithm| response(&key(algorithm, USER.0, USER.1, USER.2), &inputs(algorithm));
        assert_eq!(respond(Algorithm::Md5), "8ca523f5e9506fed4657c9700eebdbec");
        let sha = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1";
        assert_eq!(respond(Algorithm::Sha256), sha);
    }

    // RFC 2617 §3.5 and the way of RFC 2069.
    #[test]
    fn old_clients_without_qop_are_answered_alike() {
        let key = key(Algorithm::Md5, "Mufasa", "testrealm@host.com", "Circle Of Life");
        let nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093";
        let mut inputs = Inputs { nonce, cnonce: "0a4f113b", ..inputs(Algorithm::Md5) };
        assert_eq!(response(&key, &inputs), "6629fae49393a05397450978507c4ef1");
        inputs.qop = None;
        assert_eq!(response(&key, &inputs), "670fd8c2df070c60b045671b8b24ff02");
    }

    // RFC 4231 §4.3 has a key of 4 bytes; zeros behind it do not change an HMAC.
    #[test]
    fn the_mac_matches_the_test_vector() {
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex(&mac(&key, b"what do ya want for nothing?")), expected);
    }
}
