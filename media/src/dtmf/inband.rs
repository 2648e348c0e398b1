//! Finds digits in audio, by the two tones of each key (ITU-T Q.23, Q.24).
//!
//! A session feeds one [`InbandDigits`] per party with what that party says, at 8 kHz, as decoded for a tap: before
//! mixing, in chunks of any length, without holes (a concealed frame is fed as it was concealed). Time is counted in
//! samples since the first one. What comes out are the [`Edge`]s that telephone events give too, each with the sample
//! where it happened, so that a key heard both ways can be told to be one key.
//!
//! A key is known 31 to 45 ms after it went down. Who wants to keep tones from other listeners mutes the party
//! while [`InbandDigits::hears_tones`] says so, which is some 20 ms earlier.

use super::Edge;
use crate::dsp::{
    goertzel::{Bank, Bin, Hann, RATE, Sliding},
    level::DBM0_PEAK,
};

/// A key moved, as heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InbandEdge {
    /// What moved.
    pub edge: Edge,
    /// Where the tones began or ended, samples from the first one heard; exact to about 3 ms.
    pub at: u64,
}

/// Listens for digits.
///
/// Every 5 ms it measures the eight tones over the last 20 ms, and where those are two steady tones of one key — by
/// frequency, level, twist, and their share of all there is to hear — the second harmonics, which speech has and a
/// keypad has not.
#[derive(Debug, Clone)]
pub struct InbandDigits {
    sliding: Sliding<WINDOW>,
    hann: Hann<WINDOW>,
    bank: Bank<8>,
    /// Of the window one hop ago.
    bins: [Bin; 8],
    /// Amplitudes of the last windows, the newest first.
    past: [[f32; 8]; PAST],
    press: Option<Press>,
}

/// Two steady tones in one window.
#[derive(Debug, Clone, Copy)]
struct Pair {
    low: usize,
    high: usize,
    /// How far each is off, relative to its frequency.
    offsets: [f32; 2],
}

impl Pair {
    fn code(self) -> u8 {
        CODES[self.low][self.high - 4]
    }

    fn is(self, other: Self) -> bool {
        (self.low, self.high) == (other.low, other.high)
    }
}

/// A key that is down, or may turn out to be.
#[derive(Debug, Clone, Copy)]
struct Press {
    pair: Pair,
    /// Amplitudes of the two tones when steady.
    reference: [f32; 2],
    began: u64,
    /// Windows that showed the key.
    clear: u32,
    /// Sums over those windows.
    offsets: [f32; 2],
    /// Windows in which its tones sounded, but not clearly.
    unclear: u32,
    is_down: bool,
    /// Where the tones fell below half, and windows since.
    faded: Option<(u64, u32)>,
}

