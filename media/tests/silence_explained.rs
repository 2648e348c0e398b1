//! Scores of calls, and the reasons of those who hear nothing.

#![allow(clippy::wildcard_enum_match_arm, reason = "a look at some of the events")]

mod common;

use common::world::{World, address, config};
use offhook_media::{
    Command, Direction, Event, Feed, MixId, Quality, Reasons, SessionConfig, SessionId,
    srtp::{KeySource, Keys, Suite},
};

const A: &str = "192.0.2.1:4000";
const B: &str = "192.0.2.2:4000";

/// What was told last about a session.
fn last(world: &World, id: SessionId) -> Quality {
    let told = world.events.iter().rev().find_map(|(_, event)| match event {
        Event::Statistics(session, quality) if *session == id => Some(*quality),
        _ => None,
    });
    told.expect("statistics after some seconds")
}

#[test]
fn a_good_call_has_a_good_score_and_no_reason_for_silence() {
    let mut world = World::new(5);
    let (a, b) = (world.party(A, 0x31), world.party(B, 0x42));
    world.command(Command::Feed(a, Feed::Session(b)));
    world.command(Command::Feed(b, Feed::Session(a)));
    world.run_ms(20_000);
    let quality = last(&world, a);
    assert!(quality.mos_received.hundredths() >= 430, "{quality:?}");
    assert_eq!(quality.mos_sent.hundredths(), 0, "its peer never reported");
    assert!(quality.unheard.is_empty() && quality.unsaid.is_empty(), "{quality:?}");
    assert_eq!(world.shard.session(a).expect("open").stats().quality, quality);
    // Every 2.5 to 7.5 s.
    let told = world.told(|event| matches!(event, Event::Statistics(id, _) if *id == a));
    assert!((2..=8).contains(&told), "{told}");
}

#[test]
fn loss_on_either_way_shows_in_its_score() {
    let mut world = World::new(6);
    let (a, b) = (world.party(A, 0x31), world.party(B, 0x42));
    world.command(Command::Feed(a, Feed::Session(b)));
    world.peer(a).link.loss_percent = 10;
    world.run_ms(10_000);
    // A receiver report: a quarter of what we sent is lost.
    let own = world.rtp(a).next().expect("packets").bytes[8..12].to_vec();
    let mut report = vec![0x81, 201, 0, 7];
    report.extend(world.peer(a).ssrc.to_be_bytes());
    report.extend(own);
    report.extend([64, 0, 0, 9]);
    report.extend([0; 16]);
    world.deliver_on(world.now, a, offhook_media::Channel::Rtcp, address("192.0.2.1:4001"), report);
    world.run_ms(8_000);
    let quality = last(&world, a);
    assert!((100..400).contains(&quality.mos_received.hundredths()), "{quality:?}");
    assert!((100..300).contains(&quality.mos_sent.hundredths()), "{quality:?}");
    assert!((10..60).contains(&quality.loss_received), "{quality:?}");
    assert_eq!(quality.loss_sent, 64);
}

#[test]
fn whoever_is_not_heard_is_told_why() {
    let mut keys = KeySource::new([1; 32]);
    let suite = Suite::AeadAes128Gcm;
    let keys = Keys { send: keys.master_key(suite), receive: keys.master_key(suite) };
    let base = || config(A);
    let cases = [
        (base(), None, Reasons::NO_PACKETS),
        (base(), Some(("203.0.113.5:7", 0)), Reasons::WRONG_SOURCE),
        (base(), Some((A, 77)), Reasons::WRONG_FORMAT),
        (SessionConfig { srtp: Some(keys), ..base() }, Some((A, 0)), Reasons::UNAUTHENTICATED),
        (SessionConfig { direction: Direction::SendOnly, ..base() }, Some((A, 0)), Reasons::HELD),
    ];
    for (config, source, expected) in cases {
        let mut world = World::new(8);
        let a = world.open(config);
        let b = world.party(B, 0x42);
        world.command(Command::Feed(b, Feed::Session(a)));
        if let Some((from, payload_type)) = source {
            let mut peer = common::peer::Peer::new(a, address(from), 0x31, world.now, &mut world.dice);
            peer.payload_type = payload_type;
            world.peers.push(peer);
        }
        world.run_ms(10_000);
        assert_eq!(last(&world, a).unheard, expected, "{}", world.shard.session(a).expect("open"));
    }
}

#[test]
fn whoever_hears_nothing_is_told_why() {
    let mut world = World::new(9);
    let a = world.party(A, 0x31);
    let b = world.open(config(B));
    let unsaid = |world: &World| world.shard.session(a).expect("open").quality().unsaid;
    assert_eq!(unsaid(&world), Reasons::NOTHING_TO_HEAR);
    world.command(Command::Feed(a, Feed::Session(b)));
    world.run_ms(10_000);
    assert_eq!(last(&world, a).unsaid, Reasons::SOURCE_SILENT, "b's peer says nothing");
    world.command(Command::Configure(
        a,
        Box::new(SessionConfig { direction: Direction::Inactive, ..config(A) }),
    ));
    assert!(unsaid(&world).contain(Reasons::HELD));
    world.command(Command::Configure(a, Box::new(config(A))));
    world.command(Command::Feed(a, Feed::Mix(MixId(1))));
    world.command(Command::Mute(a, true));
    world.run_ms(10_000);
    assert_eq!(last(&world, a).unheard, Reasons::MUTED);
    assert!(last(&world, a).unsaid.is_empty());
    let c = world.open(SessionConfig::default());
    assert!(world.shard.session(c).expect("open").quality().unsaid.contain(Reasons::NO_ADDRESS));
    let shown = world.shard.session(a).expect("open").to_string();
    assert!(shown.ends_with("; unheard: muted"), "{shown}");
}
