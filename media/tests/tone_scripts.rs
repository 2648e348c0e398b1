//! Any text is a script or says why not, and any script plays within its bounds.

use offhook_media::dsp::tone_script::{ScriptGenerator, ToneScript};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
        for read in [ToneScript::parse(&text), text.parse()] {
            if let Err(error) = read {
                prop_assert!(error.position <= text.len());
            }
        }
    }

    #[test]
    fn lists_that_are_read_are_written_as_scripts(text in "(!?[1-9][0-9]{0,3}([+*][1-9][0-9]{0,2})?(@-[1-9])?/[1-9][0-9]{0,3},?){1,8}") {
        if let Ok(script) = text.parse::<ToneScript>() {
            prop_assert_eq!(script.to_string().parse(), Ok(script));
        }
    }

    #[test]
    fn texts_that_resemble_scripts_are_read_or_refused(text in "[0-9@,;*()/+. -]{0,60}") {
        if let Err(error) = ToneScript::parse(&text) {
            prop_assert!(error.position <= text.len());
        }
    }

    #[test]
    fn what_is_read_is_written_and_plays(
        hz in 1_u16..4000,
        level in -60_i8..3,
        sections in prop::collection::vec(
            (0_u16..3, prop::collection::vec((0_u16..700, 1_u16..700, 0_u8..3), 1..9)),
            1..5,
        ),
        rate in prop::sample::select(vec![1_u32, 100, 8000, 48_000]),
        chunk in 1_usize..2000,
    ) {
        let mut text = format!("{hz}@{level},440@-13");
        for (seconds, segments) in &sections {
            let segments: Vec<String> = segments
                .iter()
                .map(|(on, off, tone)| format!("{}/{}/{tone}", f32::from(*on) / 1000.0, f32::from(*off) / 1000.0))
                .collect();
            text += &format!(";{seconds}({})", segments.join(","));
        }
        let script = ToneScript::parse(&text).expect("it follows the grammar");
        prop_assert_eq!(ToneScript::parse(&script.to_string()), Ok(script));
        let mut generator = ScriptGenerator::new(script, rate);
        let (mut out, mut written) = (vec![0; chunk], 0_u64);
        while !generator.is_finished() {
            written += generator.fill(&mut out) as u64;
        }
        let longest = script.length_ms().expect("it ends") * u64::from(rate) / 1000;
        prop_assert!(written <= longest);
        prop_assert!(rate < 8000 || written == longest);
    }
}
