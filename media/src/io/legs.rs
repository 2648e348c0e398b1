//! The sockets of a worker's sessions.

use std::net::UdpSocket;

use super::socket::{Poller, Socket};
use crate::{
    command::SessionId,
    shard::{Channel, Guests},
};

/// The sockets of a worker's sessions, by slot.
pub(crate) struct Legs {
    slots: Vec<Option<Leg>>,
    guests: Guests,
    attached: usize,
}

/// The sockets of one session.
pub(crate) struct Leg {
    id: SessionId,
    rtp: Socket,
    rtcp: Socket,
    /// The shard knows the session.
    opened: bool,
}

impl Leg {
    pub(crate) fn new(id: SessionId, rtp: UdpSocket, rtcp: UdpSocket) -> Self {
        Self { id, rtp: Socket::steady(rtp), rtcp: Socket::occasional(rtcp), opened: false }
    }

    pub(crate) fn id(&self) -> SessionId {
        self.id
    }

    pub(crate) fn is_opened(&self) -> bool {
        self.opened
    }

    #[inline]
    pub(crate) fn socket(&mut self, channel: Channel) -> &mut Socket {
        match channel {
            Channel::Rtp => &mut self.rtp,
            Channel::Rtcp => &mut self.rtcp,
        }
    }
}

impl Legs {
    pub(crate) fn new(slots: usize) -> Self {
        let mut empty = Vec::new();
        empty.resize_with(slots, || None);
        Self { slots: empty, guests: Guests::default(), attached: 0 }
    }

    /// How many there are.
    pub(crate) fn attached(&self) -> usize {
        self.attached
    }

    pub(crate) fn attach(&mut self, poller: &Poller, slot: u32, leg: Leg) {
        // Without memory for the registration the session stays deaf, and ends by its media timeout.
        for (socket, channel) in [(&leg.rtp, Channel::Rtp), (&leg.rtcp, Channel::Rtcp)] {
            let _ = poller.add(socket, Token::new(slot, leg.id.generation(), channel).0);
        }
        if let Some(seat) = self.slots.get_mut(slot as usize) {
            self.attached += usize::from(seat.is_none());
            self.guests.insert(leg.id, slot);
            *seat = Some(leg);
        }
    }

    pub(crate) fn open(&mut self, id: SessionId) {
        if let Some(leg) = self.leg(id) {
            leg.opened = true;
        }
    }

    pub(crate) fn is_unopened(&mut self, id: SessionId) -> bool {
        self.leg(id).is_some_and(|leg| !leg.opened)
    }

    /// Gives the sockets away; dropping them closes them.
    pub(crate) fn detach(&mut self, id: SessionId) -> Option<Leg> {
        let slot = self.slot(id)?;
        self.guests.remove(id);
        self.attached -= 1;
        self.slots[slot].take()
    }

    /// As [`Self::detach`], for another worker: this one is told of them no more.
    pub(crate) fn send_off(&mut self, poller: &Poller, id: SessionId) -> Option<Leg> {
        let leg = self.detach(id)?;
        poller.remove(&leg.rtp);
        poller.remove(&leg.rtcp);
        Some(leg)
    }

    #[inline]
    pub(crate) fn leg(&mut self, id: SessionId) -> Option<&mut Leg> {
        let slot = self.slot(id)?;
        self.slots[slot].as_mut()
    }

    #[inline]
    fn slot(&self, id: SessionId) -> Option<usize> {
        let at_home = self.slots.get(id.slot() as usize).and_then(Option::as_ref);
        if at_home.is_some_and(|leg| leg.id == id) {
            return Some(id.slot() as usize);
        }
        self.guests.slot(id)
    }

    /// A pass may report a socket that was closed within it.
    #[inline]
    pub(crate) fn find(&mut self, token: Token) -> Option<&mut Leg> {
        self.slots.get_mut(token.slot())?.as_mut().filter(|leg| leg.id.generation() == token.generation())
    }

    pub(crate) fn check_silence(&mut self, beat: u64) {
        for leg in self.slots.iter_mut().flatten() {
            leg.rtp.check_silence(beat);
        }
    }
}

/// What the kernel says of a ready socket: generation (24 bits), slot (32), channel (1).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token(pub(crate) u64);

impl Token {
    fn new(slot: u32, generation: u32, channel: Channel) -> Self {
        let channel = match channel {
            Channel::Rtp => 0,
            Channel::Rtcp => 1,
        };
        Self((u64::from(generation) << 33) | (u64::from(slot) << 1) | channel)
    }

    pub(crate) fn channel(self) -> Channel {
        if self.0 & 1 == 0 { Channel::Rtp } else { Channel::Rtcp }
    }

    fn slot(self) -> usize {
        (self.0 >> 1) as u32 as usize
    }

    fn generation(self) -> u32 {
        (self.0 >> 33) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_slot_generation_and_channel() {
        for channel in [Channel::Rtp, Channel::Rtcp] {
            let token = Token::new(0xFFFF_FFFF, 0x00FF_FFFF, channel);
            assert_eq!((token.slot(), token.generation()), (0xFFFF_FFFF, 0x00FF_FFFF));
            assert_eq!(token.channel(), channel);
        }
    }
}
