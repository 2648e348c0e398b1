//! Whatever one peer sends, nobody else hears a difference.

mod common;

use std::{sync::Arc, time::Duration};

use common::{
    dice::Dice,
    peer::Link,
    world::{World, address, config},
};
use offhook_media::{
    Channel, Codec, Command, DigitString, Feed, MixId, PayloadFormat, Playback, PlayerId, Prompt,
    SessionConfig, SessionId,
};

const VICTIM: &str = "192.0.2.100:4000";

/// What left for everybody but the victim: whose, when, on which socket, where to, and the bytes.
type Heard = Vec<(SessionId, Duration, Channel, std::net::SocketAddr, Vec<u8>)>;

/// Calls of every kind on bad networks beside a leg whose peer does what `attack` says, every ms.
fn run(seed: u64, attack: impl Fn(&mut World, &mut Dice, SessionId, &[SessionId])) -> Heard {
    let mut world = World::new(seed);
    let ids: Vec<SessionId> = (0..8)
        .map(|number| {
            let id = world.party(&format!("192.0.2.{}:4000", number + 1), 0x20 + number);
            world.peer(id).link = Link { delay_ms: 10, jitter_ms: 15, loss_percent: 2, duplicate_percent: 1 };
            id
        })
        .collect();
    // Its voice must not take part in the chance that the others' networks depend on.
    let victim = world.open(config(VICTIM));
    world.command(Command::Feed(victim, Feed::Session(victim)));
    for pair in ids[..4].chunks(2) {
        world.command(Command::Feed(pair[0], Feed::Session(pair[1])));
        world.command(Command::Feed(pair[1], Feed::Session(pair[0])));
    }
    let send = PayloadFormat { codec: Codec::Pcma, payload_type: 8 };
    world.command(Command::Configure(ids[3], Box::new(SessionConfig { send, ..config("192.0.2.4:4000") })));
    for &member in &ids[4..7] {
        world.command(Command::Feed(member, Feed::Mix(MixId(1))));
    }
    let prompt = Arc::new(Prompt::from_samples(&(0..8_000).map(|n| n * 3).collect::<Vec<i16>>(), 8_000));
    world.command(Command::Play(ids[7], PlayerId(1), Box::new(Playback::prompt(prompt, None))));
    let mut chance = Dice::new(seed ^ 0x77);
    for ms in 0..4_000 {
        if ms % 1_000 == 500 {
            let digits = DigitString::parse("5#").expect("digits");
            world.command(Command::SendDigits(ids[0], Box::new(digits)));
        }
        attack(&mut world, &mut chance, victim, &ids);
        world.run_ms(1);
    }
    assert_eq!(world.shard.stats().continuity_violations, 0);
    let mut heard = Heard::new();
    for &id in &ids {
        for sent in world.sent(id) {
            heard.push((id, sent.at - world.base, sent.channel, sent.destination, sent.bytes.clone()));
        }
    }
    heard
}

fn packet(sequence: u16, ssrc: u32, payload_type: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![0x80, payload_type];
    bytes.extend(sequence.to_be_bytes());
    bytes.extend((u32::from(sequence) * 160).to_be_bytes());
    bytes.extend(ssrc.to_be_bytes());
    bytes.resize(12 + length, 0x42);
    bytes
}

#[test]
fn garbage_floods_copies_and_forgeries_change_nothing_for_the_others() {
    for seed in 0..4 {
        let quiet = run(seed, |_, _, _, _| {});
        assert!(quiet.len() > 8 * 190, "{} packets", quiet.len());
        let at = |world: &World| world.now + Duration::from_micros(300);
        let garbage = run(seed, |world, chance, victim, _| {
            let bytes: Vec<u8> = (0..chance.below(300)).map(|_| chance.next() as u8).collect();
            let channel = if chance.percent(50) { Channel::Rtp } else { Channel::Rtcp };
            world.deliver_on(at(world), victim, channel, address(VICTIM), bytes);
        });
        assert!(garbage == quiet, "garbage, seed {seed}");
        // 500 packets a second each, ten times the rate: in a row, and the same ones again.
        let flood = run(seed, |world, _, victim, _| {
            let number = (world.now - world.base).as_millis() as u16;
            if number.is_multiple_of(2) {
                world.deliver(at(world), victim, address(VICTIM), packet(number / 2, 7, 0, 160));
            }
        });
        assert!(flood == quiet, "flood, seed {seed}");
        let copies = run(seed, |world, chance, victim, _| {
            let number = ((world.now - world.base).as_millis() / 20) as u16;
            let old = number.wrapping_sub(chance.below(20) as u16);
            world.deliver(at(world), victim, address(VICTIM), packet(old, 7, 0, 160));
        });
        assert!(copies == quiet, "copies, seed {seed}");
        let forged = run(seed, |world, chance, victim, _| {
            let number = (world.now - world.base).as_millis() as u16;
            let from = format!("192.0.2.{}:{}", 1 + chance.below(120), 4_000 + chance.below(3));
            let kind = [0, 8, 101, 13, 200 & 0x7F][chance.below(5) as usize];
            let length = if kind == 101 { 4 } else { 160 };
            let bytes = packet(number, chance.below(4) as u32, kind, length);
            world.deliver(at(world), victim, address(&from), bytes);
        });
        assert!(forged == quiet, "forgeries, seed {seed}");
        // Strangers at everybody's ports: packets of the right stream from the wrong place.
        let strangers = run(seed, |world, chance, _, ids| {
            let target = ids[chance.below(8) as usize];
            let from = format!("198.51.100.{}:4000", 1 + chance.below(250));
            let bytes = packet(chance.next() as u16, world.peer(target).ssrc, 0, 160);
            world.deliver(at(world), target, address(&from), bytes);
        });
        assert!(strangers == quiet, "strangers, seed {seed}");
    }
}
