//! WWW-Authenticate and Proxy-Authenticate (RFC 3261 §20.44, RFC 7616 §3.3).

use std::{borrow::Cow, fmt};

use crate::message::scan;

/// A digest challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WwwAuthenticate {
    /// `realm`
    pub realm: String,
    /// `nonce`
    pub nonce: String,
    /// `algorithm` as written; MD5 is meant if there is none.
    pub algorithm: Option<String>,
    /// All values of `qop`; empty for a server of RFC 2069.
    pub qop: Vec<String>,
    /// Whether only the nonce was too old: the password need not be asked for again.
    pub stale: bool,
    /// `opaque`
    pub opaque: Option<String>,
}

impl WwwAuthenticate {
    /// `None` when it is malformed or no Digest.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let params = AuthParams::digest(text)?;
        let qop = params.get("qop").unwrap_or_default();
        Some(Self {
            realm: params.get("realm")?.into_owned(),
            nonce: params.get("nonce")?.into_owned(),
            algorithm: params.get("algorithm").map(Cow::into_owned),
            qop: scan::list(&qop).filter(|qop| scan::is_token(qop)).map(Into::into).collect(),
            stale: params.get("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
            opaque: params.get("opaque").map(Cow::into_owned),
        })
    }
}

impl fmt::Display for WwwAuthenticate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest realm=")?;
        scan::write_quoted(f, &self.realm)?;
        f.write_str(", nonce=")?;
        scan::write_quoted(f, &self.nonce)?;
        if let Some(opaque) = &self.opaque {
            f.write_str(", opaque=")?;
            scan::write_quoted(f, opaque)?;
        }
        if let Some(algorithm) = &self.algorithm {
            f.write_str(", algorithm=")?;
            write_token(f, algorithm)?;
        }
        if !self.qop.is_empty() {
            f.write_str(", qop=")?;
            scan::write_quoted(f, &self.qop.join(","))?;
        }
        if self.stale {
            f.write_str(", stale=true")?;
        }
        Ok(())
    }
}

/// Writes what should be a token; in quotes if it is none.
pub(super) fn write_token(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    if scan::is_token(text) { f.write_str(text) } else { scan::write_quoted(f, text) }
}

/// The comma-separated parameters of a Digest header.
pub(super) struct AuthParams<'a>(Vec<(&'a str, &'a str)>);

impl<'a> AuthParams<'a> {
    pub(super) fn digest(text: &'a str) -> Option<Self> {
        let (scheme, rest) = scan::trim(text).split_once([' ', '\t'])?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let mut params = Vec::with_capacity(12);
        for piece in scan::list(rest) {
            let (name, value) = piece.split_once('=')?;
            let (name, value) = (scan::trim(name), scan::trim(value));
            let quoted = scan::quoted_len(value) == Some(value.len());
            // A token is asked for, but nonces of bare Base64 are seen.
            let bare = !value.is_empty() && scan::all_are(scan::PARAM_VALUE, value.as_bytes());
            // A parameter that is there twice leaves open which one was meant.
            let repeated = params.iter().any(|(own, _): &(&str, &str)| own.eq_ignore_ascii_case(name));
            if repeated || !scan::is_token(name) || !(quoted || bare) {
                return None;
            }
            params.push((name, value));
        }
        Some(Self(params))
    }

    pub(super) fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        let (_, value) = self.0.iter().find(|(own, _)| own.eq_ignore_ascii_case(name))?;
        Some(scan::unquote(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_round_trip() {
        let text = r#"Digest realm="a, \"b\"", nonce="n", opaque="o", algorithm=SHA-256, qop="auth,auth-int", stale=true"#;
        let challenge = WwwAuthenticate::parse(text).unwrap();
        assert_eq!(challenge.realm, "a, \"b\"");
        assert_eq!(challenge.qop, ["auth", "auth-int"]);
        assert_eq!(challenge.to_string(), text);
        assert_eq!(WwwAuthenticate::parse("Digest realm=\"x\", realm=\"y\", nonce=\"z\""), None);
        assert_eq!(WwwAuthenticate::parse("Digest realm=\"x\""), None);
        let odd = WwwAuthenticate::parse("Digest realm=r, nonce=ab+/==, algorithm=\"a, b\"").unwrap();
        assert_eq!(WwwAuthenticate::parse(&odd.to_string()), Some(odd));
    }
}
