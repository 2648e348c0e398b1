//! Eight 16-bit lanes, and what the codec does with them that has a name of its own.
//!
//! Every x86-64 processor has SSE2, so that nothing is chosen at run time; elsewhere arrays do the same.

#[cfg(not(target_arch = "x86_64"))]
pub(super) use portable::Lanes;
#[cfg(target_arch = "x86_64")]
pub(super) use sse2::Lanes;

/// Taps of the quadrature mirror filters.
pub(super) const TAPS: usize = 24;

/// Table 11: half of the symmetric impulse response, 13 bits behind the point.
const QMF: [i16; TAPS / 2] = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11];

/// Both halves interleaved; `sign` for the even taps.
const fn interleaved(sign: i16) -> [i16; TAPS] {
    let mut taps = [0; TAPS];
    let mut tap = 0;
    while tap < TAPS {
        taps[tap] = if tap % 2 == 0 { sign * QMF[tap / 2] } else { QMF[QMF.len() - 1 - tap / 2] };
        tap += 1;
    }
    taps
}

/// The transmit filters of the lower and the upper band.
const LOW: [i16; TAPS] = interleaved(1);
const HIGH: [i16; TAPS] = interleaved(-1);

/// The receive filters, with idle taps at the end: the first applies to differences of the bands, the second to sums.
const FIRST: [i16; 16] = {
    let mut taps = [0; 16];
    let mut tap = 0;
    while tap < QMF.len() {
        taps[tap] = QMF[QMF.len() - 1 - tap];
        tap += 1;
    }
    taps
};
const SECOND: [i16; 16] = {
    let mut taps = [0; 16];
    let mut tap = 0;
    while tap < QMF.len() {
        taps[tap] = QMF[tap];
        tap += 1;
    }
    taps
};

/// Table 14: decision levels of the 6-bit quantiser, 12 bits behind the point.
const DECISIONS: [u16; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023, 1121, 1219,
    1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919,
];

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "the intrinsics of SSE2")]
mod sse2 {
    use std::arch::x86_64::*;

    use super::{DECISIONS, FIRST, HIGH, LOW, SECOND, TAPS};

    #[derive(Debug, Clone, Copy)]
    pub(in super::super) struct Lanes(__m128i);

