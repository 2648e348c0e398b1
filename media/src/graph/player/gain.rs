//! Volume that changes without a click.

use super::PER_MS;

/// A factor that moves in a straight line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gain {
    value: f32,
    pub(super) target: f32,
    /// Until the target is reached, 48,000 per second.
    left: u64,
}

impl Gain {
    pub(super) fn at(value: f32) -> Self {
        Self { value, target: value, left: 0 }
    }

    pub(super) fn go(&mut self, target: f32, ms: u32) {
        (self.target, self.left) = (target, u64::from(ms) * PER_MS);
        if ms == 0 {
            self.value = target;
        }
    }

    pub(super) fn left(self) -> u64 {
        self.left
    }

    pub(super) fn is_neutral(self) -> bool {
        self.left == 0 && self.value == 1.0
    }

    pub(super) fn apply(&mut self, samples: &mut [i16], per_sample: u64) {
        if self.is_neutral() {
            return;
        }
        for sample in samples {
            if self.left > 0 {
                let steps = self.left.div_ceil(per_sample) as f32;
                self.value += (self.target - self.value) / steps;
                self.left = self.left.saturating_sub(per_sample);
                if self.left == 0 {
                    self.value = self.target;
                }
            }
            // `as` saturates.
            *sample = (f32::from(*sample) * self.value).round() as i16;
        }
    }
}

/// What a volume multiplies samples with.
pub(super) fn factor(volume_db: f32) -> f32 {
    if volume_db.is_nan() || volume_db == 0.0 {
        1.0
    } else if volume_db < LOWEST_DB {
        0.0
    } else {
        10_f32.powf(volume_db.min(HIGHEST_DB) / 20.0)
    }
}

const LOWEST_DB: f32 = -60.0;
const HIGHEST_DB: f32 = 30.0;
