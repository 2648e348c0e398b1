//! What a leg can play, in virtual time: lists, queues, speech, and when it begins.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test waits for a few of all events")]

extern crate offhook_control as control;

mod common;

use std::time::Duration;

use common::{Stage, Who, tone, virtual_time::Virtual};
use control::{
    Begin, Command, CommandError, Dial, EventKind, LegId, Play, Source, SsmlError, Target, Utterance,
    media::{FinishReason, Piece, PlayerId, Steer, dsp::detect::tone_level},
    signaling::NameAddr,
};

const CALLER: Who = 0;
const SERVER: Who = 1;
const LINE: LegId = LegId(7);

/// A call that the server has taken but not answered, and its leg.
fn incoming(stage: &mut Virtual) -> LegId {
    let target = Target::Uri(stage.uri(SERVER, "menu"));
    let dial = Dial::new(target, NameAddr::from(stage.uri(CALLER, "caller")));
    stage.command(CALLER, LINE, Command::Dial(Box::new(dial))).unwrap();
    stage.wait(SERVER, "Incoming", &mut |event| matches!(event.kind, EventKind::Incoming(_))).leg
}

/// A call that is up.
fn answered(stage: &mut Virtual) -> LegId {
    let leg = incoming(stage);
    stage.command(SERVER, leg, Command::Answer).unwrap();
    stage.wait(SERVER, "Answered", &mut |event| matches!(event.kind, EventKind::Answered));
    stage.listen(CALLER, LINE);
    leg
}

fn finished(stage: &mut Virtual, player: u64) -> (FinishReason, u32) {
    let event = stage.wait(
        SERVER,
        "PlayFinished",
        &mut |event| matches!(event.kind, EventKind::PlayFinished(PlayerId(ended), ..) if ended == player),
    );
    let EventKind::PlayFinished(_, reason, ms) = event.kind else { unreachable!("waited for it") };
    (reason, ms)
}

fn hang_up(mut stage: Virtual, leg: LegId) -> Vec<i16> {
    stage.command(SERVER, leg, Command::HangUp(None)).unwrap();
    stage.wait(CALLER, "Ended", &mut |event| matches!(event.kind, EventKind::Ended(_)));
    let arrived = stage.arrived(CALLER, LINE);
    stage.finish();
    arrived
}

/// How many ms of a tone are in it.
fn share(samples: &[i16], hz: f32) -> usize {
    20 * samples.chunks_exact(160).filter(|frame| tone_level(frame, 8_000, hz) > -30.0).count()
}

fn prompt(hz: f32, ms: u32) -> Source {
    Source::Prompt(tone(hz, ms))
}

#[test]
fn a_list_is_played_in_order_and_a_queued_playback_follows_it() {
    let mut stage = Virtual::new(3, 2);
    let leg = answered(&mut stage);
    let list = Play::of(PlayerId(1), vec![prompt(700.0, 300), Source::Silence(100), prompt(1_100.0, 200)]);
    let next = Play { queued: true, ..Play::prompt(PlayerId(2), tone(1_500.0, 200), Some(1)) };
    stage.command(SERVER, leg, Command::Play(list.into())).unwrap();
    stage.command(SERVER, leg, Command::Play(next.into())).unwrap();
    assert_eq!(finished(&mut stage, 1), (FinishReason::Ended, 600));
    assert_eq!(finished(&mut stage, 2), (FinishReason::Ended, 200));
    let heard = hang_up(stage, leg);
    for (hz, ms) in [(700.0, 300), (1_100.0, 200), (1_500.0, 200)] {
        assert!((ms - 40..=ms + 40).contains(&share(&heard, hz)), "{hz}: {}", share(&heard, hz));
    }
}

#[test]
fn a_playback_that_replaces_ends_all_that_wait() {
    let mut stage = Virtual::new(3, 2);
    let leg = answered(&mut stage);
    for player in 1..=3 {
        let play = Play { queued: true, ..Play::prompt(PlayerId(player), tone(700.0, 5_000), None) };
        stage.command(SERVER, leg, Command::Play(play.into())).unwrap();
    }
    stage
        .command(SERVER, leg, Command::Play(Play::prompt(PlayerId(4), tone(900.0, 100), Some(1)).into()))
        .unwrap();
    for player in 1..=3 {
        assert_eq!(finished(&mut stage, player).0, FinishReason::Replaced);
    }
    assert_eq!(finished(&mut stage, 4), (FinishReason::Ended, 100));
    hang_up(stage, leg);
}

