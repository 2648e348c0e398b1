//! Tones as text: `425@-19;*(1/3/1)` is 425 Hz at -19 dBm0, 1 s on and 3 s off, for ever.
//!
//! ```text
//! script   = tone *5("," tone) 1*4(";" section)
//! tone     = hertz "@" dBm0                          350@-19
//! section  = seconds "(" segment *7("," segment) ")" 10(.25/.25/1+2), "*" seconds: for ever
//! segment  = on "/" off "/" tones                    seconds; "*" on: to the end of the section
//! tones    = "0" / number *("+" number)              1 is the first tone; 0 is silence
//! ```
//!
//! Sections follow each other; in each its segments take turns until its time is over. Spaces are skipped.

use std::fmt;

use super::{
    tone::{Oscillator, RAMP_MS, ToneSpec},
    tone_plan::Country,
};

/// What to play, of bounded size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ToneScript {
    tones: [ScriptTone; Self::MAX_TONES],
    sections: [Section; Self::MAX_SECTIONS],
    section_count: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct ScriptTone {
    hz: f32,
    level_dbm0: f32,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Section {
    /// `None` is without end.
    length_ms: Option<u32>,
    segments: [Segment; ToneScript::MAX_SEGMENTS],
    segment_count: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Segment {
    /// `None` is to the end of the section.
    on_ms: Option<u32>,
    off_ms: u32,
    /// One bit per tone.
    tones: u8,
}

impl ToneScript {
    /// Most tones of a script.
    pub const MAX_TONES: usize = 6;
    /// Most sections.
    pub const MAX_SECTIONS: usize = 4;
    /// Most segments of a section.
    pub const MAX_SEGMENTS: usize = 8;
    /// Longest time that can be written, ms: a day.
    pub const LONGEST_MS: u32 = 86_400_000;

    /// Reads a script.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let mut text = Reader { text, position: 0 };
        let mut script = Self {
            tones: [ScriptTone::default(); Self::MAX_TONES],
            sections: [Section::default(); Self::MAX_SECTIONS],
            section_count: 0,
        };
        let mut tone_count = 0;
        loop {
            if tone_count == Self::MAX_TONES {
                return Err(text.expected("at most 6 tones, then ';'"));
            }
            script.tones[tone_count] = text.tone()?;
            tone_count += 1;
            if !text.accepts(',') {
                break;
            }
        }
        text.require(';', "',' or ';'")?;
        loop {
            if script.section_count == Self::MAX_SECTIONS {
                return Err(text.expected("at most 4 sections"));
            }
            script.sections[script.section_count] = text.section(tone_count)?;
            script.section_count += 1;
            if !text.accepts(';') {
                break;
            }
            if script.sections[script.section_count - 1].length_ms.is_none() {
                return Err(text.expected("nothing after a section without end"));
            }
        }
        if text.peek().is_some() { Err(text.expected("';' or the end")) } else { Ok(script) }
    }

    /// What a caller hears while the other phone rings.
    #[must_use]
    pub fn ringback(country: Country) -> Self {
        ToneSpec::ringback(country).into()
    }

    /// The called party is busy.
    #[must_use]
    pub fn busy(country: Country) -> Self {
        ToneSpec::busy(country).into()
    }

    /// The network cannot complete the call.
    #[must_use]
    pub fn congestion(country: Country) -> Self {
        if country == Country::Au {
            let alternating = "425@-13,420@-13;*(0.375/0.375/1,0.375/0.375/2)";
            return Self::parse(alternating).expect("it follows the grammar");
        }
        ToneSpec::congestion(country).into()
    }

    /// The line awaits digits.
    #[must_use]
    pub fn dial_tone(country: Country) -> Self {
        ToneSpec::dial_tone(country).into()
    }

    /// How long it plays, ms; `None` is for ever.
    #[must_use]
    pub fn length_ms(&self) -> Option<u64> {
        self.sections().iter().map(|section| section.length_ms.map(u64::from)).sum()
    }

    fn sections(&self) -> &[Section] {
        &self.sections[..self.section_count]
    }
}

impl Section {
    fn segments(&self) -> &[Segment] {
        &self.segments[..self.segment_count]
    }
}

impl From<ToneSpec> for ToneScript {
    /// One section without end. Frequencies that no telephone plays are left out.
    fn from(spec: ToneSpec) -> Self {
        let mut tones = [ScriptTone::default(); Self::MAX_TONES];
        let mut mask = 0;
        let level_dbm0 =
            if spec.level_dbm0.is_finite() { spec.level_dbm0.clamp(LOWEST, HIGHEST) } else { LOWEST };
        let playable = spec.frequencies.into_iter().filter(|&hz| hz > 0.0 && hz < MOST_HZ);
        for (index, hz) in playable.enumerate() {
            tones[index] = ScriptTone { hz, level_dbm0 };
            mask |= 1 << index;
        }
        let cadence = spec.cadence_ms.as_chunks::<2>().0;
        let count = cadence.iter().rposition(|pair| *pair != [0, 0]).map_or(0, |last| last + 1);
        let mut section = Section { segment_count: count.max(1), ..Section::default() };
        for (segment, [on, off]) in section.segments.iter_mut().zip(cadence).take(count) {
            *segment = Segment { on_ms: Some((*on).into()), off_ms: (*off).into(), tones: mask };
        }
        if cadence.iter().all(|[_, off]| *off == 0) {
            section.segment_count = 1;
            section.segments[0] = Segment { on_ms: None, off_ms: 0, tones: mask };
        }
        let mut sections = [Section::default(); Self::MAX_SECTIONS];
        sections[0] = section;
        Self { tones, sections, section_count: 1 }
    }
}

impl fmt::Display for ToneScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = self.tones.iter().rposition(|tone| tone.hz > 0.0).map_or(1, |last| last + 1);
        for (index, tone) in self.tones[..used].iter().enumerate() {
            write!(f, "{}{}@{}", if index > 0 { "," } else { "" }, tone.hz, tone.level_dbm0)?;
        }
        for section in self.sections() {
            write!(f, ";{}(", Seconds(section.length_ms))?;
            for (index, segment) in section.segments().iter().enumerate() {
                let comma = if index > 0 { "," } else { "" };
                write!(f, "{comma}{}/{}/", Seconds(segment.on_ms), Seconds(Some(segment.off_ms)))?;
                let mut plus = "";
                for tone in (0..Self::MAX_TONES).filter(|tone| segment.tones & (1 << tone) != 0) {
                    write!(f, "{plus}{}", tone + 1)?;
                    plus = "+";
                }
                if segment.tones == 0 {
                    f.write_str("0")?;
                }
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

struct Seconds(Option<u32>);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(ms) = self.0 else { return f.write_str("*") };
        if ms % 1000 == 0 {
            return write!(f, "{}", ms / 1000);
        }
        let digits = format!("{:03}", ms % 1000);
        write!(f, "{}.{}", ms / 1000, digits.trim_end_matches('0'))
    }
}

/// Why a text is no [`ToneScript`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScriptError {
    /// Where, bytes from the start.
    pub position: usize,
    /// What should have been there.
    pub expected: &'static str,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} at position {}", self.expected, self.position)
    }
}

