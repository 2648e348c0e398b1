//! The monotonic clock of a worker and its absolute deadlines.

use std::{
    io,
    time::{Duration, Instant},
};

use crate::time::BEAT;

/// Pairs [`Instant`] with the kernel's `CLOCK_MONOTONIC`, so that a thread can sleep until an absolute time: a
/// deadline does not drift by the time that passes between reading the clock and going to sleep.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    origin: Instant,
    /// `CLOCK_MONOTONIC` at `origin`.
    monotonic: Duration,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { monotonic: monotonic(), origin: Instant::now() }
    }

    /// When its first beat begins.
    pub(crate) fn origin(&self) -> Instant {
        self.origin
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::now()
    }

    /// Number of the beat `now` lies in, from the creation of the clock on.
    pub(crate) fn beat(&self, now: Instant) -> u64 {
        (now.saturating_duration_since(self.origin).as_micros() as u64) / BEAT.as_micros() as u64
    }

    /// Sleeps until `deadline`; returns at once when it has passed.
    pub(crate) fn sleep_until(&self, deadline: Instant) {
        let at = self.monotonic + deadline.saturating_duration_since(self.origin);
        let request = libc::timespec {
            tv_sec: at.as_secs() as libc::time_t,
            tv_nsec: libc::c_long::from(at.subsec_nanos().cast_signed()),
        };
        // A signal cuts the sleep short; an absolute deadline makes repeating it safe.
        while sleep_once(&request) == libc::EINTR {}
    }
}

#[allow(unsafe_code, reason = "the standard library has no absolute sleep on stable")]
fn sleep_once(request: &libc::timespec) -> libc::c_int {
    // SAFETY: `request` points to a valid timespec; a remainder is not asked for with TIMER_ABSTIME.
    unsafe {
        libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, request, std::ptr::null_mut())
    }
}

#[allow(unsafe_code, reason = "`Instant` hides its timespec")]
fn monotonic() -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid, writable timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    Duration::new(now.tv_sec.cast_unsigned(), now.tv_nsec as u32)
}

/// Lets the kernel end the sleeps of this thread on time instead of up to 50 µs later.
#[allow(unsafe_code, reason = "prctl has no safe wrapper")]
pub(crate) fn exact_sleep() -> io::Result<()> {
    let nanoseconds: libc::c_ulong = 1;
    // SAFETY: PR_SET_TIMERSLACK takes one integer and concerns the calling thread alone.
    if unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, nanoseconds) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_never_ends_early() {
        let clock = Clock::new();
        let deadline = clock.now() + Duration::from_millis(3);
        clock.sleep_until(deadline);
        assert!(clock.now() >= deadline);
    }

    #[test]
    fn a_past_deadline_returns() {
        let clock = Clock::new();
        clock.sleep_until(clock.origin);
        clock.sleep_until(clock.now());
    }
}
