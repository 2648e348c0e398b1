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
    dsp::{
        detect::tone_level,
        level::dbfs,
        tone::{ToneGenerator, ToneSpec},
    },
    graph::recorder::{Recorder, Track, recorder},
    io::{Layout, RecordedFile, RecordingFormat, RecordingOutcome, RecordingSettings, RecordingWriter},
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
    writer.write(TapId(4), recording, RecordingSettings::new(&path));
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
        writer.write(TapId(1), recording, RecordingSettings { layout, ..RecordingSettings::new(&path) });
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
    writer.write(TapId(9), recording, RecordingSettings::new(&path));
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
    let mut names = folder.names();
    names.sort();
    assert_eq!(names, ["call.wav", "call.wav.json"]);
    drop(recorder);
}

#[test]
fn a_file_that_cannot_be_written_is_reported_and_the_others_go_on() {
    let folder = Folder::new("errors");
    let mut writer = RecordingWriter::start().expect("a writer");
    let file = folder.0.join("file");
    fs::write(&file, b"").expect("a file");
    let (_kept, recording) = recorder(1000);
    writer.write(TapId(1), recording, RecordingSettings::new(file.join("below.wav")));
    let (tap, result) = outcome(&mut writer);
    assert_eq!(tap, TapId(1));
    assert!(result.is_err_and(|error| error.partial.is_none()));

    let (mut recorder, recording) = recorder(1000);
    writer.write(
        TapId(2),
        recording,
        RecordingSettings { layout: Layout::Said, ..RecordingSettings::new(folder.0.join("good.wav")) },
    );
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
    writer.write(TapId(3), recording, RecordingSettings::new(&path));
    assert!(outcome(&mut writer).1.is_ok_and(|file| file.duration_ms == 0 && file.bytes == 44));
    assert!(frames(&path, 2).is_empty());
}

/// One second of a tone said, another heard 300 ms later, in frames of 20 ms of the rate.
fn two_tones(recorder: &mut Recorder, rate: u32) {
    let frame = rate as usize / 50;
    let tone = |hz: f32| {
        let mut samples = vec![0; rate as usize];
        ToneGenerator::new(ToneSpec::continuous(hz, -10.0), rate).fill(&mut samples);
        samples
    };
    let (said, heard) = (tone(600.0), tone(1500.0));
    for number in 0..50 {
        let at = number as u64 * 160;
        recorder.push_at_rate(Track::Said, at, &said[number * frame..][..frame], rate);
        recorder.push_at_rate(Track::Heard, 2400 + at, &heard[number * frame..][..frame], rate);
    }
}

/// Rate and channels of samples.
type Audio = (u32, Vec<Vec<i16>>);

fn split(rate: u32, channels: usize, interleaved: &[i16]) -> Audio {
    (
        rate,
        (0..channels)
            .map(|channel| interleaved.iter().skip(channel).step_by(channels).copied().collect())
            .collect(),
    )
}

fn read_wav(path: &Path) -> Audio {
    let mut reader = hound::WavReader::open(path).expect("a WAV file");
    let samples: Vec<i16> = reader.samples().map(|sample| sample.expect("a sample")).collect();
    split(reader.spec().sample_rate, usize::from(reader.spec().channels), &samples)
}

fn read_flac(path: &Path) -> Audio {
    let mut reader = claxon::FlacReader::open(path).expect("a FLAC file");
    let info = reader.streaminfo();
    let samples: Vec<i16> = reader.samples().map(|sample| sample.expect("a sample") as i16).collect();
    assert_eq!(info.samples, Some(samples.len() as u64 / u64::from(info.channels)));
    split(info.sample_rate, info.channels as usize, &samples)
}

/// The packets of an Ogg file and the position of its last page.
fn ogg_packets(bytes: &[u8]) -> (Vec<Vec<u8>>, u64) {
    let (mut packets, mut at, mut end) = (vec![Vec::new()], 0, 0);
    while at < bytes.len() {
        assert_eq!(&bytes[at..at + 4], b"OggS");
        end = u64::from_le_bytes(bytes[at + 6..at + 14].try_into().expect("8 bytes"));
        let count = usize::from(bytes[at + 26]);
        let segments = &bytes[at + 27..at + 27 + count];
        at += 27 + count;
        for &segment in segments {
            let length = usize::from(segment);
            packets.last_mut().expect("one").extend_from_slice(&bytes[at..at + length]);
            at += length;
            if segment < 255 {
                packets.push(Vec::new());
            }
        }
    }
    packets.pop();
    (packets, end)
}

