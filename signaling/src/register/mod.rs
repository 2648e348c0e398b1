//! REGISTER in both roles (RFC 3261 §10).

pub mod bindings;
pub mod client;

pub use bindings::{Bindings, Change, Contact, Limits};
pub use client::{Action, Registrant, Registration};
