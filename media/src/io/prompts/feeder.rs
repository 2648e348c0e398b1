//! The work of getting a recording: opening, decoding, feeding its listener, keeping it.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    super::audio_file::{Audio, Rate},
    Keep, Opened, PromptEvent, Recording, Shared,
    store::Found,
};
use crate::graph::{
    prompt::Prompt,
    stream::{Seek, StreamWriter},
};

/// Works for as long as the recordings are there, on as many as there are.
pub(super) fn run(shared: &Arc<Shared>) {
    let mut jobs: Vec<Job> = Vec::new();
    loop {
        {
            let mut state = shared.lock();
            while jobs.is_empty() && state.queue.is_empty() && !state.stop {
                state = shared.bell.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
            }
            if state.stop {
                return;
            }
            // Others take the rest.
            if let Some(job) = state.queue.pop_front() {
                jobs.push(job);
                state.running += 1;
            }
        }
        let mut busy = false;
        jobs.retain_mut(|job| match job.guarded_step(shared) {
            Next::Again => {
                busy = true;
                true
            }
            Next::Wait => true,
            Next::Done => {
                shared.lock().running -= 1;
                false
            }
        });
        if !busy && !jobs.is_empty() {
            let state = shared.lock();
            if state.queue.is_empty() && !state.stop {
                drop(shared.bell.wait_timeout(state, TURN));
            }
        }
    }
}

/// Works on one recording that may make it wait.
pub(super) fn run_alone(shared: &Arc<Shared>, mut job: Job) {
    shared.lock().running += 1;
    loop {
        match job.guarded_step(shared) {
            Next::Again => {}
            Next::Wait => std::thread::sleep(TURN),
            Next::Done => break,
        }
        if shared.lock().stop {
            break;
        }
    }
    let mut state = shared.lock();
    state.running -= 1;
    state.slow -= 1;
}

/// One recording for one listener, or for nobody yet.
pub(super) struct Job {
    recording: Recording,
    listener: Option<Listener>,
    /// Others may wait for it, and it is kept.
    leads: bool,
    reading: Option<Reading>,
    /// Everything is written or told; a listener may still want another place.
    idle: bool,
}

pub(super) struct Listener {
    writer: StreamWriter,
    loops: bool,
    seek: Option<Seek>,
}

struct Reading {
    audio: Box<dyn Audio>,
    /// What it is worth, and since when.
    keep: Keep,
    began: Instant,
    from_disk: bool,
    rate: Rate,
    fresh: Vec<i16>,
    /// All of it, as it was recorded, while it may be kept.
    kept: Option<Vec<i16>>,
    /// What waits for room in the stream.
    pending: VecDeque<i16>,
    /// Samples before the place that was sought.
    skip: u64,
    ended: bool,
    /// Nothing was written yet: it may be over soon, and handed over whole.
    holds: bool,
    told_ms: u32,
}

enum Next {
    Again,
    Wait,
    Done,
}

impl Listener {
    pub(super) fn new(writer: StreamWriter, loops: bool) -> Self {
        Self { writer, loops, seek: None }
    }
}

impl Job {
    pub(super) fn new(recording: Recording, listener: Option<Listener>, leads: bool) -> Self {
        Self { recording, listener, leads, reading: None, idle: false }
    }

    pub(super) fn is_slow(&self) -> bool {
        self.recording.slow
    }

    /// Ends the hope of everybody who waits.
    pub(super) fn fail(mut self, why: &str, shared: &Arc<Shared>) {
        self.give_up(why, shared);
    }

    /// Whatever a decoder trips over ends one recording only.
    fn guarded_step(&mut self, shared: &Arc<Shared>) -> Next {
        let step = catch_unwind(AssertUnwindSafe(|| self.step(shared)));
        step.unwrap_or_else(|_| self.give_up("it cannot be decoded", shared))
    }

