//! What is heard where packets are missing: the last pitch periods once more, fading, then the noise of the line.
//!
//! The manner is that of ITU-T G.711 Appendix I, without its delay of 3.75 ms: the signal before the gap has been
//! heard already, so a jump at the start of the gap is levelled out inside the gap instead.

use std::ops::RangeInclusive;

/// Makes up audio from what was heard before.
///
/// Lengths are told at 8 kHz; at `density` times that rate there are as many times the samples.
#[derive(Debug)]
pub struct Concealer {
    density: usize,
    past: Box<[i16]>,
    period: usize,
    /// Periods that are repeated in turn: 1 to 3.
    periods: usize,
    /// The next sample, counted back from the end of `past`.
    back: usize,
    /// The same with one period less, while the one is blended into the other.
    before: Option<(usize, usize)>,
    /// Between `begin` and `merge`.
    is_open: bool,
    /// Samples made up since then.
    run: usize,
    /// By how much the repetition misses the last sample that was heard.
    jump: i32,
    /// The codec makes up what is missing, and leads over to what comes next itself.
    by_codec: bool,
    noise: Noise,
}

impl Concealer {
    /// Samples of the past that a concealment is made from, at 8 kHz: 48.75 ms.
    pub const PAST: usize = 3 * LONGEST + LONGEST / 4;

    /// Nothing but noise is left after so many samples at 8 kHz: 60 ms.
    pub const FADED: usize = 480;

    /// Knows nothing yet, and is silent. `density` is the rate of the audio in units of 8 kHz: 1 to 6.
    #[must_use]
    pub fn new(density: usize) -> Self {
        let density = density.clamp(1, DENSEST);
        Self {
            density,
            past: vec![0; Self::PAST * density].into_boxed_slice(),
            period: LONGEST * density,
            periods: 1,
            back: LONGEST * density,
            before: None,
            is_open: true,
            run: SILENT * density,
            jump: 0,
            by_codec: false,
            noise: Noise::new(),
        }
    }

    /// The same gap, or none, and the same noise of the line at another rate. What was heard before is forgotten.
    pub fn set_density(&mut self, density: usize) {
        let density = density.clamp(1, DENSEST);
        let run = self.run * density / self.density;
        let noise = std::mem::replace(&mut self.noise, Noise::new());
        *self = Self { is_open: self.is_open, run, by_codec: self.by_codec, noise, ..Self::new(density) };
    }

    /// Learns the level of the line's noise from a frame that was received.
    pub fn listen(&mut self, frame: &[i16]) {
        self.noise.listen(frame);
    }

    /// RMS of the line's noise, in units of a sample.
    #[must_use]
    pub fn noise_level(&self) -> f32 {
        self.noise.level
    }

    /// A gap begins after `past`, of which the last [`PAST`](Self::PAST) samples are used.
    pub fn begin(&mut self, past: &[i16]) {
        let kept = self.past.len();
        let Some(past) = past.len().checked_sub(kept).map(|start| &past[start..]) else { return };
        self.past.copy_from_slice(past);
        self.period = pitch_period(past, self.density);
        self.periods = 1;
        self.back = self.period;
        self.before = None;
        (self.is_open, self.run, self.by_codec) = (true, 0, false);
        // What would have come next is near what came one period ago.
        self.jump = i32::from(past[kept - 1]) - i32::from(past[kept - 1 - self.period]);
    }

    /// The codec made up the next samples of a gap, which begins with them if there was none. It does not know when to
    /// end: they fade out like our own.
    pub fn made_by_codec(&mut self, audio: &mut [i16]) {
        if !self.is_open {
            (self.is_open, self.run, self.by_codec) = (true, 0, true);
        }
        let (end, fade) = (Self::FADED * self.density, 160 * self.density);
        for sample in audio {
            let left = end.saturating_sub(self.run);
            if left < fade {
                *sample = (i32::from(*sample) * left as i32 / fade as i32) as i16;
            }
            self.run = (self.run + 1).min(SILENT * self.density);
        }
    }

