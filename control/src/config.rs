//! What a switchboard is told when it is made.

use media::{Capabilities, srtp::KeySource};

/// Configuration of a [`crate::Switchboard`].
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// SIP: listeners, users, timers.
    pub signaling: signaling::Config,
    /// SDP: codecs in preference, ptime, latching.
    pub media: Capabilities,
    /// The address written into SDP where it differs from the one the port was bound to.
    pub advertise: Option<std::net::IpAddr>,
    /// Where keys of encrypted media come from; without it no media is encrypted.
    pub keys: Option<KeySource>,
}
