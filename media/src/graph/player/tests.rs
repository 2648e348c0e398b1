use std::sync::Arc;

use super::*;
use crate::{
    dsp::tone_script::ToneScript,
    graph::{prompt::Prompt, stream::stream},
};

fn prompt(samples: &[i16]) -> Arc<Prompt> {
    Arc::new(Prompt::from_samples(samples, 8_000))
}

fn ramp(from: i16, count: i16) -> Arc<Prompt> {
    prompt(&(from..from + count).collect::<Vec<_>>())
}

fn player(playback: Playback) -> Player {
    Player::new(PlayerId(1), playback)
}

/// Everything that is heard of it, in frames of 160, and what was told.
fn run(player: &mut Player) -> (Vec<i16>, Vec<News>) {
    let (mut heard, mut told) = (Vec::new(), Vec::new());
    while !player.is_finished() && heard.len() < 1_000_000 {
        let mut frame = [0; 160];
        let count = player.fill(8_000, &mut frame, &mut |news| told.push(news));
        heard.extend(&frame[..count]);
    }
    (heard, told)
}

/// A frame as it was encoded, as sessions ask for it. Whether there was one.
fn encoded(player: &mut Player, codec: Codec, last: bool, out: &mut [u8], told: &mut Vec<News>) -> bool {
    let told = &mut |news| told.push(news);
    let Some(payload) = player.payload(codec, out.len()) else {
        return player.fill_payload(codec, last, out, told);
    };
    out.copy_from_slice(payload);
    player.pass(out.len(), told);
    true
}

#[test]
fn a_loop_has_no_gap_and_ends_after_its_rounds() {
    let mut player = player(Playback::prompt(prompt(&[1, 2, 3]), Some(3)));
    let mut heard = [0; 8];
    assert_eq!(player.fill(8_000, &mut heard, &mut |_| {}), 8);
    assert_eq!(heard, [1, 2, 3, 1, 2, 3, 1, 2]);
    assert!(!player.is_finished());
    assert_eq!(player.fill(8_000, &mut heard, &mut |_| {}), 1);
    assert!(player.is_finished());
    assert_eq!(player.fill(8_000, &mut heard, &mut |_| {}), 0);
}

#[test]
fn an_empty_prompt_ends_even_when_it_loops() {
    for pieces in
        [vec![], vec![Piece::Prompt(prompt(&[]))], vec![Piece::Silence(0), Piece::Prompt(prompt(&[]))]]
    {
        let mut player = player(Playback { times: None, ..Playback::of(pieces) });
        assert_eq!(player.fill(8_000, &mut [0; 160], &mut |_| {}), 0);
        assert!(player.is_finished());
        assert_eq!(player.played_ms(), 0);
    }
}

#[test]
fn pieces_follow_each_other_without_a_gap() {
    let tones = ToneScript::parse("425@-19;0.01(*/0/1)").unwrap();
    let pieces = vec![
        Piece::Prompt(ramp(1, 100)),
        Piece::Silence(3),
        Piece::Tones(Box::new(tones)),
        Piece::Prompt(ramp(1_000, 50)),
    ];
    let mut player = player(Playback { times: Some(2), ..Playback::of(pieces) });
    let (heard, _) = run(&mut player);
    let round = 100 + 24 + 80 + 50;
    assert_eq!(heard.len(), 2 * round);
    assert_eq!(heard[..round], heard[round..]);
    assert_eq!(heard[..100], (1..101).collect::<Vec<i16>>());
    assert_eq!(heard[100..124], [0; 24]);
    assert!(heard[130..200].iter().any(|&sample| sample > 500));
    assert_eq!(heard[204..254], (1_000..1_050).collect::<Vec<i16>>());
    assert_eq!(player.played_ms(), 2 * round as u32 / 8);
}

#[test]
fn encoded_frames_and_samples_are_the_same_sound() {
    let sound: Vec<i16> = (0..1_000).map(|n| ((f64::from(n) / 5.0).sin() * 9_000.0) as i16).collect();
    for times in [Some(1), Some(3), None] {
        let playback = || Playback { markers: vec![50, 100], ..Playback::prompt(prompt(&sound), times) };
        let (mut fast, mut slow) = (player(playback()), player(playback()));
        for _ in 0..40 {
            let (mut payload, mut samples) = ([Codec::Pcma.silence().unwrap(); 160], [0; 160]);
            let (mut told, mut told_slow) = (Vec::new(), Vec::new());
            if !fast.is_finished() {
                assert!(encoded(&mut fast, Codec::Pcma, true, &mut payload, &mut told));
                slow.fill(8_000, &mut samples, &mut |news| told_slow.push(news));
            }
            let mut expected = [0; 160];
            Codec::Pcma.encode(&samples, &mut expected);
            assert_eq!((payload, told), (expected, told_slow));
            assert_eq!(fast.played_ms(), slow.played_ms());
            assert_eq!(fast.is_finished(), slow.is_finished());
        }
    }
}

