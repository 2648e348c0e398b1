//! What answers calls, in virtual time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test waits for a few of all events")]

use std::{path::Path, time::Duration};

use control::{
    CallRecord, Command, Config, Dial, EventKind, LegId, Notice, Target,
    media::dsp::{detect::tone_level, tone::ToneSpec, tone_plan::Country},
    signaling::{
        self, Cause, NameAddr, Registration, RegistrationState, StatusCode, Uri, auth::credentials::User,
    },
    sim::{NodeId, World},
};
use server::{apps::Attendant, config::Config as ServerConfig, routing::Router};

/// The line a caller uses.
const LINE: LegId = LegId(1);
/// Nothing on a perfect network takes longer, transactions included.
const LONG: Duration = Duration::from_secs(200);
/// More than this is heard, dBFS.
const AUDIBLE: f32 = -35.0;
const CALLER_HZ: f32 = 700.0;
const CALLEE_HZ: f32 = 1200.0;

/// A server with a dialling plan and phones around it. Phone 0 is at 10.0.0.2, and so on.
struct Stage {
    world: World,
    server: NodeId,
    phones: Vec<NodeId>,
    /// How much of the log of each node was looked at.
    seen: Vec<usize>,
}

impl Stage {
    fn new(plan: &str, phones: usize) -> Self {
        let mut world = World::new(7);
        let users = ["alice", "carol"].map(|user| User::new(user, "offhook", "secret"));
        let trusted = vec![([10, 0, 0, 0].into(), 8)];
        let sip = signaling::Config { users: users.into(), trusted, ..signaling::Config::default() };
        let config = Config { signaling: sip.clone(), ..Config::default() };
        let server = world.add_node("server", config);
        let routes = ServerConfig::parse(Path::new("offhook.toml"), plan).unwrap().routes;
        world.node_mut(server).set_app(Attendant::new(Router::new(routes), Country::Us));
        let phone = signaling::Config { users: Vec::new(), ..sip };
        let phones: Vec<NodeId> = (0..phones)
            .map(|n| {
                world
                    .add_node(&format!("phone {n}"), Config { signaling: phone.clone(), ..Config::default() })
            })
            .collect();
        Self { world, server, seen: vec![0; phones.len() + 1], phones }
    }

    /// Phone 0 calls a user of the server.
    fn call(&mut self, user: &str) {
        self.call_on(LINE, user);
    }

    fn call_on(&mut self, line: LegId, user: &str) {
        self.call_from(0, line, user);
    }

    fn call_from(&mut self, phone: usize, line: LegId, user: &str) {
        let uri = |user: &str, node: NodeId| Uri::at(Some(user), self.world.node(node).address);
        let dial = Dial {
            target: Target::Uri(uri(user, self.server)),
            from: NameAddr::new(uri("alice", self.phones[phone])).with_display("Alice"),
            near: None,
            credentials: None,
            headers: Vec::new(),
            ring_timeout: None,
            srtp: None,
        };
        self.world.command(self.phones[phone], line, Command::Dial(Box::new(dial))).unwrap();
    }

    /// Registers a phone as that user.
    fn register(&mut self, phone: usize, user: &str) {
        let registrar = Uri::at(None, self.world.node(self.server).address);
        let registration = Registration {
            aor: Uri { user: Some(user.into()), port: None, ..registrar.clone() },
            registrar,
            user: user.into(),
            password: "secret".into(),
            contact_user: user.into(),
            expires: 600,
            destination: None,
        };
        let node = self.phones[phone];
        self.world.with_switchboard(node, |now, switchboard| switchboard.register(now, registration));
        let registered = self.world.run_until(LONG, |world| {
            let notices = &world.node(node).notices;
            notices.iter().any(|(_, notice)| {
                matches!(notice, Notice::Registration(_, RegistrationState::Registered(_)))
            })
        });
        assert!(registered, "{:?}", self.world.node(node).notices);
    }

    /// The next event of a phone that `wanted` picks.
    fn wait<T>(&mut self, phone: usize, mut wanted: impl FnMut(LegId, &EventKind) -> Option<T>) -> T {
        let node = self.phones[phone];
        let mut found = None;
        let next = self.world.wait(node, self.seen[phone], LONG, |event| {
            found = wanted(event.leg, &event.kind);
            found.is_some()
        });
        let events = &self.world.node(node).events[self.seen[phone]..];
        let (Some(next), Some(found)) = (next, found) else {
            panic!("phone {phone} waits in vain: {events:#?}")
        };
        self.seen[phone] = next;
        found
    }

