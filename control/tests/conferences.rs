//! Who hears whom in a conference, and what its members are told.

#![expect(clippy::unwrap_used, reason = "a test")]

extern crate offhook_control as control;

use std::time::Duration;

use control::{
    Command, CommandError, Config, Dial, EventKind, LegId, Target,
    media::{
        MixId,
        dsp::{detect::tone_level, tone::ToneSpec},
    },
    signaling::{NameAddr, Uri},
    sim::{NodeId, World},
};

const ROOM: MixId = MixId(7);
const LINE: LegId = LegId(1);
const VOICES: [f32; 3] = [500.0, 900.0, 1400.0];

/// Three phones that talk, each connected to a leg of the server.
struct Stage {
    world: World,
    server: NodeId,
    phones: Vec<NodeId>,
    legs: Vec<LegId>,
}

impl Stage {
    fn new() -> Self {
        let trusted = vec![([10, 0, 0, 0].into(), 8)];
        let signaling = control::signaling::Config { trusted, ..Default::default() };
        let config = Config { signaling, ..Config::default() };
        let mut world = World::new(3);
        let server = world.add_node("server", config.clone());
        let mut stage = Self { world, server, phones: Vec::new(), legs: Vec::new() };
        for voice in VOICES {
            let phone = stage.world.add_node("phone", config.clone());
            stage.phones.push(phone);
            let leg = stage.connect(phone);
            stage.legs.push(leg);
            let tone = Command::tone(ToneSpec::continuous(voice, -10.0));
            stage.world.command(phone, LINE, tone).unwrap();
            stage.world.listen(phone, LINE).unwrap();
        }
        stage
    }

    fn connect(&mut self, phone: NodeId) -> LegId {
        let uri = |node: NodeId| Uri::at(Some("someone"), self.world.node(node).address);
        let dial = Dial::new(Target::Uri(uri(self.server)), NameAddr::from(uri(phone)));
        let told = self.world.node(self.server).events.len();
        self.world.command(phone, LINE, Command::Dial(Box::new(dial))).unwrap();
        let incoming = |kind: &EventKind| matches!(kind, EventKind::Incoming(_));
        let found = self
            .world
            .wait(self.server, told, Duration::from_secs(5), |event| incoming(&event.kind))
            .expect("the call arrives");
        let leg = self.world.node(self.server).events[found - 1].1.leg;
        self.ask(leg, Command::Answer).unwrap();
        self.world.run_for(Duration::from_millis(500));
        leg
    }

    fn ask(&mut self, leg: LegId, command: Command) -> Result<(), CommandError> {
        self.world.command(self.server, leg, command)
    }

    /// Which voices each phone hears half a second later.
    fn heard(&mut self) -> Vec<Vec<usize>> {
        self.world.run_for(Duration::from_millis(600));
        let heard = |phone: &NodeId| {
            let arrived = self.world.arrived(*phone, LINE);
            let last = &arrived[arrived.len() - 1600..];
            (0..3).filter(|voice| tone_level(last, 8000, VOICES[*voice]) > -35.0).collect()
        };
        self.phones.iter().map(heard).collect()
    }

    fn told(&self, leg: LegId, wanted: impl Fn(&EventKind) -> bool) -> usize {
        let events = &self.world.node(self.server).events;
        events.iter().filter(|(_, event)| event.leg == leg && wanted(&event.kind)).count()
    }
}

#[test]
fn members_hear_each_other_until_they_leave_hang_up_or_are_bridged() {
    let mut stage = Stage::new();
    let legs = stage.legs.clone();
    for &leg in &legs {
        stage.ask(leg, Command::Join(ROOM)).unwrap();
        stage.ask(leg, Command::Join(ROOM)).unwrap();
    }
    assert_eq!(stage.heard(), [[1, 2], [0, 2], [0, 1]]);
    for &leg in &legs {
        assert_eq!(stage.told(leg, |kind| matches!(kind, EventKind::Joined(ROOM))), 1);
        assert_eq!(stage.told(leg, |kind| matches!(kind, EventKind::TalkStarted)), 1);
    }
    stage.ask(legs[0], Command::Leave).unwrap();
    assert_eq!(stage.ask(legs[0], Command::Leave), Err(CommandError::WrongState(legs[0])));
    assert_eq!(stage.heard(), [vec![], vec![2], vec![1]]);
    stage.ask(legs[0], Command::Bridge(legs[1])).unwrap();
    assert_eq!(stage.heard(), [vec![1], vec![0], vec![]]);
    assert_eq!(stage.told(legs[1], |kind| matches!(kind, EventKind::Left(ROOM))), 1);
    stage.ask(legs[0], Command::Join(ROOM)).unwrap();
    assert_eq!(stage.told(legs[1], |kind| matches!(kind, EventKind::Unbridged(_))), 1);
    assert_eq!(stage.heard(), [vec![2], vec![], vec![0]]);
    stage.ask(legs[2], Command::HangUp(None)).unwrap();
    let left = stage
        .world
        .with_switchboard(stage.server, |_, switchboard| switchboard.members(ROOM).collect::<Vec<_>>());
    assert_eq!(left, [legs[0]]);
    for leg in [legs[0], legs[1]] {
        stage.ask(leg, Command::HangUp(None)).unwrap();
    }
    stage.world.run_for(Duration::from_secs(120));
    assert_eq!(stage.world.complaints(), Vec::<String>::new());
}

#[test]
fn a_coach_is_heard_by_the_agent_alone() {
    let mut stage = Stage::new();
    let legs = stage.legs.clone();
    let [agent, customer, coach] = legs[..] else { panic!("three legs") };
    stage.ask(coach, Command::Mute(true)).unwrap();
    let alone = Command::Gain(coach, Some(1.0));
    assert_eq!(stage.ask(agent, alone), Err(CommandError::WrongState(agent)));
    for leg in [agent, customer, coach] {
        stage.ask(leg, Command::Join(ROOM)).unwrap();
    }
    stage.ask(agent, Command::Gain(coach, Some(1.0))).unwrap();
    assert_eq!(stage.heard(), [vec![1, 2], vec![0], vec![0, 1]]);
    // The coach takes over.
    stage.ask(coach, Command::Mute(false)).unwrap();
    stage.ask(agent, Command::Gain(coach, None)).unwrap();
    assert_eq!(stage.heard(), [[1, 2], [0, 2], [0, 1]]);
    assert_eq!(stage.ask(agent, Command::Gain(agent, None)), Err(CommandError::WrongState(agent)));
}
