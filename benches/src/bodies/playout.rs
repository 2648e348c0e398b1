//! The decoded path: a jitter buffer, decoding and encoding, because the two sides of each bridge use different codecs.
//! 1,000 sessions in pairs.

use media::Codec;

use super::{
    Body,
    shard::{SESSIONS, Stage},
};

/// One packet in, one frame out.
#[must_use]
pub fn all() -> Vec<Body> {
    let mut stage = None;
    let run = move || stage.get_or_insert_with(talking).frame(true);
    vec![Body::new("playout", "frame", SESSIONS, run)]
}

fn talking() -> Stage {
    let mut stage = Stage::new(|number| if number.is_multiple_of(2) { Codec::Pcmu } else { Codec::Pcma });
    stage.bridge_pairs();
    stage.warm_up(true);
    stage
}
