//! The peer starts a new stream in the middle of a call, as it does after a transfer behind its own server.

mod common;

use common::{checker::Checker, world::World};
use offhook_media::{Command, Event, Feed, TapId, graph::recorder::recorder};

#[test]
fn listeners_and_recorders_go_on_with_the_new_stream() {
    let mut world = World::new(21);
    let (a, b) = (world.party("192.0.2.1:4000", 0x20), world.party("192.0.2.2:4000", 0x30));
    world.command(Command::Feed(a, Feed::Session(b)));
    let (end, mut recording) = recorder(10_000);
    world.command(Command::Tap(b, TapId(1), Box::new(end)));
    world.run_ms(1_000);
    let peer = world.peer(b);
    (peer.ssrc, peer.sequence, peer.timestamp, peer.voice) = (0xDEAD_BEEF, 17, 4_000_000_000, 0x31);
    world.run_ms(1_000);

    let mut checker = Checker::new(160, Some(101));
    for sent in world.rtp(a) {
        checker.packet(sent.at, &sent.bytes);
    }
    assert_eq!(checker.violations, Vec::<String>::new());
    assert_eq!(checker.marked, 1);
    let heard = |voice: u8| world.rtp(a).filter(|sent| sent.payload() == [voice; 160]).count();
    assert!(heard(0x30) >= 48 && heard(0x31) >= 49, "{} and {}", heard(0x30), heard(0x31));
    let stats = world.shard.session(b).expect("open").stats();
    assert_eq!((stats.lost, stats.invalid, stats.wrong_source), (0, 0, 0), "{stats:?}");
    let said = offhook_media::graph::recorder::assemble(&mut recording);
    let quiet = said[160 * 6..].iter().filter(|pair| pair[0].unsigned_abs() < 100).count();
    assert!(quiet <= 480, "{quiet} samples of silence while the delay builds up anew");
    assert_eq!(world.told(|event| matches!(event, Event::MediaStarted(_))), 2, "once per party");
}

#[test]
fn a_key_that_was_down_in_the_old_stream_is_up() {
    let mut world = World::new(22);
    let b = world.party("192.0.2.2:4000", 0x30);
    world.run_ms(200);
    world.peer(b).press(7, 200);
    world.run_ms(300);
    let peer = world.peer(b);
    (peer.ssrc, peer.sequence) = (99, 5);
    peer.release();
    world.run_ms(45);
    assert_eq!(world.told(|event| matches!(event, Event::DigitDown(_, 7))), 1);
    assert_eq!(world.told(|event| matches!(event, Event::DigitUp(_, 7, _))), 1);
}
