//! Where recordings are kept: decoded in memory, as WAV files on disk.

use std::{
    collections::BTreeMap,
    fs, io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{
    super::audio_file::{Audio, AudioFile},
    Keep, Key,
};
use crate::graph::prompt::Prompt;

/// Prompts, the least recently used of which go first.
#[derive(Debug, Default)]
pub(super) struct Memory {
    budget: usize,
    entries: BTreeMap<Key, Entry>,
    /// Keys by their last use.
    usage: BTreeMap<u64, Key>,
    bytes: usize,
    uses: u64,
    pub(super) hits: u64,
}

#[derive(Debug)]
struct Entry {
    prompt: Arc<Prompt>,
    until: Option<Instant>,
    version: Option<String>,
    used: u64,
}

/// What is known of a recording.
#[derive(Debug)]
pub(super) enum Found {
    Nothing,
    Fresh(Arc<Prompt>),
    /// Its origin has to be asked; its version.
    Stale(Arc<Prompt>, Option<String>),
}

impl Found {
    pub(super) fn fresh(self) -> Option<Arc<Prompt>> {
        match self {
            Self::Fresh(prompt) => Some(prompt),
            Self::Nothing | Self::Stale(..) => None,
        }
    }
}

impl Memory {
    pub(super) fn new(budget: usize) -> Self {
        Self { budget, ..Self::default() }
    }

    pub(super) fn find(&mut self, key: &Key, now: Instant) -> Found {
        let Some(entry) = self.entries.get_mut(key) else { return Found::Nothing };
        self.uses += 1;
        self.usage.remove(&entry.used);
        entry.used = self.uses;
        self.usage.insert(self.uses, *key);
        if entry.until.is_some_and(|until| until <= now) {
            return Found::Stale(Arc::clone(&entry.prompt), entry.version.clone());
        }
        self.hits += 1;
        Found::Fresh(Arc::clone(&entry.prompt))
    }

    pub(super) fn insert(&mut self, key: Key, prompt: Arc<Prompt>, keep: &Keep, now: Instant) -> Arc<Prompt> {
        self.remove(&key);
        if keep.never {
            return prompt;
        }
        self.uses += 1;
        self.bytes += prompt.bytes();
        self.usage.insert(self.uses, key);
        let until = keep.fresh.and_then(|fresh| now.checked_add(fresh));
        let version = keep.version.clone();
        let entry = Entry { prompt: Arc::clone(&prompt), until, version, used: self.uses };
        self.entries.insert(key, entry);
        while self.bytes > self.budget && self.entries.len() > 1 {
            let Some((_, oldest)) = self.usage.first_key_value().map(|(used, key)| (*used, *key)) else {
                break;
            };
            self.remove(&oldest);
        }
        prompt
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.usage.remove(&entry.used);
            self.bytes -= entry.prompt.bytes();
        }
    }

    pub(super) fn count(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Recordings that outlive the process: one WAV file and one small text file each.
#[derive(Debug)]
pub(super) struct Disk {
    root: PathBuf,
    budget: u64,
    /// Bytes there, as far as known; `u64::MAX` before the folder was read.
    bytes: AtomicU64,
}

/// A recording on disk.
pub(super) struct Stored {
    pub(super) audio: Box<dyn Audio>,
    pub(super) fresh: bool,
    pub(super) keep: Keep,
}

impl Disk {
    pub(super) fn new(root: PathBuf, budget: u64) -> Self {
        Self { root, budget, bytes: AtomicU64::new(u64::MAX) }
    }

    pub(super) fn find(&self, key: &Key) -> Option<Stored> {
        let path = self.path(key, "wav");
        let file = fs::File::open(&path).ok()?;
        let Ok(audio) = AudioFile::open(file, Some("wav")) else {
            // Damaged: it is fetched again.
            let _ = fs::remove_file(&path);
            return None;
        };
        let notes = fs::read_to_string(self.path(key, "txt")).unwrap_or_default();
        let note = |name: &str| notes.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let until = note("until").and_then(|until| until.parse::<u64>().ok());
        let left = until.map(|until| until.saturating_sub(seconds(SystemTime::now())));
        let version = note("version").map(str::to_owned);
        // The least recently used go first.
        if let Ok(file) = fs::OpenOptions::new().append(true).open(&path) {
            let _ = file.set_modified(SystemTime::now());
        }
        let keep = Keep { never: false, fresh: left.map(Duration::from_secs), version };
        Some(Stored { audio: Box::new(audio), fresh: left != Some(0), keep })
    }

    /// Keeps a recording. A disk that is full or gone costs no call anything.
    pub(super) fn insert(
        &self,
        key: &Key,
        name: &str,
        samples: &[i16],
        rate: u32,
        keep: &Keep,
    ) -> io::Result<()> {
        let path = self.path(key, "wav");
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let part = path.with_extension(format!("part-{}", std::process::id()));
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let written = (|| {
            let mut writer = hound::WavWriter::create(&part, spec)?;
            for &sample in samples {
                writer.write_sample(sample)?;
            }
            writer.finalize()
        })();
        if let Err(error) = written {
            let _ = fs::remove_file(&part);
            return Err(io::Error::other(error));
        }
        self.note(key, name, keep)?;
        fs::rename(&part, &path)?;
        let added = 44 + 2 * samples.len() as u64;
        let known = self.bytes.load(Ordering::Relaxed);
        if known == u64::MAX || known + added > self.budget {
            self.clean();
        } else {
            self.bytes.store(known + added, Ordering::Relaxed);
        }
        Ok(())
    }

    /// What is known of a recording besides its sound.
    pub(super) fn note(&self, key: &Key, name: &str, keep: &Keep) -> io::Result<()> {
        let mut notes = format!("name: {}\n", name.replace(['\n', '\r'], " "));
        if let Some(fresh) = keep.fresh {
            notes.push_str(&format!(
                "until: {}\n",
                seconds(SystemTime::now()).saturating_add(fresh.as_secs())
            ));
        }
        if let Some(version) = keep.version.as_deref().filter(|version| !version.contains(['\n', '\r'])) {
            notes.push_str(&format!("version: {version}\n"));
        }
        let path = self.path(key, "txt");
        let part = path.with_extension(format!("note-{}", std::process::id()));
        fs::write(&part, notes)?;
        fs::rename(&part, &path)
    }

    /// Removes what was not used for longest until there is room again.
    fn clean(&self) {
        let folders = fs::read_dir(&self.root).into_iter().flatten().flatten();
        let files = folders.flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten().flatten());
        let mut found: Vec<(SystemTime, u64, PathBuf)> = files
            .filter(|file| file.path().extension().is_some_and(|extension| extension == "wav"))
            .filter_map(|file| {
                let metadata = file.metadata().ok()?;
                Some((metadata.modified().ok()?, metadata.len(), file.path()))
            })
            .collect();
        found.sort();
        let mut bytes: u64 = found.iter().map(|(_, length, _)| length).sum();
        // A tenth more, so that not every new one reads the folder.
        let goal = if bytes > self.budget { self.budget / 10 * 9 } else { self.budget };
        for (_, length, path) in found {
            if bytes <= goal {
                break;
            }
            if fs::remove_file(&path).is_ok() {
                bytes -= length;
                let _ = fs::remove_file(path.with_extension("txt"));
            }
        }
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    fn path(&self, key: &Key, extension: &str) -> PathBuf {
        let name = key.to_string();
        self.root.join(&name[..2]).join(format!("{name}.{extension}"))
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
