//! Instruments: which tones were heard when, and what disturbed them.
//!
//! They judge recordings of calls whose parties send known tones, and are no part of a call.

use std::fmt;

use super::level::{FULL_SCALE, dbfs, peak, to_db};

/// Level of one frequency over all samples, relative to a full-scale sine, dBFS.
#[must_use]
pub fn tone_level(samples: &[i16], rate: u32, hz: f32) -> f32 {
    if samples.is_empty() {
        return to_db(0.0);
    }
    let amplitude = 2.0 * correlate(samples.iter().map(|&s| f64::from(s)), rate, hz) / samples.len() as f64;
    to_db(amplitude as f32 / FULL_SCALE)
}

/// What [`analyse`] found. Times are ms from the first sample, accurate to about 10 ms.
#[derive(Debug, Clone, PartialEq)]
pub struct ToneReport {
    /// Length of the samples, ms.
    pub duration_ms: u32,
    /// Each expected tone, in the order given.
    pub tones: Vec<ToneHeard>,
    /// When any expected tone was first heard.
    pub first_heard_ms: Option<u32>,
    /// When any expected tone was last heard.
    pub last_heard_ms: Option<u32>,
    /// Longest time between those two without any expected tone.
    pub longest_gap_ms: u32,
    /// Sound that is no expected tone.
    pub other_ms: u32,
    /// Discontinuities of the expected tones: jumps of phase or level, cut-outs under 30 ms.
    pub clicks: usize,
    /// When they were.
    pub click_ms: Vec<u32>,
}

/// What was heard of one tone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ToneHeard {
    /// Its frequency.
    pub hz: f32,
    /// How long it was heard in total.
    pub heard_ms: u32,
    /// When it was first heard.
    pub first_heard_ms: Option<u32>,
    /// When it was last heard.
    pub last_heard_ms: Option<u32>,
    /// Longest time between those two without it.
    pub longest_gap_ms: u32,
    /// Its loudest level, dBFS.
    pub level_dbfs: f32,
}

impl ToneReport {
    /// What was heard of an expected tone.
    #[must_use]
    pub fn tone(&self, hz: f32) -> Option<&ToneHeard> {
        self.tones.iter().find(|tone| tone.hz == hz)
    }

    /// How long an expected tone was heard, ms.
    #[must_use]
    pub fn heard_ms(&self, hz: f32) -> u32 {
        self.tone(hz).map_or(0, |tone| tone.heard_ms)
    }

    /// Whether a tone was heard for at least that long with neither gap nor click anywhere.
    #[must_use]
    pub fn is_clean(&self, hz: f32, at_least_ms: u32) -> bool {
        self.heard_ms(hz) >= at_least_ms && self.longest_gap_ms == 0 && self.clicks == 0
    }
}

impl fmt::Display for ToneReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for tone in self.tones.iter().filter(|tone| tone.heard_ms > 0) {
            write!(f, "{} Hz {} ms at {:.0} dBFS, ", tone.hz, tone.heard_ms, tone.level_dbfs)?;
        }
        if self.first_heard_ms.is_none() {
            f.write_str("no expected tone, ")?;
        }
        write!(f, "longest gap {} ms, {} clicks", self.longest_gap_ms, self.clicks)?;
        if self.other_ms > 0 { write!(f, ", {} ms other sound", self.other_ms) } else { Ok(()) }
    }
}

/// Finds the expected tones in mono samples. Tones should be at least 100 Hz apart and above 300 Hz.
#[must_use]
pub fn analyse(samples: &[i16], rate: u32, expected: &[f32]) -> ToneReport {
    let windows = Windows::new(samples, rate, expected);
    let heard_at = |index: usize| windows.heard.iter().any(|tone| tone[index]);
    let all: Vec<bool> = (0..windows.count).map(heard_at).collect();
    let any = Spans::of(&all);
    let tones =
        expected.iter().zip(&windows.heard).zip(&windows.amplitudes).map(|((&hz, heard), amplitudes)| {
            let spans = Spans::of(heard);
            ToneHeard {
                hz,
                heard_ms: spans.heard_ms,
                first_heard_ms: spans.first_ms,
                last_heard_ms: spans.last_ms,
                longest_gap_ms: spans.longest_gap_ms,
                level_dbfs: to_db(amplitudes.iter().copied().fold(0.0, f64::max) as f32 / FULL_SCALE),
            }
        });
    let other = (0..windows.count).filter(|&index| !all[index] && windows.is_loud(index)).count();
    let click_ms = find_clicks(samples, rate, expected, &windows);
    ToneReport {
        duration_ms: (samples.len() as u64 * 1000 / u64::from(rate.max(1))) as u32,
        tones: tones.collect(),
        first_heard_ms: any.first_ms,
        last_heard_ms: any.last_ms,
        longest_gap_ms: any.longest_gap_ms,
        other_ms: other as u32 * HOP_MS,
        clicks: click_ms.len(),
        click_ms,
    }
}

