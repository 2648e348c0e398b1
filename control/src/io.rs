//! Runs a [`Switchboard`] on real sockets and media workers: one task, no channels, no locks.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use media::{
    Prompt, Quality, TapId,
    graph::recorder::recorder,
    io::{
        Engine, EngineConfig, EngineGauges, LoadError, PromptEvent, Prompts, PromptsConfig, RecordingOutcome,
        RecordingSettings, RecordingWriter, WorkerGauges,
    },
    srtp::KeySource,
};
use signaling::{
    Listener, Transmit, Transport,
    io::{Received, Transports},
};
use tokio::time::{sleep, sleep_until};

use crate::{Command, CommandError, Config, Event, LegId, LegState, MediaRequest, Notice, Switchboard};

/// How much a recording at 8 kHz may hold before the disk thread reads it, ms; at 48 kHz it is a sixth.
const RECORDING_MS: u32 = 4000;
/// Pause before a full worker queue is tried again.
const QUEUE_RETRY: Duration = Duration::from_millis(5);
/// Most messages taken in between two looks at the rest.
const BATCH: usize = 64;

mod library;

pub use library::{Fetch, Library, Speech};

/// What [`Control::start`] needs.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The switchboard's configuration; its listeners, seed and keys are filled in here.
    pub config: Config,
    /// Addresses for SIP; port 0 takes a free one.
    pub listeners: Vec<(Transport, SocketAddr)>,
    /// Address told to peers in SIP and SDP, where it differs from the bound ones.
    pub advertise: Option<IpAddr>,
    /// Media workers and RTP ports; its seed is filled in here.
    pub engine: EngineConfig,
    /// How what is played is kept.
    pub prompts: PromptsConfig,
}

/// What [`Control::next`] tells.
#[derive(Debug)]
pub enum Happening {
    /// Something happened to a leg.
    Leg(Event),
    /// Something happened that concerns no leg.
    Notice(Notice),
    /// A recording is complete and its file is in place, or could not be written.
    Written(RecordingOutcome),
    /// News of something that was fetched ahead of its playback.
    Prompt(PromptEvent),
}

/// What a running system holds; all counts of now unless said otherwise.
#[derive(Debug, Clone)]
pub struct Gauges {
    /// Legs.
    pub legs: usize,
    /// SIP.
    pub signaling: signaling::Gauges,
    /// Sockets of SIP.
    pub transports: signaling::io::TransportGauges,
    /// Media.
    pub media: EngineGauges,
    /// Media threads, by number.
    pub workers: Vec<WorkerGauges>,
}

/// What can be told about a leg while it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegReport {
    /// Which.
    pub leg: LegId,
    /// How far it has come.
    pub state: LegState,
    /// The other leg of its bridge.
    pub bridged: Option<LegId>,
    /// Its last seconds.
    pub quality: Quality,
}

/// Which way a mirrored SIP message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Received from that peer.
    In,
    /// Sent to that peer.
    Out,
}

/// Sees every SIP message: time, way, transport, peer, bytes.
pub type Mirror = Box<dyn FnMut(Instant, Way, Transport, SocketAddr, &[u8]) + Send>;

/// A telephone system on real sockets. Everything happens inside [`Control::next`].
pub struct Control {
    switchboard: Switchboard,
    transports: Transports,
    listeners: Vec<Listener>,
    engine: Engine,
    /// Commands a full worker queue refused; they keep their order.
    backlog: VecDeque<media::Command>,
    library: Library,
    writer: RecordingWriter,
    next_tap: u64,
    happenings: VecDeque<Happening>,
    mirror: Option<Mirror>,
}

impl Control {
    /// Binds the listeners and starts the media workers. Must be called within a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// When an address cannot be bound or a thread not be started.
    pub fn start(setup: Setup) -> io::Result<Self> {
        let Setup { mut config, listeners, advertise, mut engine, prompts } = setup;
        let transports = Transports::bind(&listeners)?;
        let listeners = transports.listeners();
        let listeners: Vec<Listener> = listeners
            .into_iter()
            .map(|listener| Listener { advertised: advertised(listener.local, advertise), ..listener })
            .collect();
        config.signaling.listeners.clone_from(&listeners);
        getrandom::fill(&mut config.signaling.seed).map_err(io::Error::other)?;
        let mut keys = [0; 32];
        getrandom::fill(&mut keys).map_err(io::Error::other)?;
        config.keys = Some(KeySource::new(keys));
        config.advertise = advertise.or(config.advertise);
        engine.seed = getrandom::u64().map_err(io::Error::other)?;
        Ok(Self {
            switchboard: Switchboard::new(config),
            transports,
            listeners,
            engine: Engine::start(engine)?,
            backlog: VecDeque::new(),
            library: Library::new(Prompts::new(prompts)),
            writer: RecordingWriter::start()?,
            next_tap: 1,
            happenings: VecDeque::new(),
            mirror: None,
        })
    }

