//! Requests of ours: finding the way, sending, retransmitting, matching responses, trying the next target.

use std::{collections::VecDeque, net::SocketAddr, time::Instant};

use bytes::Bytes;

use crate::{
    dialog::Dialog,
    flow::{FlowId, Source},
    message::{CSeq, Method, Name, Request, Response, Via},
    route::{Hop, Lead, Origin, Path, Question, QuestionId, Target, lead},
    transaction::{
        Action, Actions, Class,
        client::Client,
        client_invite::{ClientInvite, Input},
        key::ClientKey,
        timers::Timings,
    },
};

use super::{
    core::{ClientId, Core, News, Outcome, Owner, carries_contact, strip_hop},
    server::give_back,
    timers::{Armed, Due},
};

/// A request on its way out.
#[derive(Debug)]
pub(crate) struct Departure {
    /// Without Via and, where one is due, without Contact: both depend on the way.
    pub(crate) request: Request,
    /// The way.
    pub(crate) hop: Hop,
    /// Who hears of it.
    pub(crate) owner: Owner,
    /// User part of the Contact.
    pub(crate) contact_user: Option<String>,
}

/// A request of ours that is not over.
#[derive(Debug)]
pub(crate) struct ClientTransaction {
    owner: Owner,
    machine: Machine,
    /// As sent; as to be sent while the way is sought.
    request: Request,
    bytes: Bytes,
    contact_user: Option<String>,
    branch: String,
    path: Option<Path>,
    origin: Option<Origin>,
    /// Further targets of the next hop, best first (RFC 3263 §4.3).
    spare: VecDeque<Target>,
    acks: Vec<Ack>,
    /// How long an INVITE with a provisional response may still wait for the final one.
    limit: Option<Instant>,
    armed: Armed,
}

impl ClientTransaction {
    /// Whether it waits for a final response, or for its way.
    pub(crate) fn is_unanswered(&self) -> bool {
        match &self.machine {
            Machine::Seeking(..) => true,
            Machine::Invite(machine) => machine.is_unanswered(),
            Machine::Other(machine) => machine.is_unanswered(),
        }
    }
}

#[derive(Debug)]
enum Machine {
    /// Waits for the answer to its route question, until the instant.
    Seeking(QuestionId, Instant),
    Invite(ClientInvite),
    Other(Client),
}

/// An ACK for a 2xx, kept as long as that 2xx may come again (RFC 3261 §13.2.2.4).
#[derive(Debug)]
struct Ack {
    tag: String,
    /// `None` while its way is sought or its body is not known.
    ready: Option<(Path, Bytes)>,
}

/// What waits for the answer to a route question.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// A transaction.
    Client(ClientId),
    /// An ACK of a 2xx: the INVITE, the To tag, the message.
    Ack(ClientId, String, Box<Request>, Option<Origin>),
}

/// 2xx of different tags that one INVITE is thought to have, at most.
const MAX_FORKS: usize = 32;

impl Core {
    /// Sends a request, or asks for its way first.
    pub(crate) fn send(&mut self, now: Instant, departure: Departure) -> ClientId {
        let Departure { mut request, hop, owner, contact_user } = departure;
        request.headers.set(Name::UserAgent, self.config.product.clone());
        let id = ClientId(self.serial());
        let mut entry = ClientTransaction {
            owner,
            machine: Machine::Seeking(QuestionId(0), now),
            request,
            bytes: Bytes::new(),
            contact_user,
            branch: String::new(),
            path: None,
            origin: None,
            spare: VecDeque::new(),
            acks: Vec::new(),
            limit: None,
            armed: Armed::default(),
        };
        match self.seek(hop) {
            Sought::Path(path) => {
                self.clients.insert(id, entry);
                self.launch(now, id, path);
            }
            Sought::Question(question, origin) => {
                entry.machine = Machine::Seeking(question, now + self.config.t1 * 64);
                entry.origin = origin;
                self.clients.insert(id, entry);
                self.waiting.insert(question, Waiting::Client(id));
                self.settle_client(id);
            }
            Sought::Nowhere => {
                let method = entry.request.method;
                self.outcomes.push_back(News { owner, client: id, method, outcome: Outcome::Unreachable });
            }
        }
        id
    }

