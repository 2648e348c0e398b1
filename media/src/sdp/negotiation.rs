//! The content of offers and answers for one audio stream (RFC 3264).

use std::net::SocketAddr;

use super::{
    Attribute, Connection, Crypto, Description, Media, Origin, SdpError,
    codec_map::{CodecMap, TELEPHONE_EVENT},
    description::is_unicast,
    opus_parameters,
    print::family,
    security::{Choice, Security},
};
use crate::codec::Codec;
use crate::config::{Direction, Latch, PayloadFormat, SessionConfig, Srtp};
use crate::srtp::{KeySource, Suite};

/// What we can do and would like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// Codecs we offer and accept, the preferred first.
    pub codecs: Vec<Codec>,
    /// Whose order decides which codec of an offer is answered.
    pub order: Order,
    /// Packet time we ask for, ms. The peer's wish decides what we send.
    pub ptime_ms: u8,
    /// Offer and accept telephone events.
    pub telephone_event: bool,
    /// Offer and accept RTP and RTCP on one port.
    pub rtcp_mux: bool,
    /// How strict the source address of received RTP is taken.
    pub latch: Latch,
    /// Whether media is encrypted. Anything but [`Srtp::Off`] needs [`Negotiation::with_keys`].
    pub srtp: Srtp,
    /// How media may be encrypted, the preferred first. The default is all, the strongest first.
    pub suites: Vec<Suite>,
}

/// Whose order decides which codec of an offer is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The first codec of the offer that we have.
    #[default]
    Theirs,
    /// The first codec of ours that is offered.
    Ours,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self {
            codecs: Codec::DEFAULT.to_vec(),
            order: Order::Theirs,
            ptime_ms: 20,
            telephone_event: true,
            rtcp_mux: true,
            latch: Latch::SameIp,
            srtp: Srtp::default(),
            suites: Suite::ALL.to_vec(),
        }
    }
}

/// Makes offers, answers those of the peer, and says what a session needs to know after each.
///
/// It knows the content and not the turns: whoever carries the bodies decides when an offer is allowed. A call that
/// fails changes nothing.
///
/// ```
/// # use offhook_media::{Capabilities, Codec, Negotiation, sdp::SdpError};
/// let mut alice = Negotiation::new(Capabilities::default(), "192.0.2.1:4000".parse().unwrap(), 1);
/// let mut bob = Negotiation::new(Capabilities::default(), "192.0.2.2:6000".parse().unwrap(), 2);
/// let offer = alice.offer();
/// let (answer, bobs_session) = bob.accept_offer(&offer)?;
/// let alices_session = alice.accept_answer(&answer)?;
/// assert_eq!(alices_session.send.codec, Codec::Pcmu);
/// assert_eq!(bobs_session.remote, "192.0.2.1:4000".parse().ok());
/// # Ok::<(), SdpError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Negotiation {
    capabilities: Capabilities,
    local: SocketAddr,
    session_id: u64,
    direction: Direction,
    peer_holds: bool,
    /// The `m=` lines of the last description either way; their number and order are for ever.
    sections: Vec<Section>,
    /// Which of them is ours.
    audio: usize,
    /// What dynamic payload types stand for, of codecs and of events by clock rate; for the life of the session.
    known: Vec<PayloadFormat>,
    events: Vec<(u32, u8)>,
    /// Payload types in the peer's last offer.
    taken: Vec<u8>,
    version: u64,
    sent: Option<Description>,
    offered: Option<Offered>,
    remote: Option<SocketAddr>,
    remote_rtcp: Option<SocketAddr>,
    security: Security,
}

#[derive(Debug, Clone)]
struct Section {
    kind: String,
    protocol: String,
    formats: Vec<String>,
}

/// What our last offer proposed.
#[derive(Debug, Clone)]
struct Offered {
    formats: Vec<PayloadFormat>,
    direction: Direction,
    /// By clock rate.
    events: Vec<(u32, u8)>,
}

/// What the peer says about the audio stream, either way.
struct Peer {
    direction: Direction,
    remote: Option<SocketAddr>,
    remote_rtcp: Option<SocketAddr>,
    rtcp_mux: bool,
    ptime_ms: u8,
}

