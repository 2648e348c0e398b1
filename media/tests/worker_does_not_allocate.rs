//! A media thread in its steady state takes nothing from the heap: whole loop, real sockets.
#![cfg(feature = "io")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "this test is about the OS")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use offhook_media::{
    Codec, Command, Feed, PayloadFormat, Playback, PlayerId, Prompt, SessionConfig,
    io::{Engine, EngineConfig},
    rtp::header::{HEADER_LEN, Header},
};

static COUNTED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Set in the thread of the test: only the others are counted.
    static EXEMPT: Cell<bool> = const { Cell::new(false) };
}

struct Counting;

fn count() {
    // The flag is gone when its thread is about to end.
    if !EXEMPT.try_with(Cell::get).unwrap_or(true) {
        COUNTED.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: everything is passed on to the system's allocator unchanged.
#[allow(unsafe_code, reason = "an allocator that counts")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const PCMU: PayloadFormat = PayloadFormat { codec: Codec::Pcmu, payload_type: 0 };

/// Answers every packet until `rounds` came on the first socket; each of our packets is one of the peer.
fn talk(peers: &[UdpSocket], sequence: &mut u16, rounds: usize) {
    let mut buffer = [0; 2048];
    for _ in 0..rounds {
        for (number, peer) in peers.iter().enumerate() {
            peer.recv(&mut buffer).expect("a packet in time");
            let mut datagram = [0x55; HEADER_LEN + 160];
            let header = Header {
                payload_type: 0,
                marker: false,
                sequence: *sequence,
                timestamp: u32::from(*sequence) * 160,
                ssrc: number as u32 + 1,
            };
            header.write(&mut datagram);
            peer.send(&datagram).expect("loopback takes a datagram");
        }
        *sequence += 1;
    }
}

#[test]
fn echo_relay_and_playback_cost_no_allocation() {
    EXEMPT.set(true);
    let config = EngineConfig {
        workers: 1,
        ports: 22_000..=22_199,
        seed: u64::from(std::process::id()),
        sessions_per_worker: 8,
        ..EngineConfig::default()
    };
    let mut engine = Engine::start(config).expect("an engine");
    let mut ids = Vec::new();
    let mut peers = Vec::new();
    for number in 0..8 {
        let peer = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let remote = peer.local_addr().expect("an address");
        // The second four share a port.
        let opened = if number < 4 { engine.open(None) } else { engine.open_shared(None, remote) };
        let (id, address) = opened.expect("a session");
        peer.connect(address).expect("an association");
        peer.set_read_timeout(Some(Duration::from_secs(10))).expect("a read timeout");
        let config =
            SessionConfig { remote: peer.local_addr().ok(), receive: vec![PCMU], ..SessionConfig::default() };
        engine.send(Command::Open(id, Box::new(config))).expect("room in the queue");
        ids.push(id);
        peers.push(peer);
    }
    let prompt = Arc::new(Prompt::from_samples(&[1000; 8000], 8000));
    for command in [
        Command::Feed(ids[0], Feed::Session(ids[0])),
        Command::Feed(ids[1], Feed::Session(ids[2])),
        Command::Feed(ids[2], Feed::Session(ids[1])),
        Command::Feed(ids[4], Feed::Session(ids[4])),
        Command::Feed(ids[5], Feed::Session(ids[6])),
        Command::Feed(ids[6], Feed::Session(ids[5])),
        Command::Play(ids[3], PlayerId(1), Box::new(Playback::prompt(prompt, None))),
    ] {
        engine.send(command).expect("room in the queue");
    }
    let mut sequence = 0;
    talk(&peers, &mut sequence, 25);
    while engine.try_event().is_some() {}

    let before = COUNTED.load(Ordering::Relaxed);
    talk(&peers, &mut sequence, 100);
    let allocations = COUNTED.load(Ordering::Relaxed) - before;
    assert_eq!(allocations, 0);
    assert!(engine.gauges().datagrams > 0);
}
