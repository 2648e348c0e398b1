//! The sockets of the driver, on loopback and free ports.
#![cfg(feature = "io")]
#![allow(
    clippy::disallowed_types,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "the peers of these tests are plain sockets"
)]

use std::{
    collections::BTreeMap,
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use bytes::Bytes;
use offhook_signaling::{
    FlowId, Question, QuestionId, Source, Target, Transmit, Transport,
    io::{Limits, Received, Transports},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};

/// Ends a hanging test; nothing is measured with it.
const HANG: Duration = Duration::from_secs(20);

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn bind(transport: Transport, limits: Limits) -> (Transports, SocketAddr) {
    let transports = Transports::bind_with(&[(transport, loopback())], limits).unwrap();
    let local = transports.listeners()[0].local;
    (transports, local)
}

fn request(number: usize) -> Bytes {
    format!("OPTIONS sip:a@b SIP/2.0\r\nCall-ID: {number}\r\nContent-Length: 0\r\n\r\n").into()
}

fn response(number: usize) -> Bytes {
    format!("SIP/2.0 200 OK\r\nCall-ID: {number}\r\nContent-Length: 0\r\n\r\n").into()
}

fn transmit(transport: Transport, destination: SocketAddr, bytes: Bytes) -> Transmit {
    Transmit { flow: None, transport, destination, bytes }
}

async fn receive(transports: &mut Transports) -> Received {
    timeout(HANG, transports.receive()).await.expect("nothing came")
}

async fn message(transports: &mut Transports) -> (Source, Bytes) {
    match receive(transports).await {
        Received::Message(source, bytes) => (source, bytes),
        other => panic!("a message was expected, not {other:?}"),
    }
}

async fn closed(transports: &mut Transports) -> FlowId {
    match receive(transports).await {
        Received::FlowClosed(flow) => flow,
        other => panic!("a closed flow was expected, not {other:?}"),
    }
}

async fn unreachable(transports: &mut Transports) -> SocketAddr {
    match receive(transports).await {
        Received::Unreachable(destination) => destination,
        other => panic!("an unreachable destination was expected, not {other:?}"),
    }
}

/// Reads `wanted.len()` bytes while the transports go on working.
async fn expect(stream: &mut TcpStream, transports: &mut Transports, wanted: &[u8]) {
    let mut got = vec![0; wanted.len()];
    let reading = async {
        tokio::select! {
            result = stream.read_exact(&mut got) => { result.unwrap(); }
            received = transports.receive() => panic!("unexpected {received:?}"),
        }
    };
    timeout(HANG, reading).await.expect("nothing was sent");
    assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(wanted));
}

/// Reads to the end of the stream while the transports go on working.
async fn expect_end(stream: &mut TcpStream, transports: &mut Transports) {
    let mut rest = Vec::new();
    let reading = async {
        loop {
            tokio::select! {
                // A reset is an end, too.
                _ = stream.read_to_end(&mut rest) => break,
                _ = transports.receive() => {}
            }
        }
    };
    timeout(HANG, reading).await.expect("the stream was not closed");
    assert!(rest.is_empty(), "unexpected {}", String::from_utf8_lossy(&rest));
}

#[tokio::test]
async fn a_datagram_arrives_with_its_source_and_is_answered_from_the_same_port() {
    let addresses = [loopback(), "[::1]:0".parse().unwrap()].map(|address| (Transport::Udp, address));
    let Ok(mut transports) = Transports::bind(&addresses) else {
        // No IPv6 here.
        return;
    };
    for (index, listener) in transports.listeners().into_iter().enumerate() {
        let peer = UdpSocket::bind(SocketAddr::new(listener.local.ip(), 0)).unwrap();
        peer.send_to(&request(index), listener.local).unwrap();
        let (source, bytes) = message(&mut transports).await;
        assert_eq!(bytes, request(index));
        assert_eq!(source.remote, peer.local_addr().unwrap());
        assert_eq!(source.local, listener.local);
        assert_eq!(source.transport, Transport::Udp);

        let flow = Some(source.flow);
        transports.send(Transmit { flow, ..transmit(Transport::Udp, source.remote, response(index)) });
        transports.flush(HANG).await;
        let mut buffer = [0; 500];
        let (length, from) = peer.recv_from(&mut buffer).unwrap();
        assert_eq!(buffer[..length], response(index));
        assert_eq!(from, listener.local);
    }
}

