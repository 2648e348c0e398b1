//! The configuration: one TOML file, every value of which has a default.

pub mod address;
mod document;
mod problem;
mod routes;
mod speech;

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use control::{
    InbandDigits, Mux,
    media::{Codec, Latch, Order, Srtp, dsp::tone_plan::Country},
    signaling::{
        Transport,
        auth::{credentials::Secret, digest::Algorithm},
    },
};
use toml::de::DeTable;

pub use self::problem::{ConfigError, Problem};
use self::{
    document::{Item, Section, listed},
    problem::Report,
};
use crate::{admission::Limits, fetch::Limits as Downloads, routing::Route, speech::Voices};

/// Everything `offhook serve` is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// SIP side.
    pub sip: Sip,
    /// Media side.
    pub media: Media,
    /// Where health, metrics and gauges are served. Default `127.0.0.1:8080`.
    pub http: SocketAddr,
    /// The address written into SIP and SDP instead of the bound one (behind NAT).
    pub advertise: Option<IpAddr>,
    /// Where recordings and the like are kept. Default `./offhook-data`.
    pub data: PathBuf,
    /// How long running calls may go on after SIGTERM. Default 30 s.
    pub drain: Duration,
    /// What is logged, for example `info` or `warn,signaling=debug`. Default `info`.
    pub log: String,
    /// Who speaks; nobody where `None`. Default the voice that is built in.
    pub speech: Option<Voices>,
    /// What may be fetched from web servers.
    pub downloads: Downloads,
    /// How much speech and how many downloads are kept on disk, MB; 0 keeps none. Default 1,000.
    pub cache: u64,
    /// Dialling plan, in order.
    pub routes: Vec<Route>,
    /// `[limits]`: how much is taken on.
    pub limits: Limits,
}

/// `[sip]` and `[[user]]`.
#[derive(Debug, Clone)]
pub struct Sip {
    /// Where we listen. Default port 5060 on every IPv4 address, over UDP and TCP.
    pub listen: Vec<(Transport, SocketAddr)>,
    /// Realm of digest authentication. Default `offhook`.
    pub realm: String,
    /// Digest algorithms offered to phones, the preferred first. Default MD5 alone, which every phone knows.
    pub digest: Vec<Algorithm>,
    /// Networks whose calls need no authentication. Default loopback.
    pub trusted: Vec<(IpAddr, u8)>,
    /// Who may register.
    pub users: Vec<Account>,
}

/// `[media]`.
#[derive(Debug, Clone)]
pub struct Media {
    /// UDP ports of RTP and RTCP. Default 16384 to 32767.
    pub rtp_ports: RangeInclusive<u16>,
    /// Codecs, the preferred first. Default PCMU, PCMA, G722, opus.
    pub codecs: Vec<Codec>,
    /// Whose order decides in an answer: ours where codecs are configured, otherwise the caller's.
    pub order: Order,
    /// Packet time, ms. Default 20.
    pub ptime_ms: u8,
    /// Media threads; the engine's choice where `None`.
    pub workers: Option<usize>,
    /// How far the source of RTP may differ from the SDP. Default [`Latch::SameIp`].
    pub latch: Latch,
    /// Whether media is encrypted. Default [`Srtp::Accept`].
    pub srtp: Srtp,
    /// Which callers share RTP ports. Default [`Mux::Auto`].
    pub mux: Mux,
    /// Whose tones are played. Default the United States.
    pub tones: Country,
    /// Whether digits are looked for in the audio. Default [`InbandDigits::WithoutEvents`].
    pub inband_digits: InbandDigits,
}

/// One `[[user]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// User part of the address of record.
    pub name: String,
    /// Shown nowhere.
    pub password: Secret,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sip: Sip::default(),
            media: Media::default(),
            http: SocketAddr::from(([127, 0, 0, 1], 8080)),
            advertise: None,
            data: PathBuf::from("offhook-data"),
            drain: Duration::from_secs(30),
            log: "info".into(),
            speech: Voices::built_in(),
            downloads: Downloads::default(),
            cache: 1_000,
            routes: Vec::new(),
            limits: Limits::default(),
        }
    }
}

