//! Several endpoints and scripted peers on a virtual network with delay, loss, duplication and reordering, under a
//! virtual clock. Everything follows from the seed.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::OnceLock,
    time::{Duration, Instant},
};

use bytes::Bytes;
use offhook_signaling::{
    Body, Config, Ended, Endpoint, Event, FlowId, Gauges, InviteId, Listener, NameAddr, Outgoing, Question,
    Source, Target, Transmit, Transport, Uri,
    message::{Message, Method, Name, Request, Response},
};

/// What the network does to datagrams. Streams only suffer the delay.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    pub delay: Duration,
    /// Added at random, so that datagrams overtake each other.
    pub jitter: Duration,
    /// Percent.
    pub loss: u64,
    /// Percent.
    pub duplication: u64,
}

impl Default for Link {
    fn default() -> Self {
        Self { delay: Duration::from_millis(10), jitter: Duration::ZERO, loss: 0, duplication: 0 }
    }
}

/// A number generator for tests (SplitMix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}

enum Party {
    Endpoint {
        endpoint: Box<Endpoint>,
        events: Vec<Event>,
    },
    /// A peer made of raw messages: it does nothing by itself.
    Script {
        inbox: Vec<(SocketAddr, Message)>,
    },
}

struct Packet {
    from: SocketAddr,
    to: SocketAddr,
    transport: Transport,
    bytes: Bytes,
}

pub type Filter = Box<dyn FnMut(SocketAddr, SocketAddr, &Message) -> bool>;

/// The network and everybody on it.
pub struct World {
    pub now: Instant,
    pub link: Link,
    /// Says which messages get lost, on top of chance.
    pub lose: Option<Filter>,
    /// Answers route questions.
    pub names: BTreeMap<String, Vec<Target>>,
    /// First lines of all messages that were sent: from, to, line.
    pub log: Vec<(usize, usize, String)>,
    pub dice: Dice,
    parties: Vec<Party>,
    air: BTreeMap<(Instant, u64), Packet>,
    serial: u64,
}

pub fn address(who: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, u8::try_from(who + 1).unwrap()], 5060))
}

#[expect(clippy::disallowed_methods, reason = "a base for virtual time")]
fn base() -> Instant {
    static BASE: OnceLock<Instant> = OnceLock::new();
    *BASE.get_or_init(Instant::now)
}

pub fn config(who: usize) -> Config {
    let listener = |transport| Listener { transport, local: address(who), advertised: address(who) };
    Config {
        listeners: vec![listener(Transport::Udp), listener(Transport::Tcp)],
        seed: [u8::try_from(who + 1).unwrap(); 32],
        trusted: vec![(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0)), 8)],
        ..Config::default()
    }
}

impl World {
    pub fn new() -> Self {
        Self {
            now: base(),
            link: Link::default(),
            lose: None,
            names: BTreeMap::new(),
            log: Vec::new(),
            dice: Dice(1),
            parties: Vec::new(),
            air: BTreeMap::new(),
            serial: 0,
        }
    }

    /// A world of so many endpoints.
    pub fn of(endpoints: usize) -> Self {
        let mut world = Self::new();
        (0..endpoints).for_each(|who| {
            world.add(config(who));
        });
        world
    }

    pub fn add(&mut self, config: Config) -> usize {
        self.parties.push(Party::Endpoint { endpoint: Box::new(Endpoint::new(config)), events: Vec::new() });
        self.parties.len() - 1
    }

    pub fn add_script(&mut self) -> usize {
        self.parties.push(Party::Script { inbox: Vec::new() });
        self.parties.len() - 1
    }

    pub fn endpoint(&mut self, who: usize) -> &mut Endpoint {
        match &mut self.parties[who] {
            Party::Endpoint { endpoint, .. } => endpoint,
            Party::Script { .. } => panic!("{who} is a script"),
        }
    }

    /// Does something with a running call.
    pub fn with(
        &mut self,
        who: usize,
        id: InviteId,
        f: impl FnOnce(&mut offhook_signaling::Invite<'_>, Instant),
    ) {
        let now = self.now;
        f(&mut self.endpoint(who).invite(id).expect("the call runs"), now);
        self.flush();
    }

    pub fn dial(&mut self, who: usize, outgoing: Outgoing) -> InviteId {
        let now = self.now;
        let id = self.endpoint(who).dial(now, outgoing);
        self.flush();
        id
    }

    /// Runs until nothing is due before `until`.
    pub fn run_until(&mut self, until: Instant) {
        while let Some(at) = self.next().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.step();
        }
        self.now = until;
    }

