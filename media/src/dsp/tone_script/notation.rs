//! Scripts read and written as text.

use std::fmt;

use super::{HIGHEST, LOWEST, MOST_HZ, ScriptTone, Section, Segment, ToneScript};

impl ToneScript {
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

pub(super) struct Reader<'a> {
    pub(super) text: &'a str,
    pub(super) position: usize,
}

impl Reader<'_> {
    pub(super) fn expected(&self, expected: &'static str) -> ScriptError {
        ScriptError { position: self.position, expected }
    }

    pub(super) fn peek(&mut self) -> Option<char> {
        let rest = &self.text[self.position..];
        self.position += rest.len() - rest.trim_start_matches(' ').len();
        self.text[self.position..].chars().next()
    }

    pub(super) fn accepts(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.position += wanted.len_utf8();
        }
        found
    }

    pub(super) fn require(&mut self, wanted: char, expected: &'static str) -> Result<(), ScriptError> {
        if self.accepts(wanted) { Ok(()) } else { Err(self.expected(expected)) }
    }

    /// Digits with a point or without, between two bounds.
    pub(super) fn number(
        &mut self,
        least: f64,
        most: f64,
        expected: &'static str,
    ) -> Result<f64, ScriptError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(text: &str) -> (usize, &'static str) {
        let error = ToneScript::parse(text).unwrap_err();
        (error.position, error.expected)
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
}
