//! REGISTER in both roles: the registrar's side, and registrations of ours with others.

use std::time::Instant;

use crate::{
    auth::Verdict,
    event::{Event, RegistrationId},
    flow::{Source, Transport},
    message::{Method, Name, Request, StatusCode},
    nat,
    register::{Action, Change, Contact, Registrant, Registration},
    route::{Hop, Lead, Path, Target, lead},
};

use super::{
    Endpoint,
    client::Departure,
    core::{ClientId, Outcome, Owner},
    timers::{Armed, Due},
};

/// A registration of ours.
#[derive(Debug)]
pub(super) struct Membership {
    registrant: Registrant,
    client: Option<ClientId>,
    armed: Armed,
}

impl Endpoint {
    /// Where to reach a user of ours at the time of the latest call, most preferred first.
    #[must_use]
    pub fn contacts(&self, user: &str) -> Vec<Contact> {
        self.latest.map_or_else(Vec::new, |now| self.bindings.contacts(now, user))
    }

    /// Registers with another registrar and keeps the registration alive.
    pub fn register(&mut self, now: Instant, registration: Registration) -> RegistrationId {
        let id = RegistrationId(self.core.serial());
        let (call_id, tag) = (self.core.random.call_id(), self.core.random.tag());
        let registrant = Registrant::new(now, registration, call_id, tag);
        self.memberships.insert(id, Membership { registrant, client: None, armed: Armed::default() });
        self.keep_registered(now, id);
        self.drain(now);
        id
    }

    /// Removes our contact from the registrar. [`crate::RegistrationState::Unregistered`] is the last news.
    pub fn unregister(&mut self, now: Instant, id: RegistrationId) {
        let Some(membership) = self.memberships.get_mut(&id) else { return };
        let action = membership.registrant.unregister(now);
        self.on_registration(now, id, action);
        self.drain(now);
    }

    /// A REGISTER came in (RFC 3261 §10.3).
    pub(super) fn on_register(&mut self, now: Instant, source: &Source, request: &Request) {
        let user = match self.authenticator.check(now, request) {
            Verdict::Ok(user) => user,
            Verdict::Challenge(challenges) => {
                self.challenge(source, request, challenges);
                return;
            }
        };
        // Step 3: users bind their own address of record and no other.
        let own =
            request.headers.to().is_ok_and(|to| to.uri.user_unescaped().is_some_and(|name| name == user));
        if !own {
            self.refuse(source, request, StatusCode::FORBIDDEN, &[]);
            return;
        }
        let Some(server) = self.receive(source, request.clone()) else {
            self.overload(source, request);
            return;
        };
        let mut response = self.bindings.register(now, &user, request, source);
        let tag = self.core.stateless_tag(request);
        if let Ok(to) = response.headers.to() {
            response.headers.set(Name::To, to.with_tag(&tag).to_string());
        }
        response.headers.set(Name::Server, self.core.config.product.clone());
        self.core.respond(now, server, &response);
        self.tell_bindings();
    }

    /// Passes on what became of bindings, and waits for the next to expire.
    pub(super) fn tell_bindings(&mut self) {
        while let Some(change) = self.bindings.poll_change() {
            self.core.events.push_back(match change {
                Change::Bound(user, uri) => Event::Bound(user, uri),
                Change::Unbound(user, uri) => Event::Unbound(user, uri),
            });
        }
        let at = self.bindings.poll_timeout();
        self.core.timers.arm(&mut self.bindings_armed, at, Due::Bindings);
    }

    pub(super) fn on_bindings_due(&mut self, now: Instant) {
        self.bindings_armed.fired();
        self.bindings.handle_timeout(now);
        self.tell_bindings();
    }

    pub(super) fn on_registration_due(&mut self, now: Instant, id: RegistrationId) {
        if let Some(membership) = self.memberships.get_mut(&id) {
            membership.armed.fired();
        }
        self.keep_registered(now, id);
    }

    /// A REGISTER of ours went one way or the other.
    pub(super) fn on_registered(
        &mut self,
        now: Instant,
        id: RegistrationId,
        client: ClientId,
        outcome: &Outcome,
    ) {
        let Some(membership) = self.memberships.get_mut(&id) else { return };
        if membership.client != Some(client) {
            return;
        }
        let action = match outcome {
            Outcome::Response(response, _) if response.status.is_provisional() => return,
            Outcome::Response(response, _) => membership.registrant.handle_response(now, response),
            Outcome::TimedOut => membership.registrant.handle_failure(now, StatusCode::REQUEST_TIMEOUT),
            Outcome::Unreachable => {
                membership.registrant.handle_failure(now, StatusCode::SERVICE_UNAVAILABLE)
            }
        };
        membership.client = None;
        self.on_registration(now, id, action);
    }

    fn on_registration(&mut self, now: Instant, id: RegistrationId, action: Action) {
        match action {
            Action::Nothing => {}
            Action::Tell(state) => self.core.events.push_back(Event::Registration(id, state)),
            Action::End(state) => {
                self.core.events.push_back(Event::Registration(id, state));
                if let Some(mut membership) = self.memberships.remove(&id) {
                    self.core.timers.arm(&mut membership.armed, None, Due::Registration(id));
                }
                return;
            }
        }
        self.keep_registered(now, id);
    }

    /// Sends the next REGISTER if it is due, and waits for the one after.
    fn keep_registered(&mut self, now: Instant, id: RegistrationId) {
        let Some(membership) = self.memberships.get_mut(&id) else { return };
        let registration = membership.registrant.registration();
        let hop = match registration.destination {
            Some((transport, address)) => Hop::Path(Path::to(Target { transport, address })),
            None => Hop::Uri(Box::new(registration.registrar.clone()), None),
        };
        let transport = match &hop {
            Hop::Path(path) => path.target.transport,
            Hop::Uri(uri, _) => nat::transport(uri).unwrap_or(Transport::Udp),
        };
        let peer = match &hop {
            Hop::Path(path) => Some(path.target.address),
            Hop::Uri(uri, _) => match lead(uri) {
                Lead::Target(target) => Some(target.address),
                Lead::Name(..) | Lead::Nowhere => None,
            },
        };
        let listener = self.core.listener(transport, None, peer);
        let cnonce = self.core.random.cnonce();
        let request = match listener {
            Some(listener) => {
                membership.registrant.next_request(now, transport, listener.advertised, &cnonce)
            }
            // Without a listener nothing can leave; the registrant tries again later.
            None => None,
        };
        if let Some(mut request) = request {
            debug_assert_eq!(request.method, Method::Register);
            request.headers.set(Name::MaxForwards, "70");
            let owner = Owner::Registration(id);
            let client = self.core.send(now, Departure { request, hop, owner, contact_user: None });
            if let Some(membership) = self.memberships.get_mut(&id) {
                membership.client = Some(client);
            }
        }
        let Some(membership) = self.memberships.get_mut(&id) else { return };
        let mut at = membership.registrant.poll_timeout();
        if listener.is_none() && at.is_some_and(|at| at <= now) {
            at = Some(now + NO_LISTENER_PAUSE);
        }
        self.core.timers.arm(&mut membership.armed, at, Due::Registration(id));
    }
}

const NO_LISTENER_PAUSE: std::time::Duration = std::time::Duration::from_secs(30);