    /// Whether the codec may make up what comes next: there is no gap, or it began to fill it and is not faded.
    #[must_use]
    pub fn is_left_to_codec(&self) -> bool {
        !self.is_open || (self.by_codec && !self.is_faded())
    }

    /// Whether a gap began and did not end yet. There is one before the first packet.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Samples made up since the gap began.
    #[must_use]
    pub fn run(&self) -> usize {
        self.run
    }

    /// Whether nothing but noise is left of what was heard before.
    #[must_use]
    pub fn is_faded(&self) -> bool {
        self.is_open && self.run >= Self::FADED * self.density
    }

    /// Makes up the next samples of the gap.
    pub fn fill(&mut self, out: &mut [i16]) {
        for sample in out {
            *sample = self.next();
        }
    }

    /// Ends the gap: leads from made-up audio over to what was received.
    pub fn merge(&mut self, received: &mut [i16]) {
        if !self.is_open {
            return;
        }
        // Appendix I: a quarter of a period, and 4 ms more for each 10 ms of gap, up to 10 ms.
        let density = self.density;
        let overlap = match self.run {
            run if run >= SILENT * density => 0,
            run if run >= Self::FADED * density => 40 * density,
            _ if self.by_codec => 0,
            run => (self.period / 4 + 32 * density * run.div_ceil(80 * density)).min(80 * density),
        };
        let overlap = overlap.min(received.len());
        for (index, sample) in received[..overlap].iter_mut().enumerate() {
            *sample = mix(self.next(), *sample, index + 1, overlap + 1);
        }
        self.is_open = false;
    }

    fn next(&mut self) -> i16 {
        let (run, density) = (self.run, self.density);
        self.run = (run + 1).min(SILENT * density);
        if run >= Self::FADED * density {
            // Long after the last word the line falls silent.
            let fade = NOISE_FADE * density;
            let left = (SILENT * density - self.run).min(fade) as f32 / fade as f32;
            return self.noise.next(left);
        }
        if (run == 80 * density || run == 160 * density) && self.periods < 3 {
            self.before = Some((self.back, self.period / 4));
            self.periods += 1;
            self.back += self.period;
        }
        let mut value = i32::from(self.repeated());
        let levelling = LEVELLING * density;
        if run < levelling {
            value += self.jump * (levelling - run) as i32 / levelling as i32;
        }
        // From 10 ms on, 20 % less every 10 ms.
        let faded = run.saturating_sub(80 * density) as i32;
        let kept = ((Self::FADED - 80) * density) as i32;
        let voice = value * (kept - faded) / kept;
        let noise = self.noise.next(faded as f32 / kept as f32);
        (voice + i32::from(noise)).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
    }

    /// The next sample of the periods that are repeated.
    fn repeated(&mut self) -> i16 {
        let mut value = self.cycle(self.periods, self.back);
        self.back = if self.back == 1 { self.periods * self.period } else { self.back - 1 };
        if let Some((back, left)) = self.before {
            let old = self.cycle(self.periods - 1, back);
            let quarter = self.period / 4;
            value = mix(old, value, quarter - left + 1, quarter + 1);
            let back = if back == 1 { (self.periods - 1) * self.period } else { back - 1 };
            self.before = (left > 1).then_some((back, left - 1));
        }
        value
    }

    /// A sample of the last `periods`, whose end leads over to their beginning.
    fn cycle(&self, periods: usize, back: usize) -> i16 {
        let end = self.past.len();
        let value = self.past[end - back];
        let quarter = self.period / 4;
        if back > quarter {
            return value;
        }
        let earlier = self.past[end - back - periods * self.period];
        mix(value, earlier, quarter - back + 1, quarter + 1)
    }
}

/// From `a` to `b`: `part` of `whole` is `b`.
pub(crate) fn mix(a: i16, b: i16, part: usize, whole: usize) -> i16 {
    ((i32::from(a) * (whole - part) as i32 + i32::from(b) * part as i32) / whole as i32) as i16
}

