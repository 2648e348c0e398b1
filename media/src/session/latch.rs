//! Symmetric RTP without bleeding: learn the peer's real address, and only that (RFC 4961, RFC 7362).

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use crate::{config::Latch as Mode, rtp::Header};

/// Where RTP of the peer comes from and ours goes to.
#[derive(Debug)]
pub(crate) struct Latch {
    mode: Mode,
    /// The address of the SDP.
    signaled: Option<SocketAddr>,
    signaling_ip: Option<IpAddr>,
    current: Option<Source>,
    /// The address that a newer SDP replaced; its late packets must not win it back.
    retired: Option<SocketAddr>,
    open_until: Instant,
    candidates: [Option<Candidate>; CANDIDATES],
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// From the peer.
    Accept,
    /// From the peer, whose address was just learned and is not that of the SDP.
    Learned(SocketAddr),
    /// From somebody else, or not yet believed.
    Drop,
}

impl Latch {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            mode: Mode::default(),
            signaled: None,
            signaling_ip: None,
            current: None,
            retired: None,
            open_until: now,
            candidates: [None; CANDIDATES],
        }
    }

    /// Takes over the result of an offer/answer and listens for another source for a while.
    pub(crate) fn configure(
        &mut self,
        now: Instant,
        mode: Mode,
        signaled: Option<SocketAddr>,
        signaling_ip: Option<IpAddr>,
    ) {
        self.mode = mode;
        self.signaling_ip = signaling_ip;
        self.open_until = now + REOPEN;
        self.candidates = [None; CANDIDATES];
        let Some(signaled) = signaled else { return };
        // A hold by 0.0.0.0 (RFC 2543 style) says nothing about where the peer is.
        if signaled.ip().is_unspecified() && self.signaled.is_some() {
            return;
        }
        let before = self.signaled.replace(signaled);
        if before == Some(signaled) {
            return;
        }
        self.retired = None;
        if self.current.is_some_and(|current| current.address != signaled) {
            if !is_private(signaled.ip()) {
                self.retired = self.current.map(|current| current.address);
            }
            self.current = None;
        }
    }

    /// Where to send.
    pub(crate) fn destination(&self) -> Option<SocketAddr> {
        self.current
            .map(|current| current.address)
            .or_else(|| self.signaled.filter(|address| !address.ip().is_unspecified() && address.port() != 0))
    }

    /// Whether the source is known, not only announced.
    pub(crate) fn is_locked(&self) -> bool {
        self.current.is_some()
    }

    /// Decides about a packet that is RTP of a negotiated payload type. `frame` is the packet time.
    pub(crate) fn judge(
        &mut self,
        now: Instant,
        from: SocketAddr,
        header: &Header,
        frame: Duration,
    ) -> Verdict {
        let Some(signaled) = self.signaled else { return Verdict::Drop };
        if let Some(current) = &mut self.current {
            if current.address == from {
                current.heard(now, header);
                return Verdict::Accept;
            }
            if !current.may_be_replaced(now, self.open_until, header, from == signaled) {
                return Verdict::Drop;
            }
            // Whoever was announced and still talks is not replaced by somebody who was not.
            if current.address == signaled && !current.is_silent(now) {
                return Verdict::Drop;
            }
        }
        if from == signaled {
            self.lock(now, from, header);
            return Verdict::Accept;
        }
        if !self.is_eligible(from, signaled) || !self.on_probation(now, from, header, frame) {
            return Verdict::Drop;
        }
        self.lock(now, from, header);
        Verdict::Learned(from)
    }

    fn lock(&mut self, now: Instant, from: SocketAddr, header: &Header) {
        self.current =
            Some(Source { address: from, ssrc: header.ssrc, sequence: header.sequence, heard: now });
        self.candidates = [None; CANDIDATES];
    }

    fn is_eligible(&self, from: SocketAddr, signaled: SocketAddr) -> bool {
        if self.retired == Some(from) {
            return false;
        }
        match self.mode {
            Mode::Off => false,
            Mode::SameIp if from.ip() == signaled.ip() => true,
            Mode::SameIp => is_private(signaled.ip()) && self.signaling_ip == Some(from.ip()),
            Mode::Any => true,
        }
    }

    /// Counts consecutive packets of one source; true when there are enough, and not all at once.
    fn on_probation(&mut self, now: Instant, from: SocketAddr, header: &Header, frame: Duration) -> bool {
        let known = self.candidates.iter_mut().flatten().find(|candidate| candidate.address == from);
        let Some(candidate) = known else {
            let fresh = Candidate::new(now, from, header);
            let oldest = self.candidates.iter_mut().min_by_key(|slot| slot.map(|candidate| candidate.last));
            if let Some(slot) = oldest {
                *slot = Some(fresh);
            }
            return false;
        };
        if candidate.ssrc != header.ssrc || candidate.next != header.sequence {
            *candidate = Candidate::new(now, from, header);
            return false;
        }
        candidate.next = header.sequence.wrapping_add(1);
        candidate.count = candidate.count.saturating_add(1);
        candidate.last = now;
        candidate.count >= PROBATION
            && now.saturating_duration_since(candidate.first) >= frame * u32::from(PROBATION) / 2
    }
}