#[tokio::test]
async fn bursts_are_drained_without_waiting_and_in_order() {
    let (mut transports, local) = bind(Transport::Udp, Limits::default());
    let peer = UdpSocket::bind(loopback()).unwrap();
    for burst in 0..20 {
        for number in 0..100 {
            peer.send_to(&request(burst * 100 + number), local).unwrap();
        }
        let mut next = burst * 100;
        while next < (burst + 1) * 100 {
            assert_eq!(message(&mut transports).await.1, request(next));
            next += 1;
            while let Some(Received::Message(_, bytes)) = transports.try_receive() {
                assert_eq!(bytes, request(next));
                next += 1;
            }
        }
    }
    assert_eq!(transports.gauges().received, 2_000);
}

#[tokio::test]
async fn a_busy_listener_does_not_starve_another() {
    let mut transports =
        Transports::bind(&[(Transport::Udp, loopback()), (Transport::Udp, loopback())]).unwrap();
    let [busy, calm] = [transports.listeners()[0].local, transports.listeners()[1].local];
    let peer = UdpSocket::bind(loopback()).unwrap();
    for number in 0..100 {
        peer.send_to(&request(number), busy).unwrap();
    }
    peer.send_to(b"OPTIONS", calm).unwrap();
    let mut before = 0;
    while message(&mut transports).await.0.local == busy {
        before += 1;
    }
    assert!(before <= 2, "{before} datagrams of the busy listener went first");
}

#[tokio::test]
async fn nothing_is_lost_when_waiting_is_given_up() {
    let (mut transports, local) = bind(Transport::Udp, Limits::default());
    let peer = UdpSocket::bind(loopback()).unwrap();
    let mut next = 0;
    for number in 0..100 {
        peer.send_to(&request(number), local).unwrap();
        // Gives up at once, nearly always.
        if let Ok(Received::Message(_, bytes)) = timeout(Duration::ZERO, transports.receive()).await {
            assert_eq!(bytes, request(next));
            next += 1;
        }
    }
    while next < 100 {
        assert_eq!(message(&mut transports).await.1, request(next));
        next += 1;
    }
}

