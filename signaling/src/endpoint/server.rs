//! Requests of peers: telling new ones from repeated ones, responding, repeating responses.

use std::{collections::HashMap, time::Instant};

use bytes::Bytes;

use crate::{
    event::InviteId,
    flow::Source,
    message::{Headers, Method, Name, Request, Response, StatusCode},
    nat,
    route::{Path, Target},
    transaction::{
        Action, Actions, Class,
        key::{MergeKey, ServerKey},
        server::Server,
        server_invite::{Input, ServerInvite},
    },
};

use super::{
    core::{Core, ServerId},
    timers::{Armed, Due},
};

/// A received request that is not over.
#[derive(Debug)]
pub(crate) struct ServerTransaction {
    machine: Machine,
    key: ServerKey,
    merge: Option<MergeKey>,
    /// Kept until the final response is made.
    request: Option<Box<Request>>,
    /// Whose INVITE it is.
    invite: Option<InviteId>,
    path: Path,
    last: Option<Bytes>,
    armed: Armed,
}

#[derive(Debug)]
enum Machine {
    Invite(ServerInvite),
    Other(Server),
}

/// What a received request turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Nothing like it is known.
    New,
    /// It was dealt with.
    Known,
    /// An ACK for a 2xx.
    Ack,
}

impl Core {
    /// Gives a request to the transaction it belongs to.
    pub(crate) fn match_request(&mut self, now: Instant, request: &Request) -> Arrival {
        let id = ServerKey::of(request).and_then(|key| self.servers_by_key.get(&key).copied());
        let is_ack = request.method == Method::Ack;
        let Some(id) = id else { return if is_ack { Arrival::Ack } else { Arrival::New } };
        let mut out = Actions::default();
        self.step_server(now, id, if is_ack { Input::Ack } else { Input::Request }, &mut out);
        let mut arrival = Arrival::Known;
        for action in out.into_iter() {
            match action {
                Action::Transmit => self.repeat(id),
                Action::Deliver => arrival = Arrival::Ack,
                Action::Acknowledge | Action::TimedOut | Action::Unreachable => {}
            }
        }
        self.settle_server(id);
        arrival
    }

    /// RFC 3261 §8.2.2.2: whether this request, which starts no known transaction, came by another way before.
    pub(crate) fn is_merged(&self, request: &Request) -> bool {
        MergeKey::of(request).is_some_and(|key| self.servers_by_merge.contains_key(&key))
    }

    /// Starts the transaction of a new request.
    pub(crate) fn receive(&mut self, request: Request, source: &Source) -> Option<ServerId> {
        let key = ServerKey::of(&request)?;
        let timings = self.timings(source.transport);
        let machine = if request.method == Method::Invite {
            Machine::Invite(ServerInvite::start(timings))
        } else {
            Machine::Other(Server::start(timings))
        };
        let id = ServerId(self.serial());
        let merge = MergeKey::of(&request).filter(|_| request.headers.to_tag().is_none());
        if let Some(merge) = merge {
            self.servers_by_merge.insert(merge, id);
        }
        self.servers_by_key.insert(key, id);
        let path = response_path(&request.headers, source);
        let request = Some(Box::new(request));
        let entry = ServerTransaction {
            machine,
            key,
            merge,
            request,
            invite: None,
            path,
            last: None,
            armed: Armed::default(),
        };
        self.servers.insert(id, entry);
        Some(id)
    }

    /// Ties an INVITE to the usage that will answer it.
    pub(crate) fn assign(&mut self, id: ServerId, invite: InviteId) {
        if let Some(entry) = self.servers.get_mut(&id) {
            entry.invite = Some(invite);
        }
    }

    /// The INVITE that a CANCEL means: its transaction, and its usage while it has no final response.
    pub(crate) fn cancelled(&self, cancel: &Request) -> Option<(ServerId, Option<InviteId>)> {
        let id = *self.servers_by_key.get(&ServerKey::of_cancelled(cancel)?)?;
        let entry = self.servers.get(&id)?;
        Some((id, entry.invite.filter(|_| entry.request.is_some())))
    }

    /// A response to this request, with our tag in the To.
    pub(crate) fn reply(&self, id: ServerId, status: StatusCode, tag: &str) -> Option<Response> {
        let request = self.servers.get(&id)?.request.as_deref()?;
        Some(self.reply_to(request, status, tag))
    }

    /// A response to a request, with our tag in the To unless that has one or the response is a 100.
    pub(crate) fn reply_to(&self, request: &Request, status: StatusCode, tag: &str) -> Response {
        let mut response = request.reply(status);
        if status != StatusCode::TRYING
            && let Ok(to) = response.headers.to()
            && to.tag().is_none()
        {
            response.headers.set(Name::To, to.with_tag(tag).to_string());
        }
        // RFC 3261 §12.1.1: what makes a dialog copies the Record-Route.
        if request.method == Method::Invite && status > StatusCode::TRYING && !is_refusal(status) {
            response.headers.copy(Name::RecordRoute, &request.headers);
        }
        response.headers.set(Name::Server, self.config.product.clone());
        response
    }

