//! A live `Endpoint`: calls in both directions, registrations, timers, and strangers who join in.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use signaling::{
    Body, Config, Endpoint, Event, FlowId, InviteId, Listener, NameAddr, Outgoing, Registration,
    RegistrationId, Source, StatusCode, Target as Place, Transport, Uri, auth::credentials::User,
};

use super::{Target, Verdict, dress};
use crate::{
    mutate::{self, SIP_WORDS},
    random::Random,
};

/// Messages of the endpoint that a peer may still answer or refer to.
const LIVE: usize = 64;

/// Nothing that the endpoint waits for takes longer: a registration's lifetime and some retries.
const REST: Duration = Duration::from_secs(3 * 3_600);

const OFFER: &str =
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

pub struct LiveEndpoint {
    endpoint: Endpoint,
    begun: Instant,
    now: Instant,
    live: VecDeque<Bytes>,
    invites: Vec<InviteId>,
    registrations: Vec<RegistrationId>,
    /// Whether calls are taken and made; not while settling.
    open: bool,
    /// How deep the inputs got.
    seen: Seen,
}

/// Events of each kind.
#[derive(Debug, Default)]
struct Seen {
    incoming: usize,
    progress: usize,
    answered: usize,
    confirmed: usize,
    modify: usize,
    modified: usize,
    info: usize,
    ended: usize,
    bound: usize,
    registered: usize,
}

impl LiveEndpoint {
    #[allow(clippy::disallowed_methods, reason = "a base for virtual time")]
    pub fn new() -> Self {
        let local = SocketAddr::from(([127, 0, 0, 1], 5060));
        let listener = |transport| Listener { transport, local, advertised: local };
        let now = Instant::now();
        Self {
            endpoint: Endpoint::new(Config {
                listeners: vec![listener(Transport::Udp), listener(Transport::Tcp)],
                seed: [7; 32],
                users: vec![User::new("ana", "offhook", "secret"), User::new("bo", "offhook", "secret")],
                max_invites: 1_000,
                ..Config::default()
            }),
            begun: now,
            now,
            live: VecDeque::new(),
            invites: Vec::new(),
            registrations: Vec::new(),
            open: true,
            seen: Seen::default(),
        }
    }
}

impl Target for LiveEndpoint {
    fn name(&self) -> &'static str {
        "endpoint"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["sip"]
    }

    fn share(&self) -> usize {
        25
    }

    fn mutate(&self, input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
        // Half of the inputs belong to what is going on; of those, half are sane.
        if random.one_in(2)
            && let Some(live) = self.live.get(random.below(self.live.len()))
            && let Some(dressed) = dress::as_peer(live, input, random)
        {
            *input = dressed;
            if random.one_in(2) {
                return;
            }
        }
        if random.one_in(2) {
            dress::as_new(input, random);
        }
        if !random.one_in(4) {
            mutate::text(input, other, SIP_WORDS, random);
        }
    }

    fn run(&mut self, input: &[u8], random: &mut Random) -> Verdict {
        self.pass_time(random);
        if random.one_in(30) {
            self.act(random);
        }
        let source = source(random);
        self.endpoint.handle_message(self.now, &source, &Bytes::copy_from_slice(input));
        self.drain(random);
        match random.below(4_000) {
            0 => self.endpoint.handle_flow_closed(self.now, source.flow),
            1 => self.endpoint.handle_unreachable(self.now, source.remote),
            _ => {}
        }
        self.drain(random);
        Verdict::None
    }

    fn report(&self) -> Option<String> {
        Some(format!("{:?}", self.seen))
    }

    fn remembers(&self) -> bool {
        true
    }

    fn allowance(&self, length: usize) -> usize {
        // What an expiring timer of many calls may send at once.
        8 * 1024 * 1024 + 100 * length
    }

    fn settle(&mut self) -> Result<(), String> {
        let mut random = Random::new(0, "settle");
        self.open = false;
        for id in std::mem::take(&mut self.invites) {
            if let Some(mut invite) = self.endpoint.invite(id) {
                let _ = invite.hang_up(self.now, None);
            }
            self.drain(&mut random);
        }
        for id in std::mem::take(&mut self.registrations) {
            self.endpoint.unregister(self.now, id);
            self.drain(&mut random);
        }
        let end = self.now + REST;
        while let Some(due) = self.endpoint.poll_timeout() {
            if due > end {
                return Err(format!("still waiting after {REST:?}: {:?}", self.endpoint.gauges()));
            }
            self.now = self.now.max(due);
            self.endpoint.handle_timeout(self.now);
            self.drain(&mut random);
        }
        self.live = VecDeque::new();
        self.open = true;
        let gauges = self.endpoint.gauges();
        let held = gauges.invites
            + gauges.dialogs
            + gauges.client_transactions
            + gauges.server_transactions
            + gauges.bindings
            + gauges.registrations
            + gauges.questions
            + gauges.timers;
        if held == 0 { Ok(()) } else { Err(format!("something is left: {gauges:?}")) }
    }
}

impl LiveEndpoint {
    fn pass_time(&mut self, random: &mut Random) {
        if random.one_in(8) {
            let longest = *random.pick(&[&10, &600, &5_000]);
            self.now += Duration::from_millis(random.below(longest) as u64);
        }
        if self.endpoint.poll_timeout().is_some_and(|due| due <= self.now) {
            self.endpoint.handle_timeout(self.now);
            self.drain(random);
        }
        debug_assert!(self.now >= self.begun);
    }

