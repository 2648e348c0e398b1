//! Sessions move between shards, and nobody hears it.

mod common;

use std::{sync::Arc, time::Duration};

use common::{
    checker::Checker,
    dice::Dice,
    peer::Link,
    world::{World, config},
};
use offhook_media::{
    Codec, Command, DigitString, Event, Feed, MixId, PayloadFormat, Playback, PlayerId, Prompt,
    SessionConfig, SessionId, TapId,
    dsp::tone::ToneSpec,
    graph::recorder::{Track, recorder},
};

const PAIRS: usize = 3;

/// What a run gave: per session its packets with their times, and what taps recorded of it.
type Outcome = Vec<(Vec<(Duration, Vec<u8>)>, Vec<(bool, u64, Vec<i16>)>)>;

/// Pairs of parties on bad networks who are bridged, played to, recorded and parted at random. With `moves` they
/// change shards in between; everything else is the same.
fn random_calls(seed: u64, moves: bool) -> (World, Outcome) {
    let mut world = World::new(seed);
    let mut dice = Dice::new(seed ^ 0x5555);
    let mut choice = Dice::new(seed ^ 0xAAAA);
    let ids: Vec<SessionId> = (0..2 * PAIRS)
        .map(|number| {
            let address = format!("192.0.2.{}:4000", number + 1);
            let id = world.party(&address, 0x20 + number as u8);
            let link = Link {
                delay_ms: dice.below(30),
                jitter_ms: dice.below(40),
                loss_percent: dice.below(5),
                duplicate_percent: dice.below(3),
            };
            world.peer(id).link = link;
            let codec = if dice.percent(30) { (Codec::Pcma, 8) } else { (Codec::Pcmu, 0) };
            let send = PayloadFormat { codec: codec.0, payload_type: codec.1 };
            world.peer(id).payload_type = codec.1;
            let ptime_ms = [20, 20, 20, 10, 30, 40][dice.below(6) as usize];
            world.command(Command::Configure(
                id,
                Box::new(SessionConfig { send, ptime_ms, ..config(&address) }),
            ));
            id
        })
        .collect();
    let mut recordings = Vec::new();
    for (number, &id) in ids.iter().enumerate().step_by(2) {
        let (end, recording) = recorder(60_000);
        world.command(Command::Tap(id, TapId(number as u64), Box::new(end)));
        recordings.push(recording);
    }
    let prompt = Arc::new(Prompt::from_samples(&(0..8_000).map(|n| n * 3).collect::<Vec<i16>>(), 8_000));
    for round in 0..120 {
        let pair = dice.below(PAIRS as u64) as usize;
        let (a, b) = (ids[2 * pair], ids[2 * pair + 1]);
        if moves && choice.percent(60) {
            world.move_over(&[a, b]);
        }
        match dice.below(9) {
            0 | 1 => {
                world.command(Command::Feed(a, Feed::Session(b)));
                world.command(Command::Feed(b, Feed::Session(a)));
            }
            2 => world.command(Command::Feed(a, Feed::Silence)),
            3 => world.command(Command::Feed(b, Feed::Session(b))),
            4 | 5 => {
                let playback = Playback::prompt(Arc::clone(&prompt), Some(2));
                world.command(Command::Play(a, PlayerId(round), Box::new(playback)));
            }
            6 => {
                let digits = DigitString::parse("12#").expect("digits");
                world.command(Command::SendDigits(b, Box::new(digits)));
            }
            7 => world.peer(a).press(dice.below(12) as u8, 8),
            _ => world.command(Command::Feed(b, Feed::tone(ToneSpec::continuous(425.0, -13.0)))),
        }
        // In the middle of a beat, too.
        world.run_ms(20 + dice.below(90));
    }
    let mut outcome: Outcome = ids
        .iter()
        .map(|&id| {
            (world.rtp(id).map(|sent| (sent.at - world.base, sent.bytes.clone())).collect(), Vec::new())
        })
        .collect();
    for (number, mut recording) in recordings.into_iter().enumerate() {
        recording.read(|track, at, samples| {
            outcome[2 * number].1.push((track == Track::Heard, at, samples.to_vec()));
        });
    }
    (world, outcome)
}

