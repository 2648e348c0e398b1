//! The loop of one media thread: the whole impure heart of this crate.
//!
//! A worker with sessions wakes once per [`crate::time::BEAT`], at an absolute time. It obeys the commands that
//! came, sends what is due in this slot, takes in every datagram that waits and lets relayed packets leave at
//! once. Nothing in a beat allocates, locks or logs.

use std::{
    collections::VecDeque,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use atomic_waker::AtomicWaker;

use super::{
    affinity,
    clock::{self, Clock},
    legs::{Leg, Legs, Token, Unwanted},
    load::Load,
    placement::Departure,
    queue::{Receiver, Sender},
    shared_port::{self, Incoming, SharedPort},
    socket::Poller,
};
use crate::{
    command::{Command, SessionId},
    event::Event,
    shard::{Channel, Moving, Shard, seats},
    stats::ShardStats,
    time::BEAT,
};

/// What the owner of the engine sends to a worker.
#[derive(Debug)]
pub(crate) enum Inbound {
    /// The sockets of a session that will be opened.
    Attach { id: SessionId, rtp: UdpSocket, rtcp: UdpSocket },
    /// A port for several sessions; they are numbered as they come.
    Share(Box<SharedPort>),
    /// A session that will be opened on a shared port, for the peer at that address.
    AttachShared { id: SessionId, port: u16, remote: SocketAddr },
    /// Sessions shall move to another worker.
    Move(Box<Departure>),
    /// A command for the shard.
    Command(Command),
}

/// What a worker tells the owner of the engine.
#[derive(Debug)]
pub(crate) enum Outbound {
    /// An event of the shard.
    Event(Event),
    /// A session is on its way to where it should go; nothing of it follows from here.
    Left(SessionId),
}

/// Sessions that arrive together, each with the slot it gets, its sockets and its state once it was opened.
pub(crate) type Party = Vec<(u32, Leg, Option<Box<Moving>>)>;

/// The rings to and from the other workers.
pub(crate) struct Ways {
    /// By number; none to itself.
    pub(crate) to: Vec<Option<Sender<Party>>>,
    pub(crate) from: Vec<Receiver<Party>>,
}

/// How a worker talks with the rest of the engine.
pub(crate) struct Lines {
    pub(crate) inbound: Receiver<Inbound>,
    pub(crate) events: rtrb::Producer<Outbound>,
    pub(crate) ways: Ways,
    pub(crate) shared: Arc<Shared>,
    pub(crate) published: Arc<Published>,
}

/// What all threads of an engine share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Wakes the task that polls for events.
    pub(crate) waker: AtomicWaker,
    /// Ends the workers.
    pub(crate) stop: AtomicBool,
}

/// Figures of one worker, written once a second and whenever it falls asleep.
#[derive(Debug, Default)]
pub(crate) struct Published {
    sessions: AtomicU64,
    datagrams: AtomicU64,
    transmits: AtomicU64,
    late_beats: AtomicU64,
    skipped_frames: AtomicU64,
    stale_commands: AtomicU64,
    continuity_violations: AtomicU64,
    concealed: AtomicU64,
    late_packets: AtomicU64,
    undelivered: AtomicU64,
    strangers: AtomicU64,
    surplus: AtomicU64,
    latest_wake_us: AtomicU64,
    /// Written every beat.
    load: AtomicU64,
}

impl Published {
    fn store(&self, shard: &ShardStats, worker: &Tally) {
        let pairs = [
            (&self.sessions, shard.sessions),
            (&self.datagrams, shard.datagrams),
            (&self.transmits, shard.transmits),
            (&self.late_beats, shard.late_beats),
            (&self.skipped_frames, shard.skipped_frames),
            (&self.stale_commands, shard.stale_commands),
            (&self.continuity_violations, shard.continuity_violations),
            (&self.concealed, shard.concealed),
            (&self.late_packets, shard.late_packets),
            (&self.undelivered, worker.undelivered),
            (&self.strangers, worker.strangers),
            (&self.surplus, worker.surplus),
            (&self.latest_wake_us, worker.latest_wake.as_micros() as u64),
        ];
        for (published, value) in pairs {
            published.store(value, Ordering::Relaxed);
        }
    }