    /// Something the application does.
    fn act(&mut self, random: &mut Random) {
        let now = self.now;
        let some = self.invites.get(random.below(self.invites.len())).copied();
        match (random.below(8), some) {
            (0..=2, _) => self.dial(random),
            (3, _) if self.registrations.len() < 20 => self.register(random),
            (3, _) => {
                let id = self.registrations.swap_remove(random.below(self.registrations.len()));
                self.endpoint.unregister(now, id);
            }
            (what, Some(id)) => {
                if let Some(mut invite) = self.endpoint.invite(id) {
                    let _ = match what {
                        4 => invite.modify(now, random.one_in(2).then(offer)),
                        5 => invite.info(
                            now,
                            Body { content_type: "application/dtmf".into(), bytes: Bytes::from_static(b"1") },
                        ),
                        6 => invite.acknowledge(now, Some(offer())),
                        _ => invite.hang_up(now, random.one_in(2).then_some(StatusCode::BUSY_HERE)),
                    };
                }
            }
            _ => {}
        }
        self.drain(random);
    }

    fn dial(&mut self, random: &mut Random) {
        let host = random.pick(&["127.0.0.1:5070", "[::1]", "phone.example", "127.0.0.1;transport=tcp"]);
        let mut outgoing =
            Outgoing::new(uri(&format!("sip:eva@{host}")), NameAddr::new(uri("sip:bo@127.0.0.1")));
        outgoing.credentials = random.one_in(2).then(|| ("bo".into(), "secret".into()));
        outgoing.body = (!random.one_in(4)).then(offer);
        let id = self.endpoint.dial(self.now, outgoing);
        self.invites.push(id);
    }

    fn register(&mut self, random: &mut Random) {
        let mut registration = Registration::new(uri("sip:127.0.0.1:5070"), "bo", "secret");
        registration.expires = *random.pick(&[&60, &3_600]);
        let id = self.endpoint.register(self.now, registration);
        self.registrations.push(id);
    }

    /// Takes everything out, and answers like an application in a hurry.
    fn drain(&mut self, random: &mut Random) {
        loop {
            let mut idle = true;
            while let Some(transmit) = self.endpoint.poll_transmit() {
                idle = false;
                if self.live.len() == LIVE {
                    self.live.pop_front();
                }
                self.live.push_back(transmit.bytes);
            }
            while let Some(question) = self.endpoint.poll_question() {
                idle = false;
                let place = Place { transport: question.transport, address: ([127, 0, 0, 1], 5070).into() };
                let places = if random.one_in(4) { vec![] } else { vec![place] };
                self.endpoint.handle_route(self.now, question.id, &places);
            }
            while let Some(event) = self.endpoint.poll_event() {
                idle = false;
                self.react(event, random);
            }
            if idle {
                return;
            }
        }
    }

    fn react(&mut self, event: Event, random: &mut Random) {
        let now = self.now;
        self.seen.count(&event);
        match event {
            Event::Incoming(id, _) => {
                self.invites.push(id);
                let Some(mut invite) = self.endpoint.invite(id) else { return };
                let _ = match random.below(if self.open { 5 } else { 1 }) {
                    0 => invite.reject(now, StatusCode::BUSY_HERE, None),
                    1 => invite.ring(now, StatusCode::RINGING, None),
                    2 => invite
                        .ring(now, StatusCode::SESSION_PROGRESS, Some(offer()))
                        .and_then(|()| invite.accept(now, offer())),
                    _ => invite.accept(now, offer()),
                };
            }
            Event::Answered(id, answered) if answered.is_offer => {
                if let Some(mut invite) = self.endpoint.invite(id) {
                    let _ = invite.acknowledge(now, Some(offer()));
                }
            }
            Event::Modify(id, _) => {
                if let Some(mut invite) = self.endpoint.invite(id) {
                    let _ = match random.below(3) {
                        0 => invite.refuse_modify(now, StatusCode::NOT_ACCEPTABLE_HERE),
                        _ => invite.accept_modify(now, offer()),
                    };
                }
            }
            Event::Ended(id, _) => self.invites.retain(|invite| *invite != id),
            _ => {}
        }
    }
}

impl Seen {
    fn count(&mut self, event: &Event) {
        *match event {
            Event::Incoming(..) => &mut self.incoming,
            Event::Progress(..) => &mut self.progress,
            Event::Answered(..) => &mut self.answered,
            Event::Confirmed(..) => &mut self.confirmed,
            Event::Modify(..) | Event::ModifyConfirmed(..) => &mut self.modify,
            Event::Modified(..) | Event::ModifyFailed(..) => &mut self.modified,
            Event::Info(..) => &mut self.info,
            Event::Ended(..) => &mut self.ended,
            Event::Bound(..) | Event::Unbound(..) => &mut self.bound,
            Event::Registration(..) => &mut self.registered,
            _ => return,
        } += 1;
    }
}

fn offer() -> Body {
    Body::sdp(OFFER)
}

fn uri(text: &str) -> Uri {
    text.parse().expect("a URI of this file")
}

/// One of a few peers, trusted and not, over both transports.
fn source(random: &mut Random) -> Source {
    let (transport, flow) = *random.pick(&[
        &(Transport::Udp, 1),
        &(Transport::Udp, 1),
        &(Transport::Tcp, 2),
        &(Transport::Tcp, 3),
    ]);
    let remote = random.pick(&["127.0.0.1:5070", "127.0.0.1:5071", "192.0.2.9:5060", "[2001:db8::7]:5060"]);
    Source {
        flow: FlowId(flow),
        transport,
        local: ([127, 0, 0, 1], 5060).into(),
        remote: remote.parse().expect("an address of this file"),
    }
}