impl InbandDigits {
    /// Nothing heard yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            sliding: Sliding::new(HOP),
            hann: Hann::new(),
            bank: Bank::new(TONES),
            bins: [Bin::default(); 8],
            past: [[0.0; 8]; PAST],
            press: None,
        }
    }

    /// Hears the next samples and tells each edge in them, in order.
    pub fn hear(&mut self, mut samples: &[i16], mut tell: impl FnMut(InbandEdge)) {
        while !samples.is_empty() {
            if self.sliding.take(&mut samples) {
                self.look(&mut tell);
                self.sliding.advance();
            }
        }
    }

    /// Whether the tones of a key sound now, be it long enough to count or not.
    #[must_use]
    pub fn hears_tones(&self) -> bool {
        self.press.is_some_and(|press| press.faded.is_none())
    }

    /// The party's sound ended: a key that is down goes up.
    pub fn finish(&mut self, mut tell: impl FnMut(InbandEdge)) {
        let end = self.sliding.position();
        if let Some(press) = self.press.take() {
            press.release(end, &mut tell);
        }
    }

    fn look(&mut self, tell: &mut impl FnMut(InbandEdge)) {
        let (weighted, energy) = self.hann.apply(self.sliding.window());
        let bins = if energy < QUIETEST { [Bin::default(); 8] } else { self.bank.measure(&weighted) };
        self.past.copy_within(..PAST - 1, 1);
        self.past[0] = bins.map(Hann::<WINDOW>::amplitude);
        let pair = if energy < QUIETEST { None } else { self.pair(&weighted, energy, &bins) };
        self.bins = bins;
        self.follow(pair, energy, tell);
    }

    /// The key whose two tones are steady in this window and nearly all that is in it.
    fn pair(&self, weighted: &[f32; WINDOW], energy: f32, bins: &[Bin; 8]) -> Option<Pair> {
        let strongest = |group: std::ops::Range<usize>| {
            group.max_by(|&a, &b| self.past[0][a].total_cmp(&self.past[0][b])).unwrap_or(0)
        };
        let (row, column) = (strongest(0..4), strongest(4..8));
        let low = self.steady(bins, row)?;
        let high = self.steady(bins, column)?;
        let share =
            (Hann::<WINDOW>::energy_of(low.amplitude) + Hann::<WINDOW>::energy_of(high.amplitude)) / energy;
        let twist = high.amplitude / low.amplitude;
        let loud = low.amplitude.max(high.amplitude) >= DBM0_PEAK * LEAST_LEVEL;
        if !loud || share < LEAST_SHARE || !(LEAST_TWIST..=MOST_TWIST).contains(&twist) {
            return None;
        }
        let harmonics =
            Bank::new([2.0 * low.hz, 2.0 * high.hz]).measure(weighted).map(Hann::<WINDOW>::amplitude);
        // The high tone spills over the second harmonic of the low one.
        let spill = high.amplitude * Hann::<WINDOW>::response(2.0 * low.hz - high.hz);
        let is_voice = harmonics[0] > low.amplitude * MOST_HARMONIC + spill
            || harmonics[1] > high.amplitude * MOST_HARMONIC;
        let offsets = [low.hz / TONES[row] - 1.0, high.hz / TONES[column] - 1.0];
        (!is_voice).then_some(Pair { low: row, high: column, offsets })
    }

    /// The tone near a bin, if it is as loud as one hop ago and near enough.
    fn steady(&self, bins: &[Bin; 8], index: usize) -> Option<Steady> {
        let change = self.past[0][index] / self.past[1][index];
        // This also refuses a division of nothing.
        if !(1.0 / MOST_CHANGE..=MOST_CHANGE).contains(&change) {
            return None;
        }
        let hz = TONES[index];
        let offset = bins[index].offset_hz(self.bins[index], hz, HOP);
        let near = offset.abs() <= hz * MOST_OFFSET;
        near.then(|| Steady {
            hz: hz + offset,
            amplitude: self.past[0][index] / Hann::<WINDOW>::response(offset),
        })
    }

    fn follow(&mut self, pair: Option<Pair>, energy: f32, tell: &mut impl FnMut(InbandEdge)) {
        let centre = self.centre();
        let Some(mut press) = self.press.take() else {
            self.press = pair.map(|pair| self.start(pair));
            return;
        };
        let sounds = press.sounds(&self.past[0], energy);
        match pair {
            Some(pair) if pair.is(press.pair) => {
                if press.faded.is_some() && !press.is_down {
                    press = self.start(pair);
                } else {
                    press.faded = None;
                    press.adapt(pair, &self.past[0]);
                }
            }
            Some(pair) => {
                press.release(self.faded_at(&press), tell);
                press = self.start(pair);
            }
            None if sounds => {
                press.unclear += 1;
                press.faded = None;
            }
            None => {
                let (at, count) = press.faded.unwrap_or_else(|| (self.faded_at(&press), 0));
                press.faded = Some((at, count + 1));
                if count + 1 >= FADED_HOPS {
                    press.release(at, tell);
                    return;
                }
            }
        }
        if !press.is_down {
            let long = centre.saturating_sub(press.began) >= LEAST_LENGTH;
            if press.unclear > MOST_UNCLEAR {
                return;
            }
            if sounds && long && press.is_clear() {
                press.is_down = true;
                tell(InbandEdge { edge: Edge::Down(press.pair.code()), at: press.began });
            }
        }
        self.press = Some(press);
    }

    fn start(&self, pair: Pair) -> Press {
        let now = &self.past[0];
        let reference = [now[pair.low], now[pair.high]];
        // Half the amplitude: half the window holds the tone, whose beginning is thus in its middle.
        let level = |hop: usize| {
            let past = &self.past[hop];
            (past[pair.low] / reference[0]).min(past[pair.high] / reference[1])
        };
        let silent = (1..PAST).find(|&hop| level(hop) < 0.5);
        let back = silent.map_or(PAST as f32, |hop| hop as f32 - crossing(level(hop), level(hop - 1)));
        let began = self.centre().saturating_sub((back * HOP as f32) as u64);
        let offsets = pair.offsets;
        Press { pair, reference, began, clear: 1, offsets, unclear: 0, is_down: false, faded: None }
    }

    /// Where the tones fell below half, between the window before and this one.
    fn faded_at(&self, press: &Press) -> u64 {
        if let Some((at, _)) = press.faded {
            return at;
        }
        let back = crossing(press.level(&self.past[0]), press.level(&self.past[1]));
        self.centre().saturating_sub((back.clamp(0.0, 1.0) * HOP as f32) as u64)
    }

    /// The middle of the window.
    fn centre(&self) -> u64 {
        self.sliding.position().saturating_sub(WINDOW as u64 / 2)
    }
}

