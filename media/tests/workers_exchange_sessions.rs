//! Two workers on real sockets: whoever is to hear each other comes together.
#![cfg(feature = "io")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "these tests are about the OS")]

mod common;

use std::sync::Arc;

use common::{
    dice::Dice,
    socket_peer::{PATIENCE, SocketPeer},
};
use offhook_media::{
    Codec, Command, Event, Feed, MixId, Playback, PlayerId, Prompt, TapId,
    graph::recorder::recorder,
    io::{Engine, EngineConfig},
};

fn engine(ports: std::ops::RangeInclusive<u16>, workers: usize) -> Engine {
    let seed = u64::from(std::process::id());
    let config = EngineConfig { workers, ports, seed, sessions_per_worker: 64, ..EngineConfig::default() };
    Engine::start(config).expect("an engine")
}

fn open(engine: &mut Engine, voice: u8) -> SocketPeer {
    SocketPeer::open(engine, false, 7, voice.into())
}

fn voice(peer: &SocketPeer) -> u8 {
    peer.header.ssrc as u8
}

fn send(engine: &mut Engine, command: Command) {
    engine.send(command).expect("room in the queue");
    while engine.try_event().is_some() {}
}

fn bridge(engine: &mut Engine, a: &SocketPeer, b: &SocketPeer) {
    send(engine, Command::Feed(a.id, Feed::Session(b.id)));
    send(engine, Command::Feed(b.id, Feed::Session(a.id)));
}

/// Everybody says and hears 20 ms, until `done`.
fn until(engine: &mut Engine, peers: &mut [SocketPeer], mut done: impl FnMut(usize, u8) -> bool) {
    for _ in 0..500 {
        let mut finished = false;
        for peer in peers.iter_mut() {
            peer.talk(&[voice(peer); 160]);
        }
        for (number, peer) in peers.iter_mut().enumerate() {
            finished |= done(number, peer.hear()[80]);
        }
        while engine.try_event().is_some() {}
        if finished {
            return;
        }
    }
    panic!("it was not heard in 10 s");
}

fn close_all(engine: &mut Engine, peers: &[SocketPeer]) {
    for peer in peers {
        engine.send(Command::Close(peer.id)).expect("room in the queue");
    }
    let mut closed = 0;
    while closed < peers.len() {
        let event = engine.wait_event(PATIENCE).expect("the event in time");
        if let Event::Closed(_, stats) = event {
            assert_eq!(stats.continuity_violations, 0);
            closed += 1;
        }
    }
    let gauges = engine.gauges();
    assert_eq!((gauges.sessions, gauges.ports_in_use, gauges.apart), (0, 0, 0));
}

#[test]
fn legs_of_two_workers_are_bridged_without_a_break() {
    let mut engine = engine(22_300..=22_399, 2);
    let mut peers: Vec<SocketPeer> = [0x21, 0x22].map(|voice| open(&mut engine, voice)).into();
    assert_ne!(peers[0].id.worker(), peers[1].id.worker());
    let prompt = Arc::new(Prompt::from_samples(&[8000; 8000], 8000));
    let playback = Box::new(Playback::prompt(prompt, None));
    send(&mut engine, Command::Play(peers[0].id, PlayerId(1), playback));
    let (end, mut recording) = recorder(5_000);
    send(&mut engine, Command::Tap(peers[0].id, TapId(1), Box::new(end)));
    let mut rounds = 0;
    until(&mut engine, &mut peers, |_, _| {
        rounds += 1;
        rounds > 20
    });
    bridge(&mut engine, &peers[0], &peers[1]);
    // The prompt goes on after the move, until it is stopped.
    let mut loud = 0;
    until(&mut engine, &mut peers, |number, voice| {
        loud += u32::from(number == 0 && voice != 0x22);
        loud > 20
    });
    send(&mut engine, Command::StopPlay(peers[0].id, PlayerId(1)));
    let mut heard = [0, 0];
    until(&mut engine, &mut peers, |number, voice| {
        heard[number] += u32::from(voice == if number == 0 { 0x22 } else { 0x21 });
        heard.iter().all(|&count| count > 20)
    });
    assert_eq!(engine.gauges().moves, 1);
    let mut samples = 0;
    recording.read(|_, _, part| samples += part.len());
    assert!(samples > 8_000, "the tap came along: {samples} samples");
    close_all(&mut engine, &peers);
}

