//! What the program `offhook` is made of.
//!
//! # Map
//! [`config`] is what the user says, [`routing`] the dialling plan, [`apps`] what answers calls (pure), [`admission`]
//! decides whether a call is taken, [`cli`] are the subcommands, [`phone`] is the built-in test phone.

pub mod admission;
pub mod api;
pub mod apps;
pub mod cli;
pub mod config;
pub mod demo;
pub mod fetch;
pub mod phone;
pub mod routing;
pub mod shutdown;
pub mod speech;