/// Overlapping windows and what each holds.
struct Windows<'a> {
    samples: &'a [i16],
    hop: usize,
    length: usize,
    count: usize,
    /// Peak amplitude of each tone in each window.
    amplitudes: Vec<Vec<f64>>,
    heard: Vec<Vec<bool>>,
}

impl<'a> Windows<'a> {
    fn new(samples: &'a [i16], rate: u32, expected: &[f32]) -> Self {
        let hop = (rate * HOP_MS / 1000).max(1) as usize;
        let length = hop * 2;
        let count = samples.len().checked_sub(length).map_or(0, |rest| rest / hop + 1);
        let hann: Vec<f64> = (0..length)
            .map(|n| (std::f64::consts::PI * (n as f64 + 0.5) / length as f64).sin().powi(2))
            .collect();
        let (sum, square_sum) =
            hann.iter().fold((0.0, 0.0), |(sum, squares), weight| (sum + weight, squares + weight * weight));
        let mut amplitudes = vec![vec![0.0; count]; expected.len()];
        let mut energies = vec![0.0; count];
        let mut weighted = vec![0.0; length];
        for index in 0..count {
            let window = &samples[index * hop..index * hop + length];
            let mut energy = 0.0;
            for ((weighted, &sample), weight) in weighted.iter_mut().zip(window).zip(&hann) {
                *weighted = f64::from(sample) * weight;
                energy += *weighted * *weighted;
            }
            energies[index] = energy;
            if energy > 0.0 {
                for (levels, &hz) in amplitudes.iter_mut().zip(expected) {
                    levels[index] = 2.0 * correlate(weighted.iter().copied(), rate, hz) / sum;
                }
            }
        }
        let heard = presence(expected, &amplitudes, &energies, square_sum);
        Self { samples, hop, length, count, amplitudes, heard }
    }

    fn is_loud(&self, index: usize) -> bool {
        dbfs(&self.samples[index * self.hop..index * self.hop + self.length]) > FLOOR_DBFS
    }

    /// For each window the tones heard in it or next to it, with their largest amplitude there.
    fn active(&self) -> Vec<Vec<(usize, f64)>> {
        let around = |index: usize| {
            let near = index.saturating_sub(2)..(index + 2).min(self.count);
            let tones = self.heard.iter().zip(&self.amplitudes).enumerate();
            tones
                .filter(|(_, (heard, _))| heard[near.clone()].contains(&true))
                .map(|(tone, (_, levels))| (tone, levels[near.clone()].iter().copied().fold(0.0, f64::max)))
                .collect()
        };
        (0..self.count).map(around).collect()
    }
}

/// In which windows each tone is heard.
fn presence(expected: &[f32], amplitudes: &[Vec<f64>], energies: &[f64], square_sum: f64) -> Vec<Vec<bool>> {
    let floor = f64::from(FULL_SCALE) * 10_f64.powf(f64::from(FLOOR_DBFS) / 20.0);
    let of_tone = |(tone, levels): (usize, &Vec<f64>)| {
        // A quarter of its loudest: windows at the edges count by their half.
        let least = levels.iter().copied().fold(0.0, f64::max).max(floor * 4.0) / 4.0;
        let neighbours: Vec<&Vec<f64>> = (0..expected.len())
            .filter(|&other| other != tone && (expected[other] - expected[tone]).abs() < NEIGHBOUR_HZ)
            .map(|other| &amplitudes[other])
            .collect();
        let is_heard = |index: usize| {
            let amplitude = levels[index];
            let share = amplitude * amplitude / 2.0 * square_sum / energies[index].max(1.0);
            let shadowed = neighbours.iter().any(|other| other[index] > 2.0 * amplitude);
            amplitude >= least && share >= LEAST_SHARE && !shadowed
        };
        (0..levels.len()).map(is_heard).collect()
    };
    amplitudes.iter().enumerate().map(of_tone).collect()
}

