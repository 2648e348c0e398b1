//! Parties of every codec and rate hear each other, in pairs and in rooms.

#![cfg(feature = "opus")]

mod common;

use std::{sync::Arc, time::Duration};

use common::{
    dice::Dice,
    world::{World, address, config},
};
use offhook_media::{
    Codec, Command, DigitString, Feed, MixId, PayloadFormat, Playback, PlayerId, Prompt, SessionConfig,
    SessionId,
    codec::{Decoder, Encoder, EncoderSettings, L16Rate},
    dsp::{
        detect::tone_level,
        tone::{ToneGenerator, ToneSpec},
    },
};

const CODECS: [Codec; 6] = [
    Codec::Pcmu,
    Codec::Pcma,
    Codec::G722,
    Codec::Opus,
    Codec::L16(L16Rate::Hz8000),
    Codec::L16(L16Rate::Hz16000),
];

/// −13 dBm0, which is so much below a full-scale sine.
const LEVEL: f32 = -16.14;

fn format(codec: Codec) -> PayloadFormat {
    PayloadFormat { codec, payload_type: codec.usual_payload_type() }
}

fn config_of(number: usize, codec: Codec, ptime_ms: u8) -> SessionConfig {
    SessionConfig {
        send: format(codec),
        receive: CODECS.map(format).to_vec(),
        ptime_ms,
        ..config(&format!("192.0.2.{}:4000", number + 1))
    }
}

/// A party that says a tone.
struct Speaker {
    session: SessionId,
    from: std::net::SocketAddr,
    codec: Codec,
    encoder: Encoder,
    tone: ToneGenerator,
    ptime_ms: u8,
    sequence: u16,
    timestamp: u32,
    said_ms: u64,
    /// Of 100 packets.
    loss: u64,
}

impl Speaker {
    fn new(session: SessionId, number: usize, codec: Codec, ptime_ms: u8, hz: f32) -> Self {
        // Opus gives up the upper band where that costs too much.
        let settings =
            EncoderSettings { bit_rate: Some(48_000), complexity: 0, ..EncoderSettings::default() };
        let mut encoder = Encoder::new(codec, codec.sample_rate(), settings);
        encoder.set_expected_loss(20);
        Self {
            session,
            from: address(&format!("192.0.2.{}:4000", number + 1)),
            codec,
            tone: ToneGenerator::new(ToneSpec::continuous(hz, -13.0), encoder.rate()),
            encoder,
            ptime_ms,
            sequence: 65_500,
            timestamp: 77,
            said_ms: 0,
            loss: 0,
        }
    }

