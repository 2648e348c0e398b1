//! When somebody talks: energy above a noise floor that adapts, with hysteresis.
//!
//! A session feeds one [`VoiceActivity`] per party with what that party says, at 8 kHz, in chunks of any length and
//! without holes. Time is counted in samples since the first one.

use super::{goertzel::RATE, level::DBM0_PEAK};

/// What counts as talk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VoiceConfig {
    /// Quieter is never talk, dBm0.
    pub least_dbm0: f32,
    /// Talk is so much louder than the noise, dB. It goes on while it is 3 dB less than that.
    pub above_noise_db: f32,
    /// Sound so long is talk, ms.
    pub onset_ms: u32,
    /// Silence so long ends it, ms.
    pub hangover_ms: u32,
}

impl Default for VoiceConfig {
    fn default() -> Self {
        Self { least_dbm0: -45.0, above_noise_db: 9.0, onset_ms: 40, hangover_ms: 300 }
    }
}

/// Talk began or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VoiceEdge {
    /// With the sample of that number.
    Started {
        /// Samples from the first one heard.
        at: u64,
    },
    /// Before the sample of that number; known a hangover later.
    Stopped {
        /// Samples from the first one heard.
        at: u64,
    },
}

/// Tells talk from silence.
///
/// The noise floor is the quietest 30 ms of the last 2 s, so that pauses between words keep it low, and noise that
/// sets in is talk for 2 s at most. So is a tone.
#[derive(Debug, Clone)]
pub struct VoiceActivity {
    config: VoiceConfig,
    frame: Frame,
    floor: NoiseFloor,
    is_talking: bool,
    /// Loud frames minus quiet ones, not below zero, and where they began.
    onset: u32,
    began: u64,
    /// Where the last loud frame ended.
    ended: u64,
    level_dbm0: f32,
}

impl VoiceActivity {
    /// Nobody has talked yet.
    #[must_use]
    pub fn new(config: VoiceConfig) -> Self {
        Self {
            config,
            frame: Frame::default(),
            floor: NoiseFloor::new(),
            is_talking: false,
            onset: 0,
            began: 0,
            ended: 0,
            level_dbm0: super::level::FLOOR_DB,
        }
    }

    /// Hears the next samples and tells each edge in them, in order.
    pub fn hear(&mut self, mut samples: &[i16], mut tell: impl FnMut(VoiceEdge)) {
        while let Some(frame) = self.frame.take(&mut samples) {
            self.judge(frame, &mut tell);
        }
    }

    /// The party's sound ended: so does its talk.
    pub fn finish(&mut self, mut tell: impl FnMut(VoiceEdge)) {
        if std::mem::take(&mut self.is_talking) {
            tell(VoiceEdge::Stopped { at: self.ended });
        }
        self.onset = 0;
    }

    /// Whether somebody talks, hangover included.
    #[must_use]
    pub fn is_talking(&self) -> bool {
        self.is_talking
    }

    /// Level of the last 10 ms, dBm0.
    #[must_use]
    pub fn level_dbm0(&self) -> f32 {
        self.level_dbm0
    }

    fn judge(&mut self, frame: FrameHeard, tell: &mut impl FnMut(VoiceEdge)) {
        self.level_dbm0 = power_to_dbm0(frame.power);
        let noise_dbm0 = power_to_dbm0(self.floor.adapt(frame.power));
        let threshold = self.config.least_dbm0.max(noise_dbm0 + self.config.above_noise_db);
        let start = frame.end - FRAME as u64;
        if self.is_talking {
            if self.level_dbm0 >= threshold - HYSTERESIS_DB {
                self.ended = frame.end;
            } else if frame.end - self.ended >= samples(self.config.hangover_ms) {
                self.is_talking = false;
                self.onset = 0;
                tell(VoiceEdge::Stopped { at: self.ended });
            }
            return;
        }
        if self.level_dbm0 < threshold {
            self.onset = self.onset.saturating_sub(1);
            return;
        }
        if self.onset == 0 {
            self.began = start;
        }
        self.onset += 1;
        if u64::from(self.onset) * FRAME as u64 >= samples(self.config.onset_ms) {
            self.is_talking = true;
            self.ended = frame.end;
            tell(VoiceEdge::Started { at: self.began });
        }
    }
}

impl Default for VoiceActivity {
    fn default() -> Self {
        Self::new(VoiceConfig::default())
    }
}

/// Cuts chunks of any length into frames of 10 ms.
#[derive(Debug, Clone, Default)]
pub(super) struct Frame {
    count: usize,
    sum: i64,
    squares: u64,
    magnitudes: u32,
    position: u64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct FrameHeard {
    /// Mean square without the mean.
    pub(super) power: f32,
    pub(super) mean_magnitude: u32,
    /// Samples up to its end.
    pub(super) end: u64,
}

impl Frame {
    /// Takes samples from the front, up to the end of a frame; `None` when they did not reach it.
    pub(super) fn take(&mut self, samples: &mut &[i16]) -> Option<FrameHeard> {
        let (now, later) = samples.split_at((FRAME - self.count).min(samples.len()));
        for &sample in now {
            self.sum += i64::from(sample);
            self.squares += u64::from(sample.unsigned_abs()).pow(2);
            self.magnitudes += u32::from(sample.unsigned_abs());
        }
        self.count += now.len();
        self.position += now.len() as u64;
        *samples = later;
        if self.count < FRAME {
            return None;
        }
        let mean = self.sum as f64 / FRAME as f64;
        let heard = FrameHeard {
            power: (self.squares as f64 / FRAME as f64 - mean * mean).max(0.0) as f32,
            mean_magnitude: self.magnitudes / FRAME as u32,
            end: self.position,
        };
        *self = Self { position: self.position, ..Self::default() };
        Some(heard)
    }
}

/// The quietest 30 ms of the last 2 s.
#[derive(Debug, Clone)]
struct NoiseFloor {
    last: [f32; 3],
    /// The quietest of each 250 ms, the newest first; that one is not full yet.
    quietest: [f32; 8],
    frames: u32,
}

impl NoiseFloor {
    fn new() -> Self {
        Self { last: [FIRST_NOISE; 3], quietest: [FIRST_NOISE; 8], frames: 0 }
    }

    fn adapt(&mut self, power: f32) -> f32 {
        self.last = [power, self.last[0], self.last[1]];
        let mean = self.last.iter().sum::<f32>() / 3.0;
        if self.frames == FRAMES_PER_BUCKET {
            self.frames = 0;
            self.quietest.copy_within(..7, 1);
            self.quietest[0] = mean;
        }
        self.frames += 1;
        self.quietest[0] = self.quietest[0].min(mean);
        self.quietest.iter().copied().fold(f32::MAX, f32::min)
    }
}

fn power_to_dbm0(power: f32) -> f32 {
    super::level::to_db((2.0 * power).sqrt() / DBM0_PEAK)
}

fn samples(ms: u32) -> u64 {
    u64::from(ms) * u64::from(RATE) / 1000
}

/// Samples of a frame.
pub(super) const FRAME: usize = RATE as usize / 100;
const FRAMES_PER_BUCKET: u32 = 25;
const HYSTERESIS_DB: f32 = 3.0;
/// Mean square of noise at -60 dBm0, until it is known.
const FIRST_NOISE: f32 = 260.0;
