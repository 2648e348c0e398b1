//! The six zeros of a predictor and the decisions of the quantiser, eight 16-bit lanes at a time.
//!
//! Every x86-64 processor has SSE2, so that nothing is chosen at run time; elsewhere the same is done with arrays.

#[cfg(not(target_arch = "x86_64"))]
pub(super) use portable::{Lanes, decisions_passed};
#[cfg(target_arch = "x86_64")]
pub(super) use sse2::{Lanes, decisions_passed};

/// Table 14: decision levels of the 6-bit quantiser, 12 bits behind the point.
const DECISIONS: [u16; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023, 1121, 1219,
    1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919,
];

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "the intrinsics of SSE2")]
mod sse2 {
    use std::arch::x86_64::{
        __m128i, _mm_add_epi16, _mm_adds_epi16, _mm_cmpgt_epi16, _mm_cvtsi128_si32, _mm_insert_epi16,
        _mm_movemask_epi8, _mm_mulhi_epi16, _mm_mulhi_epu16, _mm_mullo_epi16, _mm_or_si128, _mm_packs_epi16,
        _mm_set1_epi16, _mm_setr_epi16, _mm_setzero_si128, _mm_slli_epi16, _mm_slli_si128, _mm_srai_epi16,
        _mm_srli_epi16, _mm_srli_si128, _mm_sub_epi16, _mm_xor_si128,
    };

    use super::DECISIONS;

    #[derive(Debug, Clone, Copy)]
    pub(in super::super) struct Lanes(__m128i);

    impl Lanes {
        pub(in super::super) fn zero() -> Self {
            // SAFETY: every x86-64 processor has SSE2.
            unsafe { Self(_mm_setzero_si128()) }
        }

        /// UPZERO: these are coefficients, `past` the differences before `difference`.
        #[inline]
        pub(in super::super) fn adapt(self, past: Self, difference: i16) -> Self {
            // SAFETY: every x86-64 processor has SSE2.
            unsafe {
                let step = _mm_set1_epi16(if difference == 0 { 0 } else { 128 });
                let turn = _mm_srai_epi16::<15>(_mm_xor_si128(past.0, _mm_set1_epi16(difference)));
                let step = _mm_sub_epi16(_mm_xor_si128(step, turn), turn);
                // 255/256 of it, rounded down: adding the upper half of its product with -256.
                let leaked = _mm_add_epi16(self.0, _mm_mulhi_epi16(self.0, _mm_set1_epi16(-256)));
                Self(_mm_adds_epi16(leaked, step))
            }
        }

        /// These are differences; `newest` comes before them.
        #[inline]
        pub(in super::super) fn shift_in(self, newest: i16) -> Self {
            // SAFETY: every x86-64 processor has SSE2.
            unsafe { Self(_mm_insert_epi16::<0>(_mm_slli_si128::<2>(self.0), i32::from(newest))) }
        }

        /// FILTEZ: these are coefficients. A difference has at most 14 bits and a sign, so that doubling it cannot
        /// saturate; the sum can, and begins with the oldest.
        #[inline]
        pub(in super::super) fn weigh(self, differences: Self) -> i16 {
            // SAFETY: every x86-64 processor has SSE2.
            unsafe {
                let doubled = _mm_add_epi16(differences.0, differences.0);
                let upper = _mm_mulhi_epi16(self.0, doubled);
                let lower = _mm_mullo_epi16(self.0, doubled);
                let products = _mm_or_si128(_mm_slli_epi16::<1>(upper), _mm_srli_epi16::<15>(lower));
                let sum = _mm_adds_epi16(_mm_srli_si128::<10>(products), _mm_srli_si128::<8>(products));
                let sum = _mm_adds_epi16(sum, _mm_srli_si128::<6>(products));
                let sum = _mm_adds_epi16(sum, _mm_srli_si128::<4>(products));
                let sum = _mm_adds_epi16(sum, _mm_srli_si128::<2>(products));
                _mm_cvtsi128_si32(_mm_adds_epi16(sum, products)) as i16
            }
        }
    }

    /// QUANTL: how many decision levels a magnitude reaches.
    #[inline]
    pub(in super::super) fn decisions_passed(magnitude: i16, scale: u16) -> u8 {
        // SAFETY: every x86-64 processor has SSE2.
        unsafe {
            let scale = _mm_set1_epi16(scale as i16);
            let magnitude = _mm_set1_epi16(magnitude);
            // Four bits more behind the point make the upper half of the product what is compared.
            let beyond = |first: usize| {
                let level = |lane: usize| (DECISIONS[(first + lane).min(28)] << 4) as i16;
                let levels = _mm_setr_epi16(
                    level(0),
                    level(1),
                    level(2),
                    level(3),
                    level(4),
                    level(5),
                    level(6),
                    level(7),
                );
                _mm_cmpgt_epi16(_mm_mulhi_epu16(levels, scale), magnitude)
            };
            let lower = _mm_movemask_epi8(_mm_packs_epi16(beyond(0), beyond(8))) as u32;
            let upper = _mm_movemask_epi8(_mm_packs_epi16(beyond(16), beyond(24))) as u32;
            // Levels ascend, so that the first one beyond tells how many are not; behind the last there is none.
            (lower | upper << 16 | 1 << 29).trailing_zeros() as u8
        }
    }

