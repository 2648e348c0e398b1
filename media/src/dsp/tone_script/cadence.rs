//! What is shorter to write than a script: cadences as lists, and the tones of a country by name.

use std::str::FromStr;

use super::{HIGHEST, LOWEST, MOST_HZ, ScriptTone, Section, Segment, ToneScript, notation::Reader};
use crate::dsp::{tone::ToneSpec, tone_plan::Country};

use super::ScriptError;

/// A tone that every country has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlanTone {
    /// The other phone rings.
    Ring,
    /// The called party is busy.
    Busy,
    /// The network cannot complete the call.
    Congestion,
    /// The line awaits digits.
    Dial,
    /// An announcement follows: three rising tones, alike everywhere (ITU-T E.180).
    Information,
}

impl PlanTone {
    /// Every one of them.
    pub const ALL: [Self; 5] = [Self::Ring, Self::Busy, Self::Congestion, Self::Dial, Self::Information];

    /// How it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Busy => "busy",
            Self::Congestion => "congestion",
            Self::Dial => "dial",
            Self::Information => "info",
        }
    }

    /// The tone of that name, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tone| tone.name().eq_ignore_ascii_case(name))
    }
}

impl ToneScript {
    /// A tone as it sounds in that country.
    #[must_use]
    pub fn of(tone: PlanTone, country: Country) -> Self {
        match tone {
            PlanTone::Ring => Self::ringback(country),
            PlanTone::Busy => Self::busy(country),
            PlanTone::Congestion => Self::congestion(country),
            PlanTone::Dial => Self::dial_tone(country),
            PlanTone::Information => {
                let script = "950@-16,1400@-16,1800@-16;*(.33/0/1,.33/0/2,.33/1/3)";
                Self::parse(script).expect("it follows the grammar")
            }
        }
    }

    /// Reads whatever describes a tone: a script, a list of cadences, or a name like `ring/de`. A name without a
    /// country means `home`.
    pub fn read(text: &str, home: Country) -> Result<Self, ScriptError> {
        let skipped = text.len() - text.trim_start_matches(' ').len();
        let start = if text[skipped..].starts_with("tone:") { skipped + "tone:".len() } else { 0 };
        let body = &text[start..];
        let shifted = |error: ScriptError| ScriptError { position: error.position + start, ..error };
        if body.contains(';') {
            return Self::parse(body).map_err(shifted);
        }
        if body.trim_start_matches(' ').starts_with(|first: char| first.is_ascii_alphabetic()) {
            return named(body, home).map_err(shifted);
        }
        list(Reader { text: body, position: 0 }).map_err(shifted)
    }
}

impl FromStr for ToneScript {
    type Err = ScriptError;

    /// As [`ToneScript::read`], in the United States.
    fn from_str(text: &str) -> Result<Self, ScriptError> {
        Self::read(text, Country::Us)
    }
}

fn named(text: &str, home: Country) -> Result<ToneScript, ScriptError> {
    let (name, country) = match text.split_once('/') {
        Some((name, country)) => (name, Some(country)),
        None => (text, None),
    };
    let tone = PlanTone::from_name(name.trim_matches(' ')).ok_or(ScriptError {
        position: 0,
        expected: "a frequency, or ring, busy, congestion, dial or info",
    })?;
    let country = match country {
        None => home,
        Some(code) => Country::from_code(code.trim_matches(' '))
            .ok_or(ScriptError { position: name.len() + 1, expected: "the code of a known country" })?,
    };
    Ok(ToneScript::of(tone, country))
}

/// Reads a list of cadences.
fn list(mut text: Reader<'_>) -> Result<ToneScript, ScriptError> {
    let mut list = List {
        script: ToneScript {
            tones: [ScriptTone::default(); ToneScript::MAX_TONES],
            sections: [Section::default(); ToneScript::MAX_SECTIONS],
            section_count: 0,
        },
        tone_count: 0,
    };
    loop {
        let once = text.accepts('!');
        if once && list.repeats() {
            return Err(text.expected("no '!' after what repeats"));
        }
        let tones = list.tones(&mut text)?;
        let on_ms = if text.accepts('/') { Some(milliseconds(&mut text)?) } else { None };
        list.add(once, tones, on_ms).map_err(|expected| text.expected(expected))?;
        if !text.accepts(',') {
            break;
        }
        if on_ms.is_none() {
            return Err(text.expected("nothing after a tone without end"));
        }
    }
    if text.peek().is_some() { Err(text.expected("',' or the end")) } else { Ok(list.script) }
}

fn milliseconds(text: &mut Reader<'_>) -> Result<u32, ScriptError> {
    Ok(text.number(1.0, ToneScript::LONGEST_MS.into(), "a length in ms")?.round() as u32)
}

struct List {
    script: ToneScript,
    tone_count: usize,
}

impl List {
    fn repeats(&self) -> bool {
        let last = self.script.section_count.checked_sub(1);
        last.is_some_and(|last| self.script.sections[last].length_ms.is_none())
    }