impl Negotiation {
    /// Starts with nothing agreed. `local` is the address the peer is to send RTP to; RTCP is at the next port.
    #[must_use]
    pub fn new(capabilities: Capabilities, local: SocketAddr, session_id: u64) -> Self {
        Self {
            security: Security::new(capabilities.srtp, &capabilities.suites),
            capabilities,
            local,
            // Many parsers stop at 63 bits.
            session_id: session_id & (u64::MAX >> 1),
            direction: Direction::SendRecv,
            peer_holds: false,
            sections: Vec::new(),
            audio: 0,
            known: Vec::new(),
            events: Vec::new(),
            taken: Vec::new(),
            version: 0,
            sent: None,
            offered: None,
            remote: None,
            remote_rtcp: None,
        }
    }

    /// Lets media be encrypted, with keys from that source. Without it there are no keys: whatever must be encrypted is
    /// refused.
    #[must_use]
    pub fn with_keys(mut self, source: KeySource) -> Self {
        self.security.set_source(source);
        self
    }

    /// What we want from now on; `SendOnly` holds the peer. Takes effect with the next offer or answer.
    pub fn set_direction(&mut self, direction: Direction) {
        self.direction = direction;
    }

    /// What we want.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Whether the peer holds us: it last said that it does not want to receive.
    #[must_use]
    pub fn peer_holds(&self) -> bool {
        self.peer_holds
    }

    /// A full offer of what we can do now.
    #[must_use]
    pub fn offer(&mut self) -> Vec<u8> {
        // RFC 3264 §8.4: who is held and holds, has nothing left to send or receive.
        let direction = match self.direction {
            Direction::SendOnly if self.peer_holds => Direction::Inactive,
            wanted @ (Direction::SendRecv
            | Direction::SendOnly
            | Direction::RecvOnly
            | Direction::Inactive) => wanted,
        };
        let (formats, events) = self.offered_formats();
        let cryptos = self.security.propose().to_vec();
        let terms = Terms {
            formats: &formats,
            events: &events,
            direction,
            rtcp_mux: self.capabilities.rtcp_mux,
            ptime_ms: self.capabilities.ptime_ms,
            cryptos: &cryptos,
        };
        if self.sections.is_empty() {
            self.sections.push(Section::audio(self.security.protocol()));
        }
        let body = self.describe(Some(&terms));
        self.offered = Some(Offered { formats, direction, events });
        body
    }

    /// Forgets an offer that was refused; what was agreed before stays agreed.
    pub fn withdraw_offer(&mut self) {
        self.offered = None;
    }

    /// Answers an offer: the answer, and what our session is to do.
    pub fn accept_offer(&mut self, offer: &[u8]) -> Result<(Vec<u8>, SessionConfig), SdpError> {
        let description = Description::parse(offer)?;
        let Some(Chosen { index, map, format, security }) = self.choose(&description)? else {
            return Ok(self.accept_removal(&description));
        };
        let media = &description.media[index];
        let peer = self.read_peer(&description, media, format.codec)?;
        let clock_rate = format.codec.clock_rate();
        let event_type = map.telephone_event(clock_rate).filter(|_| self.capabilities.telephone_event);
        let events: Vec<_> = event_type.map(|payload_type| (clock_rate, payload_type)).into_iter().collect();
        let direction = self.direction.and(peer.direction.reversed());

        self.sections = description.media.iter().map(Section::of).collect();
        self.audio = index;
        self.remember(media, &map);
        self.peer_holds = !peer.direction.receives();
        self.offered = None;
        (self.remote, self.remote_rtcp) = (peer.remote, peer.remote_rtcp);
        let cryptos = self.security.accept(security);
        let terms = Terms {
            formats: &[format],
            events: &events,
            direction,
            rtcp_mux: peer.rtcp_mux,
            ptime_ms: peer.ptime_ms,
            cryptos: &cryptos,
        };
        let answer = self.describe(Some(&terms));
        let config = SessionConfig {
            remote: peer.remote,
            remote_rtcp: peer.remote_rtcp,
            signaling_ip: None,
            rtcp_mux: peer.rtcp_mux,
            send: format,
            encoder: opus_parameters::settings(media, format.codec, format.payload_type),
            receive: vec![format],
            send_event: event_type,
            receive_event: event_type.into_iter().collect(),
            ptime_ms: peer.ptime_ms,
            direction,
            latch: self.capabilities.latch,
            srtp: self.security.keys().cloned(),
        };
        Ok((answer, config))
    }

