//! Recordings on disk: one thread empties the rings of all taps into WAV files.

use std::{
    fmt, io,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError},
    },
    task::{Context, Poll},
    thread::{Builder, JoinHandle},
    time::{Duration, Instant},
};

use atomic_waker::AtomicWaker;

use super::wav::WavFile;
use crate::{
    command::TapId,
    graph::recorder::{Recording, TrackAssembler},
};

/// How the two tracks of a recording are stored; 16-bit PCM at 8 kHz.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Layout {
    /// Left what the peer said, right what it heard.
    #[default]
    Stereo,
    /// Both, added.
    Mixed,
    /// Only what the peer said.
    Said,
    /// Only what the peer heard.
    Heard,
}

impl Layout {
    fn channels(self) -> u16 {
        match self {
            Self::Stereo => 2,
            Self::Mixed | Self::Said | Self::Heard => 1,
        }
    }
}

/// A file that is complete and in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its length, ms.
    pub duration_ms: u64,
    /// Its size, bytes.
    pub bytes: u64,
    /// Samples that were lost because the disk did not keep up.
    pub overruns: u64,
}

/// Why a recording is not in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingError {
    /// What the system said.
    pub kind: io::ErrorKind,
    /// What could be written; a valid WAV file but for its last seconds. `None` when there is no file.
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

/// Writes recordings in a thread of its own. A file appears under its name when it is complete; until then it is
/// beside it as `.NAME.TAG.part`, readable up to about two seconds ago.
#[derive(Debug)]
pub struct RecordingWriter {
    requests: Option<Sender<Request>>,
    outcomes: Receiver<RecordingOutcome>,
    waker: Arc<AtomicWaker>,
    thread: Option<JoinHandle<()>>,
}

struct Request {
    tap: TapId,
    recording: Recording,
    path: PathBuf,
    layout: Layout,
}

impl RecordingWriter {
    /// Starts the thread.
    pub fn start() -> io::Result<Self> {
        let (requests, incoming) = mpsc::channel();
        let (outgoing, outcomes) = mpsc::channel();
        let waker = Arc::new(AtomicWaker::new());
        let disk =
            Disk { outgoing, waker: Arc::clone(&waker), jobs: Vec::new(), scratch: Vec::new(), files: 0 };
        let thread = Builder::new().name("recordings".into()).spawn(move || disk.run(&incoming))?;
        Ok(Self { requests: Some(requests), outcomes, waker, thread: Some(thread) })
    }

    /// Writes `recording` to `path` until its tap ends; then there is one outcome. Missing folders are created, an
    /// existing file is replaced at the end. The ring should hold at least a second, for slow disks more.
    pub fn write(&self, tap: TapId, recording: Recording, path: PathBuf, layout: Layout) {
        if let Some(requests) = &self.requests {
            // The thread ends after the sender only.
            let _ = requests.send(Request { tap, recording, path, layout });
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
        if let Some(thread) = self.thread.take() {
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

/// The thread's part.
struct Disk {
    outgoing: Sender<RecordingOutcome>,
    waker: Arc<AtomicWaker>,
    jobs: Vec<Job>,
    scratch: Vec<[i16; 2]>,
    /// Files created; makes temporary names unique.
    files: u64,
}

struct Job {
    tap: TapId,
    recording: Recording,
    assembler: TrackAssembler,
    layout: Layout,
    path: PathBuf,
    file: WavFile,
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
        let Request { tap, recording, path, layout } = request;
        self.files += 1;
        let tag = (u64::from(std::process::id()) << 32) | (self.files & 0xFFFF_FFFF);
        match WavFile::create(&path, layout.channels(), tag) {
            Ok(file) => {
                let assembler = TrackAssembler::new();
                self.jobs.push(Job { tap, recording, assembler, layout, path, file });
            }
            Err(error) => self.tell(tap, Err(RecordingError { kind: error.kind(), partial: None })),
        }
    }

    /// One round over all files.
    fn serve(&mut self, checkpoint: bool) {
        let mut index = 0;
        while let Some(job) = self.jobs.get_mut(index) {
            let written = job.take(&mut self.scratch, checkpoint);
            if written.is_ok() && !job.recording.is_finished() {
                index += 1;
                continue;
            }
            let job = self.jobs.swap_remove(index);
            match written {
                Ok(()) => self.end(job),
                Err(error) => self.fail(job, &error),
            }
        }
    }

    fn end(&mut self, mut job: Job) {
        let written = job.take(&mut self.scratch, false).and_then(|()| job.finish(&mut self.scratch));
        if let Err(error) = written {
            return self.fail(job, &error);
        }
        let (tap, path, overruns) = (job.tap, job.path, job.recording.overruns());
        let partial = job.file.temporary().to_owned();
        let result = match job.file.publish() {
            Ok((frames, bytes)) => Ok(RecordedFile { path, duration_ms: frames / 8, bytes, overruns }),
            Err(error) => Err(RecordingError { kind: error.kind(), partial: Some(partial) }),
        };
        self.tell(tap, result);
    }

    fn fail(&self, job: Job, error: &io::Error) {
        let partial = Some(job.file.temporary().to_owned());
        self.tell(job.tap, Err(RecordingError { kind: error.kind(), partial }));
    }

    fn tell(&self, tap: TapId, result: Result<RecordedFile, RecordingError>) {
        // Nobody listens any more when the writer is being dropped.
        let _ = self.outgoing.send((tap, result));
        self.waker.wake();
    }
}

impl Job {
    /// Moves what was recorded from the ring to the file.
    fn take(&mut self, scratch: &mut Vec<[i16; 2]>, checkpoint: bool) -> io::Result<()> {
        scratch.clear();
        let assembler = &mut self.assembler;
        self.recording.read(|track, at, samples| assembler.push(track, at, samples, scratch));
        self.append(scratch)?;
        if checkpoint { self.file.checkpoint() } else { Ok(()) }
    }

    /// Writes what still waits for the other track.
    fn finish(&mut self, scratch: &mut Vec<[i16; 2]>) -> io::Result<()> {
        scratch.clear();
        self.assembler.finish(scratch);
        self.append(scratch)
    }

    fn append(&mut self, frames: &[[i16; 2]]) -> io::Result<()> {
        match self.layout {
            Layout::Stereo => self.file.append(frames.iter().flatten().copied()),
            Layout::Mixed => self.file.append(frames.iter().map(|[said, heard]| said.saturating_add(*heard))),
            Layout::Said => self.file.append(frames.iter().map(|[said, _]| *said)),
            Layout::Heard => self.file.append(frames.iter().map(|[_, heard]| *heard)),
        }
    }
}

/// Time between two looks at the rings.
const ROUND: Duration = Duration::from_millis(100);
/// Time between two moments a file is readable up to.
const CHECKPOINT: Duration = Duration::from_secs(1);
