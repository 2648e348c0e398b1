//! Tones of the network are told by frequency and cadence.

mod common;

use common::dice::Dice;
use common::sound::{Voice, add_noise, add_tone, samples};
use offhook_media::dsp::{
    call_progress::{CallProgress, Progress},
    tone::{ToneGenerator, ToneSpec},
    tone_plan::Country,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn play(spec: ToneSpec, seconds: usize) -> Vec<f32> {
    let mut sound = vec![0; seconds * 8000];
    ToneGenerator::new(spec, 8000).fill(&mut sound);
    sound.into_iter().map(f32::from).collect()
}

/// What is told, and when, ms.
fn heard(country: Country, sound: &[f32]) -> Vec<(Progress, u64)> {
    let mut told = Vec::new();
    CallProgress::new(country).hear(&samples(sound), |heard| told.push((heard.progress, heard.at / 8)));
    told
}

fn progresses(country: Country, sound: &[f32]) -> Vec<Progress> {
    heard(country, sound).into_iter().map(|(progress, _)| progress).collect()
}

#[test]
fn every_tone_of_every_country_is_told_once() {
    for country in Country::ALL {
        let (busy, congestion) = (ToneSpec::busy(country), ToneSpec::congestion(country));
        let same = busy.cadence_ms == congestion.cadence_ms;
        for (spec, expected, within) in [
            (ToneSpec::ringback(country), Progress::Ringback, 4500),
            (busy, Progress::Busy, 6000),
            (congestion, if same { Progress::Busy } else { Progress::Congestion }, 7000),
            (ToneSpec::dial_tone(country), Progress::DialTone, 7000),
        ] {
            for (delay, noise) in [(0, -70.0), (333, -45.0), (1117, -35.0)] {
                let mut sound = vec![0.0; delay];
                sound.extend(play(spec, 20));
                add_noise(&mut sound, &mut Dice::new(9), noise);
                let told = heard(country, &sound);
                let [(progress, at)] = told[..] else {
                    panic!("{country:?} {expected:?} {spec:?}: {told:?}")
                };
                assert_eq!(progress, expected, "{country:?} {spec:?}");
                assert!(at < within + delay as u64 / 8, "{country:?} {expected:?} after {at} ms");
            }
        }
    }
}

#[test]
fn cadences_may_be_a_tenth_off() {
    for country in [Country::Us, Country::De, Country::Fr, Country::Ru, Country::Uk] {
        for factor in [90, 110] {
            let slower = |mut spec: ToneSpec| {
                spec.cadence_ms = spec.cadence_ms.map(|ms| (u32::from(ms) * factor / 100) as u16);
                play(spec, 20)
            };
            assert_eq!(progresses(country, &slower(ToneSpec::busy(country))), [Progress::Busy]);
            assert_eq!(progresses(country, &slower(ToneSpec::congestion(country))), [Progress::Congestion]);
            assert_eq!(progresses(country, &slower(ToneSpec::ringback(country))), [Progress::Ringback]);
        }
    }
}

#[test]
fn hum_of_the_mains_hides_nothing() {
    let mut sound = play(ToneSpec::busy(Country::Uk), 8);
    add_tone(&mut sound, 0, 64_000, 50.0, -20.0);
    assert_eq!(progresses(Country::Uk, &sound), [Progress::Busy]);
}

#[test]
fn ringback_then_busy_are_both_told_and_again_after_something_else() {
    let mut sound = play(ToneSpec::ringback(Country::De), 11);
    sound.extend(play(ToneSpec::busy(Country::De), 6));
    sound.extend(vec![0.0; 8000]);
    sound.extend(Voice::new(1, 120.0).speak(24_000));
    sound.extend(vec![0.0; 8000]);
    sound.extend(play(ToneSpec::busy(Country::De), 6));
    assert_eq!(progresses(Country::De, &sound), [Progress::Ringback, Progress::Busy, Progress::Busy]);
}

#[test]
fn the_wrong_frequency_or_cadence_is_nothing() {
    let busy = |hz: f32, on: u16, off: u16| {
        play(ToneSpec::continuous(hz, -13.0).with_cadence([on, off, 0, 0, 0, 0, 0, 0]), 12)
    };
    for sound in [busy(500.0, 480, 480), busy(425.0, 600, 480), busy(425.0, 480, 150), busy(425.0, 90, 90)] {
        assert_eq!(progresses(Country::De, &sound), []);
    }
}

#[test]
fn a_calling_fax_is_told_after_its_first_tone() {
    for (hz, length) in [(1100.0, 500), (1062.0, 430), (1138.0, 570)] {
        let mut sound = vec![0.0; 80_000];
        add_tone(&mut sound, 8000, 8000 + length * 8, hz, -20.0);
        add_noise(&mut sound, &mut Dice::new(2), -40.0);
        let told = heard(Country::Us, &sound);
        let [(Progress::FaxCalling, at)] = told[..] else { panic!("{hz} {length}: {told:?}") };
        assert!((1400..1750).contains(&at), "{at}");
    }
    for length in [200, 1000] {
        let mut sound = vec![0.0; 80_000];
        add_tone(&mut sound, 8000, 8000 + length * 8, 1100.0, -20.0);
        assert_eq!(progresses(Country::Us, &sound), [], "{length}");
    }
}

#[test]
fn an_answering_fax_is_told_with_phase_reversals_and_without() {
    for reversals in [false, true] {
        for hz in [2085.0, 2100.0, 2115.0] {
            let mut sound = vec![0.0; 40_000];
            add_tone(&mut sound, 8000, 32_000, hz, -15.0);
            if reversals {
                let turned = |index: usize| (index / 3600) % 2 == 1;
                sound.iter_mut().enumerate().filter(|(i, _)| turned(*i)).for_each(|(_, s)| *s = -*s);
            }
            let told = heard(Country::Us, &sound);
            let [(Progress::FaxAnswering, at)] = told[..] else { panic!("{hz} {reversals}: {told:?}") };
            assert!((1480..1700).contains(&at), "{at}");
        }
    }
}

#[test]
fn special_information_is_three_tones_in_order() {
    let sound_of = |tones: [f32; 3], length: usize| {
        let mut sound = vec![0.0; 24_000];
        for (index, hz) in tones.into_iter().enumerate() {
            let start = 4000 + index * (length + 20) * 8;
            add_tone(&mut sound, start, start + length * 8, hz, -18.0);
        }
        add_noise(&mut sound, &mut Dice::new(3), -40.0);
        sound
    };
    for (tones, length) in
        [([950.0, 1400.0, 1800.0], 330), ([913.8, 1370.6, 1776.7], 276), ([985.2, 1428.5, 1776.7], 380)]
    {
        assert_eq!(
            progresses(Country::Us, &sound_of(tones, length)),
            [Progress::SpecialInformation],
            "{tones:?}"
        );
    }
    assert_eq!(progresses(Country::Us, &sound_of([1800.0, 1400.0, 950.0], 330)), []);
    assert_eq!(progresses(Country::Us, &sound_of([950.0, 1400.0, 1400.0], 330)), []);
    assert_eq!(progresses(Country::Us, &sound_of([950.0, 1400.0, 1800.0], 100)), []);
}

#[test]
fn voices_say_nothing_of_this() {
    for (seed, pitch, country) in [
        (31, 105.0, Country::Us),
        (32, 140.0, Country::De),
        (33, 212.0, Country::Fr),
        (34, 225.0, Country::Jp),
    ] {
        let mut voice = Voice::new(seed, pitch);
        let mut progress = CallProgress::new(country);
        for _ in 0..300 {
            progress.hear(&samples(&voice.speak(8000)), |told| panic!("voice {seed}: {told:?}"));
        }
    }
}

#[test]
fn digits_say_nothing_of_this() {
    for country in Country::ALL {
        for key in 0..16 {
            let spec = ToneSpec::dtmf(key).expect("it is a digit").with_cadence([480, 480, 0, 0, 0, 0, 0, 0]);
            assert_eq!(progresses(country, &play(spec, 8)), []);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_samples_in_any_chunks_are_heard_alike(
        noise in vec(any::<i16>(), 1..400),
        cadence in any::<[u8; 8]>(),
        hz in 300.0_f32..2200.0,
        cuts in vec(1_usize..1000, 1..20),
    ) {
        let tone = ToneSpec::continuous(hz, -10.0).with_cadence(cadence.map(|ms| u16::from(ms) * 4));
        let mut sound = samples(&play(tone, 5));
        sound.extend(noise.repeat(50));
        let mut outcomes = Vec::new();
        for cuts in [vec![sound.len()], cuts] {
            let (mut progress, mut told, mut rest) = (CallProgress::new(Country::Us), Vec::new(), &sound[..]);
            for &cut in cuts.iter().cycle() {
                let (chunk, later) = rest.split_at(cut.min(rest.len()));
                progress.hear(chunk, |heard| told.push(heard));
                rest = later;
                if rest.is_empty() { break; }
            }
            outcomes.push(told);
        }
        prop_assert_eq!(&outcomes[0], &outcomes[1]);
    }
}
