//! Talk, greetings and beeps are told from silence, from noise and from each other.

mod common;

use common::dice::Dice;
use common::sound::{Voice, add_noise, add_tone, samples};
use offhook_media::dsp::{
    answering_machine::{Answerer, AnsweringMachine, AnsweringMachineConfig, Cause, Clue, Verdict},
    beep::{Beep, BeepDetector},
    voice_activity::{VoiceActivity, VoiceConfig, VoiceEdge},
};
use proptest::collection::vec;
use proptest::prelude::*;

/// Sound and silence in turn, ms, over noise at -60 dBm0.
fn rhythm(lengths: &[usize]) -> Vec<f32> {
    let mut dice = Dice::new(1);
    let mut sound = Vec::new();
    for (index, &ms) in lengths.iter().enumerate() {
        let start = sound.len();
        sound.resize(start + ms * 8, 0.0);
        if index % 2 == 0 {
            add_noise(&mut sound[start..], &mut dice, -18.0);
        }
    }
    add_noise(&mut sound, &mut dice, -60.0);
    sound
}

fn talk(sound: &[f32]) -> Vec<VoiceEdge> {
    let mut edges = Vec::new();
    let mut voice = VoiceActivity::new(VoiceConfig::default());
    voice.hear(&samples(sound), |edge| edges.push(edge));
    voice.finish(|edge| edges.push(edge));
    edges
}

/// Started and stopped in turn, ms.
fn spans(edges: &[VoiceEdge]) -> Vec<(u64, u64)> {
    let span = |pair: &[VoiceEdge]| match pair {
        [VoiceEdge::Started { at }, VoiceEdge::Stopped { at: end }] => (at / 8, end / 8),
        other => panic!("{other:?}"),
    };
    edges.chunks(2).map(span).collect()
}

#[test]
fn talk_starts_and_stops_where_it_does() {
    let found = spans(&talk(&rhythm(&[0, 1000, 500, 1000, 700, 100, 600, 1000])));
    // 100 ms of silence are within one talk.
    let [first, second] = found[..] else { panic!("{found:?}") };
    assert!(first.0.abs_diff(1000) <= 10 && first.1.abs_diff(1500) <= 10, "{first:?}");
    assert!(second.0.abs_diff(2500) <= 10 && second.1.abs_diff(3900) <= 10, "{second:?}");
}

#[test]
fn clicks_and_murmurs_are_no_talk() {
    assert_eq!(talk(&rhythm(&[0, 1000, 20, 1000, 30, 1000])), []);
    let mut murmur = vec![0.0; 80_000];
    add_noise(&mut murmur, &mut Dice::new(3), -48.0);
    assert_eq!(talk(&murmur), []);
}

#[test]
fn noise_that_sets_in_is_talk_for_two_seconds_at_most() {
    let mut sound = vec![0.0; 160_000];
    add_noise(&mut sound[40_000..], &mut Dice::new(4), -35.0);
    let found = spans(&talk(&sound));
    let [(start, end)] = found[..] else { panic!("{found:?}") };
    assert!(start.abs_diff(5000) <= 10 && end <= 7100, "{found:?}");
}

#[test]
fn talk_is_heard_above_steady_noise() {
    let mut sound = vec![0.0; 80_000];
    add_noise(&mut sound, &mut Dice::new(5), -38.0);
    add_noise(&mut sound[48_000..56_000], &mut Dice::new(6), -22.0);
    let found = spans(&talk(&sound));
    let last = found.last().unwrap();
    assert!(last.0.abs_diff(6000) <= 10 && last.1.abs_diff(7000) <= 10, "{found:?}");
    assert!(found[..found.len() - 1].iter().all(|&(_, end)| end < 2300), "{found:?}");
}

#[test]
fn a_voice_talks_most_of_its_time() {
    let mut voice = Voice::new(7, 130.0);
    let found = spans(&talk(&voice.speak(480_000)));
    let total: u64 = found.iter().map(|(start, end)| end - start).sum();
    assert!((25_000..58_000).contains(&total), "{total} ms of 60 s");
}

fn verdicts(sound: &[f32]) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let mut machine = AnsweringMachine::new(AnsweringMachineConfig::default());
    machine.answered();
    machine.hear(&samples(sound), |verdict| verdicts.push(verdict));
    verdicts
}

fn first(sound: &[f32]) -> (Answerer, Cause, u64) {
    let verdict = verdicts(sound)[0];
    (verdict.answerer, verdict.cause, verdict.at_ms)
}

