//! One telephone system in the simulated world.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use bytes::Bytes;
use media::{
    Piece, SessionId, Shard, TapId,
    graph::{
        recorder::{Recording, Track, recorder},
        stream::stream,
    },
    shard::{Channel, ShardConfig, Slots},
    srtp::KeySource,
};
use signaling::{FlowId, Listener, Source, Transport};

use super::{
    continuity::StreamCheck,
    network::{Datagram, Network},
};
use crate::{
    App, Command, CommandError, Config, Event, EventKind, LegId, MediaRequest, Notice, Switchboard, command,
};

/// SIP port of every node.
pub(crate) const SIP_PORT: u16 = 5060;
/// RTP port of a node's first session.
const FIRST_RTP_PORT: u16 = 20_000;
/// How much a tap may hold before the world reads it; it is read after every step.
const TAP_MS: u32 = 400;

/// Names a node of a [`super::World`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(pub(crate) usize);

/// Finds what a source is; `true` where it is heard more than once.
pub type Library = Box<dyn FnMut(&command::Source, bool) -> Piece + Send>;

/// This world has neither files nor servers.
fn nothing(_: &command::Source, _: bool) -> Piece {
    let (mut writer, stream) = stream(8_000, 100);
    writer.fail("there is no such thing in this world");
    Piece::Stream(Box::new(stream))
}

/// A recording under way or complete.
#[derive(Default)]
struct Heard {
    recording: Option<Recording>,
    /// Samples by track on the media clock, 8 kHz; gaps are silence.
    said: Vec<i16>,
    heard: Vec<i16>,
}

/// A switchboard, a media shard and what happened to them.
pub struct Node {
    /// For messages of a failing test.
    pub name: String,
    /// Where it takes SIP.
    pub address: SocketAddr,
    /// Its legs.
    pub switchboard: Switchboard,
    /// Its media.
    pub shard: Shard,
    /// Everything told so far, with the time.
    pub events: Vec<(Instant, Event)>,
    /// Everything told so far that concerns no leg.
    pub notices: Vec<(Instant, Notice)>,
    /// The egress of each session ever opened, judged.
    pub checks: BTreeMap<SessionId, StreamCheck>,
    slots: Slots,
    /// Which session listens at an RTP port.
    ports: BTreeMap<u16, SessionId>,
    app: Option<Box<dyn App>>,
    library: Library,
    heard: BTreeMap<LegId, Heard>,
    next_tap: u64,
    record_all: bool,
}

impl Node {
    pub(crate) fn new(now: Instant, name: &str, ip: IpAddr, seed: u64, mut config: Config) -> Self {
        let address = SocketAddr::new(ip, SIP_PORT);
        config.signaling.listeners =
            vec![Listener { transport: Transport::Udp, local: address, advertised: address }];
        config.signaling.seed[..8].copy_from_slice(&seed.to_le_bytes());
        let mut keys = [0; 32];
        keys[..8].copy_from_slice(&seed.to_le_bytes());
        config.keys = Some(KeySource::new(keys));
        Self {
            name: name.to_owned(),
            address,
            switchboard: Switchboard::new(config),
            shard: Shard::new(ShardConfig { worker: 0, seed, sessions: 64 }, now),
            events: Vec::new(),
            notices: Vec::new(),
            checks: BTreeMap::new(),
            slots: Slots::new(1, 4096),
            ports: BTreeMap::new(),
            app: None,
            library: Box::new(nothing),
            heard: BTreeMap::new(),
            next_tap: 1,
            record_all: false,
        }
    }

    /// From now on every leg is recorded from its first moment.
    pub fn record_all(&mut self) {
        self.record_all = true;
    }

    /// Lets that app run the calls of this node.
    pub fn set_app(&mut self, app: impl App + 'static) {
        self.app = Some(Box::new(app));
    }

    /// Lets `library` find what is to be played: files, addresses, speech. Without it they all fail.
    pub fn set_library(&mut self, library: Library) {
        self.library = library;
    }