    /// The addresses SIP is taken at, in the order they were given.
    #[must_use]
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// The legs. What is asked of it directly takes effect with the next [`Self::next`].
    pub fn switchboard(&mut self) -> &mut Switchboard {
        &mut self.switchboard
    }

    /// Lets `mirror` see every SIP message from now on.
    pub fn set_mirror(&mut self, mirror: Mirror) {
        self.mirror = Some(mirror);
    }

    /// Counts of now.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        Gauges {
            legs: self.switchboard.legs(),
            signaling: self.switchboard.gauges(),
            transports: self.transports.gauges(),
            media: self.engine.gauges(),
            workers: self.engine.worker_gauges(),
        }
    }

    /// Every leg: how far it has come, how it is connected and how good the last seconds were.
    #[must_use]
    pub fn leg_reports(&self) -> Vec<LegReport> {
        let report = |leg| {
            Some(LegReport {
                leg,
                state: self.switchboard.state(leg)?,
                bridged: self.switchboard.bridged(leg),
                quality: self.switchboard.quality(leg)?,
            })
        };
        self.switchboard.leg_ids().into_iter().filter_map(report).collect()
    }

    /// How busy the media thread is that the next call would be on, thousandths of the last second.
    #[must_use]
    pub fn media_load_permille(&self) -> u32 {
        self.engine.load_permille()
    }

    /// Asks a leg to do something, at once.
    ///
    /// # Errors
    /// [`CommandError`] says why not; nothing has changed then.
    pub fn command(&mut self, leg: LegId, command: Command) -> Result<(), CommandError> {
        let now = Instant::now();
        let result = self.switchboard.handle_command(now, leg, command);
        self.settle(now);
        result
    }

    /// An audio file as a prompt, read once and shared. Reads the disk the first time.
    ///
    /// # Errors
    /// When it cannot be read or is no audio.
    pub fn prompt(&self, path: &Path) -> Result<Arc<Prompt>, LoadError> {
        self.library.prompts.load(path)
    }

    /// What is played, and where it comes from.
    pub fn library(&mut self) -> &mut Library {
        &mut self.library
    }

    /// Records a leg in stereo, left what it says and right what it hears, into a file of the format that its name ends
    /// in. [`Happening::Written`] follows when the leg or the recording ended, or when the disk is in trouble; the leg
    /// does not notice that. [`Command::SteerRecord`] pauses, resumes and marks.
    ///
    /// # Errors
    /// As [`Self::command`].
    pub fn record(&mut self, leg: LegId, path: &Path) -> Result<TapId, CommandError> {
        self.record_as(leg, RecordingSettings::new(path))
    }

    /// As [`Self::record`], with a choice of format, layout and sample rate.
    ///
    /// # Errors
    /// As [`Self::command`].
    pub fn record_as(&mut self, leg: LegId, settings: RecordingSettings) -> Result<TapId, CommandError> {
        let tap = TapId(self.next_tap);
        self.next_tap += 1;
        let (end, recording) = recorder(RECORDING_MS);
        self.command(leg, Command::Record(tap, Box::new(end)))?;
        self.writer.write(tap, recording, settings);
        Ok(tap)
    }

    /// Drives everything until something happened. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Happening {
        loop {
            let now = Instant::now();
            if self.switchboard.poll_timeout().is_some_and(|at| at <= now) {
                self.switchboard.handle_timeout(now);
            }
            self.settle(now);
            if let Some(happening) = self.happenings.pop_front() {
                return happening;
            }
            self.wait().await;
        }
    }

    /// Hangs up all legs and waits until they are gone and their last messages are sent, at most `patience`; the
    /// number of legs that were left.
    pub async fn stop(mut self, patience: Duration) -> usize {
        let now = Instant::now();
        for leg in self.switchboard.leg_ids() {
            // Ending legs refuse; they are what we wait for.
            let _ = self.switchboard.handle_command(now, leg, Command::HangUp(None));
        }
        let give_up = sleep(patience);
        tokio::pin!(give_up);
        while self.switchboard.legs() > 0 || self.switchboard.open_requests() > 0 {
            tokio::select! {
                _ = self.next() => {}
                () = &mut give_up => break,
            }
            self.settle(Instant::now());
        }
        self.transports.flush(Duration::from_millis(200)).await;
        let left = self.switchboard.legs();
        self.engine.stop();
        left
    }

    async fn wait(&mut self) {
        let timeout = self.switchboard.poll_timeout();
        let retry = !self.backlog.is_empty();
        tokio::select! {
            received = self.transports.receive() => self.take_in(received),
            event = poll_fn(|cx| self.engine.poll_event(cx)) => {
                self.switchboard.handle_media(Instant::now(), event);
            }
            event = poll_fn(|cx| self.library.prompts.poll_event(cx)) => {
                self.happenings.push_back(Happening::Prompt(event));
            }
            outcome = poll_fn(|cx| self.writer.poll_outcome(cx)) => {
                self.happenings.push_back(Happening::Written(outcome));
            }
            () = until(timeout) => {}
            () = sleep(QUEUE_RETRY), if retry => {}
        }
        for _ in 0..BATCH {
            let Some(received) = self.transports.try_receive() else { break };
            self.take_in(received);
        }
        while let Some(event) = self.engine.try_event() {
            self.switchboard.handle_media(Instant::now(), event);
        }
    }

    fn take_in(&mut self, received: Received) {
        let now = Instant::now();
        match received {
            Received::Message(source, bytes) => {
                self.mirror(now, Way::In, source.transport, source.remote, &bytes);
                self.switchboard.handle_message(now, &source, &bytes);
            }
            Received::FlowClosed(flow) => self.switchboard.handle_flow_closed(now, flow),
            Received::Unreachable(destination) => self.switchboard.handle_unreachable(now, destination),
            Received::Resolved(question, targets) => {
                self.switchboard.handle_route(now, question, &targets);
            }
        }
    }

    fn mirror(&mut self, now: Instant, way: Way, transport: Transport, peer: SocketAddr, bytes: &[u8]) {
        if let Some(mirror) = self.mirror.as_mut() {
            mirror(now, way, transport, peer, bytes);
        }
    }

    /// Passes on what the switchboard wants and tells, until nothing moves any more.
    fn settle(&mut self, now: Instant) {
        while let Some(request) = self.switchboard.poll_media() {
            match request {
                MediaRequest::Command(command) => self.backlog.push_back(command),
                MediaRequest::Play(request) => {
                    let library = &self.library;
                    self.backlog.push_back(request.open(|source, loops| library.piece(source, loops)));
                }
                MediaRequest::Open { leg, near, remote } => {
                    let opened = match remote {
                        Some(remote) => self.engine.open_shared(near, remote),
                        None => self.engine.open(near),
                    };
                    match &opened {
                        Ok((session, _)) => {
                            self.backlog.push_back(media::Command::Open(*session, Box::default()));
                        }
                        Err(error) => tracing::warn!(leg = leg.0, %error, "no media session"),
                    }
                    self.switchboard.handle_opened(now, leg, opened.ok());
                }
            }
        }
        self.flush_backlog();
        while let Some(question) = self.switchboard.poll_question() {
            self.transports.resolve(question);
        }
        while let Some(transmit) = self.switchboard.poll_transmit() {
            self.transmit(now, transmit);
        }
        while let Some(event) = self.switchboard.poll_event() {
            self.happenings.push_back(Happening::Leg(event));
        }
        while let Some(notice) = self.switchboard.poll_notice() {
            self.happenings.push_back(Happening::Notice(notice));
        }
    }

    fn flush_backlog(&mut self) {
        while let Some(command) = self.backlog.pop_front() {
            if let Err(full) = self.engine.send(command) {
                self.backlog.push_front(full.0);
                return;
            }
        }
    }

    fn transmit(&mut self, now: Instant, transmit: Transmit) {
        let (transport, destination) = (transmit.transport, transmit.destination);
        self.mirror(now, Way::Out, transport, destination, &transmit.bytes);
        self.transports.send(transmit);
    }
}

/// What peers are told: the configured IP, or the bound one, or that of the default route.
fn advertised(local: SocketAddr, configured: Option<IpAddr>) -> SocketAddr {
    match configured {
        Some(ip) if ip.is_ipv4() == local.is_ipv4() => SocketAddr::new(ip, local.port()),
        _ => signaling::io::advertised(local),
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