    /// Operations that are one or two instructions.
    macro_rules! operations {
        ($($(#[$doc:meta])* $name:ident($this:ident $(, $other:ident)?) $(<$number:ident>)? = $body:expr;)*) => {$(
            $(#[$doc])*
            #[inline(always)]
            pub(in super::super) fn $name $(<const $number: i32>)? (self $(, $other: Self)?) -> Self {
                let $this = self.0;
                $(let $other = $other.0;)?
                // SAFETY: every x86-64 processor has SSE2.
                Self(unsafe { $body })
            }
        )*};
    }

    impl Lanes {
        operations! {
            add(a, b) = _mm_add_epi16(a, b);
            sub(a, b) = _mm_sub_epi16(a, b);
            saturating_add(a, b) = _mm_adds_epi16(a, b);
            saturating_sub(a, b) = _mm_subs_epi16(a, b);
            min(a, b) = _mm_min_epi16(a, b);
            max(a, b) = _mm_max_epi16(a, b);
            xor(a, b) = _mm_xor_si128(a, b);
            and(a, b) = _mm_and_si128(a, b);
            /// All ones where a lane is zero.
            is_zero(a) = _mm_cmpeq_epi16(a, _mm_setzero_si128());
            /// `other` where the bits of this one are not set.
            and_not(a, b) = _mm_andnot_si128(a, b);
            /// The upper halves of the products.
            multiply_high(a, b) = _mm_mulhi_epi16(a, b);
            /// The products without their lowest 15 bits, if that fits.
            multiply(a, b) =
                _mm_or_si128(_mm_slli_epi16::<1>(_mm_mulhi_epi16(a, b)), _mm_srli_epi16::<15>(_mm_mullo_epi16(a, b)));
            /// Shifts each lane to the right, with its sign.
            shift_right(a) <BITS> = _mm_srai_epi16::<BITS>(a);
            /// Moves all bytes to higher places; zero follows.
            up(a) <BYTES> = _mm_slli_si128::<BYTES>(a);
            /// Moves all bytes to lower places; zero follows.
            down(a) <BYTES> = _mm_srli_si128::<BYTES>(a);
            /// The lower four lanes of both, taking turns.
            zip_low(a, b) = _mm_unpacklo_epi16(a, b);
            /// The upper four lanes of both, taking turns.
            zip_high(a, b) = _mm_unpackhi_epi16(a, b);
            /// All lanes as the first.
            splat_first(a) = _mm_shuffle_epi32::<0>(_mm_unpacklo_epi16(a, a));
            /// All lanes as the second.
            splat_second(a) = _mm_shuffle_epi32::<0b0101_0101>(_mm_unpacklo_epi16(a, a));
        }

        #[inline(always)]
        pub(in super::super) fn splat(value: i16) -> Self {
            // SAFETY: every x86-64 processor has SSE2.
            Self(unsafe { _mm_set1_epi16(value) })
        }

        /// Two lanes, the others are zero.
        #[inline(always)]
        pub(in super::super) fn pair(first: i16, second: i16) -> Self {
            let both = u32::from(first as u16) | u32::from(second as u16) << 16;
            // SAFETY: every x86-64 processor has SSE2.
            Self(unsafe { _mm_cvtsi32_si128(both as i32) })
        }

        /// The first two lanes.
        #[inline(always)]
        pub(in super::super) fn to_pair(self) -> (i16, i16) {
            // SAFETY: every x86-64 processor has SSE2.
            let both = unsafe { _mm_cvtsi128_si32(self.0) };
            (both as i16, (both >> 16) as i16)
        }

        /// The transmit filters: the newest sample of the lower and of the upper band.
        #[inline(always)]
        pub(in super::super) fn split(line: &[i16; TAPS]) -> Self {
            // SAFETY: every x86-64 processor has SSE2; all loads are within the arrays and need no alignment.
            unsafe {
                let load = |from: &[i16; TAPS], at: usize| _mm_loadu_si128(from[at..at + 8].as_ptr().cast());
                let (a, b, c) = (load(line, 0), load(line, 8), load(line, 16));
                let sums = |taps: &[i16; TAPS]| {
                    let (a, b) = (_mm_madd_epi16(a, load(taps, 0)), _mm_madd_epi16(b, load(taps, 8)));
                    _mm_add_epi32(_mm_add_epi32(a, b), _mm_madd_epi16(c, load(taps, 16)))
                };
                let sums = _mm_srai_epi32::<14>(both(sums(&LOW), sums(&HIGH)));
                Self(_mm_packs_epi32(sums, sums))
            }
        }

        /// The receive filters: two samples of audio.
        #[inline(always)]
        pub(in super::super) fn join(differences: &[i16; 16], sums: &[i16; 16]) -> Self {
            // SAFETY: every x86-64 processor has SSE2; all loads are within the arrays and need no alignment.
            unsafe {
                let load = |from: &[i16; 16], at: usize| _mm_loadu_si128(from[at..at + 8].as_ptr().cast());
                let filtered = |line: &[i16; 16], taps: &[i16; 16]| {
                    let (a, b) = (load(line, 0), load(line, 8));
                    _mm_add_epi32(_mm_madd_epi16(a, load(taps, 0)), _mm_madd_epi16(b, load(taps, 8)))
                };
                let samples = both(filtered(differences, &FIRST), filtered(sums, &SECOND));
                let samples = _mm_srai_epi32::<11>(samples);
                Self(_mm_packs_epi32(samples, samples))
            }
        }

        /// QUANTL: how many decision levels these magnitudes, all the same, reach.
        #[inline(always)]
        pub(in super::super) fn decisions_passed(self, scale: u16) -> usize {
            // SAFETY: every x86-64 processor has SSE2.
            let (lower, upper) = unsafe {
                let scale = _mm_set1_epi16(scale as i16);
                // Four bits more behind the point make the upper half of the product what is compared.
                let beyond = |first: usize| {
                    let level = |lane: usize| (DECISIONS[(first + lane).min(28)] << 4) as i16;
                    let [a, b, c, d] = [level(0), level(1), level(2), level(3)];
                    let levels = _mm_setr_epi16(a, b, c, d, level(4), level(5), level(6), level(7));
                    _mm_cmpgt_epi16(_mm_mulhi_epu16(levels, scale), self.0)
                };
                let (lower, upper) =
                    (_mm_packs_epi16(beyond(0), beyond(8)), _mm_packs_epi16(beyond(16), beyond(24)));
                (_mm_movemask_epi8(lower) as u32, _mm_movemask_epi8(upper) as u32)
            };
            // Levels ascend, so that the first one beyond tells how many are not; behind the last there is none.
            (lower | upper << 16 | 1 << 29).trailing_zeros() as usize
        }
    }

    /// The sums of the lanes of two.
    #[inline(always)]
    unsafe fn both(a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: every x86-64 processor has SSE2.
        unsafe {
            let sums = _mm_add_epi32(_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b));
            _mm_add_epi32(sums, _mm_srli_si128::<8>(sums))
        }
    }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
mod portable {
    use super::{DECISIONS, FIRST, HIGH, LOW, SECOND, TAPS};

    #[derive(Debug, Clone, Copy)]
    pub(in super::super) struct Lanes([i16; 8]);

    impl Lanes {
        fn with(self, other: Self, operation: impl Fn(i16, i16) -> i16) -> Self {
            Self(std::array::from_fn(|lane| operation(self.0[lane], other.0[lane])))
        }

        pub(in super::super) fn add(self, other: Self) -> Self {
            self.with(other, i16::wrapping_add)
        }

        pub(in super::super) fn sub(self, other: Self) -> Self {
            self.with(other, i16::wrapping_sub)
        }

        pub(in super::super) fn saturating_add(self, other: Self) -> Self {
            self.with(other, i16::saturating_add)
        }

        pub(in super::super) fn saturating_sub(self, other: Self) -> Self {
            self.with(other, i16::saturating_sub)
        }

        pub(in super::super) fn min(self, other: Self) -> Self {
            self.with(other, Ord::min)
        }

        pub(in super::super) fn max(self, other: Self) -> Self {
            self.with(other, Ord::max)
        }

        pub(in super::super) fn xor(self, other: Self) -> Self {
            self.with(other, |a, b| a ^ b)
        }

        pub(in super::super) fn and(self, other: Self) -> Self {
            self.with(other, |a, b| a & b)
        }

        pub(in super::super) fn is_zero(self) -> Self {
            self.with(self, |a, _| if a == 0 { -1 } else { 0 })
        }

        pub(in super::super) fn and_not(self, other: Self) -> Self {
            self.with(other, |a, b| !a & b)
        }

        pub(in super::super) fn multiply_high(self, other: Self) -> Self {
            self.with(other, |a, b| ((i32::from(a) * i32::from(b)) >> 16) as i16)
        }

        pub(in super::super) fn multiply(self, other: Self) -> Self {
            self.with(other, |a, b| ((i32::from(a) * i32::from(b)) >> 15) as i16)
        }

        pub(in super::super) fn shift_right<const BITS: i32>(self) -> Self {
            self.with(self, |a, _| a >> BITS)
        }

        pub(in super::super) fn up<const BYTES: i32>(self) -> Self {
            let lanes = BYTES as usize / 2;
            Self(std::array::from_fn(|lane| if lane < lanes { 0 } else { self.0[lane - lanes] }))
        }

        pub(in super::super) fn down<const BYTES: i32>(self) -> Self {
            Self(std::array::from_fn(|lane| self.0.get(lane + BYTES as usize / 2).copied().unwrap_or(0)))
        }

        pub(in super::super) fn zip_low(self, other: Self) -> Self {
            Self(std::array::from_fn(|lane| if lane % 2 == 0 { self.0[lane / 2] } else { other.0[lane / 2] }))
        }

        pub(in super::super) fn zip_high(self, other: Self) -> Self {
            self.down::<8>().zip_low(other.down::<8>())
        }

        pub(in super::super) fn splat_first(self) -> Self {
            Self([self.0[0]; 8])
        }

        pub(in super::super) fn splat_second(self) -> Self {
            Self([self.0[1]; 8])
        }

        pub(in super::super) fn splat(value: i16) -> Self {
            Self([value; 8])
        }

        pub(in super::super) fn pair(first: i16, second: i16) -> Self {
            Self([first, second, 0, 0, 0, 0, 0, 0])
        }

        pub(in super::super) fn to_pair(self) -> (i16, i16) {
            (self.0[0], self.0[1])
        }

        pub(in super::super) fn split(line: &[i16; TAPS]) -> Self {
            Self::pair(saturated(line, &LOW, 14), saturated(line, &HIGH, 14))
        }

        pub(in super::super) fn join(differences: &[i16; 16], sums: &[i16; 16]) -> Self {
            Self::pair(saturated(differences, &FIRST, 11), saturated(sums, &SECOND, 11))
        }

        pub(in super::super) fn decisions_passed(self, scale: u16) -> usize {
            let reached = |&&level: &&u16| {
                (u32::from(level) * u32::from(scale)) >> 12 <= u32::from(self.0[0].unsigned_abs())
            };
            DECISIONS.iter().take_while(reached).count()
        }
    }

    fn saturated(line: &[i16], taps: &[i16], shift: u32) -> i16 {
        let sum: i32 = line.iter().zip(taps).map(|(&sample, &tap)| i32::from(sample) * i32::from(tap)).sum();
        (sum >> shift).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    fn random(seed: &mut u32) -> i16 {
        *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // The extremes matter most.
        match *seed >> 29 {
            0 => (*seed >> 16) as i16 >> 10,
            1 => 0,
            2 => i16::MAX,
            3 => i16::MIN,
            _ => (*seed >> 13) as i16,
        }
    }

    macro_rules! builders {
        ($name:ident, $lanes:ty) => {
            fn $name(values: [i16; 8]) -> $lanes {
                let pair = |at: usize| <$lanes>::pair(values[at], values[at + 1]);
                let two = |at: usize| pair(at).add(pair(at + 2).up::<4>());
                two(0).add(two(4).up::<8>())
            }
        };
    }
    builders!(build, Lanes);
    builders!(build_portable, portable::Lanes);

    macro_rules! assert_same {
        ($a:expr, $b:expr) => {{
            let (a, b) = ($a, $b);
            let read =
                [a.to_pair(), a.down::<4>().to_pair(), a.down::<8>().to_pair(), a.down::<12>().to_pair()];
            let expected =
                [b.to_pair(), b.down::<4>().to_pair(), b.down::<8>().to_pair(), b.down::<12>().to_pair()];
            assert_eq!(read, expected, "{}", stringify!($a));
        }};
    }

    macro_rules! compare {
        ($x:ident, $y:ident, $p:ident, $q:ident: $($operation:ident)*) => {
            $(assert_same!($x.$operation($y), $p.$operation($q));)*
        };
    }

    #[test]
    fn lanes_do_what_arrays_do() {
        let mut seed = 3;
        for _ in 0..20_000 {
            let (a, b): ([i16; 8], [i16; 8]) =
                (std::array::from_fn(|_| random(&mut seed)), std::array::from_fn(|_| random(&mut seed)));
            let (x, y, p, q) = (build(a), build(b), build_portable(a), build_portable(b));
            compare!(x, y, p, q: add sub saturating_add saturating_sub min max xor and and_not multiply_high);
            compare!(x, y, p, q: zip_low zip_high);
            // The smallest number times itself is what does not fit.
            let (y, q) = (y.max(Lanes::splat(-32_767)), q.max(portable::Lanes::splat(-32_767)));
            compare!(x, y, p, q: multiply);
            assert_same!(x.is_zero(), p.is_zero());
            assert_same!(x.shift_right::<7>(), p.shift_right::<7>());
            assert_same!(x.splat_first(), p.splat_first());
            assert_same!(x.splat_second(), p.splat_second());
            assert_same!(x.up::<2>(), p.up::<2>());
            let line: [i16; TAPS] = std::array::from_fn(|_| random(&mut seed));
            assert_eq!(Lanes::split(&line).to_pair(), portable::Lanes::split(&line).to_pair());
            let (one, two) =
                (std::array::from_fn(|_| random(&mut seed)), std::array::from_fn(|_| random(&mut seed)));
            assert_eq!(Lanes::join(&one, &two).to_pair(), portable::Lanes::join(&one, &two).to_pair());
        }
    }

    #[test]
    fn decisions_are_those_of_arrays_for_every_scale() {
        for scale in (8..=16_384).step_by(4) {
            for magnitude in (0..=32_760).step_by(1 + scale / 100).chain([i16::MAX as usize]) {
                let (magnitude, scale) = (magnitude as i16, scale as u16);
                assert_eq!(
                    Lanes::splat(magnitude).decisions_passed(scale),
                    portable::Lanes::splat(magnitude).decisions_passed(scale),
                    "{magnitude} {scale}"
                );
            }
        }
    }
}
