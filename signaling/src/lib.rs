//! Sans-IO SIP user agent: transactions, dialogs, the INVITE usage in both directions, registrar and registrations.
//!
//! # Law of use
//! Bytes and time are arguments. Change an [`Endpoint`] with one call (`handle_message`, `handle_timeout`,
//! `handle_route`, `handle_flow_closed` or a command), then drain `poll_transmit`, `poll_question` and
//! `poll_event` until all are empty, and come back no later than `poll_timeout` says.
//!
//! Bodies are opaque: who owes an offer or an answer (RFC 3264 turns) is decided here, what is in it is not.

pub mod auth;
pub mod config;
pub mod dialog;
pub mod endpoint;
pub mod error;
pub mod event;
pub mod flow;
pub mod invite;
pub mod message;
pub mod nat;
pub mod register;
pub mod route;
pub mod transaction;

#[cfg(feature = "io")]
#[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "the one folder that touches the OS")]
pub mod io;

pub use config::{Config, Listener};
pub use endpoint::{Endpoint, Gauges};
pub use error::InviteError;
pub use event::{
    Answered, Cause, EarlyId, Ended, Event, Incoming, InviteId, Progress, RegistrationId, RegistrationState,
};
pub use flow::{FlowId, Source, Transmit, Transport};
pub use invite::{Direction, Invite, Outgoing};
pub use message::{body::Body, name_addr::NameAddr, status::StatusCode, uri::Uri};
pub use register::client::Registration;
pub use route::{Question, QuestionId, Target};