    fn wait_for_call(&mut self, phone: usize) -> LegId {
        self.wait(phone, |leg, kind| matches!(kind, EventKind::Incoming(_)).then_some(leg))
    }

    fn wait_for_answer(&mut self, phone: usize) {
        self.wait(phone, |_, kind| matches!(kind, EventKind::Answered).then_some(()));
    }

    fn wait_for_progress(&mut self, phone: usize) -> (StatusCode, bool) {
        self.wait(phone, |_, kind| match kind {
            EventKind::Progress(code, media) => Some((*code, *media)),
            _ => None,
        })
    }

    fn wait_for_end(&mut self, phone: usize) -> CallRecord {
        self.wait(phone, |_, kind| match kind {
            EventKind::Ended(record) => Some((**record).clone()),
            _ => None,
        })
    }

    fn ask(&mut self, phone: usize, leg: LegId, command: Command) {
        self.world.command(self.phones[phone], leg, command).unwrap();
    }

    fn say(&mut self, phone: usize, leg: LegId, hz: f32) {
        self.ask(phone, leg, Command::tone(ToneSpec::continuous(hz, -10.0)));
    }

    /// Records what a phone hears from now on.
    fn listen(&mut self, phone: usize, leg: LegId) {
        self.world.listen(self.phones[phone], leg).unwrap();
    }

    /// Lets half a second pass and tells whether a tone was heard at its end.
    fn hears(&mut self, phone: usize, leg: LegId, hz: f32) -> bool {
        self.world.run_for(Duration::from_millis(500));
        let arrived = self.world.arrived(self.phones[phone], leg);
        tone_level(&arrived[arrived.len().saturating_sub(1600)..], 8000, hz) > AUDIBLE
    }

    /// Calls phone 1 through the plan and has both speak.
    fn connected(plan: &str) -> (Self, LegId) {
        let mut stage = Self::new(plan, 2);
        stage.call("9100");
        let leg = stage.wait_for_call(1);
        stage.ask(1, leg, Command::Answer);
        stage.wait_for_answer(0);
        stage.listen(0, LINE);
        stage.listen(1, leg);
        stage.say(0, LINE, CALLER_HZ);
        stage.say(1, leg, CALLEE_HZ);
        assert!(stage.hears(0, LINE, CALLEE_HZ) && !stage.hears(0, LINE, CALLER_HZ));
        assert!(stage.hears(1, leg, CALLER_HZ) && !stage.hears(1, leg, CALLEE_HZ));
        (stage, leg)
    }

