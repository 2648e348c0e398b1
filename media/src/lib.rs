//! Lock-free RTP engine: what one remote party says and hears, for as many parties as the machine can carry.
//!
//! # Law of use
//! Everything outside [`io`] is plain data: bytes and time are arguments, outputs are polled. Change a [`Shard`]
//! with one call (`handle_command`, `handle_datagram` or `handle_beat`), then drain `poll_transmit` and
//! `poll_event` until both are empty.
//!
//! # Map
//! [`rtp`], [`rtcp`], [`sdp`], [`codec`], [`dtmf`] and [`dsp`] are leaves; [`session`] is one party's media;
//! [`graph`] is what a party can hear; [`Shard`] owns the sessions of one worker; [`io`] runs shards on pinned
//! threads with real sockets.

pub mod codec;
pub mod command;
pub mod config;
pub mod detectors;
pub mod dsp;
pub mod dtmf;
pub mod error;
pub mod event;
pub mod graph;
pub mod quality;
pub mod rtcp;
pub mod rtp;
pub mod sdp;
pub mod session;
pub mod shard;
pub mod srtp;
pub mod stats;
pub mod time;

#[cfg(feature = "io")]
#[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "the one folder that touches the OS")]
pub mod io;

pub use codec::Codec;
pub use command::{Command, DigitString, Feed, MixId, PlayerId, SessionId, Steer, SteerTap, TapId};
pub use config::{Direction, Latch, PayloadFormat, SessionConfig, Srtp};
pub use detectors::{Detectors, Inband};
pub use event::{Event, FinishReason};
pub use graph::{
    player::{Piece, Playback},
    prompt::{Prompt, PromptError},
    recorder::{Recorder, Recording, Track},
};
pub use quality::{Mos, Quality, Reasons};
pub use sdp::negotiation::{Capabilities, Negotiation, Order};
pub use shard::{Channel, Moving, Shard, ShardConfig, Slots, Transmit};
pub use stats::{SessionStats, ShardStats};
