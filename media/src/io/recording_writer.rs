//! Recordings on disk: one thread empties the rings of all taps into files, another moves these to their places.

use std::{
    fmt, io,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError},
    },
    task::{Context, Poll},
    thread::{Builder, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use atomic_waker::AtomicWaker;

use super::{
    growing_file::GrowingFile,
    recording_publisher::{self, Finished, Outbox},
    recording_settings::{Layout, RecordingSettings},
};
use crate::{
    command::TapId,
    graph::recorder::{Marker, Recording, TrackAssembler},
};

/// A file that is complete and in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordedFile {
    /// Where it is.
    pub path: PathBuf,
    /// Where the second of two files is.
    pub companion: Option<PathBuf>,
    /// Where the manifest is.
    pub manifest: Option<PathBuf>,
    /// Its length, ms.
    pub duration_ms: u64,
    /// Its size, bytes; of both files if there are two.
    pub bytes: u64,
    /// Samples per second and channel.
    pub rate: u32,
    /// Channels of each file.
    pub channels: u16,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
    /// The moments that were named.
    pub markers: Vec<Marker>,
    /// Samples that were lost because the disk did not keep up.
    pub overruns: u64,
}

/// Why a recording is not in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingError {
    /// What the system said.
    pub kind: io::ErrorKind,
    /// What could be written; a valid file but for its last second. `None` when there is none.
    pub partial: Option<PathBuf>,
}

impl fmt::Display for RecordingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.partial {
            Some(partial) => {
                write!(f, "cannot write the recording: {}; see {}", self.kind, partial.display())
            }
            None => write!(f, "cannot write the recording: {}", self.kind),
        }
    }
}

impl std::error::Error for RecordingError {}

/// What became of one recording.
pub type RecordingOutcome = (TapId, Result<RecordedFile, RecordingError>);

/// Writes recordings in threads of its own. A file appears under its name when it is complete and safe from a power
/// failure; until then it is beside it as `.NAME.TAG.part`, readable up to about a second ago.
#[derive(Debug)]
pub struct RecordingWriter {
    requests: Option<Sender<Request>>,
    outcomes: Receiver<RecordingOutcome>,
    waker: Arc<AtomicWaker>,
    threads: Vec<JoinHandle<()>>,
}

struct Request {
    tap: TapId,
    recording: Recording,
    settings: RecordingSettings,
    started: SystemTime,
}

/// Tells what became of recordings.
#[derive(Debug, Clone)]
pub(super) struct Announcer {
    outgoing: Sender<RecordingOutcome>,
    waker: Arc<AtomicWaker>,
}

impl Announcer {
    pub(super) fn tell(&self, tap: TapId, result: Result<RecordedFile, RecordingError>) {
        // Nobody listens any more when the writer is being dropped.
        let _ = self.outgoing.send((tap, result));
        self.waker.wake();
    }
}

impl RecordingWriter {
    /// Starts the threads.
    pub fn start() -> io::Result<Self> {
        let (requests, incoming) = mpsc::channel();
        let (outgoing, outcomes) = mpsc::channel();
        let (finished, to_publish) = mpsc::channel();
        let waker = Arc::new(AtomicWaker::new());
        let announcer = Announcer { outgoing, waker: Arc::clone(&waker) };
        let disk = Disk {
            announcer: announcer.clone(),
            finished,
            jobs: Vec::new(),
            scratch: Scratch::default(),
            files: 0,
        };
        let threads = vec![
            Builder::new().name("recordings".into()).spawn(move || disk.run(&incoming))?,
            Builder::new()
                .name("recorded".into())
                .spawn(move || recording_publisher::run(&to_publish, &announcer))?,
        ];
        Ok(Self { requests: Some(requests), outcomes, waker, threads })
    }

    /// Writes `recording` to its file until its tap ends; then there is one outcome. The ring should hold at least a
    /// second, for slow disks more.
    pub fn write(&self, tap: TapId, recording: Recording, settings: RecordingSettings) {
        if let Some(requests) = &self.requests {
            let started = SystemTime::now();
            // The thread ends after the sender only.
            let _ = requests.send(Request { tap, recording, settings, started });
        }
    }

    /// The next outcome; wakes the task when there is one later.
    pub fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<RecordingOutcome> {
        if let Some(outcome) = self.try_outcome() {
            return Poll::Ready(outcome);
        }
        self.waker.register(cx.waker());
        self.try_outcome().map_or(Poll::Pending, Poll::Ready)
    }

    /// The next outcome, if there is one.
    pub fn try_outcome(&mut self) -> Option<RecordingOutcome> {
        self.outcomes.try_recv().ok()
    }

    /// Completes all files with what was recorded so far, waits for that and returns the outcomes not yet taken.
    /// Dropping does the same.
    pub fn stop(mut self) -> Vec<RecordingOutcome> {
        self.join();
        self.outcomes.try_iter().collect()
    }

    fn join(&mut self) {
        self.requests = None;
        for thread in self.threads.drain(..) {
            // A panic was already printed by its thread.
            let _ = thread.join();
        }
    }
}

impl Drop for RecordingWriter {
    fn drop(&mut self) {
        self.join();
    }
}

/// The part of the thread that writes.
struct Disk {
    announcer: Announcer,
    finished: Outbox,
    jobs: Vec<Job>,
    scratch: Scratch,
    /// Files created; makes temporary names unique.
    files: u64,
}

