//! Generated signals as a feed.

use crate::dsp::tone::{ToneGenerator, ToneSpec};

/// A running tone or cadence.
#[derive(Debug)]
pub(crate) struct Tone {
    generator: ToneGenerator,
}

impl Tone {
    pub(crate) fn new(spec: ToneSpec) -> Self {
        Self { generator: ToneGenerator::new(spec, RATE) }
    }

    pub(crate) fn fill(&mut self, out: &mut [i16]) {
        self.generator.fill(out);
    }
}

const RATE: u32 = 8_000;
