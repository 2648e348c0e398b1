//! Digest authentication, both sides (RFC 3261 §22, RFC 7616, RFC 8760).

pub mod challenge;
pub mod client;
pub mod credentials;
pub mod digest;

pub use challenge::{Authenticator, Verdict};
pub use client::{ClientAuth, Refused};
pub use credentials::User;
