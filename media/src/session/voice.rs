//! How a session's own packets are made: at which rate, and by which encoder.
//!
//! The peer has one decoder, and what reaches it may come from us, from a relayed party or from the common encoder of a
//! mix. Codecs with memory take such a change for a disturbance that dies down within milliseconds (G.722 adapts in
//! about 16 ms, Opus within a packet). So our encoder goes on wherever that is possible, takes over the state of the
//! common encoder where it follows that, and starts anew after relayed packets.

use crate::{
    codec::{Codec, Decoder, Encoder, EncoderSettings},
    config::SessionConfig,
    dsp::polyphase::Polyphase,
    graph::Frame,
    time::UNIT_RATE,
};

/// The making of one session's packets.
#[derive(Debug)]
pub(crate) struct Voice {
    codec: Codec,
    /// Samples per second of what is encoded.
    rate: u32,
    /// Timestamp units of a packet.
    ticks: u32,
    /// Units of 1/8000 s of a packet.
    units: usize,
    settings: EncoderSettings,
    /// For codecs with memory.
    encoder: Option<Box<Encoder>>,
    /// Packets of another encoder were sent since ours was last used.
    interrupted: bool,
    /// From the rate of what is heard.
    edge: Option<Box<Edge>>,
    /// Of packets that pass by, for recordings.
    decoder: Option<Box<Decoder>>,
}

/// From one rate to another.
#[derive(Debug)]
struct Edge {
    from: u32,
    to: u32,
    resampler: Polyphase,
}

impl Voice {
    pub(crate) fn new(codec: Codec) -> Self {
        let mut voice = Self {
            codec,
            rate: 0,
            ticks: codec.timestamp_units(20),
            units: 160,
            settings: EncoderSettings::default(),
            encoder: None,
            interrupted: false,
            edge: None,
            decoder: None,
        };
        voice.set_rate(USUAL_RATE);
        voice
    }

    /// Takes what an offer/answer says: packets of that many units of 1/8000 s.
    pub(crate) fn configure(&mut self, units: usize, config: &SessionConfig) {
        self.units = units;
        self.ticks = (self.codec.clock_rate() / 100) * (units / 80) as u32;
        if self.settings != config.encoder {
            self.settings = config.encoder;
            let rate = std::mem::take(&mut self.rate);
            self.set_rate(rate);
        }
    }

    pub(crate) fn codec(&self) -> Codec {
        self.codec
    }

    pub(crate) fn rate(&self) -> u32 {
        self.rate
    }

    /// Timestamp units of a packet.
    pub(crate) fn ticks(&self) -> u32 {
        self.ticks
    }

    /// The highest rate the codec carries and the peer makes use of.
    pub(crate) fn best_rate(&self) -> u32 {
        self.codec.rate_for(self.codec.sample_rate().min(self.settings.peer_rate))
    }

    /// Encodes audio of that rate from now on, or of what the codec makes of it.
    pub(crate) fn set_rate(&mut self, rate: u32) {
        let rate = self.codec.rate_for(rate.min(self.best_rate()));
        if rate != self.rate {
            self.rate = rate;
            let has_memory = !self.codec.is_stateless();
            self.encoder = has_memory.then(|| Box::new(Encoder::new(self.codec, rate, self.settings)));
        }
    }

    /// Samples in a packet.
    pub(crate) fn samples(&self) -> usize {
        self.units * (self.rate / UNIT_RATE) as usize
    }

    /// A packet of silence as the byte it is made of and its length, where it needs no encoding.
    pub(crate) fn silence(&self) -> Option<(u8, usize)> {
        let bytes = self.samples() * self.codec.bits_per_sample()? / 8;
        Some((self.codec.silence()?, bytes))
    }

    /// Encodes a packet. Returns its length; 0: nothing is to be sent.
    pub(crate) fn encode(&mut self, samples: &[i16], payload: &mut [u8]) -> usize {
        let Some(encoder) = &mut self.encoder else { return self.codec.encode(samples, payload) };
        if std::mem::take(&mut self.interrupted) {
            encoder.reset();
        }
        encoder.encode(samples, payload)
    }

    /// A packet of a relayed party is sent instead of one of ours.
    pub(crate) fn interrupt(&mut self) {
        self.interrupted = true;
    }

    /// A packet of another encoder is sent, and ours goes on from there.
    pub(crate) fn follow(&mut self, other: &Encoder) {
        if let Some(encoder) = &mut self.encoder {
            self.interrupted = !encoder.adopt(other);
        }
    }

    pub(crate) fn encoder(&self) -> Option<&Encoder> {
        self.encoder.as_deref()
    }

    /// How many of 100 packets get lost on the way to the peer.
    pub(crate) fn set_expected_loss(&mut self, percent: u8) {
        if let Some(encoder) = &mut self.encoder {
            encoder.set_expected_loss(percent);
        }
    }

    /// Fills `out`, which has our rate, with what `fill` gives at another one.
    pub(crate) fn at_rate(&mut self, rate: u32, out: &mut [i16], fill: impl FnOnce(&mut [i16])) {
        if rate == self.rate {
            fill(out);
            return;
        }
        let mut audio = [0; Frame::CAPACITY];
        let length = (out.len() * rate as usize / self.rate as usize).min(audio.len());
        fill(&mut audio[..length]);
        edge(&mut self.edge, rate, self.rate).process(&audio[..length], out);
    }

    /// Something else is heard from now on.
    pub(crate) fn forget(&mut self) {
        if let Some(edge) = &mut self.edge {
            edge.resampler.reset();
        }
    }

    /// Decodes a packet that passes by, for a recording. Returns the samples written and their rate.
    pub(crate) fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> (usize, u32) {
        if self.codec.is_stateless() {
            return (self.codec.decode(payload, out), self.codec.sample_rate());
        }
        let codec = self.codec;
        let decoder = self.decoder.get_or_insert_with(|| Box::new(Decoder::new(codec, UNIT_RATE)));
        (decoder.decode(payload, out), decoder.rate())
    }
}

/// The resampler between two rates, made when it is first needed.
fn edge(edge: &mut Option<Box<Edge>>, from: u32, to: u32) -> &mut Polyphase {
    if edge.as_ref().is_some_and(|edge| (edge.from, edge.to) != (from, to)) {
        *edge = None;
    }
    let edge = edge.get_or_insert_with(|| {
        let resampler = Polyphase::new(from, to).expect("two of 8, 16 and 48 kHz");
        Box::new(Edge { from, to, resampler })
    });
    &mut edge.resampler
}

/// What codecs that can choose begin with: wide-band speech.
const USUAL_RATE: u32 = 16_000;
