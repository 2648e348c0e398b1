//! The beep after which a voicemail records.
//!
//! A session that talks to a machine feeds one [`BeepDetector`] with what the machine says, at 8 kHz, in chunks of
//! any length and without holes. Time is counted in samples since the first one.

use super::{
    goertzel::{Bank, Hann, RATE, Sliding},
    level::DBM0_PEAK,
};

/// A beep is over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beep {
    /// Its frequency, Hz.
    pub hz: f32,
    /// Where it began, samples from the first one heard; exact to about 10 ms.
    pub began: u64,
    /// Where it ended.
    pub ended: u64,
}

/// Listens for one tone of 400 to 2000 Hz that is steady for 0.1 to 2.5 s, after somebody spoke. It is told when it is
/// over, as a message may begin then.
///
/// Every 10 ms it estimates the frequency of a tone from how the last 20 ms resemble themselves one and two samples
/// later, and asks how much of what is heard that tone explains.
#[derive(Debug, Clone)]
pub struct BeepDetector {
    sliding: Sliding<WINDOW>,
    hann: Hann<WINDOW>,
    short: Hann<SHORT>,
    /// Windows with sound that was no tone.
    speech: u32,
    run: Option<Run>,
}

#[derive(Debug, Clone, Copy)]
struct Run {
    hz: f32,
    began: u64,
    last: u64,
    windows: u32,
    missed: u32,
}

impl BeepDetector {
    /// Nothing heard yet.
    #[must_use]
    pub fn new() -> Self {
        Self { sliding: Sliding::new(HOP), hann: Hann::new(), short: Hann::new(), speech: 0, run: None }
    }

    /// Hears the next samples and tells each beep that ended in them.
    pub fn hear(&mut self, mut samples: &[i16], mut tell: impl FnMut(Beep)) {
        while !samples.is_empty() {
            if self.sliding.take(&mut samples) {
                self.look(&mut tell);
                self.sliding.advance();
            }
        }
    }

    fn look(&mut self, tell: &mut impl FnMut(Beep)) {
        let (_, energy) = self.hann.apply(self.sliding.window());
        let tone = if energy < QUIETEST { None } else { self.tone(energy) };
        let centre = self.sliding.position().saturating_sub(WINDOW as u64 / 2);
        match (&mut self.run, tone) {
            (Some(run), Some(hz)) if (hz - run.hz).abs() <= run.hz * STEADY => {
                run.hz += (hz - run.hz) / 8.0;
                run.windows = run.windows.saturating_add(1);
                run.missed = 0;
                run.last = centre;
                return;
            }
            (Some(run), _) if run.missed == 0 => {
                run.missed = 1;
                return;
            }
            (Some(_) | None, _) => {}
        }
        if let Some(run) = self.run.take() {
            let is_beep = (LEAST_WINDOWS..=MOST_WINDOWS).contains(&run.windows);
            if is_beep && self.speech >= LEAST_SPEECH {
                tell(Beep { hz: run.hz, began: run.began, ended: run.last });
            } else if run.windows < LEAST_WINDOWS {
                self.speech = self.speech.saturating_add(run.windows);
            }
        }
        match tone {
            Some(hz) => self.run = Some(Run { hz, began: centre, last: centre, windows: 1, missed: 0 }),
            None if energy >= QUIETEST => self.speech = self.speech.saturating_add(1),
            None => {}
        }
    }

    /// The tone that explains nearly all of the window.
    fn tone(&self, energy: f32) -> Option<f32> {
        let window = self.sliding.window();
        let rough = resonance(window)?;
        // Where the window stands still for a quarter of it, the phase tells the rest.
        let part = |start: usize| {
            let samples: &[f32; SHORT] =
                window[start..].first_chunk().expect("it is shorter than the window");
            Bank::new([rough]).measure(&self.short.apply(samples).0)[0]
        };
        let hz = rough + part(WINDOW - SHORT).offset_hz(part(0), rough, WINDOW - SHORT);
        if !(LOWEST_HZ..=HIGHEST_HZ).contains(&hz) {
            return None;
        }
        let (weighted, _) = self.hann.apply(window);
        let [bin] = Bank::new([hz]).measure(&weighted);
        let share = Hann::<WINDOW>::energy_of(Hann::<WINDOW>::amplitude(bin)) / energy;
        (share >= LEAST_SHARE).then_some(hz)
    }
}

impl Default for BeepDetector {
    fn default() -> Self {
        Self::new()
    }
}

/// The frequency of a sine in white noise, Hz, from its correlation with itself (Pisarenko).
fn resonance(window: &[f32; WINDOW]) -> Option<f32> {
    let correlation = |lag: usize| {
        window.iter().zip(&window[lag..]).map(|(a, b)| a * b).sum::<f32>() / (WINDOW - lag) as f32
    };
    let (one, two) = (correlation(1), correlation(2));
    let root = (two * two + 8.0 * one * one).sqrt();
    // The same value twice; each form is exact where the other subtracts what is nearly equal.
    let cos = if two > 0.0 { (two + root) / (4.0 * one) } else { 2.0 * one / (root - two) };
    let hz = cos.acos() * RATE as f32 / std::f32::consts::TAU;
    // The bounds also refuse what is no number.
    (LOWEST_HZ - 60.0..=HIGHEST_HZ + 60.0).contains(&hz).then_some(hz)
}

const HOP: usize = 80;
const WINDOW: usize = 160;
const SHORT: usize = 120;
/// A little more than 400 to 2000 Hz, for what noise does at the bounds.
const LOWEST_HZ: f32 = 385.0;
const HIGHEST_HZ: f32 = 2025.0;
/// Energy of a window of noise at -40 dBm0.
const QUIETEST: f32 = DBM0_PEAK * DBM0_PEAK / 2.0 * 1e-4 * WINDOW as f32 * 0.375;
/// Of the tone in all there is to hear.
const LEAST_SHARE: f32 = 0.9;
/// Of the frequency, from window to window.
const STEADY: f32 = 0.02;
/// 0.1 s; a window counts when more than half of it is tone.
const LEAST_WINDOWS: u32 = 9;
const MOST_WINDOWS: u32 = 250;
/// 0.3 s.
const LEAST_SPEECH: u32 = 30;