#[test]
fn calls_that_move_sound_as_if_they_had_stayed() {
    for seed in 0..12 {
        let (_, stayed) = random_calls(seed, false);
        let (world, moved) = random_calls(seed, true);
        for (number, (stayed, moved)) in stayed.iter().zip(&moved).enumerate() {
            assert_eq!(stayed.0.len(), moved.0.len(), "packets of session {number}, seed {seed}");
            assert!(stayed.0 == moved.0, "session {number}, seed {seed}");
            assert!(number % 2 == 1 || moved.1.len() > 100);
            assert!(stayed.1 == moved.1, "recording of session {number}, seed {seed}");
        }
        let stats = (world.shard.stats(), world.second.stats());
        assert_eq!((stats.0.stale_commands, stats.1.stale_commands), (0, 0));
        assert!(stats.1.transmits > 100, "they did move");
    }
}

/// Each alone, whoever they hear, in and out of a mix: the streams stay whole.
#[test]
fn sessions_that_are_torn_apart_and_meet_again_keep_one_stream() {
    for seed in 100..112 {
        let mut world = World::new(seed);
        let mut dice = Dice::new(seed);
        let ids: Vec<SessionId> = (0..5)
            .map(|number| world.party(&format!("192.0.2.{}:4000", number + 1), 0x20 + number))
            .collect();
        for _ in 0..100 {
            let (a, b) = (ids[dice.below(5) as usize], ids[dice.below(5) as usize]);
            let feed = match dice.below(4) {
                0 => Feed::Mix(MixId(1)),
                1 => Feed::Silence,
                _ => Feed::Session(b),
            };
            world.command(Command::Feed(a, feed));
            if dice.percent(50) {
                world.move_over(&[ids[dice.below(5) as usize]]);
            }
            // A worker that comes late makes up for it.
            world.late = Duration::from_millis(dice.below(4) * 3);
            world.run_ms(10 + dice.below(80));
        }
        for &id in &ids {
            let mut checker = Checker::new(160, Some(101));
            for sent in world.rtp(id) {
                checker.packet(sent.at, &sent.bytes);
            }
            assert_eq!(checker.violations, Vec::<String>::new(), "{id:?}, seed {seed}");
        }
        for &id in &ids {
            world.command(Command::Close(id));
        }
        assert_eq!(world.told(|event| matches!(event, Event::Closed(..))), 5);
        let stats = (world.shard.stats(), world.second.stats());
        assert_eq!((stats.0.continuity_violations, stats.1.continuity_violations), (0, 0));
        assert_eq!((world.shard.session_count(), world.second.session_count()), (0, 0));
    }
}

#[test]
fn frames_that_fell_due_on_the_way_are_sent_on_arrival() {
    let mut world = World::new(7);
    let a = world.party("192.0.2.1:4000", 0x20);
    let prompt = Arc::new(Prompt::from_samples(&vec![5_000; 80_000], 8_000));
    world.command(Command::Play(a, PlayerId(1), Box::new(Playback::prompt(prompt, None))));
    world.run_ms(203);
    world.command(Command::Release(a));
    let released = world.events.pop();
    let Some((_, Event::Released(_, moving))) = released else { panic!("it was released") };
    // Two frames fall due meanwhile.
    world.run_ms(15);
    world.now += Duration::from_millis(20);
    let before = world.rtp(a).count();
    let now = world.now;
    world.second.handle_command(now, Command::Adopt(a, 4, moving));
    world.run_ms(1_000);
    let mut checker = Checker::new(160, Some(101));
    for sent in world.rtp(a) {
        checker.packet(sent.at, &sent.bytes);
    }
    assert_eq!(checker.violations, Vec::<String>::new());
    assert!(before > 5 && checker.marked == 1 && checker.packets >= 59, "{} packets", checker.packets);
}

#[test]
fn a_seat_that_does_not_fit_ends_the_session_with_its_last_event() {
    let mut world = World::new(8);
    let a = world.party("192.0.2.1:4000", 0x20);
    world.run_ms(100);
    world.command(Command::Release(a));
    let released = world.events.pop();
    let Some((_, Event::Released(_, moving))) = released else { panic!("it was released") };
    let now = world.now;
    world.second.handle_command(now, Command::Adopt(a, 1, moving));
    world.run_ms(10);
    assert_eq!(world.told(|event| matches!(event, Event::Closed(id, _) if *id == a)), 1);
}
