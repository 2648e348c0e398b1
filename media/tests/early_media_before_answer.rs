//! Media before and around the answer: who may be heard, where we send, and what strangers cannot do.

mod common;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use common::{
    checker::Checker,
    world::{World, address, config},
};
use offhook_media::{
    Channel, Command, Direction, Event, Feed, FinishReason, Playback, PlayerId, Prompt, SessionConfig,
    SessionId, TapId, graph::recorder::recorder,
};

const A: &str = "192.0.2.1:4000";
const B: &str = "192.0.2.2:4000";
const STRANGER: &str = "203.0.113.66:6666";

fn unanswered() -> SessionConfig {
    SessionConfig { remote: None, remote_rtcp: None, ..config(A) }
}

fn stranger_talks(world: &mut World, id: SessionId, from: &str, ms: u64) {
    let from = address(from);
    for index in 0..ms / 20 {
        let mut bytes = vec![0x80, 0];
        bytes.extend((index as u16).to_be_bytes());
        bytes.extend((index as u32 * 160).to_be_bytes());
        bytes.extend([6, 6, 6, 6]);
        bytes.extend([0x66; 160]);
        world.deliver(world.now + Duration::from_millis(20 * index + 3), id, from, bytes);
    }
}

#[test]
fn nothing_is_sent_heard_or_learned_before_the_peers_address_is_known() {
    let mut world = World::new(31);
    let a = world.party(A, 0x20);
    let b = world.open(SessionConfig { remote: None, remote_rtcp: None, ..config(B) });
    world.command(Command::Feed(a, Feed::Session(b)));
    stranger_talks(&mut world, b, STRANGER, 1_000);
    world.run_ms(1_000);
    assert!(world.sent(b).is_empty());
    assert!(world.rtp(a).all(|sent| sent.payload() != [0x66; 160]));
    assert_eq!(world.told(|event| matches!(event, Event::MediaStarted(id) if *id == b)), 0);
    assert_eq!(world.shard.session(b).map(|session| session.stats().wrong_source), Some(50));
}

#[test]
fn early_media_is_heard_as_soon_as_its_address_is_known_and_the_answer_changes_nothing() {
    let mut world = World::new(32);
    let (a, b) = (world.party(A, 0x20), world.party(B, 0x30));
    world.command(Command::Configure(b, Box::new(SessionConfig { remote: None, ..config(B) })));
    world.command(Command::Feed(a, Feed::Session(b)));
    // 183, then 200 with the same description.
    world.command(Command::Configure(b, Box::new(config(B))));
    world.run_ms(1_000);
    world.command(Command::Configure(b, Box::new(config(B))));
    world.command(Command::Feed(b, Feed::Session(a)));
    world.run_ms(1_000);
    let mut checker = Checker::new(160, Some(101));
    for sent in world.rtp(a) {
        checker.packet(sent.at, &sent.bytes);
    }
    assert_eq!((checker.violations, checker.marked), (Vec::new(), 1));
    assert!(world.rtp(a).filter(|sent| sent.payload() == [0x30; 160]).count() >= 98);
    assert!(world.rtp(b).filter(|sent| sent.payload() == [0x20; 160]).count() >= 48);
}

#[test]
fn another_early_dialog_wins_and_the_loser_is_no_longer_heard() {
    let mut world = World::new(33);
    let (a, b) = (world.party(A, 0x20), world.party(B, 0x30));
    world.command(Command::Feed(a, Feed::Session(b)));
    world.run_ms(500);
    // The 200 comes from another device, while the first one still rings.
    world.command(Command::Configure(b, Box::new(config("192.0.2.9:7000"))));
    world.run_ms(500);
    let before = world.rtp(a).count();
    world.run_ms(500);
    assert!(world.rtp(a).skip(before).all(|sent| sent.payload() != [0x30; 160]));
    assert_eq!(world.rtp(b).last().map(|sent| sent.destination), Some(address("192.0.2.9:7000")));
    world.peer(b).address = address("192.0.2.9:7000");
    world.peer(b).voice = 0x39;
    world.run_ms(200);
    assert_eq!(world.rtp(a).last().map(|sent| sent.payload()[0]), Some(0x39));
}

