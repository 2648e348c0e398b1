//! Opus by frames of 20 ms, with the settings a leg has by default.

use std::hint::black_box;

use media::codec::{
    EncoderSettings,
    opus::{Decoder, Encoder},
};

use super::{Body, g722};

const FRAMES: usize = 50;
const SAMPLES: usize = 320;

/// Encoding and decoding at 16 kHz.
#[must_use]
pub fn all() -> Vec<Body> {
    let audio = g722::second();
    let mut encoder = Encoder::new(16_000, EncoderSettings::default());
    let packets: Vec<Vec<u8>> = audio
        .chunks_exact(SAMPLES)
        .map(|frame| {
            let mut payload = vec![0; 500];
            let length = encoder.encode(frame, &mut payload);
            payload.truncate(length);
            payload
        })
        .collect();
    let mut decoder = Decoder::new(16_000);
    let (mut encoded, mut decoded) = ([0; 500], [0; SAMPLES]);
    vec![
        Body::new("opus/encode_16k", "frame", FRAMES as u64, move || {
            let written = |frame: &[i16]| u64::from(encoder.encode(black_box(frame), &mut encoded) > 0);
            audio.chunks_exact(SAMPLES).map(written).sum()
        }),
        Body::new("opus/decode_16k", "frame", FRAMES as u64, move || {
            let written =
                |packet: &Vec<u8>| u64::from(decoder.decode(black_box(packet), &mut decoded) == SAMPLES);
            packets.iter().map(written).sum()
        }),
    ]
}
