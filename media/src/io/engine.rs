//! All workers of a process, and the sessions that are given to them.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, Wake, Waker},
    thread::{self, Builder, JoinHandle, Thread},
    time::{Duration, Instant},
};

use super::{
    affinity,
    clock::Clock,
    placement::Placement,
    port_range::{PortRange, QUARANTINE},
    queue::{self, Doorbell, Receiver, Sender},
    shared_port::{self, SharedPort, is_certain},
    sharing::Sharing,
    socket,
    worker::{Inbound, Lines, Outbound, Party, Published, Shared, Ways, Worker},
};
use crate::{
    command::{Command, SessionId},
    event::Event,
    shard::{Shard, ShardConfig, Slots},
};

/// How an [`Engine`] is laid out.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Media threads, 1 to 255. The default is one per two cores, at least one.
    pub workers: usize,
    /// Local address of all RTP sockets; the default is 127.0.0.1. With the unspecified
    /// address sockets are not connected to their peers: a packet costs about a twentieth more, and packets of
    /// strangers reach the process before they are dropped.
    pub bind: IpAddr,
    /// Ports for RTP (even) and RTCP (the next one). The default is 16384 to 32767.
    pub ports: RangeInclusive<u16>,
    /// Ties each worker to a core, the last ones first. The default is true from four cores on: with fewer,
    /// everything else that runs would be in the way.
    pub pin: bool,
    /// Asks for real-time priority, so that beats come on time on a busy machine. A system that refuses is no error.
    /// The default is true.
    pub realtime: bool,
    /// Seeds SSRCs, first sequence numbers and the order of the ports. Take it from a random source.
    pub seed: u64,
    /// Most sessions at a time on one worker; their memory is reserved at the start. The default is 4096.
    pub sessions_per_worker: usize,
    /// How long a pair of ports rests after its session. The default is 2 s.
    pub quarantine: Duration,
}

impl Default for EngineConfig {
    fn default() -> Self {
        let cores = affinity::cores().len();
        Self {
            workers: (cores / 2).max(1),
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            ports: 16_384..=32_767,
            pin: cores >= 4,
            realtime: true,
            seed: 0,
            sessions_per_worker: 4096,
            quarantine: QUARANTINE,
        }
    }
}

/// Why no session could be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// All sessions of the worker, or of all workers, are taken.
    NoSession,
    /// No pair of ports is free.
    NoPort,
    /// The worker's queue is full: it cannot keep up.
    QueueFull,
    /// The system refuses sockets, for instance because too many files are open.
    Socket(io::ErrorKind),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSession => f.write_str("all media sessions are taken"),
            Self::NoPort => f.write_str("no pair of RTP ports is free"),
            Self::QueueFull => f.write_str("a media worker does not keep up with its commands"),
            Self::Socket(kind) => write!(f, "no RTP socket: {kind}"),
        }
    }
}

impl std::error::Error for OpenError {}

/// A command that found its worker's queue full, to be sent again later or given up.
pub struct QueueFull(pub Command);

impl fmt::Debug for QueueFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QueueFull({:?})", self.0.session())
    }
}

impl fmt::Display for QueueFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the queue of media worker {} is full", self.0.session().worker())
    }
}

impl std::error::Error for QueueFull {}

/// What an engine can tell about itself; counters since the start unless said otherwise. The workers' part is
/// refreshed once a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct EngineGauges {
    /// Media threads.
    pub workers: usize,
    /// Sessions open now, counted from [`Engine::open`] until their `Closed` was taken.
    pub sessions: usize,
    /// Pairs of ports of single sessions in use now.
    pub ports_in_use: usize,
    /// Pairs of ports that rest after use.
    pub ports_quarantined: usize,
    /// Datagrams received.
    pub datagrams: u64,
    /// Datagrams produced.
    pub transmits: u64,
    /// Datagrams the system refused to send.
    pub undelivered: u64,
    /// Beats that began more than a beat late.
    pub late_beats: u64,
    /// How late the worst beat of the last second began, µs.
    pub latest_wake_us: u64,
    /// Frames of sessions that were skipped because their worker was late.
    pub skipped_frames: u64,
    /// Breaches of the egress continuity contract; anything but 0 is a defect.
    pub continuity_violations: u64,
    /// Commands for sessions that are gone.
    pub stale_commands: u64,
    /// Commands refused because a worker's queue was full.
    pub queue_full: u64,
    /// How busy the worker is on which the next session would be opened, thousandths of the last second.
    pub load_permille: u32,
    /// Sessions on shared ports now.
    pub sharing: usize,
    /// Datagrams dropped on shared ports because nobody expects their sender.
    pub strangers: u64,
    /// Datagrams dropped because their peer sent far more than audio takes.
    pub surplus: u64,
    /// Peers on shared ports that moved to an address where another one is, and are not heard since.
    pub conflicts: u64,
    /// Sessions that moved to another worker to be with those they hear.
    pub moves: u64,
    /// Times that two sessions could not be brought together, because a worker had no seat left.
    pub apart: u64,
}

