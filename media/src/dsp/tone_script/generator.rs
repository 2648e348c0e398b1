//! Scripts played sample by sample.

use super::{Segment, ToneScript};
use crate::dsp::tone::{Oscillator, RAMP_MS};

/// Plays a [`ToneScript`] sample by sample. Edges are ramps of 3 ms.
#[derive(Debug, Clone)]
pub struct ScriptGenerator {
    script: ToneScript,
    oscillators: [Oscillator; ToneScript::MAX_TONES],
    rate: u32,
    section: usize,
    /// Samples left of the section; `None` is without end.
    section_left: Option<u64>,
    segment: usize,
    is_on: bool,
    /// Samples of this on or off, and how many are over.
    phase: Option<u64>,
    position: u64,
    ramp: u64,
}

impl ScriptGenerator {
    /// A generator for that many samples per second.
    #[must_use]
    pub fn new(script: ToneScript, rate: u32) -> Self {
        let oscillators = script.tones.map(|tone| Oscillator::of(tone.hz, tone.level_dbm0, rate));
        let mut generator = Self {
            script,
            oscillators,
            rate,
            section: 0,
            section_left: None,
            segment: 0,
            is_on: true,
            phase: None,
            position: 0,
            ramp: u64::from((rate * RAMP_MS / 1000).max(1)),
        };
        generator.enter_section();
        generator
    }

    /// Writes the next samples over `out`, silence after the end. Returns how many belong to the script.
    pub fn fill(&mut self, out: &mut [i16]) -> usize {
        let mut written = 0;
        while written < out.len() && !self.is_finished() {
            let left = self.left().min((out.len() - written) as u64);
            let now = &mut out[written..written + left as usize];
            let tones = if self.is_on { self.current().tones } else { 0 };
            if tones == 0 {
                now.fill(0);
                self.position = self.position.saturating_add(left);
            } else {
                for sample in now {
                    *sample = (self.mix(tones) * self.gain()) as i16;
                    self.position = self.position.saturating_add(1);
                }
            }
            if let Some(rest) = &mut self.section_left {
                *rest -= left;
            }
            written += left as usize;
            self.step();
        }
        out[written..].fill(0);
        self.oscillators.iter_mut().for_each(Oscillator::renormalise);
        written
    }

