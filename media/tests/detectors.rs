//! What detectors find in what a session says, and what others hear of it.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test looks at a few of all events")]

mod common;

use std::time::Duration;

use common::{
    dice::Dice,
    sound::{Voice, add_noise, add_tone, samples},
    world::{World, config},
};
use offhook_media::{
    Codec, Command, Detectors, Event, Feed, Inband, MixId, PayloadFormat, SessionConfig, SessionId, TapId,
    codec::L16Rate,
    dsp::{
        answering_machine::{Answerer, AnsweringMachineConfig, Cause, Verdict},
        call_progress::Progress,
        detect::tone_level,
        tone::{ToneGenerator, ToneSpec},
        tone_plan::Country,
        voice_activity::VoiceConfig,
    },
    dtmf::digit_code,
    graph::recorder::{Track, recorder},
};

/// µ-law silence.
const SILENT: u8 = 0xFF;

/// Keys as tones of that many ms with pauses as long.
fn tones(keys: &str, ms: usize) -> Vec<i16> {
    let mut sound = Vec::new();
    for key in keys.chars() {
        let spec = ToneSpec::dtmf(digit_code(key).expect("a key")).expect("a key");
        let mut tone = vec![0; ms * 8];
        ToneGenerator::new(spec, 8000).fill(&mut tone);
        sound.extend(tone);
        sound.extend(vec![0; ms * 8]);
    }
    sound
}

fn silence(ms: usize) -> Vec<i16> {
    vec![0; ms * 8]
}

fn voice(seed: u64, ms: usize) -> Vec<i16> {
    samples(&Voice::new(seed, 140.0).speak(ms * 8))
}

fn detect(world: &mut World, id: SessionId, detectors: Detectors) {
    world.command(Command::Detect(id, Box::new(detectors)));
}

fn digits(way: Inband) -> Detectors {
    Detectors { digits: way, ..Detectors::default() }
}

fn keys(world: &World, id: SessionId) -> String {
    let mut keys = String::new();
    let mut down = None;
    for (_, event) in &world.events {
        match event {
            Event::DigitDown(session, code) if *session == id => {
                assert_eq!(down.replace(*code), None, "two keys at once");
                keys.extend(offhook_media::dtmf::digit_char(*code));
            }
            Event::DigitUp(session, code, _) if *session == id => assert_eq!(down.take(), Some(*code)),
            _ => {}
        }
    }
    assert_eq!(down, None, "a key stays down");
    keys
}

/// What a session was sent, decoded.
fn heard(world: &World, id: SessionId) -> Vec<i16> {
    let mut sound = Vec::new();
    for packet in world.rtp(id).filter(|sent| sent.payload_type() == 0) {
        let mut samples = vec![0; packet.payload().len()];
        Codec::Pcmu.decode(packet.payload(), &mut samples);
        sound.extend(samples);
    }
    sound
}

fn energy(sound: &[i16]) -> f64 {
    sound.iter().map(|&sample| f64::from(sample).powi(2)).sum()
}

#[test]
fn a_key_as_tones_is_told_only_where_it_is_listened_for() {
    let mut world = World::new(1);
    let (a, b) = (world.party("192.0.2.1:4000", SILENT), world.party("192.0.2.2:4000", SILENT));
    detect(&mut world, a, digits(Inband::Tell));
    for id in [a, b] {
        world.peer(id).say(&silence(200));
        world.peer(id).say(&tones("1590*#AD", 60));
    }
    world.run_ms(2_000);
    assert_eq!(keys(&world, a), "1590*#AD");
    assert_eq!(keys(&world, b), "");
    let shown = |id| world.shard.session(id).map(ToString::to_string).expect("it is open");
    assert!(shown(a).contains("jitter") && !shown(b).contains("jitter"), "{} / {}", shown(a), shown(b));
}

#[test]
fn the_same_key_in_three_ways_is_told_once() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        let a = world.party("192.0.2.1:4000", SILENT);
        world.peer(a).both = true;
        world.peer(a).link.jitter_ms = 30;
        detect(&mut world, a, digits(Inband::Tell));
        for key in "33".chars() {
            world.peer(a).say(&tones(&key.to_string(), 120));
            world.run_ms(1);
            world.peer(a).press(digit_code(key).expect("a key"), 7);
            let wait = world.dice.below(200);
            world.run_ms(wait);
            world.command(Command::DigitHeard(a, 3, 120));
            world.run_ms(600 - wait);
        }
        world.run_ms(300);
        assert_eq!(keys(&world, a), "33", "seed {seed}: {:?}", world.events);
    }
}

