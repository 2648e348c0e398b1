//! Calls in virtual time: the same switchboards and media shards as in production, on a seeded network.
//!
//! A [`World`] owns the clock. Everything that happens is decided by its seed and by the commands given, so a
//! failing run replays exactly. Nodes are whole telephone systems (a server with an [`crate::App`], or a phone that
//! the test commands); [`World::add_raw`] adds a peer that is nothing but bytes.

mod continuity;
mod network;
mod node;
mod random;
mod world;

pub use continuity::StreamCheck;
pub use network::Link;
pub use node::{Library, Node, NodeId};
pub use random::Random;
pub use world::{RawId, World};
