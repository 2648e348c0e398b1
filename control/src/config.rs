//! What a switchboard is told when it is made.

use media::{Capabilities, Inband, srtp::KeySource};

/// Whether digits are looked for in the audio of every leg, without a [`crate::Command::Detect`] for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum InbandDigits {
    /// Never.
    Never,
    /// Where the peer did not say that it takes telephone events (RFC 4733), as it will not send them either.
    #[default]
    WithoutEvents,
    /// Where the peer did not say so; the tones are cut out of what others hear, who get telephone events instead.
    WithoutEventsRemoved,
    /// Always.
    Always,
}

impl InbandDigits {
    /// What that means for a peer that takes telephone events, or does not.
    pub(crate) fn of_peer(self, takes_events: bool) -> Inband {
        match self {
            Self::Always => Inband::Tell,
            Self::WithoutEvents if !takes_events => Inband::Tell,
            Self::WithoutEventsRemoved if !takes_events => Inband::Remove,
            Self::Never | Self::WithoutEvents | Self::WithoutEventsRemoved => Inband::Ignore,
        }
    }
}

/// Configuration of a [`crate::Switchboard`].
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// SIP: listeners, users, timers.
    pub signaling: signaling::Config,
    /// SDP: codecs in preference, ptime, latching.
    pub media: Capabilities,
    /// Digits in the audio.
    pub inband_digits: InbandDigits,
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