#[test]
fn a_playback_can_be_paused_resumed_and_sent_elsewhere() {
    let mut stage = Virtual::new(3, 2);
    let leg = answered(&mut stage);
    let markers = vec![1_500];
    let play = Play { markers, ..Play::prompt(PlayerId(1), tone(700.0, 2_000), Some(1)) };
    stage.command(SERVER, leg, Command::Play(play.into())).unwrap();
    stage.wait(SERVER, "PlayStarted", &mut |event| matches!(event.kind, EventKind::PlayStarted(_)));
    let steer = |stage: &mut Virtual, steer| {
        stage.command(SERVER, leg, Command::SteerPlay(PlayerId(1), steer)).unwrap();
    };
    steer(&mut stage, Steer::Pause);
    stage.world.run_for(Duration::from_secs(10));
    steer(&mut stage, Steer::Seek(1_400));
    steer(&mut stage, Steer::Volume(-20.0));
    steer(&mut stage, Steer::Resume);
    stage.wait(SERVER, "PlayMarker", &mut |event| matches!(event.kind, EventKind::PlayMarker(_, 0)));
    let (reason, ms) = finished(&mut stage, 1);
    assert_eq!(reason, FinishReason::Ended);
    assert!((600..=700).contains(&ms), "{ms}");
    hang_up(stage, leg);
}

#[test]
fn the_first_word_waits_until_the_caller_can_hear_it() {
    let mut stage = Virtual::new(3, 2);
    let leg = incoming(&mut stage);
    stage.command(SERVER, leg, Command::Answer).unwrap();
    let begin = Begin::Heard(Duration::from_millis(200));
    let play = Play { begin, lead_in_ms: 100, ..Play::prompt(PlayerId(1), tone(700.0, 200), Some(1)) };
    stage.command(SERVER, leg, Command::Play(play.into())).unwrap();
    let order = |event: &control::Event| {
        matches!(event.kind, EventKind::Answered | EventKind::MediaStarted | EventKind::PlayStarted(_))
    };
    let first = stage.wait(SERVER, "anything", &mut |event| order(event));
    assert!(!matches!(first.kind, EventKind::PlayStarted(_)), "{first:?}");
    assert_eq!(finished(&mut stage, 1), (FinishReason::Ended, 200));
    hang_up(stage, leg);
}

#[test]
fn a_text_becomes_speech_and_silence_and_what_is_not_understood_is_told() {
    let mut stage = Virtual::new(3, 2);
    let leg = answered(&mut stage);
    let server = stage.node(SERVER);
    stage.world.node_mut(server).set_library(Box::new(|source, _| {
        let Source::Speech(utterance) = source else { panic!("{source:?}") };
        assert_eq!(utterance.voice.as_deref(), Some("anna"));
        Piece::Prompt(tone(700.0, 100 * utterance.text.len() as u32))
    }));
    let text = "<speak>abc<break time='300ms'/><emphasis>de</emphasis></speak>".to_owned();
    let utterance = Utterance { text, voice: Some("anna".into()), language: None };
    stage.command(SERVER, leg, Command::Say(PlayerId(1), utterance)).unwrap();
    stage.wait(
        SERVER,
        "SpeechIgnored",
        &mut |event| matches!(&event.kind, EventKind::SpeechIgnored(_, element) if element == "emphasis"),
    );
    assert_eq!(finished(&mut stage, 1), (FinishReason::Ended, 800));
    let broken = Command::Say(PlayerId(2), Utterance::new("<speak>abc"));
    let error = CommandError::Ssml(SsmlError { position: 10, expected: "a closing tag" });
    assert_eq!(stage.command(SERVER, leg, broken), Err(error));
    hang_up(stage, leg);
}

#[test]
fn what_cannot_be_had_is_an_event_and_the_call_goes_on() {
    let mut stage = Virtual::new(3, 2);
    let leg = answered(&mut stage);
    let play = Play::of(PlayerId(1), vec![prompt(700.0, 200), Source::Url("http://x.invalid/".into())]);
    stage.command(SERVER, leg, Command::Play(play.into())).unwrap();
    stage.wait(SERVER, "PlayFailed", &mut |event| {
        matches!(&event.kind, EventKind::PlayFailed(PlayerId(1), why) if why.contains("no such thing"))
    });
    assert_eq!(finished(&mut stage, 1), (FinishReason::Failed, 200));
    hang_up(stage, leg);
}