#[test]
fn a_short_word_and_silence_is_a_human() {
    let (answerer, cause, at) = first(&rhythm(&[0, 600, 500, 3000]));
    assert_eq!((answerer, cause), (Answerer::Human, Cause::Pause));
    assert!(at.abs_diff(1900) <= 20, "{at}");
    let short = verdicts(&rhythm(&[0, 600, 300, 3000]))[0].confidence;
    let long = verdicts(&rhythm(&[0, 600, 1300, 3000]))[0].confidence;
    assert!(short > long && long >= 65, "{short} {long}");
}

#[test]
fn two_words_are_still_a_human_and_three_a_machine() {
    assert_eq!(first(&rhythm(&[0, 300, 300, 200, 300, 2000])).0, Answerer::Human);
    let (answerer, cause, _) = first(&rhythm(&[0, 300, 300, 200, 300, 200, 300, 2000]));
    assert_eq!((answerer, cause), (Answerer::Machine, Cause::ManyWords));
}

#[test]
fn a_long_greeting_is_a_machine() {
    let (answerer, cause, at) = first(&rhythm(&[0, 500, 4000, 1000]));
    assert_eq!((answerer, cause), (Answerer::Machine, Cause::LongGreeting));
    assert!(at.abs_diff(2010) <= 20, "{at}");
    // Pauses do not count.
    assert_eq!(first(&rhythm(&[0, 500, 800, 100, 800, 1000])).1, Cause::LongGreeting);
}

#[test]
fn silence_is_a_machine_until_a_human_speaks() {
    let found = verdicts(&rhythm(&[0, 4000, 400, 3000, 400, 3000]));
    let [silent, human] = found[..] else { panic!("{found:?}") };
    assert_eq!((silent.answerer, silent.cause), (Answerer::Machine, Cause::InitialSilence));
    assert!(silent.at_ms.abs_diff(2500) <= 10 && !silent.is_revision, "{silent:?}");
    assert_eq!((human.answerer, human.is_revision), (Answerer::Human, true));
    assert!(human.confidence > silent.confidence);
}

#[test]
fn clicks_are_no_words_and_at_last_nothing_is_sure() {
    let config = AnsweringMachineConfig { initial_silence_ms: 9000, ..AnsweringMachineConfig::default() };
    let mut machine = AnsweringMachine::new(config);
    machine.answered();
    let mut found = Vec::new();
    machine.hear(&samples(&rhythm(&[60, 300].repeat(20))), |verdict| found.push(verdict));
    let [verdict] = found[..] else { panic!("{found:?}") };
    assert_eq!((verdict.answerer, verdict.cause), (Answerer::NotSure, Cause::TooLong));
    assert_eq!((verdict.at_ms, verdict.confidence), (5000, 0));
}

#[test]
fn before_the_answer_only_clues_count() {
    let mut machine = AnsweringMachine::new(AnsweringMachineConfig::default());
    machine.hear(&samples(&rhythm(&[1000, 4000, 1000, 4000])), |verdict| panic!("{verdict:?}"));
    machine.answered();
    let mut found = Vec::new();
    machine.hear(&samples(&rhythm(&[0, 200, 400, 1000])), |verdict| found.push(verdict));
    assert_eq!(found[0].answerer, Answerer::Human);
    assert!(found[0].at_ms.abs_diff(11_400) <= 20, "{found:?}");

    let mut machine = AnsweringMachine::new(AnsweringMachineConfig::default());
    let verdict = machine.clue(Clue::SpecialInformation).unwrap();
    assert_eq!((verdict.answerer, verdict.cause), (Answerer::Network, Cause::SpecialInformation));
}

#[test]
fn a_verdict_is_revised_once_and_by_stronger_evidence() {
    let mut machine = AnsweringMachine::new(AnsweringMachineConfig::default());
    machine.answered();
    machine.hear(&samples(&rhythm(&[0, 300, 400, 1000])), |_| {});
    assert_eq!(machine.verdict().map(|verdict| verdict.answerer), Some(Answerer::Human));
    assert_eq!(machine.clue(Clue::Digit), None, "no news");
    let beep = machine.clue(Clue::Beep).unwrap();
    assert_eq!((beep.answerer, beep.is_revision), (Answerer::Machine, true));
    assert!(machine.is_finished());
    assert_eq!(machine.clue(Clue::Fax), None);
    machine.hear(&samples(&rhythm(&[400, 1000])), |verdict| panic!("{verdict:?}"));
}

#[test]
fn a_digit_makes_a_machine_human() {
    let mut machine = AnsweringMachine::new(AnsweringMachineConfig::default());
    machine.answered();
    machine.hear(&samples(&rhythm(&[3000])), |_| {});
    let verdict = machine.clue(Clue::Digit).unwrap();
    assert_eq!((verdict.answerer, verdict.cause), (Answerer::Human, Cause::Digit));
}

