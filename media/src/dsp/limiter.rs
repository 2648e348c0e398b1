//! What many voices at once need: a gain that comes down fast and goes up slowly, so that a loud sum is quieter and not
//! distorted. What still exceeds full scale for a moment is bent by [`limit`](super::mix::limit).
//!
//! The gain follows the whole sum, not what one listener hears of it: so it is found once, is the same for all, does
//! not depend on anybody's order, and a voice that is subtracted is gone entirely.

/// Follows the loudness of a running sum, piece by piece (5 ms each).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limiter {
    gain: i32,
}

/// The gain within one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ramp {
    from: i32,
    to: i32,
}

impl Default for Limiter {
    fn default() -> Self {
        Self { gain: ONE }
    }
}

impl Limiter {
    /// The gain of the next piece.
    pub(crate) fn follow(&mut self, sum: &[i32]) -> Ramp {
        let peak = sum.iter().fold(0, |peak, sample| peak.max(sample.unsigned_abs()));
        let most = match u64::from(peak) {
            peak if peak <= CEILING => ONE,
            peak => (CEILING * ONE as u64 / peak) as i32,
        };
        let from = self.gain;
        self.gain = (from + (from >> RELEASE) + 1).min(most);
        Ramp { from, to: self.gain }
    }
}

impl Ramp {
    /// Nothing changes.
    pub(crate) const UNITY: Self = Self { from: ONE, to: ONE };

    /// Applies the gain to a piece, from 1 sample to as many as a piece has.
    pub(crate) fn apply(self, sum: &mut [i32]) {
        if self == Self::UNITY {
            return;
        }
        // Down within the first quarter; up as slowly as it gets.
        let steps = if self.to < self.from { (sum.len() / 4).max(1) } else { sum.len().max(1) };
        let (first, rest) = sum.split_at_mut(steps.min(sum.len()));
        let change = i64::from(self.to - self.from);
        for (index, sample) in first.iter_mut().enumerate() {
            *sample = scale(*sample, self.from + (change * (index as i64 + 1) / steps as i64) as i32);
        }
        for sample in rest {
            *sample = scale(*sample, self.to);
        }
    }
}

fn scale(sample: i32, gain: i32) -> i32 {
    // The gain is at most one, so it fits again.
    (i64::from(sample) * i64::from(gain) / i64::from(ONE)) as i32
}

/// A factor of one, in fixed point.
const ONE: i32 = 1 << 24;

/// −1 dBFS: sums up to here are left alone.
const CEILING: u64 = 29_204;

/// The gain grows by this power of two per piece: 6 dB in 0.45 s.
const RELEASE: u32 = 7;

#[cfg(test)]
mod tests {
    use super::*;

    fn after(limiter: &mut Limiter, mut sum: Vec<i32>) -> Vec<i32> {
        limiter.follow(&sum.clone()).apply(&mut sum);
        sum
    }

    #[test]
    fn up_to_one_db_below_full_scale_nothing_changes() {
        let mut limiter = Limiter::default();
        let sum = vec![29_204, -29_204, 1, 0];
        assert_eq!(limiter.follow(&sum), Ramp::UNITY);
        assert_eq!(after(&mut limiter, sum.clone()), sum);
    }

    #[test]
    fn a_loud_sum_is_scaled_and_keeps_its_shape() {
        let mut limiter = Limiter::default();
        let tone: Vec<i32> = (0..40).map(|n| ((f64::from(n) * 0.7).sin() * 300_000.0) as i32).collect();
        after(&mut limiter, tone.clone());
        let heard = after(&mut limiter, tone.clone());
        assert!(heard.iter().all(|sample| sample.abs() <= 29_204), "{heard:?}");
        let factor = f64::from(heard[2]) / f64::from(tone[2]);
        for (heard, tone) in heard.iter().zip(&tone) {
            assert!(
                (f64::from(*heard) - factor * f64::from(*tone)).abs() < 300.0,
                "{heard} of {tone} by {factor}"
            );
        }
    }

    #[test]
    fn the_gain_comes_back_within_half_a_second_per_6_db_and_ends_at_one() {
        let mut limiter = Limiter::default();
        limiter.follow(&[58_408; 40]);
        let pieces = (1..400).find(|_| limiter.follow(&[100; 40]) == Ramp::UNITY).unwrap();
        assert!((60..=100).contains(&pieces), "{pieces} pieces of 5 ms");
    }

    #[test]
    fn the_gain_moves_without_a_step() {
        let mut limiter = Limiter::default();
        let mut before = 20_000;
        for peak in [20_000, 60_000, 60_000, 20_000, 20_000] {
            let mut sum = vec![20_000; 240];
            sum[239] = peak;
            for sample in &after(&mut limiter, sum)[..239] {
                assert!((sample - before).abs() <= 250, "{before} then {sample}");
                before = *sample;
            }
        }
    }

    #[test]
    fn the_loudest_possible_sum_fits() {
        let mut limiter = Limiter::default();
        for sum in [[i32::MIN; 40], [i32::MAX; 40]] {
            after(&mut limiter, sum.to_vec());
            assert!(after(&mut limiter, sum.to_vec()).iter().all(|sample| sample.abs() <= 32_767));
        }
    }
}