/// Memory that is used again and again.
#[derive(Default)]
struct Scratch {
    frames: Vec<[i16; 2]>,
    samples: Vec<i16>,
}

struct Job {
    request: Request,
    assembler: TrackAssembler,
    files: Vec<(GrowingFile, Layout)>,
    has_begun: bool,
}

impl Disk {
    fn run(mut self, incoming: &Receiver<Request>) {
        let mut checkpoint = Instant::now();
        loop {
            match self.next(incoming) {
                Ok(request) => {
                    self.begin(request);
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let due = checkpoint.elapsed() >= CHECKPOINT;
            if due {
                checkpoint = Instant::now();
            }
            self.serve(due);
        }
        for job in std::mem::take(&mut self.jobs) {
            self.end(job);
        }
    }

    /// Waits for a request, while there are files only until the next round.
    fn next(&self, incoming: &Receiver<Request>) -> Result<Request, RecvTimeoutError> {
        match incoming.try_recv() {
            Ok(request) => Ok(request),
            Err(TryRecvError::Disconnected) => Err(RecvTimeoutError::Disconnected),
            Err(TryRecvError::Empty) if self.jobs.is_empty() => {
                incoming.recv().map_err(|_| RecvTimeoutError::Disconnected)
            }
            Err(TryRecvError::Empty) => incoming.recv_timeout(ROUND),
        }
    }

    fn begin(&mut self, request: Request) {
        let mut files = Vec::new();
        for (path, layout) in request.settings.layout.files(&request.settings.path) {
            self.files += 1;
            let tag = (u64::from(std::process::id()) << 32) | (self.files & 0xFFFF_FFFF);
            match GrowingFile::create(&path, tag) {
                Ok(file) => files.push((file, layout)),
                Err(error) => {
                    let error = RecordingError { kind: error.kind(), partial: None };
                    self.announcer.tell(request.tap, Err(error));
                    return;
                }
            }
        }
        self.jobs.push(Job { request, assembler: TrackAssembler::new(), files, has_begun: false });
    }

    /// One round over all files.
    fn serve(&mut self, checkpoint: bool) {
        let mut index = 0;
        while let Some(job) = self.jobs.get_mut(index) {
            let written = job.take(&mut self.scratch, checkpoint);
            if written.is_ok() && !job.request.recording.is_finished() {
                index += 1;
                continue;
            }
            let job = self.jobs.swap_remove(index);
            match written {
                Ok(()) => self.end(job),
                Err(error) => self.fail(&job, &error),
            }
        }
    }

    fn end(&mut self, mut job: Job) {
        if let Err(error) = job.complete(&mut self.scratch) {
            return self.fail(&job, &error);
        }
        let Job { request: Request { tap, recording, settings, started }, files, .. } = job;
        let partial = files.first().map(|(file, _)| file.temporary().to_owned());
        match files.into_iter().map(|(file, _)| file.finish()).collect::<io::Result<Vec<_>>>() {
            Ok(files) => {
                let (markers, pauses) = (recording.markers().to_vec(), recording.pauses().to_vec());
                let overruns = recording.overruns();
                // The other thread ends after this one.
                let _ =
                    self.finished.send(Finished { tap, settings, started, overruns, markers, pauses, files });
            }
            Err(error) => self.announcer.tell(tap, Err(RecordingError { kind: error.kind(), partial })),
        }
    }

    fn fail(&self, job: &Job, error: &io::Error) {
        let partial = job.files.first().map(|(file, _)| file.temporary().to_owned());
        self.announcer.tell(job.request.tap, Err(RecordingError { kind: error.kind(), partial }));
    }
}

impl Job {
    /// Moves what was recorded from the ring to the files.
    fn take(&mut self, scratch: &mut Scratch, checkpoint: bool) -> io::Result<()> {
        if let (false, Some(rate)) = (self.has_begun, self.request.recording.highest_rate()) {
            self.start(rate);
        }
        scratch.frames.clear();
        let (assembler, frames) = (&mut self.assembler, &mut scratch.frames);
        self.request.recording.read(|track, at, samples| assembler.push(track, at, samples, frames));
        self.append(scratch)?;
        if checkpoint { self.files.iter_mut().try_for_each(|(file, _)| file.checkpoint()) } else { Ok(()) }
    }

    /// Writes what still waits, in the ring or for the other track.
    fn complete(&mut self, scratch: &mut Scratch) -> io::Result<()> {
        self.take(scratch, false)?;
        if !self.has_begun {
            self.start(8_000);
        }
        scratch.frames.clear();
        self.assembler.finish(&mut scratch.frames);
        self.append(scratch)
    }

    fn start(&mut self, rate: u32) {
        self.has_begun = true;
        let Request { recording, settings, .. } = &mut self.request;
        recording.set_rate(settings.rate.unwrap_or(rate));
        let rate = recording.rate();
        self.assembler = TrackAssembler::at_rate(rate);
        for (file, layout) in &mut self.files {
            file.start(settings.format, rate, layout.channels());
        }
    }

    fn append(&mut self, scratch: &mut Scratch) -> io::Result<()> {
        if !scratch.frames.is_empty() {
            for (file, layout) in &mut self.files {
                layout.interleave(&scratch.frames, &mut scratch.samples);
                file.append(&scratch.samples)?;
            }
        }
        Ok(())
    }
}

/// Time between two looks at the rings.
const ROUND: Duration = Duration::from_millis(100);
/// Time between two moments a file is readable up to.
const CHECKPOINT: Duration = Duration::from_millis(400);
