//! The demonstration as a user starts it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use control::media::dsp::detect::tone_level;

fn folder(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("offhook-demo-{}-{name}", std::process::id()))
}

/// The heard and the said track of a recording.
fn tracks(file: &Path) -> [Vec<i16>; 2] {
    let mut reader = hound::WavReader::open(file).unwrap();
    let samples: Vec<i16> = reader.samples().map(Result::unwrap).collect();
    [0, 1].map(|track| samples.iter().skip(track).step_by(2).copied().collect())
}

/// How long a tone is the loudest thing on a track, ms.
fn length(track: &[i16], hz: f32) -> usize {
    track.chunks_exact(160).filter(|window| tone_level(window, 8000, hz) > -20.0).count() * 20
}

#[test]
fn it_ends_well_and_its_recordings_hold_what_was_said() {
    let out = folder("well");
    let output =
        Command::new(env!("CARGO_BIN_EXE_offhook")).arg("demo").arg("--out").arg(&out).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{told}");
    for expected in [
        "alice  ──▶ offhook  INVITE sip:menu@",
        "offhook recognises the digit 2",
        "offhook has collected 2042 and calls bob",
        "offhook bridges alice and bob",
        "bob hears alice (1100 Hz)",
        "latency, mouth to ear, one way",
        "Everybody heard what was said.",
    ] {
        assert!(told.contains(expected), "{expected} is missing in\n{told}");
    }
    let progress = String::from_utf8_lossy(&output.stderr);
    assert!(progress.contains("... alice hangs up"), "{progress}");
    assert!(!told.contains("alice-") && !told.contains("bob-"), "a password is told");
    let [heard, said] = tracks(&out.join("alice.wav"));
    assert!(length(&heard, 600.0) >= 360 && length(&heard, 1400.0) >= 1800 && length(&said, 1100.0) >= 1800);
    assert_eq!((length(&heard, 1100.0), length(&said, 1400.0)), (0, 0));
    let [heard, said] = tracks(&out.join("bob.wav"));
    assert!(length(&heard, 1100.0) >= 1800 && length(&said, 1400.0) >= 1800);
    assert_eq!((length(&heard, 1400.0), length(&said, 1100.0)), (0, 0));
    std::fs::remove_dir_all(out).unwrap();
}

#[test]
fn a_folder_that_cannot_be_made_is_told() {
    let file = folder("file");
    std::fs::write(&file, "in the way").unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_offhook")).arg("demo").arg("--out").arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot create "), "{output:?}");
    std::fs::remove_file(file).unwrap();
}
