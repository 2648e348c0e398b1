//! A port of many legs: their peers are told apart by address, and datagrams are read and written 64 at a time.

use std::{
    mem::MaybeUninit,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket},
    os::fd::AsRawFd,
};

use super::remotes::Remotes;
use crate::shard::Channel;

/// Datagrams per system call.
pub(crate) const BATCH: usize = 64;

/// Longest datagram that is taken, bytes, plus one: what fills the buffer was cut off.
const DATAGRAM: usize = 2048;

/// The sockets of a shared port and who is behind it.
pub(crate) struct SharedPort {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    by_rtp: Remotes,
    by_rtcp: Remotes,
    outgoing: Outgoing,
}

impl SharedPort {
    pub(crate) fn new(rtp: UdpSocket, rtcp: UdpSocket, legs: usize, seed: u64) -> Self {
        Self {
            rtp,
            rtcp,
            by_rtp: Remotes::new(legs, seed),
            by_rtcp: Remotes::new(legs, !seed),
            outgoing: Outgoing::new(),
        }
    }

    pub(crate) fn socket(&self, channel: Channel) -> &UdpSocket {
        match channel {
            Channel::Rtp => &self.rtp,
            Channel::Rtcp => &self.rtcp,
        }
    }

    pub(crate) fn remotes(&mut self, channel: Channel) -> &mut Remotes {
        match channel {
            Channel::Rtp => &mut self.by_rtp,
            Channel::Rtcp => &mut self.by_rtcp,
        }
    }

    /// The slot of who sent a datagram.
    #[inline]
    pub(crate) fn find(&self, channel: Channel, from: SocketAddr) -> Option<u32> {
        match channel {
            Channel::Rtp => self.by_rtp.find(from),
            Channel::Rtcp => self.by_rtcp.find(from),
        }
    }

    /// Sends a datagram with the next batch. Returns how many the kernel refused, if a batch left.
    pub(crate) fn send(&mut self, channel: Channel, to: SocketAddr, bytes: &[u8]) -> u64 {
        if channel == Channel::Rtcp || bytes.len() > DATAGRAM {
            return u64::from(self.socket(channel).send_to(bytes, to).is_err());
        }
        self.outgoing.push(to, bytes);
        if self.outgoing.count == BATCH { self.flush() } else { 0 }
    }

    /// Sends what waits. Returns how many datagrams the kernel refused.
    pub(crate) fn flush(&mut self) -> u64 {
        self.outgoing.flush(&self.rtp)
    }
}

impl std::fmt::Debug for SharedPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SharedPort({:?})", self.rtp)
    }
}

/// Room for a batch of datagrams, with the arrays the kernel wants.
struct Batch {
    bytes: Box<[[u8; DATAGRAM]; BATCH]>,
    names: Box<[libc::sockaddr_storage; BATCH]>,
    parts: Box<[libc::iovec; BATCH]>,
    headers: Box<[libc::mmsghdr; BATCH]>,
}

// SAFETY: the pointers lead into boxes that the same value owns and that never move.
#[allow(unsafe_code, reason = "arrays of pointers into our own memory")]
unsafe impl Send for Batch {}

#[allow(unsafe_code, reason = "the structures of recvmmsg and sendmmsg are plain memory")]
impl Batch {
    fn new() -> Self {
        // SAFETY: all of these are plain C structures for which zero is a valid value.
        let (names, parts, headers) = unsafe {
            (
                Box::new(MaybeUninit::<[libc::sockaddr_storage; BATCH]>::zeroed().assume_init()),
                Box::new(MaybeUninit::<[libc::iovec; BATCH]>::zeroed().assume_init()),
                Box::new(MaybeUninit::<[libc::mmsghdr; BATCH]>::zeroed().assume_init()),
            )
        };
        let mut batch = Self { bytes: Box::new([[0; DATAGRAM]; BATCH]), names, parts, headers };
        for index in 0..BATCH {
            batch.parts[index].iov_base = batch.bytes[index].as_mut_ptr().cast();
            batch.parts[index].iov_len = DATAGRAM;
            let header = &mut batch.headers[index].msg_hdr;
            header.msg_iov = &raw mut batch.parts[index];
            header.msg_iovlen = 1;
            header.msg_name = (&raw mut batch.names[index]).cast();
            header.msg_namelen = NAME_LEN;
        }
        batch
    }
}

