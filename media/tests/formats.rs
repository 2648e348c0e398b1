//! Files of each format sound like what was put into them: `tests/data` holds a second of 440 Hz at −18 dBFS, made by
//! ffmpeg 5.1 (`-f lavfi -i sine=frequency=440:duration=1`).
#![cfg(all(feature = "io", feature = "opus"))]

mod common;

use std::{
    io::{Cursor, Read, Result, Seek, SeekFrom},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use common::world::{World, config};
use offhook_media::{
    Codec, Command, Playback, PlayerId,
    dsp::detect::analyse,
    io::{Audio, AudioFile, Prompts},
};
use symphonia::core::io::MediaSource;

const FILES: [(&str, &[u8]); 6] = [
    ("tone.mp3", include_bytes!("data/tone.mp3")),
    ("tone.m4a", include_bytes!("data/tone.m4a")),
    ("tone.aac", include_bytes!("data/tone.aac")),
    ("tone.flac", include_bytes!("data/tone.flac")),
    ("tone.ogg", include_bytes!("data/tone.ogg")),
    ("tone.opus", include_bytes!("data/tone.opus")),
];
/// How much encoders may put before and behind what they were given.
const SLACK_MS: u32 = 60;

/// Reads what is left of a recording.
fn rest(audio: &mut dyn Audio) -> Vec<i16> {
    let mut samples = Vec::new();
    while audio.read(&mut samples).expect("a sound file") {}
    samples
}

/// It is a second of the tone and nothing else, from beginning to end.
fn assert_tone(name: &str, samples: &[i16], rate: u32, ms: u32) {
    let report = analyse(samples, rate, &[440.0]);
    let tone = &report.tones[0];
    assert!(tone.heard_ms.abs_diff(ms) <= SLACK_MS, "{name}: {report:?}");
    assert!(report.longest_gap_ms == 0 && report.other_ms <= SLACK_MS, "{name}: {report:?}");
    let middle = &samples[samples.len() / 4..samples.len() * 3 / 4];
    let mean = middle.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / middle.len() as f64;
    let level = 10.0 * (2.0 * mean / 32_768_f64.powi(2)).log10();
    assert!((level + 18.06).abs() < 1.0, "{name}: {level} dBFS");
}

#[test]
fn a_call_hears_each_format() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    for (index, (name, _)) in FILES.into_iter().enumerate() {
        let prompt = Prompts::default().load(&folder.join(name)).expect("a sound file");
        assert!(prompt.duration_ms().abs_diff(1_000) <= SLACK_MS, "{name}: {} ms", prompt.duration_ms());
        let mut world = World::new(80 + index as u64);
        let session = world.open(config("192.0.2.1:4000"));
        world.run_ms(200);
        let playback = Box::new(Playback::prompt(prompt, None));
        world.command(Command::Play(session, PlayerId(1), playback));
        world.run_ms(1_000);
        let mut heard = Vec::new();
        for sent in world.rtp(session) {
            let mut samples = [0; 480];
            let length = Codec::Pcmu.decode(sent.payload(), &mut samples);
            heard.extend_from_slice(&samples[..length]);
        }
        assert_tone(name, &heard, 8_000, 1_000);
    }
}

#[test]
fn each_format_is_played_while_it_is_downloaded() {
    for (name, bytes) in FILES {
        let mut file = AudioFile::from_reader(Cursor::new(bytes), None).expect("a sound file");
        let samples = rest(&mut file);
        let ms = (samples.len() as u64 * 1_000 / u64::from(file.rate())) as u32;
        assert!(ms.abs_diff(1_000) <= SLACK_MS, "{name}: {ms} ms");
        assert_tone(name, &samples, file.rate(), 1_000);
    }
}

#[test]
fn each_format_is_sought_in() {
    for (name, bytes) in FILES {
        let mut file = AudioFile::from_bytes(bytes).expect("a sound file");
        for (from, left) in [(400, 600), (100, 900), (700, 300)] {
            // Whoever cannot be sought in at its end says so, and is opened anew.
            if !file.seek(from) {
                file = AudioFile::from_bytes(bytes).expect("a sound file");
                assert!(file.seek(from), "{name}");
            }
            let samples = rest(&mut file);
            assert_tone(name, &samples, file.rate(), left);
        }
    }
}

#[test]
fn a_file_that_is_cut_off_is_heard_as_far_as_it_goes() {
    for (name, bytes) in FILES {
        for length in 0..bytes.len() {
            // Every 7th is enough to meet each part of a header.
            if length > 200 && length % 7 != 0 {
                continue;
            }
            if let Ok(mut file) = AudioFile::from_bytes(&bytes[..length]) {
                let mut samples = Vec::new();
                while file.read(&mut samples).is_ok_and(|more| more) {}
                let ms = samples.len() as u64 * 1_000 / u64::from(file.rate());
                assert!(ms <= u64::from(1_000 + 2 * SLACK_MS), "{name}: {ms} ms");
            }
        }
    }
}

/// A beginning, and then the same again and again: a file too long to be read. Counts what is read of it.
struct Long {
    head: Vec<u8>,
    again: &'static [u8],
    length: u64,
    at: u64,
    read: Arc<AtomicU64>,
}

impl Read for Long {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let count = (self.length - self.at).min(out.len() as u64) as usize;
        for byte in &mut out[..count] {
            let at = self.at as usize;
            let behind = at.wrapping_sub(self.head.len()) % self.again.len();
            *byte = self.head.get(at).copied().unwrap_or(self.again[behind]);
            self.at += 1;
        }
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl Seek for Long {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.filter(|at| *at <= self.length).ok_or(std::io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

impl MediaSource for Long {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.length)
    }
}

#[test]
fn of_a_long_file_only_the_beginning_is_read_before_the_first_sample() {
    /// Half a second of a good MP3, and the time in which any disk gives it.
    const BEGINNING: u64 = 64 << 10;
    // A WAV of a little less than 2 GB, at 48 kHz more than five hours.
    let length = 2_000_000_000_u32;
    let mut wav = b"RIFF....WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    wav.extend([48_000_u32, 96_000].map(u32::to_le_bytes).concat());
    wav.extend(b"\x02\0\x10\0data");
    wav.extend((length - 44).to_le_bytes());
    wav[4..8].copy_from_slice(&(length - 8).to_le_bytes());
    let silence: &[u8] = &[0; 96];
    // What follows the first frame of an MP3 is frames and no table of contents.
    let mp3 = FILES[0].1;
    let begin = (400..mp3.len()).find(|&at| mp3[at] == 0xff && mp3[at + 1] & 0xe0 == 0xe0).expect("a frame");
    let cases = [
        ("wav", wav, silence),
        ("mp3", mp3.to_vec(), &mp3[begin..]),
        ("mp3 without a table", Vec::new(), &mp3[begin..]),
        ("flac", FILES[3].1.to_vec(), &FILES[3].1[FILES[3].1.len() - 2_000..]),
    ];
    for (name, head, again) in cases {
        let read = Arc::new(AtomicU64::new(0));
        let long = Long { head, again, length: u64::from(length), at: 0, read: Arc::clone(&read) };
        let mut samples = Vec::new();
        let mut file = AudioFile::open(long, None).expect(name);
        while samples.len() < file.rate() as usize / 50 {
            assert_eq!(file.read(&mut samples), Ok(true), "{name}");
        }
        let read = read.load(Ordering::Relaxed);
        assert!(read <= BEGINNING, "{name}: {read} bytes");
    }
}
