//! From audio to payload.

#[cfg(feature = "opus")]
use super::opus;
use super::{Codec, g722};

/// One stream of one codec, encoded. Nothing is allocated after [`new`](Self::new).
#[derive(Debug)]
pub struct Encoder {
    codec: Codec,
    rate: u32,
    memory: Memory,
}

/// What is remembered from packet to packet.
#[derive(Debug)]
enum Memory {
    None,
    G722(Box<g722::Encoder>),
    #[cfg(feature = "opus")]
    Opus(opus::Encoder),
}

/// How to encode, as far as the codec has a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncoderSettings {
    /// Bits per second; `None` leaves it to the codec.
    pub bit_rate: Option<u32>,
    /// How much work is put into each packet, 0 to 10 (default 3).
    pub complexity: u8,
    /// Packets carry what helps to recover the one before (default yes). It takes effect with an expected loss.
    pub forward_error_correction: bool,
    /// Nothing is sent in pauses (default no).
    pub discontinuous: bool,
    /// The highest rate of audio the peer makes use of, samples per second (default 48,000).
    pub peer_rate: u32,
}

impl Default for EncoderSettings {
    fn default() -> Self {
        Self {
            bit_rate: None,
            complexity: 3,
            forward_error_correction: true,
            discontinuous: false,
            peer_rate: 48_000,
        }
    }
}

impl Encoder {
    /// An encoder of mono audio of `rate` samples per second, or of what [`Codec::rate_for`] makes of it.
    #[must_use]
    pub fn new(codec: Codec, rate: u32, settings: EncoderSettings) -> Self {
        let rate = codec.rate_for(rate);
        let memory = match codec {
            Codec::G722 => Memory::G722(Box::default()),
            #[cfg(feature = "opus")]
            Codec::Opus => Memory::Opus(opus::Encoder::new(rate, settings)),
            #[cfg(not(feature = "opus"))]
            Codec::Opus => Memory::None,
            Codec::Pcmu | Codec::Pcma | Codec::L16(_) => Memory::None,
        };
        #[cfg(not(feature = "opus"))]
        let EncoderSettings { .. } = settings;
        Self { codec, rate, memory }
    }

    /// What it encodes to.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Samples per second of what it takes.
    #[must_use]
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Encodes one packet of 10 to 60 ms and returns the bytes written; 0: nothing is to be sent.
    pub fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> usize {
        match &mut self.memory {
            Memory::None => self.codec.encode(samples, out),
            Memory::G722(encoder) => encoder.encode(samples, out),
            #[cfg(feature = "opus")]
            Memory::Opus(encoder) => encoder.encode(samples, out),
        }
    }

    /// Continues the stream of another encoder of the same codec and rate, as if it had encoded it. `false`: it cannot.
    pub fn adopt(&mut self, other: &Self) -> bool {
        match (&mut self.memory, &other.memory) {
            (Memory::None, Memory::None) => self.codec == other.codec && self.rate == other.rate,
            (Memory::G722(encoder), Memory::G722(other)) => {
                encoder.clone_from(other);
                true
            }
            #[cfg(feature = "opus")]
            (Memory::Opus(encoder), Memory::Opus(other)) => encoder.adopt(other),
            _ => false,
        }
    }

    /// How many of 100 packets get lost on the way, as the peer reports.
    pub fn set_expected_loss(&mut self, percent: u8) {
        #[cfg(feature = "opus")]
        if let Memory::Opus(encoder) = &mut self.memory {
            encoder.set_expected_loss(percent);
        }
        #[cfg(not(feature = "opus"))]
        let _ = percent;
    }

    /// Forgets what came before: another stream follows.
    pub fn reset(&mut self) {
        match &mut self.memory {
            Memory::None => {}
            Memory::G722(encoder) => **encoder = g722::Encoder::new(),
            #[cfg(feature = "opus")]
            Memory::Opus(encoder) => encoder.reset(),
        }
    }
}
