//! TCP: listeners, and the table of connections by flow and by peer.

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::AbortHandle,
    time::Sleep,
};

use super::{
    connection::{Connection, Ending, Origin, Report},
    transports::{Limits, TransportGauges},
};
use crate::flow::{FlowId, Source};

/// Reports of all connections that may wait for the driver; beyond that the connections stop reading.
const REPORTS: usize = 256;

/// Connections taken from one listener at a time.
const ACCEPT_BATCH: usize = 16;

/// Pause after an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What TCP has to tell.
#[derive(Debug)]
pub(super) enum TcpNews {
    Message(Source, Bytes),
    Closed(FlowId),
    Unreachable(SocketAddr),
}

#[derive(Debug)]
pub(super) struct Tcp {
    listeners: Vec<TcpListener>,
    limits: Limits,
    connections: HashMap<FlowId, Entry>,
    by_remote: HashMap<SocketAddr, FlowId>,
    accepted_by_ip: BTreeMap<IpAddr, usize>,
    reports: mpsc::Receiver<Report>,
    reporter: mpsc::Sender<Report>,
    pause: Option<Pin<Box<Sleep>>>,
    next_flow: u64,
}

/// The owner's end of a connection; its task ends with it.
#[derive(Debug)]
struct Entry {
    remote: SocketAddr,
    accepted: bool,
    /// Opened to repeat what an earlier connection lost.
    retry: bool,
    queue: mpsc::UnboundedSender<Bytes>,
    queued: Arc<AtomicUsize>,
    task: AbortHandle,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Tcp {
    pub(super) fn new(limits: Limits, first_flow: u64) -> Self {
        let (reporter, reports) = mpsc::channel(REPORTS);
        Self {
            listeners: Vec::new(),
            limits,
            connections: HashMap::new(),
            by_remote: HashMap::new(),
            accepted_by_ip: BTreeMap::new(),
            reports,
            reporter,
            pause: None,
            next_flow: first_flow,
        }
    }

    pub(super) fn listen(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // A restart must not wait for the old connections' TIME_WAIT.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(1024)?;
        let listener = TcpListener::from_std(socket.into())?;
        let local = listener.local_addr()?;
        self.listeners.push(listener);
        Ok(local)
    }

    pub(super) fn connection_count(&self) -> usize {
        self.connections.len()
    }

    /// Bytes handed over and not yet written.
    pub(super) fn queued(&self) -> usize {
        self.connections.values().map(|entry| entry.queued.load(Ordering::Relaxed)).sum()
    }

    /// Queues on `flow` while it is open, else on the connection to `destination`, which is opened if need be
    /// from the IP of `from`.
    pub(super) fn send(
        &mut self,
        flow: Option<FlowId>,
        destination: SocketAddr,
        from: Option<SocketAddr>,
        bytes: Bytes,
    ) -> [Option<TcpNews>; 2] {
        let candidates = [flow, self.by_remote.get(&destination).copied()];
        for flow in candidates.into_iter().flatten() {
            let Some(entry) = self.connections.get(&flow) else { continue };
            let length = bytes.len();
            if entry.queued.load(Ordering::Relaxed) + length > self.limits.queue {
                // CVE-2014-4047: a peer that does not read must not hold our memory. A message on a reliable
                // transport is never repeated, so the connection goes rather than one message.
                tracing::debug!(remote = %entry.remote, "connection closed: the peer does not read");
                self.remove(flow);
                return [Some(TcpNews::Closed(flow)), Some(TcpNews::Unreachable(destination))];
            }
            entry.queued.fetch_add(length, Ordering::Relaxed);
            if entry.queue.send(bytes.clone()).is_ok() {
                return [None, None];
            }
            // Its task is over; the report of that is on its way.
        }
        if self.connections.len() >= self.limits.connections {
            return [Some(TcpNews::Unreachable(destination)), None];
        }
        self.open(destination, from, vec![bytes], false);
        [None, None]
    }

    pub(super) fn poll_accept(&mut self, cx: &mut Context<'_>, gauges: &mut TransportGauges) {
        if let Some(pause) = &mut self.pause {
            if pause.as_mut().poll(cx).is_pending() {
                return;
            }
            self.pause = None;
        }
        for index in 0..self.listeners.len() {
            let mut taken = 0;
            while let Poll::Ready(result) = self.listeners[index].poll_accept(cx) {
                match result {
                    Ok((stream, remote)) => self.accept(stream, remote, gauges),
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept connections");
                        let mut pause = Box::pin(tokio::time::sleep(ACCEPT_PAUSE));
                        // Registers the waker; not elapsed yet.
                        let _ = pause.as_mut().poll(cx);
                        self.pause = Some(pause);
                        return;
                    }
                }
                taken += 1;
                if taken == ACCEPT_BATCH {
                    cx.waker().wake_by_ref();
                    break;
                }
            }
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<[Option<TcpNews>; 2]> {
        loop {
            match self.reports.poll_recv(cx) {
                Poll::Ready(Some(Report::Message(source, bytes)))
                    if self.connections.contains_key(&source.flow) =>
                {
                    return Poll::Ready([Some(TcpNews::Message(source, bytes)), None]);
                }
                // The flow was given up; so is what it said last.
                Poll::Ready(Some(Report::Message(..))) => {}
                Poll::Ready(Some(Report::Closed(flow, ending))) => {
                    let news = self.closed(flow, ending);
                    if news.iter().any(Option::is_some) {
                        return Poll::Ready(news);
                    }
                }
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn accept(&mut self, stream: TcpStream, remote: SocketAddr, gauges: &mut TransportGauges) {
        let origin = counted_as(remote.ip());
        let count = self.accepted_by_ip.entry(origin).or_default();
        if *count >= self.limits.connections_per_ip || self.connections.len() >= self.limits.connections {
            gauges.connections_refused += 1;
            if *count == 0 {
                self.accepted_by_ip.remove(&origin);
            }
            return;
        }
        *count += 1;
        gauges.connections_accepted += 1;
        self.start(remote, Origin::Accepted(stream), Vec::new(), false);
    }

    fn open(&mut self, remote: SocketAddr, from: Option<SocketAddr>, first: Vec<Bytes>, retry: bool) {
        self.start(remote, Origin::Opened { from }, first, retry);
    }

    fn start(&mut self, remote: SocketAddr, origin: Origin, first: Vec<Bytes>, retry: bool) {
        let flow = FlowId(self.next_flow);
        self.next_flow += 1;
        let (sender, queue) = mpsc::unbounded_channel();
        let queued = Arc::new(AtomicUsize::new(first.iter().map(Bytes::len).sum()));
        for bytes in first {
            // The receiver is right here.
            let _ = sender.send(bytes);
        }
        let accepted = matches!(origin, Origin::Accepted(_));
        let connection = Connection {
            flow,
            remote,
            origin,
            limits: self.limits.clone(),
            reports: self.reporter.clone(),
            queue,
            queued: Arc::clone(&queued),
        };
        let task = tokio::spawn(connection.run()).abort_handle();
        self.by_remote.insert(remote, flow);
        self.connections.insert(flow, Entry { remote, accepted, retry, queue: sender, queued, task });
    }

    fn closed(&mut self, flow: FlowId, ending: Ending) -> [Option<TcpNews>; 2] {
        let Some(entry) = self.remove(flow) else { return [None, None] };
        let closed = ending.established.then_some(TcpNews::Closed(flow));
        // A connection that stood idle may be dead without our knowing (half-open). Requests lost with it go out
        // once more over a new one: same branch, so the peer takes them as one (RFC 3261 §17.2.3).
        let again = ending.established && !entry.accepted && (ending.heard || !entry.retry);
        let unreachable = if ending.lost.is_empty() && ending.established {
            None
        } else if again {
            self.open(entry.remote, None, ending.lost, true);
            None
        } else {
            Some(TcpNews::Unreachable(entry.remote))
        };
        [closed, unreachable]
    }

    fn remove(&mut self, flow: FlowId) -> Option<Entry> {
        let entry = self.connections.remove(&flow)?;
        if self.by_remote.get(&entry.remote) == Some(&flow) {
            self.by_remote.remove(&entry.remote);
        }
        if entry.accepted {
            let origin = counted_as(entry.remote.ip());
            if let Some(count) = self.accepted_by_ip.get_mut(&origin) {
                *count -= 1;
                if *count == 0 {
                    self.accepted_by_ip.remove(&origin);
                }
            }
        }
        Some(entry)
    }
}

/// One party per IPv4 address, and per /64 of IPv6: whoever has one address there has them all.
fn counted_as(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX)).into(),
    }
}

/// Errors of accept(2) that concern the connection just taken, not the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