    /// Whether nothing is left to play.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.section >= self.script.section_count
    }

    fn current(&self) -> Segment {
        self.script.sections[self.section].segments[self.segment]
    }

    fn samples(&self, ms: u32) -> u64 {
        u64::from(ms) * u64::from(self.rate) / 1000
    }

    /// Samples until something changes.
    fn left(&self) -> u64 {
        let phase = self.phase.map_or(u64::MAX, |length| length.saturating_sub(self.position));
        self.section_left.map_or(phase, |section| section.min(phase))
    }

    fn mix(&mut self, tones: u8) -> f64 {
        let oscillators = self.oscillators.iter_mut().enumerate();
        oscillators.filter(|(index, _)| tones & (1 << index) != 0).map(|(_, tone)| tone.advance()).sum()
    }

    fn gain(&self) -> f64 {
        let edge = (self.position + 1).min(self.left());
        if edge >= self.ramp { 1.0 } else { edge as f64 / self.ramp as f64 }
    }

    fn step(&mut self) {
        if self.section_left == Some(0) {
            self.section += 1;
            self.enter_section();
        } else if self.phase.is_some_and(|length| self.position >= length) {
            self.enter_phase();
        }
    }

    /// Goes on to the next section that takes time.
    fn enter_section(&mut self) {
        while let Some(section) = self.script.sections().get(self.section) {
            self.section_left = section.length_ms.map(|ms| self.samples(ms));
            // A rate so low that no phase has a sample would never get on.
            let lasts = section.segments().iter().any(|segment| {
                segment.on_ms.is_none_or(|ms| self.samples(ms) > 0) || self.samples(segment.off_ms) > 0
            });
            if lasts && self.section_left != Some(0) {
                self.segment = 0;
                self.is_on = true;
                self.phase = self.current().on_ms.map(|ms| self.samples(ms));
                self.position = 0;
                if self.phase == Some(0) {
                    self.enter_phase();
                }
                return;
            }
            self.section += 1;
        }
    }

    /// Goes on to the next on or off that takes time; there is one.
    fn enter_phase(&mut self) {
        self.position = 0;
        loop {
            if self.is_on {
                self.is_on = false;
                self.phase = Some(self.samples(self.current().off_ms));
            } else {
                self.is_on = true;
                self.segment = (self.segment + 1) % self.script.sections[self.section].segment_count;
                self.phase = self.current().on_ms.map(|ms| self.samples(ms));
            }
            if self.phase != Some(0) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::detect::tone_level;

    fn play(text: &str, samples: usize) -> (Vec<i16>, usize) {
        let mut out = vec![1; samples];
        let mut generator = ScriptGenerator::new(ToneScript::parse(text).unwrap(), 8000);
        let written = generator.fill(&mut out);
        (out, written)
    }

    #[test]
    fn a_script_is_played_as_it_is_written() {
        let (sound, written) = play("425@-19;*(1/3/1)", 80_000);
        assert_eq!(written, 80_000);
        for second in 0..10 {
            let piece = &sound[second * 8000..(second + 1) * 8000];
            if second % 4 == 0 {
                assert!((tone_level(piece, 8000, 425.0) + 22.14).abs() < 0.2);
            } else {
                assert!(piece.iter().all(|&sample| sample == 0), "{second}");
            }
        }
    }

    #[test]
    fn sections_follow_each_other_and_may_end() {
        // Dial tone that stutters first.
        let script = "350@-19, 440@-19; 0.4(.1/.1/1+2); 1(*/0/1+2)";
        let (sound, written) = play(script, 16_000);
        assert_eq!(written, 11_200);
        assert_eq!(ToneScript::parse(script).unwrap().length_ms(), Some(1400));
        assert!(sound[800..1600].iter().all(|&sample| sample == 0));
        assert!(sound[2400..3200].iter().all(|&sample| sample == 0));
        assert!(tone_level(&sound[3200..11_200], 8000, 440.0) > -23.0);
        assert!(sound[11_200..].iter().all(|&sample| sample == 0));
    }

    #[test]
    fn segments_take_their_own_tones() {
        let script = "950@-16,1400@-16,1800@-16;*(.33/0/1,.33/0/2,.33/0/3,0/1/0)";
        let (sound, _) = play(script, 16_000);
        for (index, hz) in [950.0, 1400.0, 1800.0].into_iter().enumerate() {
            let piece = &sound[index * 2640..(index + 1) * 2640];
            assert!((tone_level(piece, 8000, hz) + 19.2).abs() < 0.3, "{hz}");
        }
        assert!(sound[7920..15_920].iter().all(|&sample| sample == 0));
    }

    #[test]
    fn chunks_of_any_length_sound_alike() {
        let script =
            ToneScript::parse("425@-10,900@-20;.5(.033/.007/1,.005/0/2);1(0/.02/1,*/0/1+2)").unwrap();
        let mut whole = vec![0; 14_000];
        assert_eq!(ScriptGenerator::new(script, 8000).fill(&mut whole), 12_000);
        let mut generator = ScriptGenerator::new(script, 8000);
        let mut pieces = vec![0; 14_000];
        pieces.chunks_mut(137).for_each(|piece| {
            generator.fill(piece);
        });
        assert!(whole.iter().zip(&pieces).all(|(a, b)| a.abs_diff(*b) <= 1));
        assert!(generator.is_finished());
    }

    #[test]
    fn a_section_without_a_single_sample_is_skipped() {
        let script = ToneScript::parse("425@-19;*(.001/0/1)").unwrap();
        let mut generator = ScriptGenerator::new(script, 100);
        assert!(generator.is_finished());
        assert_eq!(generator.fill(&mut [1; 10]), 0);
        let (_, written) = play("425@-19;0(1/3/1)", 100);
        assert_eq!(written, 0);
    }
}
