//! Damaged, invented and misplaced datagrams: nothing panics, nothing grows, and the peers' streams stay whole.

mod common;

use common::{
    checker::Checker,
    dice::Dice,
    world::{World, address, config},
};
use offhook_media::{
    Channel, Codec, Command, Event, Feed, PayloadFormat, SessionConfig, SessionId, TapId,
    graph::recorder::recorder,
};

const A: &str = "192.0.2.1:4000";
const B: &str = "192.0.2.2:4000";
const STRANGER: &str = "203.0.113.66:6666";

/// RTP of audio or an event, RTCP, or noise; then perhaps damaged.
fn datagram(dice: &mut Dice, ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    match dice.below(8) {
        0..=3 => {
            bytes.extend([0x80, [0, 8, 101, 13][dice.below(4) as usize]]);
            let jump = if dice.percent(20) { dice.next() as u16 } else { 0 };
            bytes.extend(sequence.wrapping_add(jump).to_be_bytes());
            let timestamp =
                if dice.percent(20) { dice.next() as u32 } else { u32::from(sequence).wrapping_mul(160) };
            bytes.extend(timestamp.to_be_bytes());
            bytes.extend(if dice.percent(10) { dice.next() as u32 } else { ssrc }.to_be_bytes());
            let length = [160, 160, 4, 0, 240, 1, 1_400, 80][dice.below(8) as usize];
            bytes.extend((0..length).map(|_| dice.next() as u8));
        }
        4..=5 => {
            bytes.extend([0x81, [200, 201, 203][dice.below(3) as usize], 0, 12]);
            bytes.extend(ssrc.to_be_bytes());
            bytes.extend((0..44).map(|_| dice.next() as u8));
        }
        _ => {
            let length = dice.below(200);
            bytes.extend((0..length).map(|_| dice.next() as u8));
        }
    }
    for _ in 0..dice.below(4) {
        let at = dice.below(bytes.len() as u64) as usize;
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << dice.below(8);
        }
    }
    if dice.percent(10) {
        bytes.truncate(dice.below(bytes.len() as u64 + 1) as usize);
    }
    bytes
}

fn check(world: &mut World, id: SessionId, checker: &mut Checker) {
    for sent in world.sent.remove(&id).unwrap_or_default() {
        if sent.channel == Channel::Rtp && !(192..=223).contains(&sent.bytes[1]) {
            checker.packet(sent.at, &sent.bytes);
        }
        assert_ne!(sent.destination, address(STRANGER), "nothing goes to a stranger");
    }
}

#[test]
fn two_hundred_thousand_of_them_change_nothing_for_the_listeners() {
    let mut dice = Dice::new(61);
    let mut world = World::new(61);
    let a = world.open(config(A));
    let pcma = PayloadFormat { codec: Codec::Pcma, payload_type: 8 };
    let b = world.open(SessionConfig { send: pcma, ..config(B) });
    let c = world.open(config("192.0.2.3:4000"));
    for (listener, source) in [(a, a), (b, a), (c, b)] {
        world.command(Command::Feed(listener, Feed::Session(source)));
    }
    let (end, mut recording) = recorder(2_000);
    world.command(Command::Tap(a, TapId(1), Box::new(end)));
    let mut checkers = [a, b, c].map(|id| (id, Checker::new(160, Some(101))));
    let mut sequence = 0_u16;
    for round in 0..5_000 {
        for _ in 0..40 {
            let (id, from) = [(a, A), (b, B), (a, STRANGER), (b, "192.0.2.2:4002")][dice.below(4) as usize];
            sequence = sequence.wrapping_add(u16::from(dice.percent(50)));
            let mut bytes = datagram(&mut dice, 7, sequence);
            let channel = if dice.percent(80) { Channel::Rtp } else { Channel::Rtcp };
            world.shard.handle_datagram(world.now, id, channel, address(from), &mut bytes);
        }
        world.run_ms(10);
        recording.read(|_, _, _| {});
        if round % 100 == 0 {
            world.events.clear();
            for (id, checker) in &mut checkers {
                check(&mut world, *id, checker);
            }
        }
    }
    for (id, checker) in &mut checkers {
        check(&mut world, *id, checker);
        let breaches: Vec<_> =
            checker.violations.iter().filter(|what| !what.contains("within 20 ms")).collect();
        assert!(breaches.is_empty(), "{id:?}: {breaches:?}");
        assert!(checker.packets > 1_000, "{id:?}: {} packets", checker.packets);
    }
    assert_eq!(world.shard.stats().continuity_violations, 0);
    let stats = world.shard.session(a).expect("open").stats();
    assert!(stats.invalid > 1_000 && stats.wrong_source > 1_000 && stats.received > 1_000, "{stats:?}");
    for id in [a, b, c] {
        world.command(Command::Close(id));
    }
    assert_eq!(world.told(|event| matches!(event, Event::Closed(..))), 3);
    assert_eq!((world.shard.session_count(), world.shard.poll_timeout()), (0, None));
}
