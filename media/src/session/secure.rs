//! Where plain packets end: what arrives is opened before anything looks at it, what leaves is protected last.

use std::time::{Duration, Instant};

use super::Session;
use crate::{
    rtp::Class,
    shard::Output,
    srtp::{Keys, MasterKey, ReceiveContext, SendContext, SrtpError},
};

/// The keys of a session at work.
#[derive(Debug)]
pub(crate) struct Secure {
    keys: Keys,
    send: SendContext,
    receive: ReceiveContext,
    /// What the peer may still use for a moment after it got a new key.
    before: Option<(ReceiveContext, Instant)>,
    /// Contexts of keys we sent with before. A key that comes back, as it does when several answers come to one
    /// offer, goes on counting where it stopped: no number is used twice under one key.
    shelf: Vec<(MasterKey, SendContext)>,
}

/// Packets that were refused.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    pub(crate) unauthenticated: u64,
    pub(crate) replayed: u64,
}

impl Secure {
    fn new(keys: &Keys) -> Self {
        Self {
            send: SendContext::new(&keys.send),
            receive: ReceiveContext::new(&keys.receive),
            keys: keys.clone(),
            before: None,
            shelf: Vec::new(),
        }
    }

    /// Takes over what an offer/answer changed; a key that stays goes on with its rollover counter.
    fn change(&mut self, now: Instant, keys: &Keys) {
        if keys.send != self.keys.send {
            let next = match self.shelf.iter().position(|(key, _)| *key == keys.send) {
                Some(place) => self.shelf.swap_remove(place).1,
                None => SendContext::new(&keys.send),
            };
            let before = std::mem::replace(&mut self.send, next);
            if self.shelf.len() == SHELF {
                self.shelf.remove(0);
            }
            self.shelf.push((self.keys.send.clone(), before));
        }
        if keys.receive != self.keys.receive {
            let before = std::mem::replace(&mut self.receive, ReceiveContext::new(&keys.receive));
            self.before = Some((before, now + OVERLAP));
        }
        self.keys = keys.clone();
    }

    fn open(&mut self, now: Instant, class: Class, datagram: &mut [u8]) -> Result<usize, SrtpError> {
        let open = |context: &mut ReceiveContext, datagram: &mut [u8]| match class {
            Class::Rtcp => context.unprotect_rtcp(datagram),
            Class::Rtp | Class::Stun | Class::Dtls | Class::Other => context.unprotect_rtp(datagram),
        };
        let result = open(&mut self.receive, datagram);
        let Some((before, until)) = &mut self.before else { return result };
        if now >= *until {
            self.before = None;
            return result;
        }
        // What fails is left as it was, so the older key may still open it.
        result.or_else(|error| open(before, datagram).map_err(|_| error))
    }
}

impl Session {
    /// Keys as agreed upon, or none: packets are plain.
    pub(super) fn secure(&mut self, now: Instant, keys: Option<&Keys>) {
        match (&mut self.secure, keys) {
            (_, None) => self.secure = None,
            (Some(secure), Some(keys)) => secure.change(now, keys),
            (None, Some(keys)) => self.secure = Some(Box::new(Secure::new(keys))),
        }
    }

    /// Opens a datagram of the peer in place. `None`: it is not genuine, or was received before.
    pub(crate) fn unprotect<'a>(
        &mut self,
        now: Instant,
        class: Class,
        datagram: &'a mut [u8],
    ) -> Option<&'a mut [u8]> {
        let Some(secure) = &mut self.secure else { return Some(datagram) };
        match secure.open(now, class, datagram) {
            Ok(length) => Some(&mut datagram[..length]),
            Err(SrtpError::Replayed) => {
                self.refused.replayed += 1;
                None
            }
            Err(SrtpError::Malformed | SrtpError::Unauthenticated | SrtpError::Exhausted) => {
                self.refused.unauthenticated += 1;
                None
            }
        }
    }

    /// What protecting adds to an RTP packet.
    pub(super) fn rtp_overhead(&self) -> usize {
        self.secure.as_ref().map_or(0, |secure| secure.send.suite().rtp_overhead())
    }

    /// What protecting adds to a report.
    pub(super) fn rtcp_overhead(&self) -> usize {
        self.secure.as_ref().map_or(0, |secure| secure.send.suite().rtcp_overhead())
    }

    /// Protects the datagram that was just written, or takes it back: what cannot be protected does not leave.
    pub(super) fn protect(&mut self, class: Class, out: &mut Output) {
        let Some(secure) = &mut self.secure else { return };
        let Some(datagram) = out.last_transmit() else { return };
        let done = match class {
            Class::Rtcp => secure.send.protect_rtcp(datagram),
            Class::Rtp | Class::Stun | Class::Dtls | Class::Other => secure.send.protect_rtp(datagram),
        };
        if done.is_err() {
            out.withdraw();
        }
    }
}

/// How long the peer may go on with its former key.
const OVERLAP: Duration = Duration::from_secs(5);

/// Former keys of ours that are kept.
const SHELF: usize = 4;