    /// Takes in an answer to our last offer. Several may come, of early dialogs or as previews; the last one counts.
    pub fn accept_answer(&mut self, answer: &[u8]) -> Result<SessionConfig, SdpError> {
        let offered = self.offered.as_ref().ok_or(SdpError::NoOffer)?;
        let description = Description::parse(answer)?;
        let media = description.media.get(self.audio).ok_or(SdpError::NoAudio)?;
        if media.port == 0 || !media.is_audio() {
            return Err(SdpError::NoAudio);
        }
        let map = CodecMap::of(media);
        // RFC 3264 §7: the first format of the answer is to be used.
        let known = |codec| offered.formats.iter().any(|format| format.codec == codec);
        let (codec, payload_type) =
            map.codecs().find(|(codec, _)| known(*codec)).ok_or(SdpError::NoCommonCodec)?;
        let send_event = map.telephone_event(codec.clock_rate()).filter(|_| !offered.events.is_empty());
        // RFC 3264 §5.1: whatever we offered may arrive; some peers also use their own numbers.
        let mut receive = offered.formats.clone();
        let ours = offered.events.iter().filter(|_| send_event.is_some());
        let mut receive_event: Vec<u8> = ours.map(|(_, payload_type)| *payload_type).collect();
        for (codec, payload_type) in map.codecs().filter(|(codec, _)| known(*codec)) {
            let taken = |format: &PayloadFormat| format.payload_type == payload_type;
            if !receive.iter().any(taken) && !receive_event.contains(&payload_type) {
                receive.push(PayloadFormat { codec, payload_type });
            }
        }
        if let Some(theirs) = send_event
            && !receive_event.contains(&theirs)
            && !receive.iter().any(|format| format.payload_type == theirs)
        {
            receive_event.push(theirs);
        }
        let offered_direction = offered.direction;
        let peer = self.read_peer(&description, media, codec)?;
        let srtp = self.security.answered(media)?;
        if offered_direction.sends() {
            self.peer_holds = !peer.direction.receives();
        }
        (self.remote, self.remote_rtcp) = (peer.remote, peer.remote_rtcp);
        self.security.settle(srtp.clone());
        Ok(SessionConfig {
            remote: peer.remote,
            remote_rtcp: peer.remote_rtcp,
            signaling_ip: None,
            rtcp_mux: peer.rtcp_mux,
            send: PayloadFormat { codec, payload_type },
            encoder: opus_parameters::settings(media, codec, payload_type),
            receive,
            send_event,
            receive_event,
            ptime_ms: peer.ptime_ms,
            direction: offered_direction.and(peer.direction.reversed()),
            latch: self.capabilities.latch,
            srtp,
        })
    }

    /// The `m=` line of an offer to use and our preferred codec in it. `None` when a session is asked to end its
    /// audio.
    fn choose(&self, offer: &Description) -> Result<Option<Chosen>, SdpError> {
        // The line in use goes first, so that a further audio line does not take its place.
        let in_use = offer.media.get(self.audio).filter(|_| self.sent.is_some());
        let all = || offer.media.iter().enumerate();
        let secure = all().filter(|(_, media)| self.security.prefers_secure() && media.must_be_secure());
        let candidates = in_use.map(|media| (self.audio, media)).into_iter().chain(secure).chain(all());
        let mut insecure = None;
        for (index, media) in candidates.filter(|(_, media)| media.is_audio() && media.port != 0) {
            let map = CodecMap::of(media);
            let ours = &self.capabilities.codecs;
            let preferred = match self.capabilities.order {
                Order::Theirs => map.codecs().find(|(codec, _)| ours.contains(codec)),
                Order::Ours => ours
                    .iter()
                    .find_map(|&codec| map.payload_type(codec).map(|payload_type| (codec, payload_type))),
            };
            let preferred = preferred.map(|(codec, payload_type)| PayloadFormat { codec, payload_type });
            let Some(format) = preferred else { continue };
            match self.security.choose(media) {
                Ok(security) => return Ok(Some(Chosen { index, map, format, security })),
                Err(error) => insecure = Some(error),
            }
        }
        if let Some(error) = insecure {
            return Err(error);
        }
        let mut audio =
            offer.media.iter().filter(|media| media.kind.eq_ignore_ascii_case("audio")).peekable();
        if audio.peek().is_none() {
            return Err(SdpError::NoAudio);
        }
        match (audio.all(|media| media.port == 0), self.sent.is_some()) {
            (true, true) => Ok(None),
            (true, false) => Err(SdpError::NoAudio),
            (false, _) => Err(SdpError::NoCommonCodec),
        }
    }

    /// RFC 3264 §8.2: a stream offered with port 0 is answered with port 0.
    fn accept_removal(&mut self, offer: &Description) -> (Vec<u8>, SessionConfig) {
        self.sections = offer.media.iter().map(Section::of).collect();
        self.offered = None;
        (self.remote, self.remote_rtcp) = (None, None);
        let answer = self.describe(None);
        let config = SessionConfig {
            direction: Direction::Inactive,
            latch: self.capabilities.latch,
            srtp: self.security.keys().cloned(),
            ..SessionConfig::default()
        };
        (answer, config)
    }