/// When something was heard, from one flag per window.
struct Spans {
    heard_ms: u32,
    first_ms: Option<u32>,
    last_ms: Option<u32>,
    longest_gap_ms: u32,
}

impl Spans {
    fn of(heard: &[bool]) -> Self {
        let places: Vec<u32> =
            (0..).zip(heard).filter_map(|(index, &heard)| heard.then_some(index)).collect();
        let gaps = places.windows(2).map(|pair| (pair[1] - pair[0] - 1) * HOP_MS);
        Self {
            heard_ms: places.len() as u32 * HOP_MS,
            // The middle of the window.
            first_ms: places.first().map(|index| index * HOP_MS + HOP_MS / 2),
            last_ms: places.last().map(|index| (index + 1) * HOP_MS + HOP_MS / 2),
            longest_gap_ms: gaps.max().unwrap_or(0),
        }
    }
}

fn find_clicks(samples: &[i16], rate: u32, expected: &[f32], windows: &Windows<'_>) -> Vec<u32> {
    let active = windows.active();
    let mut places: Vec<usize> = Vec::new();
    for (block, active) in active.iter().enumerate().filter(|(_, active)| !active.is_empty()) {
        let filter = Annihilator::new(active.iter().map(|&(tone, _)| expected[tone]), rate);
        let amplitude: f64 = active.iter().map(|&(_, amplitude)| amplitude).sum();
        let limit = filter.noise_gain * (amplitude * RESIDUE + RESIDUE_FLOOR);
        let first = (block * windows.hop).saturating_sub(filter.taps.len() - 1);
        let end = (block + 1) * windows.hop;
        let residues = samples[first..end].windows(filter.taps.len()).map(|window| filter.residue(window));
        let spikes = (first + filter.taps.len() - 1..).zip(residues).filter(|&(_, residue)| residue > limit);
        places.extend(spikes.map(|(place, _)| place));
    }
    places.extend(cut_outs(samples, rate, &active));
    places.sort_unstable();
    let mut clicks: Vec<u32> = Vec::new();
    let mut last = None;
    for place in places {
        let ms = (place as u64 * 1000 / u64::from(rate.max(1))) as u32;
        // Both edges of a cut-out are one click.
        if last.is_none_or(|last| ms > last + MERGE_MS) {
            clicks.push(ms);
        }
        last = Some(ms);
    }
    clicks
}

/// Places where a tone pauses for less than 30 ms.
fn cut_outs(samples: &[i16], rate: u32, active: &[Vec<(usize, f64)>]) -> Vec<usize> {
    let tones_at =
        |ms: usize| active.get(ms / HOP_MS as usize).or(active.last()).map_or(&[][..], Vec::as_slice);
    let step = (rate as usize / 1000).max(1);
    let mut places = Vec::new();
    let mut quiet_since: Option<usize> = None;
    for (ms, piece) in samples.chunks(step).enumerate() {
        let tones = tones_at(ms);
        let amplitude: f64 = tones.iter().map(|&(_, amplitude)| amplitude).sum();
        if f64::from(peak(piece)) < amplitude * QUIET {
            quiet_since.get_or_insert(ms);
            continue;
        }
        let Some(since) = quiet_since.take() else { continue };
        let before = tones_at(since.saturating_sub(15));
        let goes_on = before.iter().any(|(tone, _)| tones.iter().any(|(now, _)| now == tone));
        if goes_on && (CUT_OUT_MS..LONGEST_CUT_OUT_MS).contains(&(ms - since)) {
            places.push(since * step);
        }
    }
    places
}

/// A filter that leaves nothing of a sum of steady sines, whatever their levels and phases. What is left is noise,
/// and spikes where a sine is not steady.
struct Annihilator {
    taps: Vec<f64>,
    noise_gain: f64,
}

