//! CSeq (RFC 3261 §20.16).

use std::fmt;

use crate::message::{method::Method, scan};

/// Place of a request in its dialog.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CSeq {
    /// Below 2^31 (RFC 3261 §8.1.1.5).
    pub sequence: u32,
    /// The method of the request.
    pub method: Method,
}

impl CSeq {
    /// Number and method.
    #[must_use]
    pub const fn new(sequence: u32, method: Method) -> Self {
        Self { sequence, method }
    }

    /// `None` when malformed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (sequence, method) = split(text)?;
        Some(Self { sequence, method: method.into() })
    }
}

/// Number and method without copying.
pub(crate) fn split(text: &str) -> Option<(u32, &str)> {
    let (sequence, method) = scan::trim(text).split_once([' ', '\t'])?;
    let sequence = scan::number(sequence).filter(|&number| number < 1 << 31)?;
    let method = scan::trim(method);
    scan::is_token(method).then_some((sequence, method))
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.sequence, self.method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_and_method_are_read() {
        assert_eq!(CSeq::parse("0009\t INVITE"), Some(CSeq::new(9, Method::Invite)));
        assert_eq!(CSeq::new(9, Method::Invite).to_string(), "9 INVITE");
        for bad in ["", "1", "INVITE", "2147483648 ACK", "-1 ACK", "1 A CK", "36893488147419103232 REGISTER"]
        {
            assert_eq!(CSeq::parse(bad), None, "{bad}");
        }
    }
}