const NAME_LEN: libc::socklen_t = size_of::<libc::sockaddr_storage>() as libc::socklen_t;

/// Datagrams that came together.
pub(crate) struct Incoming {
    batch: Batch,
}

impl Incoming {
    pub(crate) fn new() -> Self {
        Self { batch: Batch::new() }
    }

    /// Takes up to [`BATCH`] datagrams that wait; returns how many.
    #[allow(unsafe_code, reason = "recvmmsg has no safe wrapper")]
    pub(crate) fn receive(&mut self, socket: &UdpSocket) -> usize {
        for header in self.batch.headers.iter_mut() {
            header.msg_hdr.msg_namelen = NAME_LEN;
        }
        // SAFETY: every header points to a name and a part, every part to a buffer of its length, all owned by
        // `batch` and written by nobody else during the call.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.batch.headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        usize::try_from(count).unwrap_or(0)
    }

    /// A datagram of the last batch and its sender; `None` if it was cut off.
    #[inline]
    pub(crate) fn datagram(&mut self, index: usize) -> Option<(SocketAddr, &mut [u8])> {
        let length = self.batch.headers[index].msg_len as usize;
        let from = read_name(&self.batch.names[index])?;
        (length < DATAGRAM).then(|| (from, &mut self.batch.bytes[index][..length]))
    }
}

/// Datagrams that leave together.
struct Outgoing {
    batch: Batch,
    count: usize,
}

impl Outgoing {
    fn new() -> Self {
        Self { batch: Batch::new(), count: 0 }
    }

    /// There is room, and for that length.
    #[inline]
    fn push(&mut self, to: SocketAddr, bytes: &[u8]) {
        let index = self.count;
        self.batch.bytes[index][..bytes.len()].copy_from_slice(bytes);
        self.batch.parts[index].iov_len = bytes.len();
        self.batch.headers[index].msg_hdr.msg_namelen = write_name(&mut self.batch.names[index], to);
        self.count += 1;
    }

    #[allow(unsafe_code, reason = "sendmmsg has no safe wrapper")]
    fn flush(&mut self, socket: &UdpSocket) -> u64 {
        let (mut done, mut refused) = (0, 0);
        let mut tries = 0;
        while done < self.count {
            // SAFETY: as for `recvmmsg`; the first `count` headers were filled by `push`.
            let sent = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    self.batch.headers[done..].as_mut_ptr(),
                    (self.count - done) as libc::c_uint,
                    libc::MSG_DONTWAIT,
                )
            };
            match usize::try_from(sent) {
                Ok(sent) if sent > 0 => {
                    done += sent;
                    tries = 0;
                }
                // An ICMP error of an earlier datagram is reported instead of sending this one: try once more.
                _ if tries == 0 => tries = 1,
                _ => {
                    done += 1;
                    refused += 1;
                    tries = 0;
                }
            }
        }
        self.count = 0;
        refused
    }
}

#[inline]
#[allow(unsafe_code, reason = "a sockaddr_storage is one of several structures")]
fn read_name(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match libc::c_int::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says which structure it is, and storage is large and aligned enough for each.
            let v4 = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from_bits(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(v4.sin_port))))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let v6 = unsafe { &*(&raw const *name).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Some(SocketAddr::V6(SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), 0, v6.sin6_scope_id)))
        }
        _ => None,
    }
}

#[inline]
#[allow(unsafe_code, reason = "a sockaddr_storage is one of several structures")]
fn write_name(name: &mut libc::sockaddr_storage, to: SocketAddr) -> libc::socklen_t {
    match to {
        SocketAddr::V4(to) => {
            // SAFETY: storage is large and aligned enough for each kind of address.
            let v4 = unsafe { &mut *(&raw mut *name).cast::<libc::sockaddr_in>() };
            v4.sin_family = libc::AF_INET as libc::sa_family_t;
            v4.sin_port = to.port().to_be();
            v4.sin_addr.s_addr = to.ip().to_bits().to_be();
            size_of::<libc::sockaddr_in>() as libc::socklen_t
        }
        SocketAddr::V6(to) => {
            // SAFETY: as above.
            let v6 = unsafe { &mut *(&raw mut *name).cast::<libc::sockaddr_in6>() };
            v6.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            v6.sin6_port = to.port().to_be();
            v6.sin6_flowinfo = to.flowinfo();
            v6.sin6_addr.s6_addr = to.ip().octets();
            v6.sin6_scope_id = to.scope_id();
            size_of::<libc::sockaddr_in6>() as libc::socklen_t
        }
    }
}