    fn step(&mut self, shared: &Arc<Shared>) -> Next {
        if self.listener.as_ref().is_some_and(|listener| listener.writer.is_abandoned()) {
            let waits =
                self.leads && shared.lock().flights.get(&self.recording.key).is_some_and(|w| !w.is_empty());
            if !waits {
                self.land(shared);
                return Next::Done;
            }
            self.listener = None;
        }
        if self.idle && self.listener.is_none() {
            return Next::Done;
        }
        if let Some(next) = self.seek(shared) {
            return next;
        }
        if self.idle {
            return Next::Wait;
        }
        if self.reading.is_none() {
            return match self.open(shared) {
                Ok(next) => next,
                Err(why) => self.give_up(&why, shared),
            };
        }
        match self.read(shared) {
            Ok(next) => next,
            Err(why) => self.give_up(&why, shared),
        }
    }

    // ---- opening -----------------------------------------------------------------------------------------------

    fn open(&mut self, shared: &Arc<Shared>) -> Result<Next, String> {
        let key = self.recording.key;
        let found = shared.lock().memory.find(&key, Instant::now());
        let stale = match found {
            Found::Fresh(prompt) if self.listener.as_ref().is_none_or(|listener| listener.seek.is_none()) => {
                return Ok(self.deliver(&prompt, shared));
            }
            Found::Fresh(_) | Found::Nothing => None,
            Found::Stale(prompt, version) => Some((prompt, version)),
        };
        let stored = shared.disk.as_ref().filter(|_| self.recording.store).and_then(|disk| disk.find(&key));
        let stored = match stored {
            Some(stored) if stored.fresh => {
                shared.lock().disk_hits += 1;
                self.begin(stored.audio, stored.keep, true, shared);
                return Ok(Next::Again);
            }
            other => other,
        };
        let version =
            stale.as_ref().map(|(_, version)| version).or(stored.as_ref().map(|stored| &stored.keep.version));
        let version = version.cloned().flatten();
        shared.lock().opened += 1;
        match ((self.recording.open)(version.as_deref()), stale, stored) {
            (Ok(Opened::Audio(audio, keep)), _, _) => self.begin(audio, keep, false, shared),
            (Ok(Opened::Unchanged(keep)), Some((prompt, _)), _) => {
                shared.lock().memory.insert(key, Arc::clone(&prompt), &keep, Instant::now());
                if let Some(disk) = shared.disk.as_ref().filter(|_| self.recording.store) {
                    // Without the note it is asked for again, which is no harm.
                    let _ = disk.note(&key, &self.recording.name, &keep);
                }
                return Ok(self.deliver(&prompt, shared));
            }
            (Ok(Opened::Unchanged(keep)), None, Some(stored)) => {
                if let Some(disk) = &shared.disk {
                    let _ = disk.note(&key, &self.recording.name, &keep);
                }
                self.begin(stored.audio, keep, true, shared);
            }
            // An old version is better than none.
            (Err(_), Some((prompt, _)), _) => return Ok(self.deliver(&prompt, shared)),
            (Err(_), None, Some(stored)) => self.begin(stored.audio, stored.keep, true, shared),
            (Ok(Opened::Unchanged(_)), None, None) => {
                return Err("nothing is kept that could be unchanged".into());
            }
            (Err(why), None, None) => return Err(why),
        }
        Ok(Next::Again)
    }

    fn begin(&mut self, audio: Box<dyn Audio>, keep: Keep, from_disk: bool, shared: &Arc<Shared>) {
        let rate = self.listener.as_ref().map_or(audio.rate(), |listener| listener.writer.rate());
        let kept = (self.leads && !(keep.never && self.listener.is_some())).then(Vec::new);
        if kept.is_none() {
            self.release(shared);
        }
        self.reading = Some(Reading {
            rate: Rate::new(audio.rate(), rate),
            audio,
            keep,
            began: Instant::now(),
            from_disk,
            fresh: Vec::new(),
            kept,
            pending: VecDeque::new(),
            skip: 0,
            ended: false,
            holds: true,
            told_ms: 0,
        });
    }

    // ---- reading -----------------------------------------------------------------------------------------------

