//! What the network or a machine says in tones: ringback, busy, congestion, fax, special information.
//!
//! A session feeds one [`CallProgress`] with what the called side says from the first early media on, at 8 kHz, in
//! chunks of any length and without holes. Time is counted in samples since the first one.

use super::{
    goertzel::{self, Bank, Bin, Hann, Sliding},
    level::DBM0_PEAK,
    tone::ToneSpec,
    tone_plan::Country,
};

/// What tones say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// The other phone rings.
    Ringback,
    /// The called party is busy.
    Busy,
    /// The network cannot complete the call. Where a country plays the same tone for both this is [`Self::Busy`].
    Congestion,
    /// The line awaits digits.
    DialTone,
    /// A fax calls: CNG, 1100 Hz for 0.5 s (ITU-T T.30).
    FaxCalling,
    /// A fax or modem answers: CED, 2100 Hz, with phase reversals or without (ITU-T T.30, V.8).
    FaxAnswering,
    /// An announcement follows: 950, 1400 and 1800 Hz (ITU-T E.180).
    SpecialInformation,
}

/// Something was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgressHeard {
    /// What.
    pub progress: Progress,
    /// Where it was certain, samples from the first one heard. It had begun earlier.
    pub at: u64,
}

/// Listens for the tones of one country, and those that all share.
///
/// Every 20 ms it measures on a grid of 25 Hz which part of the last 40 ms is at the frequencies of a tone. How long
/// that is so and not so is compared with the cadence. A tone is told once, and again only after something else.
#[derive(Debug, Clone)]
pub struct CallProgress {
    sliding: Sliding<WINDOW>,
    hann: Hann<WINDOW>,
    bank: Bank<BINS>,
    cadences: [Cadence; 4],
    information: Information,
    calling: Steady,
    answering: Steady,
}

impl CallProgress {
    /// Nothing heard yet.
    #[must_use]
    pub fn new(country: Country) -> Self {
        let plan = [
            (Progress::Ringback, ToneSpec::ringback(country)),
            (Progress::Busy, ToneSpec::busy(country)),
            (Progress::Congestion, ToneSpec::congestion(country)),
            (Progress::DialTone, ToneSpec::dial_tone(country)),
        ];
        Self {
            sliding: Sliding::new(HOP),
            hann: Hann::new(),
            bank: Bank::new(std::array::from_fn(|bin| f32::from(GRID[bin]))),
            cadences: plan.map(|(progress, spec)| Cadence::new(progress, spec)),
            information: Information::default(),
            calling: Steady::default(),
            answering: Steady::default(),
        }
    }

    /// Hears the next samples and tells what they say.
    pub fn hear(&mut self, mut samples: &[i16], mut tell: impl FnMut(ProgressHeard)) {
        while !samples.is_empty() {
            if self.sliding.take(&mut samples) {
                let heard = self.look();
                self.sliding.advance();
                let at = self.sliding.position();
                heard.into_iter().flatten().for_each(|progress| tell(ProgressHeard { progress, at }));
            }
        }
    }

    fn look(&mut self) -> [Option<Progress>; 4] {
        let (weighted, energy) = self.hann.apply(self.sliding.window());
        let bins = if energy < QUIETEST { [Bin::default(); BINS] } else { self.bank.measure(&weighted) };
        let spectrum = Spectrum::new(bins.map(Bin::power), energy, self.sliding.window());
        let mut by_cadence = None;
        for cadence in &mut self.cadences {
            // The first of those with the same tone and cadence.
            if cadence.hear(&spectrum) && by_cadence.is_none() {
                by_cadence = Some(cadence.progress);
            }
        }
        let calling = self.calling.hear(spectrum.is_near(1100)).filter(|hops| CALLING_HOPS.contains(hops));
        self.answering.hear(spectrum.is_at(&[2100]));
        let band = [950, 1400, 1800].iter().position(|&hz| spectrum.is_near(hz));
        [
            by_cadence,
            calling.map(|_| Progress::FaxCalling),
            (self.answering.hops == ANSWERING_HOPS && self.answering.missed == 0)
                .then_some(Progress::FaxAnswering),
            self.information.hear(band).then_some(Progress::SpecialInformation),
        ]
    }
}

/// One window.
struct Spectrum {
    powers: [f32; BINS],
    energy: f32,
    /// Energy before weighting. Two tones that beat have it in every window.
    whole: f32,
}

impl Spectrum {
    /// Leaves the hum out of the energy.
    fn new(powers: [f32; BINS], energy: f32, window: &[f32; WINDOW]) -> Self {
        // Nothing is at a negative zero.
        let hum: f32 = (GRID.iter().zip(&powers))
            .filter(|(bin, _)| **bin <= HUM)
            .map(|(&bin, power)| if bin == 0 { power / 2.0 } else { *power })
            .sum();
        let whole = goertzel::energy(window);
        Self { powers, energy: (energy - 2.0 * hum / WINDOW as f32).max(0.0), whole }
    }

