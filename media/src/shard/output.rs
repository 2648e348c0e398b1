//! What a shard wants sent and told, until it is fetched.

use std::{collections::VecDeque, net::SocketAddr};

use crate::{command::SessionId, event::Event};

/// Which of a session's two sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// The even port.
    Rtp,
    /// The odd port after it.
    Rtcp,
}

/// A datagram to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit<'a> {
    /// Whose socket.
    pub session: SessionId,
    /// Which of its sockets.
    pub channel: Channel,
    /// Where to.
    pub destination: SocketAddr,
    /// The peer's address is known, not only announced: the socket may be connected to it.
    pub locked: bool,
    /// The datagram.
    pub bytes: &'a [u8],
}

/// Datagrams and events of one shard. Memory is reserved when sessions open, and kept.
#[derive(Debug, Default)]
pub(crate) struct Output {
    arena: Vec<u8>,
    transmits: VecDeque<Entry>,
    events: VecDeque<Event>,
    /// Datagrams produced since the beginning.
    pub(crate) produced: u64,
}

#[derive(Debug)]
struct Entry {
    session: SessionId,
    channel: Channel,
    destination: SocketAddr,
    locked: bool,
    start: usize,
    length: usize,
}

impl Output {
    /// Makes room for what so many sessions produce at a time.
    pub(crate) fn reserve(&mut self, sessions: usize) {
        let missing = |wanted: usize, length: usize| wanted.saturating_sub(length);
        self.arena.reserve(missing(sessions * BYTES_PER_SESSION, self.arena.len()));
        self.transmits.reserve(missing(sessions * TRANSMITS_PER_SESSION, self.transmits.len()));
        self.events.reserve(missing(sessions * EVENTS_PER_SESSION, self.events.len()));
    }

    /// A datagram, which `write` appends to what it is given.
    pub(crate) fn transmit(
        &mut self,
        session: SessionId,
        channel: Channel,
        destination: SocketAddr,
        locked: bool,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let start = self.arena.len();
        write(&mut self.arena);
        let length = self.arena.len() - start;
        self.transmits.push_back(Entry { session, channel, destination, locked, start, length });
        self.produced += 1;
    }

    /// The datagram that was asked for last, to be finished.
    pub(crate) fn last_transmit(&mut self) -> Option<&mut [u8]> {
        let last = self.transmits.back()?;
        Some(&mut self.arena[last.start..last.start + last.length])
    }

    /// Forgets the datagram that was asked for last.
    pub(crate) fn withdraw(&mut self) {
        if let Some(last) = self.transmits.pop_back() {
            self.arena.truncate(last.start);
            self.produced -= 1;
        }
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        let Some(Entry { session, channel, destination, locked, start, length }) = self.transmits.pop_front()
        else {
            self.arena.clear();
            return None;
        };
        Some(Transmit { session, channel, destination, locked, bytes: &self.arena[start..start + length] })
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}

/// A frame of their own, a relayed one and a report.
const BYTES_PER_SESSION: usize = 1_024;
const TRANSMITS_PER_SESSION: usize = 4;
const EVENTS_PER_SESSION: usize = 8;