#[test]
fn a_conference_gathers_its_members() {
    let mut engine = engine(22_400..=22_499, 3);
    let mut peers: Vec<SocketPeer> =
        [0xA2, 0xB5, 0xC0, 0xC8, 0xD0].map(|voice| open(&mut engine, voice)).into();
    for peer in &peers {
        send(&mut engine, Command::Feed(peer.id, Feed::Mix(MixId(1))));
    }
    // Each hears the sum of the others.
    let wanted: Vec<u8> = (0..peers.len())
        .map(|listener| {
            let others = peers.iter().enumerate().filter(|&(number, _)| number != listener);
            let sum: i32 = others
                .map(|(_, peer)| {
                    let mut sample = [0];
                    Codec::Pcmu.decode(&[voice(peer)], &mut sample);
                    i32::from(sample[0])
                })
                .sum();
            let mut byte = [0];
            Codec::Pcmu.encode(&[sum as i16], &mut byte);
            byte[0]
        })
        .collect();
    let mut heard = vec![0; peers.len()];
    until(&mut engine, &mut peers, |number, byte| {
        heard[number] += u32::from(byte == wanted[number]);
        heard.iter().all(|&count| count > 5)
    });
    assert!(engine.gauges().moves >= 2);
    close_all(&mut engine, &peers);
}

#[test]
fn whoever_changes_company_all_the_time_hears_one_stream_and_closes() {
    let mut engine = engine(22_500..=22_599, 2);
    let mut peers: Vec<SocketPeer> = (0..6).map(|number| open(&mut engine, 0x20 + number)).collect();
    let mut dice = Dice::new(u64::from(std::process::id()));
    for _ in 0..60 {
        let (a, b) = (dice.below(6) as usize, dice.below(6) as usize);
        match dice.below(4) {
            0 => send(&mut engine, Command::Feed(peers[a].id, Feed::Mix(MixId(dice.below(2))))),
            1 => send(&mut engine, Command::Feed(peers[a].id, Feed::Silence)),
            _ if a != b => {
                let left = [peers[a].id, peers[b].id];
                for id in left {
                    send(&mut engine, Command::Feed(id, Feed::Silence));
                }
                bridge(&mut engine, &peers[a], &peers[b]);
            }
            _ => {}
        }
        let mut rounds = 0;
        until(&mut engine, &mut peers, |_, _| {
            rounds += 1;
            rounds > 12
        });
    }
    assert!(engine.gauges().moves > 1, "{} moves", engine.gauges().moves);
    // Closing at once after a bridge: the command waits for the way to end.
    bridge(&mut engine, &peers[0], &peers[1]);
    close_all(&mut engine, &peers);
}

/// Commands that come before the move is over are for whoever they were meant.
#[test]
fn a_session_that_is_closed_on_its_way_ends_once_and_its_successor_is_left_alone() {
    let mut engine = engine(22_600..=22_699, 2);
    for _ in 0..20 {
        let peers: Vec<SocketPeer> = (0..2).map(|number| open(&mut engine, 0x20 + number)).collect();
        engine.send(Command::Feed(peers[0].id, Feed::Session(peers[1].id))).expect("room in the queue");
        engine.send(Command::Close(peers[0].id)).expect("room in the queue");
        engine.send(Command::Feed(peers[0].id, Feed::Silence)).expect("room in the queue");
        let Some(Event::Closed(id, _)) = engine.wait_event(PATIENCE) else { panic!("the end in time") };
        assert_eq!(id, peers[0].id);
        engine.send(Command::Feed(id, Feed::Session(peers[1].id))).expect("a late command is no error");
        close_all(&mut engine, &peers[1..]);
    }
    assert_eq!(engine.gauges().moves, 20);
}