#[derive(Debug, Clone, Copy)]
struct Source {
    address: SocketAddr,
    ssrc: u32,
    sequence: u16,
    heard: Instant,
}

impl Source {
    fn heard(&mut self, now: Instant, header: &Header) {
        (self.ssrc, self.sequence, self.heard) = (header.ssrc, header.sequence, now);
    }

    fn is_silent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.heard) > SILENT
    }

    fn may_be_replaced(&self, now: Instant, open_until: Instant, header: &Header, announced: bool) -> bool {
        if now < open_until {
            return true;
        }
        // A NAT that forgot its binding: the stream goes on elsewhere.
        let ahead = header.sequence.wrapping_sub(self.sequence);
        let continues = header.ssrc == self.ssrc && (1..=MAX_AHEAD).contains(&ahead);
        self.is_silent(now) && (continues || announced)
    }
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    address: SocketAddr,
    ssrc: u32,
    next: u16,
    count: u8,
    first: Instant,
    last: Instant,
}

impl Candidate {
    fn new(now: Instant, address: SocketAddr, header: &Header) -> Self {
        let next = header.sequence.wrapping_add(1);
        Self { address, ssrc: header.ssrc, next, count: 1, first: now, last: now }
    }
}

/// Addresses nobody can send to from outside.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xC0 == 64;
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || shared
        }
        IpAddr::V6(ip) => {
            let unique_local = ip.segments()[0] & 0xFE00 == 0xFC00;
            let link_local = ip.segments()[0] & 0xFFC0 == 0xFE80;
            ip.is_loopback() || ip.is_unspecified() || unique_local || link_local
        }
    }
}

/// Consecutive packets before a source that was not announced is believed.
const PROBATION: u8 = 4;

/// Sources on probation at a time.
const CANDIDATES: usize = 4;

/// How long after an offer/answer another source may be learned.
const REOPEN: Duration = Duration::from_secs(5);

/// How long the known source must be silent before its stream may come from elsewhere.
const SILENT: Duration = Duration::from_secs(2);