    /// The shard's counters, datagrams the kernel refused, and how late the worst beat of the last second began, µs.
    pub(crate) fn load(&self) -> (ShardStats, u64, u64) {
        let read = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let shard = ShardStats {
            sessions: read(&self.sessions),
            datagrams: read(&self.datagrams),
            transmits: read(&self.transmits),
            late_beats: read(&self.late_beats),
            skipped_frames: read(&self.skipped_frames),
            stale_commands: read(&self.stale_commands),
            continuity_violations: read(&self.continuity_violations),
            concealed: read(&self.concealed),
            late_packets: read(&self.late_packets),
        };
        (shard, read(&self.undelivered), read(&self.latest_wake_us))
    }
}

impl Published {
    /// Datagrams dropped on shared ports: of strangers, and of peers that sent far too many.
    pub(crate) fn unwanted(&self) -> (u64, u64) {
        (self.strangers.load(Ordering::Relaxed), self.surplus.load(Ordering::Relaxed))
    }

    /// The share of time in which the worker works, over the last second, thousandths.
    pub(crate) fn load_permille(&self) -> u32 {
        self.load.load(Ordering::Relaxed) as u32
    }
}

/// What a worker counts itself.
#[derive(Debug, Default)]
struct Tally {
    /// Datagrams the kernel refused to send.
    undelivered: u64,
    /// Datagrams on shared ports from senders nobody expects.
    strangers: u64,
    /// Datagrams of peers that sent far too many.
    surplus: u64,
    /// The latest begin of a beat since the last publication.
    latest_wake: Duration,
}

/// One media thread.
pub(crate) struct Worker {
    shard: Shard,
    inbound: Receiver<Inbound>,
    events: rtrb::Producer<Outbound>,
    ways: Ways,
    /// Who will leave when there is room on the way.
    departures: VecDeque<Departure>,
    shared: Arc<Shared>,
    published: Arc<Published>,
    clock: Clock,
    poller: Poller,
    legs: Legs,
    tally: Tally,
    load: Load,
    /// Sessions that are closed without the shard having known them.
    unopened: Vec<SessionId>,
    buffer: Box<[u8; DATAGRAM]>,
    incoming: Incoming,
}

impl Worker {
    /// A worker for so many sessions.
    pub(crate) fn new(shard: Shard, lines: Lines, clock: Clock, sessions: usize) -> std::io::Result<Self> {
        let Lines { inbound, events, ways, shared, published } = lines;
        Ok(Self {
            shard,
            inbound,
            events,
            ways,
            departures: VecDeque::new(),
            shared,
            published,
            clock,
            poller: Poller::new(BATCH)?,
            legs: Legs::new(seats(sessions)),
            tally: Tally::default(),
            load: Load::new(clock.now()),
            unopened: Vec::new(),
            buffer: Box::new([0; DATAGRAM]),
            incoming: Incoming::new(),
        })
    }

    /// Runs until the engine stops. `core` is where to stay.
    pub(crate) fn run(mut self, core: Option<usize>, realtime: bool) {
        // All of this makes beats more punctual; a system that refuses still carries calls.
        let _ = clock::exact_sleep();
        if realtime {
            let _ = affinity::prefer();
        }
        if let Some(core) = core {
            let _ = affinity::pin(core);
        }
        let mut second = self.clock.now();
        let mut last = self.clock.beat(second);
        let mut backlog = false;
        while !self.shared.stop.load(Ordering::Relaxed) {
            let now = self.wait(backlog);
            self.arrive(now);
            self.obey(now);
            self.shard.handle_beat(now);
            let beat = self.clock.beat(now);
            self.transmit(beat);
            self.tally.undelivered += self.legs.flush();
            self.receive(now, beat, beat > last + 1);
            self.receive_shared(now, beat);
            last = beat;
            backlog = self.report() | self.depart(now);
            self.load.worked(now, self.clock.now());
            self.published.load.store(u64::from(self.load.permille()), Ordering::Relaxed);
            if now.saturating_duration_since(second) >= Duration::from_secs(1) {
                second = now;
                self.legs.check_silence(beat);
                self.publish();
            }
        }
    }