#[test]
fn a_prompt_waits_for_an_address_and_is_then_heard_from_its_beginning() {
    let mut world = World::new(34);
    let a = world.open(unanswered());
    let prompt = Arc::new(Prompt::from_samples(&[5_000; 800], 8_000));
    let playback = Playback::prompt(prompt, Some(1));
    world.command(Command::Play(a, PlayerId(1), Box::new(playback)));
    world.run_ms(500);
    assert_eq!(world.told(|event| matches!(event, Event::PlayStarted(..))), 0);
    world.command(Command::Configure(a, Box::new(config(A))));
    world.run_ms(500);
    let heard = world.rtp(a).filter(|sent| sent.payload()[0] != 0xFF).count();
    assert_eq!(heard, 5);
    let finished = |event: &Event| {
        matches!(event, Event::PlayFinished { reason: FinishReason::Ended, played_ms: 100, .. })
    };
    assert_eq!(world.told(finished), 1);
}

#[test]
fn a_peer_behind_a_nat_is_found_and_a_stranger_is_not() {
    let mut world = World::new(35);
    let nat: SocketAddr = address("198.51.100.4:61234");
    let private = SessionConfig { signaling_ip: Some(nat.ip()), ..config("10.0.0.7:4000") };
    let a = world.open(private);
    stranger_talks(&mut world, a, STRANGER, 400);
    world.run_ms(400);
    assert!(world.sent(a).iter().all(|sent| sent.destination == address("10.0.0.7:4000") && !sent.locked));
    stranger_talks(&mut world, a, &nat.to_string(), 400);
    world.run_ms(400);
    assert_eq!(world.told(|event| matches!(event, Event::Latched(_, address) if *address == nat)), 1);
    assert!(world.rtp(a).last().is_some_and(|sent| sent.destination == nat && sent.locked));
    // Locked: a stranger changes nothing.
    let before = world.shard.session(a).expect("open").stats();
    world.run_ms(5_000);
    stranger_talks(&mut world, a, STRANGER, 1_000);
    world.run_ms(1_000);
    let after = world.shard.session(a).expect("open").stats();
    assert_eq!(after.received, before.received);
    assert_eq!(after.wrong_source, before.wrong_source + 50);
    assert!(world.rtp(a).last().is_some_and(|sent| sent.destination == nat));
}

#[test]
fn silence_of_the_peer_is_told_once_and_not_while_it_is_held() {
    let mut world = World::new(36);
    let a = world.party(A, 0x20);
    let stopped = |event: &Event| matches!(event, Event::MediaStopped(_));
    world.run_ms(1_000);
    let held = SessionConfig { direction: Direction::SendOnly, ..config(A) };
    world.command(Command::Configure(a, Box::new(held)));
    world.peer(a).talks = false;
    world.run_ms(20_000);
    assert_eq!(world.told(stopped), 0);
    world.command(Command::Configure(a, Box::new(config(A))));
    world.run_ms(6_900);
    assert_eq!(world.told(stopped), 0);
    world.run_ms(10_000);
    assert_eq!(world.told(stopped), 1);
    world.peer(a).talks = true;
    world.run_ms(100);
    assert_eq!(world.told(|event| matches!(event, Event::MediaStarted(_))), 2);
}

#[test]
fn a_recording_holds_what_was_said_and_what_was_heard_side_by_side() {
    let mut world = World::new(37);
    let (a, b) = (world.party(A, 0x20), world.party(B, 0x30));
    world.run_ms(200);
    let (end, mut recording) = recorder(10_000);
    world.command(Command::Tap(a, TapId(9), Box::new(end)));
    let prompt = Arc::new(Prompt::from_samples(&[5_000; 8_000], 8_000));
    world.command(Command::Play(a, PlayerId(1), Box::new(Playback::prompt(prompt, Some(1)))));
    world.command(Command::Feed(a, Feed::Session(b)));
    world.run_ms(2_000);
    world.command(Command::Untap(a, TapId(9)));
    world.run_ms(500);
    assert_eq!(world.told(|event| matches!(event, Event::TapEnded(_, TapId(9)))), 1);
    let stereo = offhook_media::graph::recorder::assemble(&mut recording);
    assert!(recording.is_finished());
    assert!((1_960 * 8..=2_020 * 8).contains(&stereo.len()), "{} samples", stereo.len());
    let of = |voice: u8| {
        let mut sample = [0];
        offhook_media::Codec::Pcmu.decode(&[voice], &mut sample);
        sample[0]
    };
    let middle = |from_ms: usize, to_ms: usize| stereo[from_ms * 8..to_ms * 8].iter();
    assert!(middle(100, 1_900).all(|pair| pair[0] == of(0x20)));
    assert!(middle(50, 950).all(|pair| (pair[1] - 5_000).abs() < 200));
    assert!(middle(1_100, 1_900).all(|pair| pair[1] == of(0x30)));
}

