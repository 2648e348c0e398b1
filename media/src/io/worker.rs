//! The loop of one media thread: the whole impure heart of this crate.
//!
//! A worker with sessions wakes once per [`crate::time::BEAT`], at an absolute time. It obeys the commands that
//! came, sends what is due in this slot, takes in every datagram that waits and lets relayed packets leave at
//! once. Nothing in a beat allocates, locks or logs.

use std::{
    net::UdpSocket,
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
    queue::Receiver,
    socket::{Poller, Sent, Socket},
};
use crate::{
    command::{Command, SessionId},
    event::Event,
    shard::{Channel, Shard},
    stats::ShardStats,
    time::BEAT,
};

/// What the owner of the engine sends to a worker.
#[derive(Debug)]
pub(crate) enum Inbound {
    /// The sockets of a session that will be opened.
    Attach { id: SessionId, rtp: UdpSocket, rtcp: UdpSocket },
    /// A command for the shard.
    Command(Command),
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
    undelivered: AtomicU64,
    latest_wake_us: AtomicU64,
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
            (&self.undelivered, worker.undelivered),
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
        };
        (shard, read(&self.undelivered), read(&self.latest_wake_us))
    }
}

/// What a worker counts itself.
#[derive(Debug, Default)]
struct Tally {
    /// Datagrams the kernel refused to send.
    undelivered: u64,
    /// The latest begin of a beat since the last publication.
    latest_wake: Duration,
}

/// One media thread.
pub(crate) struct Worker {
    shard: Shard,
    inbound: Receiver<Inbound>,
    events: rtrb::Producer<Event>,
    shared: Arc<Shared>,
    published: Arc<Published>,
    clock: Clock,
    poller: Poller,
    legs: Legs,
    tally: Tally,
    /// Sessions that are closed without the shard having known them.
    unopened: Vec<SessionId>,
    buffer: Box<[u8; DATAGRAM]>,
}

