//! Session descriptions (RFC 8866) and the content of offers and answers (RFC 3264).
//!
//! Whose turn it is, is not known here; see [`Negotiation`] for what is.

pub mod attribute;
pub mod codec_map;
pub mod crypto;
pub mod description;
pub mod negotiation;
mod opus_parameters;
mod parse;
mod print;
mod security;

use std::fmt;

pub use attribute::Attribute;
pub use crypto::Crypto;
pub use description::{Connection, Description, Media, Origin};
pub use negotiation::{Capabilities, Negotiation};

/// Why a description cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SdpError {
    /// A line that must be understood is not what it should be.
    Syntax {
        /// Number of the line, from 1.
        line: usize,
        /// What was expected there.
        expected: &'static str,
    },
    /// More of something than anyone needs.
    TooMany {
        /// Of what.
        what: &'static str,
    },
    /// There is no audio, or it was refused.
    NoAudio,
    /// There is audio, but in no codec we know.
    NoCommonCodec,
    /// The peer wants its media encrypted in no way we can or may, or not encrypted and we must.
    NoCommonSecurity,
    /// An answer came, but we made no offer.
    NoOffer,
}

impl fmt::Display for SdpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { line, expected } => write!(f, "SDP line {line}: expected {expected}"),
            Self::TooMany { what } => write!(f, "SDP with too many {what}"),
            Self::NoAudio => f.write_str("no audio in the SDP"),
            Self::NoCommonCodec => f.write_str("no common audio codec"),
            Self::NoCommonSecurity => f.write_str("no common way to encrypt audio"),
            Self::NoOffer => f.write_str("an SDP answer without an offer"),
        }
    }
}

impl std::error::Error for SdpError {}
