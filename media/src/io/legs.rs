//! The sockets of a worker's sessions.

use std::net::{SocketAddr, UdpSocket};

use super::{
    shared_port::{Incoming, SharedPort},
    socket::{self, Poller, Sent, Socket},
};
use crate::{
    command::SessionId,
    config::SessionConfig,
    shard::{Channel, Guests, Transmit},
};

/// The sockets of a worker's sessions, by slot.
pub(crate) struct Legs {
    slots: Vec<Option<Leg>>,
    guests: Guests,
    attached: usize,
    /// Ports that several legs use.
    shared: Vec<SharedPort>,
}

/// How one session reaches its peer.
pub(crate) struct Leg {
    id: SessionId,
    ends: Ends,
    /// The shard knows the session.
    opened: bool,
    /// The beat it was last heard in, and how often in it.
    heard: (u64, u8),
}

enum Ends {
    /// Sockets of its own; without the second one it has no RTCP.
    Own { rtp: Socket, rtcp: Option<Socket> },
    /// A port it shares with others, and where its peer is.
    Shared { port: u16, rtp: SocketAddr, rtcp: Option<SocketAddr> },
}

impl Leg {
    pub(crate) fn new(id: SessionId, rtp: UdpSocket, rtcp: UdpSocket) -> Self {
        let ends = Ends::Own { rtp: Socket::steady(rtp), rtcp: Some(Socket::occasional(rtcp)) };
        Self { id, ends, opened: false, heard: (0, 0) }
    }

    /// On a shared port; `remote` is nobody else's there.
    pub(crate) fn sharing(id: SessionId, port: u16, remote: SocketAddr) -> Self {
        Self { id, ends: Ends::Shared { port, rtp: remote, rtcp: None }, opened: false, heard: (0, 0) }
    }

    pub(crate) fn id(&self) -> SessionId {
        self.id
    }

    pub(crate) fn is_opened(&self) -> bool {
        self.opened
    }

    /// Its own socket.
    #[inline]
    pub(crate) fn socket(&mut self, channel: Channel) -> Option<&mut Socket> {
        match (&mut self.ends, channel) {
            (Ends::Own { rtp, .. }, Channel::Rtp) => Some(rtp),
            (Ends::Own { rtcp, .. }, Channel::Rtcp) => rtcp.as_mut(),
            (Ends::Shared { .. }, _) => None,
        }
    }

    /// Whether a datagram more may be taken in this beat.
    #[inline]
    pub(crate) fn takes(&mut self, beat: u64) -> bool {
        if self.heard.0 != beat {
            self.heard = (beat, 0);
        }
        self.heard.1 += u8::from(self.heard.1 < LEG_PER_BEAT);
        self.heard.1 < LEG_PER_BEAT
    }
}

impl Legs {
    pub(crate) fn new(slots: usize) -> Self {
        let mut empty = Vec::new();
        empty.resize_with(slots, || None);
        Self { slots: empty, guests: Guests::default(), attached: 0, shared: Vec::new() }
    }

    /// How many there are.
    pub(crate) fn attached(&self) -> usize {
        self.attached
    }

    pub(crate) fn attach(&mut self, poller: &Poller, slot: u32, leg: Leg) {
        if self.slots.get(slot as usize).is_none() {
            return;
        }
        match &leg.ends {
            Ends::Own { rtp, rtcp } => watch(poller, slot, leg.id, rtp, rtcp.as_ref()),
            Ends::Shared { port, rtp, .. } => {
                if let Some(port) = self.shared.get_mut(usize::from(*port)) {
                    port.remotes(Channel::Rtp).insert(*rtp, slot);
                }
            }
        }
        let seat = &mut self.slots[slot as usize];
        self.attached += usize::from(seat.is_none());
        self.guests.insert(leg.id, slot);
        *seat = Some(leg);
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
        let leg = self.slots[slot].take()?;
        if let Ends::Shared { port, rtp, rtcp } = &leg.ends {
            self.forget(*port, *rtp, *rtcp);
        }
        Some(leg)
    }