impl std::error::Error for ScriptError {}

struct Reader<'a> {
    text: &'a str,
    position: usize,
}

impl Reader<'_> {
    fn expected(&self, expected: &'static str) -> ScriptError {
        ScriptError { position: self.position, expected }
    }

    fn peek(&mut self) -> Option<char> {
        let rest = &self.text[self.position..];
        self.position += rest.len() - rest.trim_start_matches(' ').len();
        self.text[self.position..].chars().next()
    }

    fn accepts(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.position += wanted.len_utf8();
        }
        found
    }

    fn require(&mut self, wanted: char, expected: &'static str) -> Result<(), ScriptError> {
        if self.accepts(wanted) { Ok(()) } else { Err(self.expected(expected)) }
    }

    /// Digits with a point or without, between two bounds.
    fn number(&mut self, least: f64, most: f64, expected: &'static str) -> Result<f64, ScriptError> {
        self.peek();
        let rest = &self.text[self.position..];
        let signed = usize::from(least < 0.0 && rest.starts_with(['-', '+']));
        let digits =
            rest[signed..].find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len() - signed);
        let length = signed + digits;
        let number = rest[..length].parse().ok().filter(|number| (least..=most).contains(number));
        let number = number.ok_or(self.expected(expected))?;
        self.position += length;
        Ok(number)
    }

    fn tone(&mut self) -> Result<ScriptTone, ScriptError> {
        let hz = self.number(1.0, f64::from(MOST_HZ) - 1.0, "a frequency of 1 to 3999 Hz")? as f32;
        self.require('@', "'@' and a level")?;
        let level_dbm0 = self.number(LOWEST.into(), HIGHEST.into(), "a level of -99 to 3 dBm0")? as f32;
        Ok(ScriptTone { hz, level_dbm0 })
    }

    fn seconds(&mut self, expected: &'static str) -> Result<u32, ScriptError> {
        let most = f64::from(ToneScript::LONGEST_MS) / 1000.0;
        Ok((self.number(0.0, most, expected)? * 1000.0).round() as u32)
    }

    fn section(&mut self, tone_count: usize) -> Result<Section, ScriptError> {
        let mut section = Section::default();
        if !self.accepts('*') {
            section.length_ms = Some(self.seconds("'*' or seconds")?);
        }
        self.require('(', "'('")?;
        loop {
            if section.segment_count == ToneScript::MAX_SEGMENTS {
                return Err(self.expected("at most 8 segments, then ')'"));
            }
            let at = self.position;
            let segment = self.segment(tone_count)?;
            if segment.on_ms == Some(0) && segment.off_ms == 0 {
                return Err(ScriptError { position: at, expected: "a segment that takes time" });
            }
            section.segments[section.segment_count] = segment;
            section.segment_count += 1;
            if !self.accepts(',') {
                break;
            }
            if segment.on_ms.is_none() {
                return Err(self.expected("nothing after a segment without end"));
            }
        }
        self.require(')', "',' or ')'")?;
        Ok(section)
    }

    fn segment(&mut self, tone_count: usize) -> Result<Segment, ScriptError> {
        let on_ms = if self.accepts('*') { None } else { Some(self.seconds("'*' or seconds on")?) };
        self.require('/', "'/' and seconds off")?;
        let off_ms = self.seconds("seconds off")?;
        self.require('/', "'/' and tones")?;
        if self.accepts('0') {
            return Ok(Segment { on_ms, off_ms, tones: 0 });
        }
        let mut tones = 0;
        loop {
            let number = self.peek().and_then(|digit| digit.to_digit(10)).map_or(0, |digit| digit as usize);
            if number == 0 || number > tone_count {
                return Err(self.expected("the number of a tone"));
            }
            self.position += 1;
            tones |= 1 << (number - 1);
            if !self.accepts('+') {
                return Ok(Segment { on_ms, off_ms, tones });
            }
        }
    }
}

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

