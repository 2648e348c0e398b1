//! Generated signals as a feed.

use crate::dsp::tone::{ToneGenerator, ToneSpec};

/// A running tone or cadence.
#[derive(Debug)]
pub(crate) struct Tone {
    generator: ToneGenerator,
}

impl Tone {
    pub(crate) fn new(spec: ToneSpec, rate: u32) -> Self {
        Self { generator: ToneGenerator::new(spec, rate) }
    }

    pub(crate) fn fill(&mut self, out: &mut [i16]) {
        self.generator.fill(out);
    }
}
