//! From payload to audio.

#[cfg(feature = "opus")]
use super::opus;
use super::{Codec, g722};

/// One stream of one codec, decoded. Nothing is allocated after [`new`](Self::new).
#[derive(Debug)]
pub struct Decoder {
    codec: Codec,
    rate: u32,
    memory: Memory,
}

/// What is remembered from packet to packet.
#[derive(Debug)]
enum Memory {
    None,
    G722(Box<g722::Decoder>),
    #[cfg(feature = "opus")]
    Opus(opus::Decoder),
}

impl Decoder {
    /// A decoder to mono audio of `rate` samples per second, or of what [`Codec::rate_for`] makes of it.
    #[must_use]
    pub fn new(codec: Codec, rate: u32) -> Self {
        let rate = codec.rate_for(rate);
        let memory = match codec {
            Codec::G722 => Memory::G722(Box::default()),
            #[cfg(feature = "opus")]
            Codec::Opus => Memory::Opus(opus::Decoder::new(rate)),
            #[cfg(not(feature = "opus"))]
            Codec::Opus => Memory::None,
            Codec::Pcmu | Codec::Pcma | Codec::L16(_) => Memory::None,
        };
        Self { codec, rate, memory }
    }

    /// What it decodes.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Samples per second of what it writes.
    #[must_use]
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Decodes one packet and returns the samples written: 0 if it is damaged, never more than `out` holds.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        match &mut self.memory {
            Memory::None => self.codec.decode(payload, out),
            Memory::G722(decoder) => decoder.decode(payload, out),
            #[cfg(feature = "opus")]
            Memory::Opus(decoder) => decoder.decode(payload, out),
        }
    }

    /// Makes up audio where a packet is missing, as the codec itself knows how to. `false`: it does not, `out` is as it
    /// was. Multiples of 2.5 ms.
    pub fn conceal(&mut self, out: &mut [i16]) -> bool {
        #[cfg(feature = "opus")]
        if let Memory::Opus(decoder) = &mut self.memory {
            return decoder.conceal(out);
        }
        let _ = out;
        false
    }

    /// Reads what the packet after a lost one tells about the lost one, which was as long as `out`. `false`: nothing,
    /// `out` is as it was.
    pub fn recover(&mut self, next_payload: &[u8], out: &mut [i16]) -> bool {
        #[cfg(feature = "opus")]
        if let Memory::Opus(decoder) = &mut self.memory {
            return decoder.recover(next_payload, out);
        }
        let _ = (next_payload, out);
        false
    }

    /// Forgets what came before: another stream follows.
    pub fn reset(&mut self) {
        match &mut self.memory {
            Memory::None => {}
            Memory::G722(decoder) => **decoder = g722::Decoder::new(),
            #[cfg(feature = "opus")]
            Memory::Opus(decoder) => decoder.reset(),
        }
    }
}
