//! Recordings on disk.
#![cfg(feature = "io")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "these tests are about the OS")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use offhook_media::{
    TapId,
    graph::recorder::{Recorder, Track, recorder},
    io::{Layout, RecordingOutcome, RecordingWriter},
};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("offhook-recordings-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder for the test");
        Self(path)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("the folder").flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn outcome(writer: &mut RecordingWriter) -> RecordingOutcome {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        if let Some(outcome) = writer.try_outcome() {
            return outcome;
        }
        std::thread::yield_now();
    }
    panic!("no outcome in time");
}

fn frames(path: &Path, channels: u16) -> Vec<Vec<i16>> {
    let mut reader = hound::WavReader::open(path).expect("a WAV file");
    let spec = reader.spec();
    assert_eq!((spec.channels, spec.sample_rate, spec.bits_per_sample), (channels, 8000, 16));
    let samples: Vec<i16> = reader.samples().map(|sample| sample.expect("a sample")).collect();
    samples.chunks(usize::from(channels)).map(<[i16]>::to_vec).collect()
}

/// 100 ms said, 100 ms of nothing, 100 ms heard.
fn say_and_hear(recorder: &mut Recorder) {
    for frame in 0..5 {
        recorder.push(Track::Said, frame * 160, &[1000; 160]);
        recorder.push(Track::Heard, 1600 + frame * 160, &[-2000; 160]);
    }
}

#[test]
fn said_is_left_heard_is_right_and_gaps_are_silence() {
    let folder = Folder::new("stereo");
    let path = folder.0.join("deep/in/call.wav");
    let mut writer = RecordingWriter::start().expect("a writer");
    let (mut recorder, recording) = recorder(1000);
    writer.write(TapId(4), recording, path.clone(), Layout::Stereo);
    say_and_hear(&mut recorder);
    drop(recorder);
    let (tap, result) = outcome(&mut writer);
    let file = result.expect("a recorded file");
    assert_eq!((tap, file.duration_ms, file.overruns), (TapId(4), 300, 0));
    assert_eq!(file.bytes, fs::metadata(&path).expect("the file").len());
    let frames = frames(&path, 2);
    assert_eq!(frames.len(), 2400);
    assert!(frames[..800].iter().all(|frame| frame == &[1000, 0]));
    assert!(frames[800..1600].iter().all(|frame| frame == &[0, 0]));
    assert!(frames[1600..].iter().all(|frame| frame == &[0, -2000]));
}

#[test]
fn one_channel_holds_the_sum_or_one_side() {
    let folder = Folder::new("mono");
    let mut writer = RecordingWriter::start().expect("a writer");
    for (layout, expected) in [(Layout::Mixed, -1000), (Layout::Said, 1000), (Layout::Heard, -2000)] {
        let path = folder.0.join(format!("{layout:?}.wav"));
        let (mut recorder, recording) = recorder(1000);
        recorder.push(Track::Said, 0, &[1000; 160]);
        recorder.push(Track::Heard, 0, &[-2000; 160]);
        drop(recorder);
        writer.write(TapId(1), recording, path.clone(), layout);
        assert!(outcome(&mut writer).1.is_ok());
        assert_eq!(frames(&path, 1), vec![vec![expected]; 160]);
    }
}

#[test]
fn a_file_appears_complete_or_not_at_all() {
    let folder = Folder::new("atomic");
    let path = folder.0.join("call.wav");
    fs::write(&path, b"the one before").expect("a file");
    let writer = RecordingWriter::start().expect("a writer");
    let (mut recorder, recording) = recorder(2000);
    writer.write(TapId(9), recording, path.clone(), Layout::Stereo);
    say_and_hear(&mut recorder);
    recorder.push(Track::Heard, 9_440, &[-2000; 160]);

    // Until the end it grows under another name and is readable there.
    let deadline = Instant::now() + Duration::from_secs(10);
    let readable = loop {
        let part = folder.names().into_iter().find(|name| name.ends_with(".part"));
        if let Some(part) = part
            && let Ok(reader) = hound::WavReader::open(folder.0.join(part))
            && reader.duration() > 0
        {
            break reader.duration();
        }
        assert!(Instant::now() < deadline, "no readable part in time");
        std::thread::yield_now();
    };
    assert!(readable >= 1600, "all but the last second");
    assert_eq!(fs::read(&path).expect("the file"), b"the one before");

    let outcomes = writer.stop();
    assert!(matches!(&outcomes[..], [(TapId(9), Ok(file))] if file.duration_ms == 1200));
    assert_eq!(frames(&path, 2).len(), 9600);
    assert_eq!(folder.names(), ["call.wav"]);
    drop(recorder);
}

#[test]
fn a_file_that_cannot_be_written_is_reported_and_the_others_go_on() {
    let folder = Folder::new("errors");
    let mut writer = RecordingWriter::start().expect("a writer");
    let file = folder.0.join("file");
    fs::write(&file, b"").expect("a file");
    let (_kept, recording) = recorder(1000);
    writer.write(TapId(1), recording, file.join("below.wav"), Layout::Stereo);
    let (tap, result) = outcome(&mut writer);
    assert_eq!(tap, TapId(1));
    assert!(result.is_err_and(|error| error.partial.is_none()));

    let (mut recorder, recording) = recorder(1000);
    writer.write(TapId(2), recording, folder.0.join("good.wav"), Layout::Said);
    say_and_hear(&mut recorder);
    drop(recorder);
    let (tap, result) = outcome(&mut writer);
    assert!(tap == TapId(2) && result.is_ok());
}

#[test]
fn a_tap_that_nobody_used_gives_an_empty_file() {
    let folder = Folder::new("empty");
    let path = folder.0.join("empty.wav");
    let mut writer = RecordingWriter::start().expect("a writer");
    let (recorder, recording) = recorder(1000);
    drop(recorder);
    writer.write(TapId(3), recording, path.clone(), Layout::Stereo);
    assert!(outcome(&mut writer).1.is_ok_and(|file| file.duration_ms == 0 && file.bytes == 44));
    assert!(frames(&path, 2).is_empty());
}
