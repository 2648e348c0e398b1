//! Audio codecs. G.711 has no state, so encoding and decoding are functions of the codec itself.

pub mod g711;

/// A codec we can encode and decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Codec {
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
}

impl Codec {
    /// Every codec, in the order we prefer by default.
    pub const ALL: [Self; 2] = [Self::Pcmu, Self::Pcma];

    /// The encoding name of `a=rtpmap` (RFC 3551 §6).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
        }
    }

    /// RTP timestamp units per second.
    #[must_use]
    pub fn clock_rate(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma => 8000,
        }
    }

    /// Audio samples per second.
    #[must_use]
    pub fn sample_rate(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma => 8000,
        }
    }

    /// The payload type that needs no `a=rtpmap` (RFC 3551 §6).
    #[must_use]
    pub fn static_payload_type(self) -> Option<u8> {
        match self {
            Self::Pcmu => Some(0),
            Self::Pcma => Some(8),
        }
    }

    /// The codec of a static payload type.
    #[must_use]
    pub fn from_static_payload_type(payload_type: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.static_payload_type() == Some(payload_type))
    }

    /// The codec of an `a=rtpmap` line. Names are compared without case (RFC 4855 §2).
    #[must_use]
    pub fn from_name(name: &str, clock_rate: u32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|codec| codec.name().eq_ignore_ascii_case(name) && codec.clock_rate() == clock_rate)
    }

    /// Samples in that many ms.
    #[must_use]
    pub fn samples(self, ptime_ms: u8) -> usize {
        self.sample_rate() as usize / 1000 * usize::from(ptime_ms)
    }

    /// RTP timestamp units in that many ms.
    #[must_use]
    pub fn timestamp_units(self, ptime_ms: u8) -> u32 {
        self.clock_rate() / 1000 * u32::from(ptime_ms)
    }

    /// Encodes as many samples as fit and returns the bytes written.
    pub fn encode(self, samples: &[i16], out: &mut [u8]) -> usize {
        match self {
            Self::Pcmu => g711::encode(samples, out, g711::encode_ulaw),
            Self::Pcma => g711::encode(samples, out, g711::encode_alaw),
        }
    }

    /// Decodes as much payload as fits and returns the samples written.
    pub fn decode(self, payload: &[u8], out: &mut [i16]) -> usize {
        match self {
            Self::Pcmu => g711::decode(payload, out, g711::decode_ulaw),
            Self::Pcma => g711::decode(payload, out, g711::decode_alaw),
        }
    }

    /// The payload byte of silence.
    #[must_use]
    pub fn silence(self) -> u8 {
        match self {
            Self::Pcmu => 0xFF,
            Self::Pcma => 0xD5,
        }
    }
}

impl std::fmt::Display for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_static_types_lead_back_to_the_codec() {
        for codec in Codec::ALL {
            assert_eq!(Codec::from_name(&codec.name().to_lowercase(), codec.clock_rate()), Some(codec));
            let payload_type = codec.static_payload_type().unwrap();
            assert_eq!(Codec::from_static_payload_type(payload_type), Some(codec));
        }
        assert_eq!(Codec::from_name("PCMU", 16_000), None);
        assert_eq!(Codec::from_static_payload_type(18), None);
    }

    #[test]
    fn silence_decodes_to_next_to_nothing_and_is_what_zero_encodes_to() {
        for codec in Codec::ALL {
            let mut samples = [1_i16; 4];
            assert_eq!(codec.decode(&[codec.silence(); 4], &mut samples), 4);
            assert!(samples.iter().all(|&s| s.abs() <= 8), "{codec}: {samples:?}");
            let mut payload = [0; 2];
            assert_eq!(codec.encode(&[0, 0, 0], &mut payload), 2);
            assert_eq!(payload, [codec.silence(); 2]);
        }
    }

    #[test]
    fn a_frame_has_the_length_of_its_packet_time() {
        assert_eq!(Codec::Pcmu.samples(20), 160);
        assert_eq!(Codec::Pcma.timestamp_units(60), 480);
    }
}