/// Makes room in the kernel for the packets of many legs during a late beat. Returns for how many legs it suffices.
pub(crate) fn enlarge(socket: &UdpSocket) -> usize {
    let socket = socket2::SockRef::from(socket);
    // Beyond the limit of the system only with the right to; whatever is refused is asked for in the usual way.
    let _ = socket.set_recv_buffer_size(BUFFER);
    let _ = socket.set_send_buffer_size(BUFFER);
    let bytes = socket.recv_buffer_size().unwrap_or(0);
    (bytes / BYTES_PER_LEG).clamp(MIN_LEGS, MAX_LEGS)
}

/// An address at which nobody else can be: a key of a shared port.
pub(crate) fn is_certain(remote: SocketAddr) -> bool {
    let ip = remote.ip();
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    !ip.is_unspecified() && !ip.is_multicast() && !broadcast && remote.port() != 0
}

/// Kernel buffer of a shared port, bytes.
const BUFFER: usize = 4 << 20;
/// 100 ms of packets of 20 ms, at what a small datagram takes in the kernel.
const BYTES_PER_LEG: usize = 5 * 768;
const MIN_LEGS: usize = 16;
const MAX_LEGS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn port() -> SharedPort {
        let bind = || UdpSocket::bind("127.0.0.1:0").expect("a free port");
        SharedPort::new(bind(), bind(), 100, 1)
    }

    #[test]
    fn many_datagrams_leave_and_come_in_batches_with_their_addresses() {
        let mut ours = port();
        let to = ours.socket(Channel::Rtp).local_addr().expect("an address");
        let peers: Vec<UdpSocket> =
            (0..100).map(|_| UdpSocket::bind("127.0.0.1:0").expect("a free port")).collect();
        for (number, peer) in peers.iter().enumerate() {
            let address = peer.local_addr().expect("an address");
            ours.send(Channel::Rtp, address, &[number as u8; 172]);
        }
        assert_eq!(ours.flush(), 0);
        let mut buffer = [0; 200];
        for (number, peer) in peers.iter().enumerate() {
            assert_eq!(peer.recv_from(&mut buffer).ok(), Some((172, to)));
            assert_eq!(buffer[0], number as u8);
            peer.send_to(&buffer[..number + 1], to).expect("loopback takes a datagram");
        }
        let mut incoming = Incoming::new();
        let mut seen = 0;
        for expected in [64, 36, 0] {
            assert_eq!(incoming.receive(ours.socket(Channel::Rtp)), expected);
            for index in 0..expected {
                let (from, bytes) = incoming.datagram(index).expect("a whole datagram");
                assert_eq!(Some(from), peers[seen].local_addr().ok());
                assert_eq!(bytes.len(), seen + 1);
                seen += 1;
            }
        }
    }

    #[test]
    fn one_datagram_that_cannot_leave_does_not_keep_the_others() {
        let mut ours = port();
        let peer = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let nowhere = "255.255.255.255:9".parse().expect("an address");
        let to = peer.local_addr().expect("an address");
        for address in [to, nowhere, to] {
            ours.send(Channel::Rtp, address, b"x");
        }
        assert_eq!(ours.flush(), 1, "a broadcast is forbidden");
        let mut buffer = [0; 4];
        for _ in 0..2 {
            assert!(peer.recv_from(&mut buffer).is_ok());
        }
    }

    #[test]
    fn both_kinds_of_address_survive_the_way_through_the_kernels_form() {
        let mut name = Batch::new().names[0];
        for text in ["192.0.2.7:4000", "[2001:db8::7]:65535"] {
            let address: SocketAddr = text.parse().expect("an address");
            write_name(&mut name, address);
            assert_eq!(read_name(&name), Some(address));
        }
    }
}
