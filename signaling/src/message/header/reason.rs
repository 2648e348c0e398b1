//! Reason (RFC 3326).

use std::fmt;

use crate::message::{params::Params, scan};

/// Why a request was sent, as in `SIP;cause=200;text="Call completed elsewhere"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// `SIP` or `Q.850`.
    pub protocol: String,
    /// Status code or cause value.
    pub cause: Option<u16>,
    /// In words.
    pub text: Option<String>,
}

impl Reason {
    /// With a SIP status.
    #[must_use]
    pub fn sip(cause: u16, text: impl Into<String>) -> Self {
        Self { protocol: "SIP".into(), cause: Some(cause), text: Some(text.into()) }
    }

    /// `None` when malformed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let end = scan::find_outside(text, b';').unwrap_or(text.len());
        let protocol = scan::trim(&text[..end]);
        let params = Params::parse(&text[end..])?;
        scan::is_token(protocol).then(|| Self {
            protocol: protocol.into(),
            cause: params.get("cause").and_then(scan::number).and_then(|cause| cause.try_into().ok()),
            text: params.unquoted("text").map(Into::into),
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.protocol)?;
        if let Some(cause) = self.cause {
            write!(f, ";cause={cause}")?;
        }
        if let Some(text) = &self.text {
            f.write_str(";text=")?;
            scan::write_quoted(f, text)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_round_trip() {
        let reason = Reason::parse(r#"Q.850 ;cause=16 ;text="Normal; \"done\"""#).unwrap();
        assert_eq!((reason.protocol.as_str(), reason.cause), ("Q.850", Some(16)));
        assert_eq!(reason.text.as_deref(), Some("Normal; \"done\""));
        assert_eq!(Reason::parse(&reason.to_string()), Some(reason));
        assert_eq!(Reason::parse(";cause=1"), None);
    }
}