/// The lag of 5 to 15 ms at which the end of the past resembles what came before it most.
fn pitch_period(past: &[i16], density: usize) -> usize {
    let likeness = |past: &[i16], compared: usize, lag: usize| {
        let recent = &past[past.len() - compared..];
        let start = past.len() - compared - lag;
        likeness(recent, &past[start..start + compared])
    };
    let best = |past: &[i16], compared: usize, lags: &mut dyn Iterator<Item = usize>| {
        lags.map(|lag| (lag, likeness(past, compared, lag)))
            .fold((*LAGS.end(), f32::NEG_INFINITY), |best, next| if next.1 > best.1 { next } else { best })
            .0
    };
    // The pitch is looked for at 8 kHz, and placed at the full rate.
    let mut thin = [0; Concealer::PAST];
    let rough = thinned(past, density, &mut thin);
    let coarse = best(rough, COMPARED, &mut LAGS.step_by(2));
    let fine = best(rough, COMPARED, &mut around(coarse, 1, LAGS));
    match density {
        1 => fine,
        _ => {
            let lags = LAGS.start() * density..=LAGS.end() * density;
            best(past, COMPARED * density, &mut around(fine * density, density, lags))
        }
    }
}

/// Numbers that differ from `middle` by no more than `reach`, within bounds.
pub(crate) fn around(middle: usize, reach: usize, bounds: RangeInclusive<usize>) -> RangeInclusive<usize> {
    middle.saturating_sub(reach).max(*bounds.start())..=(middle + reach).min(*bounds.end())
}

/// The same audio at 8 kHz, well enough to find its pitch: the mean of so many samples each.
pub(crate) fn thinned<'a>(audio: &'a [i16], density: usize, thin: &'a mut [i16]) -> &'a [i16] {
    if density == 1 {
        return audio;
    }
    let length = audio.len() / density;
    for (thin, group) in thin.iter_mut().zip(audio.chunks_exact(density)) {
        *thin = (group.iter().map(|&sample| i32::from(sample)).sum::<i32>() / density as i32) as i16;
    }
    &thin[..length.min(thin.len())]
}

/// How alike two stretches of audio are: 1 the same but for their level, 0 unlike. Silence is unlike everything.
pub(crate) fn likeness(a: &[i16], b: &[i16]) -> f32 {
    let (mut cross, mut a_energy, mut b_energy) = (0_i64, 0_i64, 0_i64);
    for (&a, &b) in a.iter().zip(b) {
        let (a, b) = (i64::from(a), i64::from(b));
        cross += a * b;
        a_energy += a * a;
        b_energy += b * b;
    }
    if a_energy == 0 || b_energy == 0 {
        0.0
    } else {
        cross as f32 / (a_energy as f32 * b_energy as f32).sqrt()
    }
}

/// The noise of a line: its level, and more of it.
#[derive(Debug)]
struct Noise {
    level: f32,
    state: u32,
    last: f32,
}

impl Noise {
    fn new() -> Self {
        Self { level: 0.0, state: 0x2545_F491, last: 0.0 }
    }

    fn listen(&mut self, frame: &[i16]) {
        let level = super::level::rms(frame);
        if level > LOUDEST_NOISE {
            return;
        }
        // The quietest frames are noise, others may be soft speech.
        let pace = if level < self.level { 0.25 } else { 1.0 / 64.0 };
        self.level += (level - self.level) * pace;
    }

    fn next(&mut self, share: f32) -> i16 {
        if self.level < 1.0 {
            return 0;
        }
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        let white = (self.state >> 8) as f32 / (1 << 23) as f32 - 1.0;
        // Lines hum more than they hiss. The factor makes up for the energy this takes away.
        self.last = self.last.mul_add(0.5, white);
        (self.last * 1.5 * self.level * share) as i16
    }
}

/// Pitch periods at 8 kHz: 200 Hz to 66 Hz.
const LAGS: RangeInclusive<usize> = 40..=LONGEST;
const LONGEST: usize = 120;

/// 48 kHz.
const DENSEST: usize = 6;

