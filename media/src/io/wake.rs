//! How a writer and a sleeper do not miss each other. Checked in all interleavings by `loom/`.

#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, Ordering, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// Says whether somebody sleeps, so that waking costs a system call only then.
#[derive(Debug)]
pub(crate) struct Asleep(AtomicBool);

impl Asleep {
    pub(crate) fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Calls `wake` if somebody sleeps or is about to. Call it after whatever the sleeper should see was written.
    pub(crate) fn disturb(&self, wake: impl FnOnce()) {
        // Pairs with the fence in `rest`: either the sleeper sees what was written, or we see that it sleeps.
        fence(Ordering::SeqCst);
        if self.0.load(Ordering::Relaxed) {
            wake();
        }
    }

    /// Calls `wait`, which a wake ends even if it came before, unless `ready` says that there is something to do.
    pub(crate) fn rest(&self, ready: impl FnOnce() -> bool, wait: impl FnOnce()) {
        self.0.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if !ready() {
            wait();
        }
        self.0.store(false, Ordering::Relaxed);
    }
}
