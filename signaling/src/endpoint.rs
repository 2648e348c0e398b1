//! All SIP state of one shard.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    time::Instant,
};

use bytes::Bytes;

use crate::{
    auth::{Authenticator, User},
    config::{Config, Listener},
    event::{Event, InviteId, RegistrationId},
    flow::{FlowId, Source, Transmit},
    invite::{Invite, Outgoing, Usage},
    register::{Bindings, Limits},
    route::{Question, QuestionId, Target},
};

pub(crate) mod client;
pub(crate) mod core;
mod inbound;
pub(crate) mod random;
mod register;
pub(crate) mod server;
pub(crate) mod timers;

use core::{Core, News, Outcome, Owner};
use register::Membership;
use timers::{Armed, Due};

/// A SIP user agent and registrar without sockets and clock; see the crate documentation for the law of use.
pub struct Endpoint {
    pub(crate) core: Core,
    pub(crate) usages: BTreeMap<InviteId, Usage>,
    usages_by_tag: HashMap<String, InviteId>,
    authenticator: Authenticator,
    bindings: Bindings,
    bindings_armed: Armed,
    memberships: BTreeMap<RegistrationId, Membership>,
    /// The time we were last told.
    latest: Option<Instant>,
}

/// What an endpoint holds at the moment. All but the counters are 0 when nothing goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gauges {
    /// INVITE usages, including those that have ended but whose BYE or CANCEL is not through.
    pub invites: usize,
    /// Dialogs, early ones included.
    pub dialogs: usize,
    /// Requests of ours that are not over.
    pub client_transactions: usize,
    /// Requests of peers that are not over.
    pub server_transactions: usize,
    /// Contacts of our users.
    pub bindings: usize,
    /// Registrations of ours with others.
    pub registrations: usize,
    /// Route questions without answer.
    pub questions: usize,
    /// Deadlines.
    pub timers: usize,
    /// Counter: messages that could not be read, and responses to no request.
    pub dropped_messages: u64,
}

