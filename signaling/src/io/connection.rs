//! One TCP connection: a task that frames what comes, writes what is queued, and knows when to give up.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, IoSlice},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::mpsc,
};

use super::transports::Limits;
use crate::{
    flow::{FlowId, Source, Transport},
    message::framing::{Frame, StreamDecoder},
};

/// How long a written request that saw no sign of life counts as lost when the connection breaks: timer B and F.
const UNANSWERED: Duration = Duration::from_secs(32);

/// Requests remembered as unanswered; older ones are forgotten.
const UNANSWERED_REQUESTS: usize = 64;

/// Messages written with one system call.
const WRITE_BATCH: usize = 16;

/// Bytes read with one system call.
const READ: usize = 16 * 1024;

/// The answer to a keep-alive ping (RFC 5626 §3.5.1).
const PONG: &[u8] = b"\r\n";

/// Bytes of a ping.
const PING: usize = 4;

/// What a connection tells its owner.
#[derive(Debug)]
pub(super) enum Report {
    /// One framed message.
    Message(Source, Bytes),
    /// Last report of a connection.
    Closed(FlowId, Ending),
}

/// How a connection ended.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// Whether it ever stood.
    pub(super) established: bool,
    /// Whether the peer ever sent a message.
    pub(super) heard: bool,
    /// Requests that may not have reached the peer, in order.
    pub(super) lost: Vec<Bytes>,
}

/// Everything a connection task starts with.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) flow: FlowId,
    pub(super) remote: SocketAddr,
    /// Accepted by us, or opened by us from this address.
    pub(super) origin: Origin,
    pub(super) limits: Limits,
    pub(super) reports: mpsc::Sender<Report>,
    pub(super) queue: mpsc::UnboundedReceiver<Bytes>,
    /// Bytes handed over and not yet written.
    pub(super) queued: Arc<AtomicUsize>,
}

/// Who opened a connection.
#[derive(Debug)]
pub(super) enum Origin {
    Accepted(TcpStream),
    Opened { from: Option<SocketAddr> },
}

impl Connection {
    /// Runs until the connection is over, and reports that.
    pub(super) async fn run(mut self) {
        let accepted = matches!(self.origin, Origin::Accepted(_));
        let origin = std::mem::replace(&mut self.origin, Origin::Opened { from: None });
        let mut ending = Ending::default();
        let opened = match origin {
            Origin::Accepted(stream) => Ok(stream),
            Origin::Opened { from } => self.connect(from).await,
        };
        match opened.and_then(|stream| Wire::new(&self, stream, accepted)) {
            Ok(mut wire) => {
                ending.established = true;
                let why = wire.serve(&mut self).await;
                tracing::debug!(flow = self.flow.0, remote = %self.remote, %why, "connection closed");
                ending.heard = wire.heard;
                ending.lost = wire.lost();
            }
            Err(error) => tracing::debug!(remote = %self.remote, %error, "connection failed"),
        }
        // What was queued to the last moment is lost too; later senders see the closed queue.
        self.queue.close();
        while let Ok(bytes) = self.queue.try_recv() {
            if is_answerable(&bytes) {
                ending.lost.push(bytes);
            }
        }
        let _ = self.reports.send(Report::Closed(self.flow, ending)).await;
    }

    async fn connect(&self, from: Option<SocketAddr>) -> io::Result<TcpStream> {
        let socket = if self.remote.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if let Some(from) = from {
            socket.bind(SocketAddr::new(from.ip(), 0))?;
        }
        tokio::time::timeout(self.limits.connect, socket.connect(self.remote))
            .await
            .map_err(|_| io::Error::from(ErrorKind::TimedOut))?
    }
}

/// Why a connection was closed.
#[derive(Debug)]
enum Why {
    Dropped,
    PeerClosed,
    Idle,
    SlowReader,
    SlowWriter,
    Garbage(String),
    Broken(io::Error),
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dropped => f.write_str("by us"),
            Self::PeerClosed => f.write_str("by the peer"),
            Self::Idle => f.write_str("idle"),
            Self::SlowReader => f.write_str("the peer does not read"),
            Self::SlowWriter => f.write_str("the peer does not finish its message"),
            Self::Garbage(what) => write!(f, "not SIP: {what}"),
            Self::Broken(error) => write!(f, "{error}"),
        }
    }
}

