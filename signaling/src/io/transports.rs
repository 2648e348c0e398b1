//! All sockets of a SIP driver behind two calls: one that sends and never waits, one that waits for anything.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    mem::MaybeUninit,
    net::SocketAddr,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;

use super::{
    best_local,
    resolver::Resolver,
    tcp::{Tcp, TcpNews},
    udp::{DATAGRAM, Sent, UdpPort},
};
use crate::{
    config::Listener,
    flow::{FlowId, Source, Transmit, Transport},
    route::{Question, QuestionId, Target},
};

/// What peers may cost us. Every field has a working default.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Longest message on a stream, bytes. Default 65,535.
    pub message: usize,
    /// How long a message may take from its first byte to its last, and an accepted connection to its first
    /// message. Default 32 s.
    pub header: Duration,
    /// How long a connection may carry nothing. Default 3,700 s: a little more than the longest registration; dead
    /// peers are found sooner by TCP's own keep-alive.
    pub idle: Duration,
    /// How long a peer may leave what we write unread. Default 32 s.
    pub write: Duration,
    /// How long a connection whose peer has finished sending may still carry our responses. Default 2 s.
    pub half_closed: Duration,
    /// How long opening a connection may take. Default 10 s.
    pub connect: Duration,
    /// Bytes queued for one connection. Default 1 MiB.
    pub queue: usize,
    /// Connections accepted from one IPv4 address or one IPv6 /64. Default 256.
    pub connections_per_ip: usize,
    /// Connections in all. Default 10,000.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: 65_535,
            header: Duration::from_secs(32),
            idle: Duration::from_secs(3_700),
            write: Duration::from_secs(32),
            half_closed: Duration::from_secs(2),
            connect: Duration::from_secs(10),
            queue: 1 << 20,
            connections_per_ip: 256,
            connections: 10_000,
        }
    }
}

/// What came in.
#[derive(Debug)]
pub enum Received {
    /// One datagram, or one framed message of a stream.
    Message(Source, Bytes),
    /// A TCP connection is gone. Later messages for it open a new one.
    FlowClosed(FlowId),
    /// Something for this destination could not be sent, or was refused there.
    Unreachable(SocketAddr),
    /// The answer to a question, best first; empty when the name was not found.
    Resolved(QuestionId, Vec<Target>),
}

/// Counters since the start, and `connections` of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TransportGauges {
    /// Messages received.
    pub received: u64,
    /// Messages accepted for sending.
    pub sent: u64,
    /// UDP keep-alives received; they are not passed on.
    pub keepalives: u64,
    /// Datagrams dropped because the kernel had no room for long.
    pub dropped: u64,
    /// Destinations reported as unreachable.
    pub unreachable: u64,
    /// TCP connections open or being opened.
    pub connections: u64,
    /// TCP connections accepted.
    pub connections_accepted: u64,
    /// TCP connections closed at once because of a limit.
    pub connections_refused: u64,
}

/// The UDP and TCP sockets of one driver. Dropping it closes all of them.
#[derive(Debug)]
pub struct Transports {
    listeners: Vec<Listener>,
    udp: Vec<UdpPort>,
    tcp: Tcp,
    resolver: Resolver,
    /// Known, not yet told.
    ready: VecDeque<Received>,
    /// Which source of news is asked first next time, so that a busy one does not starve the others.
    turn: usize,
    scratch: Box<[MaybeUninit<u8>]>,
    gauges: TransportGauges,
}

impl Transports {
    /// Listens on all of `addresses`, with default limits. Port 0 takes a free one. Must be called within a tokio
    /// runtime that has I/O and time enabled.
    ///
    /// # Errors
    /// When an address cannot be bound.
    pub fn bind(addresses: &[(Transport, SocketAddr)]) -> io::Result<Self> {
        Self::bind_with(addresses, Limits::default())
    }

