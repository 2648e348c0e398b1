//! The far end of all calls: sends on time, and looks at what comes.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::{
    FRAME, Measured, Options, Returns,
    packet::{self, Stream},
    system::{self, ThreadClock},
};

/// One socket per call, on the first core.
pub(super) struct Generator {
    sockets: Vec<UdpSocket>,
}

impl Generator {
    pub(super) fn bind(calls: usize) -> io::Result<Self> {
        let sockets = (0..calls).map(|_| UdpSocket::bind("127.0.0.1:0")).collect::<io::Result<_>>()?;
        Ok(Self { sockets })
    }

    pub(super) fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.sockets.iter().map(UdpSocket::local_addr).collect()
    }

    /// Talks to all of these for as long as the options say.
    pub(super) fn run(
        self,
        servers: &[SocketAddr],
        returns: Returns,
        clock: ThreadClock,
        options: &Options,
    ) -> io::Result<Measured> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let mut calls = Vec::with_capacity(servers.len());
        for (number, (socket, server)) in self.sockets.into_iter().zip(servers).enumerate() {
            socket.connect(server)?;
            socket.set_nonblocking(true)?;
            epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, number as u64))?;
            calls.push(Call { socket, stream: Stream::new(number), heard: None });
        }
        let packets = calls.len() * (options.window.as_millis() / FRAME.as_millis() + 1) as usize;
        let conversation = Conversation {
            epoll,
            calls,
            returns,
            begin: Instant::now() + START,
            window: options.warm_up..options.warm_up + options.window,
            lateness: Vec::with_capacity(packets),
            sent_late: Vec::with_capacity(packets),
        };
        let (core, _) = system::outer_cores()?;
        let talking = thread::Builder::new().name("generator".into()).spawn(move || {
            system::pin(core)?;
            conversation.hold(clock)
        })?;
        talking.join().map_err(|_| io::Error::other("the generator panicked"))?
    }
}

struct Call {
    socket: UdpSocket,
    stream: Stream,
    heard: Option<Heard>,
}

/// What came of a stream within the window.
struct Heard {
    first: (u16, u32),
    /// Steps from the first to the highest sequence number.
    span: u16,
    packets: u64,
    /// Arrival of each packet, less its place in the stream, ns since the beginning.
    offsets: Vec<i64>,
}

struct Conversation {
    epoll: Epoll,
    calls: Vec<Call>,
    returns: Returns,
    begin: Instant,
    /// When packets count, from the beginning on.
    window: std::ops::Range<Duration>,
    lateness: Vec<u64>,
    sent_late: Vec<u64>,
}

impl Conversation {
    fn hold(mut self, clock: ThreadClock) -> io::Result<Measured> {
        let mut ready = vec![EpollEvent::empty(); BATCH];
        let mut sent = 0;
        self.talk(&mut sent, self.window.start, &mut ready)?;
        let (busy, began) = (clock.read()?, Instant::now());
        self.talk(&mut sent, self.window.end, &mut ready)?;
        let (busy, lasted) = (clock.read()? - busy, began.elapsed());
        // What is still under way may come.
        self.talk(&mut sent, self.window.end + TRAIL, &mut ready)?;
        let calls = self.calls.len() as f64;
        let (expected, came) = self.tally();
        self.lateness.sort_unstable();
        self.sent_late.sort_unstable();
        Ok(Measured {
            cpu_ms: busy.as_secs_f64() * 1e3 / lasted.as_secs_f64() / calls,
            expected,
            lost: expected.saturating_sub(came),
            lateness: self.lateness,
            sent_late: self.sent_late,
        })
    }

    /// Sends what is due and takes in what comes until then; all calls' packets are spread evenly over a frame.
    fn talk(&mut self, sent: &mut u64, until: Duration, ready: &mut [EpollEvent]) -> io::Result<()> {
        let calls = self.calls.len() as u64;
        let gap = FRAME.as_nanos() as u64;
        loop {
            let now = Instant::now().saturating_duration_since(self.begin);
            while let due = Duration::from_nanos(*sent * gap / calls)
                && due <= now
            {
                self.send((*sent % calls) as usize, due);
                *sent += 1;
            }
            if now >= until {
                return Ok(());
            }
            let count = match self.epoll.wait(ready, EpollTimeout::from(1_u8)) {
                Err(nix::Error::EINTR) => 0,
                other => other?,
            };
            for event in &ready[..count] {
                self.receive(event.data() as usize);
            }
        }
    }

    fn send(&mut self, number: usize, due: Duration) {
        let now = self.begin.elapsed();
        let measured = self.window.contains(&due);
        if measured {
            self.sent_late.push(now.saturating_sub(due).as_nanos() as u64);
        }
        let call = &mut self.calls[number];
        // What the system refuses is lost.
        let _ = call.socket.send(call.stream.next(now.as_nanos() as u64, measured));
    }

    fn receive(&mut self, number: usize) {
        let mut datagram = [0; 256];
        let call = &mut self.calls[number];
        let Ok(length) = call.socket.recv(&mut datagram) else { return };
        let (now, datagram) = (self.begin.elapsed(), &datagram[..length]);
        match self.returns {
            Returns::Echo => {
                if let Some(sent) = packet::stamp(datagram) {
                    self.lateness.push((now.as_nanos() as u64).saturating_sub(sent));
                }
            }
            Returns::Stream => {
                if self.window.contains(&now)
                    && let Some(position) = packet::position(datagram)
                {
                    call.hear(now, position);
                }
            }
        }
    }

    /// Packets that should have come, and those that came.
    fn tally(&mut self) -> (u64, u64) {
        match self.returns {
            Returns::Echo => (self.sent_late.len() as u64, self.lateness.len() as u64),
            Returns::Stream => {
                // A call that hears nothing has lost everything.
                let frames = ((self.window.end - self.window.start).as_millis() / FRAME.as_millis()) as u64;
                let mut sum = (0, 0);
                for call in &self.calls {
                    let Some(heard) = &call.heard else {
                        sum.0 += frames;
                        continue;
                    };
                    sum.0 += u64::from(heard.span) + 1;
                    sum.1 += heard.packets;
                    let earliest = heard.offsets.iter().min().copied().unwrap_or_default();
                    let late = heard.offsets.iter().map(|offset| offset.abs_diff(earliest));
                    self.lateness.extend(late);
                }
                sum
            }
        }
    }
}

impl Call {
    fn hear(&mut self, now: Duration, (sequence, timestamp): (u16, u32)) {
        let heard = self.heard.get_or_insert_with(|| Heard {
            first: (sequence, timestamp),
            span: 0,
            packets: 0,
            offsets: Vec::new(),
        });
        heard.span = heard.span.max(sequence.wrapping_sub(heard.first.0));
        heard.packets += 1;
        let place = i64::from(timestamp.wrapping_sub(heard.first.1)) * NANOS_PER_SAMPLE;
        heard.offsets.push(now.as_nanos() as i64 - place);
    }
}

/// From the start of the thread to the first packet.
const START: Duration = Duration::from_millis(100);
/// From the last packet that counts to the end.
const TRAIL: Duration = Duration::from_millis(200);
/// Sockets reported per pass.
const BATCH: usize = 512;
/// At 8 kHz.
const NANOS_PER_SAMPLE: i64 = 125_000;