/// Mono at 48 kHz, as a player would give it.
fn read_opus(path: &Path) -> Vec<i16> {
    let (packets, end) = ogg_packets(&fs::read(path).expect("the file"));
    assert_eq!(&packets[0][..8], b"OpusHead");
    assert_eq!(&packets[1][..8], b"OpusTags");
    let pre_skip = usize::from(u16::from_le_bytes([packets[0][10], packets[0][11]]));
    let mut decoder = offhook_media::codec::opus::Decoder::new(48_000);
    let mut samples = Vec::new();
    for packet in &packets[2..] {
        let mut out = [0; 5760];
        let length = decoder.decode(packet, &mut out);
        assert_eq!(length, 960);
        samples.extend_from_slice(&out[..length]);
    }
    samples.truncate(end as usize);
    samples.split_off(pre_skip)
}

/// What `two_tones` makes of a channel: a tone from `begin` to `begin` + 1 s, silence else.
fn assert_tone(samples: &[i16], rate: u32, hz: f32, begin_ms: usize) {
    let at = |ms: usize| (rate as usize / 1000 * ms).min(samples.len());
    let inside = &samples[at(begin_ms + 20)..at(begin_ms + 980)];
    assert!((tone_level(inside, rate, hz) + 13.01).abs() < 1.0, "{hz} Hz: {}", tone_level(inside, rate, hz));
    for outside in [&samples[..at(begin_ms.saturating_sub(10))], &samples[at(begin_ms + 1010)..]] {
        assert!(outside.is_empty() || dbfs(outside) < -45.0, "{hz} Hz: {}", dbfs(outside));
    }
}

fn record(settings: RecordingSettings, rate: u32) -> RecordedFile {
    let mut writer = RecordingWriter::start().expect("a writer");
    let (mut recorder, recording) = recorder(20_000);
    two_tones(&mut recorder, rate);
    drop(recorder);
    writer.write(TapId(1), recording, settings);
    outcome(&mut writer).1.expect("a recorded file")
}

#[test]
fn every_format_and_rate_holds_both_parties_in_their_places() {
    let folder = Folder::new("formats");
    for rate in [8_000, 16_000, 48_000] {
        for (name, read) in [("call.wav", read_wav as fn(&Path) -> Audio), ("call.flac", read_flac)] {
            let file = record(RecordingSettings::new(folder.0.join(name)), rate);
            assert_eq!((file.rate, file.channels, file.duration_ms), (rate, 2, 1300), "{name}");
            let (found, channels) = read(&file.path);
            assert_eq!(found, rate);
            assert_eq!(channels[0].len(), rate as usize / 10 * 13);
            assert_tone(&channels[0], rate, 600.0, 0);
            assert_tone(&channels[1], rate, 1500.0, 300);
        }
        let file = record(RecordingSettings::new(folder.0.join("stereo.opus")), rate);
        assert_eq!((file.rate, file.channels, file.duration_ms), (rate, 2, 1300));
        assert_eq!(read_opus(&file.path).len(), 62_400);
        let layout = Layout::Heard;
        let file =
            record(RecordingSettings { layout, ..RecordingSettings::new(folder.0.join("heard.ogg")) }, rate);
        let samples = read_opus(&file.path);
        assert_eq!(samples.len(), 62_400, "to the sample");
        assert_tone(&samples, 48_000, 1500.0, 300);
        assert!(file.bytes < 14_000, "{}", file.bytes);
    }
}

#[test]
fn a_recording_can_have_another_rate_than_the_call() {
    let folder = Folder::new("rates");
    for (from, to) in [(48_000, 8_000), (8_000, 16_000), (16_000, 48_000)] {
        let path = folder.0.join("call.flac");
        let file = record(RecordingSettings { rate: Some(to), ..RecordingSettings::new(path) }, from);
        let (rate, channels) = read_flac(&file.path);
        assert_eq!((rate, file.rate), (to, to));
        assert_tone(&channels[0], rate, 600.0, 0);
        assert_tone(&channels[1], rate, 1500.0, 300);
    }
}

#[test]
fn each_party_can_have_a_file_of_its_own() {
    let folder = Folder::new("separate");
    let settings =
        RecordingSettings { layout: Layout::Separate, ..RecordingSettings::new(folder.0.join("call.wav")) };
    let file = record(settings, 8_000);
    assert_eq!(file.path, folder.0.join("call-said.wav"));
    assert_eq!(file.companion, Some(folder.0.join("call-heard.wav")));
    let (said, heard) =
        (read_wav(&folder.0.join("call-said.wav")), read_wav(&folder.0.join("call-heard.wav")));
    assert_eq!((said.1[0].len(), heard.1[0].len()), (10_400, 10_400));
    assert_tone(&said.1[0], 8_000, 600.0, 0);
    assert_tone(&heard.1[0], 8_000, 1500.0, 300);
    let mut names = folder.names();
    names.sort();
    assert_eq!(names, ["call-heard.wav", "call-said.wav", "call.wav.json"]);
}