impl Endpoint {
    /// An endpoint without calls.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let mut core = Core::new(config);
        let seed = core.random.seed();
        let users = std::mem::take(&mut core.config.users);
        let mut authenticator = Authenticator::new(&core.config.realm, &seed, users);
        authenticator.offer(core.config.digest.clone());
        let limits = Limits {
            min_expires: core.config.min_expires,
            max_expires: core.config.max_expires,
            max_contacts: core.config.max_contacts,
        };
        Self {
            core,
            usages: BTreeMap::new(),
            usages_by_tag: HashMap::new(),
            authenticator,
            bindings: Bindings::new(limits),
            bindings_armed: Armed::default(),
            memberships: BTreeMap::new(),
            latest: None,
        }
    }

    /// Takes one datagram, or one message cut out of a stream.
    pub fn handle_message(&mut self, now: Instant, source: &Source, message: &Bytes) {
        self.on_message(now, source, message);
        self.drain(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.latest = Some(now);
        while let Some(due) = self.core.timers.pop(now) {
            match due {
                Due::Client(id) => self.core.on_client_due(now, id),
                Due::Server(id) => self.core.on_server_due(now, id),
                Due::Invite(id) => {
                    if let Some(usage) = self.usages.get_mut(&id) {
                        usage.on_due(now, &mut self.core);
                    }
                    self.settle(id);
                }
                Due::Registration(id) => self.on_registration_due(now, id),
                Due::Bindings => self.on_bindings_due(now),
            }
            self.drain(now);
        }
    }

    /// Answers a question with targets, best first; none means that there is no such host.
    pub fn handle_route(&mut self, now: Instant, question: QuestionId, targets: &[Target]) {
        self.core.on_route(now, question, targets);
        self.drain(now);
    }

    /// A connection is closed: requests that wait for an answer over it fail.
    pub fn handle_flow_closed(&mut self, now: Instant, flow: FlowId) {
        self.core.on_flow_closed(now, flow);
        self.usages.values_mut().for_each(|usage| usage.forget_flow(flow));
        self.bindings.handle_flow_closed(flow);
        self.tell_bindings();
        self.drain(now);
    }

    /// Nothing can be delivered to this address (connect failed, ICMP): requests that wait for an answer of it fail.
    pub fn handle_unreachable(&mut self, now: Instant, destination: SocketAddr) {
        self.core.on_unreachable(now, destination);
        self.drain(now);
    }

    /// When `handle_timeout` wants to be called at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.core.timers.next()
    }

    /// A message to be sent.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.core.transmits.pop_front()
    }

    /// A name to be resolved.
    pub fn poll_question(&mut self) -> Option<Question> {
        self.core.questions.pop_front()
    }

    /// Something that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.core.events.pop_front()
    }

    /// Sends an INVITE.
    pub fn dial(&mut self, now: Instant, outgoing: Outgoing) -> InviteId {
        let id = InviteId(self.core.serial());
        let usage = Usage::dial(now, &mut self.core, id, outgoing);
        self.adopt(id, usage);
        self.drain(now);
        id
    }

    /// A running INVITE usage; `None` once [`Event::Ended`] was told.
    pub fn invite(&mut self, id: InviteId) -> Option<Invite<'_>> {
        let usage = self.usages.get(&id).filter(|usage| !usage.ended)?;
        let direction = usage.direction;
        Some(Invite { endpoint: self, id, direction })
    }

    /// Replaces the listeners, for example once their ports are known.
    pub fn set_listeners(&mut self, listeners: Vec<Listener>) {
        self.core.config.listeners = listeners;
    }

    /// Replaces the users. Bindings of users that are gone expire by themselves.
    pub fn set_users(&mut self, users: Vec<User>) {
        self.authenticator.set_users(users);
    }

    /// What is held at the moment.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        Gauges {
            invites: self.usages.len(),
            dialogs: self.usages.values().map(Usage::dialogs).sum(),
            client_transactions: self.core.client_count(),
            server_transactions: self.core.server_count(),
            bindings: self.bindings.len(),
            registrations: self.memberships.len(),
            questions: self.core.question_count(),
            timers: self.core.timers.len(),
            dropped_messages: self.core.dropped,
        }
    }

    /// Requests of ours that wait for their final response; those that are answered only absorb repetitions.
    #[must_use]
    pub fn open_requests(&self) -> usize {
        self.core.unanswered()
    }

    /// Tells owners what became of their requests, until there is no more news.
    pub(crate) fn drain(&mut self, now: Instant) {
        self.latest = Some(now);
        while let Some(News { owner, client, method, outcome }) = self.core.outcomes.pop_front() {
            let taken = match owner {
                Owner::Invite(id) => {
                    let usage = self.usages.get_mut(&id);
                    let taken = usage.is_some_and(|usage| {
                        usage.on_outcome(now, &mut self.core, client, &method, &outcome)
                    });
                    self.settle(id);
                    taken
                }
                Owner::Registration(id) => {
                    self.on_registered(now, id, client, &outcome);
                    true
                }
                Owner::None => false,
            };
            if !taken && let Outcome::Response(response, source) = outcome {
                self.core.discard_answer(now, client, &response, &source);
            }
        }
    }

    /// Brings the timer of a usage up to date and forgets it when it is over.
    pub(crate) fn settle(&mut self, id: InviteId) {
        let Some(usage) = self.usages.get_mut(&id) else { return };
        let deadline = usage.deadline().map(|(at, _)| at);
        self.core.timers.arm(&mut usage.armed, deadline, Due::Invite(id));
        if usage.is_over()
            && let Some(usage) = self.usages.remove(&id)
        {
            self.usages_by_tag.remove(&usage.local_tag);
        }
    }

    fn adopt(&mut self, id: InviteId, usage: Usage) {
        self.usages_by_tag.insert(usage.local_tag.clone(), id);
        self.usages.insert(id, usage);
        self.settle(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_can_move_to_another_thread() {
        fn is_send<T: Send>() {}
        is_send::<Endpoint>();
    }
}
