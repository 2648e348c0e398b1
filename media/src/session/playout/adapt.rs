//! Brings the playout delay to what the network asks for, and follows the peer's clock, unheard.

use super::{AHEAD, FRAME, LONGEST_PACKET, PAST, Playout};
use crate::dsp::{level::rms, stretch};

impl Playout {
    /// Brings the delay nearer to what it should be. Returns how many samples the next frame takes.
    pub(super) fn adapt(&mut self) -> usize {
        let (density, frame) = (self.density, FRAME * self.density);
        self.whole = self.whole.saturating_add(1);
        self.since_stretch = self.since_stretch.saturating_add(1);
        let Some(delay) = self.delay() else { return frame };
        // Next to a gap nothing is bent.
        if self.concealer.is_open() || self.whole < 2 {
            return frame;
        }
        let excess = delay - self.lateness.target();
        self.too_long = if excess > FINE { self.too_long.saturating_add(1) } else { 0 };
        if excess >= TOLERANCE {
            self.shorten(excess);
        } else if excess <= -TOLERANCE {
            self.lengthen(excess);
        }
        self.drift += i64::from(self.lateness.drift_ppm()) * FRAME as i64;
        // What is too little for a period is made up for slowly.
        if !(0..=FINE).contains(&excess) {
            let quiet = self.is_quiet();
            if quiet || excess < 0 || self.is_patience_over() {
                self.drift -= excess.signum() * if quiet { UNIT } else { UNIT / 4 };
            }
        }
        self.drift = self.drift.clamp(-2 * UNIT, 2 * UNIT);
        let taken = match self.drift {
            UNIT.. => frame - density,
            drift if drift <= -UNIT => frame + density,
            _ => return frame,
        };
        while self.ahead < taken + stretch::MARGIN {
            if !self.decode_next() {
                return frame;
            }
        }
        self.drift += if taken < frame { -UNIT } else { UNIT };
        taken
    }

    fn shorten(&mut self, excess: i64) {
        if self.since_stretch < 5 {
            return;
        }
        let (density, past) = (self.density, PAST * self.density);
        while self.ahead < (FRAME + stretch::NEEDED) * density {
            if !self.decode_next() {
                return;
            }
        }
        let (urgent, quiet) = (excess > URGENT, self.is_quiet());
        if !(urgent || quiet || self.is_patience_over()) {
            return;
        }
        let Some(found) = stretch::find_ahead(&self.line[past..past + self.ahead], density) else { return };
        let alike = if urgent { 0.6 } else { 0.85 };
        if (found.likeness < alike && !quiet) || excess < (found.period / density) as i64 {
            return;
        }
        stretch::shorten(&mut self.line[past..past + self.ahead], found.period);
        self.line.copy_within(past + found.period..past + self.ahead, past);
        self.ahead -= found.period;
        self.stretched();
    }

    fn lengthen(&mut self, excess: i64) {
        let (density, past) = (self.density, PAST * self.density);
        let Some(found) = stretch::find_behind(&self.line[..past + self.ahead], past, density) else {
            return;
        };
        let alike = if excess < -(FRAME as i64) { 0.4 } else { 0.7 };
        if self.ahead + found.period > ROOM * density || (found.likeness < alike && !self.is_quiet()) {
            return;
        }
        let mut inserted = [0; stretch::LONGEST * 6];
        stretch::lengthen(&self.line, past, found.period, &mut inserted);
        self.line.copy_within(past..past + self.ahead, past + found.period);
        self.line[past..past + found.period].copy_from_slice(&inserted[..found.period]);
        self.ahead += found.period;
        self.stretched();
    }

    fn stretched(&mut self) {
        self.since_stretch = 0;
        self.counters.stretched += 1;
    }

    /// Whether a pause to change the delay in was waited for in vain.
    fn is_patience_over(&self) -> bool {
        self.too_long > PATIENCE
    }

    /// Whether nothing but the noise of the line is heard now and next.
    fn is_quiet(&self) -> bool {
        let (past, frame) = (PAST * self.density, FRAME * self.density);
        rms(&self.line[past - frame..past + self.ahead]) < QUIET.max(2.0 * self.concealer.noise_level())
    }
}

/// The delay may differ by so much (5 ms) from what it should be before periods are inserted or left out.
const TOLERANCE: i64 = 40;

/// It may be longer by so much (2 ms) before single units are.
const FINE: i64 = 16;

/// Units that may wait when a period is inserted, so that a packet fits in behind.
const ROOM: usize = AHEAD - LONGEST_PACKET;

/// Delay is given up in pauses of speech. What has none is music: after so many frames (6 s) it is done anywhere.
const PATIENCE: u32 = 300;

/// So much too long (100 ms) is worth an audible correction.
const URGENT: i64 = 800;

/// One unit, in millionths.
const UNIT: i64 = 1_000_000;

/// RMS of what is never speech: −60 dBFS.
const QUIET: f32 = 32.0;
