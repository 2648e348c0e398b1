//! Telephone verbs on legs: dial, ring, answer, play, collect, record, bridge, hold, confer, hang up.
//!
//! # Law of use
//! A [`Switchboard`] is pure: change it with one call (`handle_command`, `handle_message`, `handle_media`,
//! `handle_opened`, `handle_timeout`), then drain `poll_media`, `poll_transmit`, `poll_question` and `poll_event`
//! until all are empty. [`io::Control`] does that on real sockets and media workers; `sim::World` (feature `sim`)
//! does it in virtual time.
//!
//! # An answering machine
//! ```no_run
//! # #[cfg(feature = "io")]
//! # async fn run(mut control: offhook_control::io::Control) -> Result<(), Box<dyn std::error::Error>> {
//! use offhook_control::{Command, EventKind, Play, io::Happening, media::PlayerId};
//!
//! let greeting = control.prompt("greeting.wav".as_ref())?;
//! loop {
//!     let Happening::Leg(event) = control.next().await else { continue };
//!     let leg = event.leg;
//!     match event.kind {
//!         EventKind::Incoming(_) => control.command(leg, Command::Answer)?,
//!         EventKind::Answered => {
//!             let play = Play::prompt(PlayerId(1), greeting.clone(), Some(1));
//!             control.command(leg, Command::Play(play.into()))?;
//!         }
//!         EventKind::PlayFinished(..) => {
//!             control.record(leg, format!("message-{}.wav", leg.0).as_ref())?;
//!         }
//!         _ => {}
//!     }
//! }
//! # }
//! ```
//!
//! # Map
//! A leg is one party: an INVITE usage and a media session, in either direction. [`Command`] is everything a leg
//! can be asked, [`Event`] everything it can tell. Each verb is one file in `commands`.

pub mod app;
pub mod call_record;
pub mod command;
mod commands;
pub mod config;
pub mod error;
pub mod event;
mod leg;
mod media_side;
mod signaling_side;
pub mod speech;
pub mod switchboard;

#[cfg(feature = "sim")]
pub mod sim;

#[cfg(feature = "io")]
#[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "the one module that touches the OS")]
pub mod io;

/// The crates below, so that whoever uses this one needs no other dependency.
pub use {media, signaling};

pub use app::App;
pub use call_record::CallRecord;
pub use command::{Begin, Collect, Command, Dial, LegId, Play, Source, Target};
pub use commands::play::PlayRequest;
pub use config::{Config, InbandDigits, Mux};
pub use error::CommandError;
pub use event::{CollectEnd, Event, EventKind, Notice};
pub use leg::LegState;
pub use speech::{SsmlError, Utterance};
pub use switchboard::{MediaRequest, Switchboard};
