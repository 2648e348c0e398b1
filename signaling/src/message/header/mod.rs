//! Typed headers, one per file.

pub mod authorization;
pub mod cseq;
pub mod reason;
pub mod via;
pub mod www_authenticate;
