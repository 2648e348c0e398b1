//! Arithmetic of mixing: sums of 32 bits that any order of additions gives alike, brought down to 16 bits once.

/// A factor from 0 to 4 in fixed point, so that sums stay exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gain(i32);

impl Gain {
    /// The nearest possible gain; what is no number is silence.
    pub(crate) fn new(factor: f32) -> Self {
        // `as` takes NaN for 0.
        Self((factor.clamp(0.0, MAX_GAIN) * (1_i32 << GAIN_BITS) as f32).round() as i32)
    }

    /// One sample with this gain.
    #[inline]
    pub(crate) fn of(self, sample: i16) -> i32 {
        (i32::from(sample) * self.0) >> GAIN_BITS
    }
}

/// Adds a voice to a sum.
pub(crate) fn add(sum: &mut [i32], voice: &[i16]) {
    worked(voice.len());
    for (sum, &sample) in sum.iter_mut().zip(voice) {
        *sum = sum.wrapping_add(i32::from(sample));
    }
}

/// Takes a voice out of a sum again, exactly.
pub(crate) fn subtract(sum: &mut [i32], voice: &[i16]) {
    worked(voice.len());
    for (sum, &sample) in sum.iter_mut().zip(voice) {
        *sum = sum.wrapping_sub(i32::from(sample));
    }
}

/// Leads from silence to the full voice over its whole length.
pub(crate) fn fade_in(voice: &mut [i16]) {
    let steps = voice.len() as i32 + 1;
    for (index, sample) in voice.iter_mut().enumerate() {
        *sample = (i32::from(*sample) * (index as i32 + 1) / steps) as i16;
    }
}

/// Leads from the full voice to silence over its whole length.
pub(crate) fn fade_out(voice: &mut [i16]) {
    let steps = voice.len() as i32 + 1;
    let length = voice.len() as i32;
    for (index, sample) in voice.iter_mut().enumerate() {
        *sample = (i32::from(*sample) * (length - index as i32) / steps) as i16;
    }
}

/// Brings a sum down to 16 bits. Up to −1 dBFS nothing changes; what is louder is bent towards full scale instead of
/// being cut off. Depends on nothing but the sample, so that equal sums sound alike whoever hears them.
pub fn limit(sum: &[i32], out: &mut [i16]) {
    worked(sum.len());
    // One comparison that leaves the loop without branches.
    let loud =
        sum.iter().fold(false, |loud, &sample| loud | (sample.wrapping_add(KNEE) as u32 > 2 * KNEE as u32));
    if loud {
        for (out, &sample) in out.iter_mut().zip(sum) {
            *out = bend(sample);
        }
    } else {
        for (out, &sample) in out.iter_mut().zip(sum) {
            *out = sample as i16;
        }
    }
}

/// Counts the work, so that a test can see what it depends on.
#[inline]
fn worked(_samples: usize) {
    #[cfg(test)]
    WORK.with(|work| work.set(work.get() + _samples as u64));
}

#[cfg(test)]
thread_local! {
    /// Samples added, subtracted and limited.
    pub(crate) static WORK: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

fn bend(sample: i32) -> i16 {
    let over = i64::from(sample.unsigned_abs()) - i64::from(KNEE);
    if over <= 0 {
        return sample as i16;
    }
    // The slope is 1 at the knee and falls; full scale is never quite reached.
    let bent = i64::from(KNEE) + over * i64::from(ROOM) / (over + i64::from(ROOM));
    if sample < 0 { -bent as i16 } else { bent as i16 }
}

/// Who speaks: measured on the mean magnitude of each frame, with hysteresis.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Activity {
    /// Frames for which the voice stays in the sum.
    open: u8,
    /// Frames in a row that were loud enough to be speech.
    loud: u8,
    /// Frames for which a speaker still counts as one.
    hold: u8,
    /// Mean magnitude of the loudest of the last frames.
    level: u32,
}

/// A change of [`Activity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Talk {
    Started,
    Stopped,
}

impl Activity {
    /// Takes in a frame of 20 ms.
    pub(crate) fn frame(&mut self, samples: &[i16]) -> Option<Talk> {
        let total: u32 = samples.iter().map(|sample| u32::from(sample.unsigned_abs())).sum();
        let level = total / samples.len().max(1) as u32;
        self.level = level.max(self.level - self.level / 8);
        self.open = if level >= AUDIBLE { HANG_OVER } else { self.open.saturating_sub(1) };
        self.loud = if level >= SPEECH { (self.loud + 1).min(ONSET) } else { 0 };
        if self.hold == 0 {
            let starts = self.loud >= ONSET;
            self.hold = if starts { HANG_OVER } else { 0 };
            return starts.then_some(Talk::Started);
        }
        self.hold = if level >= STILL_SPEECH { HANG_OVER } else { self.hold - 1 };
        (self.hold == 0).then_some(Talk::Stopped)
    }

