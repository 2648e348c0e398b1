//! Small errors, one per operation.

pub use crate::dsp::resample::RateError;
pub use crate::dtmf::DigitError;
pub use crate::rtcp::RtcpError;
pub use crate::rtp::RtpError;
pub use crate::sdp::SdpError;