    pub fn run_for(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    /// Runs until nothing will ever happen again.
    pub fn run_out(&mut self) {
        let limit = self.now + Duration::from_secs(3600);
        while let Some(at) = self.next() {
            assert!(at < limit, "the world does not come to rest");
            self.now = self.now.max(at);
            self.step();
        }
    }

    /// Runs until this endpoint tells such an event, and takes it. Earlier ones stay.
    pub fn wait<T>(&mut self, who: usize, mut pick: impl FnMut(&Event) -> Option<T>) -> T {
        let limit = self.now + Duration::from_secs(400);
        loop {
            if let Party::Endpoint { events, .. } = &mut self.parties[who] {
                for at in 0..events.len() {
                    if let Some(picked) = pick(&events[at]) {
                        events.remove(at);
                        return picked;
                    }
                }
            }
            let Some(at) = self.next().filter(|at| *at < limit) else {
                panic!("no such event at {who}; has {:?}\n{}", self.events(who), self.story());
            };
            self.now = self.now.max(at);
            self.step();
        }
    }

    pub fn wait_incoming(&mut self, who: usize) -> (InviteId, offhook_signaling::Incoming) {
        self.wait(who, |event| match event {
            Event::Incoming(id, incoming) => Some((*id, (**incoming).clone())),
            _ => None,
        })
    }

    pub fn wait_ended(&mut self, who: usize, id: InviteId) -> Ended {
        self.wait(who, |event| match event {
            Event::Ended(of, ended) if *of == id => Some((**ended).clone()),
            _ => None,
        })
    }

    /// Takes all events this endpoint has told and nobody waited for.
    pub fn events(&mut self, who: usize) -> Vec<Event> {
        match &mut self.parties[who] {
            Party::Endpoint { events, .. } => std::mem::take(events),
            Party::Script { .. } => Vec::new(),
        }
    }

    /// Runs until a scripted peer receives something.
    pub fn receive(&mut self, who: usize) -> Message {
        let limit = self.now + Duration::from_secs(400);
        loop {
            if let Party::Script { inbox } = &mut self.parties[who]
                && !inbox.is_empty()
            {
                return inbox.remove(0).1;
            }
            let Some(at) = self.next().filter(|at| *at < limit) else {
                panic!("nothing comes for {who}\n{}", self.story());
            };
            self.now = self.now.max(at);
            self.step();
        }
    }

    pub fn receive_request(&mut self, who: usize, method: Method) -> Request {
        loop {
            if let Message::Request(request) = self.receive(who)
                && request.method == method
            {
                return request;
            }
        }
    }

    /// Runs until a scripted peer receives a response above 100.
    pub fn receive_response(&mut self, who: usize) -> Response {
        loop {
            if let Message::Response(response) = self.receive(who)
                && response.status.code() > 100
            {
                return response;
            }
        }
    }

    pub fn inbox(&mut self, who: usize) -> Vec<Message> {
        match &mut self.parties[who] {
            Party::Script { inbox } => inbox.drain(..).map(|(_, message)| message).collect(),
            Party::Endpoint { .. } => Vec::new(),
        }
    }

    /// A scripted peer sends a datagram.
    pub fn send(&mut self, from: usize, to: usize, bytes: impl Into<Bytes>) {
        self.post(address(from), address(to), Transport::Udp, bytes.into());
    }

    pub fn gauges(&mut self, who: usize) -> Gauges {
        self.endpoint(who).gauges()
    }

    /// Nothing may be left of any call.
    pub fn assert_clean(&mut self) {
        self.run_out();
        for who in 0..self.parties.len() {
            if matches!(self.parties[who], Party::Endpoint { .. }) {
                let gauges = self.gauges(who);
                let left = Gauges { dropped_messages: gauges.dropped_messages, ..Gauges::default() };
                assert_eq!(gauges, left, "at {who}\n{}", self.story());
            }
        }
    }

    /// All messages so far, for people.
    pub fn story(&self) -> String {
        self.log.iter().map(|(from, to, line)| format!("{from} -> {to}  {line}\n")).collect()
    }

    /// How many messages with this first line (or beginning of it) were sent from one to the other.
    pub fn count(&self, from: usize, to: usize, line: &str) -> usize {
        self.log.iter().filter(|(f, t, l)| (*f, *t) == (from, to) && l.starts_with(line)).count()
    }

    fn next(&self) -> Option<Instant> {
        let due = self.parties.iter().filter_map(|party| match party {
            Party::Endpoint { endpoint, .. } => endpoint.poll_timeout(),
            Party::Script { .. } => None,
        });
        due.chain(self.air.keys().next().map(|(at, _)| *at)).min()
    }

    fn step(&mut self) {
        if let Some(entry) = self.air.first_entry()
            && entry.key().0 <= self.now
        {
            let packet = entry.remove();
            self.deliver(packet);
        } else {
            let now = self.now;
            for party in &mut self.parties {
                if let Party::Endpoint { endpoint, .. } = party {
                    endpoint.handle_timeout(now);
                }
            }
        }
        self.flush();
    }

    fn deliver(&mut self, packet: Packet) {
        let Some(who) = (0..self.parties.len()).find(|who| address(*who) == packet.to) else { return };
        let flow = match packet.transport {
            Transport::Udp => FlowId(0),
            _ => FlowId(
                1 + u64::from(
                    packet.from.ip().to_string().rsplit('.').next().unwrap().parse::<u8>().unwrap(),
                ),
            ),
        };
        let source = Source { flow, transport: packet.transport, local: packet.to, remote: packet.from };
        let now = self.now;
        match &mut self.parties[who] {
            Party::Endpoint { endpoint, .. } => endpoint.handle_message(now, &source, &packet.bytes),
            // A refusal of what could not be read repeats what could not be read.
            Party::Script { inbox } => {
                if let Ok(message) = Message::parse(&packet.bytes) {
                    inbox.push((packet.from, message));
                }
            }
        }
    }

    /// Takes what endpoints want sent, asked or told.
    pub fn flush(&mut self) {
        let now = self.now;
        for who in 0..self.parties.len() {
            let mut sent: Vec<Transmit> = Vec::new();
            if let Party::Endpoint { endpoint, events } = &mut self.parties[who] {
                loop {
                    let questions: Vec<Question> = std::iter::from_fn(|| endpoint.poll_question()).collect();
                    for question in &questions {
                        let targets = self.names.get(&question.host).cloned().unwrap_or_default();
                        endpoint.handle_route(now, question.id, &targets);
                    }
                    if questions.is_empty() {
                        break;
                    }
                }
                sent.extend(std::iter::from_fn(|| endpoint.poll_transmit()));
                events.extend(std::iter::from_fn(|| endpoint.poll_event()));
            }
            for transmit in sent {
                self.post(address(who), transmit.destination, transmit.transport, transmit.bytes);
            }
        }
    }

    fn post(&mut self, from: SocketAddr, to: SocketAddr, transport: Transport, bytes: Bytes) {
        let index = |address: SocketAddr| match address.ip() {
            IpAddr::V4(ip) => usize::from(ip.octets()[3]).saturating_sub(1),
            IpAddr::V6(_) => 0,
        };
        let line = String::from_utf8_lossy(&bytes);
        let line = line
            .lines()
            .next()
            .unwrap_or_default()
            .trim_end_matches(" SIP/2.0")
            .trim_start_matches("SIP/2.0 ");
        self.log.push((index(from), index(to), line.to_owned()));
        if let Some(lose) = &mut self.lose
            && let Ok(message) = Message::parse(&bytes)
            && lose(from, to, &message)
        {
            return;
        }
        let datagram = transport == Transport::Udp;
        if datagram && self.dice.roll(100) < self.link.loss {
            return;
        }
        let copies = if datagram && self.dice.roll(100) < self.link.duplication { 2 } else { 1 };
        for _ in 0..copies {
            let jitter = if datagram {
                let most = u64::try_from(self.link.jitter.as_micros()).unwrap();
                Duration::from_micros(self.dice.roll(most + 1))
            } else {
                Duration::ZERO
            };
            self.serial += 1;
            let key = (self.now + self.link.delay + jitter, self.serial);
            self.air.insert(key, Packet { from, to, transport, bytes: bytes.clone() });
        }
    }
}

pub fn uri(text: &str) -> Uri {
    Uri::parse(text).unwrap()
}

pub fn sdp(text: &str) -> Body {
    Body::sdp(text.to_owned())
}

/// A call from one to another with an offer.
pub fn call(from: usize, to: usize) -> Outgoing {
    Outgoing {
        body: Some(sdp("offer")),
        ..Outgoing::new(
            uri(&format!("sip:user{to}@{}", address(to))),
            NameAddr::new(uri(&format!("sip:user{from}@{}", address(from)))),
        )
    }
}

/// The same over TCP.
pub fn call_by_tcp(from: usize, to: usize) -> Outgoing {
    let target = uri(&format!("sip:user{to}@{};transport=tcp", address(to)));
    Outgoing { target, ..call(from, to) }
}

/// A response of a scripted peer to a request, with a To tag and its Contact.
pub fn reply(who: usize, request: &Request, code: u16, tag: &str, body: Option<&str>) -> Bytes {
    let mut response = request.reply(offhook_signaling::StatusCode::new(code).unwrap());
    let to = response.headers.to().unwrap();
    if to.tag().is_none() && code > 100 {
        response.headers.set(Name::To, to.with_tag(tag).to_string());
    }
    response.headers.push(Name::Contact, format!("<sip:script@{}>", address(who)));
    response.set_content(body.map(sdp));
    response.to_bytes()
}

/// Calls, rings, answers, confirms: the ids on both sides.
pub fn establish(world: &mut World, outgoing: Outgoing, from: usize, to: usize) -> (InviteId, InviteId) {
    let out = world.dial(from, outgoing);
    let (inc, _) = world.wait_incoming(to);
    world
        .with(to, inc, |invite, now| invite.ring(now, offhook_signaling::StatusCode::RINGING, None).unwrap());
    world.with(to, inc, |invite, now| invite.accept(now, sdp("answer")).unwrap());
    world.wait(from, |event| matches!(event, Event::Answered(id, _) if *id == out).then_some(()));
    world.wait(to, |event| matches!(event, Event::Confirmed(id, _) if *id == inc).then_some(()));
    (out, inc)
}