    /// As [`Self::bind`], with other limits.
    ///
    /// # Errors
    /// When an address cannot be bound.
    pub fn bind_with(addresses: &[(Transport, SocketAddr)], limits: Limits) -> io::Result<Self> {
        let mut transports = Self {
            listeners: Vec::new(),
            udp: Vec::new(),
            tcp: Tcp::new(limits, addresses.len() as u64 + 1),
            resolver: Resolver::default(),
            ready: VecDeque::new(),
            turn: 0,
            scratch: vec![MaybeUninit::uninit(); DATAGRAM].into(),
            gauges: TransportGauges::default(),
        };
        for (index, &(transport, address)) in addresses.iter().enumerate() {
            let local = transports.listen(FlowId(index as u64 + 1), transport, address).map_err(|error| {
                io::Error::new(error.kind(), format!("{} {address}: {error}", transport.as_via()))
            })?;
            transports.listeners.push(Listener { transport, local, advertised: local });
        }
        Ok(transports)
    }

    fn listen(&mut self, flow: FlowId, transport: Transport, address: SocketAddr) -> io::Result<SocketAddr> {
        match transport {
            Transport::Udp => {
                let port = UdpPort::bind(flow, address)?;
                let local = port.local;
                self.udp.push(port);
                Ok(local)
            }
            Transport::Tcp => self.tcp.listen(address),
        }
    }

    /// What we listen on, in the order given to `bind`. The advertised address is the bound one; see
    /// [`super::advertised`] for listeners on `0.0.0.0`.
    #[must_use]
    pub fn listeners(&self) -> Vec<Listener> {
        self.listeners.clone()
    }

    /// Counters.
    #[must_use]
    pub fn gauges(&self) -> TransportGauges {
        TransportGauges { connections: self.tcp.connection_count() as u64, ..self.gauges }
    }