    pub(crate) fn command(&mut self, now: Instant, leg: LegId, command: Command) -> Result<(), CommandError> {
        self.switchboard.handle_command(now, leg, command)
    }

    /// Starts to record a leg.
    pub(crate) fn listen(&mut self, now: Instant, leg: LegId) -> Result<TapId, CommandError> {
        let tap = TapId(self.next_tap);
        self.next_tap += 1;
        let (end, recording) = recorder(TAP_MS);
        self.command(now, leg, Command::Record(tap, Box::new(end)))?;
        self.heard.insert(leg, Heard { recording: Some(recording), ..Heard::default() });
        Ok(tap)
    }

    pub(crate) fn track(&self, leg: LegId, track: Track) -> &[i16] {
        self.heard.get(&leg).map_or(&[], |heard| match track {
            Track::Said => &heard.said,
            Track::Heard => &heard.heard,
        })
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let app = self.app.as_ref().and_then(|app| app.poll_timeout());
        [self.switchboard.poll_timeout(), self.shard.poll_timeout(), app].into_iter().flatten().min()
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.switchboard.poll_timeout().is_some_and(|at| at <= now) {
            self.switchboard.handle_timeout(now);
        }
        if self.shard.poll_timeout().is_some_and(|at| at <= now) {
            self.shard.handle_beat(now);
        }
        if let Some(app) = self.app.as_mut()
            && app.poll_timeout().is_some_and(|at| at <= now)
        {
            app.handle_timeout(now, &mut self.switchboard);
        }
    }

    pub(crate) fn handle_datagram(&mut self, now: Instant, from: SocketAddr, port: u16, bytes: &Bytes) {
        if port == SIP_PORT {
            let source =
                Source { flow: FlowId(0), transport: Transport::Udp, local: self.address, remote: from };
            self.switchboard.handle_message(now, &source, bytes);
            return;
        }
        let channel = if port.is_multiple_of(2) { Channel::Rtp } else { Channel::Rtcp };
        if let Some(session) = self.ports.get(&(port & !1)).copied() {
            self.shard.handle_datagram(now, session, channel, from, &mut bytes.to_vec());
        }
    }

    /// Passes everything on until nothing moves any more.
    pub(crate) fn settle(&mut self, now: Instant, network: &mut Network) {
        loop {
            let mut moved = self.serve_media(now, network);
            while let Some(transmit) = self.switchboard.poll_transmit() {
                let datagram =
                    Datagram { from: self.address, to: transmit.destination, bytes: transmit.bytes };
                network.send(now, true, datagram);
            }
            while let Some(question) = self.switchboard.poll_question() {
                // There is no DNS in this world.
                self.switchboard.handle_route(now, question.id, &[]);
                moved = true;
            }
            while let Some(notice) = self.switchboard.poll_notice() {
                self.notices.push((now, notice));
            }
            while let Some(event) = self.switchboard.poll_event() {
                if let Some(app) = self.app.as_mut() {
                    app.handle_event(now, &event, &mut self.switchboard);
                }
                self.events.push((now, event));
                moved = true;
            }
            if !moved {
                break;
            }
        }
        self.read_taps();
    }