    /// Nothing may be left when all is over.
    fn close(mut self) {
        // The last INVITE transaction lingers for 64 T1 (RFC 6026).
        self.world.run_for(Duration::from_secs(120));
        let complaints = self.world.complaints();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
}

const TO_PHONE: &str = "[[route]]\nto = \"9(.*)\"\napp = \"dial\"\ntarget = \"sip:$1@10.0.0.3\"\n";

#[test]
fn echo_lets_the_caller_hear_itself() {
    let mut stage = Stage::new("[[route]]\nto = \"echo\"\napp = \"echo\"\n", 1);
    stage.call("echo");
    stage.wait_for_answer(0);
    stage.listen(0, LINE);
    stage.say(0, LINE, CALLER_HZ);
    assert!(stage.hears(0, LINE, CALLER_HZ));
    stage.ask(0, LINE, Command::HangUp(None));
    stage.wait_for_end(0);
    stage.close();
}

#[test]
fn a_recording_is_played_whole_so_often_as_asked_and_then_the_caller_is_hung_up() {
    let folder = std::env::temp_dir().join(format!("offhook-apps-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("tone.wav");
    write_tone(&file, 500);
    let plan = format!(
        "[[route]]\nto = \"play\"\napp = \"play\"\nfile = {:?}\nloop = 3\n",
        file.display().to_string()
    );
    let mut stage = Stage::new(&plan, 1);
    std::fs::remove_dir_all(folder).unwrap();
    stage.call("play");
    stage.listen_as_soon_as_possible();
    stage.wait_for_answer(0);
    let record = stage.wait_for_end(0);
    assert_eq!(record.cause, Cause::RemoteBye);
    let arrived = stage.world.arrived(stage.phones[0], LINE);
    let heard =
        arrived.chunks_exact(160).filter(|frame| tone_level(frame, 8000, 1000.0) > AUDIBLE).count() * 20;
    assert!((1460..=1540).contains(&heard), "{heard} ms");
    stage.close();
}

#[test]
fn a_tone_is_heard_before_the_answer_or_after_it_and_its_end_ends_the_call() {
    const OTHER: LegId = LegId(2);
    let plan = r#"
        [[route]]
        to = "busy"
        app = "tone"
        tone = "busy"
        country = "fr"
        answer = false
        [[route]]
        to = "info"
        app = "tone"
        tone = "!950/330,!1400/330,!1800/330"
        "#;
    let mut stage = Stage::new(plan, 1);
    stage.call("busy");
    assert_eq!(stage.wait_for_progress(0), (StatusCode::SESSION_PROGRESS, true));
    stage.listen(0, LINE);
    stage.world.run_for(Duration::from_secs(4));
    let arrived = stage.world.arrived(stage.phones[0], LINE);
    let heard = arrived.chunks_exact(160).filter(|frame| tone_level(frame, 8000, 440.0) > AUDIBLE).count();
    assert!((90..=110).contains(&heard), "{heard} frames of 200 in all");
    stage.ask(0, LINE, Command::HangUp(None));
    stage.wait_for_end(0);
    stage.call_on(OTHER, "info");
    stage.wait_for_answer(0);
    stage.listen(0, OTHER);
    let record = stage.wait_for_end(0);
    assert_eq!(record.cause, Cause::RemoteBye);
    let arrived = stage.world.arrived(stage.phones[0], OTHER);
    let highest = arrived.chunks_exact(160).filter(|frame| tone_level(frame, 8000, 1800.0) > AUDIBLE).count();
    assert!((15..=18).contains(&highest), "{highest} frames of 16");
    stage.close();
}

#[test]
fn a_route_may_find_out_who_answers_and_both_hear_each_other_meanwhile() {
    let mut stage = Stage::new(&format!("{TO_PHONE}amd = true\n"), 2);
    stage.call("9100");
    let leg = stage.wait_for_call(1);
    stage.ask(1, leg, Command::Answer);
    stage.wait_for_answer(0);
    stage.listen(0, LINE);
    stage.say(1, leg, CALLEE_HZ);
    assert!(stage.hears(0, LINE, CALLEE_HZ));
    stage.world.run_for(Duration::from_secs(6));
    let events = &stage.world.node(stage.server).events;
    let verdicts = events.iter().filter(|(_, event)| matches!(event.kind, EventKind::AnsweredBy(_))).count();
    assert_eq!(verdicts, 1, "{events:#?}");
    stage.ask(0, LINE, Command::HangUp(None));
    stage.wait_for_end(1);
    stage.close();
}

#[test]
fn a_caller_is_rejected_with_the_code_of_the_route() {
    let mut stage = Stage::new("[[route]]\nto = \"closed\"\napp = \"reject\"\ncode = 603\n", 1);
    stage.call("closed");
    let record = stage.wait_for_end(0);
    assert_eq!((record.cause, record.code), (Cause::Rejected, StatusCode::DECLINE));
    stage.close();
}

#[test]
fn who_is_neither_route_nor_user_is_not_found() {
    let mut stage = Stage::new("", 1);
    stage.call("nobody");
    assert_eq!(stage.wait_for_end(0).code, StatusCode::NOT_FOUND);
    stage.close();
}

#[test]
fn a_caller_is_told_that_it_rings_and_both_hear_each_other_after_the_answer() {
    let mut stage = Stage::new(TO_PHONE, 2);
    stage.call("9100");
    let leg = stage.wait_for_call(1);
    stage.ask(1, leg, Command::Ring);
    assert_eq!(stage.wait_for_progress(0), (StatusCode::RINGING, false));
    stage.ask(1, leg, Command::Answer);
    stage.wait_for_answer(0);
    stage.listen(0, LINE);
    stage.say(1, leg, CALLEE_HZ);
    assert!(stage.hears(0, LINE, CALLEE_HZ));
    stage.ask(0, LINE, Command::HangUp(None));
    assert_eq!(stage.wait_for_end(1).cause, Cause::RemoteBye);
    stage.close();
}

#[test]
fn the_called_party_sees_who_calls_and_what_the_route_makes_of_the_number() {
    let mut stage = Stage::new(TO_PHONE, 2);
    stage.call("9100");
    let (from, to) = stage.wait(1, |_, kind| match kind {
        EventKind::Incoming(incoming) => Some((incoming.from.clone(), incoming.request_uri.clone())),
        _ => None,
    });
    assert_eq!((from.display.as_deref(), from.uri.user.as_deref()), (Some("Alice"), Some("alice")));
    assert_eq!(to.user.as_deref(), Some("100"));
    stage.ask(0, LINE, Command::HangUp(None));
    stage.wait_for_end(1);
    stage.close();
}

#[test]
fn the_line_of_the_called_party_is_heard_before_the_answer_and_goes_on_after_it() {
    let mut stage = Stage::new(TO_PHONE, 2);
    stage.call("9100");
    let leg = stage.wait_for_call(1);
    stage.ask(1, leg, Command::Early);
    stage.say(1, leg, CALLEE_HZ);
    assert_eq!(stage.wait_for_progress(0), (StatusCode::SESSION_PROGRESS, true));
    stage.listen(0, LINE);
    assert!(stage.hears(0, LINE, CALLEE_HZ));
    stage.ask(1, leg, Command::Answer);
    stage.wait_for_answer(0);
    assert!(stage.hears(0, LINE, CALLEE_HZ));
    stage.say(0, LINE, CALLER_HZ);
    stage.listen(1, leg);
    assert!(stage.hears(1, leg, CALLER_HZ));
    stage.ask(1, leg, Command::HangUp(None));
    assert_eq!(stage.wait_for_end(0).cause, Cause::RemoteBye);
    stage.close();
}

#[test]
fn a_refusal_reaches_the_caller_with_the_code_that_fits() {
    let cases = [
        (StatusCode::BUSY_HERE, StatusCode::BUSY_HERE),
        (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND),
        (StatusCode::TEMPORARILY_UNAVAILABLE, StatusCode::TEMPORARILY_UNAVAILABLE),
        (StatusCode::REQUEST_TIMEOUT, StatusCode::TEMPORARILY_UNAVAILABLE),
        (StatusCode::DECLINE, StatusCode::DECLINE),
        (StatusCode::FORBIDDEN, StatusCode::FORBIDDEN),
        (StatusCode::UNAUTHORIZED, StatusCode::BAD_GATEWAY),
        (StatusCode::SERVICE_UNAVAILABLE, StatusCode::BAD_GATEWAY),
    ];
    for (said, told) in cases {
        let mut stage = Stage::new(TO_PHONE, 2);
        stage.call("9100");
        let leg = stage.wait_for_call(1);
        stage.ask(1, leg, Command::Reject(said));
        let record = stage.wait_for_end(0);
        assert_eq!((record.cause, record.code), (Cause::Rejected, told), "{said}");
        stage.close();
    }
}

#[test]
fn a_party_that_never_answers_is_unavailable_and_a_host_that_is_silent_is_a_timeout() {
    let plan = format!(
        "{TO_PHONE}ring_timeout = 5\n[[route]]\nto = \"8.*\"\napp = \"dial\"\ntarget = \"sip:x@10.9.9.9\"\n"
    );
    let mut stage = Stage::new(&plan, 2);
    stage.call("9100");
    let leg = stage.wait_for_call(1);
    stage.ask(1, leg, Command::Ring);
    assert_eq!(stage.wait_for_end(0).code, StatusCode::TEMPORARILY_UNAVAILABLE);
    assert_eq!(stage.wait_for_end(1).cause, Cause::RemoteCancel);
    stage.call_on(LegId(2), "8");
    assert_eq!(stage.wait_for_end(0).code, StatusCode::SERVER_TIMEOUT);
    stage.close();
}

#[test]
fn a_caller_that_gives_up_ends_the_ringing() {
    let mut stage = Stage::new(TO_PHONE, 2);
    stage.call("9100");
    let leg = stage.wait_for_call(1);
    stage.ask(1, leg, Command::Ring);
    stage.wait_for_progress(0);
    stage.ask(0, LINE, Command::HangUp(None));
    assert_eq!(stage.wait_for_end(1).cause, Cause::RemoteCancel);
    stage.close();
}

#[test]
fn a_held_party_hears_silence_until_it_is_resumed() {
    let (mut stage, leg) = Stage::connected(TO_PHONE);
    stage.ask(0, LINE, Command::Hold);
    stage.wait(0, |_, kind| matches!(kind, EventKind::HoldChanged(true)).then_some(()));
    stage.ask(0, LINE, Command::Silence);
    assert!(!stage.hears(1, leg, CALLER_HZ), "a held party hears silence");
    assert!(!stage.hears(0, LINE, CALLEE_HZ), "who holds hears nothing of the held");
    stage.ask(0, LINE, Command::Resume);
    stage.wait(0, |_, kind| matches!(kind, EventKind::HoldChanged(false)).then_some(()));
    stage.say(0, LINE, CALLER_HZ);
    assert!(stage.hears(1, leg, CALLER_HZ));
    assert!(stage.hears(0, LINE, CALLEE_HZ));
    stage.ask(1, leg, Command::HangUp(None));
    stage.wait_for_end(0);
    stage.close();
}

#[test]
fn all_phones_of_a_user_ring_and_the_first_answer_wins() {
    let mut stage = Stage::new("", 3);
    stage.register(1, "carol");
    stage.register(2, "carol");
    stage.call("carol");
    let first = stage.wait_for_call(1);
    let second = stage.wait_for_call(2);
    stage.ask(1, first, Command::Ring);
    stage.ask(2, second, Command::Ring);
    assert_eq!(stage.wait_for_progress(0), (StatusCode::RINGING, false));
    stage.ask(2, second, Command::Answer);
    stage.wait_for_answer(0);
    assert_eq!(stage.wait_for_end(1).cause, Cause::RemoteCancel);
    stage.listen(0, LINE);
    stage.say(2, second, CALLEE_HZ);
    assert!(stage.hears(0, LINE, CALLEE_HZ));
    stage.ask(0, LINE, Command::HangUp(None));
    stage.wait_for_end(2);
    stage.close();
}

#[test]
fn two_answers_at_the_same_moment_leave_one_call() {
    let mut stage = Stage::new("", 3);
    stage.register(1, "carol");
    stage.register(2, "carol");
    stage.call("carol");
    let legs = [stage.wait_for_call(1), stage.wait_for_call(2)];
    stage.ask(1, legs[0], Command::Answer);
    stage.ask(2, legs[1], Command::Answer);
    stage.wait_for_answer(0);
    stage.world.run_for(Duration::from_secs(2));
    let left =
        stage.phones[1..].iter().filter(|phone| stage.world.node(**phone).switchboard.legs() > 0).count();
    assert_eq!(left, 1);
    stage.ask(0, LINE, Command::HangUp(None));
    stage.world.run_for(Duration::from_secs(2));
    stage.close();
}

#[test]
fn one_busy_phone_does_not_stop_the_others_but_a_decline_does() {
    let mut stage = Stage::new("", 3);
    stage.register(1, "carol");
    stage.register(2, "carol");
    stage.call("carol");
    let first = stage.wait_for_call(1);
    let second = stage.wait_for_call(2);
    stage.ask(1, first, Command::Reject(StatusCode::BUSY_HERE));
    stage.world.run_for(Duration::from_secs(1));
    stage.ask(2, second, Command::Ring);
    assert_eq!(stage.wait_for_progress(0), (StatusCode::RINGING, false));
    stage.ask(2, second, Command::Reject(StatusCode::TEMPORARILY_UNAVAILABLE));
    assert_eq!(stage.wait_for_end(0).code, StatusCode::BUSY_HERE);

    stage.call_on(LegId(2), "carol");
    let first = stage.wait_for_call(1);
    stage.wait_for_call(2);
    stage.ask(1, first, Command::Reject(StatusCode::DECLINE));
    assert_eq!(stage.wait_for_end(0).code, StatusCode::DECLINE);
    assert_eq!(stage.wait_for_end(2).cause, Cause::RemoteCancel);
    stage.close();
}

#[test]
fn ringback_is_made_by_us_when_the_line_that_was_heard_is_gone_and_another_still_rings() {
    let mut stage = Stage::new("", 3);
    stage.register(1, "carol");
    stage.register(2, "carol");
    stage.call("carol");
    let first = stage.wait_for_call(1);
    let second = stage.wait_for_call(2);
    stage.ask(1, first, Command::Early);
    stage.say(1, first, CALLEE_HZ);
    assert_eq!(stage.wait_for_progress(0), (StatusCode::SESSION_PROGRESS, true));
    stage.listen(0, LINE);
    stage.ask(2, second, Command::Ring);
    assert!(stage.hears(0, LINE, CALLEE_HZ));
    stage.ask(1, first, Command::Reject(StatusCode::BUSY_HERE));
    assert!(stage.hears(0, LINE, 440.0));
    stage.ask(2, second, Command::Answer);
    stage.wait_for_answer(0);
    stage.say(2, second, CALLEE_HZ);
    assert!(stage.hears(0, LINE, CALLEE_HZ));
    assert!(!stage.hears(0, LINE, 440.0));
    stage.ask(0, LINE, Command::HangUp(None));
    stage.wait_for_end(2);
    stage.close();
}

#[test]
fn a_dialling_plan_that_leads_to_itself_ends() {
    let mut stage =
        Stage::new("[[route]]\nto = \"loop\"\napp = \"dial\"\ntarget = \"sip:loop@10.0.0.1\"\n", 1);
    stage.call("loop");
    assert_eq!(stage.wait_for_end(0).code, StatusCode::TOO_MANY_HOPS);
    stage.close();
}

#[test]
fn a_user_without_a_phone_is_unavailable() {
    let mut stage = Stage::new("", 1);
    stage.call("carol");
    assert_eq!(stage.wait_for_end(0).code, StatusCode::TEMPORARILY_UNAVAILABLE);
    stage.close();
}

impl Stage {
    /// Records the caller's line as soon as it has media.
    fn listen_as_soon_as_possible(&mut self) {
        let phone = self.phones[0];
        while self.world.listen(phone, LINE).is_err() {
            self.world.run_for(Duration::from_millis(1));
        }
    }
}

/// 16-bit mono at 8 kHz.
fn write_tone(file: &Path, ms: usize) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(file, spec).unwrap();
    for n in 0..ms * 8 {
        let phase = std::f32::consts::TAU * 1000.0 * n as f32 / 8000.0;
        writer.write_sample((phase.sin() * 8000.0) as i16).unwrap();
    }
    writer.finalize().unwrap();
}

const CONFERENCE: &str = "[[route]]\nto = \"8[0-9]\"\napp = \"conference\"\nlimit = 3\n";

/// Everybody in there has a voice; `hears_only` is what a phone hears half a second later.
fn hears_only(stage: &mut Stage, phone: usize, voices: &[f32]) {
    stage.listen(phone, LINE);
    stage.world.run_for(Duration::from_millis(500));
    let arrived = stage.world.arrived(stage.phones[phone], LINE);
    let last = &arrived[arrived.len() - 1600..];
    let heard: Vec<f32> = VOICES.into_iter().filter(|hz| tone_level(last, 8000, *hz) > AUDIBLE).collect();
    assert_eq!(heard, voices, "phone {phone}");
}

const VOICES: [f32; 4] = [500.0, 900.0, 1400.0, 2000.0];

#[test]
fn callers_of_the_same_number_hear_each_other_and_not_themselves() {
    let mut stage = Stage::new(CONFERENCE, 4);
    for (phone, number) in [(0, "81"), (1, "81"), (2, "81"), (3, "82")] {
        stage.call_from(phone, LINE, number);
        stage.wait_for_answer(phone);
        stage.say(phone, LINE, VOICES[phone]);
    }
    stage.world.run_for(Duration::from_millis(500));
    hears_only(&mut stage, 0, &[VOICES[1], VOICES[2]]);
    hears_only(&mut stage, 1, &[VOICES[0], VOICES[2]]);
    hears_only(&mut stage, 2, &[VOICES[0], VOICES[1]]);
    hears_only(&mut stage, 3, &[]);
    stage.ask(1, LINE, Command::HangUp(None));
    stage.wait_for_end(1);
    stage.world.run_for(Duration::from_millis(500));
    hears_only(&mut stage, 0, &[VOICES[2]]);
    for phone in [0, 2, 3] {
        stage.ask(phone, LINE, Command::HangUp(None));
        stage.wait_for_end(phone);
    }
    stage.close();
}

#[test]
fn a_full_conference_is_busy_until_somebody_leaves() {
    let mut stage = Stage::new(CONFERENCE, 4);
    for phone in 0..3 {
        stage.call_from(phone, LINE, "81");
        stage.wait_for_answer(phone);
    }
    stage.call_from(3, LINE, "81");
    assert_eq!(stage.wait_for_end(3).code, StatusCode::BUSY_HERE);
    stage.ask(0, LINE, Command::HangUp(None));
    stage.wait_for_end(0);
    stage.call_from(3, LegId(2), "81");
    stage.wait_for_answer(3);
    for (phone, line) in [(1, LINE), (2, LINE), (3, LegId(2))] {
        stage.ask(phone, line, Command::HangUp(None));
        stage.wait_for_end(phone);
    }
    stage.close();
}