    fn read_peer(&self, description: &Description, media: &Media, codec: Codec) -> Result<Peer, SdpError> {
        let connection =
            media.connection.as_ref().or(description.connection.as_ref()).ok_or(SdpError::Syntax {
                line: media.line,
                expected: "a c= line before or in the audio section",
            })?;
        let session = &description.attributes;
        let mut direction = media.direction(session);
        let rtcp_mux = self.capabilities.rtcp_mux && media.rtcp_mux();
        let (remote, remote_rtcp) = if connection.is_unspecified() {
            // RFC 3264 §8.4: the old way to hold. The address of before stays known for when it resumes.
            direction = Direction::from_halves(direction.sends(), false);
            (self.remote, self.remote_rtcp)
        } else {
            let remote = connection.unicast().map(|address| SocketAddr::new(address, media.port));
            (remote, remote.and_then(|remote| rtcp_address(media, remote, rtcp_mux)))
        };
        let ptime_ms =
            packet_time(codec, media.ptime(session), media.max_ptime(session), self.capabilities.ptime_ms);
        Ok(Peer { direction, remote, remote_rtcp, rtcp_mux, ptime_ms })
    }

    /// What we offer: codecs, and events at each of their clock rates.
    fn offered_formats(&self) -> (Vec<PayloadFormat>, Vec<(u32, u8)>) {
        let mut used: Vec<u8> = Vec::new();
        let mut take = |known: Option<u8>, usual: u8| {
            let strange = |payload_type: &u8| used.contains(payload_type) || self.is_taken(*payload_type);
            let payload_type = known.unwrap_or_else(|| {
                let mut free = std::iter::once(usual).chain((96..=127).rev());
                free.find(|payload_type| !strange(payload_type)).unwrap_or(usual)
            });
            used.push(payload_type);
            payload_type
        };
        let mut formats = Vec::with_capacity(self.capabilities.codecs.len());
        for &codec in &self.capabilities.codecs {
            let known = self.known.iter().find(|format| format.codec == codec);
            let known = known.map(|format| format.payload_type).or(codec.static_payload_type());
            formats.push(PayloadFormat { codec, payload_type: take(known, codec.usual_payload_type()) });
        }
        let mut events: Vec<(u32, u8)> = Vec::new();
        for clock_rate in formats.iter().map(|format| format.codec.clock_rate()) {
            if self.capabilities.telephone_event && events.iter().all(|(other, _)| *other != clock_rate) {
                let known = self.events.iter().find(|(other, _)| *other == clock_rate);
                let usual = if clock_rate == 8_000 { DEFAULT_EVENT_TYPE } else { WIDE_EVENT_TYPE };
                events.push((clock_rate, take(known.map(|(_, payload_type)| *payload_type), usual)));
            }
        }
        (formats, events)
    }

    /// RFC 3264 §8.3.2: a dynamic payload type keeps its meaning for the life of the session.
    fn remember(&mut self, media: &Media, map: &CodecMap) {
        for (codec, payload_type) in map.codecs() {
            self.known.retain(|format| format.codec != codec);
            if map.payload_type(codec) == Some(payload_type) {
                self.known.push(PayloadFormat { codec, payload_type });
            }
        }
        for clock_rate in [8_000, 16_000, 48_000] {
            if let Some(payload_type) = map.telephone_event(clock_rate) {
                self.events.retain(|(other, _)| *other != clock_rate);
                self.events.push((clock_rate, payload_type));
            }
        }
        let theirs = media.formats.iter().filter_map(|format| format.trim().parse().ok());
        self.taken = theirs.collect();
    }

    /// Whether the peer gave a payload type a meaning.
    fn is_taken(&self, payload_type: u8) -> bool {
        self.taken.contains(&payload_type)
    }

