//! The caller hears itself until it hangs up.

use std::time::Instant;

use control::{Command, LegId, Switchboard};

use super::ask;

/// One echo.
#[derive(Debug)]
pub(super) struct Echo;

impl Echo {
    pub(super) fn begin(now: Instant, caller: LegId, switchboard: &mut Switchboard) -> Self {
        // The feed is set first, so that not even the first packet is lost.
        if !ask(now, caller, Command::Echo, switchboard) || !ask(now, caller, Command::Answer, switchboard) {
            ask(now, caller, Command::HangUp(None), switchboard);
        }
        Self
    }
}
