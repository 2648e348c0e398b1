//! What all usages of an endpoint share: transactions, timers, randomness and the way out.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::SocketAddr,
};

use bytes::Bytes;

use crate::{
    config::{Config, Listener},
    dialog::Dialog,
    event::{Event, InviteId, RegistrationId},
    flow::{Source, Transmit, Transport},
    message::{Host, Method, Name, NameAddr, Request, Response, Uri},
    route::{Path, Question, QuestionId},
    transaction::{
        key::{ClientKey, MergeKey, ServerKey},
        timers::Timings,
    },
};

use super::{
    client::{ClientTransaction, Waiting},
    random::Random,
    server::ServerTransaction,
    timers::Timers,
};

/// Names a client transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClientId(pub(crate) u64);

/// Names a server transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ServerId(pub(crate) u64);

/// Who wants to know how a request of ours went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// An INVITE usage.
    Invite(InviteId),
    /// A registration of ours.
    Registration(RegistrationId),
    /// Nobody.
    None,
}

/// How a request of ours went.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It was answered.
    Response(Box<Response>, Source),
    /// Nothing (final) came in time.
    TimedOut,
    /// It could not be sent.
    Unreachable,
}

/// What the owner of a request is to hear.
#[derive(Debug)]
pub(crate) struct News {
    pub(crate) owner: Owner,
    pub(crate) client: ClientId,
    pub(crate) method: Method,
    pub(crate) outcome: Outcome,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) random: Random,
    pub(crate) timers: Timers,
    pub(crate) events: VecDeque<Event>,
    pub(crate) transmits: VecDeque<Transmit>,
    pub(crate) questions: VecDeque<Question>,
    /// News of client transactions that their owners have not heard yet.
    pub(crate) outcomes: VecDeque<News>,
    /// Messages that were thrown away.
    pub(crate) dropped: u64,
    pub(super) clients: BTreeMap<ClientId, ClientTransaction>,
    pub(super) clients_by_key: HashMap<ClientKey, ClientId>,
    pub(super) servers: BTreeMap<ServerId, ServerTransaction>,
    pub(super) servers_by_key: HashMap<ServerKey, ServerId>,
    /// Requests of no dialog yet, to find the same request that came by another way (RFC 3261 §8.2.2.2).
    pub(super) servers_by_merge: HashMap<MergeKey, ServerId>,
    pub(super) waiting: BTreeMap<QuestionId, Waiting>,
    serial: u64,
}

impl Core {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            random: Random::new(config.seed),
            config,
            timers: Timers::default(),
            events: VecDeque::new(),
            transmits: VecDeque::new(),
            questions: VecDeque::new(),
            outcomes: VecDeque::new(),
            dropped: 0,
            clients: BTreeMap::new(),
            clients_by_key: HashMap::new(),
            servers: BTreeMap::new(),
            servers_by_key: HashMap::new(),
            servers_by_merge: HashMap::new(),
            waiting: BTreeMap::new(),
            serial: 0,
        }
    }

    /// A number that was never used before in this endpoint.
    pub(crate) fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Times of a transaction over this transport.
    pub(crate) fn timings(&self, transport: Transport) -> Timings {
        Timings {
            t1: self.config.t1,
            t2: self.config.t2,
            t4: self.config.t4,
            reliable: transport.is_reliable(),
        }
    }

    /// Our end for messages to or from `peer`: where they arrived, if known; otherwise the first listener of the
    /// transport that speaks the peer's address family.
    pub(crate) fn listener(
        &self,
        transport: Transport,
        local: Option<SocketAddr>,
        peer: Option<SocketAddr>,
    ) -> Option<Listener> {
        let ours = || self.config.listeners.iter().filter(|listener| listener.transport == transport);
        let at = |matches: &dyn Fn(&&Listener) -> bool| ours().find(|listener| matches(listener));
        let arrived = local.and_then(|local| {
            at(&|listener| listener.local == local)
                .or_else(|| at(&|listener| listener.local.port() == local.port()))
        });
        let speaks = peer.and_then(|peer| at(&|listener| listener.advertised.is_ipv4() == peer.is_ipv4()));
        arrived.or(speaks).or_else(|| ours().next()).copied()
    }

    /// Our Contact on that listener.
    pub(crate) fn contact(listener: &Listener, user: Option<&str>) -> NameAddr {
        let mut uri = Uri::sip(user, Host::Ip(listener.advertised.ip()), Some(listener.advertised.port()));
        match listener.transport {
            Transport::Udp => {}
            Transport::Tcp => uri.params.set("transport", "tcp"),
        }
        NameAddr::new(uri)
    }

    /// Our Contact in a dialog.
    pub(crate) fn own_contact(&self, dialog: &Dialog) -> String {
        let path = dialog.origin().path();
        let listener = self.listener(path.target.transport, path.local, Some(path.target.address));
        // Whoever drives the endpoint need not have told its listeners: what the peer reached is ours, too.
        let listener = listener.or_else(|| {
            let local = path.local?;
            Some(Listener { transport: path.target.transport, local, advertised: local })
        });
        listener.map_or_else(String::new, |listener| {
            Self::contact(&listener, dialog.contact_user.as_deref()).to_string()
        })
    }

    /// Queues bytes.
    pub(crate) fn transmit(&mut self, path: &Path, bytes: Bytes) {
        let Path { flow, target, .. } = *path;
        self.transmits.push_back(Transmit {
            flow,
            transport: target.transport,
            destination: target.address,
            bytes,
        });
    }

    /// Requests of ours that are not over.
    pub(crate) fn client_count(&self) -> usize {
        self.clients.len()
    }

    /// Requests of ours without a final response.
    pub(crate) fn unanswered(&self) -> usize {
        self.clients.values().filter(|client| client.is_unanswered()).count()
    }

    /// Requests of peers that are not over.
    pub(crate) fn server_count(&self) -> usize {
        self.servers.len()
    }

    /// Route questions without answer.
    pub(crate) fn question_count(&self) -> usize {
        self.waiting.len()
    }

    /// What we can be asked for.
    pub(crate) fn allow(&self) -> &'static str {
        if self.config.registrar {
            "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, REGISTER"
        } else {
            "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE"
        }
    }
}

/// Whether a request of this method tells the peer where to reach us.
pub(super) fn carries_contact(method: &Method) -> bool {
    matches!(method, Method::Invite | Method::Update)
}

/// Removes what only this hop may say, before a request is sent again.
pub(super) fn strip_hop(request: &mut Request) {
    request.headers.remove(Name::Via);
}