    /// Our description with these terms for audio, or with audio refused; a new version if anything changed.
    fn describe(&mut self, terms: Option<&Terms<'_>>) -> Vec<u8> {
        let media = self.sections.iter().enumerate().map(|(index, section)| match terms {
            Some(terms) if index == self.audio => section.accepted(self.local.port(), terms),
            _ => section.refused(),
        });
        let mut description = Description {
            origin: Origin {
                username: "-".to_owned(),
                session_id: self.session_id.to_string(),
                version: self.version.to_string(),
                address: format!("IN {} {}", family(self.local.ip()), self.local.ip()),
            },
            name: "-".to_owned(),
            connection: Some(Connection::Address(self.local.ip())),
            attributes: Vec::new(),
            media: media.collect(),
        };
        // RFC 3264 §8: one more exactly when the description differs from the last one sent.
        if self.sent.as_ref() != Some(&description) {
            self.version += 1;
            description.origin.version = self.version.to_string();
        }
        let body = description.to_string().into_bytes();
        self.sent = Some(description);
        body
    }
}

/// What an audio section says.
struct Terms<'a> {
    formats: &'a [PayloadFormat],
    /// By clock rate.
    events: &'a [(u32, u8)],
    direction: Direction,
    rtcp_mux: bool,
    ptime_ms: u8,
    cryptos: &'a [Crypto],
}

/// The `m=` line of an offer that is used.
struct Chosen {
    index: usize,
    map: CodecMap,
    format: PayloadFormat,
    security: Option<Choice>,
}

impl Section {
    fn audio(protocol: &str) -> Self {
        Self { kind: "audio".to_owned(), protocol: protocol.to_owned(), formats: Vec::new() }
    }

    fn of(media: &Media) -> Self {
        Self { kind: media.kind.clone(), protocol: media.protocol.clone(), formats: media.formats.clone() }
    }

    fn accepted(&self, port: u16, terms: &Terms<'_>) -> Media {
        let mut formats: Vec<String> =
            terms.formats.iter().map(|format| format.payload_type.to_string()).collect();
        let mut attributes: Vec<Attribute> = terms
            .formats
            .iter()
            .map(|format| Attribute::RtpMap {
                payload_type: format.payload_type,
                name: format.codec.name().to_owned(),
                clock_rate: format.codec.clock_rate(),
                channels: format.codec.announced_channels(),
            })
            .collect();
        let opus = terms.formats.iter().find(|format| format.codec == Codec::Opus);
        if let Some(&PayloadFormat { payload_type, .. }) = opus {
            attributes.push(Attribute::Fmtp { payload_type, parameters: opus_parameters::OURS.to_owned() });
        }
        for &(clock_rate, payload_type) in terms.events {
            formats.push(payload_type.to_string());
            attributes.push(Attribute::RtpMap {
                payload_type,
                name: TELEPHONE_EVENT.to_owned(),
                clock_rate,
                channels: 1,
            });
            attributes.push(Attribute::Fmtp { payload_type, parameters: "0-16".to_owned() });
        }
        attributes.push(Attribute::Ptime(terms.ptime_ms));
        attributes.push(Attribute::Direction(terms.direction));
        if terms.rtcp_mux {
            attributes.push(Attribute::RtcpMux);
        }
        attributes.extend(terms.cryptos.iter().map(|crypto| Attribute::Crypto(crypto.text())));
        Media {
            line: 0,
            kind: self.kind.clone(),
            port,
            protocol: self.protocol.clone(),
            formats,
            connection: None,
            attributes,
        }
    }

    fn refused(&self) -> Media {
        // RFC 8866 §9 wants at least one format, also where none is meant.
        let formats = if self.formats.is_empty() { vec!["0".to_owned()] } else { self.formats.clone() };
        Media {
            line: 0,
            kind: self.kind.clone(),
            port: 0,
            protocol: self.protocol.clone(),
            formats,
            connection: None,
            attributes: Vec::new(),
        }
    }
}

fn rtcp_address(media: &Media, remote: SocketAddr, rtcp_mux: bool) -> Option<SocketAddr> {
    if rtcp_mux {
        return Some(remote);
    }
    // RFC 3605 §2.1, else the next port (RFC 3550 §11).
    match media.rtcp() {
        Some((0, _)) => None,
        Some((port, address)) => {
            let address = address.unwrap_or(remote.ip());
            is_unicast(address).then_some(SocketAddr::new(address, port))
        }
        None => remote.port().checked_add(1).map(|port| SocketAddr::new(remote.ip(), port)),
    }
}

/// The longest packet time we can send that the peer likes.
fn packet_time(codec: Codec, wanted: Option<u8>, max: Option<u8>, ours: u8) -> u8 {
    codec.packet_time(wanted.unwrap_or(ours).min(max.unwrap_or(u8::MAX)))
}

/// What most others use.
const DEFAULT_EVENT_TYPE: u8 = 101;
/// Beside codecs with another clock than 8 kHz.
const WIDE_EVENT_TYPE: u8 = 110;