    fn serve_media(&mut self, now: Instant, network: &mut Network) -> bool {
        let mut moved = false;
        while let Some(request) = self.switchboard.poll_media() {
            moved = true;
            match request {
                MediaRequest::Command(command) => self.shard.handle_command(now, command),
                MediaRequest::Play(request) => {
                    let command = request.open(|source, loops| (self.library)(source, loops));
                    self.shard.handle_command(now, command);
                }
                MediaRequest::Open { leg, near, remote: _ } => {
                    let session = self.slots.allocate(0, near);
                    if let Some(session) = session {
                        self.shard.handle_command(now, media::Command::Open(session, Box::default()));
                    }
                    let opened =
                        session.map(|session| (session, rtp_address(self.address, session, Channel::Rtp)));
                    if let Some((session, address)) = opened {
                        self.ports.insert(address.port(), session);
                    }
                    self.switchboard.handle_opened(now, leg, opened);
                    if self.record_all {
                        // A leg that was refused at once has nothing to record.
                        let _ = self.listen(now, leg);
                    }
                }
            }
        }
        while let Some(transmit) = self.shard.poll_transmit() {
            let rtp = transmit.channel == Channel::Rtp
                && media::rtp::classify(transmit.bytes) == media::rtp::Class::Rtp;
            let bytes = Bytes::copy_from_slice(transmit.bytes);
            let (session, channel, to) = (transmit.session, transmit.channel, transmit.destination);
            if rtp {
                // Headers are never encrypted, and lengths are all that is judged of the rest.
                let suite = self.shard.session(session).and_then(media::session::Session::suite);
                let length = bytes.len() - suite.map_or(0, media::srtp::Suite::rtp_overhead);
                let event = length == media::rtp::HEADER_LEN + 4;
                self.checks.entry(session).or_default().packet(&bytes[..length], event);
            }
            let from = rtp_address(self.address, session, channel);
            network.send(now, false, Datagram { from, to, bytes });
        }
        while let Some(event) = self.shard.poll_event() {
            moved = true;
            if let media::Event::Closed(session, _) = &event {
                self.slots.release(*session);
                self.ports.retain(|_, open| open != session);
            }
            self.switchboard.handle_media(now, event);
        }
        moved
    }

    fn read_taps(&mut self) {
        for heard in self.heard.values_mut() {
            let Heard { recording: Some(recording), said, heard } = heard else { continue };
            recording.read(|track, at, samples| {
                let into = match track {
                    Track::Said => &mut *said,
                    Track::Heard => &mut *heard,
                };
                let (start, end) = (at as usize, at as usize + samples.len());
                if into.len() < end {
                    into.resize(end, 0);
                }
                into[start..end].copy_from_slice(samples);
            });
        }
    }

    /// What is left of calls that should be over; empty when all is clean.
    #[must_use]
    pub fn residue(&self) -> Vec<String> {
        let gauges = self.switchboard.gauges();
        let counts = [
            ("legs", self.switchboard.legs()),
            ("invites", gauges.invites),
            ("dialogs", gauges.dialogs),
            ("client transactions", gauges.client_transactions),
            ("server transactions", gauges.server_transactions),
            ("sessions", self.shard.session_count()),
            ("ports", self.slots.in_use(0)),
        ];
        counts
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(what, count)| format!("{}: {count} {what} left", self.name))
            .collect()
    }

    /// Breaches of the continuity contract, as the sessions counted them and as the wire showed them.
    #[must_use]
    pub fn continuity_violations(&self) -> Vec<String> {
        let counted = self.shard.stats().continuity_violations;
        let own = (counted > 0).then(|| format!("{}: counter says {counted}", self.name));
        let seen = self.checks.iter().flat_map(|(session, check)| {
            check.violations.iter().map(move |what| format!("{}: {session:?}: {what}", self.name))
        });
        own.into_iter().chain(seen).collect()
    }

    /// Terminal events per leg; anything but 1 for an ended leg is a defect.
    #[must_use]
    pub fn endings(&self) -> BTreeMap<LegId, usize> {
        let mut endings = BTreeMap::new();
        for (_, event) in &self.events {
            let count = endings.entry(event.leg).or_insert(0);
            *count += usize::from(matches!(event.kind, EventKind::Ended(_)));
        }
        endings
    }
}

fn rtp_address(node: SocketAddr, session: SessionId, channel: Channel) -> SocketAddr {
    let rtcp = u16::from(channel == Channel::Rtcp);
    SocketAddr::new(node.ip(), FIRST_RTP_PORT + 2 * session.slot() as u16 + rtcp)
}
