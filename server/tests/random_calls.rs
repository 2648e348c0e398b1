//! Thousands of calls through the real dialling plan, each with its own network, tempers and timing, in virtual
//! time. A failing seed is named and replays exactly: `OFFHOOK_SEED=1234 cargo test --test random_calls`.

#![expect(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test")]

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use control::{
    App, Command, Config, Dial, Event, EventKind, LegId, Play, Source, Switchboard, Target,
    media::{
        DigitString, PlayerId, Prompt,
        dsp::{detect::tone_level, tone::ToneGenerator, tone::ToneSpec, tone_plan::Country},
    },
    signaling::{NameAddr, StatusCode, Uri},
    sim::{Link, NodeId, Random, World},
};
use regex::Regex;
use server::{
    apps::Attendant,
    routing::{Application, Route, Router, Template},
};

/// Calls in the suite.
const CALLS: u64 = 2_000;

/// What each voice sounds like, Hz; told apart by their tones.
const CALLER: f32 = 500.0;
const EARLY: f32 = 800.0;
const CALLEE: f32 = 1200.0;
const PROMPT: f32 = 1700.0;

const LINE: LegId = LegId(1);

/// How a phone reacts to a call.
#[derive(Debug, Clone, Default)]
struct Temper {
    ring: Option<Duration>,
    early: Option<Duration>,
    answer: Option<Duration>,
    reject: Option<(Duration, u16)>,
    /// After the answer.
    hang_up: Option<Duration>,
}

/// A phone that does what it was told at its time.
struct Puppet {
    temper: Temper,
    due: VecDeque<(Instant, LegId, Command)>,
}

impl Puppet {
    fn plan(&mut self, at: Instant, leg: LegId, command: Command) {
        let place = self.due.partition_point(|(other, _, _)| *other <= at);
        self.due.insert(place, (at, leg, command));
    }
}

fn voice(hz: f32) -> Command {
    Command::tone(ToneSpec::continuous(hz, -13.0))
}

