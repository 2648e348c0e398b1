//! One UDP socket of a session, and waiting for many of them.
//!
//! A socket is connected while its peer is certain: the kernel then drops every other source before it costs us
//! anything and keeps the route, which saves about a twentieth of the cost of a packet.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use socket2::{Domain, Protocol, Type};

/// DSCP "expedited forwarding" (RFC 3246) in the upper six bits of the traffic class.
const EXPEDITED: u32 = 46 << 2;

/// Binds RTP on the even `port` and RTCP on the one above (RFC 3550 §11).
pub(crate) fn bind_pair(ip: IpAddr, port: u16) -> io::Result<(UdpSocket, UdpSocket)> {
    let rtcp = port.checked_add(1).ok_or(io::ErrorKind::InvalidInput)?;
    Ok((bind(SocketAddr::new(ip, port))?, bind(SocketAddr::new(ip, rtcp))?))
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = unbound(address)?;
    // No SO_REUSEADDR: on Linux it would let two sessions share a port.
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// A second socket on the port of a shared one, for one of its peers alone.
pub(crate) fn split_off(shared: &UdpSocket, peer: SocketAddr) -> io::Result<UdpSocket> {
    let address = shared.local_addr()?;
    let socket = unbound(address)?;
    let shared = socket2::SockRef::from(shared);
    socket.set_reuse_port(true)?;
    // For this moment only: nobody else shall get the port. Until it is connected the new socket may catch a packet
    // of another peer, which its session does not take.
    shared.set_reuse_port(true)?;
    let bound = socket.bind(&address.into()).and_then(|()| socket.connect(&peer.into()));
    shared.set_reuse_port(false)?;
    bound?;
    Ok(socket.into())
}

fn unbound(address: SocketAddr) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // A mark that some systems refuse; a call works without it.
    let _ = if address.is_ipv4() {
        socket.set_tos_v4(EXPEDITED)
    } else {
        socket.set_only_v6(true)?;
        socket.set_tclass_v6(EXPEDITED)
    };
    Ok(socket)
}

/// What became of a datagram that should leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It left.
    Left,
    /// The kernel's buffer is full, or the peer or route is gone. UDP promises nothing.
    Dropped,
}

/// A bound socket that follows its peer.
#[derive(Debug)]
pub(crate) struct Socket {
    inner: UdpSocket,
    /// Whom it is connected to.
    peer: Option<SocketAddr>,
    /// Whether connecting is worth it and harmless.
    connectable: bool,
    /// It stays connected to its peer, whoever that is: its port belongs to others too.
    fixed: bool,
    /// Beat of the last datagram.
    heard: u64,
}

/// A socket that has been silent for so many beats (2 s) is disconnected, so that a peer behind a rebound NAT can
/// be heard again.
const SILENT: u64 = 400;

impl Socket {
    /// A socket for a steady stream, which is connected when its peer is certain. One that is bound to the
    /// unspecified address is not: that would tie it to the address of the route to the peer, which need not be the
    /// one the peer sends to.
    pub(crate) fn steady(inner: UdpSocket) -> Self {
        let connectable = inner.local_addr().is_ok_and(|local| !local.ip().is_unspecified());
        Self { inner, peer: None, connectable, fixed: false, heard: 0 }
    }

    /// A socket for a datagram now and then, which stays as it is.
    pub(crate) fn occasional(inner: UdpSocket) -> Self {
        Self { inner, peer: None, connectable: false, fixed: false, heard: 0 }
    }

    /// A socket that is connected for good, made by [`split_off`].
    pub(crate) fn fixed(inner: UdpSocket, peer: SocketAddr) -> Self {
        Self { inner, peer: Some(peer), connectable: false, fixed: true, heard: 0 }
    }

