//! Rings between the owner of an [`crate::io::Engine`] and its workers.
//!
//! A ring has one writer and one reader and never blocks either. A worker with sessions looks at its ring once per
//! beat; one without sleeps on its doorbell, and only then does a command cost a system call.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    sync::Arc,
};

use super::wake::Asleep;

/// Wakes a worker that has nothing to do.
#[derive(Debug)]
pub(crate) struct Doorbell {
    bell: File,
    asleep: Asleep,
}

impl Doorbell {
    #[allow(unsafe_code, reason = "eventfd has no safe wrapper")]
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: eventfd takes two integers.
        let raw = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new, open and owned by nobody else.
        let owned = unsafe { OwnedFd::from_raw_fd(raw) };
        Ok(Self { bell: File::from(owned), asleep: Asleep::new() })
    }

    /// Wakes the sleeper, if it sleeps. Call it after whatever it should see was written.
    pub(crate) fn ring(&self) {
        self.asleep.disturb(|| {
            // The counter can only be full when 2^64 rings are pending: the sleeper wakes anyway.
            let _ = (&self.bell).write(&1u64.to_ne_bytes());
        });
    }

    /// Sleeps until the bell rings, unless `ready` says that there is something to do.
    pub(crate) fn sleep(&self, ready: impl FnOnce() -> bool) {
        self.asleep.rest(ready, || self.wait());
        // Empties the counter; fails with WouldBlock when nobody rang.
        let _ = (&self.bell).read(&mut [0; 8]);
    }

    #[allow(unsafe_code, reason = "poll has no safe wrapper")]
    fn wait(&self) {
        let mut wanted = libc::pollfd { fd: self.bell.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid pollfd. A signal ends the wait early, which the caller's loop absorbs.
        unsafe { libc::poll(&raw mut wanted, 1, -1) };
    }
}

/// The writing end of a ring.
#[derive(Debug)]
pub(crate) struct Sender<T> {
    ring: rtrb::Producer<T>,
    bell: Arc<Doorbell>,
}

impl<T> Sender<T> {
    /// Gives the value back when the ring is full.
    pub(crate) fn send(&mut self, value: T) -> Result<(), T> {
        match self.ring.push(value) {
            Ok(()) => {
                self.bell.ring();
                Ok(())
            }
            Err(rtrb::PushError::Full(value)) => Err(value),
        }
    }

    pub(crate) fn bell(&self) -> &Doorbell {
        &self.bell
    }

    pub(crate) fn is_full(&self) -> bool {
        self.ring.is_full()
    }
}

/// The reading end of a ring.
#[derive(Debug)]
pub(crate) struct Receiver<T> {
    ring: rtrb::Consumer<T>,
    bell: Arc<Doorbell>,
}

impl<T> Receiver<T> {
    pub(crate) fn pop(&mut self) -> Option<T> {
        self.ring.pop().ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Sleeps until a value comes or the bell rings for another reason, which `ready` checks.
    pub(crate) fn sleep(&self, ready: impl FnOnce() -> bool) {
        self.bell.sleep(|| !self.ring.is_empty() || ready());
    }
}

/// A ring of `capacity` values that rings `bell`. A sleeper looks after all rings of its bell.
pub(crate) fn channel<T>(capacity: usize, bell: Arc<Doorbell>) -> (Sender<T>, Receiver<T>) {
    let (producer, consumer) = rtrb::RingBuffer::new(capacity);
    (Sender { ring: producer, bell: Arc::clone(&bell) }, Receiver { ring: consumer, bell })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn channel<T>(capacity: usize) -> io::Result<(Sender<T>, Receiver<T>)> {
        Ok(super::channel(capacity, Arc::new(Doorbell::new()?)))
    }

    #[test]
    fn a_full_ring_gives_the_value_back() {
        let Ok((mut sender, mut receiver)) = channel(2) else { panic!("no eventfd") };
        assert_eq!((sender.send(1), sender.send(2), sender.send(3)), (Ok(()), Ok(()), Err(3)));
        assert_eq!((receiver.pop(), receiver.pop(), receiver.pop()), (Some(1), Some(2), None));
    }

    #[test]
    fn a_sleeper_misses_no_value_however_the_two_threads_interleave() {
        let Ok((mut sender, mut receiver)) = channel(4) else { panic!("no eventfd") };
        let reader = std::thread::spawn(move || {
            let mut seen = Vec::new();
            while seen.len() < 20_000 {
                match receiver.pop() {
                    Some(value) => seen.push(value),
                    None => receiver.sleep(|| false),
                }
            }
            seen
        });
        for value in 0..20_000 {
            while sender.send(value).is_err() {
                std::thread::yield_now();
            }
        }
        assert_eq!(reader.join().ok(), Some((0..20_000).collect::<Vec<_>>()));
    }

    #[test]
    fn the_bell_wakes_without_a_value() {
        let Ok((sender, receiver)) = channel::<u8>(1) else { panic!("no eventfd") };
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let sleeper = std::thread::spawn(move || {
            while !seen.load(Ordering::Acquire) {
                receiver.sleep(|| seen.load(Ordering::Acquire));
            }
        });
        stop.store(true, Ordering::Release);
        sender.bell().ring();
        assert!(sleeper.join().is_ok());
    }
}
