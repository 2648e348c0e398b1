//! `offhook serve`: the server.

use std::{
    io::{self, IsTerminal, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    ops::RangeInclusive,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use control::{
    App, EventKind,
    io::{Control, Happening, Setup},
    media::{
        Capabilities,
        io::{EngineConfig, PromptEvent, PromptsConfig},
    },
    signaling::{self, Transport, auth::credentials::User},
};
use tokio::{
    net::TcpListener,
    sync::mpsc,
    time::{Instant as Timer, sleep_until},
};

use crate::{
    admission::Admission,
    api::{self, Counts, Snapshot},
    apps::Attendant,
    config::{self, Account, Config, address},
    fetch::Web,
    routing::Router,
    shutdown::Signals,
};

/// How long the last BYEs may take when a drain is over.
const FAREWELL: Duration = Duration::from_secs(3);

/// Flags of `offhook serve`; each overrides its key in the configuration file.
#[derive(Debug, Args)]
#[command(after_help = "\
Configuration file (TOML), every key is optional:
  advertise = \"203.0.113.7\"
  data = \"/var/lib/offhook\"        # relative to the file
  drain = 30
  log = \"info\"
  [http]
  listen = \"127.0.0.1:8080\"
  [sip]
  listen = [\"udp:0.0.0.0:5060\", \"tcp:0.0.0.0:5060\"]
  realm = \"offhook\"
  digest = [\"MD5\"]               # or [\"SHA-256\", \"MD5\"]; old phones give up when they see SHA-256
  trusted = [\"127.0.0.0/8\"]        # calls from here need no password
  [media]
  rtp_ports = \"16384-32767\"
  codecs = [\"PCMU\", \"PCMA\"]       # the preferred first
  ptime = 20
  workers = 1
  latch = \"same-ip\"                # off, same-ip or any
  srtp = \"accept\"                  # off, accept, optional or required
  mux = \"auto\"                    # on or off; callers share RTP ports: auto with latch off, on if not behind NAT
  tones = \"us\"                     # whose ringback callers hear
  inband_digits = \"auto\"           # auto: of peers without telephone events; remove, always or never
  [limits]
  max_calls = 1000                 # default: no limit
  max_load = 0.85                  # busy share of a media thread from which on calls are refused with 503
  [[user]]                         # who may register and be called by name
  name = \"alice\"
  password = \"...\"
  [[route]]                        # first match wins; users are reached after all routes
  to = \"9([0-9]+)\"                 # anchored regular expression for the dialled user
  app = \"dial\"                     # echo | play: file, loop | say: text, voice, language, loop
                                   # dial: target, from, ring_timeout, srtp, amd | conference: limit
                                   # tone: tone, country, answer | reject: code
  target = \"sip:$1@127.0.0.1:5090\" # or user:NAME

HTTP: /health, /metrics (Prometheus), /api/v1/gauges and /api/v1/legs (JSON).
SIGTERM or Ctrl-C: new calls are refused with 503, running ones may end by themselves; a second signal exits at once.")]
pub struct Serve {
    /// Read users, routes and all settings from this TOML file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Take SIP here: udp:HOST:PORT or tcp:HOST:PORT; may be given several times [key: sip.listen]
    /// [default: udp:0.0.0.0:5060 and tcp:0.0.0.0:5060]
    #[arg(long, value_name = "TRANSPORT:HOST:PORT", value_parser = expecting(address::LISTENER, address::listener))]
    sip: Vec<(Transport, SocketAddr)>,

    /// Serve health, metrics and gauges here [key: http.listen] [default: 127.0.0.1:8080]
    #[arg(long, value_name = "HOST:PORT", value_parser = expecting(address::ADDRESS, address::address))]
    http: Option<SocketAddr>,

    /// UDP ports for RTP and RTCP, two per call leg [key: media.rtp_ports] [default: 16384-32767]
    #[arg(long, value_name = "A-B", value_parser = expecting(address::PORTS, address::ports))]
    rtp_ports: Option<RangeInclusive<u16>>,

    /// Tell peers this address in SIP and SDP instead of the one we listen on, for instance behind NAT
    /// [key: advertise] [default: the address of the interface that leads to the Internet]
    #[arg(long, value_name = "IP", value_parser = expecting("an IP address", address::ip))]
    advertise: Option<IpAddr>,

    /// Keep files here [key: data] [default: ./offhook-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Let running calls go on for so many seconds after SIGTERM [key: drain] [default: 30]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=86_400))]
    drain: Option<u64>,

    /// What to log on standard error: off, error, warn, info, debug, trace, or a filter like
    /// warn,offhook_signaling=debug [key: log] [default: info]
    #[arg(long, value_name = "FILTER", value_parser = expecting(config::LOG, config::log_filter))]
    log: Option<String>,
}

impl Serve {
    /// Runs until a signal comes.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let config = match self.settle() {
            Ok(config) => config,
            Err(error) => return super::fail(format_args!("the configuration cannot be used\n{error}")),
        };
        start_log(&config.log);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        match runtime.map(|runtime| runtime.block_on(serve(config))) {
            Ok(Ok(())) => ExitCode::SUCCESS,
            Ok(Err(error)) => super::fail(error),
            Err(error) => super::fail(format_args!("no threads: {error}")),
        }
    }

    /// The file, overridden by the flags.
    fn settle(self) -> Result<Config, config::ConfigError> {
        let mut config = match &self.config {
            Some(file) => Config::load(file)?,
            None => Config::default(),
        };
        if !self.sip.is_empty() {
            config.sip.listen = self.sip;
        }
        config.http = self.http.unwrap_or(config.http);
        config.media.rtp_ports = self.rtp_ports.unwrap_or(config.media.rtp_ports);
        config.advertise = self.advertise.or(config.advertise);
        config.data = self.data.unwrap_or(config.data);
        config.drain = self.drain.map_or(config.drain, Duration::from_secs);
        config.log = self.log.unwrap_or(config.log);
        Ok(config)
    }
}

/// A clap parser that says what was expected, like the file's complaints do.
fn expecting<T: Clone + Send + Sync + 'static>(
    expected: &'static str,
    parse: fn(&str) -> Result<T, String>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync {
    move |text| {
        parse(text).map_err(|why| match why.is_empty() {
            true => format!("expected {expected}"),
            false => format!("expected {expected}: {why}"),
        })
    }
}

fn start_log(filter: &str) {
    use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};
    let targets: Targets = filter.parse().unwrap_or_default();
    let lines =
        tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    // A second start in one process (tests) keeps the first log.
    let _ = tracing_subscriber::registry().with(lines).with(targets).try_init();
}

/// What [`Control`] needs for a configuration.
#[must_use]
pub fn setup(config: &Config) -> Setup {
    let realm = &config.sip.realm;
    let user = |account: &Account| User::new(&account.name, realm, account.password.expose());
    let users = config.sip.users.iter().map(user).collect();
    let mut engine = EngineConfig { bind: media_address(&config.sip.listen), ..EngineConfig::default() };
    engine.ports = config.media.rtp_ports.clone();
    engine.workers = config.media.workers.unwrap_or(engine.workers);
    let unspecified = config.sip.listen.iter().any(|(_, address)| address.ip().is_unspecified());
    Setup {
        config: control::Config {
            signaling: signaling::Config {
                realm: realm.clone(),
                digest: config.sip.digest.clone(),
                users,
                trusted: config.sip.trusted.clone(),
                ..signaling::Config::default()
            },
            media: Capabilities {
                codecs: config.media.codecs.clone(),
                order: config.media.order,
                ptime_ms: config.media.ptime_ms,
                latch: config.media.latch,
                srtp: config.media.srtp,
                ..Capabilities::default()
            },
            mux: config.media.mux,
            inband_digits: config.media.inband_digits,
            ..control::Config::default()
        },
        listeners: config.sip.listen.clone(),
        advertise: config.advertise.or_else(|| unspecified.then(outward_address)),
        engine,
        prompts: PromptsConfig {
            ceiling: config.media.codecs.iter().map(|codec| codec.sample_rate()).max().unwrap_or(8_000),
            disk: (config.cache > 0).then(|| (config.data.join("cache"), config.cache << 20)),
            ..PromptsConfig::default()
        },
    }
}

/// The address of RTP sockets: that of SIP where there is one only, otherwise all.
fn media_address(listeners: &[(Transport, SocketAddr)]) -> IpAddr {
    let mut addresses = listeners.iter().map(|(_, address)| address.ip());
    match addresses.next() {
        Some(first) if addresses.all(|other| other == first) => first,
        _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    }
}

/// The local address that leads to the Internet; loopback where there is none. Nothing is sent.
fn outward_address() -> IpAddr {
    let towards = SocketAddr::from(([192, 0, 2, 1], 9));
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .and_then(|socket| socket.connect(towards).and_then(|()| socket.local_addr()))
        .map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}

async fn serve(config: Config) -> Result<(), String> {
    std::fs::create_dir_all(&config.data)
        .map_err(|error| format!("data: cannot create {}: {error}", config.data.display()))?;
    let mut signals = Signals::listen().map_err(|error| format!("no signals: {error}"))?;
    let http = TcpListener::bind(config.http)
        .await
        .map_err(|error| format!("http.listen: cannot listen on {}: {error}", config.http))?;
    let setup = setup(&config);
    let listens: Vec<String> = setup.listeners.iter().map(|(how, at)| name(*how, *at)).collect();
    let mut control = Control::start(setup)
        .map_err(|error| format!("sip.listen: cannot listen on {}: {error}", listens.join(", ")))?;
    let library = control.library();
    library.set_fetch(Arc::new(Web::new(config.downloads.clone())));
    if let Some(voices) = &config.speech {
        let mut voices = voices.clone();
        voices.keep_in(&config.data);
        library.set_speech(Arc::new(voices));
    }
    for sources in config.routes.iter().filter_map(|route| route.sources()) {
        // What cannot be had now is asked for again by the first caller, who is told.
        if let Err(why) = library.prepare(sources) {
            tracing::warn!(why, "cannot be prepared");
        }
    }
    let (asked, questions) = mpsc::channel(16);
    announce(&control, &http, &config).map_err(|error| format!("cannot write: {error}"))?;
    tokio::spawn(api::serve(http, asked));
    let attendant = Attendant::new(Router::new(config.routes), config.media.tones);
    let mut service = Service {
        control,
        attendant,
        counts: Counts::default(),
        questions,
        admission: Admission::new(config.limits),
        started: Instant::now(),
        deadline: None,
    };
    service.run(&mut signals, config.drain).await;
    let left = service.control.stop(FAREWELL).await;
    tracing::info!(left, "stopped");
    Ok(())
}

/// One line per listener, then `ready`.
fn announce(control: &Control, http: &TcpListener, config: &Config) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for listener in control.listeners() {
        write!(out, "listening on {}", name(listener.transport, listener.local))?;
        match listener.advertised == listener.local {
            true => writeln!(out)?,
            false => writeln!(out, ", told to peers as {}", listener.advertised)?,
        }
    }
    writeln!(out, "listening on http:{}", http.local_addr()?)?;
    let ports = &config.media.rtp_ports;
    writeln!(out, "rtp on ports {}-{}", ports.start(), ports.end())?;
    writeln!(out, "ready")?;
    out.flush()
}

fn name(transport: Transport, address: SocketAddr) -> String {
    format!("{}:{address}", transport.as_via().to_ascii_lowercase())
}

struct Service {
    control: Control,
    attendant: Attendant,
    counts: Counts,
    questions: mpsc::Receiver<api::Question>,
    admission: Admission,
    started: Instant,
    /// When the drain is over.
    deadline: Option<Timer>,
}

impl Service {
    async fn run(&mut self, signals: &mut Signals, drain: Duration) {
        while self.deadline.is_none() || self.attendant.calls() > 0 {
            let due = self.attendant.poll_timeout().map(Timer::from_std);
            tokio::select! {
                happening = self.control.next() => self.handle(happening),
                Some(question) = self.questions.recv() => {
                    // Whoever asked may have gone away.
                    let _ = question.send(self.snapshot());
                }
                () = signals.next() => {
                    if self.deadline.is_some() {
                        tracing::warn!("second signal, exiting at once");
                        std::process::exit(130);
                    }
                    tracing::info!(calls = self.attendant.calls(), seconds = drain.as_secs(), "draining");
                    self.attendant.drain();
                    self.deadline = Some(Timer::now() + drain);
                }
                () = until(due) => self.attendant.handle_timeout(Instant::now(), self.control.switchboard()),
                () = until(self.deadline) => {
                    tracing::info!(calls = self.attendant.calls(), "drain is over, hanging up");
                    return;
                }
            }
        }
    }

    fn handle(&mut self, happening: Happening) {
        match happening {
            Happening::Leg(event) => {
                if let EventKind::Incoming(incoming) = &event.kind {
                    self.counts.incoming += 1;
                    let load = self.control.media_load_permille();
                    let admitted = self.admission.admits(self.attendant.calls(), load);
                    self.counts.refused += u64::from(!admitted);
                    self.attendant.set_full(!admitted);
                    tracing::debug!(leg = event.leg.0, admitted, from = %incoming.from.uri, to = %incoming.request_uri, "call");
                }
                if let EventKind::AnsweredBy(verdict) = &event.kind {
                    tracing::info!(
                        leg = event.leg.0,
                        answerer = ?verdict.answerer,
                        cause = ?verdict.cause,
                        confidence = verdict.confidence,
                        revised = verdict.is_revision,
                        "answered by"
                    );
                }
                if let EventKind::Ended(record) = &event.kind {
                    self.counts.ended(record);
                    tracing::debug!(
                        leg = event.leg.0,
                        cause = ?record.cause,
                        code = record.code.code(),
                        talked_ms = record.talked().as_millis(),
                        received = record.stats.received,
                        sent = record.stats.sent,
                        lost = record.stats.lost,
                        late = record.stats.late,
                        skipped = record.stats.skipped,
                        "ended"
                    );
                }
                self.attendant.handle_event(Instant::now(), &event, self.control.switchboard());
            }
            Happening::Notice(notice) => match notice {
                control::Notice::Bound(user, contact) => tracing::info!(user, %contact, "registered"),
                control::Notice::Unbound(user, contact) => tracing::info!(user, %contact, "unregistered"),
                control::Notice::Registration(id, state) => tracing::info!(?id, ?state, "registration"),
            },
            Happening::Written(written) => tracing::info!(?written, "recording"),
            Happening::Prompt(PromptEvent::Failed(_, name, why)) => {
                tracing::warn!(name, why, "cannot be prepared")
            }
            Happening::Prompt(event) => tracing::debug!(?event, "prepared"),
        }
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            gauges: self.control.gauges(),
            legs: self.control.leg_reports(),
            counts: self.counts,
            calls: self.attendant.calls(),
            draining: self.deadline.is_some(),
            uptime: self.started.elapsed(),
        }
    }
}

async fn until(deadline: Option<Timer>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