/// What one worker can tell about itself; counters since the start unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct WorkerGauges {
    /// Sessions on it now.
    pub sessions: usize,
    /// The share of time in which it works, thousandths of the last second. Near 1000 it cannot carry more.
    pub load_permille: u32,
    /// Beats that began more than a beat late.
    pub late_beats: u64,
    /// How late the worst beat of the last second began, µs.
    pub latest_wake_us: u64,
    /// Frames of sessions that were skipped because it was late.
    pub skipped_frames: u64,
    /// Frames that had to be concealed because packets were missing.
    pub concealed_frames: u64,
    /// Packets that came too late to be heard.
    pub late_packets: u64,
    /// Commands refused because its queue was full.
    pub queue_full: u64,
}

/// All media threads of a process. One owner; workers are reached through rings and never locked.
pub struct Engine {
    bind: IpAddr,
    placement: Placement,
    sharing: Sharing,
    seed: u64,
    /// Peers that went where another of the same port is.
    conflicts: u64,
    ports: PortRange,
    shared: Arc<Shared>,
    workers: Vec<Handle>,
    /// Where the search for the next event begins.
    turn: usize,
    /// A command that waited for a session to move found its queue full.
    stalled: bool,
}

/// Wakes a thread that waits for events.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

struct Handle {
    commands: Sender<Inbound>,
    events: rtrb::Consumer<Outbound>,
    published: Arc<Published>,
    thread: Option<JoinHandle<()>>,
    /// Commands it had no room for.
    queue_full: u64,
}

