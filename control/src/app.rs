//! What runs calls: a pure machine above a switchboard, the same in the simulator and on real sockets.

use std::time::Instant;

use crate::{event::Event, switchboard::Switchboard};

/// Reacts to events with commands. Time is an argument, so an app runs in virtual time as well.
pub trait App {
    /// Takes one event in.
    fn handle_event(&mut self, now: Instant, event: &Event, switchboard: &mut Switchboard);

    /// Runs what is due.
    fn handle_timeout(&mut self, _now: Instant, _switchboard: &mut Switchboard) {}

    /// When `handle_timeout` wants to be called at the latest.
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}