#[test]
fn a_key_from_signaling_is_told_and_pressed_for_whoever_listens() {
    let mut world = World::new(3);
    let (a, b) = (world.party("192.0.2.1:4000", SILENT), world.party("192.0.2.2:4000", SILENT));
    world.command(Command::Feed(b, Feed::Session(a)));
    world.run_ms(500);
    world.command(Command::DigitHeard(a, 7, 100));
    world.command(Command::DigitHeard(a, 99, 100));
    world.run_ms(500);
    assert_eq!(keys(&world, a), "7");
    let ended = |event: &Event| matches!(event, Event::DigitUp(_, 7, 100..=120));
    assert_eq!(world.told(ended), 1, "{:?}", world.events);
    let events: Vec<_> = world.rtp(b).filter(|sent| sent.payload_type() == 101).collect();
    assert!(events.len() >= 5 && events.iter().all(|sent| sent.payload()[0] == 7), "{}", events.len());
}

#[test]
fn tones_that_others_hear_are_not_sent_as_events_beside() {
    let mut world = World::new(4);
    let (a, b) = (world.party("192.0.2.1:4000", SILENT), world.party("192.0.2.2:4000", SILENT));
    world.command(Command::Feed(b, Feed::Session(a)));
    detect(&mut world, a, digits(Inband::Tell));
    world.peer(a).say(&silence(500));
    world.peer(a).say(&tones("42", 100));
    world.run_ms(1_500);
    assert_eq!(keys(&world, a), "42");
    assert_eq!(world.rtp(b).filter(|sent| sent.payload_type() == 101).count(), 0);
    assert!(tone_level(&heard(&world, b), 8000, 770.0) > -35.0);
}

#[test]
fn removed_tones_are_heard_by_nobody_and_sent_as_events() {
    for (seed, ms) in [(5, 50), (6, 70), (7, 100), (8, 333)] {
        let mut world = World::new(seed);
        let ids = [1, 2, 3, 4].map(|n| world.party(&format!("192.0.2.{n}:4000"), SILENT));
        let [a, b, c, plain] = ids;
        for (listener, source) in [(b, a), (a, b)] {
            world.command(Command::Feed(listener, Feed::Session(source)));
        }
        for id in [c, plain] {
            world.command(Command::Feed(id, Feed::Mix(MixId(1))));
        }
        detect(&mut world, a, digits(Inband::Remove));
        detect(&mut world, c, digits(Inband::Remove));
        let (end, mut recording) = recorder(30_000);
        world.command(Command::Tap(a, TapId(1), Box::new(end)));
        let shift = world.dice.below(160) as usize;
        for id in [a, c] {
            world.peer(id).say(&vec![0; 4_000 + shift]);
            world.peer(id).say(&tones("159D0", ms));
        }
        world.run_ms(1_000 + 10 * ms as u64);
        assert_eq!(keys(&world, a), "159D0");
        let whole = energy(&tones("159D0", ms));
        let mut recorded = Vec::new();
        recording.read(|track, _, samples| {
            if track == Track::Said {
                recorded.extend_from_slice(samples);
            }
        });
        for (who, sound) in
            [("bridge", heard(&world, b)), ("mix", heard(&world, plain)), ("record", recorded)]
        {
            let share = energy(&sound) / whole;
            assert!(share < 0.1, "{who}: {share:.3} of {ms} ms is left");
        }
        let codes: Vec<u8> = world
            .rtp(b)
            .filter(|sent| sent.payload_type() == 101 && sent.bytes[1] & 0x80 != 0)
            .map(|sent| sent.payload()[0])
            .collect();
        assert_eq!(codes, [1, 5, 9, 15, 0]);
    }
}

#[test]
fn speech_passes_a_removal_as_it_is() {
    let mut world = World::new(9);
    let (a, b) = (world.party("192.0.2.1:4000", SILENT), world.party("192.0.2.2:4000", SILENT));
    world.command(Command::Feed(b, Feed::Session(a)));
    detect(&mut world, a, digits(Inband::Remove));
    let speech = voice(1, 60_000);
    world.peer(a).say(&speech);
    world.run_ms(61_000);
    assert_eq!(keys(&world, a), "");
    let share = energy(&heard(&world, b)) / energy(&speech);
    assert!((0.985..1.015).contains(&share), "{share}");
}

#[test]
fn when_listening_ends_nothing_is_decoded_and_a_held_key_goes_up() {
    let mut world = World::new(10);
    let (a, b) = (world.party("192.0.2.1:4000", SILENT), world.party("192.0.2.2:4000", SILENT));
    world.command(Command::Feed(b, Feed::Session(a)));
    detect(&mut world, a, Detectors { speech: Some(VoiceConfig::default()), ..digits(Inband::Remove) });
    world.peer(a).say(&tones("8", 2_000));
    world.run_ms(1_000);
    assert_eq!(world.told(|event| matches!(event, Event::DigitDown(_, 8))), 1);
    detect(&mut world, a, Detectors::default());
    assert_eq!(keys(&world, a), "8");
    let started = world.told(|event| matches!(event, Event::SpeechStarted(_)));
    assert_eq!(world.told(|event| matches!(event, Event::SpeechStopped(_))), started);
    world.run_ms(500);
    let shown = world.shard.session(b).map(ToString::to_string).expect("it is open");
    assert!(shown.contains("relay"), "{shown}");
    assert!(!world.shard.session(a).map(ToString::to_string).expect("it is open").contains("jitter"));
}