    /// Takes the next datagram, if there is one. Errors of earlier packets that the kernel reports here (ICMP) are
    /// consumed.
    #[inline]
    pub(crate) fn receive(&mut self, beat: u64, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        for _ in 0..2 {
            match self.inner.recv_from(buffer) {
                Ok(received) => {
                    self.heard = beat;
                    return Some(received);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(_) => {}
            }
        }
        None
    }

    /// Sends one datagram. `certain` says that nobody else may be this socket's peer.
    #[inline]
    pub(crate) fn send(&mut self, beat: u64, to: SocketAddr, certain: bool, bytes: &[u8]) -> Sent {
        if self.fixed {
            if self.peer != Some(to) {
                self.connect(to);
            }
        } else if self.peer.is_none()
            && certain
            && self.connectable
            && beat.wrapping_sub(self.heard) < SILENT / 2
        {
            self.connect(to);
        } else if self.peer.is_some_and(|peer| !certain || peer != to) {
            self.disconnect();
        }
        for _ in 0..2 {
            let result =
                if self.peer.is_some() { self.inner.send(bytes) } else { self.inner.send_to(bytes, to) };
            match result {
                Ok(_) => return Sent::Left,
                // An ICMP error of an earlier packet is reported instead of sending this one: try once more.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(_) => return Sent::Dropped,
            }
        }
        Sent::Dropped
    }

    /// Disconnects when the peer has been silent.
    pub(crate) fn check_silence(&mut self, beat: u64) {
        if self.peer.is_some() && !self.fixed && beat.wrapping_sub(self.heard) >= SILENT {
            self.disconnect();
        }
    }

    #[cold]
    fn connect(&mut self, to: SocketAddr) {
        if self.inner.connect(to).is_ok() {
            self.peer = Some(to);
        }
    }

    #[cold]
    #[allow(unsafe_code, reason = "dissolving the association of a UDP socket has no safe wrapper")]
    fn disconnect(&mut self) {
        self.peer = None;
        // SAFETY: an all-zero sockaddr is valid and carries AF_UNSPEC; its exact size is passed.
        unsafe {
            let nobody: libc::sockaddr = std::mem::zeroed();
            libc::connect(
                self.inner.as_raw_fd(),
                &raw const nobody,
                size_of::<libc::sockaddr>() as libc::socklen_t,
            );
        }
    }
}

/// The sockets of a worker that have something to read. Level-triggered: whatever one pass leaves is reported again
/// in the next.
pub(crate) struct Poller {
    epoll: OwnedFd,
    ready: Box<[libc::epoll_event]>,
}

impl Poller {
    /// `batch` is how many sockets one pass may report.
    #[allow(unsafe_code, reason = "epoll has no safe wrapper")]
    pub(crate) fn new(batch: usize) -> io::Result<Self> {
        // SAFETY: takes a flag.
        let raw = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new, open and owned by nobody else.
        let epoll = unsafe { OwnedFd::from_raw_fd(raw) };
        Ok(Self { epoll, ready: vec![libc::epoll_event { events: 0, u64: 0 }; batch].into() })
    }