impl Annihilator {
    fn new(frequencies: impl Iterator<Item = f32>, rate: u32) -> Self {
        let mut taps = vec![1.0];
        for hz in frequencies {
            let middle = -2.0 * (std::f64::consts::TAU * f64::from(hz) / f64::from(rate)).cos();
            let mut product = vec![0.0; taps.len() + 2];
            for (index, tap) in taps.iter().enumerate() {
                product[index] += tap;
                product[index + 1] += tap * middle;
                product[index + 2] += tap;
            }
            taps = product;
        }
        let noise_gain = taps.iter().map(|tap| tap * tap).sum::<f64>().sqrt();
        Self { taps, noise_gain }
    }

    /// `window` has as many samples as there are taps. Those are symmetric, so their order does not matter.
    fn residue(&self, window: &[i16]) -> f64 {
        window.iter().zip(&self.taps).map(|(&sample, tap)| f64::from(sample) * tap).sum::<f64>().abs()
    }
}

/// Magnitude of the samples' correlation with a frequency (Goertzel).
fn correlate(samples: impl Iterator<Item = f64>, rate: u32, hz: f32) -> f64 {
    let (sin, cos) = (std::f64::consts::TAU * f64::from(hz) / f64::from(rate.max(1))).sin_cos();
    let (mut newer, mut older) = (0.0, 0.0);
    for sample in samples {
        (newer, older) = (sample + 2.0 * cos * newer - older, newer);
    }
    (newer - older * cos).hypot(older * sin)
}