impl App for Puppet {
    fn handle_event(&mut self, now: Instant, event: &Event, switchboard: &mut Switchboard) {
        let leg = event.leg;
        match &event.kind {
            EventKind::Incoming(_) => {
                let temper = self.temper.clone();
                if let Some(after) = temper.ring {
                    self.plan(now + after, leg, Command::Ring);
                }
                if let Some(after) = temper.early {
                    self.plan(now + after, leg, voice(EARLY));
                    self.plan(now + after, leg, Command::Early);
                }
                if let Some(after) = temper.answer {
                    self.plan(now + after, leg, voice(CALLEE));
                    self.plan(now + after, leg, Command::Answer);
                    if let Some(hang_up) = temper.hang_up {
                        self.plan(now + after + hang_up, leg, Command::HangUp(None));
                    }
                }
                if let Some((after, code)) = temper.reject {
                    self.plan(now + after, leg, Command::Reject(StatusCode::new(code).unwrap()));
                }
            }
            EventKind::Answered if leg == LINE => {
                let _ = switchboard.handle_command(now, leg, voice(CALLER));
            }
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant, switchboard: &mut Switchboard) {
        while self.due.front().is_some_and(|(at, _, _)| *at <= now) {
            let Some((_, leg, command)) = self.due.pop_front() else { return };
            // The other side may have been faster.
            let _ = switchboard.handle_command(now, leg, command);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.due.front().map(|(at, _, _)| *at)
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn config() -> Config {
    let mut config = Config::default();
    config.signaling.trusted = vec![([10, 0, 0, 0].into(), 8)];
    config
}

fn prompt() -> Arc<Prompt> {
    let mut samples = vec![0; 8 * 1500];
    ToneGenerator::new(ToneSpec::continuous(PROMPT, -13.0), 8000).fill(&mut samples);
    Arc::new(Prompt::from_samples(&samples, 8000))
}

fn router(callee: &str) -> Router {
    let pattern = Regex::new("^(?:b(.*))$").unwrap();
    let target = Template::parse(&format!("sip:$1@{callee}"), &pattern).unwrap();
    Router::new(vec![
        Route::new(Regex::new("^(?:echo)$").unwrap(), Application::Echo),
        Route::new(
            Regex::new("^(?:play)$").unwrap(),
            Application::Play { sources: vec![Source::Prompt(prompt())], times: Some(1) },
        ),
        Route::new(Regex::new("^(?:busy)$").unwrap(), Application::Reject(StatusCode::BUSY_HERE)),
        Route::new(
            pattern,
            Application::Dial { target, from: None, ring_timeout: Some(ms(6000)), srtp: None, amd: false },
        ),
    ])
}

fn random_link(random: &mut Random) -> Link {
    let bad = random.chance(0.5);
    Link {
        delay: random.between(ms(1), ms(60)),
        jitter: if bad { random.between(ms(0), ms(30)) } else { ms(0) },
        sip_loss: if bad { 0.2 * random.below(100) as f64 / 100.0 } else { 0.0 },
        rtp_loss: if bad { 0.05 * random.below(100) as f64 / 100.0 } else { 0.0 },
        duplicate: if bad { 0.05 } else { 0.0 },
    }
}

fn random_temper(random: &mut Random) -> Temper {
    let mut temper = Temper::default();
    if random.chance(0.7) {
        temper.ring = Some(random.between(ms(0), ms(1000)));
    }
    if random.chance(0.5) {
        temper.early = Some(random.between(ms(0), ms(2000)));
    }
    match random.below(10) {
        0..=6 => temper.answer = Some(random.between(ms(0), ms(4000))),
        7..=8 => {
            let code = *random.pick(&[486, 480, 404, 503, 603, 500]);
            temper.reject = Some((random.between(ms(0), ms(4000)), code));
        }
        _ => {}
    }
    // Who has answered has no early media any more.
    temper.early = temper.early.filter(|early| temper.answer.is_none_or(|answer| *early < answer));
    if random.chance(0.4) {
        temper.hang_up = Some(random.between(ms(0), ms(5000)));
    }
    temper
}

struct Call {
    world: World,
    server: NodeId,
    alice: NodeId,
    bob: NodeId,
    dialled: &'static str,
    held: bool,
    /// How long the caller's digits take the place of its voice, ms.
    digits_ms: u64,
}

/// Sets one call up, lets it run and end, and waits until nothing can be under way any more.
fn play_call(seed: u64) -> Call {
    let mut world = World::new(seed);
    let server = world.add_node("server", config());
    let alice = world.add_node("alice", config());
    let bob = world.add_node("bob", config());
    let callee = world.node(bob).address.to_string();
    world.node_mut(server).set_app(Attendant::new(router(&callee), Country::from_code("ru").unwrap()));
    let nodes = [server, alice, bob];
    for (from, to) in nodes.iter().flat_map(|from| nodes.iter().map(move |to| (*from, *to))) {
        let link = random_link(&mut world.random);
        world.set_link(from, to, link);
    }
    let temper = random_temper(&mut world.random);
    world.node_mut(bob).set_app(Puppet { temper, due: VecDeque::new() });
    let dialled =
        *world.random.pick(&["echo", "play", "busy", "nobody", "bob", "bob", "bob", "bob", "bob", "bob"]);
    let (caller, held, digits_ms) = random_caller(&mut world);
    world.node_mut(alice).set_app(caller);
    world.node_mut(alice).record_all();
    world.node_mut(bob).record_all();
    let address = world.node(server).address;
    let dial = Dial::new(
        Target::Uri(Uri::parse(&format!("sip:{dialled}@{address}")).unwrap()),
        NameAddr::from(Uri::parse("sip:alice@10.0.0.2").unwrap()),
    );
    world.command(alice, LINE, Command::Dial(Box::new(dial))).unwrap();
    world.run_for(ms(20_000));
    world.run_for(Duration::from_secs(180));
    Call { world, server, alice, bob, dialled, held, digits_ms }
}

fn random_caller(world: &mut World) -> (Puppet, bool, u64) {
    let now = world.now();
    let random = &mut world.random;
    let mut caller = Puppet { temper: Temper::default(), due: VecDeque::new() };
    let mut digits_ms = 0;
    if random.chance(0.3) {
        digits_ms = 800;
        let digits = DigitString::parse("12#").unwrap();
        caller.plan(now + random.between(ms(500), ms(6000)), LINE, Command::SendDigits(digits));
    }
    let held = random.chance(0.2);
    if held {
        let at = now + random.between(ms(500), ms(6000));
        caller.plan(at, LINE, Command::Hold);
        caller.plan(at + random.between(ms(100), ms(3000)), LINE, Command::Resume);
    }
    if random.chance(0.1) {
        let play = Play::prompt(PlayerId(9), prompt(), Some(1));
        caller.plan(now + random.between(ms(500), ms(6000)), LINE, Command::Play(play.into()));
    }
    caller.plan(now + random.between(ms(0), ms(12_000)), LINE, Command::HangUp(None));
    (caller, held, digits_ms)
}

/// When a node told something of that kind first.
fn when(call: &Call, node: NodeId, wanted: impl Fn(&EventKind) -> bool) -> Option<Instant> {
    call.world.node(node).events.iter().find(|(_, event)| wanted(&event.kind)).map(|(at, _)| *at)
}

fn heard_ms(call: &Call, node: NodeId, leg: LegId, hz: f32) -> u64 {
    let windows = call.world.arrived(node, leg).chunks_exact(400);
    50 * windows.filter(|window| tone_level(window, 8000, hz) > -30.0).count() as u64
}

/// Time from `from` to `to`, ms, less what the slowest network here and a few packets need.
fn expected_ms(from: Option<Instant>, to: Option<Instant>) -> u64 {
    let (Some(from), Some(to)) = (from, to) else { return 0 };
    let time = to.saturating_duration_since(from).as_millis() as u64;
    time.saturating_sub(600) * 7 / 10
}

/// What the rules say each party must have heard, against what it heard.
fn judge(call: &Call) -> Vec<String> {
    let mut complaints = call.world.complaints();
    let alice_ends = when(call, call.alice, |kind| matches!(kind, EventKind::Ended(_)));
    if alice_ends.is_none() {
        complaints.push("alice's leg never ended".into());
    }
    let alice_talks = when(call, call.alice, |kind| matches!(kind, EventKind::Answered));
    let bob_leg = call.world.node(call.bob).events.first().map(|(_, event)| event.leg);
    let mut at_least = |who: &str, what: &str, heard: u64, expected: u64| {
        if heard < expected {
            complaints.push(format!("{who} heard {what} for {heard} ms, not for {expected} ms"));
        }
    };
    let plays = when(call, call.alice, |kind| matches!(kind, EventKind::PlayStarted(_))).is_some();
    let alice_hears = |hz| heard_ms(call, call.alice, LINE, hz);
    match call.dialled {
        // Playing the prompt, alice does not hear her own tone but the prompt.
        "echo" if !call.held && !plays => {
            let expected = expected_ms(alice_talks, alice_ends).saturating_sub(call.digits_ms);
            at_least("alice", "herself", alice_hears(CALLER), expected);
        }
        "play" if !call.held => {
            let expected = expected_ms(alice_talks, alice_ends).min(1000);
            at_least("alice", "the prompt", alice_hears(PROMPT), expected);
        }
        "bob" => judge_bridge(call, bob_leg, alice_talks, alice_ends, &mut at_least),
        _ => {}
    }
    let silent = |hz: f32| alice_hears(hz) > 0;
    if call.dialled == "bob" && (silent(CALLER) || silent(PROMPT)) {
        complaints.push("alice heard herself".into());
    }
    complaints
}

fn judge_bridge(
    call: &Call,
    bob_leg: Option<LegId>,
    alice_talks: Option<Instant>,
    alice_ends: Option<Instant>,
    at_least: &mut impl FnMut(&str, &str, u64, u64),
) {
    let Some(bob_leg) = bob_leg else { return };
    let bob_ends = when(call, call.bob, |kind| matches!(kind, EventKind::Ended(_)));
    let early_heard = when(call, call.alice, |kind| matches!(kind, EventKind::Progress(_, true)));
    let early_over = [alice_talks, alice_ends, bob_ends].into_iter().flatten().min();
    // Bob's voice changes when it answers, and its 200 may be long under way.
    let bob_answers = when(call, call.bob, |kind| matches!(kind, EventKind::Answered));
    let line = heard_ms(call, call.alice, LINE, EARLY) + heard_ms(call, call.alice, LINE, CALLEE);
    at_least("alice", "bob's line before the answer", line, expected_ms(early_heard, early_over));
    if call.held || alice_talks.is_none() || bob_answers.is_none() {
        return;
    }
    let both_talk = alice_talks.max(bob_answers);
    let over = [alice_ends, bob_ends].into_iter().flatten().min();
    at_least("alice", "bob", heard_ms(call, call.alice, LINE, CALLEE), expected_ms(both_talk, over));
    let plays = when(call, call.alice, |kind| matches!(kind, EventKind::PlayStarted(_))).is_some();
    if !plays {
        let expected = expected_ms(both_talk, over).saturating_sub(call.digits_ms);
        at_least("bob", "alice", heard_ms(call, call.bob, bob_leg, CALLER), expected);
    }
}

fn explain(call: &Call, complaints: &[String]) -> String {
    let mut text = complaints.join("\n  ");
    for (who, node) in [("alice", call.alice), ("bob", call.bob)] {
        for leg in call.world.node(node).endings().into_keys() {
            let heard = [CALLER, EARLY, CALLEE, PROMPT].map(|hz| (hz, heard_ms(call, node, leg, hz)));
            let length = call.world.arrived(node, leg).len() / 8;
            text.push_str(&format!("\n  {who} leg {}: {length} ms arrived, tones heard {heard:?}", leg.0));
        }
    }
    for node in call.world.nodes() {
        text.push_str(&format!("\n{}:", node.name));
        for (at, event) in &node.events {
            let kind = match &event.kind {
                EventKind::Ended(record) => {
                    format!("Ended {:?} {:?} {:?}", record.cause, record.code, record.stats)
                }
                EventKind::Incoming(_) => "Incoming".into(),
                kind => format!("{kind:?}"),
            };
            let at = *at - (call.world.now() - call.world.elapsed());
            text.push_str(&format!("\n  {:>7} ms  leg {} {kind}", at.as_millis(), event.leg.0));
        }
    }
    text
}

#[test]
fn two_thousand_random_calls_leave_nothing_behind_and_everybody_heard_what_they_should() {
    let one = std::env::var("OFFHOOK_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = one.map_or(0..CALLS, |seed| seed..seed + 1);
    let mut failures = Vec::new();
    for seed in seeds {
        let call = play_call(seed);
        let complaints = judge(&call);
        if !complaints.is_empty() {
            failures.push(format!("seed {seed} ({}): {}", call.dialled, explain(&call, &complaints)));
        }
    }
    let seeds: Vec<&str> = failures.iter().filter_map(|failure| failure.lines().next()).collect();
    assert!(
        failures.is_empty(),
        "{} seeds failed:\n{}\nthe first:\n{}",
        seeds.len(),
        seeds.join("\n"),
        failures[0]
    );
}

#[test]
fn a_seed_replays_exactly() {
    let log = |seed| {
        let call = play_call(seed);
        let told = |node: &control::sim::Node| {
            let start = call.world.now() - call.world.elapsed();
            let name = node.name.clone();
            node.events
                .iter()
                .map(move |(at, event)| {
                    format!(
                        "{name} {:?} {} {:?}",
                        *at - start,
                        event.seq,
                        std::mem::discriminant(&event.kind)
                    )
                })
                .collect::<Vec<_>>()
        };
        let events: Vec<String> = call.world.nodes().flat_map(told).collect();
        let packets: Vec<u64> =
            call.world.node(call.server).checks.values().map(|check| check.packets).collect();
        (events, packets)
    };
    for seed in [3, 33, 333] {
        assert_eq!(log(seed), log(seed));
    }
}
