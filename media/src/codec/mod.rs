//! Audio codecs: what they are called, and the objects that encode and decode.
//!
//! A [`Codec`] is a name with its facts. An [`Encoder`] or a [`Decoder`] is one direction of one stream: it carries
//! what the codec remembers from packet to packet. Codecs without memory also encode and decode by name alone, which
//! lets many listeners share one payload.

pub mod comfort_noise;
mod decoder;
mod encoder;
pub mod g711;
pub mod g722;
mod linear16;
#[cfg(feature = "opus")]
pub mod opus;

pub use decoder::Decoder;
pub use encoder::{Encoder, EncoderSettings};

/// A codec we can encode and decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Codec {
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722 at 64 kbit/s, 16 kHz.
    G722,
    /// Opus, mono both ways; stereo is understood. Needs the feature `opus`.
    Opus,
    /// Uncompressed, 16 bits, mono (RFC 3551 §4.5.11).
    L16(L16Rate),
}

/// Samples per second of [`Codec::L16`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum L16Rate {
    /// 8,000.
    Hz8000,
    /// 16,000.
    Hz16000,
}

impl Codec {
    /// Every codec.
    pub const ALL: &'static [Self] = &[
        #[cfg(feature = "opus")]
        Self::Opus,
        Self::Pcmu,
        Self::Pcma,
        Self::G722,
        Self::L16(L16Rate::Hz16000),
        Self::L16(L16Rate::Hz8000),
    ];

    /// What is offered unless somebody says otherwise, most preferred first.
    pub const DEFAULT: &'static [Self] = &[
        Self::Pcmu,
        Self::Pcma,
        Self::G722,
        #[cfg(feature = "opus")]
        Self::Opus,
    ];

    /// The encoding name of `a=rtpmap` (RFC 3551 §6).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
            Self::Opus => "opus",
            Self::L16(_) => "L16",
        }
    }

    /// The payload type it is offered with: the static one, or what many others use.
    #[must_use]
    pub fn usual_payload_type(self) -> u8 {
        self.static_payload_type().unwrap_or(match self {
            Self::L16(L16Rate::Hz16000) => 118,
            Self::L16(L16Rate::Hz8000) => 119,
            Self::Opus | Self::Pcmu | Self::Pcma | Self::G722 => 111,
        })
    }

    /// Channels in `a=rtpmap`.
    #[must_use]
    pub fn announced_channels(self) -> u8 {
        match self {
            // RFC 7587 §7.
            Self::Opus => 2,
            Self::Pcmu | Self::Pcma | Self::G722 | Self::L16(_) => 1,
        }
    }

    /// RTP timestamp units per second.
    #[must_use]
    pub fn clock_rate(self) -> u32 {
        match self {
            // RFC 3551 §4.5.2: G.722 counts pairs of samples, by an old mistake.
            Self::Pcmu | Self::Pcma | Self::G722 | Self::L16(L16Rate::Hz8000) => 8_000,
            Self::L16(L16Rate::Hz16000) => 16_000,
            // RFC 7587 §4.1.
            Self::Opus => 48_000,
        }
    }

    /// The rates at which it can encode and decode without a resampler in between, ascending: some of 8,000, 16,000
    /// and 48,000 samples per second.
    #[must_use]
    pub fn sample_rates(self) -> &'static [u32] {
        match self {
            Self::Pcmu | Self::Pcma | Self::L16(L16Rate::Hz8000) => &[8_000],
            Self::G722 | Self::L16(L16Rate::Hz16000) => &[16_000],
            Self::Opus => &[8_000, 16_000, 48_000],
        }
    }

    /// The highest rate of audio it carries, samples per second.
    #[must_use]
    pub fn sample_rate(self) -> u32 {
        self.sample_rates().last().copied().unwrap_or(8_000)
    }

    /// The rate to encode or decode at when audio of `wanted` samples per second is at hand or asked for: the lowest
    /// that loses nothing, or else the highest there is.
    #[must_use]
    pub fn rate_for(self, wanted: u32) -> u32 {
        self.sample_rates().iter().copied().find(|&rate| rate >= wanted).unwrap_or(self.sample_rate())
    }

    /// The payload type that needs no `a=rtpmap` (RFC 3551 §6).
    #[must_use]
    pub fn static_payload_type(self) -> Option<u8> {
        match self {
            Self::Pcmu => Some(0),
            Self::Pcma => Some(8),
            Self::G722 => Some(9),
            Self::Opus | Self::L16(_) => None,
        }
    }

    /// The codec of a static payload type.
    #[must_use]
    pub fn from_static_payload_type(payload_type: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|codec| codec.static_payload_type() == Some(payload_type))
    }

    /// The codec of an `a=rtpmap` line. Names are compared without case (RFC 4855 §2).
    #[must_use]
    pub fn from_name(name: &str, clock_rate: u32) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|codec| codec.name().eq_ignore_ascii_case(name) && codec.clock_rate() == clock_rate)
    }

    /// Whether a packet means the same whatever came before it, so that one payload serves many listeners and
    /// [`encode`](Self::encode) and [`decode`](Self::decode) work without an object.
    #[must_use]
    pub fn is_stateless(self) -> bool {
        match self {
            Self::Pcmu | Self::Pcma | Self::L16(L16Rate::Hz8000 | L16Rate::Hz16000) => true,
            Self::G722 | Self::Opus => false,
        }
    }

    /// Bits of one sample at [`sample_rate`](Self::sample_rate); `None` where packets of equal time differ in length.
    #[must_use]
    pub fn bits_per_sample(self) -> Option<usize> {
        match self {
            Self::Pcmu | Self::Pcma => Some(8),
            Self::G722 => Some(4),
            Self::Opus => None,
            Self::L16(_) => Some(16),
        }
    }

    /// Audio samples in that many ms at the codec's [`sample_rate`](Self::sample_rate).
    #[must_use]
    pub fn samples(self, ptime_ms: u8) -> usize {
        self.sample_rate() as usize / 1000 * usize::from(ptime_ms)
    }

    /// RTP timestamp units in that many ms.
    #[must_use]
    pub fn timestamp_units(self, ptime_ms: u8) -> u32 {
        self.clock_rate() * u32::from(ptime_ms) / 1000
    }

    /// RTP timestamp units of the audio in a payload; 0 if it is damaged or empty.
    #[must_use]
    pub fn ticks(self, payload: &[u8]) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 => payload.len() as u32,
            #[cfg(feature = "opus")]
            Self::Opus => opus::samples_at_48k(payload).unwrap_or(0),
            #[cfg(not(feature = "opus"))]
            Self::Opus => 0,
            Self::L16(_) => payload.len() as u32 / 2,
        }
    }

    /// Samples at `rate` in so many `bytes` of a payload, where a payload can be cut there and decoded one part after
    /// the other.
    pub(crate) fn piece(self, bytes: usize, rate: u32) -> Option<u32> {
        let samples = bytes * 8 / self.bits_per_sample()?;
        Some(samples as u32 * rate / self.sample_rate())
    }

    /// The packet times it can be sent in, ms, ascending: those it has, in packets that fit into a datagram on usual
    /// networks.
    #[must_use]
    pub fn packet_times(self) -> &'static [u8] {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 | Self::L16(L16Rate::Hz8000) => &[10, 20, 30, 40, 60],
            // RFC 6716 §2.1.4.
            Self::Opus => &[10, 20, 40, 60],
            Self::L16(L16Rate::Hz16000) => &[10, 20, 30, 40],
        }
    }

    /// The longest packet time it can be sent in that is not above `limit` ms, or else the shortest.
    #[must_use]
    pub fn packet_time(self, limit: u8) -> u8 {
        let times = self.packet_times();
        times.iter().rev().copied().find(|&ms| ms <= limit).unwrap_or(times[0])
    }

    /// Encodes as many samples as fit and returns the bytes written. For codecs without memory; others write nothing.
    pub fn encode(self, samples: &[i16], out: &mut [u8]) -> usize {
        match self {
            Self::Pcmu => g711::encode(samples, out, g711::encode_ulaw),
            Self::Pcma => g711::encode(samples, out, g711::encode_alaw),
            Self::G722 | Self::Opus => 0,
            Self::L16(_) => linear16::encode(samples, out),
        }
    }

    /// Decodes as much payload as fits and returns the samples written. For codecs without memory; others write
    /// nothing.
    pub fn decode(self, payload: &[u8], out: &mut [i16]) -> usize {
        match self {
            Self::Pcmu => g711::decode(payload, out, g711::decode_ulaw),
            Self::Pcma => g711::decode(payload, out, g711::decode_alaw),
            Self::G722 | Self::Opus => 0,
            Self::L16(_) => linear16::decode(payload, out),
        }
    }

    /// The byte that fills a payload of silence; `None` where silence has to be encoded.
    #[must_use]
    pub fn silence(self) -> Option<u8> {
        match self {
            Self::Pcmu => Some(0xFF),
            Self::Pcma => Some(0xD5),
            Self::G722 | Self::Opus => None,
            Self::L16(_) => Some(0),
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
        for &codec in Codec::ALL {
            assert_eq!(Codec::from_name(&codec.name().to_lowercase(), codec.clock_rate()), Some(codec));
            if let Some(payload_type) = codec.static_payload_type() {
                assert_eq!(Codec::from_static_payload_type(payload_type), Some(codec));
            }
        }
        assert_eq!(Codec::from_name("PCMU", 16_000), None);
        assert_eq!(Codec::from_static_payload_type(18), None);
    }

    #[test]
    fn silence_decodes_to_next_to_nothing_and_is_what_zero_encodes_to() {
        for &codec in Codec::ALL {
            let Some(silence) = codec.silence() else { continue };
            let mut samples = [1_i16; 2];
            assert_eq!(codec.decode(&[silence; 4], &mut samples), 2);
            assert!(samples.iter().all(|&s| s.abs() <= 8), "{codec}: {samples:?}");
            let mut payload = [0; 2];
            assert_eq!(codec.encode(&[0, 0, 0], &mut payload) * 8, 16);
            assert_eq!(payload, [silence; 2]);
        }
    }

    #[test]
    fn a_frame_has_the_length_of_its_packet_time() {
        assert_eq!(Codec::Pcmu.samples(20), 160);
        assert_eq!(Codec::Pcma.timestamp_units(60), 480);
        assert_eq!(Codec::L16(L16Rate::Hz16000).samples(10), 160);
    }

    #[test]
    fn objects_encode_and_decode_as_the_codec_does() {
        for &codec in Codec::ALL.iter().filter(|codec| codec.is_stateless()) {
            let samples: Vec<i16> = (0..320).map(|n| (n * 77 % 9_000) as i16 - 4_500).collect();
            let (mut payload, mut expected) = ([0; 1_000], [0; 1_000]);
            let length = codec.encode(&samples, &mut expected);
            let mut encoder = Encoder::new(codec, codec.sample_rate(), EncoderSettings::default());
            assert_eq!(encoder.encode(&samples, &mut payload), length);
            assert_eq!(payload, expected);
            let mut decoder = Decoder::new(codec, codec.sample_rate());
            let mut audio = [0; 400];
            assert_eq!(decoder.decode(&payload[..length], &mut audio), 320);
            assert!(!decoder.conceal(&mut audio) && !decoder.recover(&payload, &mut audio));
        }
    }
}