    /// Part of the energy within so many Hz of any of these frequencies.
    fn share(&self, frequencies: &[u16], within: u16) -> f32 {
        if self.energy < QUIETEST {
            return 0.0;
        }
        let is_near = |bin: u16| frequencies.iter().any(|&hz| hz > 0 && bin.abs_diff(hz) <= within);
        let power: f32 =
            GRID.iter().zip(&self.powers).filter(|(bin, _)| is_near(**bin)).map(|(_, power)| power).sum();
        // Parseval: the energy is spread over positive and negative frequencies.
        2.0 * power / (WINDOW as f32 * self.energy)
    }

    fn is_at(&self, frequencies: &[u16]) -> bool {
        self.share(frequencies, NEAR) >= LEAST_SHARE
    }

    /// Networks are inexact with these.
    fn is_near(&self, hz: u16) -> bool {
        self.share(&[hz], 51) >= LEAST_SHARE
    }
}

/// Follows one tone of a plan.
#[derive(Debug, Clone)]
struct Cadence {
    progress: Progress,
    frequencies: [u16; 2],
    /// On and off in turn, hops; none for a tone without pauses.
    phases: [f32; 8],
    phase_count: usize,
    is_on: bool,
    /// Hops of what goes on now.
    length: u32,
    /// Lengths of what was before, the newest first, and how many are known.
    past: [u32; PAST],
    known: usize,
    /// Energies of the tone when it was last on.
    energy: f32,
    whole: f32,
    /// Hops in a row that were neither the tone nor a pause.
    other: u32,
    was_told: bool,
}

impl Cadence {
    fn new(progress: Progress, spec: ToneSpec) -> Self {
        let phase_count = spec.cadence_ms.iter().rposition(|&ms| ms > 0).map_or(0, |last| last + 1);
        Self {
            progress,
            // What modulates a tone is no tone of its own.
            frequencies: spec.frequencies.map(|hz| if hz >= LOWEST_TONE { hz as u16 } else { 0 }),
            phases: spec.cadence_ms.map(|ms| f32::from(ms) / HOP_MS),
            // On and off.
            phase_count: phase_count.next_multiple_of(2).min(8),
            is_on: false,
            length: 0,
            past: [0; PAST],
            known: 0,
            energy: 0.0,
            whole: 0.0,
            other: 0,
            was_told: false,
        }
    }

    /// Whether the tone is recognised in this window for the first time.
    fn hear(&mut self, spectrum: &Spectrum) -> bool {
        let is_tone = self.is_tone(spectrum);
        let is_on = is_tone && spectrum.whole >= self.whole * PARTLY;
        if is_on {
            let (energy, whole) = if self.is_on { (self.energy, self.whole) } else { (0.0, 0.0) };
            self.energy = energy.max(spectrum.energy);
            self.whole = whole.max(spectrum.whole);
        }
        self.other =
            if !is_tone && spectrum.energy > self.energy.max(QUIETEST) * PARTLY { self.other + 1 } else { 0 };
        if self.other > MOST_OTHER {
            self.forget();
            return false;
        }
        if is_on == self.is_on {
            self.length = self.length.saturating_add(1);
        } else {
            self.turn();
        }
        let is_heard = self.matches();
        let is_news = is_heard && !self.was_told;
        self.was_told |= is_heard;
        is_news
    }

    fn is_tone(&self, spectrum: &Spectrum) -> bool {
        let [first, second] = self.frequencies;
        let apart = second > 0 && first.abs_diff(second) >= APART;
        spectrum.is_at(&self.frequencies)
            && (!apart || self.frequencies.iter().all(|&hz| spectrum.share(&[hz], NEAR) >= LEAST_OF_PAIR))
    }

    /// On goes off, or off on.
    fn turn(&mut self) {
        self.past.copy_within(..PAST - 1, 1);
        self.past[0] = self.length;
        // A pause before the first tone has no length.
        if self.is_on || self.known > 0 {
            self.known = (self.known + 1).min(PAST);
        }
        self.is_on = !self.is_on;
        self.length = 1;
        let fits = (0..self.phase_count).any(|phase| self.fits(phase, self.past[0]));
        if self.phase_count > 0 && self.known > 0 && !fits {
            self.known = 0;
            self.was_told = false;
        }
    }

    fn forget(&mut self) {
        (self.is_on, self.length, self.known, self.other) = (false, 0, 0, 0);
        (self.energy, self.whole, self.was_told) = (0.0, 0.0, false);
    }

    fn fits(&self, phase: usize, length: u32) -> bool {
        let expected = self.phases[phase];
        (length as f32 - expected).abs() <= (expected * TOLERANCE + 1.0).max(LEAST_TOLERANCE)
    }

