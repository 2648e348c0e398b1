//! What a mistake in the configuration looks like to the one who made it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use control::{
    media::{Codec, Latch, Srtp},
    signaling::{Transport, auth::digest::Algorithm},
};
use server::config::Config;

/// The complaints about a text, one per line, without the name of the file.
fn complaints(text: &str) -> Vec<String> {
    let file = Path::new("offhook.toml");
    match Config::parse(file, text) {
        Ok(_) => Vec::new(),
        Err(error) => {
            error.to_string().lines().map(|line| line.trim_start_matches("offhook.toml:").into()).collect()
        }
    }
}

/// A folder of its own that is removed again.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("offhook-config-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// 100 ms of silence, 16-bit mono at 8 kHz.
fn wav() -> Vec<u8> {
    let data = [0u8; 1600];
    let mut bytes = Vec::new();
    bytes.extend_from_slice(b"RIFF");
    bytes.extend_from_slice(&(36 + data.len() as u32).to_le_bytes());
    bytes.extend_from_slice(b"WAVEfmt ");
    bytes.extend_from_slice(&16u32.to_le_bytes());
    bytes.extend_from_slice(&1u16.to_le_bytes());
    bytes.extend_from_slice(&1u16.to_le_bytes());
    bytes.extend_from_slice(&8000u32.to_le_bytes());
    bytes.extend_from_slice(&16000u32.to_le_bytes());
    bytes.extend_from_slice(&2u16.to_le_bytes());
    bytes.extend_from_slice(&16u16.to_le_bytes());
    bytes.extend_from_slice(b"data");
    bytes.extend_from_slice(&(data.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&data);
    bytes
}

#[test]
fn an_empty_file_is_the_defaults() {
    let config = Config::parse(Path::new("offhook.toml"), "").unwrap();
    assert_eq!(
        config.sip.listen,
        [
            (Transport::Udp, "0.0.0.0:5060".parse().unwrap()),
            (Transport::Tcp, "0.0.0.0:5060".parse().unwrap())
        ]
    );
    assert_eq!(config.http, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(config.media.rtp_ports, 16384..=32767);
    assert_eq!(config.media.codecs, Codec::DEFAULT);
    assert_eq!(config.drain, Duration::from_secs(30));
    assert!(config.routes.is_empty() && config.sip.users.is_empty());
}

#[test]
fn every_key_is_understood() {
    let folder = Folder::new("every-key");
    folder.write("hello.wav", &wav());
    let file = folder.write(
        "offhook.toml",
        br#"
advertise = "203.0.113.7"
data = "data"
drain = 5

[http]
listen = "127.0.0.1:9090"

[sip]
listen = ["udp:127.0.0.1:5070", "tcp:[::1]:5070"]
realm = "example.org"
digest = ["SHA-256", "MD5"]
trusted = ["10.0.0.0/8", "192.0.2.7"]

[media]
rtp_ports = "20000-20999"
codecs = ["PCMA", "PCMU"]
ptime = 30
workers = 2
latch = "any"
srtp = "required"

[[user]]
name = "alice"
password = "hush hush"

[[route]]
to = "echo|600"
app = "echo"

[[route]]
to = "hello"
app = "play"
file = "hello.wav"
loop = 3

[[route]]
to = "9(?<number>[0-9]+)"
app = "dial"
target = "sip:${number}@127.0.0.1:5090"
from = "\"Desk $1\" <sip:desk@example.org>"
ring_timeout = 20
srtp = "off"

[[route]]
to = "help"
app = "dial"
target = "user:alice"

[[route]]
to = "closed"
app = "reject"
code = 480
"#,
    );
    let config = Config::load(&file).unwrap();
    assert_eq!(config.data, folder.0.join("data"));
    assert_eq!(config.drain, Duration::from_secs(5));
    assert_eq!(config.media.codecs, [Codec::Pcma, Codec::Pcmu]);
    assert_eq!(config.media.srtp, Srtp::Required);
    assert_eq!((config.media.ptime_ms, config.media.workers, config.media.latch), (30, Some(2), Latch::Any));
    assert_eq!(config.sip.digest, [Algorithm::Sha256, Algorithm::Md5]);
    assert_eq!(config.sip.trusted, [([10, 0, 0, 0].into(), 8), ([192, 0, 2, 7].into(), 32)]);
    assert_eq!(config.sip.users.len(), 1);
    assert_eq!(config.routes.len(), 5);
    assert!(!format!("{config:?}").contains("hush"), "a password must not be printable");
}

#[test]
fn a_mistake_is_told_with_line_column_key_and_what_was_expected() {
    let cases = [
        ("drain = \"soon\"", "1:9: drain: expected a whole number from 0 to 86400, found a string"),
        ("drain = 100000", "1:9: drain: expected a whole number from 0 to 86400, found 100000"),
        (
            "advertise = \"0.0.0.0\"",
            "1:13: advertise: expected an IP address, found \"0.0.0.0\": peers cannot send to it",
        ),
        (
            "[sip]\nlisten = [\"udp:127.0.0.1:5060\", \"udp:5060\"]",
            "2:33: sip.listen[2]: expected udp:HOST:PORT or tcp:HOST:PORT, found \"udp:5060\": the port is missing",
        ),
        ("[sip]\nlisten = \"udp:127.0.0.1:5060\"", "2:10: sip.listen: expected an array, found a string"),
        (
            "[sip]\ntrusted = [\"10.0.0.0/33\"]",
            "2:12: sip.trusted[1]: expected an IP address or ADDRESS/PREFIX, for example 10.0.0.0/8, found \"10.0.0.0/33\": the prefix is 0 to 32",
        ),
        (
            "[media]\nrtp_ports = \"5000\"",
            "2:13: media.rtp_ports: expected A-B with 1024 <= A < B <= 65535, at least two ports, found \"5000\"",
        ),
        (
            "[media]\ncodecs = [\"G729\"]",
            "2:11: media.codecs[1]: expected `PCMU`, `PCMA`, `G722`, `opus`, `L16` or `L16/8000`, found \"G729\"",
        ),
        ("[media]\ncodecs = []", "2:10: media.codecs: expected at least one codec, found an empty array"),
        ("[media]\nptime = 25", "2:9: media.ptime: expected 10, 20, 30, 40 or 60 ms, found 25"),
        (
            "[media]\nsrtp = \"yes\"",
            "2:8: media.srtp: expected `off`, `accept`, `optional` or `required`, found \"yes\"",
        ),
        ("[media]\nlatch = \"on\"", "2:9: media.latch: expected `off`, `same-ip` or `any`, found \"on\""),
        ("[http]\nlisten = 8080", "2:10: http.listen: expected HOST:PORT, found an integer"),
        ("sip = 5060", "1:7: sip: expected a table, found an integer"),
        ("[user]\nname = \"a\"", "1:1: user: expected [[user]], found [user]"),
    ];
    for (text, complaint) in cases {
        assert_eq!(complaints(text), [complaint], "{text}");
    }
}

#[test]
fn an_unknown_key_is_met_with_the_one_that_was_meant() {
    assert_eq!(complaints("[sip]\nrelam = \"x\""), ["2:1: sip.relam: unknown key, did you mean `realm`?"]);
    assert_eq!(
        complaints("[sip]\nport = 5060"),
        ["2:1: sip.port: unknown key; expected one of `listen`, `realm`, `digest` or `trusted`"]
    );
    assert_eq!(complaints("[[routes]]\nto = \"a\""), ["1:3: routes: unknown key, did you mean `route`?"]);
    assert_eq!(
        complaints("[[route]]\nto = \"a\"\napp = \"reject\"\ncdoe = 404"),
        [
            "1:1: route[1].code: missing; expected a status from 400 to 699",
            "4:1: route[1].cdoe: unknown key, did you mean `code`?"
        ]
    );
}

#[test]
fn text_that_is_no_toml_is_told_with_its_place() {
    let told = complaints("[sip]\nrealm = \"x\n");
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("2:"), "{told:?}");
    assert!(told[0].contains("no valid TOML"), "{told:?}");
}

#[test]
fn users_have_a_name_of_their_own_and_a_password() {
    assert_eq!(
        complaints("[[user]]\nname = \"alice\""),
        ["1:1: user[1].password: missing; expected a password"]
    );
    assert_eq!(
        complaints("[[user]]\nname = \"alice\"\npassword = \"\""),
        ["3:12: user[1].password: expected a password, found an empty one"]
    );
    assert_eq!(
        complaints("[[user]]\nname = \"a b\"\npassword = \"x\""),
        [
            "2:8: user[1].name: expected the user part of a SIP address: letters, digits and -_.!~*'()+, found \"a b\""
        ]
    );
    let twice = "[[user]]\nname = \"a\"\npassword = \"x\"\n[[user]]\nname = \"a\"\npassword = \"y\"";
    assert_eq!(
        complaints(twice),
        [
            "5:8: user[2].name: expected the user part of a SIP address: letters, digits and -_.!~*'()+, found \"a\": this user exists already"
        ]
    );
}

#[test]
fn a_password_is_never_part_of_a_complaint() {
    let told = complaints("[[user]]\nname = \"a\"\npassword = 4711").join("\n");
    assert_eq!(told, "3:12: user[1].password: expected a password, found an integer");
}

#[test]
fn a_route_that_cannot_work_is_refused_at_the_start() {
    let cases = [
        (
            "to = \"9(\"\napp = \"echo\"",
            "2:6: route[1].to: expected a regular expression for the dialled user, found \"9(\": unclosed group",
        ),
        (
            "to = \"a)(b\"\napp = \"echo\"",
            "2:6: route[1].to: expected a regular expression for the dialled user, found \"a)(b\": unopened group",
        ),
        ("app = \"echo\"", "1:1: route[1].to: missing; expected a regular expression for the dialled user"),
        (
            "to = \"a\"",
            "1:1: route[1].app: missing; expected `echo`, `play`, `dial`, `conference`, `tone` or `reject`",
        ),
        (
            "to = \"a\"\napp = \"ehco\"",
            "3:7: route[1].app: expected `echo`, `play`, `dial`, `conference`, `tone` or `reject`, found \"ehco\": did you mean `echo`?",
        ),
        (
            "to = \"a\"\napp = \"conference\"\nlimit = 0",
            "4:9: route[1].limit: expected a whole number from 1 to 1000000, found 0",
        ),
        (
            "to = \"a\"\napp = \"scenario\"\nfile = \"x.js\"",
            "3:7: route[1].app: expected `echo`, `play`, `dial`, `conference`, `tone` or `reject`, found \"scenario\": scenario is not available yet",
        ),
        (
            "to = \"a\"\napp = \"play\"",
            "1:1: route[1].file: missing; expected the path or the http address of an audio file",
        ),
        (
            "to = \"a\"\napp = \"play\"\nfile = \"nowhere.wav\"",
            "4:8: route[1].file: expected the path or the http address of an audio file, found \"nowhere.wav\": there is no nowhere.wav",
        ),
        (
            "to = \"a\"\napp = \"dial\"\ntarget = \"bob@example.org\"",
            "4:10: route[1].target: expected sip:USER@HOST[:PORT] or user:NAME, found \"bob@example.org\": a URI begins with its scheme and a colon",
        ),
        (
            "to = \"(a)\"\napp = \"dial\"\ntarget = \"sip:$2@127.0.0.1\"",
            "4:10: route[1].target: expected sip:USER@HOST[:PORT] or user:NAME, found \"sip:$2@127.0.0.1\": the expression of `to` captures no $2",
        ),
        (
            "to = \"(a)\"\napp = \"dial\"\ntarget = \"sip:${n@127.0.0.1\"",
            "4:10: route[1].target: expected sip:USER@HOST[:PORT] or user:NAME, found \"sip:${n@127.0.0.1\": the bracket of ${ is not closed",
        ),
        (
            "to = \"a\"\napp = \"dial\"\ntarget = \"tel:112\"",
            "4:10: route[1].target: expected sip:USER@HOST[:PORT] or user:NAME, found \"tel:112\": tel: cannot be called",
        ),
        (
            "to = \"a\"\napp = \"tone\"\ntone = \"425@-19\"\ncountry = \"xx\"",
            "5:11: route[1].country: expected the code of a known country, found \"xx\"",
        ),
        (
            "to = \"a\"\napp = \"tone\"\ntone = \"425@-19;*(1/3/2)\"",
            "4:8: route[1].tone: expected `ring`, `busy`, `congestion`, `dial` or `info`, or a tone script, found \"425@-19;*(1/3/2)\": expected the number of a tone at position 14",
        ),
        (
            "to = \"a\"\napp = \"reject\"\ncode = 200",
            "4:8: route[1].code: expected a whole number from 400 to 699, found 200",
        ),
        (
            "to = \"a\"\napp = \"echo\"\nfile = \"x.wav\"",
            "4:1: route[1].file: unknown key; expected one of `to` or `app`",
        ),
    ];
    for (keys, complaint) in cases {
        // Where a voice is built in, `say` is among the apps without any `[speech]`.
        let play = if cfg!(feature = "speech-espeak") { "`play`, `say`" } else { "`play`" };
        let complaint = complaint.replace("`play`", play);
        assert_eq!(complaints(&format!("[[route]]\n{keys}")), [complaint], "{keys}");
    }
}

#[test]
fn a_file_that_is_no_recording_is_refused_at_the_start() {
    let folder = Folder::new("no-wav");
    folder.write("notes.wav", b"remember the milk");
    let file = folder.write("offhook.toml", b"[[route]]\nto = \"a\"\napp = \"play\"\nfile = \"notes.wav\"\n");
    let told = Config::load(&file).unwrap_err().to_string();
    assert!(
        told.contains(":4:8: route[1].file: expected the path or the http address of an audio file, found \"notes.wav\": "),
        "{told}"
    );
}

#[test]
fn a_file_that_is_not_there_is_told_by_name() {
    let told = Config::load(Path::new("/nowhere/offhook.toml")).unwrap_err().to_string();
    assert!(told.starts_with("/nowhere/offhook.toml: cannot be read: "), "{told}");
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let told = complaints("drain = true\n[sip]\nrealm = 7\n[media]\nptime = 1\n");
    assert_eq!(told.len(), 3);
    assert!(told[0].starts_with("1:") && told[1].starts_with("3:") && told[2].starts_with("5:"), "{told:?}");
}

#[test]
fn the_example_is_accepted() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../offhook.example.toml");
    let config = Config::load(&example).unwrap();
    assert_eq!(config.sip.users.len(), 2);
    assert_eq!(config.routes.len(), 6);
}

#[test]
#[cfg(feature = "speech-espeak")]
fn the_voice_that_is_built_in_needs_no_provider_and_knows_how_fast_it_speaks() {
    assert!(complaints("[speech]\nvoice = \"de\"\nspeed = 200\nvoices = { anna = \"de\" }").is_empty());
    assert!(complaints("[speech]\nprovider = \"espeak\"").is_empty());
    assert_eq!(
        complaints("[speech]\nspeed = 20"),
        ["2:9: speech.speed: expected a whole number from 80 to 450, found 20"]
    );
    assert_eq!(
        complaints("[speech]\nprovider = \"anna\""),
        ["2:12: speech.provider: expected `espeak`, `command` or `http`, found \"anna\""]
    );
}
