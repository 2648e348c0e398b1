//! What the members of a mix hear, packet by packet.

mod common;

use std::{sync::Arc, time::Duration};

use common::{
    checker::Checker,
    dice::Dice,
    peer::Link,
    world::{World, config},
};
use offhook_media::{
    Codec, Command, Event, Feed, FinishReason, MixId, PayloadFormat, Playback, PlayerId, Prompt,
    SessionConfig, SessionId, TapId,
    dsp::tone::ToneSpec,
    graph::recorder::{Track, recorder},
};

const SILENCE: u8 = 0xFF;
/// Voices: µ-law bytes, all different in sum.
const VOICES: [u8; 4] = [0x90, 0xA2, 0xB5, 0x99];

fn party(world: &mut World, number: usize, voice: u8) -> SessionId {
    world.party(&format!("192.0.{}.{}:4000", 2 + number / 200, number % 200 + 1), voice)
}

fn join(world: &mut World, id: SessionId) {
    world.command(Command::Feed(id, Feed::Mix(MixId(1))));
}

/// A conference of some who talk.
fn conference(voices: &[u8]) -> (World, Vec<SessionId>) {
    let mut world = World::new(5);
    let ids: Vec<_> =
        voices.iter().enumerate().map(|(number, &voice)| party(&mut world, number, voice)).collect();
    for &id in &ids {
        join(&mut world, id);
    }
    (world, ids)
}

/// What voices sound like together.
fn sum(voices: &[u8]) -> u8 {
    let total: i32 = voices.iter().map(|&voice| i32::from(linear(voice))).sum();
    let mut payload = [0];
    Codec::Pcmu.encode(&[total as i16], &mut payload);
    payload[0]
}

fn linear(voice: u8) -> i16 {
    let mut sample = [0];
    Codec::Pcmu.decode(&[voice], &mut sample);
    sample[0]
}

/// The middle of each packet since a moment, oldest first.
fn heard(world: &World, id: SessionId, since: std::time::Instant) -> Vec<u8> {
    world.rtp(id).filter(|sent| sent.at > since).map(|sent| sent.payload()[80]).collect()
}

fn check(world: &World, id: SessionId, frame: u32) -> Checker {
    let mut checker = Checker::new(frame, Some(101));
    for sent in world.rtp(id) {
        checker.packet(sent.at, &sent.bytes);
    }
    checker
}

#[test]
fn each_of_three_hears_the_other_two_and_not_itself() {
    let (mut world, ids) = conference(&VOICES[..3]);
    world.run_ms(500);
    let since = world.now;
    world.run_ms(1_000);
    for (index, &id) in ids.iter().enumerate() {
        let others: Vec<u8> = (0..3).filter(|&other| other != index).map(|other| VOICES[other]).collect();
        assert_eq!(heard(&world, id, since), vec![sum(&others); 50], "member {index}");
        assert_eq!(check(&world, id, 160).violations, Vec::<String>::new());
    }
    let started = |id: SessionId| world.told(|event| matches!(event, Event::TalkStarted(who) if *who == id));
    assert!(ids.iter().all(|&id| started(id) == 1), "each is told once to talk");
}

#[test]
fn a_hundred_members_hear_the_three_who_talk() {
    let voices: Vec<u8> = (0..100).map(|n| if n % 40 == 0 { VOICES[n / 40] } else { SILENCE }).collect();
    let (mut world, ids) = conference(&voices);
    world.run_ms(500);
    let since = world.now;
    world.run_ms(400);
    for (index, &id) in ids.iter().enumerate() {
        let others: Vec<u8> =
            [0, 40, 80].iter().filter(|&&talker| talker != index).map(|&talker| voices[talker]).collect();
        assert_eq!(heard(&world, id, since), vec![sum(&others); 20], "member {index}");
    }
    assert_eq!(world.told(|event| matches!(event, Event::TalkStarted(_))), 3);
}

#[test]
fn everybody_receives_a_packet_every_tick_also_when_nobody_says_anything() {
    let (mut world, ids) = conference(&[SILENCE; 3]);
    for &id in &ids[1..] {
        world.peer(id).talks = false;
    }
    world.run_ms(2_000);
    for &id in &ids {
        let checker = check(&world, id, 160);
        assert_eq!(checker.violations, Vec::<String>::new());
        assert!((99..=100).contains(&checker.packets), "{}", checker.packets);
        assert!(world.rtp(id).all(|sent| sent.payload() == [SILENCE; 160]));
    }
}

