//! One call with everything in it: prompt, digits, early media through a bridge, hold, hang-up.

use control::{
    Collect, CollectEnd, Command, Dial, Event, EventKind, LegId, Play, Target,
    media::{DigitString, PlayerId, dsp::detect::tone_level, dsp::tone::ToneSpec},
    signaling::{Cause, NameAddr},
};

use super::{Stage, Who, tone};

const ALICE: Who = 0;
const SERVER: Who = 1;
const BOB: Who = 2;

/// Alice's and the server's first outgoing legs.
const LINE: LegId = LegId(7);
const TRUNK: LegId = LegId(8);

fn dial(stage: &impl Stage, from: Who, to: Who, user: &str, near: Option<LegId>) -> Command {
    Command::Dial(Box::new(Dial {
        near,
        ..Dial::new(Target::Uri(stage.uri(to, user)), NameAddr::from(stage.uri(from, "caller")))
    }))
}

fn wait_incoming(stage: &mut impl Stage, who: Who) -> LegId {
    stage.wait(who, "Incoming", &mut |event| matches!(event.kind, EventKind::Incoming(_))).leg
}

fn wait_kind(
    stage: &mut impl Stage,
    who: Who,
    leg: LegId,
    what: &str,
    wanted: fn(&EventKind) -> bool,
) -> Event {
    stage.wait(who, what, &mut |event| event.leg == leg && wanted(&event.kind))
}

/// Plays a tone to its end: this is how time passes here.
fn talk(stage: &mut impl Stage, who: Who, leg: LegId, hz: f32, ms: u32) {
    let player = PlayerId(hz as u64);
    stage.command(who, leg, Command::Play(Play::prompt(player, tone(hz, ms), Some(1)).into())).unwrap();
    wait_kind(stage, who, leg, "PlayFinished", |kind| matches!(kind, EventKind::PlayFinished(..)));
}

/// Share of 100 ms windows in which a tone stands out.
fn share(samples: &[i16], hz: f32) -> usize {
    samples.chunks_exact(800).filter(|window| tone_level(window, 8000, hz) > -35.0).count()
}

/// The whole call; panics where anything is not as it must be.
pub fn everything_in_one_call(mut stage: impl Stage) {
    let s = &mut stage;
    s.command(ALICE, LINE, dial(s, ALICE, SERVER, "menu", None)).unwrap();
    let caller = wait_incoming(s, SERVER);

    // Early media: the prompt is heard before the answer.
    s.command(SERVER, caller, Command::Early).unwrap();
    wait_kind(s, ALICE, LINE, "Progress with media", |kind| matches!(kind, EventKind::Progress(_, true)));
    s.listen(ALICE, LINE);
    talk(s, SERVER, caller, 700.0, 1000);
    s.command(SERVER, caller, Command::Answer).unwrap();
    wait_kind(s, ALICE, LINE, "Answered", |kind| matches!(kind, EventKind::Answered));

    // Digits.
    s.command(SERVER, caller, Command::Collect(Collect { max: 8, ..Collect::default() })).unwrap();
    s.command(ALICE, LINE, Command::SendDigits(DigitString::parse("120#").unwrap())).unwrap();
    wait_kind(s, ALICE, LINE, "DigitsSent", |kind| matches!(kind, EventKind::DigitsSent));
    let collected =
        wait_kind(s, SERVER, caller, "Collected", |kind| matches!(kind, EventKind::Collected(..)));
    let EventKind::Collected(digits, end) = collected.kind else { unreachable!("waited for it") };
    assert_eq!((digits.as_str(), end), ("120", CollectEnd::Terminator));

    // The callee's line is heard through the bridge before the callee answers.
    s.command(SERVER, TRUNK, dial(s, SERVER, BOB, "bob", Some(caller))).unwrap();
    let callee = wait_incoming(s, BOB);
    s.command(BOB, callee, Command::Early).unwrap();
    wait_kind(s, SERVER, TRUNK, "Progress with media", |kind| matches!(kind, EventKind::Progress(_, true)));
    s.command(SERVER, caller, Command::Bridge(TRUNK)).unwrap();
    talk(s, BOB, callee, 425.0, 1000);
    s.command(BOB, callee, Command::Answer).unwrap();
    wait_kind(s, SERVER, TRUNK, "Answered", |kind| matches!(kind, EventKind::Answered));

    // Both ways.
    s.listen(BOB, callee);
    talk(s, ALICE, LINE, 500.0, 1000);
    talk(s, BOB, callee, 900.0, 1000);

    // Hold and resume: the server is held and says so, and nothing is heard meanwhile.
    s.command(ALICE, LINE, Command::Hold).unwrap();
    wait_kind(s, ALICE, LINE, "HoldChanged", |kind| matches!(kind, EventKind::HoldChanged(true)));
    wait_kind(s, SERVER, caller, "Held", |kind| matches!(kind, EventKind::Held));
    talk(s, BOB, callee, 1300.0, 600);
    s.command(ALICE, LINE, Command::Resume).unwrap();
    wait_kind(s, SERVER, caller, "Resumed", |kind| matches!(kind, EventKind::Resumed));
    wait_kind(s, ALICE, LINE, "HoldChanged", |kind| matches!(kind, EventKind::HoldChanged(false)));
    s.command(BOB, callee, Command::tone(ToneSpec::continuous(1100.0, -13.0))).unwrap();
    talk(s, ALICE, LINE, 1500.0, 1000);

    // The callee hangs up; the server ends the other side.
    s.command(BOB, callee, Command::HangUp(None)).unwrap();
    ended(s, SERVER, TRUNK, Cause::RemoteBye);
    s.command(SERVER, caller, Command::HangUp(None)).unwrap();
    ended(s, ALICE, LINE, Cause::RemoteBye);
    ended(s, SERVER, caller, Cause::Local);
    ended(s, BOB, callee, Cause::Local);

    let heard = s.arrived(ALICE, LINE);
    for (hz, windows) in [(700.0, 8), (425.0, 8), (900.0, 8), (1100.0, 8)] {
        assert!(share(&heard, hz) >= windows, "alice heard {hz} Hz in {} windows only", share(&heard, hz));
    }
    assert_eq!(share(&heard, 500.0), 0, "alice heard herself");
    // The very end of it may still be under way when she resumes.
    assert!(share(&heard, 1300.0) <= 1, "alice heard bob while she held him");
    let heard = s.arrived(BOB, callee);
    for (hz, windows) in [(500.0, 8), (1500.0, 8)] {
        assert!(share(&heard, hz) >= windows, "bob heard {hz} Hz in {} windows only", share(&heard, hz));
    }
    assert_eq!(share(&heard, 900.0), 0, "bob heard himself");
    assert_eq!(share(&heard, 700.0), 0, "bob heard the prompt");
    stage.finish();
}

fn ended(stage: &mut impl Stage, who: Who, leg: LegId, cause: Cause) {
    let event = wait_kind(stage, who, leg, "Ended", |kind| matches!(kind, EventKind::Ended(_)));
    let EventKind::Ended(record) = event.kind else { unreachable!("waited for it") };
    assert_eq!(record.cause, cause, "{record:?}");
    assert_eq!(record.stats.continuity_violations, 0, "{record:?}");
    assert!(record.answered.is_some(), "{record:?}");
}