    /// Cancels an INVITE that has a provisional response (RFC 3261 §9.1). Its final response is still to come.
    pub(crate) fn cancel(&mut self, now: Instant, id: ClientId, reason: Option<String>) {
        let Some(invite) = self.clients.get(&id) else { return };
        let Some(path) = invite.path else { return };
        let mut request = Self::follow_up(&invite.request, Method::Cancel);
        if let Some(reason) = reason {
            request.headers.push(Name::Reason, reason);
        }
        request.headers.push(Name::UserAgent, self.config.product.clone());
        let branch = invite.branch.clone();
        let cancel = ClientId(self.serial());
        let entry = ClientTransaction {
            owner: Owner::None,
            machine: Machine::Seeking(QuestionId(0), now),
            bytes: request.to_bytes(),
            request,
            contact_user: None,
            branch,
            path: Some(path),
            origin: None,
            spare: VecDeque::new(),
            acks: Vec::new(),
            limit: None,
            armed: Armed::default(),
        };
        self.clients.insert(cancel, entry);
        self.start_machine(now, cancel, path);
        self.release(now, id);
    }

    /// Gives an INVITE no more than 64*T1 to come to an end (RFC 3261 §9.1), because it was cancelled or nobody cares.
    pub(crate) fn release(&mut self, now: Instant, id: ClientId) {
        let limit = now + self.config.t1 * 64;
        if let Some(entry) = self.clients.get_mut(&id) {
            entry.limit.get_or_insert(limit);
        }
        self.settle_client(id);
    }

    /// Forgets a request; nothing more is sent or told.
    pub(crate) fn abandon(&mut self, id: ClientId) {
        let Some(mut entry) = self.clients.remove(&id) else { return };
        if let Machine::Seeking(question, _) = entry.machine {
            self.waiting.remove(&question);
        }
        self.clients_by_key.remove(&entry.key());
        give_back(&mut self.clients_by_key);
        self.timers.arm(&mut entry.armed, None, Due::Client(id));
    }

    /// Whether the request still looks for its way.
    pub(crate) fn is_seeking(&self, id: ClientId) -> bool {
        self.clients.get(&id).is_some_and(|entry| matches!(entry.machine, Machine::Seeking(..)))
    }

    /// Holds an ACK back: a 2xx of this tag is known, but the answer to its offer is not.
    pub(crate) fn await_ack(&mut self, id: ClientId, tag: &str) {
        if let Some(entry) = self.clients.get_mut(&id) {
            entry.acks.push(Ack { tag: tag.into(), ready: None });
        }
    }

    /// Acknowledges a 2xx to the INVITE `id`, now and whenever it comes again.
    pub(crate) fn acknowledge(&mut self, id: ClientId, dialog: &Dialog, mut request: Request) {
        request.headers.set(Name::UserAgent, self.config.product.clone());
        let tag = dialog.id.remote_tag.clone();
        if let Some(entry) = self.clients.get_mut(&id) {
            // RFC 3261 §22.1: the ACK has the credentials of its INVITE.
            request.headers.copy(Name::Authorization, &entry.request.headers);
            request.headers.copy(Name::ProxyAuthorization, &entry.request.headers);
            if !entry.acks.iter().any(|ack| ack.tag == tag) {
                entry.acks.push(Ack { tag: tag.clone(), ready: None });
            }
        }
        match self.seek(dialog.hop()) {
            Sought::Path(path) => self.send_ack(id, &tag, request, path),
            Sought::Question(question, origin) => {
                self.waiting.insert(question, Waiting::Ack(id, tag, Box::new(request), origin));
            }
            // The peer will give up for want of an ACK; there is nothing else to do.
            Sought::Nowhere => self.dropped += 1,
        }
    }