#[test]
fn members_with_other_codecs_and_packet_times_hear_the_same() {
    let mut world = World::new(6);
    let (a, b) = (party(&mut world, 0, VOICES[0]), party(&mut world, 1, VOICES[1]));
    let c = party(&mut world, 2, VOICES[2]);
    let other = SessionConfig {
        send: PayloadFormat { codec: Codec::Pcma, payload_type: 8 },
        ptime_ms: 30,
        ..config("192.0.2.3:4000")
    };
    world.command(Command::Configure(c, Box::new(other)));
    for id in [a, b, c] {
        join(&mut world, id);
    }
    world.run_ms(500);
    let since = world.now;
    world.run_ms(600);
    assert_eq!(heard(&world, a, since), [sum(&[VOICES[1], VOICES[2]]); 30]);
    let expected = linear(VOICES[0]) + linear(VOICES[1]);
    let mut payload = [0];
    Codec::Pcma.encode(&[expected], &mut payload);
    assert_eq!(heard(&world, c, since), [payload[0]; 20]);
    assert_eq!(check(&world, c, 240).violations, Vec::<String>::new());
}

#[test]
fn mute_and_gains_decide_who_hears_whom() {
    let (mut world, ids) = conference(&VOICES[..3]);
    let [agent, customer, coach] = ids[..] else { panic!("three") };
    world.command(Command::Mute(coach, true));
    world.command(Command::Gain(agent, coach, Some(1.0)));
    world.run_ms(500);
    let since = world.now;
    world.run_ms(400);
    assert_eq!(heard(&world, agent, since), [sum(&[VOICES[1], VOICES[2]]); 20]);
    assert_eq!(heard(&world, customer, since), [VOICES[0]; 20]);
    assert_eq!(heard(&world, coach, since), [sum(&VOICES[..2]); 20]);
    world.command(Command::Gain(agent, coach, None));
    world.command(Command::Gain(coach, customer, Some(0.5)));
    world.run_ms(100);
    let since = world.now;
    world.run_ms(400);
    assert_eq!(heard(&world, agent, since), [VOICES[1]; 20]);
    let mut half = [0];
    Codec::Pcmu.encode(&[linear(VOICES[0]) + linear(VOICES[1]) / 2], &mut half);
    assert_eq!(heard(&world, coach, since), [half[0]; 20]);
    let stale = world.shard.stats().stale_commands;
    world.command(Command::Feed(coach, Feed::Silence));
    world.command(Command::Gain(coach, agent, Some(2.0)));
    assert_eq!(world.shard.stats().stale_commands, stale + 1, "no mix has both");
}

#[test]
fn who_joins_muted_is_not_heard_for_a_moment() {
    let (mut world, ids) = conference(&VOICES[..1]);
    let late = party(&mut world, 1, VOICES[1]);
    world.run_ms(300);
    world.command(Command::Mute(late, true));
    join(&mut world, late);
    world.run_ms(500);
    assert!(world.rtp(ids[0]).all(|sent| sent.payload() == [SILENCE; 160]));
    world.command(Command::Mute(late, false));
    world.run_ms(200);
    assert_eq!(heard(&world, ids[0], world.now - Duration::from_millis(100)), [VOICES[1]; 5]);
}

#[test]
fn a_member_that_closes_or_listens_elsewhere_is_gone_for_the_others() {
    let (mut world, ids) = conference(&VOICES);
    world.run_ms(500);
    world.command(Command::Close(ids[3]));
    world.command(Command::Feed(ids[2], Feed::tone(ToneSpec::continuous(425.0, -13.0))));
    // The four were too loud together, and it takes a moment until two are as loud as they speak.
    world.run_ms(1_500);
    let since = world.now;
    world.run_ms(400);
    assert_eq!(heard(&world, ids[0], since), [VOICES[1]; 20]);
    assert_eq!(heard(&world, ids[1], since), [VOICES[0]; 20]);
    for gone in &ids[2..] {
        assert_eq!(world.told(|event| matches!(event, Event::TalkStopped(id) if id == gone)), 1);
    }
    // A bridge of two that leave the mix, and back.
    world.command(Command::Feed(ids[0], Feed::Session(ids[1])));
    world.command(Command::Feed(ids[1], Feed::Session(ids[0])));
    world.run_ms(400);
    let since = world.now;
    world.run_ms(200);
    assert_eq!(heard(&world, ids[0], since), [VOICES[1]; 10]);
    for &id in &ids[..3] {
        join(&mut world, id);
    }
    world.run_ms(200);
    let since = world.now;
    world.run_ms(200);
    assert_eq!(heard(&world, ids[0], since), [sum(&VOICES[1..3]); 10]);
}

