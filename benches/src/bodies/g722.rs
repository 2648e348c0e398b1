//! G.722 by frames of 20 ms.

use std::hint::black_box;

use media::codec::g722::{Decoder, Encoder};

use super::Body;

const FRAMES: usize = 50;
const SAMPLES: usize = 320;

/// Encoding and decoding.
#[must_use]
pub fn all() -> Vec<Body> {
    let audio = second();
    let mut payload = vec![0; audio.len() / 2];
    Encoder::new().encode(&audio, &mut payload);
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
    let (mut encoded, mut decoded) = ([0; SAMPLES / 2], [0; SAMPLES]);
    vec![
        Body::new("g722/encode", "frame", FRAMES as u64, move || {
            let mut frames = 0;
            for frame in audio.chunks_exact(SAMPLES) {
                let written = encoder.encode(black_box(frame), &mut encoded);
                frames += u64::from(black_box(&encoded).len() == written);
            }
            frames
        }),
        Body::new("g722/decode", "frame", FRAMES as u64, move || {
            let mut frames = 0;
            for frame in payload.chunks_exact(SAMPLES / 2) {
                let written = decoder.decode(black_box(frame), &mut decoded);
                frames += u64::from(black_box(&decoded).len() == written);
            }
            frames
        }),
    ]
}

/// A sweep through both bands and through all levels, 16 kHz.
pub(super) fn second() -> Vec<i16> {
    (0..FRAMES * SAMPLES)
        .map(|at| {
            let time = at as f64 / 16_000.0;
            let pitch = 300.0 + 3_000.0 * time;
            ((time * pitch * std::f64::consts::TAU).sin() * 32_000.0 * time) as i16
        })
        .collect()
}
