//! G.711 by frames of 20 ms.

use std::hint::black_box;

use media::Codec;

use super::Body;

const FRAMES: usize = 50;
const SAMPLES: usize = 160;

/// Encoding and decoding, µ-law and A-law.
#[must_use]
pub fn all() -> Vec<Body> {
    vec![
        encode("g711/encode_ulaw", Codec::Pcmu),
        encode("g711/encode_alaw", Codec::Pcma),
        decode("g711/decode_ulaw", Codec::Pcmu),
        decode("g711/decode_alaw", Codec::Pcma),
    ]
}

fn encode(name: &'static str, codec: Codec) -> Body {
    let audio = second();
    let mut payload = [0; SAMPLES];
    Body::new(name, "frame", FRAMES as u64, move || {
        let mut frames = 0;
        for frame in audio.chunks_exact(SAMPLES) {
            let written = codec.encode(black_box(frame), &mut payload);
            frames += u64::from(black_box(&payload).len() == written);
        }
        frames
    })
}

fn decode(name: &'static str, codec: Codec) -> Body {
    let mut payload = vec![0; FRAMES * SAMPLES];
    codec.encode(&second(), &mut payload);
    let mut audio = [0; SAMPLES];
    Body::new(name, "frame", FRAMES as u64, move || {
        let mut frames = 0;
        for frame in payload.chunks_exact(SAMPLES) {
            let written = codec.decode(black_box(frame), &mut audio);
            frames += u64::from(black_box(&audio).len() == written);
        }
        frames
    })
}

/// A sweep through pitch and level, so that all segments of the codecs are used.
pub(super) fn second() -> Vec<i16> {
    (0..FRAMES * SAMPLES)
        .map(|at| {
            let time = at as f64 / 8_000.0;
            let pitch = 300.0 + 2_000.0 * time;
            ((time * pitch * std::f64::consts::TAU).sin() * 32_000.0 * time) as i16
        })
        .collect()
}