    fn matches(&mut self) -> bool {
        if self.phase_count == 0 {
            if !self.is_on && self.length > PAUSE_OF_CONTINUOUS {
                self.forget();
            }
            return self.is_on && self.length >= CONTINUOUS;
        }
        let longest = self.phases.iter().copied().fold(0.0, f32::max);
        if self.length as f32 > longest * (1.0 + TOLERANCE) + LEAST_TOLERANCE {
            self.forget();
            return false;
        }
        let cycle: f32 = self.phases[..self.phase_count].iter().sum();
        if cycle >= LONG_CYCLE {
            // Its last pause is long enough to be told from any other.
            let needed = self.phase_count - 1;
            return !self.is_on
                && self.known >= needed
                && self.length >= LONG_PAUSE
                && (0..needed).all(|back| self.fits(needed - 1 - back, self.past[back]));
        }
        let needed = self.phase_count.max(LEAST_PHASES);
        // What was last is on when it is off now.
        let ends = (0..self.phase_count).filter(|last| last.is_multiple_of(2) != self.is_on);
        let count = self.phase_count;
        self.known >= needed && { ends }.any(|last| {
            (0..needed).all(|back| self.fits((last + count * needed - back) % count, self.past[back]))
        })
    }
}

/// A tone that lasts.
#[derive(Debug, Clone, Copy, Default)]
struct Steady {
    hops: u32,
    missed: u32,
}

impl Steady {
    /// How long it was, hops, when it has just ended.
    fn hear(&mut self, sounds: bool) -> Option<u32> {
        if sounds {
            self.hops = self.hops.saturating_add(1);
            self.missed = 0;
            return None;
        }
        if self.hops == 0 {
            return None;
        }
        self.missed += 1;
        if self.missed <= MOST_MISSED {
            return None;
        }
        let hops = self.hops;
        *self = Self::default();
        Some(hops)
    }
}

/// The three special information tones, one after the other.
#[derive(Debug, Clone, Copy, Default)]
struct Information {
    /// Tones heard to their end, and hops of the next.
    tones: usize,
    hops: u32,
    missed: u32,
}

impl Information {
    /// `band` is the number of the tone that sounds. Whether all three were heard.
    fn hear(&mut self, band: Option<usize>) -> bool {
        let is_next =
            band == Some(self.tones + 1) && (MIN_INFORMATION..=MAX_INFORMATION).contains(&self.hops);
        if is_next {
            (self.tones, self.hops, self.missed) = (self.tones + 1, 1, 0);
        } else if band == Some(self.tones) {
            (self.hops, self.missed) = (self.hops.saturating_add(1), 0);
        } else if band.is_some() || self.missed >= MOST_GAP {
            *self = Self { tones: 0, hops: u32::from(band == Some(0)), missed: 0 };
        } else {
            self.missed += 1;
        }
        self.tones == 2 && self.missed == 0 && self.hops == MIN_INFORMATION
    }
}

/// Where there are tones, Hz, in steps of 25.
const GRID: [u16; BINS] = {
    let bands = [(0, HUM), (325, 700), (900, 1000), (1050, 1150), (1350, 1450), (1750, 1850), (2075, 2125)];
    let mut grid = [0; BINS];
    let (mut bin, mut band) = (0, 0);
    while band < bands.len() {
        let mut hz = bands[band].0;
        while hz <= bands[band].1 {
            grid[bin] = hz;
            bin += 1;
            hz += 25;
        }
        band += 1;
    }
    grid
};

const BINS: usize = 42;
/// What is not above this frequency is no sound.
const HUM: u16 = 50;
const WINDOW: usize = 320;
const HOP: usize = 160;
const HOP_MS: f32 = 20.0;
const PAST: usize = 12;
/// Energy of a window of noise at -43 dBm0.
const QUIETEST: f32 = DBM0_PEAK * DBM0_PEAK / 2.0 * 5e-5 * WINDOW as f32 * 0.375;
/// Three bins, which hold a tone wherever it is between them.
const NEAR: u16 = 37;
const LEAST_SHARE: f32 = 0.75;
/// Two tones further apart than this, Hz, must both be there.
const APART: u16 = 75;
const LEAST_OF_PAIR: f32 = 0.12;
const LOWEST_TONE: f32 = 300.0;
/// Of the energy of a window full of tone: a tone begins or ends near the middle of this one.
const PARTLY: f32 = 0.4;
/// Windows at the edges of a tone look like anything.
const MOST_OTHER: u32 = 2;
/// Of a phase: 12 % and 20 ms, but 45 ms at least.
const TOLERANCE: f32 = 0.12;
const LEAST_TOLERANCE: f32 = 2.25;
/// Three times on and off.
const LEAST_PHASES: usize = 6;
/// 2.5 s and more is ringing; 1.2 s of its pause tell it.
const LONG_CYCLE: f32 = 125.0;
const LONG_PAUSE: u32 = 60;
/// 3 s without a pause.
const CONTINUOUS: u32 = 150;
const PAUSE_OF_CONTINUOUS: u32 = 10;
/// ITU-T T.30: 0.5 s, 15 % more or less, and the width of a window.
const CALLING_HOPS: std::ops::RangeInclusive<u32> = 20..=31;
/// 0.5 s.
const ANSWERING_HOPS: u32 = 25;
/// A phase reversal spoils two windows.
const MOST_MISSED: u32 = 2;
/// 276 to 380 ms each, with room.
const MIN_INFORMATION: u32 = 11;
const MAX_INFORMATION: u32 = 23;
const MOST_GAP: u32 = 4;
