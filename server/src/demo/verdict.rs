//! Compares what each party heard with what was said to it.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use control::CallRecord;

use super::{
    ALICE_TONE, BOB_TONE, PROMPT_TONE_MS, PROMPT_TONES, RINGBACK_TONES, RINGING, TALK,
    hearing::{self, Stretch, Tracks},
    timeline::Timeline,
};

/// How much of a sound may be missing at its ends where windows of 20 ms cut it, ms.
const CUT: usize = 40;

/// What one party heard.
#[derive(Debug)]
pub struct Verdict {
    /// Who.
    pub who: &'static str,
    /// What, one line each.
    pub heard: Vec<String>,
    /// Whether all of it was as it should be.
    pub ok: bool,
}

pub(super) struct Parties<'a> {
    pub(super) alice: Party<'a>,
    pub(super) bob: Party<'a>,
}

pub(super) struct Party<'a> {
    pub(super) file: &'a Path,
    pub(super) record: Option<&'a CallRecord>,
    /// When the recording began.
    pub(super) begin: Option<Instant>,
}

/// A sound that a party should hear.
struct Expected {
    what: &'static str,
    hz: f32,
    at_least_ms: usize,
}

/// Judges both parties; faults are added to `problems`.
pub(super) fn judge(
    parties: &Parties<'_>,
    timeline: &Timeline,
    measured: &mut Vec<(String, String)>,
    problems: &mut Vec<String>,
) -> Vec<Verdict> {
    let mut read = |party: &Party<'_>| {
        hearing::read(party.file).unwrap_or_else(|problem| {
            problems.push(problem);
            Tracks::default()
        })
    };
    let (alice, bob) = (read(&parties.alice), read(&parties.bob));
    let talk = TALK.as_millis() as usize;
    let ringing = RINGING.as_millis() as usize;
    let mut for_alice: Vec<Expected> =
        PROMPT_TONES.map(|hz| Expected { what: "prompt", hz, at_least_ms: PROMPT_TONE_MS - CUT }).into();
    for_alice.extend(RINGBACK_TONES.map(|hz| Expected {
        what: "ringback",
        hz,
        at_least_ms: ringing - 2 * CUT,
    }));
    // Both tones are ordered by a clock that is not the media's: a tenth is left to the scheduler.
    for_alice.push(Expected { what: "bob", hz: BOB_TONE, at_least_ms: talk * 9 / 10 });
    let for_bob = [Expected { what: "alice", hz: ALICE_TONE, at_least_ms: talk * 9 / 10 }];
    let verdicts = vec![
        hear("alice", &alice, &for_alice, ALICE_TONE, &parties.alice, timeline, problems),
        hear("bob", &bob, &for_bob, BOB_TONE, &parties.bob, timeline, problems),
    ];
    match latency(&alice, &bob) {
        Some(latency) => {
            measured.push(("latency, mouth to ear, one way".into(), format!("{latency:.1} ms")));
        }
        None => problems.push("the latency cannot be measured".into()),
    }
    for (who, party) in [("alice", &parties.alice), ("bob", &parties.bob)] {
        if let Some(record) = party.record {
            let stats = &record.stats;
            let text = format!(
                "{} packets, {} lost, {} concealed frames, jitter {:.1} ms",
                stats.received,
                stats.lost,
                stats.concealed,
                f64::from(stats.jitter) / 8.0
            );
            measured.push((format!("RTP received by {who}"), text));
            if stats.lost > 0 {
                problems.push(format!("{who} lost {} RTP packets", stats.lost));
            }
        }
    }
    verdicts
}

fn hear(
    who: &'static str,
    tracks: &Tracks,
    expected: &[Expected],
    own: f32,
    party: &Party<'_>,
    timeline: &Timeline,
    problems: &mut Vec<String>,
) -> Verdict {
    let before = problems.len();
    let mut heard = Vec::new();
    for Expected { what, hz, at_least_ms } in expected {
        let Some(stretch) = hearing::longest(&tracks.heard, *hz) else {
            problems.push(format!("{who} did not hear {what} ({hz} Hz)"));
            heard.push(format!("{what} {hz} Hz: nothing"));
            continue;
        };
        note(who, what, &stretch, party.begin, timeline);
        let (length, gaps) = (stretch.length_ms() - stretch.gaps_ms, stretch.gaps_ms);
        // The two tones of ringback beat, which no instrument for single tones understands.
        let clicks = if RINGBACK_TONES.contains(hz) { 0 } else { hearing::clicks(&tracks.heard, &stretch) };
        heard.push(format!("{what} {hz} Hz: {length} ms, gaps {gaps} ms, clicks {clicks}"));
        if clicks > 0 {
            problems.push(format!("{who} heard {what} ({hz} Hz) with {clicks} clicks"));
        }
        if length < *at_least_ms {
            problems.push(format!("{who} heard {what} ({hz} Hz) for {length} ms only, not {at_least_ms} ms"));
        }
        if gaps > 0 {
            problems.push(format!("{who} heard {what} ({hz} Hz) with {gaps} ms missing in between"));
        }
    }
    match hearing::longest(&tracks.heard, own) {
        Some(stretch) => {
            problems.push(format!("{who} heard itself ({own} Hz) for {} ms", stretch.length_ms()));
            heard.push(format!("itself {own} Hz: {} ms", stretch.length_ms()));
        }
        None => heard.push(format!("itself {own} Hz: nothing, as it should be")),
    }
    if hearing::longest(&tracks.said, own).is_none() {
        problems.push(format!("{who} did not say {own} Hz"));
    }
    Verdict { who, heard, ok: problems.len() == before }
}