    /// Sends a response.
    pub(crate) fn respond(&mut self, now: Instant, id: ServerId, response: &Response) {
        let Some(entry) = self.servers.get_mut(&id) else { return };
        if entry.request.is_none() {
            return;
        }
        let class = Class::of(response.status);
        if class != Class::Provisional {
            entry.request = None;
        }
        entry.last = Some(response.to_bytes());
        let mut out = Actions::default();
        self.step_server(now, id, Input::Respond(class), &mut out);
        if out.into_iter().any(|action| action == Action::Transmit) {
            self.repeat(id);
        }
        self.settle_server(id);
    }

    /// The latest response will not be sent any more.
    pub(crate) fn drop_response(&mut self, id: ServerId) {
        if let Some(entry) = self.servers.get_mut(&id) {
            entry.last = None;
        }
    }

    /// Sends the latest response once more.
    pub(crate) fn repeat(&mut self, id: ServerId) {
        if let Some(entry) = self.servers.get(&id)
            && let Some(bytes) = entry.last.clone()
        {
            let path = entry.path;
            self.transmit(&path, bytes);
        }
    }

    /// Responds without keeping anything: when the same request comes again it gets the same response (RFC 3261 §8.2.7).
    pub(crate) fn respond_stateless(&mut self, request: &Request, source: &Source, response: &Response) {
        let path = response_path(&request.headers, source);
        self.transmit(&path, response.to_bytes());
    }

    /// The tag for such a response.
    pub(crate) fn stateless_tag(&self, request: &Request) -> String {
        let headers = &request.headers;
        self.random.stateless_tag(&[
            headers.via().ok().as_ref().and_then(|via| via.branch()).unwrap_or_default(),
            headers.call_id().unwrap_or_default(),
            headers.from_tag().unwrap_or_default(),
            headers.get(Name::CSeq).unwrap_or_default(),
        ])
    }

    /// A deadline of this transaction has come.
    pub(super) fn on_server_due(&mut self, now: Instant, id: ServerId) {
        let Some(entry) = self.servers.get_mut(&id) else { return };
        entry.armed.fired();
        let mut out = Actions::default();
        self.step_server(now, id, Input::Timeout, &mut out);
        if out.into_iter().any(|action| action == Action::Transmit) {
            self.repeat(id);
        }
        self.settle_server(id);
    }

    fn step_server(&mut self, now: Instant, id: ServerId, input: Input, out: &mut Actions) {
        let Some(entry) = self.servers.get_mut(&id) else { return };
        match &mut entry.machine {
            Machine::Invite(machine) => *machine = machine.handle(now, input, out),
            Machine::Other(machine) => *machine = machine.handle(now, input, out),
        }
    }

    fn settle_server(&mut self, id: ServerId) {
        let Some(entry) = self.servers.get_mut(&id) else { return };
        let deadline = match &entry.machine {
            Machine::Invite(ServerInvite::Terminated) | Machine::Other(Server::Terminated) => {
                self.timers.arm(&mut entry.armed, None, Due::Server(id));
                if let Some(entry) = self.servers.remove(&id) {
                    self.servers_by_key.remove(&entry.key);
                    give_back(&mut self.servers_by_key);
                    if let Some(merge) = entry.merge {
                        self.servers_by_merge.remove(&merge);
                        give_back(&mut self.servers_by_merge);
                    }
                }
                return;
            }
            Machine::Invite(machine) => machine.deadline(),
            Machine::Other(machine) => machine.deadline(),
        };
        self.timers.arm(&mut entry.armed, deadline.map(|(at, _)| at), Due::Server(id));
    }
}

/// RFC 3261 §18.2.2, RFC 3581 §4: where the responses to a request go, by the source noted in its Via. A connection is
/// used as long as it is open.
pub(crate) fn response_path(headers: &Headers, source: &Source) -> Path {
    let noted = headers.via().ok().and_then(|via| nat::response_destination(&via));
    let mut address = noted.unwrap_or(source.remote);
    // Never somewhere else than where it came from: maddr and the like serve attackers only.
    address.set_ip(source.remote.ip());
    Path {
        flow: Some(source.flow),
        local: Some(source.local),
        target: Target { transport: source.transport, address },
    }
}

fn is_refusal(status: StatusCode) -> bool {
    Class::of(status) == Class::Failure
}

/// A rush of calls must not leave its room behind.
pub(super) fn give_back<K: Eq + std::hash::Hash, V>(map: &mut HashMap<K, V>) {
    if map.capacity() > 1024 && map.len() < map.capacity() / 8 {
        map.shrink_to(2 * map.len());
    }
}