    /// Sleeps until the next beat, or, without sessions, until a command comes. `backlog` says that events wait.
    fn wait(&mut self, backlog: bool) -> Instant {
        if let Some(deadline) = self.shard.poll_timeout() {
            self.clock.sleep_until(deadline);
            let now = self.clock.now();
            self.tally.latest_wake = self.tally.latest_wake.max(now.saturating_duration_since(deadline));
            return now;
        }
        if backlog {
            self.clock.sleep_until(self.clock.now() + BEAT);
        } else {
            self.load.rest();
            self.published.load.store(0, Ordering::Relaxed);
            self.publish();
            let (shared, from) = (&self.shared, &self.ways.from);
            self.inbound
                .sleep(|| shared.stop.load(Ordering::Acquire) || from.iter().any(|way| !way.is_empty()));
        }
        self.clock.now()
    }

    /// Obeys at most so many commands that a flood of them cannot stop the sound.
    fn obey(&mut self, now: Instant) {
        for _ in 0..COMMANDS {
            match self.inbound.pop() {
                Some(Inbound::Attach { id, rtp, rtcp }) => {
                    self.legs.attach(&self.poller, id.slot(), Leg::new(id, rtp, rtcp));
                }
                Some(Inbound::Share(port)) => self.legs.share(*port),
                Some(Inbound::AttachShared { id, port, remote }) => {
                    self.legs.attach(&self.poller, id.slot(), Leg::sharing(id, port, remote));
                }
                Some(Inbound::Move(departure)) => self.departures.push_back(*departure),
                Some(Inbound::Command(Command::Close(id))) if self.legs.is_unopened(id) => {
                    self.unopened.push(id)
                }
                Some(Inbound::Command(command)) => {
                    // Whoever it is about may have come since the beat began.
                    self.arrive(now);
                    if let Command::Open(id, _) = &command {
                        self.legs.open(*id);
                    }
                    if let Command::Open(id, config) | Command::Configure(id, config) = &command {
                        self.legs.reach(*id, config);
                    }
                    self.shard.handle_command(now, command);
                }
                None => break,
            }
        }
    }

    /// Takes in what waits. A pass takes one datagram of each ready socket, and the number of passes is limited, so
    /// that a flooded port cannot take the time of the others: the kernel drops what its buffer cannot hold.
    ///
    /// One `recv` per ready socket of a level-triggered epoll costs less than reading each until it is empty (a
    /// quarter more) and the same as edge-triggered `recvmmsg`. A second datagram of the same socket comes in the
    /// next beat, except after a late beat, when several wait everywhere.
    fn receive(&mut self, now: Instant, beat: u64, late: bool) {
        let enough = if late { 1 } else { self.poller.batch() };
        let passes = PASSES + 2 * self.legs.attached() / self.poller.batch();
        for _ in 0..passes {
            let ready = self.poller.poll();
            for index in 0..ready {
                let token = Token(self.poller.token(index));
                let Some(leg) = self.legs.find(token) else { continue };
                let id = leg.id();
                let Some(socket) = leg.socket(token.channel()) else { continue };
                let Some((length, from)) = socket.receive(beat, &mut self.buffer[..]) else { continue };
                if !leg.takes(beat) {
                    self.tally.surplus += 1;
                    continue;
                }
                // A datagram that fills the buffer was cut off.
                if length < DATAGRAM {
                    self.shard.handle_datagram(now, id, token.channel(), from, &mut self.buffer[..length]);
                    self.transmit(beat);
                }
            }
            if ready < enough {
                break;
            }
        }
    }

    /// Sends what the shard has ready.
    fn transmit(&mut self, beat: u64) {
        while let Some(transmit) = self.shard.poll_transmit() {
            self.tally.undelivered += self.legs.send(beat, &transmit);
        }
    }

    /// Takes in what waits on shared ports, in batches.
    fn receive_shared(&mut self, now: Instant, beat: u64) {
        for port in 0..self.legs.shared() {
            for channel in [Channel::Rtp, Channel::Rtcp] {
                for _ in 0..BATCHES {
                    let count = self.legs.receive_shared(port, channel, &mut self.incoming);
                    for index in 0..count {
                        self.take_in(now, beat, port, channel, index);
                    }
                    if count < shared_port::BATCH {
                        break;
                    }
                }
            }
        }
        self.tally.undelivered += self.legs.flush();
    }