fn note(who: &str, what: &str, stretch: &Stretch, begin: Option<Instant>, timeline: &Timeline) {
    let Some(begin) = begin else { return };
    let at = |ms: usize| begin + Duration::from_millis(ms as u64);
    timeline.note(
        at(stretch.from_ms),
        format!("{who} hears {what} ({} Hz), until {:.3}", stretch.hz, timeline.seconds(at(stretch.to_ms))),
    );
}

/// One way from mouth to ear, ms: half of both ways together.
///
/// Each recording has a clock of its own. What alice says is later by the clocks' difference on bob's recording,
/// what bob says earlier by the same on hers, so that it falls out of the sum.
fn latency(alice: &Tracks, bob: &Tracks) -> Option<f64> {
    let there =
        hearing::onset(&bob.heard, ALICE_TONE)? as f64 - hearing::onset(&alice.said, ALICE_TONE)? as f64;
    let back = hearing::onset(&alice.heard, BOB_TONE)? as f64 - hearing::onset(&bob.said, BOB_TONE)? as f64;
    Some(hearing::ms((there + back) / 2.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use control::media::dsp::tone::{ToneGenerator, ToneSpec};

    /// A stereo recording with 2 s of each of these tones after half a second, one after the other.
    fn write(file: &Path, heard: &[f32], said: &[f32]) {
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: 8000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(file, spec).unwrap();
        let track = |tones: &[f32]| {
            let mut track = vec![0; 4000];
            for hz in tones {
                let mut tone = vec![0; 20_000];
                let spec = ToneSpec::continuous(*hz, -10.0).with_cadence([2000, 500, 0, 0, 0, 0, 0, 0]);
                ToneGenerator::new(spec, 8000).fill(&mut tone);
                track.extend(tone);
            }
            track.resize(4000 + 20_000 * 8, 0);
            track
        };
        for (left, right) in track(heard).into_iter().zip(track(said)) {
            writer.write_sample(left).unwrap();
            writer.write_sample(right).unwrap();
        }
        writer.finalize().unwrap();
    }

    /// What is wrong with two recordings: tones heard by alice and by bob.
    fn problems(name: &str, alice: &[f32], bob: &[f32]) -> Vec<String> {
        let folder = std::env::temp_dir().join(format!("offhook-verdict-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let files = [folder.join("alice.wav"), folder.join("bob.wav")];
        write(&files[0], alice, &[ALICE_TONE]);
        write(&files[1], bob, &[BOB_TONE]);
        let party = |file| Party { file, record: None, begin: None };
        let parties = Parties { alice: party(&files[0]), bob: party(&files[1]) };
        let mut problems = Vec::new();
        judge(&parties, &Timeline::begin(Instant::now()), &mut Vec::new(), &mut problems);
        std::fs::remove_dir_all(folder).unwrap();
        problems
    }

    const ALL: [f32; 6] = [600.0, 750.0, 900.0, 440.0, 480.0, BOB_TONE];

    #[test]
    fn everything_heard_is_no_problem() {
        assert_eq!(problems("all", &ALL, &[ALICE_TONE]), Vec::<String>::new());
    }

    #[test]
    fn a_missing_sound_is_named() {
        let told = problems("missing", &ALL[..5], &[ALICE_TONE]);
        assert_eq!(told, ["alice did not hear bob (1400 Hz)", "the latency cannot be measured"]);
        let told = problems("prompt", &ALL[1..], &[ALICE_TONE]);
        assert_eq!(told, ["alice did not hear prompt (600 Hz)"]);
    }

    #[test]
    fn hearing_oneself_is_a_problem() {
        let told = problems("self", &ALL, &[ALICE_TONE, BOB_TONE]);
        assert_eq!(told, ["bob heard itself (1400 Hz) for 2000 ms"]);
    }
}
