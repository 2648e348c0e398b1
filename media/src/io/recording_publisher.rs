//! Moves complete recordings to their places, in a thread of its own: waiting for the disk holds up no other recording.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{self, Read, Write as _},
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, Sender},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sha2::{Digest, Sha256};

use super::{
    growing_file::Complete,
    recording_settings::RecordingSettings,
    recording_writer::{Announcer, RecordedFile, RecordingError},
};
use crate::{
    command::TapId,
    graph::recorder::{Marker, Pause},
};

/// A recording whose files are complete.
pub(super) struct Finished {
    pub(super) tap: TapId,
    pub(super) settings: RecordingSettings,
    pub(super) started: SystemTime,
    pub(super) overruns: u64,
    pub(super) markers: Vec<Marker>,
    pub(super) pauses: Vec<Pause>,
    pub(super) files: Vec<Complete>,
}

/// Publishes what comes until nothing more can come.
pub(super) fn run(finished: &Receiver<Finished>, announcer: &Announcer) {
    for recording in finished {
        let partial = recording.files.first().map(|file| file.temporary.clone());
        let result = publish(&recording);
        announcer.tell(recording.tap, result.map_err(|error| RecordingError { kind: error.kind(), partial }));
    }
}

pub(super) type Outbox = Sender<Finished>;

fn publish(recording: &Finished) -> io::Result<RecordedFile> {
    let mut digests = Vec::new();
    for file in &recording.files {
        file.file.sync_all()?;
        digests.push(digest(&file.temporary)?);
    }
    for file in &recording.files {
        fs::rename(&file.temporary, &file.path)?;
    }
    let Some(first) = recording.files.first() else { return Err(io::ErrorKind::InvalidInput.into()) };
    let manifest = if recording.settings.manifest {
        let path = beside(&recording.settings.path, "", ".json");
        let temporary = beside(&path, ".", ".part");
        let mut file = File::create(&temporary)?;
        file.write_all(manifest(recording, &digests).as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        Some(path)
    } else {
        None
    };
    // Names are kept by the folder.
    if let Some(folder) = first.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder)?.sync_all()?;
    }
    Ok(RecordedFile {
        path: first.path.clone(),
        companion: recording.files.get(1).map(|file| file.path.clone()),
        manifest,
        duration_ms: first.frames * 1000 / u64::from(first.rate.max(1)),
        bytes: recording.files.iter().map(|file| file.bytes).sum(),
        rate: first.rate,
        channels: first.channels,
        sha256: digests.first().cloned().unwrap_or_default(),
        markers: recording.markers.clone(),
        overruns: recording.overruns,
    })
}

fn beside(path: &Path, before: &str, behind: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(before);
    name.push(path.file_name().unwrap_or_default());
    name.push(behind);
    path.with_file_name(name)
}

/// SHA-256 in hexadecimal.
fn digest(path: &Path) -> io::Result<String> {
    let (mut file, mut hash) = (File::open(path)?, Sha256::new());
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        hash.update(&buffer[..length]);
    }
    let mut text = String::new();
    for byte in hash.finalize() {
        // A string takes everything.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

/// The manifest, JSON (RFC 8259).
fn manifest(recording: &Finished, digests: &[String]) -> String {
    let list = |items: Vec<String>| {
        if items.is_empty() { "[]".to_owned() } else { format!("[\n    {}\n  ]", items.join(",\n    ")) }
    };
    let files = recording.files.iter().zip(digests).map(|(file, digest)| {
        let name = file.path.file_name().unwrap_or_default().to_string_lossy();
        format!(
            "{{ \"name\": {}, \"channels\": {}, \"bytes\": {}, \"sha256\": \"{digest}\" }}",
            quoted(&name),
            file.channels,
            file.bytes
        )
    });
    let markers = recording
        .markers
        .iter()
        .map(|marker| format!("{{ \"name\": {}, \"ms\": {} }}", quoted(&marker.name), marker.at_ms));
    let pauses = recording
        .pauses
        .iter()
        .map(|pause| format!("{{ \"ms\": {}, \"length_ms\": {} }}", pause.at_ms, pause.length_ms));
    let (rate, frames) = recording.files.first().map_or((0, 0), |file| (file.rate, file.frames));
    format!(
        "{{\n  \"format\": \"{}\",\n  \"layout\": \"{}\",\n  \"sample_rate\": {rate},\n  \"started\": \"{}\",\n  \
         \"duration_ms\": {},\n  \"lost_samples\": {},\n  \"files\": {},\n  \"markers\": {},\n  \"pauses\": {}\n}}\n",
        recording.settings.format.name(),
        recording.settings.layout.name(),
        timestamp(recording.started),
        frames * 1000 / u64::from(rate.max(1)),
        recording.overruns,
        list(files.collect()),
        list(markers.collect()),
        list(pauses.collect()),
    )
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\0'..='\x1F' => {
                // A string takes everything.
                let _ = write!(quoted, "\\u{:04x}", u32::from(character));
            }
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

/// As RFC 3339 has it, in UTC with milliseconds.
fn timestamp(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Counted from 1 March of the year 0, so that the day that is not always there comes last.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) =
        if month < 10 { (year + era * 400, month + 3) } else { (year + era * 400 + 1, month - 9) };
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_with_leap_years() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000Z"),
            (1_735_689_600, "2025-01-01T00:00:00.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn what_json_does_not_allow_is_escaped() {
        assert_eq!(quoted("a \"b\" \\ \n ä"), "\"a \\\"b\\\" \\\\ \\u000a ä\"");
    }
}