/// How far a stream may have gone on while its source was silent, packets.
const MAX_AHEAD: u16 = 3_000;

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Duration = Duration::from_millis(20);

    struct Bench {
        latch: Latch,
        now: Instant,
        sequence: u16,
    }

    impl Bench {
        fn new(mode: Mode, signaled: &str) -> Self {
            let now = base();
            let mut latch = Latch::new(now);
            latch.configure(now, mode, Some(address(signaled)), Some(address("198.51.100.7:5060").ip()));
            Self { latch, now, sequence: 100 }
        }

        fn wait(&mut self, ms: u64) {
            self.now += Duration::from_millis(ms);
        }

        fn packets(&mut self, from: &str, ssrc: u32, count: u16) -> Verdict {
            let mut verdict = Verdict::Drop;
            for _ in 0..count {
                self.wait(20);
                self.sequence += 1;
                let header =
                    Header { payload_type: 0, marker: false, sequence: self.sequence, timestamp: 0, ssrc };
                verdict = self.latch.judge(self.now, address(from), &header, FRAME);
            }
            verdict
        }
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[expect(clippy::disallowed_methods, reason = "a base for virtual time")]
    fn base() -> Instant {
        Instant::now()
    }

    #[test]
    fn nothing_is_learned_before_an_address_is_announced() {
        let mut latch = Latch::new(base());
        let header = Header { payload_type: 0, marker: false, sequence: 1, timestamp: 0, ssrc: 1 };
        for _ in 0..10 {
            assert_eq!(latch.judge(base(), address("192.0.2.1:4000"), &header, FRAME), Verdict::Drop);
        }
        assert_eq!(latch.destination(), None);
    }

    #[test]
    fn the_announced_address_is_believed_at_once_and_others_are_not() {
        let mut bench = Bench::new(Mode::SameIp, "192.0.2.1:4000");
        assert_eq!(bench.packets("192.0.2.1:4000", 1, 1), Verdict::Accept);
        assert!(bench.latch.is_locked());
        assert_eq!(bench.packets("203.0.113.9:4000", 1, 50), Verdict::Drop);
        assert_eq!(bench.packets("192.0.2.1:4002", 1, 50), Verdict::Drop);
        assert_eq!(bench.packets("192.0.2.1:4000", 1, 1), Verdict::Accept);
    }

    #[test]
    fn another_port_is_learned_after_four_packets_and_not_mirrored_before() {
        let mut bench = Bench::new(Mode::SameIp, "192.0.2.1:4000");
        assert_eq!(bench.packets("192.0.2.1:5000", 1, 3), Verdict::Drop);
        assert_eq!(bench.latch.destination(), Some(address("192.0.2.1:4000")));
        assert_eq!(bench.packets("192.0.2.1:5000", 1, 1), Verdict::Learned(address("192.0.2.1:5000")));
        assert_eq!(bench.latch.destination(), Some(address("192.0.2.1:5000")));
    }

    #[test]
    fn a_flood_passes_no_probation_until_it_took_its_time() {
        let mut bench = Bench::new(Mode::Any, "192.0.2.1:4000");
        for sequence in 0..20 {
            let header = Header { payload_type: 0, marker: false, sequence, timestamp: 0, ssrc: 1 };
            assert_eq!(bench.latch.judge(bench.now, address("203.0.113.9:1"), &header, FRAME), Verdict::Drop);
        }
    }

    #[test]
    fn a_private_address_is_replaced_by_where_signaling_comes_from_only() {
        let mut bench = Bench::new(Mode::SameIp, "10.0.0.5:4000");
        assert_eq!(bench.packets("203.0.113.9:4000", 1, 20), Verdict::Drop);
        let nat = "198.51.100.7:61000";
        assert_eq!(bench.packets(nat, 2, 4), Verdict::Learned(address(nat)));
    }

    #[test]
    fn a_stranger_between_the_peers_packets_does_not_stop_its_probation() {
        let mut bench = Bench::new(Mode::Any, "10.0.0.5:4000");
        let mut learned = None;
        for sequence in 0..5 {
            bench.wait(20);
            for from in ["203.0.113.9:1", "203.0.113.9:2"] {
                let header =
                    Header { payload_type: 0, marker: false, sequence: sequence * 7, timestamp: 0, ssrc: 9 };
                assert_eq!(bench.latch.judge(bench.now, address(from), &header, FRAME), Verdict::Drop);
            }
            let header = Header { payload_type: 0, marker: false, sequence, timestamp: 0, ssrc: 1 };
            if let Verdict::Learned(from) =
                bench.latch.judge(bench.now, address("198.51.100.7:9"), &header, FRAME)
            {
                learned = Some(from);
                break;
            }
        }
        assert_eq!(learned, Some(address("198.51.100.7:9")));
    }

    #[test]
    fn a_stream_may_move_when_its_source_fell_silent() {
        let mut bench = Bench::new(Mode::SameIp, "192.0.2.1:4000");
        assert_eq!(bench.packets("192.0.2.1:4000", 1, 300), Verdict::Accept);
        assert_eq!(bench.packets("192.0.2.1:4010", 1, 20), Verdict::Drop);
        bench.wait(2_100);
        assert_eq!(bench.packets("192.0.2.1:4010", 77, 20), Verdict::Drop);
        assert_eq!(bench.packets("192.0.2.1:4010", 1, 4), Verdict::Learned(address("192.0.2.1:4010")));
    }

    #[test]
    fn a_new_offer_moves_the_stream_and_the_old_source_cannot_win_it_back() {
        let mut bench = Bench::new(Mode::Any, "192.0.2.1:4000");
        assert_eq!(bench.packets("192.0.2.1:4000", 1, 10), Verdict::Accept);
        bench.latch.configure(bench.now, Mode::Any, Some(address("192.0.2.2:6000")), None);
        assert_eq!(bench.latch.destination(), Some(address("192.0.2.2:6000")));
        assert_eq!(bench.packets("192.0.2.1:4000", 1, 10), Verdict::Drop);
        assert_eq!(bench.packets("192.0.2.2:6000", 3, 1), Verdict::Accept);
    }

    #[test]
    fn an_offer_without_a_change_and_a_hold_by_zero_keep_the_learned_address() {
        let mut bench = Bench::new(Mode::SameIp, "10.0.0.5:4000");
        assert_eq!(
            bench.packets("198.51.100.7:61000", 2, 4),
            Verdict::Learned(address("198.51.100.7:61000"))
        );
        for signaled in [Some(address("10.0.0.5:4000")), Some(address("0.0.0.0:4000")), None] {
            bench.latch.configure(bench.now, Mode::SameIp, signaled, Some(address("198.51.100.7:1").ip()));
            assert_eq!(bench.packets("198.51.100.7:61000", 2, 1), Verdict::Accept);
        }
    }

    #[test]
    fn off_means_the_announced_address_only() {
        let mut bench = Bench::new(Mode::Off, "192.0.2.1:4000");
        assert_eq!(bench.packets("192.0.2.1:4001", 1, 50), Verdict::Drop);
        assert_eq!(bench.packets("192.0.2.1:4000", 1, 1), Verdict::Accept);
    }
}