const MOST_HZ: f32 = 4000.0;
const LOWEST: f32 = -99.0;
const HIGHEST: f32 = 3.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::{detect::tone_level, tone::ToneGenerator};

    fn play(text: &str, samples: usize) -> (Vec<i16>, usize) {
        let mut out = vec![1; samples];
        let mut generator = ScriptGenerator::new(ToneScript::parse(text).unwrap(), 8000);
        let written = generator.fill(&mut out);
        (out, written)
    }

    fn failure(text: &str) -> (usize, &'static str) {
        let error = ToneScript::parse(text).unwrap_err();
        (error.position, error.expected)
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
    fn every_country_plan_is_a_script_that_sounds_like_it() {
        assert_eq!(ToneScript::ringback(Country::Ru).to_string(), "425@-13;*(1/4/1)");
        assert_eq!(ToneScript::ringback(Country::Uk).to_string(), "400@-16,450@-16;*(0.4/0.2/1+2,0.4/2/1+2)");
        assert_eq!(ToneScript::dial_tone(Country::Us).to_string(), "350@-16,440@-16;*(*/0/1+2)");
        assert_eq!(ToneScript::congestion(Country::Au).length_ms(), None);
        for country in Country::ALL {
            for spec in [
                ToneSpec::ringback(country),
                ToneSpec::busy(country),
                ToneSpec::congestion(country),
                ToneSpec::dial_tone(country),
            ] {
                let script = ToneScript::from(spec);
                assert_eq!(ToneScript::parse(&script.to_string()), Ok(script), "{script}");
                let (mut one, mut other) = (vec![0; 60_000], vec![0; 60_000]);
                ToneGenerator::new(spec, 8000).fill(&mut one);
                ScriptGenerator::new(script, 8000).fill(&mut other);
                assert!(one.iter().zip(&other).all(|(a, b)| a.abs_diff(*b) <= 1), "{script}");
            }
        }
    }

    #[test]
    fn errors_say_where_and_what_was_expected() {
        assert_eq!(failure(""), (0, "a frequency of 1 to 3999 Hz"));
        assert_eq!(failure("425"), (3, "'@' and a level"));
        assert_eq!(failure("425@x"), (4, "a level of -99 to 3 dBm0"));
        assert_eq!(failure("425@-19"), (7, "',' or ';'"));
        assert_eq!(failure("4250@-19;*(1/3/1)"), (0, "a frequency of 1 to 3999 Hz"));
        assert_eq!(failure("425@-19;(1/3/1)"), (8, "'*' or seconds"));
        assert_eq!(failure("425@-19;*1/3/1)"), (9, "'('"));
        assert_eq!(failure("425@-19;*(1/3/2)"), (14, "the number of a tone"));
        assert_eq!(failure("425@-19;*(1/3/1"), (15, "',' or ')'"));
        assert_eq!(failure("425@-19;*(0/0/1)"), (10, "a segment that takes time"));
        assert_eq!(failure("425@-19;*(1//1)"), (12, "seconds off"));
        assert_eq!(failure("425@-19;*(1/3/1)x"), (16, "';' or the end"));
        assert_eq!(failure("425@-19;*(1/3/1);2(1/3/1)"), (17, "nothing after a section without end"));
        assert_eq!(failure("425@-19;2(*/0/1,1/3/1)"), (16, "nothing after a segment without end"));
        assert_eq!(failure("425@-19;99999(1/3/1)"), (8, "'*' or seconds"));
        let tones = ["425@-19"; 7].join(",");
        assert_eq!(failure(&format!("{tones};*(1/3/1)")).1, "at most 6 tones, then ';'");
        let segments = ["1/3/1"; 9].join(",");
        assert_eq!(failure(&format!("425@-19;*({segments})")).1, "at most 8 segments, then ')'");
        assert_eq!(failure(&format!("425@-19{}", ";1(1/3/1)".repeat(5))).1, "at most 4 sections");
        assert_eq!(
            ToneScript::parse("425@-19;*(1/3/2)").unwrap_err().to_string(),
            "expected the number of a tone at position 14"
        );
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
