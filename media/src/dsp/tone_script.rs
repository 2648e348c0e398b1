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
//!
//! [`ToneScript::from_str`](std::str::FromStr::from_str) also reads what is shorter to write:
//!
//! ```text
//! list     = ["tone:"] element *("," element)        440+480/2000,0/4000
//! element  = ["!"] tones ["/" ms]                    "!": once, before those that repeat; no ms: for ever
//! tones    = "0" / hertz ["+" hertz] ["@" dBm0] / hertz "*" hertz (modulated)
//! named    = ["tone:"] ("ring" / "busy" / "congestion" / "dial" / "info") ["/" country]
//! ```

mod cadence;
mod generator;
mod notation;

use super::{tone::ToneSpec, tone_plan::Country};

pub use cadence::PlanTone;
pub use generator::ScriptGenerator;
pub use notation::ScriptError;

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

const MOST_HZ: f32 = 4000.0;
const LOWEST: f32 = -99.0;
const HIGHEST: f32 = 3.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::tone::ToneGenerator;

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
}
