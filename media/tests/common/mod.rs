//! A worker's shard in virtual time, peers that talk to it over a bad network, and a judge of what they receive.

#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod checker;
pub(crate) mod dice;
pub(crate) mod peer;
#[cfg(feature = "io")]
pub(crate) mod socket_peer;
pub(crate) mod sound;
pub(crate) mod world;