/// Stretch compared to find the period: 20 ms.
const COMPARED: usize = 160;

/// A jump at the start of a gap is levelled out within 2 ms.
const LEVELLING: usize = 16;

/// After 5 s without a packet, silence.
const SILENT: usize = 40_000;

/// The noise fades within the last of them.
const NOISE_FADE: usize = 8_000;

/// Louder frames are no noise: RMS of −45 dBFS.
const LOUDEST_NOISE: f32 = 184.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::level::rms;

    fn sine(hz: f32, from: usize, count: usize) -> Vec<i16> {
        (from..from + count)
            .map(|n| ((n as f32 * hz / 8_000.0 * std::f32::consts::TAU).sin() * 8_000.0) as i16)
            .collect()
    }

    fn gap(past: &[i16], length: usize) -> (Concealer, Vec<i16>) {
        let mut concealer = Concealer::new(1);
        concealer.begin(past);
        let mut out = vec![0; length];
        concealer.fill(&mut out);
        (concealer, out)
    }

    #[test]
    fn a_periodic_signal_goes_on_as_if_nothing_happened() {
        for hz in [100.0, 160.0, 200.0, 400.0, 1_000.0] {
            let (mut concealer, out) = gap(&sine(hz, 0, 400), 80);
            let truth = sine(hz, 400, 240);
            for (index, (made_up, truth)) in out.iter().zip(&truth).enumerate() {
                assert!((made_up - truth).abs() < 300, "{hz} Hz, {index}: {made_up} for {truth}");
            }
            let mut after = truth[80..].to_vec();
            concealer.merge(&mut after);
            assert_eq!(after[80..], truth[160..]);
            assert!(!concealer.is_open());
        }
    }

    #[test]
    fn no_gap_begins_or_goes_on_with_a_jump() {
        // 330 Hz has no period of whole samples.
        for hz in [97.0, 330.0, 730.0] {
            let past = sine(hz, 0, 400);
            let (_, out) = gap(&past, 600);
            let steepest = (8_000.0 * std::f32::consts::TAU * hz / 8_000.0) as i32 + 1;
            let whole: Vec<i16> = past.iter().chain(&out).copied().collect();
            for pair in whole.windows(2).skip(380) {
                let step = (i32::from(pair[1]) - i32::from(pair[0])).abs();
                assert!(step < steepest * 3 / 2 + 50, "{hz} Hz: {step}, at most {steepest}");
            }
        }
    }

    #[test]
    fn a_long_gap_fades_to_silence_within_60_ms() {
        let (concealer, out) = gap(&sine(250.0, 0, 400), 1_000);
        let levels: Vec<f64> = out.chunks(80).map(|part| f64::from(rms(part))).collect();
        assert!(levels[0] > 5_000.0 && levels.windows(2).all(|pair| pair[1] <= pair[0]), "{levels:?}");
        assert!(out[480..].iter().all(|&sample| sample == 0));
        assert!(concealer.is_faded());
    }

    #[test]
    fn after_a_gap_the_noise_of_the_line_is_heard_for_some_seconds() {
        let mut concealer = Concealer::new(1);
        let mut state = 1_u32;
        let mut noise = [0_i16; 160];
        for _ in 0..500 {
            for sample in &mut noise {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *sample = ((state >> 16) % 101) as i16 - 50;
            }
            concealer.listen(&noise);
        }
        let line = rms(&noise);
        concealer.begin(&sine(250.0, 0, 400));
        let mut out = vec![0; 50_000];
        concealer.fill(&mut out);
        let made_up = rms(&out[800..8_000]);
        assert!((made_up / line - 1.0).abs() < 0.3, "{made_up} for {line}");
        assert!(out[40_000..].iter().all(|&sample| sample == 0));
    }

    #[test]
    fn loud_audio_is_not_taken_for_noise() {
        let mut concealer = Concealer::new(1);
        for _ in 0..1_000 {
            concealer.listen(&sine(440.0, 0, 160));
        }
        assert!(concealer.noise_level() < 1.0);
    }
}