#[test]
fn a_prompt_takes_the_place_of_the_mix_for_its_listener_alone() {
    let (mut world, ids) = conference(&VOICES[..3]);
    world.run_ms(500);
    let prompt = Arc::new(Prompt::from_samples(&[4_000; 8 * 300], 8_000));
    world.command(Command::Play(
        ids[0],
        PlayerId(1),
        Box::new(Playback::prompt(Arc::clone(&prompt), Some(1))),
    ));
    let since = world.now;
    world.run_ms(280);
    let mut level = [0];
    Codec::Pcmu.encode(&[4_000], &mut level);
    assert_eq!(heard(&world, ids[0], since)[..13], [level[0]; 13]);
    assert_eq!(heard(&world, ids[1], since), [sum(&[VOICES[0], VOICES[2]]); 14]);
    world.run_ms(100);
    let since = world.now;
    world.run_ms(100);
    assert_eq!(heard(&world, ids[0], since), [sum(&VOICES[1..3]); 5]);
    let ended = |event: &Event| {
        matches!(event, Event::PlayFinished { reason: FinishReason::Ended, played_ms: 300, .. })
    };
    assert_eq!(world.told(ended), 1);
}

#[test]
fn a_recording_of_a_member_has_what_it_says_and_what_it_hears() {
    let (mut world, ids) = conference(&VOICES[..3]);
    world.run_ms(500);
    let (end, mut recording) = recorder(2_000);
    world.command(Command::Tap(ids[0], TapId(1), Box::new(end)));
    world.run_ms(500);
    let (mut said, mut heard) = (Vec::new(), Vec::new());
    recording.read(|track, _, samples| match track {
        Track::Said => said.extend_from_slice(samples),
        Track::Heard => heard.extend_from_slice(samples),
    });
    assert!(said.len() >= 3_800 && heard.len() >= 3_800, "{} {}", said.len(), heard.len());
    assert!(said.iter().all(|&sample| sample == linear(VOICES[0])));
    let others = linear(VOICES[1]) + linear(VOICES[2]);
    assert!(heard.iter().all(|&sample| sample == others));
}

#[test]
fn whoever_comes_goes_and_is_muted_every_stream_stays_one_stream() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        let mut dice = Dice::new(seed + 1_000);
        let ids: Vec<_> = (0..8).map(|number| party(&mut world, number, VOICES[number % 4])).collect();
        for &id in &ids {
            world.peer(id).link = Link { delay_ms: 20, jitter_ms: 15, loss_percent: 2, duplicate_percent: 1 };
        }
        let prompt = Arc::new(Prompt::from_samples(&[2_000; 8 * 130], 8_000));
        for step in 0..150 {
            let id = ids[dice.below(8) as usize];
            let other = ids[dice.below(8) as usize];
            let mix = MixId(dice.below(2));
            world.command(match dice.below(10) {
                0..4 => Command::Feed(id, Feed::Mix(mix)),
                4 => Command::Feed(id, Feed::Silence),
                5 => Command::Feed(id, Feed::Session(other)),
                6 => Command::Mute(id, dice.percent(50)),
                7 => Command::Gain(id, other, dice.percent(70).then_some(dice.below(5) as f32 / 2.0)),
                8 => Command::Play(
                    id,
                    PlayerId(step),
                    Box::new(Playback::prompt(Arc::clone(&prompt), Some(1))),
                ),
                _ => {
                    let peer = world.peer(id);
                    peer.talks = !peer.talks;
                    continue;
                }
            });
            world.run_ms(dice.below(60));
        }
        world.run_ms(300);
        for &id in &ids {
            assert_eq!(check(&world, id, 160).violations, Vec::<String>::new(), "seed {seed}");
        }
        assert_eq!(world.shard.stats().continuity_violations, 0, "seed {seed}");
        for &id in &ids {
            world.command(Command::Close(id));
        }
        let started = world.told(|event| matches!(event, Event::TalkStarted(_)));
        assert_eq!(started, world.told(|event| matches!(event, Event::TalkStopped(_))), "seed {seed}");
    }
}
