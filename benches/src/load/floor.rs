//! The floor: what the kernel asks of a thread that receives and sends one packet per call and 20 ms, and does nothing
//! else.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, Builder, JoinHandle},
    time::{Duration, Instant},
};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::{Returns, Server, packet, system};

/// When the floor looks for packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// It is woken for them.
    AsTheyCome,
    /// At fixed times, as media workers do.
    Every(Duration),
}

/// A thread with one connected socket per call; it sends every packet back.
pub struct Floor {
    addresses: Vec<SocketAddr>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Floor {
    /// Starts it, on the last core.
    pub fn start(reading: Reading, peers: &[SocketAddr]) -> io::Result<Self> {
        let mut sockets = Vec::with_capacity(peers.len());
        let mut addresses = Vec::with_capacity(peers.len());
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        for (call, peer) in peers.iter().enumerate() {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.connect(peer)?;
            socket.set_nonblocking(true)?;
            epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, call as u64))?;
            addresses.push(socket.local_addr()?);
            sockets.push(socket);
        }
        let (_, core) = system::outer_cores()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = Builder::new().name(THREAD.into()).spawn(move || {
            system::pin(core)?;
            run(reading, &epoll, &sockets, &stopped)
        })?;
        Ok(Self { addresses, stop, thread: Some(thread) })
    }
}

impl Server for Floor {
    fn thread(&self) -> &str {
        THREAD
    }

    fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    fn returns(&self) -> Returns {
        Returns::Echo
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // What it could not do shows as loss.
            let _ = thread.join();
        }
    }
}

fn run(reading: Reading, epoll: &Epoll, sockets: &[UdpSocket], stop: &AtomicBool) -> io::Result<()> {
    let mut ready = vec![EpollEvent::empty(); BATCH];
    let mut next = Instant::now();
    while !stop.load(Ordering::Acquire) {
        match reading {
            Reading::AsTheyCome => {
                pass(epoll, sockets, &mut ready, EpollTimeout::from(PATIENCE_MS))?;
            }
            Reading::Every(beat) => {
                next += beat;
                thread::sleep(next.saturating_duration_since(Instant::now()));
                while pass(epoll, sockets, &mut ready, EpollTimeout::ZERO)? == BATCH {}
            }
        }
    }
    Ok(())
}

/// One packet of every socket that has some.
fn pass(
    epoll: &Epoll,
    sockets: &[UdpSocket],
    ready: &mut [EpollEvent],
    timeout: EpollTimeout,
) -> io::Result<usize> {
    let count = match epoll.wait(ready, timeout) {
        Err(nix::Error::EINTR) => 0,
        other => other?,
    };
    let mut datagram = [0; packet::LENGTH];
    for event in &ready[..count] {
        let socket = &sockets[event.data() as usize];
        if let Ok(length) = socket.recv(&mut datagram) {
            // What is not sent shows as loss.
            let _ = socket.send(&datagram[..length]);
        }
    }
    Ok(count)
}

const THREAD: &str = "floor-0";
/// Sockets reported per pass, as many as of a media worker.
const BATCH: usize = 512;
/// Longest sleep before it looks whether to stop.
const PATIENCE_MS: u8 = 50;