#[test]
fn what_changes_the_sound_forbids_encoded_frames() {
    let frames = |playback: Playback| {
        let mut player = player(playback);
        encoded(&mut player, Codec::Pcmu, true, &mut [0; 160], &mut Vec::new())
    };
    let long = || Playback::prompt(prompt(&[5; 800]), None);
    assert!(frames(long()));
    assert!(!frames(Playback { volume_db: 3.0, ..long() }));
    assert!(!frames(Playback { lead_in_ms: 20, ..long() }));
    assert!(!frames(Playback { paused: true, ..long() }));
    assert!(!frames(Playback::of(vec![Piece::Silence(100)])));
    let mut player = player(Playback::prompt(prompt(&[5; 100]), Some(1)));
    assert!(!encoded(&mut player, Codec::Pcmu, false, &mut [0; 160], &mut Vec::new()));
    assert!(encoded(&mut player, Codec::Pcmu, true, &mut [0; 160], &mut Vec::new()));
    assert_eq!(player.played_ms(), 12);
}

#[test]
fn volume_is_in_db_and_changes_without_a_click() {
    let mut player = player(Playback { volume_db: -6.0, ..Playback::prompt(prompt(&[10_000; 8_000]), None) });
    let mut frame = [0; 160];
    player.fill(8_000, &mut frame, &mut |_| {});
    assert_eq!(frame, [5_012; 160]);
    player.steer(Steer::Volume(0.0));
    player.fill(8_000, &mut frame, &mut |_| {});
    assert!(frame.windows(2).all(|pair| (0..200).contains(&(pair[1] - pair[0]))));
    assert_eq!((frame[39], frame[159]), (10_000, 10_000));
    player.steer(Steer::Volume(-100.0));
    player.fill(8_000, &mut frame, &mut |_| {});
    assert_eq!(frame[39], 0);
    player.steer(Steer::Volume(f32::NAN));
    player.fill(8_000, &mut frame, &mut |_| {});
    assert_eq!(frame[159], 10_000);
}

#[test]
fn a_pause_is_silent_and_loses_nothing() {
    let mut player = player(Playback::prompt(prompt(&[10_000; 800]), Some(1)));
    let mut frame = [1; 160];
    player.fill(8_000, &mut frame, &mut |_| {});
    player.steer(Steer::Pause);
    player.fill(8_000, &mut frame, &mut |_| {});
    assert!(frame[..40].windows(2).all(|pair| pair[0] > pair[1]));
    assert_eq!(frame[40..], [0; 120]);
    for _ in 0..10 {
        assert_eq!(player.fill(8_000, &mut frame, &mut |_| {}), 160);
        assert_eq!(frame, [0; 160]);
    }
    assert_eq!(player.played_ms(), 25);
    player.steer(Steer::Resume);
    let (heard, _) = run(&mut player);
    assert_eq!((heard.len(), player.played_ms()), (600, 100));
    assert!(heard[0] < 400 && heard[39] == 10_000);
}

#[test]
fn a_playback_may_wait_and_begin_with_silence() {
    let mut player =
        player(Playback { paused: true, lead_in_ms: 30, ..Playback::prompt(prompt(&[9; 80]), Some(1)) });
    let mut told = Vec::new();
    let mut frame = [1; 160];
    player.fill(8_000, &mut frame, &mut |news| told.push(news));
    assert_eq!((frame, told.len()), ([0; 160], 0));
    player.steer(Steer::Resume);
    let (heard, told) = run(&mut player);
    assert_eq!((&heard[..240], &heard[240..]), (&[0; 240][..], &[9; 80][..]));
    assert_eq!((told, player.played_ms()), (vec![News::Started], 10));
}

