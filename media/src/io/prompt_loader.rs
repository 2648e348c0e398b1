//! Prompts from files, decoded once and shared.

use std::{
    collections::HashMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use crate::graph::prompt::{Prompt, PromptError};

/// Why a prompt cannot be played.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// The file cannot be read.
    Io(io::Error),
    /// The file is larger than [`MAX_PROMPT_FILE`] bytes.
    TooLarge(u64),
    /// The file is not a WAV file we can decode.
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

/// Prompts by path. A file that has changed is loaded again; who plays the old one plays it to its end. Cloning is
/// cheap and shares the cache.
#[derive(Debug, Clone)]
pub struct Prompts {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    entries: Mutex<Entries>,
    /// Audio kept at most, ms.
    budget_ms: u64,
}

#[derive(Debug, Default)]
struct Entries {
    by_path: HashMap<PathBuf, Arc<Mutex<Option<Loaded>>>>,
    /// Paths with their length in ms, least recently used first.
    usage: Vec<(PathBuf, u64)>,
}

#[derive(Debug)]
struct Loaded {
    version: Version,
    prompt: Arc<Prompt>,
}

/// What tells two contents of a file apart.
#[derive(Debug, PartialEq, Eq)]
struct Version {
    modified: Option<SystemTime>,
    bytes: u64,
}

impl Default for Prompts {
    fn default() -> Self {
        Self::new(DEFAULT_BUDGET_MS)
    }
}

impl Prompts {
    /// Keeps up to `budget_ms` of audio (32 bytes per ms), the most recently used prompts first.
    #[must_use]
    pub fn new(budget_ms: u64) -> Self {
        Self { shared: Arc::new(Shared { entries: Mutex::default(), budget_ms }) }
    }

    /// The prompt in a WAV file. Reads and decodes when it is not cached, so call it where blocking is allowed. When
    /// many ask for the same file at once, one loads it and the others wait.
    pub fn load(&self, path: &Path) -> Result<Arc<Prompt>, LoadError> {
        let entry = {
            let mut entries = lock(&self.shared.entries);
            Arc::clone(entries.by_path.entry(path.to_owned()).or_default())
        };
        let loaded = self.load_entry(path, &entry);
        let mut entries = lock(&self.shared.entries);
        match &loaded {
            Ok(prompt) => entries.used(path, &entry, u64::from(prompt.duration_ms()), self.shared.budget_ms),
            Err(_) => entries.forget(path),
        }
        loaded
    }

    fn load_entry(&self, path: &Path, entry: &Mutex<Option<Loaded>>) -> Result<Arc<Prompt>, LoadError> {
        let mut entry = lock(entry);
        let metadata = fs::metadata(path).map_err(LoadError::Io)?;
        let version = Version { modified: metadata.modified().ok(), bytes: metadata.len() };
        if let Some(loaded) = entry.as_ref().filter(|loaded| loaded.version == version) {
            return Ok(Arc::clone(&loaded.prompt));
        }
        if version.bytes > MAX_PROMPT_FILE {
            return Err(LoadError::TooLarge(version.bytes));
        }
        let bytes = fs::read(path).map_err(LoadError::Io)?;
        let prompt = Arc::new(Prompt::from_wav(&bytes).map_err(LoadError::Prompt)?);
        *entry = Some(Loaded { version, prompt: Arc::clone(&prompt) });
        Ok(prompt)
    }

    /// Number of prompts in the cache.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.shared.entries).usage.len()
    }
}

impl Entries {
    /// Notes the use of a prompt and drops the longest unused ones beyond the budget.
    fn used(&mut self, path: &Path, entry: &Arc<Mutex<Option<Loaded>>>, length_ms: u64, budget_ms: u64) {
        self.usage.retain(|(used, _)| used != path);
        self.usage.push((path.to_owned(), length_ms));
        self.by_path.insert(path.to_owned(), Arc::clone(entry));
        let mut kept: u64 = self.usage.iter().map(|(_, length_ms)| length_ms).sum();
        while kept > budget_ms && self.usage.len() > 1 {
            let (oldest, length_ms) = self.usage.remove(0);
            kept -= length_ms;
            self.by_path.remove(&oldest);
        }
    }

    fn forget(&mut self, path: &Path) {
        self.usage.retain(|(used, _)| used != path);
        self.by_path.remove(path);
    }
}

/// A panic while loading leaves the cache as it was: there is nothing to repair.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Largest file that is loaded, bytes: about 100 minutes at 8 kHz, 16 bits, mono.
pub const MAX_PROMPT_FILE: u64 = 96 << 20;
/// Two hours of audio, about 230 MB.
const DEFAULT_BUDGET_MS: u64 = 2 * 60 * 60 * 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn wav(samples: usize) -> Vec<u8> {
        let mut bytes = super::super::wav::header(1, samples as u64).to_vec();
        bytes.resize(bytes.len() + 2 * samples, 0);
        bytes
    }

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("offhook-prompts-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).expect("a folder for the test");
            Self(path)
        }

        fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, bytes).expect("a file for the test");
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_file_is_decoded_once_and_again_when_it_changes() {
        let folder = Folder::new("change");
        let path = folder.file("a.wav", &wav(800));
        let prompts = Prompts::default();
        let (Ok(first), Ok(again)) = (prompts.load(&path), prompts.clone().load(&path)) else {
            panic!("a WAV")
        };
        assert!(Arc::ptr_eq(&first, &again));
        folder.file("a.wav", &wav(1600));
        let Ok(changed) = prompts.load(&path) else { panic!("a WAV") };
        assert_eq!((first.duration_ms(), changed.duration_ms()), (100, 200));
        assert_eq!(prompts.count(), 1);
    }

    #[test]
    fn what_cannot_be_played_is_an_error_and_is_not_kept() {
        let folder = Folder::new("error");
        let prompts = Prompts::default();
        assert!(matches!(prompts.load(&folder.0.join("missing.wav")), Err(LoadError::Io(_))));
        let noise = folder.file("noise.wav", b"RIFF and nothing else");
        assert!(matches!(prompts.load(&noise), Err(LoadError::Prompt(_))));
        let path = folder.file("gone.wav", &wav(800));
        assert!(prompts.load(&path).is_ok());
        assert!(fs::remove_file(&path).is_ok());
        assert!(matches!(prompts.load(&path), Err(LoadError::Io(_))));
        assert_eq!(prompts.count(), 0);
    }

    #[test]
    fn the_longest_unused_prompt_goes_first() {
        let folder = Folder::new("budget");
        let paths: Vec<PathBuf> = (0..3).map(|n| folder.file(&format!("{n}.wav"), &wav(800))).collect();
        let prompts = Prompts::new(200);
        let load = |index: usize| prompts.load(&paths[index]).expect("a WAV");
        let (zero, one) = (load(0), load(1));
        assert!(Arc::ptr_eq(&zero, &load(0)));
        load(2);
        assert_eq!(prompts.count(), 2);
        assert!(Arc::ptr_eq(&zero, &load(0)));
        assert!(!Arc::ptr_eq(&one, &load(1)));
    }
}