/// An established connection and what is under way on it.
#[derive(Debug)]
struct Wire {
    stream: TcpStream,
    source: Source,
    accepted: bool,
    decoder: StreamDecoder,
    /// Decoded, waiting for the owner. Nothing is read meanwhile, so the peer feels the pressure.
    ready: VecDeque<Bytes>,
    /// To be written, the first one from `offset`.
    pending: VecDeque<Bytes>,
    offset: usize,
    /// Requests written since the peer last said something.
    unanswered: VecDeque<(Instant, Bytes)>,
    heard: bool,
    /// When the peer finished sending.
    finished: Option<Instant>,
    /// When the message at hand began.
    begun: Option<Instant>,
    /// Last complete message or keep-alive in either direction.
    active: Instant,
    /// When writing last got on.
    written: Instant,
}

impl Wire {
    fn new(connection: &Connection, stream: TcpStream, accepted: bool) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let keepalive = socket2::TcpKeepalive::new()
            .with_time(Duration::from_secs(60))
            .with_interval(Duration::from_secs(15))
            .with_retries(4);
        socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        let now = Instant::now();
        let source = Source {
            flow: connection.flow,
            transport: Transport::Tcp,
            local: stream.local_addr()?,
            remote: connection.remote,
        };
        Ok(Self {
            stream,
            source,
            accepted,
            decoder: StreamDecoder::new(connection.limits.message),
            ready: VecDeque::new(),
            pending: VecDeque::new(),
            offset: 0,
            unanswered: VecDeque::new(),
            heard: false,
            finished: None,
            begun: None,
            active: now,
            written: now,
        })
    }

    async fn serve(&mut self, connection: &mut Connection) -> Why {
        let reports = connection.reports.clone();
        loop {
            let deadline = self.deadline(&connection.limits).0;
            let reads = self.ready.is_empty() && self.finished.is_none();
            let step = tokio::select! {
                permit = reports.reserve(), if !self.ready.is_empty() => match permit {
                    Ok(permit) => {
                        if let Some(bytes) = self.ready.pop_front() {
                            permit.send(Report::Message(self.source, bytes));
                        }
                        Ok(())
                    }
                    Err(_) => Err(Why::Dropped),
                },
                _ = self.stream.readable(), if reads => self.read(connection),
                _ = self.stream.writable(), if !self.pending.is_empty() => self.write(connection),
                next = connection.queue.recv() => match next {
                    Some(bytes) => self.enqueue(bytes, connection),
                    None => Err(Why::Dropped),
                },
                // Undelivered messages are our own slowness, not the peer's.
                () = tokio::time::sleep_until(deadline.into()), if self.ready.is_empty() => self.expire(&connection.limits),
            };
            if let Err(why) = step {
                return why;
            }
        }
    }

    fn enqueue(&mut self, bytes: Bytes, connection: &mut Connection) -> Result<(), Why> {
        let idle = self.pending.is_empty();
        self.pending.push_back(bytes);
        while let Ok(more) = connection.queue.try_recv() {
            self.pending.push_back(more);
        }
        if idle {
            self.written = Instant::now();
            return self.write(connection);
        }
        Ok(())
    }

    fn read(&mut self, connection: &Connection) -> Result<(), Why> {
        let mut buffer = [0u8; READ];
        match self.stream.try_read(&mut buffer) {
            Ok(0) => return self.finish(),
            Ok(length) => self.decoder.push(&buffer[..length]),
            Err(error) if is_transient(&error) => return Ok(()),
            Err(error) => return Err(Why::Broken(error)),
        }
        let now = Instant::now();
        let mut complete = false;
        while let Some(item) = self.decoder.next() {
            match item {
                Ok(Frame::Message(bytes)) => {
                    self.ready.push_back(bytes);
                    self.heard = true;
                }
                // A peer that does not read gets no more of them.
                Ok(Frame::Ping) if self.pending.is_empty() => {
                    connection.queued.fetch_add(PONG.len(), Ordering::Relaxed);
                    self.pending.push_back(Bytes::from_static(PONG));
                    self.written = now;
                }
                Ok(Frame::Ping) => {}
                Err(error) => return Err(Why::Garbage(error.to_string())),
            }
            complete = true;
        }
        if complete {
            self.active = now;
            self.begun = None;
            self.unanswered.clear();
        }
        // Less may be the first half of a ping, or a pong.
        if self.decoder.pending() < PING {
            self.begun = None;
        } else {
            self.begun.get_or_insert(now);
        }
        Ok(())
    }

    /// The peer sends no more. It may still read our responses, if it was the one to connect.
    fn finish(&mut self) -> Result<(), Why> {
        if !self.accepted || !self.heard {
            return Err(Why::PeerClosed);
        }
        self.finished = Some(Instant::now());
        Ok(())
    }

    fn write(&mut self, connection: &Connection) -> Result<(), Why> {
        while !self.pending.is_empty() {
            let mut slices = [IoSlice::new(&[]); WRITE_BATCH];
            let mut count = 0;
            for (slice, bytes) in slices.iter_mut().zip(&self.pending) {
                *slice = IoSlice::new(if count == 0 { &bytes[self.offset..] } else { bytes });
                count += 1;
            }
            match self.stream.try_write_vectored(&slices[..count]) {
                Ok(length) => self.advance(length, connection),
                Err(error) if is_transient(&error) => return Ok(()),
                Err(error) => return Err(Why::Broken(error)),
            }
        }
        Ok(())
    }

    /// Accounts for `length` bytes that the kernel took.
    fn advance(&mut self, length: usize, connection: &Connection) {
        let now = Instant::now();
        self.written = now;
        self.offset += length;
        while let Some(first) = self.pending.front()
            && self.offset >= first.len()
        {
            self.offset -= first.len();
            let Some(bytes) = self.pending.pop_front() else { return };
            self.active = now;
            connection.queued.fetch_sub(bytes.len(), Ordering::Relaxed);
            if is_answerable(&bytes) {
                if self.unanswered.len() >= UNANSWERED_REQUESTS {
                    self.unanswered.pop_front();
                }
                self.unanswered.push_back((now, bytes));
            }
        }
    }

    /// The next time limit and what it means.
    fn deadline(&self, limits: &Limits) -> (Instant, Why) {
        // A connection that never carried a message has the time of one message; then it may be idle.
        let idle = if self.accepted && !self.heard { limits.header } else { limits.idle };
        let mut first = (self.active + idle, Why::Idle);
        let mut consider = |at: Option<Instant>, why: Why| {
            if let Some(at) = at
                && at < first.0
            {
                first = (at, why);
            }
        };
        consider(self.begun.map(|at| at + limits.header), Why::SlowWriter);
        consider((!self.pending.is_empty()).then(|| self.written + limits.write), Why::SlowReader);
        consider(self.finished.map(|at| at + limits.half_closed), Why::PeerClosed);
        first
    }

    fn expire(&self, limits: &Limits) -> Result<(), Why> {
        let (at, why) = self.deadline(limits);
        if Instant::now() < at { Ok(()) } else { Err(why) }
    }

    /// The requests that the peer may never have seen.
    fn lost(&mut self) -> Vec<Bytes> {
        let now = Instant::now();
        let unanswered =
            self.unanswered.drain(..).filter(|(at, _)| now < *at + UNANSWERED).map(|(_, bytes)| bytes);
        unanswered.chain(self.pending.drain(..).filter(is_answerable)).collect()
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Whether a message expects an answer, so that its loss would go unnoticed: a request other than ACK.
fn is_answerable(bytes: &Bytes) -> bool {
    bytes.len() > 4 && !bytes.starts_with(b"SIP/2.0 ") && !bytes.starts_with(b"ACK ")
}
