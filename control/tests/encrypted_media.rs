//! Calls whose media is encrypted on one side, on both or on none.

#![expect(clippy::unwrap_used, reason = "a test")]

extern crate offhook_control as control;

use std::time::Duration;

use control::{
    Command, Config, Dial, EventKind, LegId, Target,
    media::{
        Capabilities, Srtp,
        dsp::{detect::tone_level, tone::ToneSpec},
        srtp::Suite,
    },
    signaling::{NameAddr, StatusCode, Uri},
    sim::{NodeId, World},
};

const LINE: LegId = LegId(1);
const VOICES: [f32; 2] = [500.0, 900.0];

fn config(srtp: Srtp) -> Config {
    let trusted = vec![([10, 0, 0, 0].into(), 8)];
    let signaling = control::signaling::Config { trusted, ..Default::default() };
    Config { signaling, media: Capabilities { srtp, ..Capabilities::default() }, ..Config::default() }
}

/// A server with two phones whose calls it bridges.
struct Stage {
    world: World,
    server: NodeId,
    phones: [NodeId; 2],
    legs: Vec<LegId>,
}

impl Stage {
    fn new(server: Srtp, phones: [Srtp; 2]) -> Self {
        let mut world = World::new(3);
        let server = world.add_node("server", config(server));
        let phones = phones.map(|srtp| world.add_node("phone", config(srtp)));
        Self { world, server, phones, legs: Vec::new() }
    }

    /// Both phones call the server, which answers; `false` where it cannot.
    fn connect(&mut self) -> bool {
        for (phone, voice) in self.phones.into_iter().zip(VOICES) {
            let uri = |node: NodeId| Uri::at(Some("someone"), self.world.node(node).address);
            let dial = Dial::new(Target::Uri(uri(self.server)), NameAddr::from(uri(phone)));
            let told = self.world.node(self.server).events.len();
            self.world.command(phone, LINE, Command::Dial(Box::new(dial))).unwrap();
            let incoming = |kind: &EventKind| matches!(kind, EventKind::Incoming(_));
            let found =
                self.world.wait(self.server, told, Duration::from_secs(5), |event| incoming(&event.kind));
            let Some(found) = found else { return false };
            let leg = self.world.node(self.server).events[found - 1].1.leg;
            self.world.command(self.server, leg, Command::Answer).unwrap();
            self.world.run_for(Duration::from_millis(300));
            self.world.command(phone, LINE, Command::tone(ToneSpec::continuous(voice, -10.0))).unwrap();
            self.world.listen(phone, LINE).unwrap();
            self.legs.push(leg);
        }
        self.world.command(self.server, self.legs[0], Command::Bridge(self.legs[1])).unwrap();
        true
    }

    /// Whether each phone heard the other one in the last half second.
    fn hear(&mut self) -> [bool; 2] {
        self.world.run_for(Duration::from_millis(700));
        [0, 1].map(|phone| {
            let arrived = self.world.arrived(self.phones[phone], LINE);
            let last = &arrived[arrived.len() - 4000..];
            let (own, other) = (VOICES[phone], VOICES[1 - phone]);
            tone_level(last, 8000, other) > -20.0 && tone_level(last, 8000, own) < -50.0
        })
    }

    fn suites(&self, node: NodeId) -> Vec<Option<Suite>> {
        let node = self.world.node(node);
        node.checks.keys().filter_map(|id| node.shard.session(*id)).map(|session| session.suite()).collect()
    }

    /// Nothing was refused, and every stream was continuous.
    fn check(&self) {
        for node in [self.server, self.phones[0], self.phones[1]] {
            let node = self.world.node(node);
            assert_eq!(node.continuity_violations(), Vec::<String>::new());
            for session in node.checks.keys().filter_map(|id| node.shard.session(*id)) {
                let stats = session.stats();
                assert_eq!((stats.unauthenticated, stats.replayed, stats.invalid), (0, 0, 0), "{session}");
            }
        }
    }
}

#[test]
fn an_encrypted_and_a_plain_phone_talk_over_a_bridge() {
    let mut stage = Stage::new(Srtp::Accept, [Srtp::Required, Srtp::Off]);
    assert!(stage.connect());
    assert_eq!(stage.hear(), [true, true]);
    assert_eq!(stage.suites(stage.server), [Some(Suite::AeadAes256Gcm), None]);
    stage.check();
}

#[test]
fn hold_and_resume_keep_the_keys_and_the_streams() {
    let mut stage = Stage::new(Srtp::Required, [Srtp::Optional, Srtp::Required]);
    assert!(stage.connect());
    assert_eq!(stage.hear(), [true, true]);
    for command in [Command::Hold, Command::Resume] {
        stage.world.command(stage.phones[0], LINE, command).unwrap();
        stage.world.run_for(Duration::from_millis(1_500));
    }
    for command in [Command::Hold, Command::Resume] {
        stage.world.command(stage.server, stage.legs[1], command).unwrap();
        stage.world.run_for(Duration::from_millis(1_500));
    }
    assert_eq!(stage.hear(), [true, true]);
    stage.check();
}

#[test]
fn a_plain_phone_is_refused_where_media_must_be_encrypted() {
    let mut stage = Stage::new(Srtp::Required, [Srtp::Accept, Srtp::Accept]);
    assert!(!stage.connect());
    let events = &stage.world.node(stage.phones[0]).events;
    let ended = events.iter().find_map(|(_, event)| {
        if let EventKind::Ended(record) = &event.kind { Some(record.code) } else { None }
    });
    assert_eq!(ended, Some(StatusCode::NOT_ACCEPTABLE_HERE));
}

#[test]
fn one_call_may_be_encrypted_where_others_are_not() {
    let mut stage = Stage::new(Srtp::Accept, [Srtp::Off, Srtp::Off]);
    let uri = |node: NodeId| Uri::at(Some("someone"), stage.world.node(node).address);
    let dial = Dial {
        srtp: Some(Srtp::Required),
        ..Dial::new(Target::Uri(uri(stage.server)), NameAddr::from(uri(stage.phones[0])))
    };
    stage.world.command(stage.phones[0], LINE, Command::Dial(Box::new(dial))).unwrap();
    stage.world.run_for(Duration::from_millis(300));
    let leg = stage.world.node(stage.server).switchboard.leg_ids()[0];
    stage.world.command(stage.server, leg, Command::Answer).unwrap();
    stage.world.run_for(Duration::from_millis(500));
    assert_eq!(stage.suites(stage.server), [Some(Suite::AeadAes256Gcm)]);
    stage.check();
}