#[test]
fn network_and_fax_tones_are_told() {
    let mut world = World::new(11);
    let a = world.party("192.0.2.1:4000", SILENT);
    detect(&mut world, a, Detectors { tones: Some(Country::De), ..Detectors::default() });
    let mut busy = vec![0; 8 * 4_000];
    ToneGenerator::new(ToneSpec::busy(Country::De), 8000).fill(&mut busy);
    let mut others = vec![0.0; 8 * 5_000];
    add_tone(&mut others, 8_000, 12_000, 1100.0, -13.0);
    add_tone(&mut others, 20_000, 38_000, 2100.0, -13.0);
    for sound in [silence(500), busy, samples(&others), silence(500)] {
        world.peer(a).say(&sound);
    }
    world.run_ms(11_000);
    let told: Vec<_> = world
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::ToneHeard(_, progress) => Some(*progress),
            _ => None,
        })
        .collect();
    assert_eq!(told, [Progress::Busy, Progress::FaxCalling, Progress::FaxAnswering]);
}

fn verdicts(world: &World) -> Vec<Verdict> {
    let verdicts = world.events.iter().filter_map(|(_, event)| match event {
        Event::Answerer(_, verdict) => Some(*verdict),
        _ => None,
    });
    verdicts.collect()
}

fn amd() -> Detectors {
    Detectors { answering_machine: Some(AnsweringMachineConfig::default()), ..Detectors::default() }
}

/// A voice that says a word of so many ms and nothing else.
fn word(seed: u64, ms: usize) -> Vec<i16> {
    let all = voice(seed, 60_000);
    let loud = |chunk: &&[i16]| chunk.iter().any(|sample| sample.unsigned_abs() > 800);
    let speech: Vec<i16> = all.chunks(80).filter(loud).flatten().copied().collect();
    speech[..ms * 8].to_vec()
}

#[test]
fn a_short_word_and_silence_is_a_human() {
    let mut world = World::new(12);
    let a = world.party("192.0.2.1:4000", SILENT);
    detect(&mut world, a, amd());
    world.peer(a).say(&silence(800));
    world.peer(a).say(&word(2, 500));
    world.run_ms(300);
    world.command(Command::Answered(a));
    world.run_ms(4_000);
    let [verdict] = verdicts(&world)[..] else { panic!("{:?}", world.events) };
    assert_eq!((verdict.answerer, verdict.cause), (Answerer::Human, Cause::Pause));
    assert!((1_900..2_600).contains(&verdict.at_ms) && verdict.confidence > 60, "{verdict:?}");
}

#[test]
fn a_long_greeting_with_a_beep_is_a_machine_whenever_listening_began() {
    for answered_before in [false, true] {
        let mut world = World::new(13);
        let a = world.party("192.0.2.1:4000", SILENT);
        if answered_before {
            world.command(Command::Answered(a));
        }
        detect(&mut world, a, Detectors { beep: true, ..amd() });
        if !answered_before {
            world.command(Command::Answered(a));
        }
        let mut sound: Vec<f32> = word(3, 4_000).into_iter().map(f32::from).collect();
        sound.resize(8 * 5_000, 0.0);
        add_tone(&mut sound, 8 * 4_300, 8 * 4_600, 1000.0, -12.0);
        add_noise(&mut sound, &mut Dice::new(1), -60.0);
        world.peer(a).say(&samples(&sound));
        world.run_ms(6_000);
        let [verdict] = verdicts(&world)[..] else { panic!("{:?}", world.events) };
        assert_eq!((verdict.answerer, verdict.is_revision), (Answerer::Machine, false));
        let beeps = world.told(|event| matches!(event, Event::BeepHeard(_, 980..=1020, 250..=350)));
        assert_eq!(beeps, 1, "{:?}", world.events);
    }
}

