//! Sequence numbers and timestamps pass through zero unnoticed, in both directions.

mod common;

use common::{checker::Checker, world::World};
use offhook_media::{Codec, Command, Feed, PayloadFormat, SessionConfig, graph::recorder::recorder};

#[test]
fn a_relay_does_not_notice_the_wrap_of_its_source() {
    for ahead in [0, 1, 2, 25] {
        let mut world = World::new(11);
        let (a, b) = (world.party("192.0.2.1:4000", 0x20), world.party("192.0.2.2:4000", 0x30));
        let peer = world.peer(b);
        peer.sequence = u16::MAX - ahead;
        peer.timestamp = u32::MAX - u32::from(ahead) * 160 - 79;
        world.command(Command::Feed(a, Feed::Session(b)));
        world.run_ms(2_000);
        let mut checker = Checker::new(160, Some(101));
        for sent in world.rtp(a) {
            checker.packet(sent.at, &sent.bytes);
        }
        assert_eq!(checker.violations, Vec::<String>::new());
        let stats = world.shard.session(b).expect("open").stats();
        assert_eq!((stats.lost, stats.duplicates, stats.reordered), (0, 0, 0), "{stats:?}");
        assert!(world.rtp(a).filter(|sent| sent.payload() == [0x30; 160]).count() >= 98);
    }
}

#[test]
fn decoded_audio_does_not_notice_the_wrap_of_its_source() {
    let mut world = World::new(12);
    let b = world.party("192.0.2.2:4000", 0x30);
    let peer = world.peer(b);
    (peer.sequence, peer.timestamp) = (u16::MAX - 30, u32::MAX - 40 * 160);
    let (end, mut recording) = recorder(5_000);
    world.command(Command::Tap(b, offhook_media::TapId(1), Box::new(end)));
    world.run_ms(3_000);
    let stats = world.shard.session(b).expect("open").stats();
    assert_eq!((stats.late, stats.concealed, stats.lost), (0, 0, 0), "{stats:?}");
    let said: Vec<i16> =
        offhook_media::graph::recorder::assemble(&mut recording).iter().map(|pair| pair[0]).collect();
    let loud = said.iter().filter(|sample| sample.unsigned_abs() > 1_000).count();
    assert!(loud >= 2_900 * 8, "{loud} samples");
}

#[test]
fn our_own_numbers_wrap_without_a_break() {
    // 70,000 packets of 10 ms are more than 16 bits.
    let mut world = World::new(13);
    let id = world.open(SessionConfig {
        ptime_ms: 10,
        send: PayloadFormat { codec: Codec::Pcma, payload_type: 8 },
        ..common::world::config("192.0.2.1:4000")
    });
    let mut checker = Checker::new(80, Some(101));
    for _ in 0..70 {
        world.run_ms(10_000);
        for sent in world.sent.remove(&id).unwrap_or_default() {
            if sent.payload_type() == 8 {
                checker.packet(sent.at, &sent.bytes);
            }
        }
    }
    assert_eq!(checker.violations, Vec::<String>::new());
    assert!(checker.packets >= 69_990);
    assert_eq!(checker.marked, 1);
}
