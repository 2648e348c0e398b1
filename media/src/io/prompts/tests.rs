use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::{
    command::PlayerId,
    graph::player::{Playback, Player},
    io::audio_file::RawAudio,
};

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

fn wav(samples: usize) -> Vec<u8> {
    let mut bytes = super::super::wav::header(8_000, 1, samples as u64).to_vec();
    bytes.resize(bytes.len() + 2 * samples, 0);
    bytes
}

fn prompts() -> Prompts {
    Prompts::new(PromptsConfig { ceiling: 8_000, ..PromptsConfig::default() })
}

/// Samples that count, so that each place is known.
fn counting(samples: usize) -> Vec<u8> {
    (0..samples).flat_map(|n| (n as i16).to_le_bytes()).collect()
}

/// A recording of raw samples that counts how often it was opened.
fn raw(name: &str, bytes: Vec<u8>, keep: Keep) -> (Recording, Arc<AtomicUsize>) {
    let opened = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&opened);
    let open: Open = Arc::new(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        let audio = RawAudio::new(io::Cursor::new(bytes.clone()), 8_000);
        Ok(Opened::Audio(Box::new(audio), keep.clone()))
    });
    let key = Key::of([("test", name.as_bytes())]);
    (Recording { key, name: name.to_owned(), slow: true, store: true, open }, opened)
}

/// Everything a listener hears who waits for what is late; gives up after a while.
fn hear(piece: Piece, times: u32) -> (Vec<i16>, Option<Box<str>>) {
    listen(Playback { times: Some(times), ..Playback::of(vec![piece]) })
}

fn listen(playback: Playback) -> (Vec<i16>, Option<Box<str>>) {
    let mut player = Player::new(PlayerId(1), playback);
    let (mut heard, mut frame) = (Vec::new(), [0; 160]);
    let deadline = Instant::now() + Duration::from_secs(30);
    while !player.is_finished() && Instant::now() < deadline {
        if !player.has(320) {
            std::thread::yield_now();
            continue;
        }
        let before = player.played_ms();
        let count = player.fill(8_000, &mut frame, &mut |_| {});
        if player.played_ms() > before || player.is_finished() {
            heard.extend(&frame[..count]);
        }
    }
    (heard, player.failure())
}

