//! Recordings to play: decoded off the workers, shared where they are short, streamed where they are long.
//!
//! A recording is named by a [`Key`] of everything that makes it what it is. Whoever asks for it again hears the
//! same [`Prompt`] without any work, as long as it is kept; many who ask at once wait for one.

mod feeder;
mod store;

use std::{
    collections::{BTreeMap, VecDeque, btree_map::Entry},
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    thread::Builder,
    time::{Duration, Instant, UNIX_EPOCH},
};

use atomic_waker::AtomicWaker;
use sha2::{Digest, Sha256};

use super::audio_file::{Audio, AudioFile};
use crate::graph::{
    player::Piece,
    prompt::{Prompt, PromptError},
    stream::stream,
};
use feeder::{Job, Listener};
use store::{Disk, Memory};

/// Why a prompt cannot be played.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// The file cannot be read.
    Io(io::Error),
    /// The file is larger than [`MAX_PROMPT_FILE`] bytes.
    TooLarge(u64),
    /// The file is not one we can decode.
    Prompt(PromptError),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot read the prompt: {error}"),
            Self::TooLarge(bytes) => write!(f, "the prompt has {bytes} bytes, more than {MAX_PROMPT_FILE}"),
            Self::Prompt(error) => write!(f, "cannot decode the prompt: {error}"),
        }
    }
}

impl std::error::Error for LoadError {}

/// Everything that makes a recording what it is, as one number (SHA-256).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key([u8; 32]);

impl Key {
    /// The key of named values. Their order counts.
    pub fn of<'a>(values: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut hash = Sha256::new();
        for (name, value) in values {
            for text in [name.as_bytes(), value] {
                hash.update((text.len() as u64).to_le_bytes());
                hash.update(text);
            }
        }
        Self(hash.finalize().into())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// How long a recording stays what it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keep {
    /// It must not be kept.
    pub never: bool,
    /// After that its origin is asked again; never where `None`.
    pub fresh: Option<Duration>,
    /// What the origin calls this version.
    pub version: Option<String>,
}

/// What opening a recording gives.
pub enum Opened {
    /// Audio from the beginning.
    Audio(Box<dyn Audio>, Keep),
    /// The version that is kept is still that of the origin.
    Unchanged(Keep),
}

/// Where a recording comes from. Called on threads where waiting is allowed; `known` is the version that is kept.
pub type Open = Arc<dyn Fn(Option<&str>) -> Result<Opened, String> + Send + Sync>;

/// Something to play, not opened yet.
#[derive(Clone)]
pub struct Recording {
    /// What tells it apart from all others.
    pub key: Key,
    /// What events call it.
    pub name: String,
    /// Reading it may wait for somebody: a network, another program.
    pub slow: bool,
    /// It is worth a place on disk.
    pub store: bool,
    /// Opens it, again where it has to begin anew.
    pub open: Open,
}

impl Recording {
    /// A file of any format that [`AudioFile`] reads. When the file changes it is another recording.
    #[must_use]
    pub fn file(path: &Path) -> Self {
        let metadata = fs::metadata(path).ok();
        let modified = metadata.as_ref().and_then(|metadata| metadata.modified().ok());
        let modified = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        let length = metadata.map_or(0, |metadata| metadata.len());
        let key = Key::of([
            ("file", path.as_os_str().as_encoded_bytes()),
            ("modified", &modified.as_nanos().to_le_bytes()[..]),
            ("length", &length.to_le_bytes()[..]),
        ]);
        let (name, path) = (path.display().to_string(), path.to_owned());
        let open: Open = Arc::new(move |_| {
            let file = fs::File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
                return Err(format!("{}: not a file", path.display()));
            }
            let audio = AudioFile::open(file, extension(&path))
                .map_err(|error| format!("{}: {error}", path.display()))?;
            Ok(Opened::Audio(Box::new(audio), Keep::default()))
        });
        Self { key, name, slow: false, store: false, open }
    }

    /// A file in memory.
    #[must_use]
    pub fn bytes(bytes: Arc<[u8]>) -> Self {
        let key = Key::of([("bytes", &*bytes)]);
        let name = format!("{} bytes", bytes.len());
        let open: Open = Arc::new(move |_| {
            let audio = AudioFile::from_bytes(Arc::clone(&bytes)).map_err(|error| error.to_string())?;
            Ok(Opened::Audio(Box::new(audio), Keep::default()))
        });
        Self { key, name, slow: false, store: false, open }
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recording({})", self.name)
    }
}