impl Default for Sip {
    fn default() -> Self {
        let everywhere = SocketAddr::from(([0, 0, 0, 0], 5060));
        Self {
            listen: vec![(Transport::Udp, everywhere), (Transport::Tcp, everywhere)],
            realm: "offhook".into(),
            digest: vec![Algorithm::Md5],
            trusted: vec![([127, 0, 0, 0].into(), 8), (IpAddr::V6(std::net::Ipv6Addr::LOCALHOST), 128)],
            users: Vec::new(),
        }
    }
}

impl Default for Media {
    fn default() -> Self {
        Self {
            rtp_ports: 16384..=32767,
            codecs: Codec::DEFAULT.to_vec(),
            order: Order::Theirs,
            ptime_ms: 20,
            workers: None,
            latch: Latch::default(),
            srtp: Srtp::default(),
            mux: Mux::default(),
            tones: Country::Us,
            inband_digits: InbandDigits::default(),
        }
    }
}

impl Config {
    /// Reads a file and the recordings its routes play.
    ///
    /// # Errors
    /// Every mistake in it, each with line, column, key and what was expected.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|error| {
            let text = format!("cannot be read: {error}");
            ConfigError(vec![Problem { file: file.to_owned(), line: 0, column: 0, key: String::new(), text }])
        })?;
        Self::parse(file, &text)
    }

    /// Reads the text of a file. Paths in it are relative to the folder of `file`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let mut report = Report::new(file, text);
        let mut config = Self::default();
        match DeTable::parse(text) {
            Ok(table) => config.read(Section::root(table), file, &mut report),
            Err(error) => {
                let message = error.message().replace('\n', ", ");
                report.add(&error.span().unwrap_or(0..0), "", format!("no valid TOML: {message}"));
            }
        }
        report.into_result()?;
        Ok(config)
    }

    fn read(&mut self, mut root: Section<'_>, file: &Path, report: &mut Report<'_>) {
        let folder = file.parent().unwrap_or(Path::new(""));
        if let Some(item) = root.take("advertise") {
            self.advertise = item.parsed("an IP address", report, address::ip);
        }
        if let Some(data) = root.take("data").and_then(|item| item.string("a directory", report)) {
            self.data = folder.join(data);
        }
        if let Some(seconds) = root.take("drain").and_then(|item| item.integer(0..=86_400, report)) {
            self.drain = Duration::from_secs(seconds);
        }
        if let Some(item) = root.take("log") {
            self.log = item.parsed(LOG, report, log_filter).unwrap_or_default();
        }
        let mut http = root.section("http", report);
        if let Some(item) = http.take("listen")
            && let Some(address) = item.parsed(address::ADDRESS, report, address::address)
        {
            self.http = address;
        }
        http.finish(report);
        self.sip.read(root.section("sip", report), report);
        self.media.read(root.section("media", report), report);
        read_limits(&mut self.limits, root.section("limits", report), report);
        for user in root.sections("user", report) {
            self.sip.read_user(user, report);
        }
        let speech = root.section("speech", report);
        let given = !speech.is_empty();
        self.speech = speech::voices(speech, report);
        // What is wrong in it is told once.
        let speaks = given || self.speech.is_some();
        self.downloads = speech::limits(root.section("downloads", report), report);
        if let Some(megabytes) = root.take("cache").and_then(|item| item.integer(0..=1_000_000, report)) {
            self.cache = megabytes;
        }
        let sections = root.sections("route", report);
        self.routes = routes::read(sections, folder, speaks, self.media.tones, report);
        root.finish(report);
    }
}

