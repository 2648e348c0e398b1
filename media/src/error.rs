//! Small errors, one per operation.

pub use crate::sdp::SdpError;