#[test]
fn nothing_is_revised_after_the_watch() {
    let mut machine = AnsweringMachine::new(AnsweringMachineConfig::default());
    machine.answered();
    machine.hear(&samples(&rhythm(&[0, 300, 400, 31_000])), |_| {});
    assert!(machine.is_finished());
    assert_eq!(machine.clue(Clue::Beep), None);
}

fn beeps(sound: &[f32]) -> Vec<Beep> {
    let mut beeps = Vec::new();
    BeepDetector::new().hear(&samples(sound), |beep| beeps.push(beep));
    beeps
}

#[test]
fn a_beep_after_speech_is_told_when_it_is_over() {
    for hz in [400.0, 425.0, 700.0, 853.0, 1000.0, 1400.0, 1750.0, 1999.0] {
        for (length, level, noise) in
            [(110, -12.0, -60.0), (250, -20.0, -40.0), (1000, -30.0, -48.0), (2000, -6.0, -30.0)]
        {
            let mut sound = Voice::new(20, 110.0).speak(24_000);
            let began = sound.len() + 2400;
            let ended = began + length * 8;
            sound.resize(ended + 4000, 0.0);
            add_tone(&mut sound, began, ended, hz, level);
            add_noise(&mut sound, &mut Dice::new(8), noise);
            let found = beeps(&sound);
            let [beep] = found[..] else { panic!("{hz} Hz for {length} ms at {level}: {found:?}") };
            assert!((beep.hz - hz).abs() <= 4.0, "{hz}: {beep:?}");
            let off = (beep.began.abs_diff(began as u64), beep.ended.abs_diff(ended as u64));
            assert!(off.0 <= 120 && off.1 <= 120, "{hz} Hz for {length} ms: {off:?}");
        }
    }
}

#[test]
fn a_beep_before_speech_or_too_short_or_too_long_is_none() {
    let mut sound = vec![0.0; 16_000];
    add_tone(&mut sound, 4000, 8000, 1000.0, -12.0);
    assert_eq!(beeps(&sound), []);
    for length in [50, 75, 3000] {
        let mut sound = Voice::new(21, 110.0).speak(24_000);
        sound.resize(60_000, 0.0);
        add_tone(&mut sound, 28_000, 28_000 + length * 8, 1000.0, -12.0);
        assert_eq!(beeps(&sound), [], "{length}");
    }
}

#[test]
fn neither_digits_nor_voices_beep() {
    let mut sound = Voice::new(22, 110.0).speak(24_000);
    sound.resize(60_000, 0.0);
    add_tone(&mut sound, 28_000, 32_000, 770.0, -12.0);
    add_tone(&mut sound, 28_000, 32_000, 1336.0, -12.0);
    assert_eq!(beeps(&sound), []);
    for (seed, pitch) in [(23, 100.0), (24, 150.0), (25, 210.0), (26, 250.0)] {
        let mut voice = Voice::new(seed, pitch);
        let mut detector = BeepDetector::new();
        for _ in 0..300 {
            detector.hear(&samples(&voice.speak(8000)), |beep| panic!("voice {seed}: {beep:?}"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_samples_in_any_chunks_are_heard_alike(
        noise in vec(any::<i16>(), 1..200),
        repeat in 1_usize..200,
        cuts in vec(1_usize..400, 1..20),
        config in any::<[u16; 8]>(),
    ) {
        let sound = noise.repeat(repeat);
        let [initial, greeting, after, total, word, between, most, watch] = config.map(u32::from);
        let config = AnsweringMachineConfig {
            initial_silence_ms: initial,
            greeting_ms: greeting,
            after_greeting_silence_ms: after,
            total_ms: total,
            least_word_ms: word % 300,
            between_words_ms: between % 300,
            most_words: most % 5,
            longest_word_ms: greeting,
            silence_threshold: 10_000,
            watch_ms: watch,
        };
        let mut outcomes = Vec::new();
        for cuts in [vec![sound.len()], cuts] {
            let mut machine = AnsweringMachine::new(config);
            machine.answered();
            let (mut voice, mut beep) = (VoiceActivity::default(), BeepDetector::new());
            let (mut edges, mut beeps, mut verdicts) = (Vec::new(), Vec::new(), Vec::new());
            let mut rest = &sound[..];
            for &cut in cuts.iter().cycle() {
                let (chunk, later) = rest.split_at(cut.min(rest.len()));
                machine.hear(chunk, |verdict| verdicts.push(verdict));
                voice.hear(chunk, |edge| edges.push(edge));
                beep.hear(chunk, |beep| beeps.push(beep));
                rest = later;
                if rest.is_empty() { break; }
            }
            prop_assert!(verdicts.len() <= 2);
            outcomes.push((edges, beeps, verdicts));
        }
        prop_assert_eq!(&outcomes[0], &outcomes[1]);
    }
}
