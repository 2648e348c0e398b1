//! ICMP errors of datagrams: which destination refused them. Without this a call to a dead port waits 32 s.

use std::net::SocketAddr;

use tokio::net::UdpSocket;

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        io::IoSliceMut,
        net::{SocketAddr, SocketAddrV4, SocketAddrV6},
        os::fd::AsRawFd,
    };

    use nix::{
        cmsg_space, libc,
        sys::socket::{
            ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt,
            sockopt::{Ipv4RecvErr, Ipv6RecvErr},
        },
    };
    use tokio::net::UdpSocket;

    pub(super) fn enable(socket: &UdpSocket) {
        let ipv4 = socket.local_addr().is_ok_and(|address| address.is_ipv4());
        let done = if ipv4 {
            setsockopt(socket, Ipv4RecvErr, &true)
        } else {
            setsockopt(socket, Ipv6RecvErr, &true)
        };
        if let Err(error) = done {
            tracing::debug!(%error, "ICMP errors will not be reported");
        }
    }

    /// The next queued error: `Some(None)` for one that says nothing about reachability.
    pub(super) fn next(socket: &UdpSocket) -> Option<Option<SocketAddr>> {
        let mut start = [0u8; 64];
        let mut parts = [IoSliceMut::new(&mut start)];
        let mut control = cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6);
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let message =
            recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags).ok()?;
        let unreachable = message.cmsgs().ok()?.any(|part| {
            let (ControlMessageOwned::Ipv4RecvErr(error, _) | ControlMessageOwned::Ipv6RecvErr(error, _)) =
                part
            else {
                return false;
            };
            // "Fragmentation needed" (EMSGSIZE) is cured by the next retransmission, the others are not.
            let code = i32::try_from(error.ee_errno).unwrap_or(0);
            matches!(code, libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::ENETUNREACH)
        });
        let address = message.address?;
        let destination = address
            .as_sockaddr_in()
            .map(|v4| SocketAddr::V4(SocketAddrV4::from(*v4)))
            .or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::V6(SocketAddrV6::from(*v6))));
        Some(destination.filter(|_| unreachable))
    }
}

/// Asks the kernel to keep ICMP errors with their destination.
pub(super) fn enable(socket: &UdpSocket) {
    #[cfg(target_os = "linux")]
    linux::enable(socket);
    #[cfg(not(target_os = "linux"))]
    let _ = socket;
}

/// Takes up to 64 queued errors and calls `unreachable` with each destination that cannot be reached.
pub(super) fn drain(socket: &UdpSocket, mut unreachable: impl FnMut(SocketAddr)) {
    #[cfg(target_os = "linux")]
    for _ in 0..64 {
        let Some(destination) = linux::next(socket) else { return };
        if let Some(destination) = destination {
            unreachable(destination);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (socket, &mut unreachable);
}