    /// As [`Self::detach`], for another worker: this one is told of them no more.
    pub(crate) fn send_off(&mut self, poller: &Poller, id: SessionId) -> Option<Leg> {
        let leg = self.detach(id)?;
        if let Ends::Own { rtp, rtcp } = &leg.ends {
            poller.remove(rtp);
            if let Some(rtcp) = rtcp {
                poller.remove(rtcp);
            }
        }
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
            if let Ends::Own { rtp, .. } = &mut leg.ends {
                rtp.check_silence(beat);
            }
        }
    }

    // ---- sending -----------------------------------------------------------------------------------------------

    /// Sends a datagram, on a shared port with the next [`Self::flush`]. Returns how many the kernel refused.
    #[inline]
    pub(crate) fn send(&mut self, beat: u64, transmit: &Transmit<'_>) -> u64 {
        let Transmit { session, channel, destination, locked, bytes } = *transmit;
        let Some(slot) = self.slot(session) else { return 0 };
        let Some(leg) = &mut self.slots[slot] else { return 0 };
        if let Ends::Shared { port, .. } = &leg.ends {
            let port = self.shared.get_mut(usize::from(*port));
            return port.map_or(1, |port| port.send(channel, destination, bytes));
        }
        let Some(socket) = leg.socket(channel) else { return 0 };
        u64::from(socket.send(beat, destination, locked, bytes) == Sent::Dropped)
    }

    /// Sends what waits for the next batch.
    #[inline]
    pub(crate) fn flush(&mut self) -> u64 {
        self.shared.iter_mut().map(|port| port.flush()).sum()
    }

    // ---- shared ports ------------------------------------------------------------------------------------------

    /// One more shared port; they are numbered as they come.
    pub(crate) fn share(&mut self, port: SharedPort) {
        self.shared.push(port);
    }

    pub(crate) fn shared(&self) -> usize {
        self.shared.len()
    }

    /// Reads a batch from a shared port; returns how many datagrams came.
    pub(crate) fn receive_shared(&self, port: usize, channel: Channel, into: &mut Incoming) -> usize {
        self.shared.get(port).map_or(0, |port| into.receive(port.socket(channel)))
    }

    /// Whose datagram that is, on a shared port. Nobody's, if the sender is unknown or sends too much.
    #[inline]
    pub(crate) fn recipient(
        &mut self,
        port: usize,
        channel: Channel,
        from: SocketAddr,
        beat: u64,
    ) -> Result<SessionId, Unwanted> {
        let slot = self.shared.get(port).and_then(|port| port.find(channel, from));
        let leg = slot.and_then(|slot| self.slots.get_mut(slot as usize)).and_then(Option::as_mut);
        let leg = leg.ok_or(Unwanted::Stranger)?;
        if leg.takes(beat) { Ok(leg.id) } else { Err(Unwanted::Surplus) }
    }

    /// A peer on a shared port is elsewhere after an offer/answer.
    pub(crate) fn reach(&mut self, id: SessionId, config: &SessionConfig) {
        let Some(slot) = self.slot(id) else { return };
        let Some(Leg { ends: Ends::Shared { port, rtp, rtcp }, .. }) = &mut self.slots[slot] else { return };
        let Some(shared) = self.shared.get_mut(usize::from(*port)) else { return };
        if let Some(remote) = config.remote.filter(|remote| remote != rtp) {
            // Where somebody else is already, this one stays unheard: nobody may hear another's peer.
            shared.remotes(Channel::Rtp).remove(*rtp);
            shared.remotes(Channel::Rtp).insert(remote, slot as u32);
            *rtp = remote;
        }
        let reports = config.remote_rtcp.filter(|_| !config.rtcp_mux);
        if reports != *rtcp {
            if let Some(before) = rtcp.take() {
                shared.remotes(Channel::Rtcp).remove(before);
            }
            *rtcp = reports.filter(|&remote| shared.remotes(Channel::Rtcp).insert(remote, slot as u32));
        }
    }

    fn forget(&mut self, port: u16, rtp: SocketAddr, rtcp: Option<SocketAddr>) {
        let Some(port) = self.shared.get_mut(usize::from(port)) else { return };
        port.remotes(Channel::Rtp).remove(rtp);
        if let Some(rtcp) = rtcp {
            port.remotes(Channel::Rtcp).remove(rtcp);
        }
    }

    /// Gives a leg sockets of its own on the port it shared, so that it can leave its worker: the kernel prefers a
    /// connected socket for what its peer sends. Whether it has such sockets now.
    pub(crate) fn separate(&mut self, poller: &Poller, id: SessionId) -> bool {
        let Some(slot) = self.slot(id) else { return true };
        let Some(Leg { ends: Ends::Shared { port, rtp, rtcp }, .. }) = &self.slots[slot] else { return true };
        let (port, rtp, rtcp) = (*port, *rtp, *rtcp);
        let Some(shared) = self.shared.get(usize::from(port)) else { return false };
        let Ok(own) = socket::split_off(shared.socket(Channel::Rtp), rtp) else { return false };
        let reports = rtcp.and_then(|rtcp| {
            Some(Socket::fixed(socket::split_off(shared.socket(Channel::Rtcp), rtcp).ok()?, rtcp))
        });
        let own = Socket::fixed(own, rtp);
        watch(poller, slot as u32, id, &own, reports.as_ref());
        self.forget(port, rtp, rtcp);
        if let Some(leg) = &mut self.slots[slot] {
            leg.ends = Ends::Own { rtp: own, rtcp: reports };
        }
        true
    }
}

/// Why a datagram on a shared port is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unwanted {
    /// Nobody expects the sender.
    Stranger,
    /// Its leg had enough in this beat.
    Surplus,
}

fn watch(poller: &Poller, slot: u32, id: SessionId, rtp: &Socket, rtcp: Option<&Socket>) {
    // Without memory for the registration the session stays deaf, and ends by its media timeout.
    let _ = poller.add(rtp, Token::new(slot, id.generation(), Channel::Rtp).0);
    if let Some(rtcp) = rtcp {
        let _ = poller.add(rtcp, Token::new(slot, id.generation(), Channel::Rtcp).0);
    }
}

/// Datagrams of one leg that are taken in one beat.
const LEG_PER_BEAT: u8 = 16;

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