impl Sip {
    fn read(&mut self, mut section: Section<'_>, report: &mut Report<'_>) {
        if let Some(item) = section.take("listen") {
            self.listen = each(item, address::LISTENER, report, address::listener);
        }
        if let Some(item) = section.take("realm") {
            let realm =
                item.parsed("a name without quotes and control characters", report, |text| {
                    match !text.is_empty() && !text.contains(['"', '\\']) && !text.contains(char::is_control)
                    {
                        true => Ok(text.to_owned()),
                        false => Err(String::new()),
                    }
                });
            self.realm = realm.unwrap_or_default();
        }
        if let Some(item) = section.take("digest") {
            let (path, span) = (item.path.clone(), item.span.clone());
            let before = report.len();
            self.digest = each(item, "`SHA-256` or `MD5`", report, algorithm);
            self.digest.dedup();
            if self.digest.is_empty() && report.len() == before {
                report.add(&span, &path, "expected at least one algorithm, found an empty array");
            }
        }
        if let Some(item) = section.take("trusted") {
            self.trusted = each(item, address::NETWORK, report, address::network);
        }
        section.finish(report);
    }

    fn read_user(&mut self, mut section: Section<'_>, report: &mut Report<'_>) {
        let name = section.require("name", "the user part of a SIP address", report).and_then(|item| {
            item.parsed("the user part of a SIP address: letters, digits and -_.!~*'()+", report, |text| {
                let fits = |c: char| c.is_ascii_alphanumeric() || "-_.!~*'()+".contains(c);
                if text.is_empty() || !text.chars().all(fits) {
                    return Err(String::new());
                }
                match self.users.iter().any(|user| user.name == text) {
                    true => Err("this user exists already".into()),
                    false => Ok(text.to_owned()),
                }
            })
        });
        let password = section.require("password", "a password", report).and_then(|item| {
            let path = item.path.clone();
            let span = item.span.clone();
            let password = item.string("a password", report)?;
            if password.is_empty() {
                // The value itself is never told.
                report.add(&span, &path, "expected a password, found an empty one");
                return None;
            }
            Some(Secret::new(password))
        });
        section.finish(report);
        if let (Some(name), Some(password)) = (name, password) {
            self.users.push(Account { name, password });
        }
    }
}

impl Media {
    fn read(&mut self, mut section: Section<'_>, report: &mut Report<'_>) {
        if let Some(item) = section.take("rtp_ports")
            && let Some(ports) = item.parsed(address::PORTS, report, address::ports)
        {
            self.rtp_ports = ports;
        }
        if let Some(item) = section.take("codecs") {
            let (path, span) = (item.path.clone(), item.span.clone());
            let before = report.len();
            self.codecs = each(item, "`PCMU`, `PCMA`, `G722`, `opus`, `L16` or `L16/8000`", report, codec);
            self.order = Order::Ours;
            self.codecs.dedup();
            if self.codecs.is_empty() && report.len() == before {
                report.add(&span, &path, "expected at least one codec, found an empty array");
            }
        }
        if let Some(item) = section.take("ptime") {
            let (path, span) = (item.path.clone(), item.span.clone());
            match item.integer(10..=60, report).map(|ms| u8::try_from(ms).unwrap_or(0)) {
                Some(ms) if PTIMES.contains(&ms) => self.ptime_ms = ms,
                Some(ms) => report.add(&span, &path, format!("expected 10, 20, 30, 40 or 60 ms, found {ms}")),
                None => {}
            }
        }
        if let Some(item) = section.take("workers") {
            self.workers = item.integer(1..=64, report).and_then(|count| usize::try_from(count).ok());
        }
        if let Some(item) = section.take("latch") {
            let names: Vec<&str> = LATCHES.iter().map(|(name, _)| *name).collect();
            let latch = item.parsed(&listed(&names), report, |text| {
                LATCHES
                    .iter()
                    .find(|(name, _)| *name == text)
                    .map(|(_, latch)| *latch)
                    .ok_or_else(String::new)
            });
            self.latch = latch.unwrap_or_default();
        }
        if let Some(item) = section.take("srtp") {
            self.srtp = srtp(item, report).unwrap_or_default();
        }
        if let Some(item) = section.take("mux") {
            let mux = item.parsed("`off`, `auto` or `on`", report, |text| match text {
                "off" => Ok(Mux::Off),
                "auto" => Ok(Mux::Auto),
                "on" => Ok(Mux::On),
                _ => Err(String::new()),
            });
            self.mux = mux.unwrap_or_default();
        }
        if let Some(item) = section.take("tones") {
            let codes: Vec<&str> = Country::ALL.iter().map(|country| country.code()).collect();
            let country =
                item.parsed(&listed(&codes), report, |text| Country::from_code(text).ok_or_else(String::new));
            self.tones = country.unwrap_or(Country::Us);
        }
        if let Some(item) = section.take("inband_digits") {
            let names: Vec<&str> = INBAND_DIGITS.iter().map(|(name, _)| *name).collect();
            let digits = item.parsed(&listed(&names), report, |text| {
                let known = INBAND_DIGITS.iter().find(|(name, _)| *name == text);
                known.map(|(_, digits)| *digits).ok_or_else(String::new)
            });
            self.inband_digits = digits.unwrap_or_default();
        }
        section.finish(report);
    }
}

