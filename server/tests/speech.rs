//! Speech of a program and of a web server, and what is behind an address, as a caller of the server hears them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use control::{
    Utterance,
    io::{Fetch, Speech},
    media::io::{PromptEvent, Prompts, PromptsConfig, Recording},
};
use server::{
    fetch::{Limits, Web},
    speech::{Format, Provider, Voices},
};

fn voices(provider: Provider, format: Format) -> Voices {
    Voices { provider, voice: None, names: Default::default(), format, patience: Duration::from_secs(10) }
}

fn shell(script: &str) -> Provider {
    Provider::Command(["sh", "-c", script, "sh", "{voice}", "{text}"].map(Into::into).into())
}

/// Gets it ready; its length in ms, or why it cannot be had.
fn get(prompts: &Prompts, recording: &Recording) -> Result<u32, String> {
    prompts.prepare(recording);
    loop {
        match prompts.try_event() {
            Some(PromptEvent::Prepared(_, _, ms)) => return Ok(ms),
            Some(PromptEvent::Failed(_, _, why)) => return Err(why),
            Some(_) => {}
            None => thread::yield_now(),
        }
    }
}

fn wav(ms: usize) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::new(&mut file, spec).unwrap();
    (0..ms * 16).for_each(|n| writer.write_sample((n % 100) as i16 * 50).unwrap());
    writer.finalize().unwrap();
    file.into_inner()
}