    /// Waits for the next thing to come in. Nothing is lost when the future is dropped.
    pub async fn receive(&mut self) -> Received {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    /// The next thing that is here already. After a batch of these the driver must wait in [`Self::receive`]
    /// again: only that arranges for being woken.
    pub fn try_receive(&mut self) -> Option<Received> {
        match self.poll_receive(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(received) => Some(received),
            Poll::Pending => None,
        }
    }

    /// As [`Self::receive`], for hand-written futures.
    pub fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Received> {
        self.poll_flush(cx);
        self.tcp.poll_accept(cx, &mut self.gauges);
        let sources = self.udp.len() + 2;
        for step in 0..sources {
            if let Some(received) = self.ready.pop_front() {
                return Poll::Ready(received);
            }
            let index = (self.turn + step) % sources;
            if let Poll::Ready(received) = self.poll_source(index, cx) {
                self.turn = (index + 1) % sources;
                return Poll::Ready(received);
            }
        }
        match self.ready.pop_front() {
            Some(received) => Poll::Ready(received),
            None => Poll::Pending,
        }
    }

    /// Sends, queues or gives up; never waits. Failures come back through [`Self::receive`].
    pub fn send(&mut self, transmit: Transmit) {
        self.gauges.sent += 1;
        let Transmit { flow, transport, destination, bytes } = transmit;
        match transport {
            Transport::Udp => self.send_udp(flow, destination, bytes),
            Transport::Tcp => {
                let locals = self.listeners.iter().filter(|listener| listener.transport == Transport::Tcp);
                let from = best_local(locals, destination, |listener| listener.local)
                    .map(|listener| listener.local)
                    .filter(|local| {
                        !local.ip().is_unspecified()
                            && local.ip().is_loopback() == destination.ip().is_loopback()
                    });
                for news in self.tcp.send(flow, destination, from, bytes).into_iter().flatten() {
                    self.tell_tcp(news);
                }
            }
        }
    }

    /// Looks a name up; [`Received::Resolved`] follows in any case.
    pub fn resolve(&mut self, question: Question) {
        self.resolver.ask(question);
    }

    /// Waits until all that was sent is with the kernel, at most `patience`. For an orderly end.
    pub async fn flush(&mut self, patience: Duration) {
        let deadline = tokio::time::Instant::now() + patience;
        let mut look = tokio::time::interval(Duration::from_millis(5));
        while tokio::time::Instant::now() < deadline {
            let waiting = poll_fn(|cx| Poll::Ready(self.poll_flush(cx))).await;
            if !waiting && self.tcp.queued() == 0 {
                return;
            }
            look.tick().await;
        }
    }

    fn send_udp(&mut self, flow: Option<FlowId>, destination: SocketAddr, bytes: Bytes) {
        let index = self
            .udp
            .iter()
            .position(|port| Some(port.flow) == flow && port.local.is_ipv4() == destination.is_ipv4())
            .or_else(|| {
                best_local(self.udp.iter().enumerate(), destination, |(_, port)| port.local)
                    .map(|(index, _)| index)
            });
        let Some(index) = index else {
            tell_unreachable(&mut self.ready, &mut self.gauges, destination);
            return;
        };
        let (ready, gauges) = (&mut self.ready, &mut self.gauges);
        match self.udp[index].send(destination, bytes, |other| tell_unreachable(ready, gauges, other)) {
            Sent::Accepted => {}
            Sent::Dropped => self.gauges.dropped += 1,
            Sent::Unreachable => tell_unreachable(&mut self.ready, &mut self.gauges, destination),
        }
    }

    fn poll_source(&mut self, index: usize, cx: &mut Context<'_>) -> Poll<Received> {
        if let Some(port) = self.udp.get_mut(index) {
            let (ready, gauges) = (&mut self.ready, &mut self.gauges);
            loop {
                let result = port.poll_receive(cx, &mut self.scratch, |destination| {
                    tell_unreachable(ready, gauges, destination)
                });
                let Poll::Ready((remote, bytes)) = result else { return Poll::Pending };
                if is_keepalive(&bytes) {
                    gauges.keepalives += 1;
                    continue;
                }
                gauges.received += 1;
                let source = Source { flow: port.flow, transport: Transport::Udp, local: port.local, remote };
                return Poll::Ready(Received::Message(source, bytes));
            }
        }
        if index > self.udp.len() {
            return self.resolver.poll(cx).map(|(id, targets)| Received::Resolved(id, targets));
        }
        let Poll::Ready(news) = self.tcp.poll(cx) else { return Poll::Pending };
        for news in news.into_iter().flatten() {
            self.tell_tcp(news);
        }
        match self.ready.pop_front() {
            Some(received) => Poll::Ready(received),
            None => Poll::Pending,
        }
    }

    /// Whether datagrams still wait for the kernel.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> bool {
        let (ready, gauges) = (&mut self.ready, &mut self.gauges);
        let mut waiting = false;
        for port in &mut self.udp {
            waiting |=
                port.poll_flush(cx, |destination| tell_unreachable(ready, gauges, destination)).is_pending();
        }
        waiting
    }

    fn tell_tcp(&mut self, news: TcpNews) {
        match news {
            TcpNews::Message(source, bytes) => {
                self.gauges.received += 1;
                self.ready.push_back(Received::Message(source, bytes));
            }
            TcpNews::Closed(flow) => self.ready.push_back(Received::FlowClosed(flow)),
            TcpNews::Unreachable(remote) => tell_unreachable(&mut self.ready, &mut self.gauges, remote),
        }
    }
}

fn tell_unreachable(ready: &mut VecDeque<Received>, gauges: &mut TransportGauges, destination: SocketAddr) {
    gauges.unreachable += 1;
    // Many messages to one dead peer are one piece of news.
    let told = ready
        .iter()
        .any(|received| matches!(received, Received::Unreachable(other) if *other == destination));
    if !told {
        ready.push_back(Received::Unreachable(destination));
    }
}

/// What phones send to keep a NAT binding open: empty lines, zero bytes.
fn is_keepalive(datagram: &[u8]) -> bool {
    datagram.len() <= 4 && datagram.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0))
}