    /// Reads frequencies that sound together. Returns one bit per tone.
    fn tones(&mut self, text: &mut Reader<'_>) -> Result<u8, ScriptError> {
        const FREQUENCY: &str = "a frequency of 1 to 3999 Hz, or 0";
        let at = text.position;
        let first = text.number(0.0, f64::from(MOST_HZ) - 1.0, FREQUENCY)? as f32;
        if first == 0.0 {
            return Ok(0);
        }
        let mut pair = [first, 0.0];
        if text.accepts('*') {
            // What modulates a tone leaves its two sidebands.
            let by = text.number(1.0, f64::from(first) - 1.0, "the frequency of a modulation")? as f32;
            pair = [first - by, first + by];
        } else if text.accepts('+') {
            pair[1] = text.number(1.0, f64::from(MOST_HZ) - 1.0, FREQUENCY)? as f32;
        }
        let level_dbm0 = if text.accepts('@') {
            text.number(LOWEST.into(), HIGHEST.into(), "a level of -99 to 3 dBm0")? as f32
        } else {
            ToneSpec::usual_level(pair)
        };
        let mut tones = 0;
        for hz in pair.into_iter().filter(|&hz| hz > 0.0) {
            let known = &self.script.tones[..self.tone_count];
            let same = known.iter().position(|tone| *tone == ScriptTone { hz, level_dbm0 });
            let number = same.unwrap_or(self.tone_count);
            if number == ToneScript::MAX_TONES {
                return Err(ScriptError { position: at, expected: "at most 6 different tones" });
            }
            self.script.tones[number] = ScriptTone { hz, level_dbm0 };
            self.tone_count = self.tone_count.max(number + 1);
            tones |= 1 << number;
        }
        Ok(tones)
    }

    fn add(&mut self, once: bool, tones: u8, on_ms: Option<u32>) -> Result<(), &'static str> {
        let goes_on = self.script.section_count > 0 && (once || self.repeats());
        if !goes_on {
            self.script.section_count += 1;
        }
        let section = &mut self.script.sections[self.script.section_count - 1];
        if let (true, Some(ms)) = (once, on_ms) {
            let length = section.length_ms.unwrap_or(0).saturating_add(ms);
            section.length_ms = Some(length.min(ToneScript::LONGEST_MS));
        } else {
            // What is without end ends whatever came before.
            section.length_ms = None;
        }
        let before = section.segment_count.checked_sub(1).map(|last| &mut section.segments[last]);
        if let (0, Some(ms), Some(Segment { off_ms: off_ms @ 0, .. })) = (tones, on_ms, before) {
            *off_ms = ms;
            return Ok(());
        }
        if section.segment_count == ToneScript::MAX_SEGMENTS {
            return Err("at most 8 tones in a row");
        }
        section.segments[section.segment_count] = Segment { on_ms, off_ms: 0, tones };
        section.segment_count += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        text.parse::<ToneScript>().unwrap().to_string()
    }

    #[test]
    fn cadences_are_lists_of_tones_and_their_lengths() {
        assert_eq!(written("425/1000,0/4000"), "425@-13;*(1/4/1)");
        assert_eq!(written("440+480/2000,0/4000"), "440@-16,480@-16;*(2/4/1+2)");
        assert_eq!(written("350+440"), "350@-16,440@-16;*(*/0/1+2)");
        assert_eq!(
            written("400+450/400,0/200,400+450/400,0/2000"),
            "400@-16,450@-16;*(0.4/0.2/1+2,0.4/2/1+2)"
        );
        assert_eq!(written("425@-20/375,0/375,420@-20/375,0/375").matches("0.375/0.375").count(), 2);
        assert_eq!(written("400*25/400,0/200"), "375@-16,425@-16;*(0.4/0.2/1+2)");
        assert_eq!(written("0/100,425/100"), "425@-13;*(0.1/0/0,0.1/0/1)");
    }

    #[test]
    fn what_is_marked_sounds_once() {
        assert_eq!(
            written("!350+440/100,!0/100,!350+440/100,!0/100,350+440"),
            "350@-16,440@-16;0.4(0.1/0.1/1+2,0.1/0.1/1+2);*(*/0/1+2)"
        );
        let script: ToneScript = "!950/330,!1400/330,!1800/330".parse().unwrap();
        assert_eq!(script.length_ms(), Some(990));
    }

    #[test]
    fn tones_of_a_country_have_names() {
        assert_eq!("tone:ring/de".parse(), Ok(ToneScript::ringback(Country::De)));
        assert_eq!("Busy/GB".parse(), Ok(ToneScript::busy(Country::Uk)));
        assert_eq!(ToneScript::read("congestion", Country::Au), Ok(ToneScript::congestion(Country::Au)));
        assert_eq!(ToneScript::read(" tone:dial", Country::Fr), Ok(ToneScript::dial_tone(Country::Fr)));
        assert_eq!("tone:425@-19;*(1/3/1)".parse(), ToneScript::parse("425@-19;*(1/3/1)"));
        assert!("info".parse::<ToneScript>().is_ok());
        for tone in PlanTone::ALL {
            assert_eq!(PlanTone::from_name(&tone.name().to_uppercase()), Some(tone));
        }
    }

    #[test]
    fn mistakes_are_placed() {
        let failure = |text: &str| {
            let error = text.parse::<ToneScript>().unwrap_err();
            (error.position, error.expected)
        };
        assert_eq!(failure("ringing/de"), (0, "a frequency, or ring, busy, congestion, dial or info"));
        assert_eq!(failure("tone:ring/xx"), (10, "the code of a known country"));
        assert_eq!(failure("425/"), (4, "a length in ms"));
        assert_eq!(failure("425/100 x"), (8, "',' or the end"));
        assert_eq!(failure("425,0/100"), (4, "nothing after a tone without end"));
        assert_eq!(failure("425/100,!0/100"), (9, "no '!' after what repeats"));
        assert_eq!(failure("-1"), (0, "a frequency of 1 to 3999 Hz, or 0"));
        assert_eq!(failure("1/9,2/9,3/9,4/9,5/9,6/9,7/9"), (24, "at most 6 different tones"));
        assert_eq!(failure(&["9/9"; 9].join(",")).1, "at most 8 tones in a row");
        assert_eq!(failure("tone:425@-19;"), (13, "'*' or seconds"));
        assert_eq!(failure(""), (0, "a frequency of 1 to 3999 Hz, or 0"));
    }
}
