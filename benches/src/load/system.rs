//! Cores, limits, and the processor time of threads.

use std::{
    fs, io, thread,
    time::{Duration, Instant},
};

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    sys::resource::{Resource, getrlimit, setrlimit},
    time::{ClockId, clock_gettime},
    unistd::Pid,
};

/// The processor time of one thread.
#[derive(Debug, Clone, Copy)]
pub(super) struct ThreadClock(ClockId);

impl ThreadClock {
    pub(super) fn read(self) -> io::Result<Duration> {
        Ok(clock_gettime(self.0)?.into())
    }
}

/// The clock of a thread of this process, by its name. Waits until the thread has taken its name.
pub(super) fn thread_clock(name: &str) -> io::Result<ThreadClock> {
    let patience = Instant::now() + Duration::from_secs(2);
    loop {
        for task in fs::read_dir("/proc/self/task")?.flatten() {
            let named =
                fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name);
            if let (true, Some(Ok(id))) = (named, task.file_name().to_str().map(str::parse::<i32>)) {
                // As pthread_getcpuclockid(3) makes it: the scheduler's clock of one thread.
                return Ok(ThreadClock(ClockId::from_raw(!id << 3 | 0b110)));
            }
        }
        if Instant::now() > patience {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("no thread named {name}")));
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// First and last core this process may run on.
pub(super) fn outer_cores() -> io::Result<(usize, usize)> {
    let set = sched_getaffinity(Pid::from_raw(0))?;
    let cores = (0..CpuSet::count()).filter(|&core| set.is_set(core).unwrap_or(false));
    let (first, last) = cores.fold((None, 0), |(first, _), core| (first.or(Some(core)), core));
    Ok((first.unwrap_or(0), last))
}

/// Ties the calling thread to one core.
pub(super) fn pin(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// A call takes three sockets.
pub(super) fn raise_open_files() -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_found_by_its_name_and_its_time_never_runs_backwards() {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let busy = thread::Builder::new().name("measured".into()).spawn(move || stopped.recv()).unwrap();
        let clock = thread_clock("measured").unwrap();
        let before = clock.read().unwrap();
        assert!(clock.read().unwrap() >= before);
        drop(stop);
        assert!(busy.join().unwrap().is_err());
    }
}