/// How recordings are kept.
#[derive(Debug, Clone)]
pub struct PromptsConfig {
    /// Memory for prompts, bytes; those least recently asked for go first. The default is 256 MB.
    pub memory: usize,
    /// Recordings of more samples are streamed to each listener and not kept. The default is 8 million: 17 minutes
    /// at 8 kHz, 3 at 48 kHz.
    pub longest: usize,
    /// How far a stream runs ahead of its listener, ms. The default is 4,000.
    pub ahead_ms: u32,
    /// The most that any listener hears, samples per second: 8, 16 or 48 kHz. The default is 48,000.
    pub ceiling: u32,
    /// Threads that decode. The default is 2.
    pub threads: usize,
    /// Downloads and syntheses that run at a time, each on a thread of its own. The default is 256.
    pub slow: usize,
    /// Where recordings that are worth it are kept beyond the life of the process, and how many bytes.
    pub disk: Option<(PathBuf, u64)>,
}

impl Default for PromptsConfig {
    fn default() -> Self {
        Self {
            memory: 256 << 20,
            longest: 8_000_000,
            ahead_ms: 4_000,
            ceiling: 48_000,
            threads: 2,
            slow: 256,
            disk: None,
        }
    }
}

/// News of recordings that were asked for ahead of time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PromptEvent {
    /// So many ms are there.
    Progress(Key, String, u32),
    /// It is there, and so many ms long.
    Prepared(Key, String, u32),
    /// It cannot be had, and why.
    Failed(Key, String, String),
}

/// Counts of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PromptGauges {
    /// Prompts in memory.
    pub prompts: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Recordings being decoded, downloaded or synthesised.
    pub running: usize,
    /// Since the start: asked for and found in memory.
    pub hits: u64,
    /// Since the start: found on disk.
    pub disk_hits: u64,
    /// Since the start: opened anew.
    pub opened: u64,
}

/// Recordings, kept in memory and on disk. Cloning is cheap and shares all of it; the threads end with the last one.
#[derive(Clone)]
pub struct Prompts {
    shared: Arc<Shared>,
    _life: Arc<Life>,
}

struct Life(Arc<Shared>);

impl Drop for Life {
    fn drop(&mut self) {
        self.0.lock().stop = true;
        self.0.bell.notify_all();
    }
}

struct Shared {
    config: PromptsConfig,
    state: Mutex<State>,
    /// Rings when there is work.
    bell: Condvar,
    waker: AtomicWaker,
    disk: Option<Disk>,
}

#[derive(Default)]
struct State {
    memory: Memory,
    queue: VecDeque<Job>,
    /// Recordings under way, and who else waits for them.
    flights: BTreeMap<Key, Vec<Listener>>,
    events: VecDeque<PromptEvent>,
    threads: usize,
    slow: usize,
    running: usize,
    opened: u64,
    disk_hits: u64,
    stop: bool,
}

impl Shared {
    /// A panic elsewhere leaves whole values behind: there is nothing to repair.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives work to a thread, a new one where there are too few.
    fn begin(self: &Arc<Self>, mut state: MutexGuard<'_, State>, job: Job) {
        let slow = job.is_slow();
        if slow && state.slow >= self.config.slow {
            drop(state);
            job.fail("too many downloads and syntheses at a time", self);
            return;
        }
        if slow {
            state.slow += 1;
            drop(state);
            let shared = Arc::clone(self);
            if Builder::new().name("prompt".into()).spawn(move || feeder::run_alone(&shared, job)).is_err() {
                // Its listener sees that nobody writes.
                self.lock().slow -= 1;
            }
            return;
        }
        state.queue.push_back(job);
        let missing = state.threads < self.config.threads.max(1);
        state.threads += usize::from(missing);
        drop(state);
        if missing {
            let shared = Arc::clone(self);
            if Builder::new().name("prompts".into()).spawn(move || feeder::run(&shared)).is_err() {
                self.lock().threads -= 1;
            }
        }
        self.bell.notify_one();
    }

    fn tell(&self, event: PromptEvent) {
        let mut state = self.lock();
        if state.events.len() < MAX_EVENTS {
            state.events.push_back(event);
        }
        drop(state);
        self.waker.wake();
    }
}

impl Default for Prompts {
    fn default() -> Self {
        Self::new(PromptsConfig::default())
    }
}

impl fmt::Debug for Prompts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prompts({:?})", self.gauges())
    }
}

impl Prompts {
    /// Nothing kept yet. Threads start when they are needed.
    #[must_use]
    pub fn new(config: PromptsConfig) -> Self {
        let disk = config.disk.clone().map(|(root, bytes)| Disk::new(root, bytes));
        let state = State { memory: Memory::new(config.memory), ..State::default() };
        let shared = Arc::new(Shared {
            config,
            state: Mutex::new(state),
            bell: Condvar::new(),
            waker: AtomicWaker::new(),
            disk,
        });
        Self { _life: Arc::new(Life(Arc::clone(&shared))), shared }
    }

