//! What the program `offhook` is made of.
//!
//! # Map
//! [`config`] is what the user says, [`routing`] the dialling plan, [`apps`] what answers calls (pure), [`cli`] the
//! subcommands, [`phone`] the built-in test phone.

pub mod api;
pub mod apps;
pub mod cli;
pub mod config;
pub mod demo;
pub mod phone;
pub mod routing;
pub mod shutdown;
