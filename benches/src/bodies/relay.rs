//! Packets from one session to another without decoding: 1,000 sessions, bridged in pairs.

use media::Codec;

use super::{
    Body,
    shard::{SESSIONS, Stage},
};

/// One packet in and out.
#[must_use]
pub fn all() -> Vec<Body> {
    let mut stage = None;
    let run = move || stage.get_or_insert_with(talking).frame(true);
    vec![Body::new("relay", "packet", SESSIONS, run)]
}

fn talking() -> Stage {
    let mut stage = Stage::new(|_| Codec::Pcmu);
    stage.bridge_pairs();
    stage.warm_up(true);
    stage
}