    /// The prompt in a file of any format that [`AudioFile`] reads. Decodes on this thread when it is not kept, so
    /// call it where waiting is allowed.
    ///
    /// # Errors
    /// When it cannot be read, is too large to be kept, or is no audio.
    pub fn load(&self, path: &Path) -> Result<Arc<Prompt>, LoadError> {
        let metadata = fs::metadata(path).map_err(LoadError::Io)?;
        let recording = Recording::file(path);
        if let Some(found) = self.shared.lock().memory.find(&recording.key, Instant::now()).fresh() {
            return Ok(found);
        }
        if metadata.len() > MAX_PROMPT_FILE {
            return Err(LoadError::TooLarge(metadata.len()));
        }
        let file = fs::File::open(path).map_err(LoadError::Io)?;
        let mut audio = AudioFile::open(file, extension(path)).map_err(LoadError::Prompt)?;
        let malformed = |what: String| LoadError::Prompt(PromptError::Malformed(what));
        let mut samples = Vec::new();
        while audio.read(&mut samples).map_err(malformed)? {
            if 2 * samples.len() as u64 > MAX_PROMPT_FILE {
                return Err(LoadError::TooLarge(2 * samples.len() as u64));
            }
        }
        if samples.is_empty() {
            return Err(LoadError::Prompt(PromptError::Empty));
        }
        let prompt = Arc::new(Prompt::with_ceiling(&samples, audio.rate(), self.shared.config.ceiling));
        Ok(self.shared.lock().memory.insert(recording.key, prompt, &Keep::default(), Instant::now()))
    }

    /// A recording to be played now: a prompt where it is kept, otherwise a stream that a thread begins to fill.
    /// `loops` says that it is heard more than once in a playback.
    #[must_use]
    pub fn piece(&self, recording: &Recording, loops: bool) -> Piece {
        let mut state = self.shared.lock();
        if let Some(prompt) = state.memory.find(&recording.key, Instant::now()).fresh() {
            return Piece::Prompt(prompt);
        }
        let (writer, stream) = stream(self.shared.config.ceiling, self.shared.config.ahead_ms);
        let listener = Listener::new(writer, loops);
        if let Some(waiting) = state.flights.get_mut(&recording.key) {
            waiting.push(listener);
        } else {
            state.flights.insert(recording.key, Vec::new());
            self.shared.begin(state, Job::new(recording.clone(), Some(listener), true));
        }
        Piece::Stream(Box::new(stream))
    }

    /// Fetches a recording ahead of time; [`PromptEvent`]s tell of it.
    pub fn prepare(&self, recording: &Recording) {
        let mut state = self.shared.lock();
        if let Some(prompt) = state.memory.find(&recording.key, Instant::now()).fresh() {
            drop(state);
            let name = recording.name.clone();
            self.shared.tell(PromptEvent::Prepared(recording.key, name, prompt.duration_ms()));
        } else if let Entry::Vacant(flight) = state.flights.entry(recording.key) {
            flight.insert(Vec::new());
            self.shared.begin(state, Job::new(recording.clone(), None, true));
        }
    }

    /// The next news; wakes the task when there are some later.
    pub fn poll_event(&self, cx: &mut Context<'_>) -> Poll<PromptEvent> {
        if let Some(event) = self.try_event() {
            return Poll::Ready(event);
        }
        self.shared.waker.register(cx.waker());
        self.try_event().map_or(Poll::Pending, Poll::Ready)
    }

    /// The next news, if there are some.
    #[must_use]
    pub fn try_event(&self) -> Option<PromptEvent> {
        self.shared.lock().events.pop_front()
    }

    /// Counts of now.
    #[must_use]
    pub fn gauges(&self) -> PromptGauges {
        let state = self.shared.lock();
        PromptGauges {
            prompts: state.memory.count(),
            bytes: state.memory.bytes(),
            running: state.running + state.queue.len(),
            hits: state.memory.hits,
            disk_hits: state.disk_hits,
            opened: state.opened,
        }
    }
}

fn extension(path: &Path) -> Option<&str> {
    path.extension().and_then(|extension| extension.to_str())
}

/// Largest file that is loaded whole, bytes: about 100 minutes at 8 kHz, 16 bits, mono.
pub const MAX_PROMPT_FILE: u64 = 96 << 20;
/// News that nobody fetches.
const MAX_EVENTS: usize = 10_000;

#[cfg(test)]
mod tests;
