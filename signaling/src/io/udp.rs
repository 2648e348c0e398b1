//! One UDP listener: datagrams in, datagrams out, nothing that waits.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    io::{self, ErrorKind},
    mem::MaybeUninit,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use tokio::{
    io::{Interest, ReadBuf},
    net::UdpSocket,
    time::Sleep,
};

use super::icmp;
use crate::flow::FlowId;

/// Kernel buffer asked for in each direction, bytes. The kernel may grant less (`net.core.rmem_max`).
const SOCKET_BUFFER: usize = 4 << 20;

/// Messages kept while the kernel's send buffer is full; more are dropped, SIP over UDP repeats itself.
const BACKLOG: usize = 1024;

/// Pause before a full send buffer is tried again. Not the socket's readiness: after an ICMP error tokio takes a socket
/// for writable for ever.
const FULL: Duration = Duration::from_millis(1);

/// Longest UDP datagram, bytes.
pub(super) const DATAGRAM: usize = 65_535;

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// The kernel has it, or will soon.
    Accepted,
    /// Lost for want of buffers.
    Dropped,
    /// It cannot get there.
    Unreachable,
}

pub(super) struct UdpPort {
    pub(super) flow: FlowId,
    pub(super) local: SocketAddr,
    socket: Arc<UdpSocket>,
    backlog: VecDeque<(SocketAddr, Bytes)>,
    full: Option<Pin<Box<Sleep>>>,
    /// Ends when the kernel has an ICMP error for us; waiting for datagrams does not notice those.
    refused: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
}

impl fmt::Debug for UdpPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpPort")
            .field("flow", &self.flow)
            .field("local", &self.local)
            .field("backlog", &self.backlog.len())
            .finish_non_exhaustive()
    }
}

impl UdpPort {
    pub(super) fn bind(flow: FlowId, address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        // Best effort: the default works, only bursts suffer.
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
        let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
        socket.bind(&address.into())?;
        let socket = Arc::new(UdpSocket::from_std(socket.into())?);
        icmp::enable(&socket);
        Ok(Self {
            flow,
            local: socket.local_addr()?,
            refused: refused(&socket),
            socket,
            backlog: VecDeque::new(),
            full: None,
        })
    }

    /// The next datagram, copied out of `scratch` in one allocation of its size: it may be kept as long as a call
    /// lasts, and must not hold a large buffer alive.
    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [MaybeUninit<u8>],
        mut unreachable: impl FnMut(SocketAddr),
    ) -> Poll<(SocketAddr, Bytes)> {
        while self.refused.as_mut().poll(cx).is_ready() {
            self.refused = refused(&self.socket);
            icmp::drain(&self.socket, &mut unreachable);
        }
        loop {
            let mut buffer = ReadBuf::uninit(scratch);
            match ready!(self.socket.poll_recv_from(cx, &mut buffer)) {
                Ok(from) => return Poll::Ready((from, Bytes::copy_from_slice(buffer.filled()))),
                // An ICMP error of an earlier datagram may show here as well.
                Err(_) => icmp::drain(&self.socket, &mut unreachable),
            }
        }
    }

    pub(super) fn send(
        &mut self,
        destination: SocketAddr,
        bytes: Bytes,
        unreachable: impl FnMut(SocketAddr),
    ) -> Sent {
        if self.backlog.is_empty() {
            match self.try_send(destination, &bytes, unreachable) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => return outcome(&result),
            }
        }
        if self.backlog.len() >= BACKLOG {
            return Sent::Dropped;
        }
        self.backlog.push_back((destination, bytes));
        Sent::Accepted
    }

    /// Sends what waited for room; `Pending` while something waits.
    pub(super) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        mut unreachable: impl FnMut(SocketAddr),
    ) -> Poll<()> {
        while !self.backlog.is_empty() {
            if let Some(full) = &mut self.full {
                ready!(full.as_mut().poll(cx));
                self.full = None;
            }
            let Some((destination, bytes)) = self.backlog.pop_front() else { break };
            match self.try_send(destination, &bytes, &mut unreachable) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.backlog.push_front((destination, bytes));
                    self.full = Some(Box::pin(tokio::time::sleep(FULL)));
                }
                result => {
                    if outcome(&result) == Sent::Unreachable {
                        unreachable(destination);
                    }
                }
            }
        }
        Poll::Ready(())
    }

    fn try_send(
        &self,
        destination: SocketAddr,
        bytes: &[u8],
        unreachable: impl FnMut(SocketAddr),
    ) -> io::Result<usize> {
        let (socket, address) = (SockRef::from(&*self.socket), SockAddr::from(destination));
        match socket.send_to(bytes, &address) {
            // Not about this datagram: an earlier one was refused. Take the errors and try again.
            Err(error) if is_refusal(&error) => {
                icmp::drain(&self.socket, unreachable);
                socket.send_to(bytes, &address)
            }
            result => result,
        }
    }
}

fn refused(socket: &Arc<UdpSocket>) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
    let socket = Arc::clone(socket);
    Box::pin(async move {
        // An error here means that the runtime is shutting down.
        if socket.ready(Interest::ERROR).await.is_err() {
            std::future::pending::<()>().await;
        }
        // Forgets the readiness, so that the next round waits for the next error.
        let _ = socket.try_io(Interest::ERROR, || Err::<(), _>(ErrorKind::WouldBlock.into()));
    })
}

fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable
    )
}

fn outcome(result: &io::Result<usize>) -> Sent {
    match result {
        Ok(_) => Sent::Accepted,
        // No buffers, or a signal: the retransmission will do.
        Err(error) if matches!(error.kind(), ErrorKind::OutOfMemory | ErrorKind::Interrupted) => {
            Sent::Dropped
        }
        Err(error) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => Sent::Dropped,
        Err(_) => Sent::Unreachable,
    }
}
