//! Digits are found in audio as ITU-T Q.24 asks, and nowhere else.

mod common;

use common::dice::Dice;
use common::sound::{Voice, add_noise, add_tone, samples};
use offhook_media::dtmf::{Edge, InbandDigits, InbandEdge, digit_code};
use proptest::collection::vec;
use proptest::prelude::*;

const LOW: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
const HIGH: [f32; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
const KEYPAD: [&str; 4] = ["123A", "456B", "789C", "*0#D"];

/// A key as it comes from a line.
#[derive(Debug, Clone, Copy)]
struct Key {
    row: usize,
    column: usize,
    /// Samples.
    length: usize,
    /// Level of the louder tone, dBm0.
    level: f32,
    /// High over low, dB.
    twist: f32,
    /// Relative frequency error of each tone, percent.
    offsets: [f32; 2],
}

impl Key {
    fn new(row: usize, column: usize) -> Self {
        Self { row, column, length: 800, level: -10.0, twist: 0.0, offsets: [0.0; 2] }
    }

    fn code(self) -> u8 {
        digit_code(KEYPAD[self.row].as_bytes()[self.column].into()).expect("it is on the keypad")
    }

    fn add(self, sound: &mut [f32], at: usize) {
        let levels = [self.level - self.twist.max(0.0), self.level + self.twist.min(0.0)];
        for ((hz, level), offset) in
            [LOW[self.row], HIGH[self.column]].into_iter().zip(levels).zip(self.offsets)
        {
            add_tone(sound, at, at + self.length, hz * (1.0 + offset / 100.0), level);
        }
    }
}

fn all_keys() -> impl Iterator<Item = Key> {
    (0..16).map(|index| Key::new(index / 4, index % 4))
}

fn heard(sound: &[f32]) -> Vec<InbandEdge> {
    let mut edges = Vec::new();
    let mut digits = InbandDigits::new();
    digits.hear(&samples(sound), |edge| edges.push(edge));
    digits.finish(|edge| edges.push(edge));
    edges
}

/// One key in silence, with noise under everything so many dB below the two tones.
fn pressed(key: Key, snr: Option<f32>, dice: &mut Dice) -> Vec<InbandEdge> {
    let at = 400 + dice.below(40) as usize;
    let mut sound = vec![0.0; at + key.length + 600];
    key.add(&mut sound, at);
    if let Some(snr) = snr {
        let weaker = 10_f32.powf(-key.twist.abs() / 10.0);
        add_noise(&mut sound, dice, key.level + 10.0 * (1.0 + weaker).log10() - snr);
    }
    let edges = heard(&sound);
    for edge in &edges {
        let expected = match edge.edge {
            Edge::Down(_) => at,
            Edge::Up(..) => at + key.length,
        };
        assert!(edge.at.abs_diff(expected as u64) <= 40, "{key:?}: {edge:?} instead of at {expected}");
    }
    edges
}

fn is_one_digit(edges: &[InbandEdge], code: u8) -> bool {
    matches!(edges, [InbandEdge { edge: Edge::Down(down), .. }, InbandEdge { edge: Edge::Up(up, _), .. }]
        if (*down, *up) == (code, code))
}

#[test]
fn every_key_of_the_grid_is_recognised() {
    let mut dice = Dice::new(1);
    let (mut presses, mut missed) = (0, Vec::new());
    for key in all_keys() {
        for twist in -8..=4 {
            for length in [320, 400, 800] {
                for offsets in [[0.0, 0.0], [1.5, 1.5], [-1.5, -1.5], [1.5, -1.5], [-1.5, 1.5]] {
                    for snr in [15.0, 24.0] {
                        for level in [0.0, -12.0, -24.0, -36.0] {
                            let key = Key { twist: twist as f32, length, offsets, level, ..key };
                            presses += 1;
                            if !is_one_digit(&pressed(key, Some(snr), &mut dice), key.code()) {
                                missed.push((key, snr));
                            }
                        }
                    }
                }
            }
        }
    }
    assert!(missed.is_empty(), "{} of {presses}, first {:?}", missed.len(), missed[0]);
}

#[test]
fn keys_too_short_are_none() {
    let mut dice = Dice::new(2);
    for key in all_keys() {
        for length in [40, 80, 120, 160, 176, 184] {
            for twist in [-8.0, 0.0, 4.0] {
                for snr in [None, Some(15.0)] {
                    let key = Key { length, twist, ..key };
                    assert_eq!(pressed(key, snr, &mut dice), [], "{key:?}");
                }
            }
        }
    }
}

#[test]
fn frequencies_too_far_off_are_none() {
    let mut dice = Dice::new(3);
    for key in all_keys() {
        for offsets in [[3.5, 0.0], [-3.5, 0.0], [0.0, 3.5], [0.0, -3.5], [3.5, 3.5], [-3.5, -3.5]] {
            for (length, snr) in [(320, None), (800, None), (320, Some(15.0)), (4000, Some(15.0))] {
                let key = Key { offsets, length, ..key };
                assert_eq!(pressed(key, snr, &mut dice), [], "{key:?}");
            }
        }
    }
}

#[test]
fn too_much_twist_is_none() {
    let mut dice = Dice::new(4);
    for key in all_keys() {
        for twist in [-14.0, -12.0, 8.0, 12.0] {
            let key = Key { twist, ..key };
            assert_eq!(pressed(key, None, &mut dice), [], "{key:?}");
        }
    }
}

#[test]
fn too_quiet_is_none() {
    let mut dice = Dice::new(5);
    for key in all_keys() {
        assert_eq!(pressed(Key { level: -44.0, ..key }, None, &mut dice), []);
    }
}

#[test]
fn one_tone_or_three_are_no_key() {
    for tones in [&[697.0][..], &[1336.0], &[770.0, 852.0], &[1209.0, 1633.0], &[697.0, 941.0, 1336.0]] {
        let mut sound = vec![0.0; 8000];
        for &hz in tones {
            add_tone(&mut sound, 1000, 7000, hz, -10.0);
        }
        assert_eq!(heard(&sound), [], "{tones:?}");
    }
}

#[test]
fn tones_with_their_second_harmonics_are_a_voice() {
    for harmonic in 0..2 {
        let mut sound = vec![0.0; 8000];
        let key = Key { length: 3000, ..Key::new(3, 1) };
        key.add(&mut sound, 1000);
        let hz = 2.0 * [LOW[3], HIGH[1]][harmonic];
        add_tone(&mut sound, 1000, 4000, hz, -20.0);
        assert_eq!(heard(&sound), [], "{hz}");
    }
}

#[test]
fn a_row_of_keys_with_short_pauses_is_told_apart() {
    // Q.24: signals of 40 ms, pauses of 40 ms.
    let mut dice = Dice::new(6);
    let row: Vec<Key> = all_keys().flat_map(|key| [Key { length: 320, ..key }; 3]).collect();
    let mut sound = vec![0.0; 640 * (row.len() + 1)];
    for (key, at) in row.iter().zip((0..).step_by(640)) {
        key.add(&mut sound, at + 300);
    }
    add_noise(&mut sound, &mut dice, -25.0);
    let expected: Vec<u8> = row.iter().map(|key| key.code()).collect();
    let edges = heard(&sound);
    let downs: Vec<u8> = edges.iter().filter_map(|edge| down(edge.edge)).collect();
    assert_eq!(downs, expected);
    assert_eq!(edges.len(), 2 * expected.len());
    assert!(edges.windows(2).all(|pair| pair[0].at <= pair[1].at));
}

fn down(edge: Edge) -> Option<u8> {
    match edge {
        Edge::Down(code) => Some(code),
        Edge::Up(..) => None,
    }
}

#[test]
fn keys_without_a_pause_follow_each_other() {
    let mut sound = vec![0.0; 4000];
    Key { length: 800, ..Key::new(0, 0) }.add(&mut sound, 400);
    Key { length: 800, ..Key::new(1, 1) }.add(&mut sound, 1200);
    let edges: Vec<Edge> = heard(&sound).into_iter().map(|edge| edge.edge).collect();
    let [Edge::Down(1), Edge::Up(1, first), Edge::Down(5), Edge::Up(5, second)] = edges[..] else {
        panic!("{edges:?}")
    };
    assert!(first.abs_diff(100) <= 10 && second.abs_diff(100) <= 10, "{first} {second}");
}

#[test]
fn a_dropout_of_10_ms_does_not_make_two_keys_of_one() {
    for key in all_keys() {
        let mut sound = vec![0.0; 4000];
        Key { length: 2000, ..key }.add(&mut sound, 500);
        sound[1500..1580].fill(0.0);
        assert!(is_one_digit(&heard(&sound), key.code()));
    }
}

#[test]
fn a_key_that_is_held_goes_up_when_the_sound_ends() {
    let mut sound = vec![0.0; 40_000];
    Key { length: 50_000, ..Key::new(2, 2) }.add(&mut sound, 400);
    let edges = heard(&sound);
    assert_eq!(edges.len(), 2);
    let InbandEdge { edge: Edge::Up(9, 4940..=4960), at: 40_000 } = edges[1] else { panic!("{edges:?}") };
}

#[test]
fn tones_are_suspected_before_they_are_a_key() {
    let mut sound = vec![0.0; 4000];
    Key::new(0, 0).add(&mut sound, 800);
    let mut digits = InbandDigits::new();
    let (mut suspected, mut known) = (None, None);
    for (index, chunk) in samples(&sound).chunks(8).enumerate() {
        digits.hear(chunk, |edge| {
            if down(edge.edge).is_some() {
                known = Some(index);
            }
        });
        if digits.hears_tones() {
            suspected.get_or_insert(index);
        }
    }
    // In ms.
    assert!(suspected.unwrap() <= 100 + 25, "{suspected:?}");
    assert!(known.unwrap() <= 100 + 46, "{known:?}");
    assert!(!digits.hears_tones());
}

/// Thirty minutes in which six voices speak at different levels over different noise.
#[test]
fn thirty_minutes_of_voices_in_noise_hold_no_digit() {
    for (seed, pitch, noise) in [
        (11, 95.0, None),
        (12, 120.0, Some(-50.0)),
        (13, 180.0, Some(-40.0)),
        (14, 220.0, None),
        (15, 280.0, Some(-35.0)),
        (16, 340.0, Some(-30.0)),
    ] {
        let (mut voice, mut dice) = (Voice::new(seed, pitch), Dice::new(seed));
        let mut digits = InbandDigits::new();
        let mut edges = Vec::new();
        for _ in 0..300 {
            let mut sound = voice.speak(8000);
            if let Some(level) = noise {
                add_noise(&mut sound, &mut dice, level);
            }
            digits.hear(&samples(&sound), |edge| edges.push(edge));
        }
        assert_eq!(edges, [], "voice {seed}");
    }
}

#[test]
fn no_tone_of_any_country_is_a_digit() {
    use offhook_media::dsp::{tone::ToneGenerator, tone::ToneSpec, tone_plan::Country};
    for country in Country::ALL {
        for spec in [
            ToneSpec::ringback(country),
            ToneSpec::busy(country),
            ToneSpec::congestion(country),
            ToneSpec::dial_tone(country),
        ] {
            let mut sound = vec![0; 48_000];
            ToneGenerator::new(spec, 8000).fill(&mut sound);
            InbandDigits::new().hear(&sound, |edge| panic!("{country:?} {spec:?}: {edge:?}"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_samples_in_any_chunks_are_heard_alike(
        sound in vec(any::<i16>(), 0..3000),
        key in 0_usize..16,
        cuts in vec(1_usize..400, 1..20),
    ) {
        let mut mixed: Vec<f32> = sound.iter().map(|&s| f32::from(s) / 40.0).collect();
        Key::new(key / 4, key % 4).add(&mut mixed, 300);
        for sound in [sound, samples(&mixed)] {
            let (mut whole, mut pieces) = (Vec::new(), Vec::new());
            InbandDigits::new().hear(&sound, |edge| whole.push(edge));
            let (mut digits, mut rest) = (InbandDigits::new(), &sound[..]);
            for &cut in cuts.iter().cycle() {
                let (chunk, later) = rest.split_at(cut.min(rest.len()));
                digits.hear(chunk, |edge| pieces.push(edge));
                rest = later;
                if rest.is_empty() { break; }
            }
            prop_assert_eq!(whole, pieces);
        }
    }
}