    // What a lane holds is only looked at in the tests.
    #[cfg(test)]
    impl Lanes {
        pub(in super::super) fn lane0(self) -> i16 {
            // SAFETY: every x86-64 processor has SSE2.
            unsafe { _mm_cvtsi128_si32(self.0) as i16 }
        }

        pub(in super::super) fn rotated(self) -> Self {
            // SAFETY: every x86-64 processor has SSE2.
            unsafe { Self(_mm_or_si128(_mm_srli_si128::<2>(self.0), _mm_slli_si128::<14>(self.0))) }
        }
    }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
mod portable {
    use super::DECISIONS;

    const ZEROS: usize = 6;

    #[derive(Debug, Clone, Copy)]
    pub(in super::super) struct Lanes([i16; ZEROS]);

    impl Lanes {
        pub(in super::super) fn zero() -> Self {
            Self([0; ZEROS])
        }

        pub(in super::super) fn adapt(mut self, past: Self, difference: i16) -> Self {
            let step = if difference == 0 { 0 } else { 128 };
            for (zero, past) in self.0.iter_mut().zip(past.0) {
                let turn = (difference ^ past) >> 15;
                let leaked = ((i32::from(*zero) * 32_640) >> 15) as i16;
                *zero = leaked.saturating_add((step ^ turn) - turn);
            }
            self
        }

        pub(in super::super) fn shift_in(self, newest: i16) -> Self {
            let [a, b, c, d, e, _] = self.0;
            Self([newest, a, b, c, d, e])
        }

        pub(in super::super) fn weigh(self, differences: Self) -> i16 {
            self.0.iter().zip(differences.0).rev().fold(0, |sum, (&zero, past)| {
                sum.saturating_add(((i32::from(zero) * i32::from(2 * past)) >> 15) as i16)
            })
        }

        #[cfg(test)]
        pub(in super::super) fn lanes(self) -> [i16; ZEROS] {
            self.0
        }
    }

    pub(in super::super) fn decisions_passed(magnitude: i16, scale: u16) -> u8 {
        let reached = |&&level: &&u16| {
            (u32::from(level) * u32::from(scale)) >> 12 <= u32::from(magnitude.unsigned_abs())
        };
        DECISIONS.iter().take_while(reached).count() as u8
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    fn random(seed: &mut u32) -> i16 {
        *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // Small ones and the extremes matter most.
        match *seed >> 29 {
            0 => (*seed >> 16) as i16 >> 10,
            1 => 0,
            2 => 10_228,
            3 => -10_229,
            _ => ((*seed >> 13) as i16) / 4,
        }
    }

    #[test]
    fn lanes_compute_what_arrays_do() {
        let mut seed = 3;
        let (mut zeros, mut past) = (Lanes::zero(), Lanes::zero());
        let (mut expected_zeros, mut expected_past) = (portable::Lanes::zero(), portable::Lanes::zero());
        for round in 0..100_000 {
            // Long runs of one sign lead the coefficients to their ends.
            let difference = if round / 2000 % 3 == 0 { 10_228 } else { random(&mut seed) };
            (zeros, expected_zeros) =
                (zeros.adapt(past, difference), expected_zeros.adapt(expected_past, difference));
            (past, expected_past) = (past.shift_in(difference), expected_past.shift_in(difference));
            assert_eq!(zeros.weigh(past), expected_zeros.weigh(expected_past), "round {round}");
            let mut lanes = zeros;
            for lane in expected_zeros.lanes() {
                assert_eq!(lanes.lane0(), lane, "round {round}");
                lanes = lanes.rotated();
            }
        }
    }

    #[test]
    fn decisions_are_those_of_arrays_for_every_scale() {
        for scale in (8..=16_384).step_by(4) {
            for magnitude in (0..=32_760).step_by(1 + scale / 100).chain([i16::MAX as usize]) {
                let (magnitude, scale) = (magnitude as i16, scale as u16);
                assert_eq!(
                    decisions_passed(magnitude, scale),
                    portable::decisions_passed(magnitude, scale),
                    "{magnitude} {scale}"
                );
            }
        }
    }
}
