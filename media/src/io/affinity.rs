//! Cores and limits of this process.

use std::io;

/// Cores this process may run on, ascending.
#[allow(unsafe_code, reason = "sched_getaffinity has no safe wrapper")]
pub(crate) fn cores() -> Vec<usize> {
    // SAFETY: a cpu_set_t is plain bits; all zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is writable and its exact size is passed.
    if unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) } != 0 {
        return vec![0];
    }
    // SAFETY: the index stays below CPU_SETSIZE, which is what the set holds.
    (0..libc::CPU_SETSIZE as usize).filter(|core| unsafe { libc::CPU_ISSET(*core, &set) }).collect()
}

/// Ties the calling thread to one core.
#[allow(unsafe_code, reason = "sched_setaffinity has no safe wrapper")]
pub(crate) fn pin(core: usize) -> io::Result<()> {
    if core >= libc::CPU_SETSIZE as usize {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: as above, and `core` is below CPU_SETSIZE; 0 means the calling thread.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Asks the scheduler to run the calling thread before all ordinary ones: in the lowest real-time class, or, where
/// that is refused, with a better nice value. The kernel keeps a share of every core for the others.
#[allow(unsafe_code, reason = "the scheduler's calls have no safe wrapper")]
pub(crate) fn prefer() -> io::Result<()> {
    let lowest = libc::sched_param { sched_priority: 1 };
    // SAFETY: `lowest` is a valid sched_param; 0 means the calling thread.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, &raw const lowest) }
        == 0
    {
        return Ok(());
    }
    // SAFETY: takes integers; on Linux 0 means the calling thread.
    if unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -11) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Raises the limit of open files to what the system allows; returns the limit. A call takes two files.
#[allow(unsafe_code, reason = "setrlimit has no safe wrapper")]
pub(crate) fn raise_open_files() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid, writable rlimit.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: `limit` is a valid rlimit.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_can_be_tied_to_a_core_it_may_use() {
        let all = cores();
        assert!(!all.is_empty());
        let pinned = std::thread::spawn(move || pin(all[0]).map(|()| cores())).join();
        let Ok(Ok(left)) = pinned else { panic!("pinning failed: {pinned:?}") };
        assert_eq!(left.len(), 1);
        assert!(pin(usize::MAX).is_err());
    }

    #[test]
    fn the_limit_of_open_files_is_raised_to_the_hard_limit() {
        let first = raise_open_files();
        assert!(matches!(first, Ok(limit) if limit > 0));
        assert_eq!(first.ok(), raise_open_files().ok());
    }
}