    fn take_in(&mut self, now: Instant, beat: u64, port: usize, channel: Channel, index: usize) {
        let Some((from, datagram)) = self.incoming.datagram(index) else { return };
        match self.legs.recipient(port, channel, from, beat) {
            Ok(id) => {
                self.shard.handle_datagram(now, id, channel, from, datagram);
                self.transmit(beat);
            }
            Err(Unwanted::Stranger) => self.tally.strangers += 1,
            Err(Unwanted::Surplus) => self.tally.surplus += 1,
        }
    }

    /// Hands events over. What does not fit stays in the shard, none is lost; returns whether some stayed.
    fn report(&mut self) -> bool {
        let mut told = false;
        while !self.events.is_full() {
            let unopened = self.unopened.pop().map(|id| Event::Closed(id, Box::default()));
            let Some(event) = unopened.or_else(|| self.shard.poll_event()) else { break };
            if let Event::Closed(id, _) = &event {
                self.legs.detach(*id);
            }
            // The ring has room, checked above, and only we fill it.
            told |= self.events.push(Outbound::Event(event)).is_ok();
        }
        if told {
            self.shared.waker.wake();
        }
        self.events.is_full()
    }

    /// Takes in who came from other workers: before the beat, so that they miss none.
    fn arrive(&mut self, now: Instant) {
        for way in &mut self.ways.from {
            while let Some(party) = way.pop() {
                for (slot, leg, moving) in party {
                    let id = leg.id();
                    self.legs.attach(&self.poller, slot, leg);
                    if let Some(moving) = moving {
                        self.shard.handle_command(now, Command::Adopt(id, slot, moving));
                    }
                }
            }
        }
    }

    /// Lets sessions go that shall move, once all they had to tell is told. Returns whether some must wait.
    fn depart(&mut self, now: Instant) -> bool {
        while let Some(departure) = self.departures.front() {
            let passengers = departure.passengers.len();
            let way = self.ways.to.get_mut(usize::from(departure.to)).and_then(Option::as_mut);
            let Some(way) = way.filter(|way| !way.is_full() && self.events.slots() > 8 * passengers) else {
                return true;
            };
            for (id, _) in &departure.passengers {
                if !self.legs.separate(&self.poller, *id) {
                    // The system has no socket for it where it goes.
                    self.shard.handle_command(now, Command::Close(*id));
                    if self.legs.is_unopened(*id) {
                        self.unopened.push(*id);
                    }
                    continue;
                }
                if self.legs.leg(*id).is_some_and(|leg| leg.is_opened()) {
                    self.shard.handle_command(now, Command::Release(*id));
                }
            }
            let mut released = Vec::with_capacity(passengers);
            while let Some(event) = self.shard.poll_event() {
                if let Event::Released(_, moving) = event {
                    released.push(moving);
                } else {
                    if let Event::Closed(id, _) = &event {
                        self.legs.detach(*id);
                    }
                    // One session has few events when it goes; room for that was checked.
                    let _ = self.events.push(Outbound::Event(event));
                }
            }
            let mut party = Party::with_capacity(passengers);
            for (id, slot) in &departure.passengers {
                let Some(leg) = self.legs.send_off(&self.poller, *id) else { continue };
                let moving = released.iter().position(|moving| moving.id() == *id);
                party.push((*slot, leg, moving.map(|index| released.swap_remove(index))));
            }
            // There is room, checked above, and only we fill both. The party goes first: whoever reads that it left
            // can rely on it.
            let _ = way.send(party);
            for (id, _) in &departure.passengers {
                let _ = self.events.push(Outbound::Left(*id));
            }
            self.shared.waker.wake();
            self.departures.pop_front();
        }
        false
    }

    fn publish(&mut self) {
        self.published.store(&self.shard.stats(), &self.tally);
        self.tally.latest_wake = Duration::ZERO;
    }
}

/// Longest datagram that is taken, bytes; what is longer is not telephony.
const DATAGRAM: usize = 2048;
/// Sockets reported per pass.
const BATCH: usize = 512;
/// Passes per beat, besides those that many sessions need.
const PASSES: usize = 16;
/// Batches of one shared port per beat.
const BATCHES: usize = 64;
/// Commands per beat.
const COMMANDS: usize = 512;
