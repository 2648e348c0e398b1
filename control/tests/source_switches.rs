//! Whatever a leg hears, its egress is one unbroken stream (RFC 3550 §5.1): 10,000 switches in random order.

#![expect(clippy::unwrap_used, reason = "a test")]

extern crate offhook_control as control;

mod common;

use std::{sync::Arc, time::Duration};

use common::{config, tone};
use control::{
    Command, Dial, EventKind, LegId, Play, Target,
    media::{DigitString, PlayerId, Prompt, dsp::tone::ToneSpec},
    signaling::{NameAddr, Uri},
    sim::{Link, NodeId, World},
};

const SWITCHES: usize = 10_000;

/// Lets a phone call the server, and answers.
fn call(world: &mut World, phone: NodeId, server: NodeId, line: LegId) -> LegId {
    let uri = |node: NodeId| {
        let address = world.node(node).address;
        Uri::parse(&format!("sip:someone@{address}")).unwrap()
    };
    let dial = Dial::new(Target::Uri(uri(server)), NameAddr::from(uri(phone)));
    let told = world.node(server).events.len();
    world.command(phone, line, Command::Dial(Box::new(dial))).unwrap();
    let is_incoming = |kind: &EventKind| matches!(kind, EventKind::Incoming(_));
    let found = world
        .wait(server, told, Duration::from_secs(40), |event| is_incoming(&event.kind))
        .expect("the call arrives");
    let leg = world.node(server).events[found - 1].1.leg;
    world.command(server, leg, Command::Answer).unwrap();
    world.run_for(Duration::from_secs(2));
    leg
}

/// One random change of what somebody hears. Commands that do not fit the moment are refused and change nothing.
fn switch(
    world: &mut World,
    server: NodeId,
    legs: [LegId; 2],
    phones: [(NodeId, LegId); 2],
    prompts: &[Arc<Prompt>],
) {
    let which = world.random.below(2) as usize;
    let (leg, other) = (legs[which], legs[1 - which]);
    let (phone, line) = phones[which];
    let player = PlayerId(world.random.below(3));
    let prompt = Arc::clone(world.random.pick(prompts));
    let times = if world.random.chance(0.3) { None } else { Some(1 + world.random.below(2) as u32) };
    let _ = match world.random.below(12) {
        0..=2 => world.command(server, leg, Command::Bridge(other)),
        3..=5 => world.command(server, leg, Command::Play(Play::prompt(player, prompt, times).into())),
        6 => world.command(server, leg, Command::StopPlay(player)),
        7 => world.command(server, leg, Command::tone(ToneSpec::continuous(425.0, -13.0))),
        8 => world.command(server, leg, Command::Echo),
        9 => world.command(server, leg, Command::Unbridge),
        10 => {
            let (node, leg) = if world.random.chance(0.5) { (server, leg) } else { (phone, line) };
            let hold = if world.random.chance(0.4) { Command::Hold } else { Command::Resume };
            world.command(node, leg, hold)
        }
        _ => {
            let digits = DigitString::parse(if world.random.chance(0.5) { "5" } else { "1#" }).unwrap();
            let (node, leg) = if world.random.chance(0.5) { (server, leg) } else { (phone, line) };
            world.command(node, leg, Command::SendDigits(digits))
        }
    };
}

fn run(seed: u64, link: Link, switches: usize) {
    let mut world = World::new(seed);
    let server = world.add_node("server", config());
    let phones = [(world.add_node("alice", config()), LegId(1)), (world.add_node("bob", config()), LegId(1))];
    let legs = phones.map(|(phone, line)| call(&mut world, phone, server, line));
    for (phone, line) in phones {
        world.command(phone, line, Command::tone(ToneSpec::continuous(600.0, -13.0))).unwrap();
    }
    let nodes = [server, phones[0].0, phones[1].0];
    for (from, to) in nodes.iter().flat_map(|from| nodes.iter().map(move |to| (*from, *to))) {
        world.set_link(from, to, link);
    }
    let prompts = [tone(700.0, 130), tone(900.0, 1000), tone(350.0, 20)];
    for _ in 0..switches {
        switch(&mut world, server, legs, phones, &prompts);
        let pause = world.random.between(Duration::ZERO, Duration::from_millis(70));
        world.run_for(pause);
    }
    for leg in legs {
        let _ = world.command(server, leg, Command::HangUp(None));
    }
    world.run_for(Duration::from_secs(120));
    let packets: u64 = world.nodes().flat_map(|node| node.checks.values()).map(|check| check.packets).sum();
    assert!(packets > switches as u64, "the judge saw {packets} packets only");
    let complaints = world.complaints();
    assert!(complaints.is_empty(), "seed {seed}: {complaints:#?}");
}

#[test]
fn ten_thousand_switches_on_a_good_network_break_no_stream() {
    run(11, Link::default(), SWITCHES);
}

#[test]
fn ten_thousand_switches_on_a_bad_network_break_no_stream() {
    let link = Link {
        delay: Duration::from_millis(15),
        jitter: Duration::from_millis(45),
        sip_loss: 0.0,
        rtp_loss: 0.03,
        duplicate: 0.02,
    };
    run(12, link, SWITCHES);
}
