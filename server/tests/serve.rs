//! The program as a user starts it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::process::Command;

use common::{Peer, Server};

const ECHO: &str = "[[route]]\nto = \"echo\"\napp = \"echo\"\n";

fn data(name: &str) -> String {
    std::env::temp_dir().join(format!("offhook-data-{}-{name}", std::process::id())).display().to_string()
}

#[test]
fn it_announces_its_listeners_serves_health_and_ends_on_sigterm() {
    let data = data("announce");
    let mut server = Server::start("announce", "", &["--data", &data, "--rtp-ports", "40000-40099"]);
    assert!(server.announced.iter().any(|line| line.starts_with("listening on udp:127.0.0.1:")));
    assert!(server.announced.iter().any(|line| line.starts_with("listening on tcp:127.0.0.1:")));
    assert!(server.announced.iter().any(|line| line.starts_with("listening on http:127.0.0.1:")));
    assert!(server.announced.contains(&"rtp on ports 40000-40099".to_owned()));
    assert_eq!(server.announced.last().map(String::as_str), Some("ready"));
    assert!(std::path::Path::new(&data).is_dir());

    let (status, body) = server.get("/health");
    assert_eq!((status, body.contains("\"ok\"")), (200, true), "{body}");
    let (status, metrics) = server.get("/metrics");
    assert_eq!(status, 200);
    assert!(metrics.contains("\noffhook_sessions 0\n"), "{metrics}");
    assert!(metrics.contains("# TYPE offhook_calls_total counter\n"), "{metrics}");
    server.wait_for_gauge("dialogs", 0);

    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
    let _ = std::fs::remove_dir_all(data);
}

#[test]
fn options_are_answered_and_unknown_users_are_not_found() {
    let data = data("options");
    let server = Server::start("options", ECHO, &["--data", &data]);
    Peer::new(server.sip, "options-1").send_and_expect("OPTIONS", "echo", 200);
    let mut caller = Peer::new(server.sip, "nobody-1");
    caller.invite("nobody");
    caller.response(404);
    caller.send("ACK", "nobody", "");
    server.wait_for_gauge("legs", 0);
    let _ = std::fs::remove_dir_all(data);
}

#[test]
#[cfg(feature = "speech-espeak")]
fn a_text_is_said_by_the_voice_that_is_built_in() {
    const SAY: &str = "[[route]]\nto = \"say\"\napp = \"say\"\ntext = \"Nobody is in the office now.\"\n";
    let data = data("say");
    let server = Server::start("say", SAY, &["--data", &data]);
    let mut caller = Peer::new(server.sip, "say-1");
    caller.invite("say");
    caller.response(200);
    caller.send("ACK", "say", "");
    // PCMU, 8,000 bytes per second; ITU-T G.711: all bits inverted, three bits of exponent above four of mantissa.
    let heard = caller.answer_bye();
    let seconds = heard.len() as f64 / 8_000.0;
    assert!((1.0..4.0).contains(&seconds), "{seconds} s");
    let magnitude = |byte: u8| (((u32::from(!byte & 0x0f) << 3) + 0x84) << ((!byte >> 4) & 7)) - 0x84;
    let squares = heard.iter().map(|byte| f64::from(magnitude(*byte)).powi(2)).sum::<f64>();
    let level = (squares / heard.len() as f64).sqrt();
    assert!((500.0..12_000.0).contains(&level), "{level}");
    let _ = std::fs::remove_dir_all(data);
}

#[test]
fn a_drain_refuses_new_calls_and_lets_the_running_one_end() {
    let data = data("drain");
    let mut server = Server::start("drain", ECHO, &["--data", &data, "--drain", "60"]);
    let mut caller = Peer::new(server.sip, "drain-1");
    caller.invite("echo");
    let answer = caller.response(200);
    assert!(answer.contains("m=audio "), "{answer}");
    caller.send("ACK", "echo", "");
    server.wait_for_gauge("calls", 1);
    let (status, legs) = server.get("/api/v1/legs");
    assert_eq!(status, 200);
    let legs: serde_json::Value = serde_json::from_str(&legs).unwrap();
    assert_eq!((legs.as_array().unwrap().len(), legs[0]["state"].as_str()), (1, Some("answered")), "{legs}");
    assert!(legs[0]["unheard"].is_array() && legs[0]["mos_received"].is_null(), "{legs}");

    server.terminate();
    server.wait_for_gauge("draining", 1);
    assert_eq!(server.get("/health").0, 503);
    let mut late = Peer::new(server.sip, "drain-2");
    late.invite("echo");
    late.response(503);
    late.send("ACK", "echo", "");

    caller.bye("echo");
    assert_eq!(server.wait().code(), Some(0));
    let _ = std::fs::remove_dir_all(data);
}

#[test]
fn more_calls_than_allowed_are_told_to_come_again() {
    let data = data("limit");
    let plan = format!("[limits]\nmax_calls = 1\nmax_load = 1\n{ECHO}");
    let server = Server::start("limit", &plan, &["--data", &data]);
    let mut first = Peer::new(server.sip, "limit-1");
    first.invite("echo");
    first.response(200);
    first.send("ACK", "echo", "");
    server.wait_for_gauge("calls", 1);
    let mut second = Peer::new(server.sip, "limit-2");
    second.invite("echo");
    let refusal = second.response(503);
    assert!(refusal.contains("\r\nRetry-After: "), "{refusal}");
    second.send("ACK", "echo", "");
    first.bye("echo");
    server.wait_for_gauge("legs", 0);
    let mut third = Peer::new(server.sip, "limit-3");
    third.invite("echo");
    third.response(200);
    third.send("ACK", "echo", "");
    third.bye("echo");
    server.wait_for_gauge("calls_refused_total", 1);
    let (_, metrics) = server.get("/metrics");
    assert!(metrics.contains("offhook_worker_load_permille{worker=\"0\"} "), "{metrics}");
    let _ = std::fs::remove_dir_all(data);
}

#[test]
fn a_drain_that_is_over_hangs_up() {
    let data = data("drained");
    let mut server = Server::start("drained", ECHO, &["--data", &data, "--drain", "0"]);
    let mut caller = Peer::new(server.sip, "drained-1");
    caller.invite("echo");
    caller.response(200);
    caller.send("ACK", "echo", "");
    server.wait_for_gauge("calls", 1);
    server.terminate();
    caller.answer_bye();
    assert_eq!(server.wait().code(), Some(0));
    let _ = std::fs::remove_dir_all(data);
}

#[test]
fn a_mistake_in_the_file_ends_it_with_the_place_on_standard_error() {
    let file = std::env::temp_dir().join(format!("offhook-mistake-{}.toml", std::process::id()));
    std::fs::write(&file, "[sip]\nlisten = [\"udp:5060\"]\n").unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_offhook")).arg("serve").arg("--config").arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    let place = format!("{}:2:11: sip.listen[1]: expected udp:HOST:PORT or tcp:HOST:PORT", file.display());
    assert!(told.contains(&place), "{told}");
    let _ = std::fs::remove_file(file);
}

#[test]
fn a_mistake_in_a_flag_says_what_was_expected() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_offhook")).args(["serve", "--sip", "5060"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("--sip") && told.contains("expected udp:HOST:PORT or tcp:HOST:PORT"), "{told}");
}