#[tokio::test]
async fn keepalives_over_udp_are_swallowed() {
    let (mut transports, local) = bind(Transport::Udp, Limits::default());
    let peer = UdpSocket::bind(loopback()).unwrap();
    for keepalive in [&b"\r\n\r\n"[..], b"\r\n", b"\0\0\0\0", b"\0", b""] {
        peer.send_to(keepalive, local).unwrap();
    }
    peer.send_to(&request(1), local).unwrap();
    assert_eq!(message(&mut transports).await.1, request(1));
    assert_eq!(transports.gauges().keepalives, 5);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_closed_udp_port_is_reported_each_time_though_nothing_else_happens() {
    let (mut transports, _) = bind(Transport::Udp, Limits::default());
    let gone = UdpSocket::bind(loopback()).unwrap().local_addr().unwrap();
    for number in 0..5 {
        transports.send(transmit(Transport::Udp, gone, request(number)));
        assert_eq!(unreachable(&mut transports).await, gone);
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_closed_udp_port_is_reported_and_others_are_not_disturbed() {
    let (mut transports, local) = bind(Transport::Udp, Limits::default());
    let gone = UdpSocket::bind(loopback()).unwrap().local_addr().unwrap();
    let peer = UdpSocket::bind(loopback()).unwrap();
    transports.send(transmit(Transport::Udp, gone, request(1)));
    transports.send(transmit(Transport::Udp, peer.local_addr().unwrap(), request(2)));
    peer.send_to(&request(3), local).unwrap();

    let (mut refused, mut heard) = (None, false);
    while refused.is_none() || !heard {
        match receive(&mut transports).await {
            Received::Unreachable(destination) => refused = Some(destination),
            Received::Message(_, bytes) => {
                assert_eq!(bytes, request(3));
                heard = true;
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!(refused, Some(gone));
    let mut buffer = [0; 500];
    let (length, _) = peer.recv_from(&mut buffer).unwrap();
    assert_eq!(buffer[..length], request(2));
}

#[tokio::test]
async fn a_destination_that_no_listener_can_reach_is_reported() {
    let (mut transports, _) = bind(Transport::Udp, Limits::default());
    let destination = "[::1]:5060".parse().unwrap();
    transports.send(transmit(Transport::Udp, destination, request(1)));
    assert_eq!(unreachable(&mut transports).await, destination);
}

#[tokio::test]
async fn requests_to_one_destination_share_a_connection_and_come_from_the_listening_ip() {
    let (mut transports, local) = bind(Transport::Tcp, Limits::default());
    let server = TcpListener::bind(loopback()).await.unwrap();
    let destination = server.local_addr().unwrap();
    for number in 0..3 {
        transports.send(transmit(Transport::Tcp, destination, request(number)));
    }
    let (mut stream, from) = server.accept().await.unwrap();
    assert_eq!(from.ip(), local.ip());
    for number in 0..3 {
        expect(&mut stream, &mut transports, &request(number)).await;
    }
    // The answer's flow is that connection.
    stream.write_all(&response(0)).await.unwrap();
    let (source, bytes) = message(&mut transports).await;
    assert_eq!((source.remote, source.transport), (destination, Transport::Tcp));
    assert_eq!(bytes, response(0));
    transports.send(transmit(Transport::Tcp, destination, request(4)));
    expect(&mut stream, &mut transports, &request(4)).await;
    assert_eq!(transports.gauges().connections, 1);
}

#[tokio::test]
async fn a_response_goes_back_on_the_connection_of_its_request() {
    let (mut transports, local) = bind(Transport::Tcp, Limits::default());
    let mut peers = Vec::new();
    for number in 0..3 {
        let mut peer = TcpStream::connect(local).await.unwrap();
        peer.write_all(&request(number)).await.unwrap();
        peers.push(peer);
    }
    let mut sources = BTreeMap::new();
    while sources.len() < 3 {
        let (source, bytes) = message(&mut transports).await;
        assert_eq!(source.local, local);
        sources.insert(bytes, source);
    }
    for (number, peer) in peers.iter_mut().enumerate() {
        let source = sources[&request(number)];
        // The destination is the Via's, where nobody listens; the flow decides.
        let destination = SocketAddr::new(source.remote.ip(), 9);
        let flow = Some(source.flow);
        transports.send(Transmit { flow, ..transmit(Transport::Tcp, destination, response(number)) });
        expect(peer, &mut transports, &response(number)).await;
    }
}

#[tokio::test]
async fn messages_are_framed_whatever_the_segments_and_pings_are_answered() {
    let (mut transports, local) = bind(Transport::Tcp, Limits::default());
    let mut peer = TcpStream::connect(local).await.unwrap();
    peer.set_nodelay(true).unwrap();
    let all = [request(1), request(2), request(3)].concat();
    let (first, rest) = all.split_at(17);
    peer.write_all(first).await.unwrap();
    assert!(transports.try_receive().is_none());
    peer.write_all(rest).await.unwrap();
    for number in 1..=3 {
        assert_eq!(message(&mut transports).await.1, request(number));
    }
    peer.write_all(b"\r\n\r\n").await.unwrap();
    expect(&mut peer, &mut transports, b"\r\n").await;
}

#[tokio::test]
async fn a_refused_connection_is_reported() {
    let (mut transports, _) = bind(Transport::Tcp, Limits::default());
    let gone = TcpListener::bind(loopback()).await.unwrap().local_addr().unwrap();
    transports.send(transmit(Transport::Tcp, gone, request(1)));
    assert_eq!(unreachable(&mut transports).await, gone);
    assert_eq!(transports.gauges().connections, 0);
}

#[tokio::test]
async fn the_end_of_a_connection_is_told_after_its_last_message() {
    let limits = Limits { half_closed: Duration::from_millis(50), ..Limits::default() };
    let (mut transports, local) = bind(Transport::Tcp, limits);
    let mut peer = TcpStream::connect(local).await.unwrap();
    peer.write_all(&request(1)).await.unwrap();
    drop(peer);
    let (source, _) = message(&mut transports).await;
    assert_eq!(closed(&mut transports).await, source.flow);
    assert_eq!(transports.gauges().connections, 0);
}

#[tokio::test]
async fn a_peer_that_finished_sending_still_gets_its_response() {
    let (mut transports, local) = bind(Transport::Tcp, Limits::default());
    let mut peer = TcpStream::connect(local).await.unwrap();
    peer.write_all(&request(1)).await.unwrap();
    peer.shutdown().await.unwrap();
    let (source, _) = message(&mut transports).await;
    let flow = Some(source.flow);
    transports.send(Transmit { flow, ..transmit(Transport::Tcp, source.remote, response(1)) });
    expect(&mut peer, &mut transports, &response(1)).await;
}

#[tokio::test]
async fn a_request_lost_with_a_dead_connection_goes_out_again_over_a_new_one() {
    let (mut transports, _) = bind(Transport::Tcp, Limits::default());
    let server = TcpListener::bind(loopback()).await.unwrap();
    let destination = server.local_addr().unwrap();
    transports.send(transmit(Transport::Tcp, destination, request(1)));
    let (mut stream, _) = server.accept().await.unwrap();
    expect(&mut stream, &mut transports, &request(1)).await;
    stream.write_all(&response(1)).await.unwrap();
    let (source, _) = message(&mut transports).await;

    // The peer restarts; our next request meets its reset.
    transports.send(transmit(Transport::Tcp, destination, request(2)));
    stream.set_zero_linger().unwrap();
    drop(stream);
    assert_eq!(closed(&mut transports).await, source.flow);
    let (mut stream, _) = server.accept().await.unwrap();
    expect(&mut stream, &mut transports, &request(2)).await;

    // Once is enough.
    stream.set_zero_linger().unwrap();
    drop(stream);
    assert_ne!(closed(&mut transports).await, source.flow);
    assert_eq!(unreachable(&mut transports).await, destination);
}

#[tokio::test]
async fn a_message_that_is_never_finished_costs_the_connection() {
    let limits = Limits { header: Duration::from_millis(50), ..Limits::default() };
    let (mut transports, local) = bind(Transport::Tcp, limits);
    let mut silent = TcpStream::connect(local).await.unwrap();
    let mut slow = TcpStream::connect(local).await.unwrap();
    slow.write_all(b"OPTIONS sip:a@b SIP/2.0\r\nCall-").await.unwrap();
    expect_end(&mut silent, &mut transports).await;
    expect_end(&mut slow, &mut transports).await;
    assert_eq!(transports.gauges().connections_accepted, 2);
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_told() {
    let limits = Limits { idle: Duration::from_millis(50), ..Limits::default() };
    let (mut transports, local) = bind(Transport::Tcp, limits);
    let mut peer = TcpStream::connect(local).await.unwrap();
    peer.write_all(&request(1)).await.unwrap();
    let (source, _) = message(&mut transports).await;
    assert_eq!(closed(&mut transports).await, source.flow);
    expect_end(&mut peer, &mut transports).await;
}

#[tokio::test]
async fn garbage_and_oversized_messages_cost_the_connection() {
    let limits = Limits { message: 4_096, ..Limits::default() };
    let (mut transports, local) = bind(Transport::Tcp, limits);
    let huge = format!("OPTIONS sip:a@b SIP/2.0\r\nSubject: {}", "x".repeat(8_000));
    for garbage in [huge.as_bytes(), b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 99999\r\n\r\n"] {
        let mut peer = TcpStream::connect(local).await.unwrap();
        peer.write_all(garbage).await.unwrap();
        expect_end(&mut peer, &mut transports).await;
    }
}

#[tokio::test]
async fn one_address_gets_only_its_share_of_connections() {
    let limits = Limits { connections_per_ip: 2, half_closed: Duration::ZERO, ..Limits::default() };
    let (mut transports, local) = bind(Transport::Tcp, limits);
    let mut peers = Vec::new();
    for number in 0..2 {
        let mut peer = TcpStream::connect(local).await.unwrap();
        peer.write_all(&request(number)).await.unwrap();
        message(&mut transports).await;
        peers.push(peer);
    }
    let mut third = TcpStream::connect(local).await.unwrap();
    expect_end(&mut third, &mut transports).await;
    assert_eq!(transports.gauges().connections_refused, 1);
    assert_eq!(transports.gauges().connections, 2);

    // A place becomes free with the end of a connection.
    peers.pop();
    closed(&mut transports).await;
    let mut fourth = TcpStream::connect(local).await.unwrap();
    fourth.write_all(&request(4)).await.unwrap();
    assert_eq!(message(&mut transports).await.1, request(4));
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_cut_off_before_it_holds_much_memory() {
    let (mut transports, _) = bind(Transport::Tcp, Limits { queue: 200_000, ..Limits::default() });
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.bind(loopback()).unwrap();
    let server = socket.listen(1).unwrap();
    let destination = server.local_addr().unwrap();
    let big = Bytes::from(vec![b'x'; 50_000]);
    transports.send(transmit(Transport::Tcp, destination, request(1)));
    let (mut stream, _) = server.accept().await.unwrap();
    expect(&mut stream, &mut transports, &request(1)).await;
    stream.write_all(&response(1)).await.unwrap();
    let (source, _) = message(&mut transports).await;
    let cut = async {
        loop {
            transports.send(transmit(Transport::Tcp, destination, big.clone()));
            tokio::task::yield_now().await;
            match transports.try_receive() {
                Some(Received::FlowClosed(flow)) => break flow,
                Some(other) => panic!("unexpected {other:?}"),
                None => {}
            }
        }
    };
    assert_eq!(timeout(HANG, cut).await.expect("never cut off"), source.flow);
    assert_eq!(unreachable(&mut transports).await, destination);
    assert_eq!(transports.gauges().connections, 0);
}

#[tokio::test]
async fn dropping_the_transports_closes_every_connection() {
    let (mut transports, local) = bind(Transport::Tcp, Limits::default());
    let mut peer = TcpStream::connect(local).await.unwrap();
    peer.write_all(&request(1)).await.unwrap();
    message(&mut transports).await;
    drop(transports);
    let mut rest = Vec::new();
    let _ = timeout(HANG, peer.read_to_end(&mut rest)).await.expect("the connection is still open");
    assert!(TcpStream::connect(local).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn an_address_in_use_is_an_error_that_names_it() {
    let (_transports, local) = bind(Transport::Tcp, Limits::default());
    let error = Transports::bind(&[(Transport::Tcp, local)]).unwrap_err();
    assert!(error.to_string().contains(&local.to_string()), "{error}");
}

#[tokio::test]
async fn names_are_resolved_and_unknown_ones_answered_with_nothing() {
    let (mut transports, _) = bind(Transport::Udp, Limits::default());
    let ask = |id, host: &str, port| Question {
        id: QuestionId(id),
        host: host.into(),
        port,
        transport: Transport::Tcp,
    };
    transports.resolve(ask(1, "127.0.0.1", Some(5_070)));
    transports.resolve(ask(2, "localhost", None));
    transports.resolve(ask(3, "localhost", None));
    transports.resolve(ask(4, "not a name", None));
    let mut answers = BTreeMap::new();
    while answers.len() < 4 {
        match receive(&mut transports).await {
            Received::Resolved(id, targets) => answers.insert(id.0, targets),
            other => panic!("unexpected {other:?}"),
        };
    }
    let target = |address: &str| Target { transport: Transport::Tcp, address: address.parse().unwrap() };
    assert_eq!(answers[&1], [target("127.0.0.1:5070")]);
    assert!(answers[&2].contains(&target("127.0.0.1:5060")));
    assert_eq!(answers[&2], answers[&3]);
    assert_eq!(answers[&4], []);
}
