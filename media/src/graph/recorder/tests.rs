use super::*;

#[test]
fn both_tracks_lie_side_by_side_and_gaps_are_silence() {
    let (mut recorder, mut recording) = recorder(1_000);
    recorder.push(Track::Said, 0, &[1; 160]);
    recorder.push(Track::Said, 480, &[2; 160]);
    recorder.push(Track::Heard, 160, &[3; 480]);
    drop(recorder);
    let stereo = assemble(&mut recording);
    assert_eq!(stereo.len(), 640);
    assert_eq!(stereo[0], [1, 0]);
    assert_eq!(stereo[160], [0, 3]);
    assert_eq!(stereo[480], [2, 3]);
    assert_eq!(stereo[639], [2, 3]);
    assert!(recording.is_finished());
}

#[test]
fn a_full_ring_loses_and_counts_but_never_waits() {
    let (mut recorder, mut recording) = recorder(40);
    for frame in 0..6 {
        recorder.push(Track::Said, frame * 160, &[7; 160]);
    }
    assert_eq!(recorder.overruns(), 320);
    assert_eq!(recording.overruns(), 320);
    assert_eq!(assemble(&mut recording).len(), 640);
    assert!(!recording.is_finished());
}

#[test]
fn audio_that_would_overlap_is_moved_behind() {
    let (mut recorder, mut recording) = recorder(1_000);
    recorder.push(Track::Heard, 0, &[1; 160]);
    recorder.push(Track::Heard, 80, &[2; 160]);
    recorder.push(Track::Heard, 480, &[3; 160]);
    let stereo = assemble(&mut recording);
    assert_eq!(stereo[319], [0, 2]);
    assert_eq!(stereo[320], [0, 0]);
    assert_eq!(stereo[480], [0, 3]);
}

#[test]
fn an_assembler_keeps_little_whatever_the_gap() {
    let (mut assembler, mut out) = (TrackAssembler::new(), Vec::new());
    assembler.push(Track::Said, 0, &[1; 160], &mut out);
    assembler.push(Track::Heard, 80_000, &[2; 160], &mut out);
    assert_eq!(out.len(), 80_160 - 3_200);
    assert_eq!(out[0], [1, 0]);
    assembler.finish(&mut out);
    assert_eq!(out.len(), 80_160);
    assert_eq!(out[80_159], [0, 2]);
    assert_eq!(assembler.overlapped(), 0);
}

#[test]
fn a_pause_is_cut_out_of_both_tracks_at_the_same_sample() {
    let (mut recorder, mut recording) = recorder(5_000);
    let both = |recorder: &mut Recorder, at: u64, value: i16| {
        recorder.push(Track::Said, at, &[value; 160]);
        recorder.push(Track::Heard, at, &[-value; 160]);
    };
    both(&mut recorder, 0, 1);
    recorder.pause(200);
    // The pause begins within this frame.
    both(&mut recorder, 160, 2);
    both(&mut recorder, 320, 3);
    recorder.mark(400, "in the pause");
    recorder.resume(500);
    // The pause ended within this one.
    both(&mut recorder, 480, 4);
    both(&mut recorder, 640, 5);
    recorder.mark(640, "später");
    drop(recorder);
    let stereo = assemble(&mut recording);
    assert_eq!(stereo.len(), 800 - 300);
    let expected = [(0, 1), (159, 1), (160, 2), (199, 2), (200, 4), (339, 4), (340, 5), (499, 5)];
    for (at, value) in expected {
        assert_eq!(stereo[at], [value, -value], "{at}");
    }
    assert_eq!(recording.pauses(), [Pause { at_ms: 25, length_ms: 37 }]);
    let markers: Vec<(&str, u64)> = recording.markers().iter().map(|m| (m.name.as_str(), m.at_ms)).collect();
    assert_eq!(markers, [("in the pause", 25), ("später", 42)]);
}

#[test]
fn a_pause_that_ends_within_a_frame_leaves_no_gap() {
    let (mut recorder, mut recording) = recorder(5_000);
    let both = |recorder: &mut Recorder, at: u64, value: i16| {
        recorder.push(Track::Said, at, &[value; 160]);
        recorder.push(Track::Heard, at, &[-value; 160]);
    };
    both(&mut recorder, 0, 1);
    both(&mut recorder, 160, 2);
    // Its frame is already written.
    recorder.pause(200);
    both(&mut recorder, 320, 3);
    both(&mut recorder, 480, 4);
    recorder.resume(520);
    both(&mut recorder, 640, 5);
    drop(recorder);
    let stereo = assemble(&mut recording);
    assert_eq!(stereo.len(), 320 + 120 + 160);
    for (at, value) in [(0, 1), (160, 2), (319, 2), (320, 4), (439, 4), (440, 5), (599, 5)] {
        assert_eq!(stereo[at], [value, -value], "{at}");
    }
    assert_eq!(recording.pauses(), [Pause { at_ms: 40, length_ms: 25 }]);
}

#[test]
fn pausing_twice_or_resuming_without_a_pause_changes_nothing() {
    let (mut recorder, mut recording) = recorder(5_000);
    recorder.resume(80);
    recorder.push(Track::Said, 0, &[1; 160]);
    recorder.pause(160);
    recorder.pause(240);
    recorder.push(Track::Said, 160, &[2; 160]);
    recorder.resume(320);
    recorder.pause(480);
    recorder.resume(560);
    recorder.push(Track::Said, 320, &[3; 320]);
    recorder.mark(640, &"x".repeat(1_000));
    drop(recorder);
    let stereo = assemble(&mut recording);
    assert_eq!(stereo.len(), 160 + 160 + 80);
    assert_eq!((stereo[159][0], stereo[160][0]), (1, 3));
    assert_eq!(recording.pauses().len(), 2);
    assert_eq!(recording.markers()[0].name.len(), MARKER_BYTES);
}

#[test]
fn tracks_of_different_rates_lie_on_the_same_clock() {
    use crate::dsp::tone::{ToneGenerator, ToneSpec};
    for target in [8_000, 16_000, 48_000] {
        let (mut recorder, mut recording) = recorder(10_000);
        let tone = |rate: u32| {
            let mut samples = vec![0; rate as usize];
            ToneGenerator::new(ToneSpec::continuous(500.0, -10.0), rate).fill(&mut samples);
            samples
        };
        assert_eq!(recording.highest_rate(), None);
        let (said, heard) = (tone(48_000), tone(8_000));
        for frame in 0..50 {
            let at = frame as u64 * 160 + 8_000;
            recorder.push_at_rate(Track::Said, at, &said[frame * 960..][..960], 48_000);
            recorder.push(Track::Heard, at, &heard[frame * 160..][..160]);
        }
        drop(recorder);
        assert_eq!(recording.highest_rate(), Some(48_000));
        recording.set_rate(target);
        let (mut assembler, mut out) = (TrackAssembler::at_rate(target), Vec::new());
        recording.read(|track, at, samples| assembler.push(track, at, samples, &mut out));
        assembler.finish(&mut out);
        let second = target as usize;
        assert!(out[..second - 20].iter().all(|frame| *frame == [0, 0]), "{target}");
        assert!((2 * second - 300..=2 * second + 10).contains(&out.len()), "{target}: {}", out.len());
        // The same tone in both tracks: they differ by less than a sample of the lower rate.
        let middle = &out[second + second / 10..2 * second - second / 10];
        let difference: f64 = middle.iter().map(|[a, b]| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
        let power: f64 = middle.iter().map(|[a, _]| f64::from(*a).powi(2)).sum();
        assert!(difference / power < 0.04, "{target}: {}", difference / power);
    }
}