    /// Everything it says in that time.
    fn speak(&mut self, world: &mut World, ms: u64) {
        let end = (world.now - world.base).as_millis() as u64 + ms;
        while self.said_ms < end {
            let mut samples = vec![0; self.encoder.rate() as usize / 1_000 * usize::from(self.ptime_ms)];
            self.tone.fill(&mut samples);
            let mut packet = vec![0; 1_500];
            let length = self.encoder.encode(&samples, &mut packet[12..]);
            packet.truncate(12 + length);
            packet[..2].copy_from_slice(&[0x80, self.codec.usual_payload_type()]);
            packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
            packet[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
            packet[8..12].copy_from_slice(&self.session.slot().to_be_bytes());
            let at = world.base + Duration::from_millis(self.said_ms);
            if !world.dice.percent(self.loss) && at >= world.now {
                world.deliver(at, self.session, self.from, packet);
            }
            self.sequence = self.sequence.wrapping_add(1);
            self.timestamp = self.timestamp.wrapping_add(self.codec.timestamp_units(self.ptime_ms));
            self.said_ms += u64::from(self.ptime_ms);
        }
    }
}

/// The end of what a session was sent, decoded.
fn heard(world: &World, id: SessionId, codec: Codec) -> (Vec<i16>, u32) {
    let mut decoder = Decoder::new(codec, codec.sample_rate());
    let mut audio = Vec::new();
    for sent in world.rtp(id).filter(|sent| sent.payload_type() == codec.usual_payload_type()) {
        let mut samples = [0; 5_760];
        let length = decoder.decode(sent.payload(), &mut samples);
        audio.extend(&samples[..length]);
    }
    (audio, decoder.rate())
}

fn level(world: &World, id: SessionId, codec: Codec, hz: f32) -> f32 {
    let (audio, rate) = heard(world, id, codec);
    let last = audio.len().saturating_sub(rate as usize / 2);
    tone_level(&audio[last..], rate, hz)
}

fn run(world: &mut World, speakers: &mut [Speaker], ms: u64) {
    for speaker in speakers {
        speaker.speak(world, ms);
    }
    world.run_ms(ms);
}

#[test]
fn between_any_two_codecs_a_tone_keeps_its_level() {
    for from in CODECS {
        for to in CODECS {
            // The same codec is decoded where packets have another length.
            let (said_ms, heard_ms) = if from == to { (20, 40) } else { (20, 20) };
            let mut world = World::new(1);
            let source = world.open(config_of(0, from, 20));
            let listener = world.open(config_of(1, to, heard_ms));
            world.command(Command::Feed(listener, Feed::Session(source)));
            run(&mut world, &mut [Speaker::new(source, 0, from, said_ms, 1_000.0)], 1_500);
            let level = level(&world, listener, to, 1_000.0);
            assert!((level - LEVEL).abs() < 1.0, "{from} to {to}: {level}");
            assert_eq!(world.shard.stats().continuity_violations, 0, "{from} to {to}");
        }
    }
}

#[test]
fn equal_codecs_are_relayed_as_they_are() {
    for codec in CODECS {
        let mut world = World::new(1);
        let source = world.open(config_of(0, codec, 20));
        let listener = world.open(config_of(1, codec, 20));
        world.command(Command::Feed(listener, Feed::Session(source)));
        run(&mut world, &mut [Speaker::new(source, 0, codec, 20, 1_000.0)], 500);
        let mut encoder = Speaker::new(source, 0, codec, 20, 1_000.0);
        let rate = encoder.encoder.rate() as usize;
        for sent in world.rtp(listener).skip(2).take(3) {
            assert_eq!(codec.ticks(sent.payload()), codec.timestamp_units(20), "{codec} at {rate}");
        }
        let (mut samples, mut first) = (vec![0; rate / 50], [0; 1_500]);
        encoder.tone.fill(&mut samples);
        let length = encoder.encoder.encode(&samples, &mut first);
        assert!(world.rtp(listener).any(|sent| sent.payload() == &first[..length]), "{codec}");
        assert_eq!(world.shard.stats().continuity_violations, 0, "{codec}");
    }
}

#[test]
fn packets_of_every_length_are_taken() {
    for (codec, lengths) in [(Codec::Opus, [10, 20, 40, 60]), (Codec::G722, [10, 20, 30, 60])] {
        for said_ms in lengths {
            for heard_ms in [10, 30, 60] {
                let mut world = World::new(1);
                let source = world.open(config_of(0, codec, 20));
                let listener = world.open(config_of(1, Codec::Pcmu, heard_ms));
                world.command(Command::Feed(listener, Feed::Session(source)));
                run(&mut world, &mut [Speaker::new(source, 0, codec, said_ms, 1_000.0)], 1_500);
                let level = level(&world, listener, Codec::Pcmu, 1_000.0);
                assert!((level - LEVEL).abs() < 1.0, "{codec} of {said_ms} ms to {heard_ms} ms: {level}");
            }
        }
    }
}

#[test]
fn wide_band_members_of_a_room_hear_each_other_in_full_whoever_else_is_there() {
    for wide in [Codec::G722, Codec::Opus, Codec::L16(L16Rate::Hz16000)] {
        let mut world = World::new(1);
        let codecs = [wide, Codec::G722, Codec::Pcmu];
        let ids: Vec<_> =
            codecs.iter().enumerate().map(|(at, &codec)| world.open(config_of(at, codec, 20))).collect();
        let mut speakers: Vec<_> = [6_000.0, 1_300.0, 700.0]
            .into_iter()
            .enumerate()
            .map(|(at, hz)| Speaker::new(ids[at], at, codecs[at], 20, hz))
            .collect();
        for &id in &ids {
            world.command(Command::Feed(id, Feed::Mix(MixId(1))));
        }
        run(&mut world, &mut speakers, 2_000);
        let at = |listener: usize, hz: f32| level(&world, ids[listener], codecs[listener], hz);
        assert!((at(1, 6_000.0) - LEVEL).abs() < 2.0, "{wide}: {}", at(1, 6_000.0));
        assert!((at(1, 700.0) - LEVEL).abs() < 1.0, "{wide}: {}", at(1, 700.0));
        assert!((at(0, 700.0) - LEVEL).abs() < 1.5, "{wide}: {}", at(0, 700.0));
        assert!((at(0, 1_300.0) - LEVEL).abs() < 1.5, "{wide}: {}", at(0, 1_300.0));
        assert!((at(2, 1_300.0) - LEVEL).abs() < 1.0, "{wide}: {}", at(2, 1_300.0));
        // Nobody hears itself, and above 4 kHz there is no alias for the narrow-band party.
        assert!(at(0, 6_000.0) < -45.0 && at(2, 700.0) < -45.0 && at(2, 2_000.0) < -55.0, "{wide}");
        assert_eq!(world.shard.stats().continuity_violations, 0);
    }
}

#[test]
fn listeners_of_a_room_share_an_encoder_and_hear_no_seam_when_they_begin_to_talk() {
    let mut world = World::new(3);
    let ids: Vec<_> = (0..5).map(|at| world.open(config_of(at, Codec::G722, 20))).collect();
    for &id in &ids {
        world.command(Command::Feed(id, Feed::Mix(MixId(1))));
    }
    let mut talker = [Speaker::new(ids[0], 0, Codec::G722, 20, 1_000.0)];
    run(&mut world, &mut talker, 2_000);
    // Sessions 0 and 4 send on the same beat; 1 begins and stops to talk.
    let (mut other, said) = (Speaker::new(ids[1], 1, Codec::G722, 20, 400.0), talker[0].said_ms);
    other.said_ms = said;
    other.speak(&mut world, 600);
    run(&mut world, &mut talker, 3_000);
    let (audio, rate) = heard(&world, ids[1], Codec::G722);
    let level = |from: usize| tone_level(&audio[from..from + rate as usize / 50], rate, 1_000.0);
    for from in (rate as usize..audio.len() - rate as usize / 50).step_by(rate as usize / 50) {
        assert!((level(from) - LEVEL).abs() < 1.0, "{} at {} ms", level(from), from / 16);
    }
}

#[test]
fn of_the_loudest_talkers_only_so_many_are_heard() {
    let mut world = World::new(1);
    let ids: Vec<_> = (0..4).map(|at| world.open(config_of(at, Codec::Pcmu, 20))).collect();
    for &id in &ids {
        world.command(Command::Feed(id, Feed::Mix(MixId(1))));
    }
    world.command(Command::Loudest(ids[0], 1));
    let mut speakers: Vec<_> = [500.0, 900.0]
        .into_iter()
        .enumerate()
        .map(|(at, hz)| Speaker::new(ids[at], at, Codec::Pcmu, 20, hz))
        .collect();
    speakers[1].tone = ToneGenerator::new(ToneSpec::continuous(900.0, -30.0), 8_000);
    run(&mut world, &mut speakers, 1_500);
    assert!((level(&world, ids[3], Codec::Pcmu, 500.0) - LEVEL).abs() < 1.0);
    assert!(level(&world, ids[3], Codec::Pcmu, 900.0) < -60.0);
    world.command(Command::Loudest(ids[0], 0));
    run(&mut world, &mut speakers, 1_500);
    assert!((level(&world, ids[3], Codec::Pcmu, 900.0) + 33.14).abs() < 1.0);
}

#[test]
fn lost_packets_of_opus_are_read_from_the_next_or_made_up() {
    let mut world = World::new(5);
    let source = world.open(config_of(0, Codec::Opus, 20));
    let listener = world.open(config_of(1, Codec::Pcmu, 20));
    world.command(Command::Feed(listener, Feed::Session(source)));
    let mut speaker = [Speaker::new(source, 0, Codec::Opus, 20, 300.0)];
    speaker[0].loss = 8;
    run(&mut world, &mut speaker, 6_000);
    let stats = world.shard.session(source).expect("it is open").stats();
    assert!(stats.lost > 10 && stats.recovered + stats.concealed >= stats.lost / 2, "{stats:?}");
    let level = level(&world, listener, Codec::Pcmu, 300.0);
    assert!((level - LEVEL).abs() < 2.0, "{level}, {stats:?}");
}

#[test]
fn prompts_and_tones_are_heard_in_every_codec() {
    for codec in CODECS {
        let mut world = World::new(1);
        let id = world.open(config_of(0, codec, 20));
        world.command(Command::Feed(id, Feed::tone(ToneSpec::continuous(425.0, -13.0))));
        world.run_ms(1_000);
        let tone = level(&world, id, codec, 425.0);
        assert!((tone - LEVEL).abs() < 1.0, "{codec}: {tone}");
        let mut samples = vec![0; 16_000];
        ToneGenerator::new(ToneSpec::continuous(1_000.0, -13.0), 16_000).fill(&mut samples);
        let prompt = Arc::new(Prompt::from_samples(&samples, 16_000));
        world.command(Command::Play(id, PlayerId(1), Box::new(Playback::prompt(prompt, None))));
        world.run_ms(1_500);
        let prompt = level(&world, id, codec, 1_000.0);
        assert!((prompt - LEVEL).abs() < 1.0, "{codec}: {prompt}");
        assert_eq!(world.shard.stats().continuity_violations, 0, "{codec}");
    }
}

/// SSRC, sequence numbers and the order of timestamps, whatever the clock.
fn is_unbroken(world: &World, id: SessionId) {
    let mut last: Option<(u16, u32, u32, bool)> = None;
    for sent in world.rtp(id) {
        let ssrc = u32::from_be_bytes([sent.bytes[8], sent.bytes[9], sent.bytes[10], sent.bytes[11]]);
        let event = sent.payload_type() == 101;
        if let Some((sequence, timestamp, known, was_event)) = last {
            assert_eq!((sent.sequence(), ssrc), (sequence.wrapping_add(1), known), "{id:?}");
            let ahead = sent.timestamp().wrapping_sub(timestamp) as i32;
            assert!(ahead > 0 || (ahead == 0 && event && was_event), "{id:?}: {ahead}");
        }
        last = Some((sent.sequence(), sent.timestamp(), ssrc, event));
    }
}

#[test]
fn switches_between_sources_codecs_and_rates_leave_every_stream_unbroken() {
    for seed in 0..6 {
        let mut dice = Dice::new(seed);
        let mut world = World::new(seed);
        let ids: Vec<_> = (0..4).map(|at| world.open(config_of(at, CODECS[at], 20))).collect();
        let mut speakers: Vec<_> =
            (0..4).map(|at| Speaker::new(ids[at], at, CODECS[(at + 2) % 6], 20, 500.0)).collect();
        let prompt = Arc::new(Prompt::from_samples(&[1_000; 7_777], 16_000));
        for player in 0..120 {
            let at = dice.below(4) as usize;
            let (id, source) = (ids[at], ids[dice.below(4) as usize]);
            world.command(match dice.below(10) {
                0..=2 => Command::Feed(id, Feed::Session(source)),
                3..=4 => Command::Feed(id, Feed::Mix(MixId(dice.below(2)))),
                5 => Command::Feed(id, Feed::tone(ToneSpec::continuous(425.0, -13.0))),
                6 => {
                    let playback = Playback::prompt(Arc::clone(&prompt), Some(2));
                    Command::Play(id, PlayerId(player), Box::new(playback))
                }
                7 => Command::SendDigits(id, Box::new(DigitString::parse("1,9").expect("digits"))),
                _ => {
                    let ptime_ms = [10, 20, 30, 60][dice.below(4) as usize];
                    let codec = CODECS[dice.below(6) as usize];
                    Command::Configure(id, Box::new(config_of(at, codec, ptime_ms)))
                }
            });
            if dice.percent(20) {
                let (codec, now) = (CODECS[dice.below(6) as usize], speakers[at].said_ms);
                let mut other = Speaker::new(ids[at], at, codec, 20, 700.0);
                (other.said_ms, other.sequence) = (now, speakers[at].sequence);
                speakers[at] = other;
            }
            let ms = dice.below(200);
            run(&mut world, &mut speakers, ms);
        }
        assert_eq!(world.shard.stats().continuity_violations, 0, "seed {seed}");
        for &id in &ids {
            is_unbroken(&world, id);
        }
    }
}