    /// A 2xx nobody wants: it is acknowledged, and its dialog ended unless it is one that goes on without us.
    pub(crate) fn discard_answer(
        &mut self,
        now: Instant,
        id: ClientId,
        response: &Response,
        source: &Source,
    ) {
        let Some(entry) = self.clients.get(&id) else { return };
        if entry.request.method != Method::Invite || !response.status.is_success() {
            return;
        }
        let Some(mut dialog) = Dialog::of_caller(&entry.request, response, source, None) else { return };
        let in_dialog = entry.request.headers.to().is_ok_and(|to| to.tag().is_some());
        let number = dialog.local_cseq;
        self.acknowledge(id, &dialog, dialog.ack(number));
        if !in_dialog {
            let request = dialog.request(Method::Bye);
            self.send(now, Departure { request, hop: dialog.hop(), owner: Owner::None, contact_user: None });
        }
    }

    /// The request as it was sent, Via included.
    pub(crate) fn sent(&self, id: ClientId) -> Option<&Request> {
        self.clients.get(&id).map(|entry| &entry.request)
    }

    /// A response came in.
    pub(crate) fn on_response(&mut self, now: Instant, source: &Source, response: Response) {
        let Some(id) = ClientKey::of(&response).and_then(|key| self.clients_by_key.get(&key).copied()) else {
            self.dropped += 1;
            return;
        };
        if response.status.is_success() && self.repeat_ack(id, &response) {
            return;
        }
        let mut out = Actions::default();
        self.step(now, id, Input::Response(Class::of(response.status)), &mut out);
        let mut response = Some(response);
        for action in out.into_iter() {
            match action {
                Action::Acknowledge => {
                    if let Some(response) = &response {
                        self.acknowledge_refusal(id, response);
                    }
                }
                Action::Deliver => {
                    if let Some(response) = response.take() {
                        self.tell(id, Outcome::Response(Box::new(response), *source));
                    }
                }
                Action::Transmit | Action::TimedOut | Action::Unreachable => {}
            }
        }
        self.settle_client(id);
    }

    /// A deadline of this transaction has come.
    pub(super) fn on_client_due(&mut self, now: Instant, id: ClientId) {
        let Some(entry) = self.clients.get_mut(&id) else { return };
        entry.armed.fired();
        if let Machine::Seeking(question, until) = entry.machine {
            if now >= until {
                self.waiting.remove(&question);
                self.fail(now, id, Outcome::Unreachable);
            }
        } else if entry.is_overdue(now) {
            entry.spare.clear();
            self.fail(now, id, Outcome::TimedOut);
        } else {
            let mut out = Actions::default();
            self.step(now, id, Input::Timeout, &mut out);
            self.obey(now, id, out);
        }
        self.settle_client(id);
    }

    /// A route question was answered.
    pub(crate) fn on_route(&mut self, now: Instant, question: QuestionId, targets: &[Target]) {
        let mut targets = targets.iter().copied().filter(|target| {
            self.config.listeners.iter().any(|listener| listener.transport == target.transport)
        });
        match self.waiting.remove(&question) {
            Some(Waiting::Client(id)) => {
                let first = targets.next();
                let spare = targets.take(MAX_TARGETS).collect();
                let Some(entry) = self.clients.get_mut(&id) else { return };
                entry.spare = spare;
                match first {
                    Some(target) => {
                        let path = entry.origin.map_or(Path::to(target), |origin| origin.path_to(target));
                        self.launch(now, id, path);
                    }
                    None => self.fail(now, id, Outcome::Unreachable),
                }
                self.settle_client(id);
            }
            Some(Waiting::Ack(id, tag, request, origin)) => match targets.next() {
                Some(target) => {
                    let path = origin.map_or(Path::to(target), |origin| origin.path_to(target));
                    self.send_ack(id, &tag, *request, path);
                }
                None => self.dropped += 1,
            },
            None => {}
        }
    }

    /// Nothing can be delivered there at the moment.
    pub(crate) fn on_unreachable(&mut self, now: Instant, destination: SocketAddr) {
        self.fail_all(now, |path| path.target.address == destination);
    }

    /// A connection is gone; requests that nobody has answered yet are lost with it.
    pub(crate) fn on_flow_closed(&mut self, now: Instant, flow: FlowId) {
        self.fail_all(now, |path| path.flow == Some(flow));
    }

