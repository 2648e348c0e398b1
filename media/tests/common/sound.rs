//! What detectors hear in tests: tones, noise, and a voice that speaks no language.

use std::f32::consts::TAU;

use offhook_media::dsp::level::DBM0_PEAK;

use super::dice::Dice;

const RATE: f32 = 8000.0;

/// Peak amplitude of a tone of that level.
pub(crate) fn peak_of(dbm0: f32) -> f32 {
    DBM0_PEAK * 10_f32.powf(dbm0 / 20.0)
}

/// Adds a tone, Hz and dBm0, from one sample to another, with edges of 1 ms. Phases differ from tone to tone.
pub(crate) fn add_tone(sound: &mut [f32], from: usize, to: usize, hz: f32, dbm0: f32) {
    let (to, peak) = (to.min(sound.len()), peak_of(dbm0));
    for (index, sample) in sound.iter_mut().enumerate().take(to).skip(from) {
        let edge = (index - from + 1).min(to - index).min(8) as f32 / 8.0;
        let turns = f64::from(hz) * (index - from) as f64 / f64::from(RATE);
        *sample += (TAU * (turns.fract() as f32 + hz / 1000.0)).sin() * peak * edge;
    }
}

/// Adds white noise of that power, dBm0.
pub(crate) fn add_noise(sound: &mut [f32], dice: &mut Dice, dbm0: f32) {
    let deviation = peak_of(dbm0) / 2_f32.sqrt();
    for sample in sound {
        *sample += gauss(dice) * deviation;
    }
}

/// Rounded and clipped.
pub(crate) fn samples(sound: &[f32]) -> Vec<i16> {
    sound.iter().map(|&sample| sample.round() as i16).collect()
}

fn unit(dice: &mut Dice) -> f32 {
    dice.below(1 << 24) as f32 / (1 << 24) as f32
}

fn between(dice: &mut Dice, low: f32, high: f32) -> f32 {
    low + unit(dice) * (high - low)
}

fn gauss(dice: &mut Dice) -> f32 {
    let bits = dice.next();
    let sum: i32 = (0..4).map(|index| i32::from((bits >> (16 * index)) as i16)).sum();
    // Four uniform numbers of 16 bits: variance 4 * 65536^2 / 12.
    sum as f32 / 37_837.0
}

/// A voice: pulses or breath through four moving formants, in words and sentences.
pub(crate) struct Voice {
    dice: Dice,
    /// Mean pitch, Hz.
    pitch: f32,
    glide: f32,
    turn: f32,
    formants: [Formant; 4],
    /// Samples left of this sound.
    left: u32,
    sound: Sound,
    loudness: f32,
    gain: f32,
}

#[derive(Clone, Copy, PartialEq)]
enum Sound {
    Vowel,
    Breath,
    Pause,
}

#[derive(Default, Clone, Copy)]
struct Formant {
    hz: f32,
    target: f32,
    width: f32,
    gain: f32,
    past: [f32; 2],
}

impl Formant {
    fn filter(&mut self, input: f32) -> f32 {
        self.hz += (self.target - self.hz) * 0.002;
        let radius = (-std::f32::consts::PI * self.width / RATE).exp();
        let out = input * (1.0 - radius) + 2.0 * radius * (TAU * self.hz / RATE).cos() * self.past[0]
            - radius * radius * self.past[1];
        self.past = [out, self.past[0]];
        out * self.gain
    }
}

impl Voice {
    /// Pitch in Hz: 100 is a man, 200 a woman, 300 a child.
    pub(crate) fn new(seed: u64, pitch: f32) -> Self {
        let formant = Formant { hz: 500.0, target: 500.0, width: 80.0, gain: 1.0, past: [0.0; 2] };
        Self {
            dice: Dice::new(seed),
            pitch,
            glide: 1.0,
            turn: 0.0,
            formants: [formant; 4],
            left: 0,
            sound: Sound::Pause,
            loudness: 0.0,
            gain: 0.0,
        }
    }

    /// The next samples, about -20 dBm0 while it speaks.
    pub(crate) fn speak(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.next_sample()).collect()
    }

    fn next_sound(&mut self) {
        let dice = &mut self.dice;
        (self.sound, self.left) = match dice.below(20) {
            0 => (Sound::Pause, 8 * (200 + dice.below(800) as u32)),
            1..=3 => (Sound::Pause, 8 * (30 + dice.below(90) as u32)),
            4..=7 => (Sound::Breath, 8 * (30 + dice.below(90) as u32)),
            _ => (Sound::Vowel, 8 * (50 + dice.below(250) as u32)),
        };
        let ranges = match self.sound {
            Sound::Breath => [(1200.0, 2000.0), (1800.0, 2800.0), (2500.0, 3400.0), (3000.0, 3700.0)],
            Sound::Vowel | Sound::Pause => {
                [(270.0, 950.0), (850.0, 2300.0), (1700.0, 3000.0), (3000.0, 3700.0)]
            }
        };
        for (formant, (low, high)) in self.formants.iter_mut().zip(ranges) {
            formant.target = between(dice, low, high);
            formant.width = between(dice, 40.0, 160.0);
            formant.gain = between(dice, 0.1, 1.0);
        }
        self.glide = between(dice, 0.75, 1.4);
        self.loudness = peak_of(between(dice, -26.0, -12.0)) * 9.0;
    }

    fn next_sample(&mut self) -> f32 {
        if self.left == 0 {
            self.next_sound();
        }
        self.left -= 1;
        self.pitch = self.pitch.clamp(70.0, 420.0);
        self.turn += self.pitch * self.glide / RATE;
        let source = match self.sound {
            Sound::Vowel if self.turn >= 1.0 => 4.0,
            Sound::Vowel => gauss(&mut self.dice) * 0.02,
            Sound::Breath => gauss(&mut self.dice) * 0.3,
            Sound::Pause => 0.0,
        };
        self.turn = self.turn.fract();
        let loudness = if self.sound == Sound::Pause { 0.0 } else { self.loudness };
        self.gain += (loudness - self.gain) * 0.01;
        self.formants.iter_mut().map(|formant| formant.filter(source)).sum::<f32>() * self.gain
    }
}