#[test]
fn the_manifest_tells_format_length_markers_pauses_and_digest() {
    let folder = Folder::new("manifest");
    let mut writer = RecordingWriter::start().expect("a writer");
    let (mut recorder, recording) = recorder(20_000);
    writer.write(TapId(1), recording, RecordingSettings::new(folder.0.join("call.wav")));
    for frame in 0..50 {
        if frame == 10 {
            recorder.mark(frame * 160, "the \"offer\"");
        }
        if frame == 20 {
            recorder.pause(frame * 160);
        }
        if frame == 35 {
            recorder.resume(frame * 160);
        }
        recorder.push(Track::Said, frame * 160, &[100; 160]);
    }
    drop(recorder);
    let file = outcome(&mut writer).1.expect("a recorded file");
    assert_eq!(file.duration_ms, 700);
    assert_eq!(file.manifest, Some(folder.0.join("call.wav.json")));
    let manifest = fs::read_to_string(folder.0.join("call.wav.json")).expect("the manifest");
    for part in [
        "\"format\": \"wav\"",
        "\"layout\": \"stereo\"",
        "\"sample_rate\": 8000",
        "\"duration_ms\": 700",
        "{ \"name\": \"the \\\"offer\\\"\", \"ms\": 200 }",
        "{ \"ms\": 400, \"length_ms\": 300 }",
        "\"started\": \"20",
        &format!("\"sha256\": \"{}\"", file.sha256),
    ] {
        assert!(manifest.contains(part), "{part} in {manifest}");
    }
    assert_eq!(file.sha256.len(), 64);
    let settings =
        RecordingSettings { manifest: false, ..RecordingSettings::new(folder.0.join("plain.wav")) };
    assert_eq!(record(settings, 8_000).manifest, None);
    assert!(!folder.0.join("plain.wav.json").exists());
}

#[test]
fn what_a_crash_leaves_plays_up_to_the_last_second() {
    let folder = Folder::new("crash");
    for (name, format) in [
        ("a.wav", RecordingFormat::Wav),
        ("a.flac", RecordingFormat::Flac),
        ("a.opus", RecordingFormat::OggOpus),
    ] {
        let writer = RecordingWriter::start().expect("a writer");
        let (mut recorder, recording) = recorder(20_000);
        let settings = RecordingSettings { format, ..RecordingSettings::new(folder.0.join(name)) };
        writer.write(TapId(1), recording, settings);
        let tone: Vec<i16> = (0..40_000).map(|at| ((f64::from(at) * 0.3).sin() * 8000.0) as i16).collect();
        for (frame, samples) in tone.chunks_exact(160).enumerate() {
            recorder.push(Track::Said, frame as u64 * 160, samples);
        }
        // As a crash would find it: the recorder is there, nothing was completed.
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let part = folder.names().into_iter().find(|file| file.contains(name) && file.ends_with(".part"));
            if let Some(part) = part {
                let copy = folder.0.join(format!("crashed-{name}"));
                fs::copy(folder.0.join(part), &copy).expect("a copy");
                let seconds = if format == RecordingFormat::Wav {
                    hound::WavReader::open(&copy).map_or(0.0, |r| f64::from(r.duration()) / 8e3)
                } else if format == RecordingFormat::Flac {
                    claxon::FlacReader::open(&copy).map_or(0.0, |mut reader| {
                        reader.samples().map_while(Result::ok).count() as f64 / 16e3
                    })
                } else {
                    ogg_packets(&fs::read(&copy).expect("the copy")).1 as f64 / 48e3
                };
                if seconds >= 4.0 {
                    break;
                }
            }
            assert!(Instant::now() < deadline, "{name} is not readable in time");
            std::thread::yield_now();
        }
        drop(recorder);
    }
}

#[test]
fn a_folder_that_goes_away_is_told_and_the_recorder_goes_on() {
    let folder = Folder::new("gone");
    let mut writer = RecordingWriter::start().expect("a writer");
    let (mut recorder, recording) = recorder(20_000);
    writer.write(TapId(7), recording, RecordingSettings::new(folder.0.join("sub/call.wav")));
    let deadline = Instant::now() + Duration::from_secs(10);
    while fs::remove_dir_all(folder.0.join("sub")).is_err() {
        assert!(Instant::now() < deadline, "no folder in time");
        std::thread::yield_now();
    }
    two_tones(&mut recorder, 8_000);
    drop(recorder);
    let (tap, result) = outcome(&mut writer);
    assert_eq!(tap, TapId(7));
    assert!(result.is_err_and(|error| error.kind == std::io::ErrorKind::NotFound));
}