const HOP_MS: u32 = 10;
/// Quieter is silence.
const FLOOR_DBFS: f32 = -55.0;
/// Of a window's energy, so that each of two tones counts.
const LEAST_SHARE: f64 = 0.2;
/// Windows of 20 ms cannot tell closer tones apart.
const NEIGHBOUR_HZ: f32 = 110.0;
/// Ten times the quantisation noise of G.711, relative to the peak of the tone; ramps of 2 ms stay below too.
const RESIDUE: f64 = 0.09;
/// The same for the coarsest steps around zero, in sample units.
const RESIDUE_FLOOR: f64 = 40.0;
/// A tone that pauses peaks below this share of itself.
const QUIET: f64 = 0.15;
const CUT_OUT_MS: usize = 6;
const LONGEST_CUT_OUT_MS: usize = 30;
const MERGE_MS: u32 = 15;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Codec;
    use crate::dsp::tone::{ToneGenerator, ToneSpec};

    const TONES: [f32; 8] = [350.0, 400.0, 425.0, 660.0, 1000.0, 1500.0, 2000.0, 3000.0];

    fn tone(hz: f32, level: f32, ms: usize) -> Vec<i16> {
        let mut samples = vec![0; ms * 8];
        ToneGenerator::new(ToneSpec::continuous(hz, level), 8000).fill(&mut samples);
        samples
    }

    fn coded(samples: &[i16], codec: Codec) -> Vec<i16> {
        let (mut payload, mut out) = (vec![0; samples.len()], vec![0; samples.len()]);
        codec.encode(samples, &mut payload);
        codec.decode(&payload, &mut out);
        out
    }

    #[test]
    fn the_level_of_a_tone_is_measured_next_to_others() {
        let samples: Vec<i16> =
            tone(1000.0, -10.0, 500).iter().zip(tone(700.0, -20.0, 500)).map(|(a, b)| a + b).collect();
        assert!((tone_level(&samples[400..], 8000, 1000.0) + 13.14).abs() < 0.2);
        assert!((tone_level(&samples[400..], 8000, 700.0) + 23.14).abs() < 0.5);
        assert!(tone_level(&samples[400..], 8000, 2500.0) < -50.0);
        assert_eq!(tone_level(&[], 8000, 1000.0), -100.0);
    }

    #[test]
    fn clean_tones_have_no_clicks_through_either_law_or_both() {
        for hz in TONES {
            for level in [0.0, -10.0, -20.0, -30.0, -40.0] {
                let plain = tone(hz, level, 2000);
                let ulaw = coded(&plain, Codec::Pcmu);
                let both = coded(&ulaw, Codec::Pcma);
                for (name, samples) in [("plain", plain), ("ulaw", ulaw), ("both", both)] {
                    let report = analyse(&samples, 8000, &TONES);
                    assert_eq!(report.click_ms, [], "{hz} Hz {level} dBm0 {name}");
                    assert!(report.is_clean(hz, 1980), "{hz} Hz {level} dBm0 {name}: {report}");
                    assert_eq!(report.other_ms, 0);
                }
            }
        }
    }

    #[test]
    fn a_cut_out_of_10_ms_is_a_click_at_any_phase() {
        for hz in TONES {
            for start in (4000..4040).step_by(3) {
                let mut samples = coded(&tone(hz, -10.0, 1000), Codec::Pcma);
                samples[start..start + 80].fill(0);
                let report = analyse(&samples, 8000, &[hz]);
                assert_eq!(report.clicks, 1, "{hz} Hz at {start}: {report:?}");
                assert!(report.click_ms[0].abs_diff(start as u32 / 8) <= 12);
            }
        }
    }

    #[test]
    fn a_jump_of_phase_is_a_click() {
        for hz in TONES {
            for start in (4000..4020).step_by(3) {
                let samples = coded(&tone(hz, -10.0, 1000), Codec::Pcmu);
                let period = 8000.0 / hz;
                let skipped = (period / 2.0).round().max(1.0) as usize;
                let jumped = [&samples[..start], &samples[start + skipped..]].concat();
                assert_eq!(analyse(&jumped, 8000, &[hz]).clicks, 1, "{hz} Hz at {start}");
            }
        }
    }

    #[test]
    fn cadences_are_gaps_and_not_clicks() {
        let spec = ToneSpec::continuous(425.0, -13.0).with_cadence([350, 350, 0, 0, 0, 0, 0, 0]);
        let mut samples = vec![0; 8 * 2100];
        ToneGenerator::new(spec, 8000).fill(&mut samples);
        let report = analyse(&coded(&samples, Codec::Pcma), 8000, &[425.0]);
        assert_eq!(report.clicks, 0, "{report:?}");
        assert!(report.longest_gap_ms.abs_diff(350) <= 10, "{report:?}");
        assert!(report.heard_ms(425.0).abs_diff(1050) <= 30, "{report:?}");
        assert!(report.first_heard_ms.unwrap() <= 15);
        assert!(report.last_heard_ms.unwrap().abs_diff(1750) <= 15, "{report:?}");
    }

    #[test]
    fn pairs_and_digits_are_clean() {
        let ring = ToneSpec { frequencies: [440.0, 480.0], level_dbm0: -16.0, cadence_ms: [0; 8] };
        for spec in (0..16).filter_map(ToneSpec::dtmf).chain([ring]) {
            let mut samples = vec![0; 8000];
            ToneGenerator::new(spec, 8000).fill(&mut samples);
            let report = analyse(&coded(&samples, Codec::Pcmu), 8000, &spec.frequencies);
            assert_eq!(report.click_ms, [], "{spec:?}");
            assert!(report.tones.iter().all(|tone| tone.heard_ms > 900), "{spec:?}: {report}");
        }
    }

    #[test]
    fn one_tone_after_another_is_placed_in_time() {
        let samples = [tone(440.0, -10.0, 600), vec![0; 8 * 200], tone(1000.0, -10.0, 400)].concat();
        let report = analyse(&samples, 8000, &[440.0, 1000.0, 2000.0]);
        assert!(report.heard_ms(440.0).abs_diff(600) <= 20, "{report:?}");
        assert!(report.tone(1000.0).unwrap().first_heard_ms.unwrap().abs_diff(800) <= 15, "{report:?}");
        assert!(report.longest_gap_ms.abs_diff(200) <= 20, "{report:?}");
        assert_eq!(report.heard_ms(2000.0), 0);
    }

    #[test]
    fn what_was_not_expected_is_other_sound() {
        let report = analyse(&tone(700.0, -10.0, 500), 8000, &[1000.0]);
        assert_eq!((report.heard_ms(1000.0), report.first_heard_ms), (0, None));
        assert!(report.other_ms >= 480, "{report:?}");
    }

    #[test]
    fn silence_and_too_few_samples_are_no_tone() {
        for samples in [&[][..], &[0; 100], &[0; 8000]] {
            let report = analyse(samples, 8000, &TONES);
            assert_eq!((report.first_heard_ms, report.clicks, report.other_ms), (None, 0, 0));
            assert!(report.to_string().starts_with("no expected tone"));
        }
        assert_eq!(analyse(&[1; 100], 0, &[1000.0]).duration_ms, 100_000);
    }
}