    /// Reports `socket` as `token` until it is closed.
    #[allow(unsafe_code, reason = "epoll has no safe wrapper")]
    pub(crate) fn add(&self, socket: &Socket, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token };
        // SAFETY: both descriptors are open, `event` is valid for the call.
        let result = unsafe {
            libc::epoll_ctl(
                self.epoll.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                socket.inner.as_raw_fd(),
                &raw mut event,
            )
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Reports `socket` no more.
    #[allow(unsafe_code, reason = "epoll has no safe wrapper")]
    pub(crate) fn remove(&self, socket: &Socket) {
        // SAFETY: both descriptors are open; no event is read when one is removed. One that is not there is no harm.
        unsafe {
            libc::epoll_ctl(
                self.epoll.as_raw_fd(),
                libc::EPOLL_CTL_DEL,
                socket.inner.as_raw_fd(),
                std::ptr::null_mut(),
            );
        }
    }

    /// Looks once, without waiting; returns how many sockets are ready.
    #[allow(unsafe_code, reason = "epoll has no safe wrapper")]
    pub(crate) fn poll(&mut self) -> usize {
        // SAFETY: the buffer is writable and its exact length is passed.
        let count = unsafe {
            libc::epoll_wait(
                self.epoll.as_raw_fd(),
                self.ready.as_mut_ptr(),
                self.ready.len() as libc::c_int,
                0,
            )
        };
        usize::try_from(count).unwrap_or(0)
    }

    /// Token of the socket at `index` of the last pass.
    pub(crate) fn token(&self, index: usize) -> u64 {
        self.ready[index].u64
    }

    /// How many sockets one pass may report.
    pub(crate) fn batch(&self) -> usize {
        self.ready.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn pair() -> (Socket, UdpSocket) {
        // A port that was asked for by number stays when the socket is disconnected.
        let ours = loop {
            let free = UdpSocket::bind((LOOPBACK, 0)).map(|free| local(&free)).expect("a free port");
            if let Ok(ours) = bind(free) {
                break ours;
            }
        };
        let Ok(theirs) = UdpSocket::bind((LOOPBACK, 0)) else { panic!("no socket") };
        (Socket::steady(ours), theirs)
    }

    fn local(socket: &UdpSocket) -> SocketAddr {
        socket.local_addr().expect("a bound socket has an address")
    }

    #[test]
    fn a_certain_peer_is_connected_and_an_uncertain_one_is_not() {
        let (mut ours, theirs) = pair();
        let to = local(&theirs);
        assert_eq!(ours.send(1, to, false, b"a"), Sent::Left);
        assert_eq!(ours.peer, None);
        assert_eq!(ours.send(1, to, true, b"b"), Sent::Left);
        assert_eq!(ours.peer, Some(to));
        assert_eq!(ours.send(2, to, false, b"c"), Sent::Left);
        assert_eq!(ours.peer, None);
        let mut buffer = [0; 4];
        for expected in [b"a", b"b", b"c"] {
            let Ok((length, from)) = theirs.recv_from(&mut buffer) else { panic!("a datagram is missing") };
            assert_eq!((&buffer[..length], from), (&expected[..], local(&ours.inner)));
        }
    }

    #[test]
    fn a_new_peer_gets_the_next_datagram_at_once() {
        let (mut ours, first) = pair();
        let Ok(second) = UdpSocket::bind((LOOPBACK, 0)) else { panic!("no socket") };
        ours.send(1, local(&first), true, b"1");
        assert_eq!(ours.send(1, local(&second), true, b"2"), Sent::Left);
        ours.send(1, local(&second), true, b"3");
        assert_eq!(ours.peer, Some(local(&second)));
        let mut buffer = [0; 4];
        assert!(matches!(second.recv_from(&mut buffer), Ok((1, _))));
        assert_eq!(buffer[0], b'2');
    }

    #[test]
    fn a_silent_peer_is_disconnected_and_another_source_is_heard() {
        let (mut ours, first) = pair();
        let Ok(second) = UdpSocket::bind((LOOPBACK, 0)) else { panic!("no socket") };
        ours.send(1, local(&first), true, b"1");
        ours.check_silence(SILENT - 1);
        assert!(ours.peer.is_some());
        ours.check_silence(SILENT);
        assert_eq!(ours.peer, None);
        assert_eq!(ours.send(SILENT, local(&first), true, b"2"), Sent::Left);
        assert_eq!(ours.peer, None, "a peer that was not heard is not connected again");
        assert!(second.send_to(b"x", local(&ours.inner)).is_ok());
        let mut buffer = [0; 4];
        assert_eq!(ours.receive(SILENT, &mut buffer), Some((1, local(&second))));
    }

    #[test]
    fn a_socket_split_off_a_shared_one_hears_its_peer_and_nobody_else() {
        let (shared, theirs) = pair();
        let Ok(other) = UdpSocket::bind((LOOPBACK, 0)) else { panic!("no socket") };
        let port = local(&shared.inner);
        let Ok(third) = UdpSocket::bind((LOOPBACK, 0)) else { panic!("no socket") };
        let Ok(_also) = split_off(&shared.inner, local(&third)) else { panic!("no second socket") };
        let Ok(own) = split_off(&shared.inner, local(&theirs)) else { panic!("no third socket") };
        let (mut shared, mut own) = (shared, Socket::fixed(own, local(&theirs)));
        let mut buffer = [0; 4];
        for round in 0..50 {
            assert!(other.send_to(b"o", port).is_ok() && theirs.send_to(b"t", port).is_ok());
            assert_eq!(own.receive(round, &mut buffer), Some((1, local(&theirs))));
            assert_eq!(own.receive(round, &mut buffer), None);
            assert_eq!(shared.receive(round, &mut buffer), Some((1, local(&other))));
            assert_eq!(shared.receive(round, &mut buffer), None);
        }
        own.check_silence(10_000);
        assert_eq!(own.send(1, local(&theirs), false, b"1"), Sent::Left);
        assert_eq!(theirs.recv_from(&mut buffer).ok(), Some((1, port)));
        assert!(bind(port).is_err(), "the port is nobody else's");
        drop(own);
        assert!(theirs.send_to(b"t", port).is_ok());
        assert_eq!(shared.receive(1, &mut buffer), Some((1, local(&theirs))));
    }

    #[test]
    fn a_vanished_peer_costs_no_error() {
        let (mut ours, theirs) = pair();
        let to = local(&theirs);
        drop(theirs);
        let mut buffer = [0; 4];
        for _ in 0..5 {
            assert_eq!(ours.send(1, to, true, b"1"), Sent::Left);
        }
        assert_eq!(ours.receive(1, &mut buffer), None);
        let Ok(back) = UdpSocket::bind(to) else { panic!("the port is free") };
        assert_eq!(ours.send(1, to, true, b"2"), Sent::Left);
        assert!(matches!(back.recv_from(&mut buffer), Ok((1, _))));
    }

    #[test]
    fn the_unspecified_address_is_never_connected() {
        let Ok(inner) = bind("0.0.0.0:0".parse().expect("an address")) else { panic!("no socket") };
        let Ok(theirs) = UdpSocket::bind((LOOPBACK, 0)) else { panic!("no socket") };
        let mut ours = Socket::steady(inner);
        assert_eq!(ours.send(1, local(&theirs), true, b"1"), Sent::Left);
        assert_eq!(ours.peer, None);
    }

    #[test]
    fn a_pass_reports_what_the_last_one_left() {
        let (mut ours, theirs) = pair();
        let Ok(mut poller) = Poller::new(4) else { panic!("no epoll") };
        assert!(poller.add(&ours, 77).is_ok());
        assert_eq!(poller.poll(), 0);
        for _ in 0..2 {
            assert!(theirs.send_to(b"x", local(&ours.inner)).is_ok());
        }
        let mut buffer = [0; 4];
        for _ in 0..2 {
            assert_eq!((poller.poll(), poller.token(0)), (1, 77));
            assert!(ours.receive(1, &mut buffer).is_some());
        }
        assert_eq!(poller.poll(), 0);
        assert!(theirs.send_to(b"x", local(&ours.inner)).is_ok());
        drop(ours);
        assert_eq!(poller.poll(), 0, "a closed socket is forgotten");
    }
}
