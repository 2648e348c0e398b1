//! Many legs on one port: each hears its own peer and nobody else.
#![cfg(feature = "io")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "these tests are about the OS")]

mod common;

use std::{
    net::{SocketAddr, UdpSocket},
    ops::RangeInclusive,
    time::Duration,
};

use common::socket_peer::{PATIENCE, SocketPeer, configuration};
use offhook_media::{
    Command, Event, Feed, SessionId,
    io::{Engine, EngineConfig},
    rtp::header::HEADER_LEN,
};

fn engine(ports: RangeInclusive<u16>, workers: usize) -> Engine {
    let config = EngineConfig {
        workers,
        ports,
        seed: u64::from(std::process::id()),
        sessions_per_worker: 512,
        quarantine: Duration::from_millis(100),
        ..EngineConfig::default()
    };
    Engine::start(config).expect("an engine")
}

fn open(engine: &mut Engine, number: u32) -> SocketPeer {
    SocketPeer::open(engine, true, 65_530, 1000 + number)
}

/// Says who it is.
fn talk(peer: &mut SocketPeer) {
    let mut payload = [0x55; 160];
    payload[80..84].copy_from_slice(&peer.header.ssrc.to_be_bytes());
    peer.talk(&payload);
}

/// Who spoke; 0 for silence.
fn hear(peer: &mut SocketPeer) -> u32 {
    let payload = peer.hear();
    let who = u32::from_be_bytes([payload[80], payload[81], payload[82], payload[83]]);
    if who == u32::MAX { 0 } else { who }
}

fn close(engine: &mut Engine, id: SessionId) {
    engine.send(Command::Close(id)).expect("room in the queue");
    loop {
        let event = engine.wait_event(PATIENCE).expect("the event in time");
        if let Event::Closed(closed, stats) = event {
            assert_eq!((closed, stats.continuity_violations, stats.wrong_source), (id, 0, 0));
            return;
        }
    }
}

#[test]
fn two_hundred_legs_on_one_port_hear_their_own_echo_whatever_strangers_send() {
    let mut engine = engine(23_000..=23_099, 1);
    let mut peers: Vec<SocketPeer> = (0..200).map(|number| open(&mut engine, number)).collect();
    let ports: std::collections::BTreeSet<u16> = peers.iter().map(|peer| peer.to.port()).collect();
    // The system's limit of a socket's buffer decides for how many one port suffices.
    assert!(ports.len() <= 4, "{ports:?}");
    assert_eq!((engine.gauges().sharing, engine.gauges().ports_in_use), (200, 0));
    for peer in &peers {
        engine.send(Command::Feed(peer.id, Feed::Session(peer.id))).expect("room in the queue");
    }
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let mut echoes = vec![0; peers.len()];
    for round in 0..60_usize {
        for peer in &mut peers {
            talk(peer);
        }
        // Packets in the name of others, garbage of strangers and of known peers.
        for &port in &ports {
            let mut forged = [0x66; HEADER_LEN + 160];
            peers[round].header.write(&mut forged);
            stranger.send_to(&forged, ("127.0.0.1", port)).expect("loopback takes a datagram");
            stranger.send_to(&[0x80], ("127.0.0.1", port + 1)).expect("loopback takes a datagram");
        }
        peers[round].socket.send_to(&[0xFF; 40], peers[round].to).expect("loopback takes a datagram");
        for (number, peer) in peers.iter_mut().enumerate() {
            let who = hear(peer);
            assert!(who == 0 || who == peer.header.ssrc, "leg {number} hears {who:x}");
            echoes[number] += u32::from(who != 0);
        }
        while engine.try_event().is_some() {}
    }
    assert!(echoes.iter().all(|&count| count > 30), "{echoes:?}");
    let (one, rest) = peers.split_first().expect("200 peers");
    close(&mut engine, one.id);
    // Its address is nobody's now.
    one.socket.send_to(&[0x80; 172], one.to).expect("loopback takes a datagram");
    for peer in rest {
        close(&mut engine, peer.id);
    }
    assert_eq!((engine.gauges().sessions, engine.gauges().sharing), (0, 0));
    assert!(engine.gauges().strangers >= 60, "{:?}", engine.gauges());
}

#[test]
fn two_peers_at_one_address_and_addresses_that_are_none_get_other_ports() {
    let mut engine = engine(23_100..=23_199, 1);
    let remote: SocketAddr = "127.0.0.1:4000".parse().expect("an address");
    let (_, first) = engine.open_shared(None, remote).expect("a session");
    let (_, second) = engine.open_shared(None, remote).expect("a session");
    assert_ne!(first.port(), second.port());
    let other: SocketAddr = "127.0.0.1:4002".parse().expect("an address");
    let (_, third) = engine.open_shared(None, other).expect("a session");
    assert!(third.port() == first.port() || third.port() == second.port());
    assert_eq!(engine.gauges().ports_in_use, 0);
    for nowhere in ["0.0.0.0:4000", "127.0.0.1:0", "224.0.0.1:4000", "[::1]:4000"] {
        engine.open_shared(None, nowhere.parse().expect("an address")).expect("a session");
    }
    assert_eq!((engine.gauges().ports_in_use, engine.gauges().sharing), (4, 3));
}

/// On another worker a leg keeps its port; the kernel tells its packets from those of the others.
#[test]
fn legs_that_share_ports_move_between_workers_and_change_their_peers() {
    let mut engine = engine(23_200..=23_299, 2);
    let mut peers: Vec<SocketPeer> = (0..12).map(|number| open(&mut engine, number)).collect();
    for pair in peers.chunks(2) {
        assert_ne!(pair[0].id.worker(), pair[1].id.worker());
        engine.send(Command::Feed(pair[0].id, Feed::Session(pair[1].id))).expect("room in the queue");
        engine.send(Command::Feed(pair[1].id, Feed::Session(pair[0].id))).expect("room in the queue");
    }
    let mut heard = vec![0; peers.len()];
    let mut rounds = 0;
    while heard.iter().any(|&count| count < 30) {
        rounds += 1;
        assert!(rounds < 400, "{heard:?}");
        for peer in &mut peers {
            talk(peer);
        }
        for number in 0..peers.len() {
            let partner = peers[number ^ 1].header.ssrc;
            let who = hear(&mut peers[number]);
            assert!(who == 0 || who == partner, "leg {number} hears {who}");
            heard[number] += u32::from(who == partner);
        }
        while engine.try_event().is_some() {}
    }
    assert_eq!(engine.gauges().moves, 6);
    // A re-INVITE: the peer goes elsewhere, on the moved leg as on the one that stayed.
    for number in [0, 1] {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        let remote = socket.local_addr().expect("an address");
        peers[number].socket = socket;
        engine.send(Command::Configure(peers[number].id, configuration(remote))).expect("room in the queue");
    }
    let mut pair = [0, 0];
    while pair.iter().any(|&count| count < 20) {
        for number in [0, 1] {
            talk(&mut peers[number]);
        }
        for number in [0, 1] {
            let partner = peers[number ^ 1].header.ssrc;
            pair[number] += u32::from(hear(&mut peers[number]) == partner);
        }
    }
    let ids: Vec<SessionId> = peers.iter().map(|peer| peer.id).collect();
    for id in ids {
        close(&mut engine, id);
    }
    assert_eq!((engine.gauges().sessions, engine.gauges().conflicts), (0, 0));
}