#[test]
fn reports_tell_the_round_trip_and_go_nowhere_unproved() {
    let mut world = World::new(38);
    let a = world.party(A, 0x20);
    world.run_ms(12_000);
    let reports: Vec<_> = world.sent(a).iter().filter(|sent| sent.channel == Channel::Rtcp).collect();
    assert!(reports.len() >= 2, "{} reports", reports.len());
    assert!(reports.iter().all(|sent| sent.destination == address("192.0.2.1:4001") && sent.bytes[1] == 200));
    // A receiver report of the peer about our stream, 30 ms after our last report came to it.
    let last = reports.last().expect("sent");
    let middle = &last.bytes[10..14];
    let our_ssrc = &last.bytes[4..8];
    let mut report = vec![0x81, 201, 0, 7];
    report.extend(world.peers[0].ssrc.to_be_bytes());
    report.extend(our_ssrc);
    report.extend([25, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0]);
    report.extend(middle);
    let elapsed = world.now - last.at;
    report.extend((elapsed.as_millis() as u32 * 65_536 / 1_000).to_be_bytes());
    world.deliver_on(
        world.now + Duration::from_millis(30),
        a,
        Channel::Rtcp,
        address("192.0.2.1:4001"),
        report.clone(),
    );
    // The same from a stranger is ignored.
    report[12] = 255;
    world.deliver_on(world.now + Duration::from_millis(40), a, Channel::Rtcp, address(STRANGER), report);
    world.run_ms(100);
    let stats = world.shard.session(a).expect("open").stats();
    assert_eq!((stats.remote_fraction_lost, stats.wrong_source), (25, 1));
    assert!((29_000..=31_500).contains(&stats.round_trip_us), "{} us", stats.round_trip_us);
}

#[test]
fn a_closed_session_says_goodbye_and_nothing_after_it() {
    let mut world = World::new(39);
    let (a, b) = (world.party(A, 0x20), world.party(B, 0x30));
    world.command(Command::Feed(b, Feed::Session(a)));
    let prompt = Arc::new(Prompt::from_samples(&[5_000; 80_000], 8_000));
    world.command(Command::Play(a, PlayerId(4), Box::new(Playback::prompt(prompt, None))));
    world.run_ms(500);
    let (end, recording) = recorder(100);
    world.command(Command::Tap(a, TapId(5), Box::new(end)));
    world.command(Command::Close(a));
    let ids: Vec<_> = world.events.iter().map(|(_, event)| event.session()).collect();
    assert_eq!(ids.last(), Some(&a));
    let [.., (_, finished), (_, tap), (_, closed)] = world.events.as_slice() else { panic!("three events") };
    assert!(matches!(finished, Event::PlayFinished { reason: FinishReason::Closed, .. }));
    assert!(matches!(tap, Event::TapEnded(_, TapId(5))));
    assert!(matches!(closed, Event::Closed(_, stats) if stats.sent >= 24 && stats.received >= 24));
    assert!(recording.is_finished());
    assert_eq!(world.sent(a).last().map(|sent| sent.bytes[1]), Some(200), "a last report with its goodbye");
    let (sent, told) = (world.sent(a).len(), world.events.len());
    world.command(Command::Feed(a, Feed::Silence));
    world.run_ms(500);
    assert_eq!((world.sent(a).len(), world.events.len()), (sent, told));
    assert_eq!(world.shard.stats().stale_commands, 1);
    assert_eq!(world.shard.session_count(), 1);
    // Who listened hears silence.
    assert_eq!(world.rtp(b).last().map(|sent| sent.payload()[0]), Some(0xFF));
    world.release(a);
    let next = world.open(config(A));
    assert_eq!((next.slot(), next == a), (a.slot(), false));
}