impl Default for InbandDigits {
    fn default() -> Self {
        Self::new()
    }
}

/// How far towards `above` one half lies from `below`.
fn crossing(below: f32, above: f32) -> f32 {
    if above > below { (0.5 - below) / (above - below) } else { 0.5 }
}

#[derive(Debug, Clone, Copy)]
struct Steady {
    hz: f32,
    amplitude: f32,
}

impl Press {
    /// The weaker of both tones, relative to what it was when steady.
    fn level(&self, amplitudes: &[f32; 8]) -> f32 {
        (amplitudes[self.pair.low] / self.reference[0]).min(amplitudes[self.pair.high] / self.reference[1])
    }

    fn sounds(&self, amplitudes: &[f32; 8], energy: f32) -> bool {
        let of_tones = Hann::<WINDOW>::energy_of(amplitudes[self.pair.low])
            + Hann::<WINDOW>::energy_of(amplitudes[self.pair.high]);
        self.level(amplitudes) >= 0.5 && of_tones >= energy * SOUNDING_SHARE
    }

    /// Whether enough windows showed it, and their mean is near enough to its frequencies.
    fn is_clear(&self) -> bool {
        let count = self.clear as f32;
        self.clear >= LEAST_CLEAR && self.offsets.iter().all(|sum| sum.abs() <= MOST_MEAN_OFFSET * count)
    }

    fn adapt(&mut self, pair: Pair, amplitudes: &[f32; 8]) {
        self.clear = self.clear.saturating_add(1);
        for (sum, offset) in self.offsets.iter_mut().zip(pair.offsets) {
            *sum += offset;
        }
        for (reference, index) in self.reference.iter_mut().zip([self.pair.low, self.pair.high]) {
            *reference += (amplitudes[index] - *reference) / 4.0;
        }
    }

    fn release(&self, at: u64, tell: &mut impl FnMut(InbandEdge)) {
        if self.is_down {
            let at = at.max(self.began);
            let ms = (at - self.began) * 1000 / u64::from(RATE);
            let ms = u32::try_from(ms).unwrap_or(u32::MAX);
            tell(InbandEdge { edge: Edge::Up(self.pair.code(), ms), at });
        }
    }
}

const TONES: [f32; 8] = [697.0, 770.0, 852.0, 941.0, 1209.0, 1336.0, 1477.0, 1633.0];

/// Event codes by row and column of the keypad.
const CODES: [[u8; 4]; 4] = [[1, 2, 3, 12], [4, 5, 6, 13], [7, 8, 9, 14], [10, 0, 11, 15]];

const HOP: usize = 40;
const WINDOW: usize = 160;
/// Windows to look back for the beginning of a tone.
const PAST: usize = 12;
/// Energy of a window of noise at -50 dBm0; below, nothing is measured.
const QUIETEST: f32 = 2600.0 * WINDOW as f32 * 0.375;
/// Of the louder tone, relative to 0 dBm0: -39 dBm0.
const LEAST_LEVEL: f32 = 0.0112;
/// Of both tones in all there is to hear: noise 8 dB below them.
const LEAST_SHARE: f32 = 0.86;
const SOUNDING_SHARE: f32 = 0.5;
/// High over low: -9.5 dB, as lines attenuate high tones.
const LEAST_TWIST: f32 = 0.335;
/// +5.5 dB.
const MOST_TWIST: f32 = 1.884;
/// ITU-T Q.24: 1.5 % must be accepted, 3.5 % refused. This is for one window, which noise makes inexact.
const MOST_OFFSET: f32 = 0.025;
/// Of the mean of all windows. The tones were chosen so that no voice has harmonics at two of them: two that are
/// 2 to 3 or 1 to 2 need more room than this.
const MOST_MEAN_OFFSET: f32 = 0.019;
/// Of an amplitude from one window to the next.
const MOST_CHANGE: f32 = 1.3;
/// Of a second harmonic, relative to its tone: -14 dB.
const MOST_HARMONIC: f32 = 0.2;
/// ITU-T Q.24: 40 ms must be accepted, 23 ms refused. Samples.
const LEAST_LENGTH: u64 = 31 * RATE as u64 / 1000;
const LEAST_CLEAR: u32 = 4;
const MOST_UNCLEAR: u32 = 2;
/// A key is up after 20 ms without its tones; shorter dropouts do not make two of one.
const FADED_HOPS: u32 = 4;
