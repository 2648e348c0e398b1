//! The grid of a worker.

use std::time::Duration;

/// One step of the worker's loop: datagrams are taken in, relayed packets leave, due sessions send.
pub const BEAT: Duration = Duration::from_millis(5);

/// One frame of audio: what each session hears and says at a time.
pub const FRAME: Duration = Duration::from_millis(20);

/// Beats per frame; a session sends in one of so many sub-slots.
pub const SLOTS: u64 = 4;

/// Units per second in which the grid is counted. Every rate of audio is a multiple of it.
pub const UNIT_RATE: u32 = 8_000;

/// Absolute index of a 20 ms frame on a worker's grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tick(pub u64);

/// The earliest of two deadlines, where either may be missing.
#[must_use]
pub fn soonest<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
