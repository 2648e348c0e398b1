//! Rates of live audio, by frames of 20 ms.

use std::hint::black_box;

use media::dsp::polyphase::Polyphase;

use super::{Body, g711, g722};

const FRAMES: usize = 50;

/// The steepest way up and down, and the one between narrow and wide band.
#[must_use]
pub fn all() -> Vec<Body> {
    vec![
        body("resample/8_to_16", 8_000, 16_000),
        body("resample/8_to_48", 8_000, 48_000),
        body("resample/16_to_8", 16_000, 8_000),
        body("resample/48_to_8", 48_000, 8_000),
    ]
}

fn body(name: &'static str, from: u32, to: u32) -> Body {
    let audio = match from {
        8_000 => g711::second(),
        16_000 => g722::second(),
        _ => g722::second().into_iter().flat_map(|sample| [sample; 3]).collect(),
    };
    let mut resampler = Polyphase::new(from, to).expect("rates of telephony");
    let (taken, given) = (from as usize / FRAMES, to as usize / FRAMES);
    let mut out = vec![0; given];
    Body::new(name, "frame", FRAMES as u64, move || {
        let mut frames = 0;
        for frame in audio.chunks_exact(taken) {
            let written = resampler.process(black_box(frame), &mut out);
            frames += u64::from(black_box(&out).len() == written);
        }
        frames
    })
}