    /// Whether there is anything to hear.
    pub(crate) fn is_audible(&self) -> bool {
        self.open > 0
    }

    /// Mean magnitude lately: of the loudest frame, less an eighth for each frame since.
    pub(crate) fn level(&self) -> u32 {
        self.level
    }

    /// Between [`Talk::Started`] and [`Talk::Stopped`].
    pub(crate) fn is_talking(&self) -> bool {
        self.hold > 0
    }
}

/// Fractional bits of a gain.
const GAIN_BITS: u32 = 12;

/// The highest gain.
const MAX_GAIN: f32 = 4.0;

/// −1 dBFS, from where on samples are bent.
const KNEE: i32 = 29_204;

/// What is left above the knee.
const ROOM: i32 = i16::MAX as i32 - KNEE;

/// Mean magnitude that is worth hearing: −63 dBFS of a sine. Idle A-law is 8.
const AUDIBLE: u32 = 16;

/// Mean magnitude of speech, and below which it is over.
const SPEECH: u32 = 160;
const STILL_SPEECH: u32 = 80;

/// Frames of speech before somebody counts as a speaker: 40 ms.
const ONSET: u8 = 2;

/// Frames for which a pause is no end: 400 ms.
const HANG_OVER: u8 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn up_to_one_db_below_full_scale_nothing_changes() {
        let sum: Vec<i32> = (-KNEE..=KNEE).collect();
        let mut out = vec![0; sum.len()];
        limit(&sum, &mut out);
        assert!(out.iter().zip(&sum).all(|(&out, &sum)| i32::from(out) == sum));
    }

    #[test]
    fn what_is_louder_is_bent_and_never_turns_round() {
        let sum: Vec<i32> = (0..2_000_000).step_by(17).collect();
        let mut out = vec![0; sum.len()];
        limit(&sum, &mut out);
        assert!(out.is_sorted() && out.last().is_some_and(|&last| last > 32_500));
        let negative: Vec<i32> = sum.iter().map(|sample| -sample).collect();
        let mut mirrored = vec![0; sum.len()];
        limit(&negative, &mut mirrored);
        assert!(out.iter().zip(&mirrored).all(|(&up, &down)| up == -down));
        let mut ends = [0; 2];
        limit(&[i32::MAX, i32::MIN], &mut ends);
        assert_eq!(ends, [32_766, -32_766]);
    }

    #[test]
    fn a_quiet_sample_beside_a_loud_one_stays_what_it_is() {
        let mut out = [0; 3];
        limit(&[60_000, 12, -29_204], &mut out);
        assert_eq!(out[1..], [12, -29_204]);
    }

    #[test]
    fn what_was_added_can_be_taken_out_exactly() {
        let mut sum = [i32::MAX - 5, -7, 0];
        add(&mut sum, &[i16::MAX, i16::MIN, 3]);
        subtract(&mut sum, &[i16::MAX, i16::MIN, 3]);
        assert_eq!(sum, [i32::MAX - 5, -7, 0]);
    }

    #[test]
    fn gains_are_bounded_and_one_is_exact() {
        assert_eq!(Gain::new(1.0), Gain(1 << GAIN_BITS));
        for nothing in [-1.0, f32::NAN, 0.0, f32::NEG_INFINITY] {
            assert_eq!(Gain::new(nothing), Gain(0));
        }
        assert_eq!(Gain::new(f32::INFINITY).of(i16::MIN), -131_072);
        assert_eq!((Gain::new(1.0).of(-12_345), Gain::new(0.5).of(3_000)), (-12_345, 1_500));
    }

    #[test]
    fn a_speaker_starts_after_40_ms_and_stops_after_400_ms_of_silence() {
        let mut activity = Activity::default();
        let mut told = Vec::new();
        // A click, a word with a pause in it, the end.
        let levels = [vec![900], vec![0; 3], vec![300; 10], vec![0; 15], vec![100; 5], vec![0; 25]].concat();
        for (frame, level) in levels.into_iter().enumerate() {
            told.extend(activity.frame(&[level; 160]).map(|talk| (frame, talk)));
        }
        assert_eq!(told, [(5, Talk::Started), (53, Talk::Stopped)]);
        assert!(!activity.is_talking() && !activity.is_audible());
    }

    #[test]
    fn idle_a_law_is_silence() {
        let mut activity = Activity::default();
        assert_eq!(activity.frame(&[8; 160]), None);
        assert!(!activity.is_audible());
        activity.frame(&[-20; 160]);
        assert!(activity.is_audible());
    }
}
