//! Sequence numbers without the wrap (RFC 3550 §A.1).

/// Extends 16-bit sequence numbers to 64 bits, each to the value nearest to the highest seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExtendedSequence {
    highest: Option<u64>,
}

impl ExtendedSequence {
    /// The extended number; its low 16 bits are `sequence`. The first one is at least 65,536, so that packets
    /// from before it can be named too.
    pub fn extend(&mut self, sequence: u16) -> u64 {
        let extended = self.peek(sequence);
        self.highest = Some(self.highest.map_or(extended, |highest| highest.max(extended)));
        extended
    }

    /// What [`extend`](Self::extend) would say, without remembering it.
    #[must_use]
    pub fn peek(&self, sequence: u16) -> u64 {
        match self.highest {
            None => FIRST_CYCLE + u64::from(sequence),
            // Two's complement of 16 bits is the shorter way around.
            Some(highest) => highest.saturating_add_signed(i64::from(distance(highest as u16, sequence))),
        }
    }

    /// The highest number seen.
    #[must_use]
    pub fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// How far `sequence` is ahead of the highest number seen; negative when it is behind, 1 for the next.
    #[must_use]
    pub fn ahead(&self, sequence: u16) -> i16 {
        self.highest.map_or(1, |highest| distance(highest as u16, sequence))
    }

    /// Starts over at `sequence`, above everything seen so far.
    pub fn restart(&mut self, sequence: u16) -> u64 {
        let cycle = self.highest.map_or(FIRST_CYCLE, |highest| (highest | 0xFFFF) + 1);
        let extended = cycle + u64::from(sequence);
        self.highest = Some(extended);
        extended
    }
}

/// From `a` to `b` on the circle of 16-bit numbers, the shorter way.
#[must_use]
pub fn distance(a: u16, b: u16) -> i16 {
    b.wrapping_sub(a) as i16
}

const FIRST_CYCLE: u64 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_grow_across_the_wrap() {
        let mut sequence = ExtendedSequence::default();
        let first = sequence.extend(0xFFFE);
        assert_eq!(first & 0xFFFF, 0xFFFE);
        assert_eq!(sequence.extend(0xFFFF), first + 1);
        assert_eq!(sequence.extend(0), first + 2);
        assert_eq!(sequence.extend(1), first + 3);
    }

    #[test]
    fn a_late_packet_from_before_the_wrap_keeps_its_place() {
        let mut sequence = ExtendedSequence::default();
        let zero = sequence.extend(0);
        assert_eq!(sequence.extend(0xFFFF), zero - 1);
        assert_eq!(sequence.highest(), Some(zero));
        assert_eq!(sequence.extend(1), zero + 1);
        assert_eq!(sequence.ahead(0xFFFF), -2);
    }

    #[test]
    fn a_restart_is_above_everything_before() {
        let mut sequence = ExtendedSequence::default();
        let before = sequence.extend(50_000);
        let after = sequence.restart(7);
        assert!(after > before);
        assert_eq!(after & 0xFFFF, 7);
        assert_eq!(sequence.extend(8), after + 1);
    }

    #[test]
    fn many_wraps_lose_nothing() {
        let mut sequence = ExtendedSequence::default();
        let first = sequence.extend(1);
        for step in 1..400_000_u64 {
            assert_eq!(sequence.extend((1 + step) as u16), first + step);
        }
    }
}
