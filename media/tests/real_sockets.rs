//! The engine on real sockets: loopback, free ports.
#![cfg(feature = "io")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "these tests are about the OS")]

use std::{
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use offhook_media::{
    Codec, Command, Event, Feed, FinishReason, Latch, PayloadFormat, Playback, PlayerId, Prompt,
    SessionConfig, SessionId,
    io::{Engine, EngineConfig, OpenError},
    rtp::header::{HEADER_LEN, Header, Packet},
};

/// Longest wait for anything that must come.
const PATIENCE: Duration = Duration::from_secs(10);
const QUARANTINE: Duration = Duration::from_millis(300);
const PCMU: PayloadFormat = PayloadFormat { codec: Codec::Pcmu, payload_type: 0 };

fn engine(ports: std::ops::RangeInclusive<u16>) -> Engine {
    let config = EngineConfig {
        workers: 1,
        ports,
        seed: u64::from(std::process::id()),
        sessions_per_worker: 64,
        quarantine: QUARANTINE,
        ..EngineConfig::default()
    };
    Engine::start(config).expect("an engine")
}

/// A remote party: one socket, one stream.
struct Peer {
    socket: UdpSocket,
    to: SocketAddr,
    header: Header,
}

impl Peer {
    fn new(to: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        let header =
            Header { payload_type: 0, marker: true, sequence: 65_530, timestamp: 1000, ssrc: 0x0A0B_0C0D };
        Self { socket, to, header }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("an address")
    }

    /// Sends 20 ms of audio whose first byte is `mark`.
    fn talk(&mut self, mark: u8) {
        let mut datagram = [0x55; HEADER_LEN + 160];
        self.header.write(&mut datagram);
        datagram[HEADER_LEN] = mark;
        self.socket.send_to(&datagram, self.to).expect("loopback takes a datagram");
        self.header.marker = false;
        self.header.sequence = self.header.sequence.wrapping_add(1);
        self.header.timestamp = self.header.timestamp.wrapping_add(160);
    }

    /// The next RTP packet that comes, and its first byte of audio.
    fn hear(&self) -> (Header, u8) {
        let mut buffer = [0; 2048];
        loop {
            let (length, from) = self.socket.recv_from(&mut buffer).expect("a packet in time");
            assert_eq!(from, self.to, "media comes from the port it is sent to (RFC 4961)");
            if let Ok(Packet { header, payload }) = Packet::parse(&buffer[..length])
                && header.payload_type == 0
            {
                return (header, payload[0]);
            }
        }
    }
}

fn open(engine: &mut Engine, near: Option<SessionId>) -> (SessionId, SocketAddr, Peer) {
    let (id, address) = engine.open(near).expect("a session");
    let peer = Peer::new(address);
    let config = SessionConfig {
        remote: Some(peer.address()),
        receive: vec![PCMU],
        latch: Latch::Off,
        ..SessionConfig::default()
    };
    engine.send(Command::Open(id, Box::new(config))).expect("room in the queue");
    (id, address, peer)
}

fn until(engine: &mut Engine, mut wanted: impl FnMut(&Event) -> bool) -> Event {
    loop {
        let event = engine.wait_event(PATIENCE).expect("the event in time");
        if wanted(&event) {
            return event;
        }
    }
}

fn close(engine: &mut Engine, id: SessionId) -> Event {
    engine.send(Command::Close(id)).expect("room in the queue");
    until(engine, |event| matches!(event, Event::Closed(closed, _) if *closed == id))
}

fn open_sockets() -> usize {
    let Ok(files) = std::fs::read_dir("/proc/self/fd") else { return 0 };
    let targets = files.flatten().filter_map(|file| std::fs::read_link(file.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

#[test]
fn an_echo_is_one_stream_without_gaps() {
    let mut engine = engine(20_000..=20_399);
    let (id, _, mut peer) = open(&mut engine, None);
    engine.send(Command::Feed(id, Feed::Session(id))).expect("room in the queue");
    let (first, _) = peer.hear();
    let mut last = first;
    let mut echoed = Vec::new();
    let mut talked = 0;
    while echoed.len() < 40 && talked < 200 {
        // Our packets pace the peer's: about one per 20 ms, whatever else the machine does.
        talked += 1;
        peer.talk(talked);
        let (header, mark) = peer.hear();
        assert_eq!(header.ssrc, first.ssrc);
        assert_eq!(header.sequence, last.sequence.wrapping_add(1));
        let step = header.timestamp.wrapping_sub(last.timestamp).cast_signed();
        assert!(step > 0 && step % 160 == 0, "timestamps advance on the grid, not by {step}");
        last = header;
        if (1..=200).contains(&mark) {
            echoed.push(mark);
        }
    }
    // On a machine that stalls us for long, some of our packets come when silence was sent in their place.
    assert_eq!(echoed.len(), 40, "echoed: {echoed:?}");
    assert!(echoed.is_sorted_by(|a, b| a < b), "echoed: {echoed:?}");
    let Event::Closed(_, stats) = close(&mut engine, id) else { unreachable!("filtered above") };
    assert_eq!((stats.lost, stats.wrong_source, stats.continuity_violations), (0, 0, 0));
    assert!(stats.received >= 40);
}

#[test]
fn two_parties_hear_each_other_and_a_prompt_interrupts() {
    let mut engine = engine(20_400..=20_799);
    let (a, _, mut alice) = open(&mut engine, None);
    let (b, _, mut bob) = open(&mut engine, Some(a));
    assert_eq!(a.worker(), b.worker());
    engine.send(Command::Feed(a, Feed::Session(b))).expect("room in the queue");
    engine.send(Command::Feed(b, Feed::Session(a))).expect("room in the queue");
    let (mut heard_by_alice, mut heard_by_bob) = (0, 0);
    let (first, _) = alice.hear();
    let mut sequence = first.sequence;
    while heard_by_alice < 10 || heard_by_bob < 10 {
        alice.talk(7);
        bob.talk(9);
        let (header, mark) = alice.hear();
        sequence = sequence.wrapping_add(1);
        assert_eq!((header.ssrc, header.sequence), (first.ssrc, sequence));
        heard_by_alice += u32::from(mark == 9);
        heard_by_bob += u32::from(bob.hear().1 == 7);
    }
    let prompt = Arc::new(Prompt::from_samples(&[8000; 1600], 8000));
    let player = PlayerId(5);
    let playback = Box::new(Playback::prompt(prompt, Some(1)));
    engine.send(Command::Play(a, player, playback)).expect("room in the queue");
    let finished = until(&mut engine, |event| matches!(event, Event::PlayFinished { .. }));
    let Event::PlayFinished { session, player: ended, reason, played_ms, .. } = finished else {
        unreachable!()
    };
    assert_eq!((session, ended, reason, played_ms), (a, player, FinishReason::Ended, 200));
    let loud = Codec::Pcmu;
    let mut expected = [0];
    loud.encode(&[8000], &mut expected);
    let mut prompt_frames = 0;
    while prompt_frames < 10 {
        let (header, mark) = alice.hear();
        sequence = sequence.wrapping_add(1);
        assert_eq!((header.ssrc, header.sequence), (first.ssrc, sequence));
        prompt_frames += u32::from(mark == expected[0]);
    }
    for id in [a, b] {
        let Event::Closed(_, stats) = close(&mut engine, id) else { unreachable!("filtered above") };
        assert_eq!(stats.continuity_violations, 0);
    }
}

#[test]
fn a_foreign_source_is_not_heard() {
    let mut engine = engine(20_800..=21_199);
    let (id, _, mut peer) = open(&mut engine, None);
    engine.send(Command::Feed(id, Feed::Session(id))).expect("room in the queue");
    let mut stranger = Peer::new(peer.to);
    stranger.header.ssrc = 0x0E0E_0E0E;
    let mut own = 0;
    for _ in 0..60 {
        stranger.talk(0x66);
        peer.talk(0x11);
        let (_, mark) = peer.hear();
        assert_ne!(mark, 0x66);
        own += u32::from(mark == 0x11);
    }
    assert!(own > 30);
    let Event::Closed(_, stats) = close(&mut engine, id) else { unreachable!("filtered above") };
    assert!(stats.received >= 30);
}

/// The kernel drops what one socket cannot hold, and a leg is read a few times per beat.
#[test]
fn a_flooded_leg_takes_nothing_from_the_others() {
    let mut engine = engine(22_000..=22_199);
    let (quiet, _, mut peer) = open(&mut engine, None);
    engine.send(Command::Feed(quiet, Feed::Session(quiet))).expect("room in the queue");
    let (flooded, _, mut flooder) = open(&mut engine, None);
    engine.send(Command::Feed(flooded, Feed::Session(flooded))).expect("room in the queue");
    let (first, _) = peer.hear();
    let mut sequence = first.sequence;
    let (mut sent, mut echoed) = (0, 0);
    for _ in 0..60 {
        for _ in 0..300 {
            flooder.talk(0x66);
            sent += 1;
        }
        peer.talk(0x11);
        let (header, mark) = peer.hear();
        sequence = sequence.wrapping_add(1);
        assert_eq!((header.ssrc, header.sequence), (first.ssrc, sequence));
        assert_ne!(mark, 0x66);
        echoed += u32::from(mark == 0x11);
    }
    assert!(echoed > 30, "{echoed} echoes");
    let Event::Closed(_, stats) = close(&mut engine, flooded) else { unreachable!("filtered above") };
    assert!(stats.received < sent / 2, "{} of {sent} were taken", stats.received);
    close(&mut engine, quiet);
}

#[test]
fn ports_come_in_pairs_and_rest_after_use() {
    let mut engine = engine(21_200..=21_203);
    let (a, first, _) = open(&mut engine, None);
    let (b, second, _) = open(&mut engine, None);
    for address in [first, second] {
        assert_eq!(address.port() % 2, 0);
        let rtcp = SocketAddr::new(address.ip(), address.port() + 1);
        assert!(UdpSocket::bind(address).is_err() && UdpSocket::bind(rtcp).is_err());
    }
    assert_eq!(engine.open(None), Err(OpenError::NoPort));
    assert_eq!((engine.gauges().sessions, engine.gauges().ports_in_use), (2, 2));

    let before = Instant::now();
    close(&mut engine, b);
    assert_eq!((engine.gauges().sessions, engine.gauges().ports_quarantined), (1, 1));
    let (again, address) = loop {
        match engine.open(None) {
            Ok(opened) => break opened,
            Err(error) => assert_eq!(error, OpenError::NoPort),
        }
        std::thread::yield_now();
    };
    assert!(before.elapsed() >= QUARANTINE, "the pair rests before it is used again");
    assert_eq!(address, second);
    assert_ne!(again, b, "a successor has another id");
    close(&mut engine, again);
    close(&mut engine, a);
    assert_eq!((engine.gauges().sessions, engine.gauges().ports_in_use), (0, 0));
}

#[test]
fn a_pair_that_another_program_uses_is_passed_over() {
    let taken: Vec<UdpSocket> =
        (21_400..21_402).map(|port| UdpSocket::bind(("127.0.0.1", port)).expect("a free port")).collect();
    let mut engine = engine(21_400..=21_405);
    for _ in 0..2 {
        assert!(engine.open(None).is_ok_and(|(_, address)| address.port() > 21_401));
    }
    assert_eq!(engine.open(None), Err(OpenError::NoPort));
    drop(taken);
    assert!(engine.open(None).is_ok_and(|(_, address)| address.port() == 21_400));
}

#[test]
fn sessions_that_were_never_opened_close_too_and_all_files_are_returned() {
    let mut engine = engine(21_600..=21_799);
    let ids: Vec<SessionId> = (0..40).map(|_| engine.open(None).expect("a session").0).collect();
    let addresses: Vec<_> = (0..20).map(|_| open(&mut engine, None)).collect();
    assert!(matches!((0..10).find_map(|_| engine.open(None).err()), Some(OpenError::NoSession)));
    let while_open = open_sockets();
    let opened: Vec<SessionId> = addresses.iter().map(|(id, _, _)| *id).collect();
    let mut left = engine.gauges().sessions;
    for id in ids.iter().chain(&opened) {
        close(&mut engine, *id);
        left -= 1;
        assert_eq!(engine.gauges().sessions, left);
    }
    // Other tests of this process open sockets too, hence no exact number.
    assert!(open_sockets() + 2 * 60 <= while_open + 60, "sockets are closed with their sessions");
}

#[test]
fn events_wake_a_task() {
    struct Flag(std::sync::mpsc::Sender<()>);
    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            let _ = self.0.send(());
        }
    }
    let mut engine = engine(21_800..=21_899);
    let (id, _, _peer) = open(&mut engine, None);
    let (sender, woken) = std::sync::mpsc::channel();
    let waker = Waker::from(Arc::new(Flag(sender)));
    let mut cx = Context::from_waker(&waker);
    assert!(engine.poll_event(&mut cx).is_pending());
    engine.send(Command::Close(id)).expect("room in the queue");
    woken.recv_timeout(PATIENCE).expect("the wake-up in time");
    assert!(matches!(engine.poll_event(&mut cx), Poll::Ready(Event::Closed(closed, _)) if closed == id));
}

#[test]
fn stopping_ends_the_threads_and_closes_the_sockets() {
    let mut engine = engine(21_900..=21_999);
    let (_, address, _peer) = open(&mut engine, None);
    assert!(UdpSocket::bind(address).is_err());
    engine.stop();
    assert!(UdpSocket::bind(address).is_ok(), "the worker has ended and its sockets are closed");
    let idle = self::engine(21_900..=21_999);
    idle.stop();
}
