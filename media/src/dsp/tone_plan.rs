//! What a telephone sounds like in each country.

use super::tone::ToneSpec;

/// A country whose tones are known, by ISO 3166 code (`Uk` also answers to `gb`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the code says it")]
pub enum Country {
    Ru,
    Us,
    Uk,
    De,
    Fr,
    Es,
    It,
    Nl,
    Pl,
    Se,
    Cn,
    Jp,
    In,
    Br,
    Au,
}

impl Country {
    /// Every known country.
    pub const ALL: [Self; 15] = [
        Self::Ru,
        Self::Us,
        Self::Uk,
        Self::De,
        Self::Fr,
        Self::Es,
        Self::It,
        Self::Nl,
        Self::Pl,
        Self::Se,
        Self::Cn,
        Self::Jp,
        Self::In,
        Self::Br,
        Self::Au,
    ];

    /// The code in small letters.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.plan().code
    }

    /// The country of a code, in any case.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        if code.eq_ignore_ascii_case("gb") {
            return Some(Self::Uk);
        }
        Self::ALL.into_iter().find(|country| country.code().eq_ignore_ascii_case(code))
    }

    fn plan(self) -> &'static Plan {
        &PLANS[self as usize]
    }
}

impl ToneSpec {
    /// How loud each of one or two frequencies of a network tone is, dBm0. A pair sums up to 3 dB more.
    pub(super) fn usual_level(frequencies: [f32; 2]) -> f32 {
        if frequencies[1] > 0.0 { -16.0 } else { -13.0 }
    }

    /// What a caller hears while the other phone rings.
    #[must_use]
    pub fn ringback(country: Country) -> Self {
        country.plan().ring.spec()
    }

    /// The called party is busy.
    #[must_use]
    pub fn busy(country: Country) -> Self {
        country.plan().busy.spec()
    }

    /// The network cannot complete the call.
    #[must_use]
    pub fn congestion(country: Country) -> Self {
        country.plan().congestion.spec()
    }

    /// The line awaits digits.
    #[must_use]
    pub fn dial_tone(country: Country) -> Self {
        country.plan().dial.spec()
    }
}

struct Plan {
    code: &'static str,
    ring: Tone,
    busy: Tone,
    congestion: Tone,
    dial: Tone,
}

struct Tone([f32; 2], [u16; 8]);

impl Tone {
    fn spec(&self) -> ToneSpec {
        let level_dbm0 = ToneSpec::usual_level(self.0);
        ToneSpec { frequencies: self.0, level_dbm0, cadence_ms: self.1 }
    }
}

const fn tone(first: f32, second: f32, cadence: &[u16]) -> Tone {
    let mut padded = [0; 8];
    let mut index = 0;
    while index < cadence.len() {
        padded[index] = cadence[index];
        index += 1;
    }
    Tone([first, second], padded)
}

const fn plan(code: &'static str, ring: Tone, busy: Tone, congestion: Tone, dial: Tone) -> Plan {
    Plan { code, ring, busy, congestion, dial }
}

/// In the order of [`Country`]. Where a country modulates 400 Hz with 25 Hz, the two sidebands are played, which
/// sound the same. Every second tone of the Australian congestion has 420 Hz; only a script can play that.
#[rustfmt::skip]
static PLANS: [Plan; 15] = [
    plan("ru", tone(425., 0., &[1000, 4000]), tone(425., 0., &[350, 350]), tone(425., 0., &[175, 175]), tone(425., 0., &[])),
    plan("us", tone(440., 480., &[2000, 4000]), tone(480., 620., &[500, 500]), tone(480., 620., &[250, 250]), tone(350., 440., &[])),
    plan("uk", tone(400., 450., &[400, 200, 400, 2000]), tone(400., 0., &[375, 375]), tone(400., 0., &[400, 350, 225, 525]), tone(350., 440., &[])),
    plan("de", tone(425., 0., &[1000, 4000]), tone(425., 0., &[480, 480]), tone(425., 0., &[240, 240]), tone(425., 0., &[])),
    plan("fr", tone(440., 0., &[1500, 3500]), tone(440., 0., &[500, 500]), tone(440., 0., &[250, 250]), tone(440., 0., &[])),
    plan("es", tone(425., 0., &[1500, 3000]), tone(425., 0., &[200, 200]), tone(425., 0., &[200, 200, 200, 200, 200, 600]), tone(425., 0., &[])),
    plan("it", tone(425., 0., &[1000, 4000]), tone(425., 0., &[500, 500]), tone(425., 0., &[200, 200]), tone(425., 0., &[200, 200, 600, 1000])),
    plan("nl", tone(425., 0., &[1000, 4000]), tone(425., 0., &[500, 500]), tone(425., 0., &[250, 250]), tone(425., 0., &[])),
    plan("pl", tone(425., 0., &[1000, 4000]), tone(425., 0., &[500, 500]), tone(425., 0., &[500, 500]), tone(425., 0., &[])),
    plan("se", tone(425., 0., &[1000, 5000]), tone(425., 0., &[250, 250]), tone(425., 0., &[250, 750]), tone(425., 0., &[])),
    plan("cn", tone(450., 0., &[1000, 4000]), tone(450., 0., &[350, 350]), tone(450., 0., &[700, 700]), tone(450., 0., &[])),
    plan("jp", tone(400., 15., &[1000, 2000]), tone(400., 0., &[500, 500]), tone(400., 0., &[500, 500]), tone(400., 0., &[])),
    plan("in", tone(375., 425., &[400, 200, 400, 2000]), tone(400., 0., &[750, 750]), tone(400., 0., &[250, 250]), tone(375., 425., &[])),
    plan("br", tone(425., 0., &[1000, 4000]), tone(425., 0., &[250, 250]), tone(425., 0., &[250, 250, 750, 250]), tone(425., 0., &[])),
    plan("au", tone(413., 438., &[400, 200, 400, 2000]), tone(425., 0., &[375, 375]), tone(425., 0., &[375, 375]), tone(413., 438., &[])),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::tone::ToneGenerator;

    #[test]
    fn codes_lead_back_to_the_country() {
        for country in Country::ALL {
            assert_eq!(Country::from_code(country.code()), Some(country));
            assert_eq!(Country::from_code(&country.code().to_uppercase()), Some(country));
        }
        assert_eq!(Country::Jp.code(), "jp");
        assert_eq!(Country::from_code("GB"), Some(Country::Uk));
        assert_eq!(Country::from_code("xx"), None);
    }

    #[test]
    fn every_tone_starts_with_sound() {
        for country in Country::ALL {
            let tones = [
                ToneSpec::ringback(country),
                ToneSpec::busy(country),
                ToneSpec::congestion(country),
                ToneSpec::dial_tone(country),
            ];
            for spec in tones {
                let mut samples = [0; 160];
                ToneGenerator::new(spec, 8000).fill(&mut samples);
                assert!(samples.iter().any(|&s| s.unsigned_abs() > 1000), "{country:?} {spec:?}");
            }
        }
    }
}