    fn read(&mut self, shared: &Arc<Shared>) -> Result<Next, String> {
        let Some(reading) = &mut self.reading else { return Ok(Next::Done) };
        if !reading.holds
            && !self.listener.as_mut().is_none_or(|listener| reading.flush(&mut listener.writer))
        {
            return Ok(Next::Wait);
        }
        if reading.ended {
            return Ok(self.end(shared));
        }
        reading.fresh.clear();
        let more = reading.audio.read(&mut reading.fresh)?;
        let skipped = reading.skip.min(reading.fresh.len() as u64) as usize;
        reading.skip -= skipped as u64;
        if let Some(kept) = &mut reading.kept {
            kept.extend_from_slice(&reading.fresh);
        }
        if self.listener.is_some() {
            let mut converted = Vec::new();
            reading.rate.push(&reading.fresh[skipped..], &mut converted);
            if !more {
                reading.rate.finish(&mut converted);
            }
            reading.pending.extend(converted);
        }
        reading.ended = !more;
        let length = reading.kept.as_ref().map_or(0, Vec::len);
        if reading.holds && (!more || reading.began.elapsed() > HOLD || reading.pending.len() > HOLD_SAMPLES)
        {
            reading.holds = false;
            if !more && length > 0 && length <= reading.audio.rate() as usize * WHOLE_SECONDS {
                return Ok(self.end(shared));
            }
        }
        if length > shared.config.longest {
            reading.kept = None;
            self.release(shared);
            if self.listener.is_none() {
                return Err("too long to be kept".into());
            }
        } else if self.listener.is_none() {
            let ms = (length as u64 * 1_000 / u64::from(reading.audio.rate())) as u32;
            if ms >= reading.told_ms + PROGRESS_MS {
                reading.told_ms = ms;
                shared.tell(PromptEvent::Progress(self.recording.key, self.recording.name.clone(), ms));
            }
        }
        Ok(Next::Again)
    }

    /// All of it was read, and written as far as there was room.
    fn end(&mut self, shared: &Arc<Shared>) -> Next {
        let Some(reading) = &mut self.reading else { return Next::Done };
        if let Some(samples) = reading.kept.take() {
            if samples.is_empty() {
                return self.give_up("there is no audio in it", shared);
            }
            let rate = reading.audio.rate();
            let prompt = Arc::new(Prompt::with_ceiling(&samples, rate, shared.config.ceiling));
            let (keep, from_disk) = (reading.keep.clone(), reading.from_disk);
            shared.lock().memory.insert(self.recording.key, Arc::clone(&prompt), &keep, Instant::now());
            if self.listener.as_ref().is_some_and(|listener| !listener.writer.is_untouched()) {
                // It goes on from the stream; the others have the whole.
                self.hand_out(&prompt, shared);
            } else {
                self.deliver(&prompt, shared);
            }
            if let Some(disk) =
                shared.disk.as_ref().filter(|_| self.recording.store && !keep.never && !from_disk)
            {
                // Whoever wants it again without the disk waits as long as now.
                let _ = disk.insert(&self.recording.key, &self.recording.name, &samples, rate, &keep);
            }
            if self.idle {
                return Next::Done;
            }
            return Next::Again;
        }
        let Some(listener) = &mut self.listener else {
            self.idle = true;
            return Next::Done;
        };
        if !listener.writer.end() {
            return Next::Wait;
        }
        if !listener.loops {
            self.idle = true;
            return Next::Wait;
        }
        match self.begin_at(0, shared) {
            Ok(()) => Next::Again,
            Err(why) => self.give_up(&why, shared),
        }
    }

    /// Follows the listener to another place.
    fn seek(&mut self, shared: &Arc<Shared>) -> Option<Next> {
        let listener = self.listener.as_mut()?;
        let seek = listener.writer.wanted(listener.seek)?;
        // Before the first sample it is opened as usual, and sought then.
        if self.reading.is_none() && !self.idle {
            return None;
        }
        if !listener.writer.seeked(seek) {
            return Some(Next::Wait);
        }
        listener.seek = Some(seek);
        if let Some(reading) = &mut self.reading
            && reading.kept.take().is_some()
        {
            self.release(shared);
        }
        self.idle = false;
        Some(match self.begin_at(seek.to_ms, shared) {
            Ok(()) => Next::Again,
            Err(why) => self.give_up(&why, shared),
        })
    }

