//! Datagrams under way, with what a real network does to them.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::random::Random;

/// What happens to datagrams from one host to another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// Every datagram takes at least so long.
    pub delay: Duration,
    /// And up to so much longer, each by its own; more than the packet time reorders.
    pub jitter: Duration,
    /// Share of SIP datagrams that are lost, 0 to 1.
    pub sip_loss: f64,
    /// Share of RTP and RTCP datagrams that are lost, 0 to 1.
    pub rtp_loss: f64,
    /// Share of datagrams that arrive twice, 0 to 1.
    pub duplicate: f64,
}

impl Default for Link {
    /// One millisecond, nothing else.
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(1),
            jitter: Duration::ZERO,
            sip_loss: 0.0,
            rtp_loss: 0.0,
            duplicate: 0.0,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Datagram {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Bytes,
}

#[derive(Debug)]
pub(crate) struct Network {
    links: BTreeMap<(IpAddr, IpAddr), Link>,
    default: Link,
    under_way: BTreeMap<(Instant, u64), Datagram>,
    serial: u64,
    random: Random,
}

impl Network {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            links: BTreeMap::new(),
            default: Link::default(),
            under_way: BTreeMap::new(),
            serial: 0,
            random: Random::new(seed),
        }
    }

    pub(crate) fn set_default(&mut self, link: Link) {
        self.default = link;
    }

    pub(crate) fn set_link(&mut self, from: IpAddr, to: IpAddr, link: Link) {
        self.links.insert((from, to), link);
    }

    pub(crate) fn send(&mut self, now: Instant, is_sip: bool, datagram: Datagram) {
        let link = *self.links.get(&(datagram.from.ip(), datagram.to.ip())).unwrap_or(&self.default);
        let loss = if is_sip { link.sip_loss } else { link.rtp_loss };
        if self.random.chance(loss) {
            return;
        }
        if self.random.chance(link.duplicate) {
            let twin = Datagram { bytes: datagram.bytes.clone(), ..datagram };
            self.enqueue(now, link, twin);
        }
        self.enqueue(now, link, datagram);
    }

    fn enqueue(&mut self, now: Instant, link: Link, datagram: Datagram) {
        let at = now + link.delay + self.random.between(Duration::ZERO, link.jitter);
        self.serial += 1;
        self.under_way.insert((at, self.serial), datagram);
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.under_way.first_key_value().map(|((at, _), _)| *at)
    }

    pub(crate) fn arrive(&mut self, now: Instant) -> Option<Datagram> {
        let entry = self.under_way.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }
}