impl Engine {
    /// Starts the workers.
    pub fn start(config: EngineConfig) -> io::Result<Self> {
        let sessions = config.sessions_per_worker;
        if !(1..=255).contains(&config.workers) || !(1..=MAX_SESSIONS).contains(&sessions) {
            let expected = "1 to 255 workers with 1 to 1,000,000 sessions each";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, expected));
        }
        // A lower limit shows as `OpenError::Socket` when it is reached.
        let _ = affinity::raise_open_files();
        let mut engine = Self {
            bind: config.bind,
            placement: Placement::new(Slots::new(config.workers as u8, sessions as u32)),
            sharing: Sharing::new(config.quarantine),
            seed: config.seed,
            conflicts: 0,
            ports: PortRange::new(&config.ports, config.quarantine, config.seed),
            shared: Arc::default(),
            workers: Vec::with_capacity(config.workers),
            turn: 0,
            stalled: false,
        };
        let cores = affinity::cores();
        // One grid for all, so that sessions can move from one to another.
        let clock = Clock::new();
        for (number, (bell, ways)) in ways(config.workers)?.into_iter().enumerate() {
            let core = config.pin.then(|| cores[cores.len() - 1 - number % cores.len()]);
            engine.start_worker(number as u8, core, &config, clock, bell, ways)?;
        }
        Ok(engine)
    }

    fn start_worker(
        &mut self,
        number: u8,
        core: Option<usize>,
        config: &EngineConfig,
        clock: Clock,
        bell: Arc<Doorbell>,
        ways: Ways,
    ) -> io::Result<()> {
        let (sessions, realtime) = (config.sessions_per_worker, config.realtime);
        let shard = Shard::new(
            ShardConfig { worker: number, seed: config.seed.wrapping_add(u64::from(number)), sessions },
            clock.origin(),
        );
        let (commands, inbound) = queue::channel(4 * sessions + 1024, bell);
        let (producer, events) = rtrb::RingBuffer::new(4 * sessions + 1024);
        let published = Arc::new(Published::default());
        let lines = Lines {
            inbound,
            events: producer,
            ways,
            shared: Arc::clone(&self.shared),
            published: Arc::clone(&published),
        };
        let worker = Worker::new(shard, lines, clock, sessions)?;
        let thread =
            Builder::new().name(format!("media-{number}")).spawn(move || worker.run(core, realtime))?;
        self.workers.push(Handle { commands, events, published, thread: Some(thread), queue_full: 0 });
        Ok(())
    }

    /// Reserves a session and binds its ports; send [`Command::Open`] next. Returns the RTP address; RTCP is on the
    /// port above. Sessions that hear each other belong on one worker: `near` names the one to stand beside, which
    /// saves moving one of them later. A session lasts until its [`Event::Closed`], whether it was opened or not.
    pub fn open(&mut self, near: Option<SessionId>) -> Result<(SessionId, SocketAddr), OpenError> {
        let id = self.placement.allocate(near).ok_or(OpenError::NoSession)?;
        let (port, rtp, rtcp) = match bind_free(&mut self.ports, self.bind) {
            Ok(bound) => bound,
            Err(error) => {
                self.placement.give_back(id);
                return Err(error);
            }
        };
        let handle = &mut self.workers[usize::from(id.worker())];
        if handle.commands.send(Inbound::Attach { id, rtp, rtcp }).is_err() {
            handle.queue_full += 1;
            self.placement.give_back(id);
            self.ports.refuse(port);
            return Err(OpenError::QueueFull);
        }
        self.placement.settle(id, Some(port));
        Ok((id, SocketAddr::new(self.bind, port)))
    }

    /// As [`Self::open`], on a port that several sessions share: for a peer whose address is certain. Packets are read
    /// and written in batches, which costs less, and are told apart by their sender alone: whatever comes from
    /// elsewhere is nobody's, so a peer behind NAT would stay unheard. Where the address cannot be told apart from
    /// another's, or the engine is bound to the unspecified address, the session gets a port of its own.
    pub fn open_shared(
        &mut self,
        near: Option<SessionId>,
        remote: SocketAddr,
    ) -> Result<(SessionId, SocketAddr), OpenError> {
        if self.bind.is_unspecified() || self.bind.is_ipv4() != remote.is_ipv4() || !is_certain(remote) {
            return self.open(near);
        }
        let id = self.placement.allocate(near).ok_or(OpenError::NoSession)?;
        let found = self.sharing.find(Instant::now(), id.worker(), remote);
        let Some((index, number, port)) = found.or_else(|| self.share(id.worker())) else {
            self.placement.give_back(id);
            return self.open(near);
        };
        let handle = &mut self.workers[usize::from(id.worker())];
        if handle.commands.send(Inbound::AttachShared { id, port: number, remote }).is_err() {
            handle.queue_full += 1;
            self.placement.give_back(id);
            return Err(OpenError::QueueFull);
        }
        self.placement.settle(id, None);
        self.sharing.join(id, index, remote);
        Ok((id, SocketAddr::new(self.bind, port)))
    }

    /// Binds one more shared port for a worker.
    fn share(&mut self, worker: u8) -> Option<(usize, u16, u16)> {
        let handle = &mut self.workers[usize::from(worker)];
        if !self.sharing.may_grow(worker) || handle.commands.is_full() {
            return None;
        }
        let (port, rtp, rtcp) = bind_free(&mut self.ports, self.bind).ok()?;
        let room = shared_port::enlarge(&rtp);
        let shared = SharedPort::new(rtp, rtcp, room, self.seed ^ u64::from(port));
        // There is room, checked above, and only we fill it.
        let _ = handle.commands.send(Inbound::Share(Box::new(shared)));
        let (index, number) = self.sharing.add(worker, port, room);
        Some((index, number, port))
    }

    /// Sends a command to the session's worker, which obeys it in its next beat. Where a session is to hear one of
    /// another worker, or join a mix there, one of them moves first, and commands for those who move wait for them.
    pub fn send(&mut self, command: Command) -> Result<(), QueueFull> {
        if self.placement.is_holding() && self.placement.must_wait(&command) {
            self.placement.hold(command);
            return Ok(());
        }
        self.dispatch(command)
    }

    fn dispatch(&mut self, command: Command) -> Result<(), QueueFull> {
        if let Some(departure) = self.placement.departure(&command) {
            let from = &mut self.workers[usize::from(departure.from)];
            if let Err(Inbound::Move(departure)) = from.commands.send(Inbound::Move(Box::new(departure))) {
                from.queue_full += 1;
                self.placement.call_off(&departure);
                return Err(QueueFull(command));
            }
            self.placement.hold(command);
            return Ok(());
        }
        let worker = self.placement.worker(command.session());
        let Some(handle) = self.workers.get_mut(usize::from(worker)) else { return Ok(()) };
        if handle.commands.is_full() {
            handle.queue_full += 1;
            return Err(QueueFull(command));
        }
        if let Command::Open(id, config) | Command::Configure(id, config) = &command
            && let Some(remote) = config.remote
            && !self.sharing.reach(Instant::now(), *id, remote)
        {
            self.conflicts += 1;
        }
        self.placement.note(&command);
        // There is room, checked above, and only we fill it.
        let _ = handle.commands.send(Inbound::Command(command));
        Ok(())
    }

    /// Somebody left: what waited for that may go on.
    fn resume(&mut self) {
        self.stalled = false;
        for command in self.placement.take_held() {
            if self.placement.must_wait(&command) {
                self.placement.hold(command);
            } else if let Err(QueueFull(command)) = self.dispatch(command) {
                self.stalled = true;
                self.placement.hold(command);
            }
        }
    }

    /// The next event; wakes the task when there is one later.
    pub fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if let Some(event) = self.try_event() {
            return Poll::Ready(event);
        }
        self.shared.waker.register(cx.waker());
        self.try_event().map_or(Poll::Pending, Poll::Ready)
    }

    /// The next event, if there is one. The workers take turns.
    pub fn try_event(&mut self) -> Option<Event> {
        if self.stalled {
            self.resume();
        }
        let mut empty = 0;
        while empty < self.workers.len() {
            self.turn = (self.turn + 1) % self.workers.len();
            empty += 1;
            match self.workers[self.turn].events.peek() {
                Err(_) => continue,
                // What it tells there comes after all it told where it was.
                Ok(Outbound::Event(event))
                    if self.placement.bound_for(event.session()) == Some(self.turn as u8) =>
                {
                    continue;
                }
                Ok(Outbound::Event(_) | Outbound::Left(_)) => {}
            }
            match self.workers[self.turn].events.pop() {
                Ok(Outbound::Event(event)) => {
                    if let Event::Closed(id, _) = &event {
                        self.release(*id);
                    }
                    return Some(event);
                }
                Ok(Outbound::Left(id)) => {
                    self.placement.left(id);
                    self.resume();
                    empty = 0;
                }
                Err(_) => {}
            }
        }
        None
    }

    /// Waits for the next event, at most for `timeout`: for programs without tasks.
    pub fn wait_event(&mut self, timeout: Duration) -> Option<Event> {
        let deadline = Instant::now().checked_add(timeout);
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut cx = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(event) = self.poll_event(&mut cx) {
                return Some(event);
            }
            match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return None,
                Some(left) => thread::park_timeout(left),
                None => thread::park(),
            }
        }
    }

    /// The session is gone and its sockets are closed.
    fn release(&mut self, id: SessionId) {
        let now = Instant::now();
        self.sharing.leave(now, id);
        if let Some(Some(port)) = self.placement.remove(id) {
            self.ports.release(now, port);
        }
    }

    /// What the engine measures.
    #[must_use]
    pub fn gauges(&self) -> EngineGauges {
        let mut gauges = EngineGauges {
            workers: self.workers.len(),
            sessions: (0..self.workers.len()).map(|worker| self.placement.in_use(worker as u8)).sum(),
            ports_in_use: self.ports.in_use() - self.sharing.ports(),
            ports_quarantined: self.ports.quarantined(Instant::now()),
            load_permille: self.load_permille(),
            sharing: self.sharing.sessions(),
            conflicts: self.conflicts,
            moves: self.placement.moved,
            apart: self.placement.apart,
            ..EngineGauges::default()
        };
        for handle in &self.workers {
            let (shard, undelivered, latest_wake_us) = handle.published.load();
            gauges.queue_full += handle.queue_full;
            let (strangers, surplus) = handle.published.unwanted();
            gauges.strangers += strangers;
            gauges.surplus += surplus;
            gauges.datagrams += shard.datagrams;
            gauges.transmits += shard.transmits;
            gauges.undelivered += undelivered;
            gauges.late_beats += shard.late_beats;
            gauges.latest_wake_us = gauges.latest_wake_us.max(latest_wake_us);
            gauges.skipped_frames += shard.skipped_frames;
            gauges.continuity_violations += shard.continuity_violations;
            gauges.stale_commands += shard.stale_commands;
        }
        gauges
    }

    /// How busy the worker is on which the next session would be opened, thousandths of the last second.
    #[must_use]
    pub fn load_permille(&self) -> u32 {
        let next = self.workers.get(usize::from(self.placement.least_used()));
        next.map_or(0, |handle| handle.published.load_permille())
    }

    /// What each worker measures, by number.
    #[must_use]
    pub fn worker_gauges(&self) -> Vec<WorkerGauges> {
        let gauges = |(number, handle): (usize, &Handle)| {
            let (shard, _, latest_wake_us) = handle.published.load();
            WorkerGauges {
                sessions: self.placement.in_use(number as u8),
                load_permille: handle.published.load_permille(),
                late_beats: shard.late_beats,
                latest_wake_us,
                skipped_frames: shard.skipped_frames,
                concealed_frames: shard.concealed,
                late_packets: shard.late_packets,
                queue_full: handle.queue_full,
            }
        };
        self.workers.iter().enumerate().map(gauges).collect()
    }

    /// Ends all workers and waits for them; sessions that are still open end without a `Closed`. Dropping does the
    /// same.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        for handle in &self.workers {
            handle.commands.bell().ring();
        }
        for handle in &mut self.workers {
            if let Some(thread) = handle.thread.take() {
                // A panic was already printed by its thread.
                let _ = thread.join();
            }
        }
    }
}