#[test]
fn a_beep_revises_what_was_thought_once() {
    let mut world = World::new(14);
    let a = world.party("192.0.2.1:4000", SILENT);
    detect(&mut world, a, amd());
    world.command(Command::Answered(a));
    let mut sound: Vec<f32> = word(4, 500).into_iter().map(f32::from).collect();
    sound.resize(8 * 4_000, 0.0);
    add_tone(&mut sound, 8 * 3_000, 8 * 3_400, 440.0, -12.0);
    world.peer(a).say(&samples(&sound));
    world.run_ms(5_000);
    let [first, second] = verdicts(&world)[..] else { panic!("{:?}", world.events) };
    assert_eq!((first.answerer, first.is_revision), (Answerer::Human, false));
    assert_eq!((second.answerer, second.cause, second.is_revision), (Answerer::Machine, Cause::Beep, true));
    assert_eq!(world.told(|event| matches!(event, Event::BeepHeard(..))), 0, "it was not asked for");
    // Nothing is left to find out.
    assert!(!world.shard.session(a).map(ToString::to_string).expect("it is open").contains("jitter"));
}

#[test]
fn a_key_is_pressed_by_a_human_and_an_announcement_comes_from_the_network() {
    let mut world = World::new(15);
    let (a, b) = (world.party("192.0.2.1:4000", SILENT), world.party("192.0.2.2:4000", SILENT));
    detect(&mut world, a, amd());
    detect(&mut world, b, amd());
    let mut sound = vec![0.0; 8 * 3_000];
    for (number, hz) in [950.0, 1400.0, 1800.0].into_iter().enumerate() {
        add_tone(&mut sound, 4_000 + number * 2_640, 4_000 + (number + 1) * 2_640, hz, -13.0);
    }
    world.peer(b).say(&samples(&sound));
    world.command(Command::Answered(a));
    world.run_ms(700);
    world.peer(a).press(5, 6);
    world.run_ms(3_000);
    let causes: Vec<_> = verdicts(&world).iter().map(|verdict| (verdict.answerer, verdict.cause)).collect();
    assert_eq!(
        causes,
        [(Answerer::Human, Cause::Digit), (Answerer::Network, Cause::SpecialInformation)],
        "early media of the second is enough"
    );
}

#[test]
fn talk_begins_and_ends() {
    let mut world = World::new(16);
    let a = world.open(config("192.0.2.1:4000"));
    world.peers.push(common::peer::Peer::new(
        a,
        common::world::address("192.0.2.1:4000"),
        SILENT,
        world.now,
        &mut Dice::new(3),
    ));
    detect(&mut world, a, Detectors { speech: Some(VoiceConfig::default()), ..Detectors::default() });
    for (pause, talk) in [(500, 1_000), (1_000, 700)] {
        world.peer(a).say(&silence(pause));
        world.peer(a).say(&word(pause as u64, talk));
    }
    world.run_ms(5_000);
    assert_eq!(world.told(|event| matches!(event, Event::SpeechStarted(_))), 2, "{:?}", world.events);
    assert_eq!(world.told(|event| matches!(event, Event::SpeechStopped(_))), 2);
}

#[test]
fn digits_are_found_and_removed_in_wide_audio() {
    for remove in [false, true] {
        let mut world = World::new(17);
        let wide = PayloadFormat { codec: Codec::L16(L16Rate::Hz16000), payload_type: 96 };
        let wideband = |address: &str| SessionConfig { send: wide, receive: vec![wide], ..config(address) };
        let (a, b) = (world.open(wideband("192.0.2.1:4000")), world.open(wideband("192.0.2.2:4000")));
        world.command(Command::Feed(b, Feed::Session(a)));
        detect(&mut world, a, digits(if remove { Inband::Remove } else { Inband::Tell }));
        let mut sound = vec![0; 16 * 300];
        for code in [1, 6, 11, 12] {
            let mut tone = vec![0; 16 * 100];
            ToneGenerator::new(ToneSpec::dtmf(code).expect("a key"), 16_000).fill(&mut tone);
            sound.extend(tone);
            sound.extend(vec![0; 16 * 100]);
        }
        sound.resize(16 * 1_500, 0);
        let from = common::world::address("192.0.2.1:4000");
        for (number, frame) in sound.chunks(320).enumerate() {
            let mut bytes = vec![0x80, 96];
            bytes.extend((number as u16).to_be_bytes());
            bytes.extend((number as u32 * 320).to_be_bytes());
            bytes.extend(9_u32.to_be_bytes());
            bytes.extend(frame.iter().flat_map(|sample| sample.to_be_bytes()));
            world.deliver(world.now + Duration::from_millis(20 * number as u64), a, from, bytes);
        }
        world.run_ms(2_000);
        assert_eq!(keys(&world, a), "16#A");
        let heard: Vec<i16> = world
            .rtp(b)
            .filter(|sent| sent.payload_type() == 96)
            .flat_map(|sent| sent.payload().as_chunks::<2>().0.to_vec())
            .map(i16::from_be_bytes)
            .collect();
        let share = energy(&heard) / energy(&sound);
        let events = world.rtp(b).filter(|sent| sent.payload_type() == 101).count();
        assert!(if remove { share < 0.1 } else { share > 0.9 }, "{remove}: {share}");
        assert_eq!(events > 0, remove);
    }
}