    fn fail_all(&mut self, now: Instant, hit: impl Fn(&Path) -> bool) {
        let ids: Vec<ClientId> = self
            .clients
            .iter()
            .filter(|(_, entry)| entry.path.as_ref().is_some_and(&hit))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            let mut out = Actions::default();
            self.step(now, id, Input::TransportError, &mut out);
            self.obey(now, id, out);
            self.settle_client(id);
        }
    }

    fn seek(&mut self, hop: Hop) -> Sought {
        let (uri, origin) = match hop {
            Hop::Path(path) => return Sought::Path(path),
            Hop::Uri(uri, origin) => (uri, origin),
        };
        match lead(&uri) {
            Lead::Target(target) => {
                Sought::Path(origin.map_or(Path::to(target), |origin| origin.path_to(target)))
            }
            Lead::Name(host, port, transport) => {
                let id = QuestionId(self.serial());
                self.questions.push_back(Question { id, host, port, transport });
                Sought::Question(id, origin)
            }
            Lead::Nowhere => Sought::Nowhere,
        }
    }

    /// Sends it by this path under a new branch.
    fn launch(&mut self, now: Instant, id: ClientId, path: Path) {
        let listener = self.listener(path.target.transport, path.local, Some(path.target.address));
        let Some(listener) = listener else {
            self.fail(now, id, Outcome::Unreachable);
            return;
        };
        let branch = self.random.branch();
        let Some(entry) = self.clients.get_mut(&id) else { return };
        strip_hop(&mut entry.request);
        entry
            .request
            .headers
            .insert_first(Name::Via, Via::new(listener.transport, listener.advertised, &branch).to_string());
        if carries_contact(&entry.request.method) {
            let contact = Self::contact(&listener, entry.contact_user.as_deref());
            entry.request.headers.set(Name::Contact, contact.to_string());
        }
        entry.bytes = entry.request.to_bytes();
        entry.branch = branch;
        entry.path = Some(path);
        self.start_machine(now, id, path);
    }

    fn start_machine(&mut self, now: Instant, id: ClientId, path: Path) {
        let timings: Timings = self.timings(path.target.transport);
        let Some(entry) = self.clients.get_mut(&id) else { return };
        let mut out = Actions::default();
        entry.machine = if entry.request.method == Method::Invite {
            Machine::Invite(ClientInvite::start(now, timings, &mut out))
        } else {
            Machine::Other(Client::start(now, timings, &mut out))
        };
        self.clients_by_key.insert(entry.key(), id);
        self.obey(now, id, out);
        self.settle_client(id);
    }

    fn step(&mut self, now: Instant, id: ClientId, input: Input, out: &mut Actions) {
        let Some(entry) = self.clients.get_mut(&id) else { return };
        match &mut entry.machine {
            Machine::Invite(machine) => *machine = machine.handle(now, input, out),
            Machine::Other(machine) => *machine = machine.handle(now, input, out),
            Machine::Seeking(..) => {}
        }
    }

    fn obey(&mut self, now: Instant, id: ClientId, out: Actions) {
        for action in out.into_iter() {
            match action {
                Action::Transmit => {
                    if let Some(entry) = self.clients.get(&id)
                        && let Some(path) = entry.path
                    {
                        let bytes = entry.bytes.clone();
                        self.transmit(&path, bytes);
                    }
                }
                Action::TimedOut => self.fail(now, id, Outcome::TimedOut),
                Action::Unreachable => self.fail(now, id, Outcome::Unreachable),
                Action::Acknowledge | Action::Deliver => {}
            }
        }
    }

    /// RFC 3263 §4.3: what one target did not take is offered to the next.
    fn fail(&mut self, now: Instant, id: ClientId, outcome: Outcome) {
        let Some(entry) = self.clients.get_mut(&id) else { return };
        let key = entry.key();
        self.clients_by_key.remove(&key);
        if let Some(target) = entry.spare.pop_front() {
            let path = entry.origin.map_or(Path::to(target), |origin| origin.path_to(target));
            self.launch(now, id, path);
            return;
        }
        self.tell(id, outcome);
        self.abandon(id);
    }

    fn tell(&mut self, id: ClientId, outcome: Outcome) {
        if let Some(entry) = self.clients.get(&id) {
            let (owner, method) = (entry.owner, entry.request.method.clone());
            self.outcomes.push_back(News { owner, client: id, method, outcome });
        }
    }

    /// Brings the timer up to date and forgets what is over.
    fn settle_client(&mut self, id: ClientId) {
        let Some(entry) = self.clients.get_mut(&id) else { return };
        let deadline = match &entry.machine {
            Machine::Seeking(_, until) => Some(*until),
            Machine::Invite(ClientInvite::Terminated) | Machine::Other(Client::Terminated) => {
                self.abandon(id);
                return;
            }
            Machine::Invite(ClientInvite::Proceeding { .. }) => entry.limit,
            Machine::Invite(machine) => machine.deadline().map(|(at, _)| at),
            Machine::Other(machine) => machine.deadline().map(|(at, _)| at),
        };
        self.timers.arm(&mut entry.armed, deadline, Due::Client(id));
    }

    fn repeat_ack(&mut self, id: ClientId, response: &Response) -> bool {
        let Some(entry) = self.clients.get(&id) else { return false };
        let Ok(to) = response.headers.to() else { return false };
        let tag = to.tag().unwrap_or_default();
        let Some(ack) = entry.acks.iter().find(|ack| ack.tag == tag) else {
            return entry.acks.len() >= MAX_FORKS;
        };
        if let Some((path, bytes)) = ack.ready.clone() {
            self.transmit(&path, bytes);
        }
        true
    }

    fn send_ack(&mut self, id: ClientId, tag: &str, mut request: Request, path: Path) {
        let Some(listener) = self.listener(path.target.transport, path.local, Some(path.target.address))
        else {
            self.dropped += 1;
            return;
        };
        let branch = self.random.branch();
        request
            .headers
            .insert_first(Name::Via, Via::new(listener.transport, listener.advertised, &branch).to_string());
        let bytes = request.to_bytes();
        if let Some(ack) =
            self.clients.get_mut(&id).and_then(|entry| entry.acks.iter_mut().find(|ack| ack.tag == tag))
        {
            ack.ready = Some((path, bytes.clone()));
        }
        self.transmit(&path, bytes);
    }

    /// RFC 3261 §17.1.1.3.
    fn acknowledge_refusal(&mut self, id: ClientId, response: &Response) {
        let Some(entry) = self.clients.get(&id) else { return };
        let Some(path) = entry.path else { return };
        let mut ack = Self::follow_up(&entry.request, Method::Ack);
        ack.headers.remove(Name::To);
        ack.headers.copy(Name::To, &response.headers);
        let bytes = ack.to_bytes();
        self.transmit(&path, bytes);
    }

    /// CANCEL (RFC 3261 §9.1) and the ACK of a refusal (§17.1.1.3) look like the INVITE they follow.
    fn follow_up(invite: &Request, method: Method) -> Request {
        let mut request = Request::new(method.clone(), invite.uri.clone());
        request.headers.copy(Name::Via, &invite.headers);
        request.headers.push(Name::MaxForwards, "70");
        for name in [Name::Route, Name::From, Name::To, Name::CallId] {
            request.headers.copy(name, &invite.headers);
        }
        let number = invite.headers.cseq().map_or(1, |cseq| cseq.sequence);
        request.headers.push(Name::CSeq, CSeq::new(number, method).to_string());
        request
    }
}

impl ClientTransaction {
    fn is_overdue(&self, now: Instant) -> bool {
        matches!(self.machine, Machine::Invite(ClientInvite::Proceeding { .. }))
            && self.limit.is_some_and(|limit| now >= limit)
    }

    fn key(&self) -> ClientKey {
        ClientKey { branch: self.branch.clone(), method: self.request.method.clone() }
    }
}

enum Sought {
    Path(Path),
    Question(QuestionId, Option<Origin>),
    Nowhere,
}

/// Targets of one name that are tried.
const MAX_TARGETS: usize = 8;
