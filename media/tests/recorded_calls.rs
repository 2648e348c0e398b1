//! What a tap of a running session writes: pauses, markers, and the rate of the call.

mod common;

use std::time::Duration;

use common::world::{World, address, config};
use offhook_media::{
    Codec, Command, Event, Feed, PayloadFormat, Recording, SessionConfig, SteerTap, TapId,
    codec::L16Rate,
    graph::recorder::{Track, recorder},
};

const TAP: TapId = TapId(1);

fn tracks(recording: &mut Recording) -> [Vec<i16>; 2] {
    let mut tracks = [Vec::new(), Vec::new()];
    recording.read(|track, at, samples| {
        let track = &mut tracks[usize::from(track == Track::Heard)];
        track.resize(at as usize, 0);
        track.extend_from_slice(samples);
    });
    tracks
}

#[test]
fn a_pause_is_left_out_and_a_marker_lies_where_it_was_set() {
    let mut world = World::new(1);
    let id = world.party("192.0.2.1:4000", 0x20);
    world.command(Command::Feed(id, Feed::Session(id)));
    world.run_ms(400);
    let (end, mut recording) = recorder(5_000);
    world.command(Command::Tap(id, TAP, Box::new(end)));
    let steer = |world: &mut World, steer: SteerTap| world.command(Command::SteerTap(id, TAP, steer));
    world.run_ms(200);
    steer(&mut world, SteerTap::Pause);
    world.run_ms(300);
    steer(&mut world, SteerTap::Resume);
    world.run_ms(100);
    steer(&mut world, SteerTap::Mark("later".into()));
    // Of a tap that is not there: nothing happens.
    world.command(Command::SteerTap(id, TapId(9), SteerTap::Pause));
    world.run_ms(200);
    world.command(Command::Untap(id, TAP));
    assert_eq!(world.told(|event| matches!(event, Event::TapEnded(_, TAP))), 1);

    let [said, heard] = tracks(&mut recording);
    // 500 ms; what begins and what ends may do so within a frame.
    for track in [&said, &heard] {
        assert!((3_840..=4_400).contains(&track.len()), "{}", track.len());
    }
    // What is said is decoded from the tap on, and waits as long as the network needs; then there is no gap.
    assert!(said[800..3_840].iter().all(|&sample| sample == said[800] && sample != 0));
    let [pause] = recording.pauses() else { panic!("one pause: {:?}", recording.pauses()) };
    // It begins when the frame under way is over.
    assert!((200..=220).contains(&pause.at_ms), "{pause:?}");
    assert!((280..=300).contains(&pause.length_ms), "{pause:?}");
    let [marker] = recording.markers() else { panic!("one marker: {:?}", recording.markers()) };
    assert_eq!(marker.name, "later");
    assert!((300..=320).contains(&marker.at_ms), "{marker:?}");
    assert!(recording.is_finished());
}

#[test]
fn wide_band_is_recorded_as_it_came() {
    let mut world = World::new(2);
    let l16 = PayloadFormat { codec: Codec::L16(L16Rate::Hz16000), payload_type: 96 };
    let id = world.open(SessionConfig { send: l16, receive: vec![l16], ..config("192.0.2.1:4000") });
    let (end, mut recording) = recorder(5_000);
    world.command(Command::Tap(id, TAP, Box::new(end)));
    assert_eq!(recording.highest_rate(), None);
    for number in 0..50_u16 {
        let mut packet = vec![0x80, 96];
        packet.extend(number.to_be_bytes());
        packet.extend((u32::from(number) * 320).to_be_bytes());
        packet.extend([1, 2, 3, 4]);
        packet.extend([0x12, 0x34].repeat(320));
        let at = world.now + Duration::from_millis(20 * u64::from(number));
        world.deliver(at, id, address("192.0.2.1:4000"), packet);
    }
    world.run_ms(900);
    assert_eq!(recording.highest_rate(), Some(16_000));
    recording.set_rate(16_000);
    let [said, _] = tracks(&mut recording);
    let begin = said.iter().position(|&sample| sample != 0).expect("speech");
    assert!(begin < 16 * 200 && said.len() > 16 * 800, "{begin} of {}", said.len());
    // Not a bit is changed on the way, once the beginning is over.
    assert!(said[begin + 320..].iter().all(|&sample| sample == 0x1234));
}