/// Parties that may be on one way at a time.
const PARTIES: usize = 64;

/// The bell of each worker, and a ring from each to each other.
fn ways(workers: usize) -> io::Result<Vec<(Arc<Doorbell>, Ways)>> {
    let mut made = Vec::with_capacity(workers);
    for _ in 0..workers {
        made.push((Arc::new(Doorbell::new()?), Ways { to: Vec::new(), from: Vec::new() }));
    }
    for from in 0..workers {
        for to in 0..workers {
            if from == to {
                made[from].1.to.push(None);
                continue;
            }
            let (sender, receiver): (_, Receiver<Party>) = queue::channel(PARTIES, Arc::clone(&made[to].0));
            made[from].1.to.push(Some(sender));
            made[to].1.from.push(receiver);
        }
    }
    Ok(made)
}

/// A slot is an index of 20 bits in a shard.
const MAX_SESSIONS: usize = 1_000_000;

/// Binds the next pair that nobody else on this machine uses.
fn bind_free(
    ports: &mut PortRange,
    ip: IpAddr,
) -> Result<(u16, std::net::UdpSocket, std::net::UdpSocket), OpenError> {
    let now = Instant::now();
    let mut tries = None;
    loop {
        let port = ports.take(now).ok_or(OpenError::NoPort)?;
        match socket::bind_pair(ip, port) {
            Ok((rtp, rtcp)) => return Ok((port, rtp, rtcp)),
            Err(error) => {
                ports.refuse(port);
                if error.kind() != io::ErrorKind::AddrInUse {
                    return Err(OpenError::Socket(error.kind()));
                }
            }
        }
        // Each free pair is tried once.
        let left = tries.get_or_insert(ports.available());
        *left -= 1;
        if *left == 0 {
            return Err(OpenError::NoPort);
        }
    }
}