    /// Goes on reading there; what cannot be sought is opened anew and read up to there.
    fn begin_at(&mut self, ms: u32, shared: &Arc<Shared>) -> Result<(), String> {
        let sought = self.reading.as_mut().is_some_and(|reading| reading.audio.seek(ms));
        if !sought {
            shared.lock().opened += 1;
            let Opened::Audio(audio, keep) = (self.recording.open)(None)? else {
                return Err("nothing is kept that could be unchanged".into());
            };
            let leads = std::mem::replace(&mut self.leads, false);
            self.begin(audio, keep, false, shared);
            self.leads = leads;
        }
        let Some(reading) = &mut self.reading else { return Ok(()) };
        let rate = self.listener.as_ref().map_or(reading.audio.rate(), |listener| listener.writer.rate());
        reading.rate = Rate::new(reading.audio.rate(), rate);
        reading.pending.clear();
        (reading.ended, reading.holds, reading.kept) = (false, false, None);
        reading.skip = if sought { 0 } else { u64::from(ms) * u64::from(reading.audio.rate()) / 1_000 };
        Ok(())
    }

    // ---- the others --------------------------------------------------------------------------------------------

    /// Everybody hears the whole, this job's own listener too.
    fn deliver(&mut self, prompt: &Arc<Prompt>, shared: &Arc<Shared>) -> Next {
        if let Some(listener) = &mut self.listener {
            // The first mark of a stream always has room.
            let _ = listener.writer.whole(Arc::clone(prompt));
        }
        self.idle = true;
        self.hand_out(prompt, shared);
        Next::Done
    }

    fn hand_out(&mut self, prompt: &Arc<Prompt>, shared: &Arc<Shared>) {
        let leads = std::mem::replace(&mut self.leads, false);
        let waiting = leads.then(|| shared.lock().flights.remove(&self.recording.key)).flatten();
        for mut listener in waiting.into_iter().flatten() {
            let _ = listener.writer.whole(Arc::clone(prompt));
        }
        let name = self.recording.name.clone();
        if self.listener.is_none() {
            shared.tell(PromptEvent::Prepared(self.recording.key, name, prompt.duration_ms()));
        }
    }

    /// Nobody gets the whole: those who wait are served one by one.
    fn release(&mut self, shared: &Arc<Shared>) {
        if !std::mem::replace(&mut self.leads, false) {
            return;
        }
        let waiting = shared.lock().flights.remove(&self.recording.key);
        for listener in waiting.into_iter().flatten() {
            shared.begin(shared.lock(), Self::new(self.recording.clone(), Some(listener), false));
        }
    }

    /// Nobody wants it any more.
    fn land(&mut self, shared: &Arc<Shared>) {
        if std::mem::replace(&mut self.leads, false) {
            shared.lock().flights.remove(&self.recording.key);
        }
        self.idle = true;
    }

    fn give_up(&mut self, why: &str, shared: &Arc<Shared>) -> Next {
        self.idle = true;
        if let Some(listener) = &mut self.listener {
            let _ = listener.writer.fail(why);
        }
        if std::mem::replace(&mut self.leads, false) {
            let waiting = shared.lock().flights.remove(&self.recording.key);
            for mut listener in waiting.into_iter().flatten() {
                let _ = listener.writer.fail(why);
            }
        }
        if self.listener.is_none() {
            shared.tell(PromptEvent::Failed(self.recording.key, self.recording.name.clone(), why.to_owned()));
        }
        Next::Done
    }
}

impl Reading {
    /// Writes what waits. Whether all of it was written.
    fn flush(&mut self, writer: &mut StreamWriter) -> bool {
        while !self.pending.is_empty() {
            let (first, _) = self.pending.as_slices();
            let written = writer.write(first);
            if written == 0 {
                return false;
            }
            self.pending.drain(..written);
        }
        true
    }
}

/// How often a job is looked at whose stream is full.
const TURN: Duration = Duration::from_millis(20);
/// How long it may take to find out that a recording is short.
const HOLD: Duration = Duration::from_millis(10);
const HOLD_SAMPLES: usize = 1 << 20;
/// A recording of so many seconds is handed over whole at once: it is ready for everybody in a few ms.
const WHOLE_SECONDS: usize = 5;
/// Between two news of a recording that is prepared.
const PROGRESS_MS: u32 = 10_000;