impl Worker {
    pub(crate) fn new(
        shard: Shard,
        inbound: Receiver<Inbound>,
        events: rtrb::Producer<Event>,
        shared: Arc<Shared>,
        published: Arc<Published>,
        sessions: usize,
    ) -> std::io::Result<Self> {
        Ok(Self {
            shard,
            inbound,
            events,
            shared,
            published,
            clock: Clock::new(),
            poller: Poller::new(BATCH)?,
            legs: Legs::new(sessions),
            tally: Tally::default(),
            unopened: Vec::new(),
            buffer: Box::new([0; DATAGRAM]),
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
            self.obey(now);
            self.shard.handle_beat(now);
            let beat = self.clock.beat(now);
            self.transmit(beat);
            self.receive(now, beat, beat > last + 1);
            last = beat;
            backlog = self.report();
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
            self.publish();
            let shared = &self.shared;
            self.inbound.sleep(|| shared.stop.load(Ordering::Acquire));
        }
        self.clock.now()
    }

    /// Obeys at most so many commands that a flood of them cannot stop the sound.
    fn obey(&mut self, now: Instant) {
        for _ in 0..COMMANDS {
            match self.inbound.pop() {
                Some(Inbound::Attach { id, rtp, rtcp }) => self.legs.attach(&self.poller, id, rtp, rtcp),
                Some(Inbound::Command(Command::Close(id))) if self.legs.is_unopened(id) => {
                    self.unopened.push(id)
                }
                Some(Inbound::Command(command)) => {
                    if let Command::Open(id, _) = &command {
                        self.legs.open(*id);
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
        let passes = PASSES + 2 * self.legs.attached / self.poller.batch();
        for _ in 0..passes {
            let ready = self.poller.poll();
            for index in 0..ready {
                let token = Token(self.poller.token(index));
                let Some(leg) = self.legs.find(token) else { continue };
                let id = leg.id;
                let Some((length, from)) = leg.socket(token.channel()).receive(beat, &mut self.buffer[..])
                else {
                    continue;
                };
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
            let Some(leg) = self.legs.leg(transmit.session) else { continue };
            let socket = leg.socket(transmit.channel);
            if socket.send(beat, transmit.destination, transmit.locked, transmit.bytes) == Sent::Dropped {
                self.tally.undelivered += 1;
            }
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
            told |= self.events.push(event).is_ok();
        }
        if told {
            self.shared.waker.wake();
        }
        self.events.is_full()
    }

    fn publish(&mut self) {
        self.published.store(&self.shard.stats(), &self.tally);
        self.tally.latest_wake = Duration::ZERO;
    }
}

/// The sockets of a worker's sessions, by slot.
struct Legs {
    slots: Vec<Option<Leg>>,
    attached: usize,
}

struct Leg {
    id: SessionId,
    rtp: Socket,
    rtcp: Socket,
    /// The shard knows the session.
    opened: bool,
}

impl Leg {
    #[inline]
    fn socket(&mut self, channel: Channel) -> &mut Socket {
        match channel {
            Channel::Rtp => &mut self.rtp,
            Channel::Rtcp => &mut self.rtcp,
        }
    }
}

impl Legs {
    fn new(sessions: usize) -> Self {
        let mut slots = Vec::new();
        slots.resize_with(sessions, || None);
        Self { slots, attached: 0 }
    }

    fn attach(&mut self, poller: &Poller, id: SessionId, rtp: UdpSocket, rtcp: UdpSocket) {
        let leg = Leg { id, rtp: Socket::steady(rtp), rtcp: Socket::occasional(rtcp), opened: false };
        // Without memory for the registration the session stays deaf, and ends by its media timeout.
        let _ = poller.add(&leg.rtp, Token::new(id, Channel::Rtp).0);
        let _ = poller.add(&leg.rtcp, Token::new(id, Channel::Rtcp).0);
        if let Some(slot) = self.slots.get_mut(id.slot() as usize) {
            self.attached += usize::from(slot.is_none());
            *slot = Some(leg);
        }
    }

    fn open(&mut self, id: SessionId) {
        if let Some(leg) = self.leg(id) {
            leg.opened = true;
        }
    }

    fn is_unopened(&mut self, id: SessionId) -> bool {
        self.leg(id).is_some_and(|leg| !leg.opened)
    }

    /// Closes the sockets.
    fn detach(&mut self, id: SessionId) {
        if self.leg(id).is_some() {
            self.slots[id.slot() as usize] = None;
            self.attached -= 1;
        }
    }

    #[inline]
    fn leg(&mut self, id: SessionId) -> Option<&mut Leg> {
        self.slots.get_mut(id.slot() as usize)?.as_mut().filter(|leg| leg.id == id)
    }

    /// A pass may report a socket that was closed within it.
    #[inline]
    fn find(&mut self, token: Token) -> Option<&mut Leg> {
        self.slots.get_mut(token.slot())?.as_mut().filter(|leg| leg.id.generation() == token.generation())
    }

    fn check_silence(&mut self, beat: u64) {
        for leg in self.slots.iter_mut().flatten() {
            leg.rtp.check_silence(beat);
        }
    }
}

/// What the kernel says of a ready socket: generation (24 bits), slot (32), channel (1).
#[derive(Debug, Clone, Copy)]
struct Token(u64);

impl Token {
    fn new(id: SessionId, channel: Channel) -> Self {
        let channel = match channel {
            Channel::Rtp => 0,
            Channel::Rtcp => 1,
        };
        Self((u64::from(id.generation()) << 33) | (u64::from(id.slot()) << 1) | channel)
    }

    fn channel(self) -> Channel {
        if self.0 & 1 == 0 { Channel::Rtp } else { Channel::Rtcp }
    }

    fn slot(self) -> usize {
        (self.0 >> 1) as u32 as usize
    }

    fn generation(self) -> u32 {
        (self.0 >> 33) as u32
    }
}

/// Longest datagram that is taken, bytes; what is longer is not telephony.
const DATAGRAM: usize = 2048;
/// Sockets reported per pass.
const BATCH: usize = 512;
/// Passes per beat, besides those that many sessions need.
const PASSES: usize = 16;
/// Commands per beat.
const COMMANDS: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_session_and_channel() {
        let id = SessionId::new(3, 0xFFFF_FFFF, 0x00FF_FFFF);
        for channel in [Channel::Rtp, Channel::Rtcp] {
            let token = Token::new(id, channel);
            assert_eq!((token.slot(), token.generation()), (0xFFFF_FFFF, 0x00FF_FFFF));
            assert_eq!(token.channel(), channel);
        }
    }
}
