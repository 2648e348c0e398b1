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
    /// Which callers may share RTP ports.
    pub mux: Mux,
}

/// Whether callers share RTP ports, which costs less but tells them apart by the address in their SDP alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mux {
    /// Every leg has ports of its own.
    Off,
    /// Callers whose media is taken from the address in their SDP only ([`media::Latch::Off`]).
    #[default]
    Auto,
    /// Also those whose signaling comes from the address in their SDP, so that no NAT is between.
    On,
}
