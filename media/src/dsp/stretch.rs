//! Audio made a little longer or shorter without a change of pitch: by whole pitch periods, or by one sample.
//!
//! Lengths are told at 8 kHz; at `density` times that rate there are as many times the samples.

use super::conceal::{around, likeness, mix, thinned};

/// A stretch that repeats itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Repetition {
    /// Distance of the repetition in samples of the audio: 5 to 15 ms.
    pub period: usize,
    /// How alike both are: 1 the same but for their level, 0 unlike.
    pub likeness: f32,
}

/// Longest period that is inserted or left out, at 8 kHz: 15 ms.
pub const LONGEST: usize = 120;

/// Samples needed to leave a period out, at 8 kHz: 30 ms.
pub const NEEDED: usize = 2 * LONGEST;

/// The period that can be left out best at the start of `audio`, of [`NEEDED`] samples at least.
#[must_use]
pub fn find_ahead(audio: &[i16], density: usize) -> Option<Repetition> {
    let audio = audio.get(..NEEDED * density)?;
    let mut thin = [0; NEEDED];
    Some(find(audio, thinned(audio, density, &mut thin), density, |audio, compared, period| {
        let length = period.max(compared);
        likeness(&audio[..length], &audio[period..period + length])
    }))
}

/// The period that can be inserted best before `audio[at]`. There must be [`LONGEST`] samples before and after it.
#[must_use]
pub fn find_behind(audio: &[i16], at: usize, density: usize) -> Option<Repetition> {
    let reach = LONGEST * density;
    let near = audio.get(at.checked_sub(reach)?..at + reach)?;
    let mut thin = [0; NEEDED];
    Some(find(near, thinned(near, density, &mut thin), density, |near, compared, period| {
        let (at, length) = (near.len() / 2, period.max(compared));
        likeness(&near[at..at + length], &near[at - period..at - period + length])
    }))
}

/// Looks for a period at 8 kHz, and then for its place at the full rate.
fn find(
    audio: &[i16],
    thin: &[i16],
    density: usize,
    likeness: impl Fn(&[i16], usize, usize) -> f32,
) -> Repetition {
    let best = |audio: &[i16], compared: usize, periods: &mut dyn Iterator<Item = usize>| {
        periods.map(|period| Repetition { period, likeness: likeness(audio, compared, period) }).fold(
            Repetition { period: LONGEST, likeness: f32::NEG_INFINITY },
            |best, next| {
                if next.likeness > best.likeness { next } else { best }
            },
        )
    };
    let coarse = best(thin, COMPARED, &mut (SHORTEST..=LONGEST).step_by(2)).period;
    let fine = best(thin, COMPARED, &mut around(coarse, 1, SHORTEST..=LONGEST));
    if density == 1 {
        return fine;
    }
    let bounds = SHORTEST * density..=LONGEST * density;
    best(audio, COMPARED * density, &mut around(fine.period * density, density, bounds))
}

/// Leaves `period` samples out at the start of `audio`. What counts afterwards begins at `audio[period]`.
pub fn shorten(audio: &mut [i16], period: usize) {
    for index in 0..period {
        audio[period + index] = mix(audio[index], audio[period + index], index + 1, period + 1);
    }
}

/// Writes the `period` samples that lead from before `audio[at]` to `audio[at]` in a longer way, to be heard between.
pub fn lengthen(audio: &[i16], at: usize, period: usize, inserted: &mut [i16]) {
    for (index, sample) in inserted[..period].iter_mut().enumerate() {
        *sample = mix(audio[at + index], audio[at - period + index], index + 1, period + 1);
    }
}

/// Makes one frame of `out.len()` samples from `taken` samples that begin at `audio[at]`. There must be
/// [`MARGIN`] samples before and after them.
pub fn glide(audio: &[i16], at: usize, taken: usize, out: &mut [i16]) {
    let length = out.len();
    for (index, sample) in out.iter_mut().enumerate() {
        let place = index * taken;
        let (whole, part) = (at + place / length, place % length);
        *sample = if part == 0 {
            audio[whole]
        } else {
            between(&audio[whole + 1 - MARGIN..=whole + MARGIN], part as f32 / length as f32)
        };
    }
}