fn read_limits(limits: &mut Limits, mut section: Section<'_>, report: &mut Report<'_>) {
    if let Some(item) = section.take("max_calls") {
        limits.max_calls = item.integer(1..=1_000_000, report).and_then(|calls| usize::try_from(calls).ok());
    }
    if let Some(load) = section.take("max_load").and_then(|item| item.number(0.1..=1.0, report)) {
        limits.max_load = load;
    }
    section.finish(report);
}

/// Every element of an array of strings that `parse` understands; the others are reported.
fn each<T>(
    item: Item<'_>,
    expected: &str,
    report: &mut Report<'_>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Vec<T> {
    let elements = item.elements(report);
    elements.into_iter().filter_map(|element| element.parsed(expected, report, &parse)).collect()
}

fn srtp(item: Item<'_>, report: &mut Report<'_>) -> Option<Srtp> {
    let names: Vec<&str> = SRTP.iter().map(|(name, _)| *name).collect();
    item.parsed(&listed(&names), report, |text| {
        SRTP.iter().find(|(name, _)| *name == text).map(|(_, srtp)| *srtp).ok_or_else(String::new)
    })
}

fn codec(text: &str) -> Result<Codec, String> {
    let (name, clock_rate) = text.split_once('/').map_or((text, None), |(name, rate)| (name, Some(rate)));
    let known = match clock_rate {
        Some(rate) => rate.parse().ok().and_then(|rate| Codec::from_name(name, rate)),
        // Whoever wants plain samples wants wide-band ones.
        None if name.eq_ignore_ascii_case("L16") => Codec::from_name(name, 16_000),
        None => [8_000, 48_000].into_iter().find_map(|rate| Codec::from_name(name, rate)),
    };
    known.ok_or_else(String::new)
}

/// What a log filter looks like.
pub const LOG: &str = "off, error, warn, info, debug or trace, or a filter like warn,offhook_signaling=debug";

/// Reads a log filter.
///
/// # Errors
/// What is wrong with it.
pub fn log_filter(text: &str) -> Result<String, String> {
    match text.parse::<tracing_subscriber::filter::Targets>() {
        Ok(_) if !text.is_empty() => Ok(text.to_owned()),
        Ok(_) => Err(String::new()),
        Err(error) => Err(error.to_string()),
    }
}

fn algorithm(text: &str) -> Result<Algorithm, String> {
    let offered = [Algorithm::Sha256, Algorithm::Md5];
    offered.into_iter().find(|algorithm| algorithm.as_str() == text).ok_or_else(String::new)
}

const PTIMES: [u8; 5] = [10, 20, 30, 40, 60];

const INBAND_DIGITS: [(&str, InbandDigits); 4] = [
    ("auto", InbandDigits::WithoutEvents),
    ("remove", InbandDigits::WithoutEventsRemoved),
    ("always", InbandDigits::Always),
    ("never", InbandDigits::Never),
];

const LATCHES: [(&str, Latch); 3] = [("off", Latch::Off), ("same-ip", Latch::SameIp), ("any", Latch::Any)];

const SRTP: [(&str, Srtp); 4] = [
    ("off", Srtp::Off),
    ("accept", Srtp::Accept),
    ("optional", Srtp::Optional),
    ("required", Srtp::Required),
];