/// A web server that answers each request with what `answer` makes of its head and body.
fn web(answer: impl Fn(&str, &str) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if stream.read_line(&mut head).unwrap() == 0 {
                    break;
                }
            }
            let head = head.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            stream.read_exact(&mut body).unwrap();
            let answer = answer(&head, &String::from_utf8_lossy(&body));
            // Whoever heard enough may be gone.
            let _ = stream.get_mut().write_all(&answer);
        }
    });
    address
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[test]
fn a_program_speaks_in_samples_or_files_and_is_run_once() {
    let prompts = Prompts::default();
    let folder = std::env::temp_dir().join(format!("offhook-speech-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("a.wav"), wav(300)).unwrap();
    let script =
        format!("echo run >>{0}/runs; test \"$2\" = 'say; this $x' && cat {0}/a.wav", folder.display());
    let speaker = voices(shell(&script), Format::Wav);
    let said = speaker.recording(&Utterance::new("say; this $x")).unwrap();
    assert_eq!(get(&prompts, &said), Ok(300));
    assert_eq!(get(&prompts, &said), Ok(300));
    assert_eq!(std::fs::read_to_string(folder.join("runs")).unwrap(), "run\n");
    std::fs::remove_dir_all(folder).unwrap();
    // 1,600 samples of 16 kHz, from a program that reads what it shall say.
    let line = ["sh", "-c", "read line; test \"$line\" = hello && head -c 3200 /dev/zero"];
    let speaker = voices(Provider::Command(line.map(Into::into).into()), Format::Pcm(16_000));
    assert_eq!(get(&prompts, &speaker.recording(&Utterance::new("hello")).unwrap()), Ok(100));
}

#[test]
fn a_program_that_fails_is_quoted_and_one_that_hangs_is_ended() {
    let prompts = Prompts::default();
    let get = |voices: Voices| get(&prompts, &voices.recording(&Utterance::new("x")).unwrap());
    let why = get(voices(shell("echo 'no such voice' >&2; exit 3"), Format::Wav)).unwrap_err();
    assert!(why.contains("no such voice"), "{why}");
    let why = get(voices(shell("exit 0"), Format::Pcm(8_000))).unwrap_err();
    assert!(why.contains("printed nothing"), "{why}");
    let why = get(voices(Provider::Command(vec!["/no/such/program".into()]), Format::Wav)).unwrap_err();
    assert!(why.contains("/no/such/program"), "{why}");
    let hangs =
        Voices { patience: Duration::from_millis(200), ..voices(shell("exec sleep 600"), Format::Wav) };
    assert!(get(hangs).is_err());
}

#[test]
fn a_web_server_speaks() {
    let address = web(|head, body| {
        let asked: serde_json::Value = serde_json::from_str(body).unwrap();
        assert!(
            head.starts_with("post /v1/audio/speech ") && head.contains("authorization: bearer secret"),
            "{head}"
        );
        if asked["voice"] == "nobody" {
            return answer("400 Bad Request", "", b"{\"error\": \"unknown voice\"}");
        }
        assert_eq!((&asked["input"], &asked["model"]), (&"Good day".into(), &"tts-1".into()));
        assert_eq!(asked["response_format"], "wav");
        answer("200 OK", "", &wav(400))
    });
    let provider = Provider::Http {
        url: format!("http://{address}/v1/audio/speech"),
        key: Some(control::signaling::auth::credentials::Secret::new("secret")),
        model: "tts-1".into(),
    };
    let (speaker, prompts) = (voices(provider, Format::Wav), Prompts::default());
    let utterance = Utterance { voice: Some("alloy".into()), ..Utterance::new("Good day") };
    assert_eq!(get(&prompts, &speaker.recording(&utterance).unwrap()), Ok(400));
    let utterance = Utterance { voice: Some("nobody".into()), ..utterance };
    let why = get(&prompts, &speaker.recording(&utterance).unwrap()).unwrap_err();
    assert!(why.contains("400") && why.contains("unknown voice"), "{why}");
}

#[test]
fn a_download_is_kept_as_long_as_its_server_says_and_asked_for_again_after_that() {
    let (hits, unchanged) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, same) = (Arc::clone(&hits), Arc::clone(&unchanged));
    let address = web(move |head, _| {
        count.fetch_add(1, Ordering::SeqCst);
        match head.split(' ').nth(1).unwrap() {
            "/fresh.wav" => answer("200 OK", "Cache-Control: max-age=600\r\n", &wav(200)),
            "/stale.wav" if head.contains("if-none-match: \"v1\"") => {
                same.fetch_add(1, Ordering::SeqCst);
                answer("304 Not Modified", "Cache-Control: max-age=0\r\n", b"")
            }
            "/stale.wav" => answer("200 OK", "Cache-Control: max-age=0\r\nETag: \"v1\"\r\n", &wav(100)),
            "/moved" => answer("302 Found", "Location: /fresh.wav\r\n", b""),
            "/circle" => answer("302 Found", "Location: /circle\r\n", b""),
            "/page" => answer("200 OK", "", b"<html>not audio at all, whatever its name may say</html>"),
            _ => answer("404 Not Found", "", b""),
        }
    });
    let folder = std::env::temp_dir().join(format!("offhook-web-{}", std::process::id()));
    let config = || PromptsConfig { disk: Some((folder.clone(), 1 << 20)), ..PromptsConfig::default() };
    let prompts = Prompts::new(config());
    let web = Web::new(Limits { private: true, ..Limits::default() });
    let get = |path: &str| get(&prompts, &web.recording(&format!("http://{address}{path}")).unwrap());
    assert_eq!((get("/fresh.wav"), get("/fresh.wav")), (Ok(200), Ok(200)));
    assert_eq!(hits.load(Ordering::SeqCst), 1);
    assert_eq!((get("/stale.wav"), get("/stale.wav")), (Ok(100), Ok(100)));
    assert_eq!((hits.load(Ordering::SeqCst), unchanged.load(Ordering::SeqCst)), (3, 1));
    assert_eq!(get("/moved"), Ok(200));
    for path in ["/circle", "/page", "/missing"] {
        let why = get(path).unwrap_err();
        assert!(why.contains(path), "{why}");
    }
    let _ = std::fs::remove_dir_all(folder);
}

#[cfg(feature = "speech-espeak")]
mod built_in {
    use std::path::Path;

    use control::media::io::Opened;

    use super::*;

    fn say(utterance: &Utterance, change: impl FnOnce(&mut Voices)) -> Result<Vec<i16>, String> {
        let mut voices = Voices::built_in().unwrap();
        change(&mut voices);
        voices.keep_in(Path::new(env!("CARGO_TARGET_TMPDIR")));
        let recording = voices.recording(utterance)?;
        let Opened::Audio(mut audio, _) = (recording.open)(None)? else { panic!("audio") };
        assert_eq!(audio.rate(), 22_050);
        let mut samples = Vec::new();
        while audio.read(&mut samples)? {}
        Ok(samples)
    }

    fn said(text: &str, language: &str) -> Vec<i16> {
        let language = Some(language.to_owned());
        say(&Utterance { text: text.into(), voice: None, language }, |_| {}).unwrap()
    }

    fn ms(samples: &[i16]) -> usize {
        samples.len() * 10 / 220
    }

    #[test]
    fn each_language_is_spoken_and_sounds_like_itself() {
        let mut heard: Vec<Vec<i16>> = Vec::new();
        for language in server::speech::languages() {
            let samples = said("Radio 2 in Madrid", language);
            let ms = ms(&samples);
            assert!((700..3_500).contains(&ms), "{language}: {ms} ms");
            let loudest = samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
            assert!(loudest > 3_000, "{language}: {loudest}");
            assert!(!heard.contains(&samples), "{language} sounds like another");
            heard.push(samples);
        }
        assert_eq!(said("hello", "en-GB"), said("hello", "en"));
    }

    #[test]
    fn a_language_nobody_speaks_is_told_with_those_that_are() {
        let utterance = Utterance { text: "x".into(), voice: Some("anna".into()), language: None };
        let why = say(&utterance, |_| {}).unwrap_err();
        assert_eq!(
            why,
            "speech: the built-in voice speaks de, en, es, fr, it, nl, pl, pt, ru, sv, tr, not \"anna\""
        );
        say(&utterance, |voices| voices.names = [("anna".into(), "de".into())].into()).unwrap();
    }

    #[test]
    fn faster_speech_is_shorter_and_long_speech_comes_in_pieces() {
        let of = |rate| {
            say(&Utterance::new("Please hold the line, we will be with you soon"), |voices| {
                let Provider::Embedded { speed, .. } = &mut voices.provider else { panic!("embedded") };
                *speed = rate;
            })
        };
        let (slow, fast) = (of(120).unwrap().len(), of(300).unwrap().len());
        assert!(slow * 2 > fast * 3, "{slow} {fast}");
        let one = said("You are the next in line. ", "en").len();
        let many = said(&"You are the next in line. ".repeat(40), "en").len();
        assert!((one * 32..one * 44).contains(&many), "{one} {many}");
    }

    #[test]
    fn nothing_that_is_said_takes_it_down() {
        for text in
            ["", " ", ".", "...!?", "[[", "<speak>", "\u{1}50P x", "¿日本語 😀", "1e999999 0x", "%d %s \0"]
        {
            let _ = say(&Utterance::new(text), |_| {});
        }
        say(&Utterance::new("9".repeat(9_999)), |_| {}).unwrap();
        say(&Utterance::new("é".repeat(4_999)), |_| {}).unwrap();
    }
}
