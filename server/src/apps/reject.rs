//! The caller is refused.

use std::time::Instant;

use control::{Command, LegId, Switchboard, signaling::StatusCode};

use super::ask;

pub(super) fn reject(now: Instant, caller: LegId, code: StatusCode, switchboard: &mut Switchboard) {
    ask(now, caller, Command::Reject(code), switchboard);
}
