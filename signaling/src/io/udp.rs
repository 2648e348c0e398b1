//! One UDP listener: datagrams in, datagrams out, nothing that waits.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    mem::MaybeUninit,
    net::SocketAddr,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{io::ReadBuf, net::UdpSocket};

use super::icmp;
use crate::flow::FlowId;

/// Kernel buffer asked for in each direction, bytes. The kernel may grant less (`net.core.rmem_max`).
const SOCKET_BUFFER: usize = 4 << 20;

/// Messages kept while the kernel's send buffer is full; more are dropped, SIP over UDP repeats itself.
const BACKLOG: usize = 1024;

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

#[derive(Debug)]
pub(super) struct UdpPort {
    pub(super) flow: FlowId,
    pub(super) local: SocketAddr,
    socket: UdpSocket,
    backlog: VecDeque<(SocketAddr, Bytes)>,
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
        let socket = UdpSocket::from_std(socket.into())?;
        icmp::enable(&socket);
        Ok(Self { flow, local: socket.local_addr()?, socket, backlog: VecDeque::new() })
    }

    /// The next datagram, copied out of `scratch` in one allocation of its size: it may be kept as long as a call
    /// lasts, and must not hold a large buffer alive.
    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [MaybeUninit<u8>],
        mut unreachable: impl FnMut(SocketAddr),
    ) -> Poll<(SocketAddr, Bytes)> {
        loop {
            let mut buffer = ReadBuf::uninit(scratch);
            match ready!(self.socket.poll_recv_from(cx, &mut buffer)) {
                Ok(from) => return Poll::Ready((from, Bytes::copy_from_slice(buffer.filled()))),
                // An ICMP error of an earlier datagram shows here; each read takes one away.
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
        while let Some((destination, bytes)) = self.backlog.pop_front() {
            match self.try_send(destination, &bytes, &mut unreachable) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.backlog.push_front((destination, bytes));
                    if ready!(self.socket.poll_send_ready(cx)).is_err() {
                        icmp::drain(&self.socket, &mut unreachable);
                    }
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
        match self.socket.try_send_to(bytes, destination) {
            // Not about this datagram: an earlier one was refused. Take the errors and try again.
            Err(error) if is_refusal(&error) => {
                icmp::drain(&self.socket, unreachable);
                self.socket.try_send_to(bytes, destination)
            }
            result => result,
        }
    }
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