#[test]
fn a_seek_lands_on_the_sample_and_markers_tell_when_they_are_passed() {
    let pieces = vec![Piece::Prompt(ramp(0, 800)), Piece::Silence(100), Piece::Prompt(ramp(2_000, 800))];
    let markers = vec![0, 50, 250, 250, 900];
    let mut player = player(Playback { from_ms: 40, markers, ..Playback::of(pieces) });
    let (mut frame, mut told) = ([0; 160], Vec::new());
    player.fill(8_000, &mut frame, &mut |news| told.push(news));
    assert_eq!((frame[0], &told[..]), (320, &[News::Started, News::Marker(1)][..]));
    player.steer(Steer::Seek(225));
    let (heard, told) = run(&mut player);
    // A ramp of 5 ms hides the jump.
    assert_eq!((heard.len(), heard[40..].to_vec()), (600, (2_240..2_800).collect::<Vec<i16>>()));
    assert_eq!(told, [News::Marker(2), News::Marker(3)]);
    player.steer(Steer::Seek(5_000));
    assert!(player.is_finished());
}

#[test]
fn markers_come_back_in_every_round() {
    let playback = Playback { markers: vec![0, 5], ..Playback::prompt(ramp(1, 80), Some(3)) };
    let (_, told) = run(&mut player(playback));
    assert_eq!(told.iter().filter(|news| **news == News::Marker(1)).count(), 3);
    assert_eq!(told.iter().filter(|news| **news == News::Marker(0)).count(), 3);
}

#[test]
fn a_long_fade_ends_the_playback_where_it_is_over() {
    let mut player = player(Playback { fade_out_ms: 30, ..Playback::prompt(prompt(&[10_000; 8_000]), None) });
    assert!(!player.stop(), "nothing was heard yet");
    player.fill(8_000, &mut [0; 160], &mut |_| {});
    assert!(player.stop() && player.stop());
    let (heard, _) = run(&mut player);
    assert_eq!(heard.len(), 240);
    assert!(heard.windows(2).all(|pair| pair[0] > pair[1]) && heard[239] == 0);
    assert!(player.is_stopped());
    assert_eq!(player.played_ms(), 50);
}

#[test]
fn a_stream_that_is_late_leaves_a_smooth_hole_and_goes_on() {
    let (mut writer, stream) = stream(8_000, 1_000);
    let mut player = player(Playback::of(vec![Piece::Stream(Box::new(stream))]));
    let (mut frame, mut told) = ([1; 160], Vec::new());
    let mut fill = |player: &mut Player, frame: &mut [i16]| {
        let count = player.fill(8_000, frame, &mut |news| told.push(news));
        (count, told.len())
    };
    assert_eq!(fill(&mut player, &mut frame), (160, 0));
    assert_eq!((frame, player.starved()), ([0; 160], 0));
    writer.write(&[8_000; 240]);
    assert_eq!(fill(&mut player, &mut frame), (160, 1));
    assert_eq!(fill(&mut player, &mut frame), (160, 1));
    assert!(frame[..80].windows(2).all(|pair| pair[0] >= pair[1]) && frame[79] == 0);
    assert_eq!((frame[80..].to_vec(), player.starved()), (vec![0; 80], 1));
    writer.write(&[8_000; 160]);
    writer.end();
    assert_eq!(fill(&mut player, &mut frame), (160, 1));
    assert!(frame[0] == 0 && frame[100] == 8_000 && frame[159] == 8_000);
    assert!(player.is_finished());
    assert_eq!((player.played_ms(), player.starved(), writer.starved()), (50, 1, 1));
}

#[test]
fn a_stream_that_fails_says_why() {
    let (mut writer, stream) = stream(8_000, 1_000);
    let mut player = player(Playback::of(vec![Piece::Stream(Box::new(stream)), Piece::Silence(1_000)]));
    writer.write(&[8_000; 80]);
    writer.fail("the server is gone");
    let (heard, _) = run(&mut player);
    assert_eq!((heard.len(), player.played_ms()), (80, 10));
    assert_eq!(player.failure().as_deref(), Some("the server is gone"));
    let spent = Box::new(player).spent();
    assert!(writer.is_abandoned());
    drop(spent);
}

#[test]
fn a_stream_loops_in_a_list_and_may_turn_out_to_be_a_prompt() {
    let ((mut writer, first), (mut whole, second)) = (stream(8_000, 1_000), stream(8_000, 1_000));
    for _ in 0..2 {
        writer.write(&[1; 100]);
        assert!(writer.end());
    }
    whole.whole(prompt(&[2; 50]));
    let pieces = vec![Piece::Stream(Box::new(first)), Piece::Stream(Box::new(second))];
    let mut player = player(Playback { times: Some(2), ..Playback::of(pieces) });
    let (heard, _) = run(&mut player);
    let round = [vec![1; 100], vec![2; 50]].concat();
    assert_eq!(heard, [round.clone(), round].concat());
}
