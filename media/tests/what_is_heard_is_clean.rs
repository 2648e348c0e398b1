//! The listener's ear: tones that pass through a session have no gaps and no clicks.

mod common;

use std::sync::Arc;

use common::{
    peer::Link,
    world::{World, config},
};
use offhook_media::{
    Codec, Command, Feed, PayloadFormat, Playback, PlayerId, Prompt, SessionConfig, SessionId,
    dsp::{
        detect::analyse,
        tone::{ToneGenerator, ToneSpec},
    },
};

const A: &str = "192.0.2.1:4000";
const B: &str = "192.0.2.2:4000";

/// What the peer of a session hears when it plays every packet at its timestamp.
fn heard(world: &World, id: SessionId) -> Vec<i16> {
    let mut audio = Vec::new();
    let mut origin = None;
    for sent in world.rtp(id) {
        let codec = if sent.payload_type() == 8 { Codec::Pcma } else { Codec::Pcmu };
        let at = sent.timestamp().wrapping_sub(*origin.get_or_insert(sent.timestamp())) as usize;
        let mut samples = [0; 480];
        let length = codec.decode(sent.payload(), &mut samples);
        audio.resize(at.max(audio.len()), 0);
        audio.extend(&samples[..length]);
    }
    audio
}

fn tone(hz: f32, ms: usize) -> Vec<i16> {
    let mut samples = vec![0; ms * 8];
    ToneGenerator::new(ToneSpec::continuous(hz, -10.0), 8_000).fill(&mut samples);
    samples
}

#[test]
fn prompts_and_tones_begin_and_end_without_a_click() {
    let mut world = World::new(51);
    let a = world.open(config(A));
    world.run_ms(203);
    let prompt = Arc::new(Prompt::from_samples(&tone(700.0, 4_000), 8_000));
    let play =
        |player| Command::Play(a, PlayerId(player), Box::new(Playback::prompt(Arc::clone(&prompt), None)));
    world.command(play(1));
    world.run_ms(1_011);
    world.command(Command::StopPlay(a, PlayerId(1)));
    world.run_ms(300);
    world.command(Command::Feed(a, Feed::tone(ToneSpec::continuous(425.0, -13.0))));
    world.run_ms(1_007);
    world.command(play(2));
    world.run_ms(1_000);
    world.command(Command::StopPlay(a, PlayerId(2)));
    world.run_ms(1_000);
    world.command(Command::Feed(a, Feed::Silence));
    world.run_ms(300);
    let audio = heard(&world, a);
    let report = analyse(&audio, 8_000, &[700.0, 425.0]);
    assert_eq!(report.clicks, 0, "{report:?}");
    assert!(report.heard_ms(700.0).abs_diff(2_010) <= 60, "{report:?}");
    assert!(report.heard_ms(425.0).abs_diff(2_000) <= 60, "{report:?}");
}

#[test]
fn a_tone_of_the_other_party_is_heard_whole_through_any_jitter_and_codec() {
    for (codec, payload_type, ptime_ms) in [(Codec::Pcmu, 0, 20), (Codec::Pcma, 8, 20), (Codec::Pcma, 8, 30)]
    {
        let mut world = World::new(52);
        let a = world.open(config(A));
        let b =
            world.open(SessionConfig { send: PayloadFormat { codec, payload_type }, ptime_ms, ..config(B) });
        world.command(Command::Feed(b, Feed::Session(a)));
        let link = Link { delay_ms: 30, jitter_ms: 25, ..Link::default() };
        let mut audio = tone(1_000.0, 5_000);
        for (left, sample) in (0..40).zip(audio.iter_mut().rev()) {
            *sample = (i32::from(*sample) * left / 40) as i16;
        }
        audio.resize(audio.len() + 1_600, 0);
        speak(&mut world, a, &audio, link);
        world.run_ms(5_200);
        let report = analyse(&heard(&world, b), 8_000, &[1_000.0]);
        assert_eq!(report.clicks, 0, "{codec} {ptime_ms} ms: {report:?}");
        assert!(report.heard_ms(1_000.0) >= 4_960, "{codec} {ptime_ms} ms: {report:?}");
        // Its edges may be too short to be a tone.
        assert!(report.other_ms <= 20, "{codec} {ptime_ms} ms: {report:?}");
    }
}

/// The peer of a session says `audio` in packets of 20 ms, from now on.
fn speak(world: &mut World, id: SessionId, audio: &[i16], link: Link) {
    for (index, frame) in audio.chunks(160).enumerate() {
        let mut bytes = vec![0x80, 0];
        bytes.extend((index as u16).to_be_bytes());
        bytes.extend((index as u32 * 160).to_be_bytes());
        bytes.extend([1, 2, 3, 4]);
        bytes.resize(12 + frame.len(), 0);
        Codec::Pcmu.encode(frame, &mut bytes[12..]);
        let delay = link.delay_ms + world.dice.below(link.jitter_ms + 1);
        let at = world.now + std::time::Duration::from_millis(20 * index as u64 + delay);
        world.deliver(at, id, common::world::address(A), bytes);
    }
}