fn event(prompts: &Prompts) -> PromptEvent {
    loop {
        if let Some(event) = prompts.try_event() {
            return event;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_file_is_decoded_once_and_again_when_it_changes() {
    let folder = Folder::new("change");
    let path = folder.file("a.wav", &wav(800));
    let prompts = prompts();
    let (Ok(first), Ok(again)) = (prompts.load(&path), prompts.clone().load(&path)) else { panic!("a WAV") };
    assert!(Arc::ptr_eq(&first, &again));
    folder.file("a.wav", &wav(1600));
    let Ok(changed) = prompts.load(&path) else { panic!("a WAV") };
    assert_eq!((first.duration_ms(), changed.duration_ms()), (100, 200));
}

#[test]
fn what_cannot_be_played_is_an_error_and_is_not_kept() {
    let folder = Folder::new("error");
    let prompts = prompts();
    assert!(matches!(prompts.load(&folder.0.join("missing.wav")), Err(LoadError::Io(_))));
    let noise = folder.file("noise.wav", b"RIFF and nothing else");
    assert!(matches!(prompts.load(&noise), Err(LoadError::Prompt(_))));
    assert_eq!(prompts.gauges().prompts, 0);
    let (heard, why) = hear(prompts.piece(&Recording::file(&folder.0.join("missing.wav")), false), 1);
    assert!(heard.is_empty() && why.is_some_and(|why| why.contains("missing.wav")));
    let (_, why) = hear(prompts.piece(&Recording::bytes(b"no audio".as_slice().into()), false), 1);
    assert!(why.is_some());
}

#[test]
fn the_longest_unused_prompt_goes_first() {
    let folder = Folder::new("budget");
    let paths: Vec<PathBuf> = (0..3).map(|n| folder.file(&format!("{n}.wav"), &wav(800))).collect();
    let prompts = Prompts::new(PromptsConfig { memory: 7_000, ceiling: 8_000, ..PromptsConfig::default() });
    let load = |index: usize| prompts.load(&paths[index]).expect("a WAV");
    let (zero, one) = (load(0), load(1));
    assert!(Arc::ptr_eq(&zero, &load(0)));
    load(2);
    assert_eq!((prompts.gauges().prompts, prompts.gauges().bytes), (2, 6_400));
    assert!(Arc::ptr_eq(&zero, &load(0)));
    assert!(!Arc::ptr_eq(&one, &load(1)));
}

#[test]
fn a_short_recording_is_opened_once_for_all_who_ask_and_then_found_in_memory() {
    let prompts = prompts();
    let (recording, opened) = raw("short", counting(1_000), Keep::default());
    let pieces: Vec<Piece> = (0..10).map(|_| prompts.piece(&recording, false)).collect();
    for piece in pieces {
        let (heard, why) = hear(piece, 2);
        assert_eq!((heard.len(), why), (2_000, None));
        assert_eq!(heard[..1_000], (0..1_000).collect::<Vec<i16>>());
    }
    assert!(matches!(prompts.piece(&recording, false), Piece::Prompt(_)));
    assert_eq!(opened.load(Ordering::SeqCst), 1);
}

#[test]
fn a_long_recording_is_streamed_whole_and_in_order_to_each_who_asks() {
    let config = PromptsConfig { ceiling: 8_000, longest: 10_000, ahead_ms: 500, ..PromptsConfig::default() };
    let prompts = Prompts::new(config);
    let (recording, _) = raw("long", counting(100_000), Keep::default());
    let pieces: Vec<Piece> = (0..3).map(|_| prompts.piece(&recording, true)).collect();
    let wanted: Vec<i16> = (0..2).flat_map(|_| (0..100_000).map(|n| n as i16)).collect();
    for piece in pieces {
        let (heard, why) = hear(piece, 2);
        assert_eq!(why, None);
        assert!(heard == wanted, "{} samples", heard.len());
    }
    assert_eq!(prompts.gauges().prompts, 0);
}

#[test]
fn a_listener_may_seek_in_a_stream_that_cannot() {
    let config = PromptsConfig { ceiling: 8_000, longest: 10_000, ahead_ms: 500, ..PromptsConfig::default() };
    let prompts = Prompts::new(config);
    let (recording, _) = raw("seek", counting(32_000), Keep::default());
    let piece = prompts.piece(&recording, false);
    let (heard, why) = listen(Playback { from_ms: 3_000, ..Playback::of(vec![piece]) });
    let wanted: Vec<i16> = (24_000..32_000).map(|n| n as i16).collect();
    assert!(heard == wanted, "{} samples from {:?}, {why:?}", heard.len(), heard.first());
}

#[test]
fn what_is_kept_on_disk_outlives_the_process_and_a_new_version_replaces_it() {
    let folder = Folder::new("disk");
    let config = || PromptsConfig {
        ceiling: 8_000,
        disk: Some((folder.0.join("cache"), 1 << 20)),
        ..PromptsConfig::default()
    };
    let (recording, opened) = raw("kept", counting(500), Keep::default());
    let prompts = Prompts::new(config());
    prompts.prepare(&recording);
    assert_eq!(event(&prompts), PromptEvent::Prepared(recording.key, "kept".into(), 63));
    // The file is there before the memory of another process is asked.
    while !folder.0.join("cache").join(&recording.key.to_string()[..2]).read_dir().is_ok_and(|mut f| {
        f.any(|file| file.is_ok_and(|file| file.path().extension().is_some_and(|e| e == "wav")))
    }) {
        std::thread::yield_now();
    }
    let again = Prompts::new(config());
    let (heard, _) = hear(again.piece(&recording, false), 1);
    assert_eq!(heard, (0..500).collect::<Vec<i16>>());
    assert_eq!((opened.load(Ordering::SeqCst), again.gauges().disk_hits), (1, 1));
}

#[test]
fn the_origin_is_asked_again_when_a_recording_is_no_longer_fresh() {
    let prompts = prompts();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let open: Open = Arc::new(move |known| {
        let mut asked = log.lock().unwrap();
        asked.push(known.map(str::to_owned));
        let keep = Keep { fresh: Some(Duration::ZERO), version: Some("one".into()), never: false };
        match asked.len() {
            1 => Ok(Opened::Audio(Box::new(RawAudio::new(io::Cursor::new(counting(80)), 8_000)), keep)),
            2 => Ok(Opened::Unchanged(keep)),
            _ => Err("gone".into()),
        }
    });
    let key = Key::of([("test", &b"fresh"[..])]);
    let recording = Recording { key, name: "fresh".into(), slow: false, store: false, open };
    for _ in 0..3 {
        let (heard, why) = hear(prompts.piece(&recording, false), 1);
        assert_eq!((heard.len(), why), (80, None));
    }
    assert_eq!(*asked.lock().unwrap(), [None, Some("one".into()), Some("one".into())]);
}

#[test]
fn a_failed_preparation_is_told() {
    let prompts = prompts();
    let open: Open = Arc::new(|_| Err("no voice".into()));
    let key = Key::of([("test", &b"failed"[..])]);
    let recording = Recording { key, name: "failed".into(), slow: true, store: true, open };
    prompts.prepare(&recording);
    assert_eq!(event(&prompts), PromptEvent::Failed(key, "failed".into(), "no voice".into()));
    let (empty, _) = raw("empty", Vec::new(), Keep::default());
    let (heard, why) = hear(prompts.piece(&empty, true), 5);
    assert!(heard.is_empty() && why.is_some());
}

#[test]
fn keys_differ_where_any_value_does() {
    let key = |a: &str, b: &str| Key::of([("text", a.as_bytes()), ("voice", b.as_bytes())]);
    assert_eq!(key("a", "b"), key("a", "b"));
    assert_ne!(key("ab", ""), key("a", "b"));
    assert_eq!(key("a", "b").to_string().len(), 64);
}

/// Audio that never ends, and counts what is taken of it.
struct Endless(Arc<AtomicUsize>);

impl Audio for Endless {
    fn rate(&self) -> u32 {
        8_000
    }

    fn read(&mut self, out: &mut Vec<i16>) -> Result<bool, String> {
        out.extend_from_slice(&[1_000; 160]);
        self.0.fetch_add(160, Ordering::SeqCst);
        Ok(true)
    }

    fn seek(&mut self, _: u32) -> bool {
        false
    }
}

#[test]
fn a_recording_without_end_is_heard_and_read_no_further_than_its_listener_is() {
    let read = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&read);
    let open: Open =
        Arc::new(move |_| Ok(Opened::Audio(Box::new(Endless(Arc::clone(&count))), Keep::default())));
    let key = Key::of([("test", b"endless".as_slice())]);
    let recording = Recording { key, name: "endless".to_owned(), slow: false, store: false, open };
    let prompts = prompts();
    let mut player = Player::new(PlayerId(1), Playback::of(vec![prompts.piece(&recording, false)]));
    while !player.has(160) {
        std::thread::yield_now();
    }
    let mut frame = [0; 160];
    assert_eq!(player.fill(8_000, &mut frame, &mut |_| {}), 160);
    assert_eq!(frame, [1_000; 160]);
    // The decoder looks 10 ms for the end of it, in which it comes as far as the machine is fast.
    let ahead = read.load(Ordering::SeqCst);
    assert!(ahead <= 2 * MOST_AHEAD, "{ahead} samples");
}

/// Samples that are looked through for the end of a recording before the first of them is heard.
const MOST_AHEAD: usize = 1 << 20;
