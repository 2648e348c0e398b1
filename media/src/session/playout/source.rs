//! From payload to audio of one rate, whatever codecs the peer mixes.

use crate::{
    codec::{Codec, Decoder},
    dsp::polyphase::Polyphase,
};

/// The decoders of one stream. One is made with the first packet of its codec, and kept.
#[derive(Debug)]
pub(super) struct Sources {
    rate: u32,
    sources: Vec<Source>,
    /// Which of them decoded last.
    current: usize,
}

#[derive(Debug)]
struct Source {
    decoder: Decoder,
    /// From the decoder's rate to that of the stream, if they differ.
    resampler: Option<Box<Polyphase>>,
    /// Samples of its last packet.
    length: usize,
}

impl Sources {
    pub(super) fn new(rate: u32) -> Self {
        Self { rate, sources: Vec::new(), current: 0 }
    }

    /// Decodes a packet. Returns the samples written.
    pub(super) fn decode(&mut self, codec: Codec, payload: &[u8], out: &mut [i16]) -> usize {
        if codec.is_stateless() && codec.sample_rate() == self.rate {
            self.current = usize::MAX;
            return codec.decode(payload, out);
        }
        let known = self.sources.iter().position(|source| source.decoder.codec() == codec);
        let index = known.unwrap_or_else(|| self.add(codec));
        let source = &mut self.sources[index];
        if index != self.current {
            source.decoder.reset();
            self.current = index;
        }
        source.length = match &mut source.resampler {
            None => source.decoder.decode(payload, out),
            Some(resampler) => {
                let mut audio = [0; LONGEST];
                let room = out.len() * source.decoder.rate() as usize / self.rate as usize;
                let length = source.decoder.decode(payload, &mut audio[..room.min(LONGEST)]);
                resampler.process(&audio[..length], out)
            }
        };
        source.length
    }

    /// Reads a lost packet from the next one. Returns whether that was possible.
    pub(super) fn recover(&mut self, codec: Codec, next: &[u8], lost: &mut [i16]) -> bool {
        self.current().is_some_and(|source| {
            source.decoder.codec() == codec
                && source.length == lost.len()
                && source.decoder.recover(next, lost)
        })
    }

    /// Lets the codec make audio up. Returns whether it does.
    pub(super) fn conceal(&mut self, out: &mut [i16]) -> bool {
        self.current().is_some_and(|source| source.decoder.conceal(out))
    }

    fn current(&mut self) -> Option<&mut Source> {
        self.sources.get_mut(self.current).filter(|source| source.resampler.is_none() && source.length > 0)
    }

    #[cold]
    fn add(&mut self, codec: Codec) -> usize {
        let decoder = Decoder::new(codec, self.rate);
        let resampler = Polyphase::new(decoder.rate(), self.rate).map(Box::new);
        self.sources.push(Source { decoder, resampler, length: 0 });
        self.sources.len() - 1
    }
}

/// Samples of 120 ms at 48 kHz.
const LONGEST: usize = 5_760;
