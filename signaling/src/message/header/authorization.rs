//! Authorization and Proxy-Authorization (RFC 3261 §20.7, RFC 7616 §3.4).

use std::fmt;

use super::www_authenticate::{AuthParams, write_token};
use crate::message::scan;

/// The answer to a digest challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// `username`
    pub username: String,
    /// `realm`
    pub realm: String,
    /// `nonce`
    pub nonce: String,
    /// `uri`: what the sender had in the request line.
    pub uri: String,
    /// `response`, in hexadecimal digits.
    pub response: String,
    /// `algorithm`, as written; MD5 is meant if there is none.
    pub algorithm: Option<String>,
    /// `cnonce`
    pub cnonce: Option<String>,
    /// `qop`
    pub qop: Option<String>,
    /// `nc`
    pub nc: Option<u32>,
    /// `opaque`
    pub opaque: Option<String>,
}

impl Authorization {
    /// `None` when it is malformed or no Digest.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let params = AuthParams::digest(text)?;
        let own = |name| params.get(name).map(|value| value.into_owned());
        Some(Self {
            username: own("username")?,
            realm: own("realm")?,
            nonce: own("nonce")?,
            uri: own("uri")?,
            response: own("response")?,
            algorithm: own("algorithm"),
            cnonce: own("cnonce"),
            qop: own("qop"),
            nc: match own("nc") {
                Some(nc) if nc.len() == 8 => Some(u32::from_str_radix(&nc, 16).ok()?),
                Some(_) => return None,
                None => None,
            },
            opaque: own("opaque"),
        })
    }
}

impl fmt::Display for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest username=")?;
        scan::write_quoted(f, &self.username)?;
        for (name, value) in [
            ("realm", Some(&self.realm)),
            ("nonce", Some(&self.nonce)),
            ("uri", Some(&self.uri)),
            ("response", Some(&self.response)),
            ("cnonce", self.cnonce.as_ref()),
            ("opaque", self.opaque.as_ref()),
        ] {
            let Some(value) = value else { continue };
            write!(f, ", {name}=")?;
            scan::write_quoted(f, value)?;
        }
        // RFC 7616 §3.4: these are not quoted.
        if let Some(algorithm) = &self.algorithm {
            f.write_str(", algorithm=")?;
            write_token(f, algorithm)?;
        }
        if let Some(qop) = &self.qop {
            f.write_str(", qop=")?;
            write_token(f, qop)?;
        }
        if let Some(nc) = self.nc {
            write!(f, ", nc={nc:08x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_round_trip() {
        let text = r#"Digest username="a\"b", realm="r", nonce="n", uri="sip:x;y,z", response="0f", cnonce="c", opaque="", algorithm=SHA-256, qop=auth, nc=0000000a"#;
        let answer = Authorization::parse(text).unwrap();
        assert_eq!((answer.username.as_str(), answer.nc), ("a\"b", Some(10)));
        assert_eq!(answer.to_string(), text);
        for bad in ["Basic abc", "Digest", "Digest username=\"x", "Digest username=\"x\", nc=1"] {
            assert_eq!(Authorization::parse(bad), None, "{bad}");
        }
    }
}