/// The value between the two samples in the middle: a windowed sinc.
fn between(near: &[i16], part: f32) -> i16 {
    let sine = (std::f32::consts::PI * part).sin();
    let (mut sum, mut weights) = (0.0, 0.0);
    for (index, &value) in near.iter().enumerate() {
        let distance = index as f32 - (MARGIN as f32 - 1.0) - part;
        let edge = distance / MARGIN as f32;
        let window = (1.0 - edge * edge) * (1.0 - edge * edge);
        let sign = if index % 2 == 0 { 1.0 } else { -1.0 };
        let weight = sign * sine / distance * window;
        sum += weight * f32::from(value);
        weights += weight;
    }
    (sum / weights).round().clamp(f32::from(i16::MIN), f32::from(i16::MAX)) as i16
}

/// Samples [`glide`] looks at on either side.
pub const MARGIN: usize = 6;

/// Shortest period that is inserted or left out, at 8 kHz: 5 ms.
const SHORTEST: usize = 40;

/// Audio compared at least, at 8 kHz: 10 ms.
const COMPARED: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(hz: f32, count: usize) -> Vec<i16> {
        (0..count)
            .map(|n| ((n as f32 * hz / 8_000.0 * std::f32::consts::TAU).sin() * 8_000.0) as i16)
            .collect()
    }

    fn is_smooth(audio: &[i16], hz: f32) {
        let steepest = (8_000.0 * std::f32::consts::TAU * hz / 8_000.0) as i32;
        for (index, pair) in audio.windows(2).enumerate() {
            let step = (i32::from(pair[1]) - i32::from(pair[0])).abs();
            assert!(step < steepest * 11 / 10 + 40, "{hz} Hz, {index}: {step}, at most {steepest}");
        }
    }

    #[test]
    fn a_period_left_out_leaves_no_trace() {
        for hz in [125.0, 210.0, 440.0, 1_004.0] {
            let mut audio = sine(hz, 400);
            let found = find_ahead(&audio, 1).unwrap();
            assert!(found.likeness > 0.98, "{hz} Hz: {found:?}");
            shorten(&mut audio, found.period);
            is_smooth(&audio[found.period..], hz);
        }
        assert_eq!(find_ahead(&[0; NEEDED - 1], 1), None);
    }

    #[test]
    fn a_period_inserted_leaves_no_trace() {
        for hz in [125.0, 210.0, 440.0, 1_004.0] {
            let audio = sine(hz, 400);
            let found = find_behind(&audio, 200, 1).unwrap();
            assert!(found.likeness > 0.98, "{hz} Hz: {found:?}");
            let mut inserted = [0; LONGEST];
            lengthen(&audio, 200, found.period, &mut inserted);
            let longer = [&audio[..200], &inserted[..found.period], &audio[200..]].concat();
            is_smooth(&longer, hz);
        }
        assert_eq!(find_behind(&[0; 400], 100, 1), None);
    }

    #[test]
    fn a_frame_takes_one_sample_more_or_less_with_next_to_no_distortion() {
        for (hz, taken) in [(300.0, 159), (1_000.0, 161), (2_600.0, 159)] {
            let audio = sine(hz, 400);
            let mut out = [0; 160];
            glide(&audio, 100, taken, &mut out);
            for (index, &sample) in out.iter().enumerate() {
                let place = 100.0 + index as f32 * taken as f32 / 160.0;
                let truth = (place * hz / 8_000.0 * std::f32::consts::TAU).sin() * 8_000.0;
                assert!((f32::from(sample) - truth).abs() < 120.0, "{hz} Hz, {index}: {sample} for {truth}");
            }
        }
    }

    #[test]
    fn equal_samples_stay_equal() {
        let mut audio = [1_234; 400];
        shorten(&mut audio, 77);
        let mut out = [0; 160];
        glide(&audio, 100, 161, &mut out);
        assert!(audio.iter().chain(&out).all(|&sample| sample == 1_234));
    }
}
