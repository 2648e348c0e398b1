//! Our own registration with another registrar (RFC 3261 §10.2).

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{
    auth::{
        client::{ClientAuth, Refused},
        credentials::Secret,
        digest,
    },
    event::RegistrationState,
    flow::Transport,
    message::{
        header::cseq::CSeq, method::Method, name::Name, name_addr::NameAddr, request::Request,
        response::Response, status::StatusCode, uri::Uri,
    },
    nat,
};

/// What to register where.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Request URI: the domain, without user.
    pub registrar: Uri,
    /// Address of record.
    pub aor: Uri,
    /// Digest username.
    pub user: String,
    /// Digest password.
    pub password: Secret,
    /// User part of our contact.
    pub contact_user: String,
    /// Lifetime to ask for, seconds.
    pub expires: u32,
    /// Where to send instead of where the registrar's URI leads.
    pub destination: Option<(Transport, SocketAddr)>,
}

impl Registration {
    /// `user` at `registrar`, for an hour, reachable under its own name.
    #[must_use]
    pub fn new(registrar: Uri, user: &str, password: &str) -> Self {
        Self {
            aor: Uri { port: None, ..Uri::sip(Some(user), registrar.host.clone(), None) },
            registrar,
            user: user.into(),
            password: Secret::new(password),
            contact_user: user.into(),
            expires: 3600,
            destination: None,
        }
    }
}

/// Keeps one registration alive. It knows no transport and no transaction; its [`crate::Endpoint`] does the following:
///
/// 1. When `poll_timeout` is due, calls [`Registrant::next_request`]; adds Via with a fresh branch, Max-Forwards and
///    User-Agent, and sends the request in a client transaction.
/// 2. Gives the final response to [`Registrant::handle_response`], or the lack of one (time-out 408, unreachable 503) to
///    [`Registrant::handle_failure`]. Provisional responses are of no interest.
/// 3. Tells the application what the [`Action`] says and looks at `poll_timeout` again: it is `now` when the next request
///    (with credentials, or a longer lifetime) shall be sent at once, and `None` while a response is awaited.
/// 4. Forgets the registrant upon [`Action::End`].
#[derive(Debug)]
pub struct Registrant {
    registration: Registration,
    auth: ClientAuth,
    call_id: String,
    from_tag: String,
    sequence: u32,
    state: State,
    /// Lifetime asked for, seconds; a registrar may have demanded more than we wanted.
    expires: u32,
    /// Failures in a row.
    failures: u32,
    leaving: bool,
    /// Whether the last request was to remove our contact.
    removing: bool,
    /// Whether the registrar may know a contact of ours.
    bound: bool,
    /// How the registrar sees us, if a NAT changes our address.
    public: Option<SocketAddr>,
    /// The contact of the last request.
    contact: Option<Uri>,
    /// One that was replaced and shall be removed.
    outdated: Option<Uri>,
    rewrites: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The next request is to be sent then.
    Due(Instant),
    /// A response is awaited.
    Asked,
    /// Nothing more will be sent by itself.
    Stopped,
}

/// What an endpoint shall do about a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Nothing to tell.
    Nothing,
    /// Tell the application; the registration goes on.
    Tell(RegistrationState),
    /// Tell the application and forget the registrant.
    End(RegistrationState),
}

impl Registrant {
    /// Starts at once. `call_id` and `from_tag` are unique text.
    #[must_use]
    pub fn new(now: Instant, registration: Registration, call_id: String, from_tag: String) -> Self {
        Self {
            auth: ClientAuth::new(&registration.user, registration.password.expose()),
            expires: registration.expires.max(1),
            registration,
            call_id,
            from_tag,
            sequence: 0,
            state: State::Due(now),
            failures: 0,
            leaving: false,
            removing: false,
            bound: false,
            public: None,
            contact: None,
            outdated: None,
            rewrites: 0,
        }
    }

    /// What it was made of.
    #[must_use]
    pub fn registration(&self) -> &Registration {
        &self.registration
    }

    /// When to call [`Registrant::next_request`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Due(at) => Some(at),
            State::Asked | State::Stopped => None,
        }
    }

    /// The request that is due, without Via, Max-Forwards and User-Agent. `reachable` is where we listen, as advertised;
    /// `cnonce` is unguessable text.
    pub fn next_request(
        &mut self,
        now: Instant,
        transport: Transport,
        reachable: SocketAddr,
        cnonce: &str,
    ) -> Option<Request> {
        let State::Due(at) = self.state else { return None };
        if at > now {
            return None;
        }
        self.state = State::Asked;
        self.sequence += 1;
        let mut contact = Uri::at(Some(&self.registration.contact_user), self.public.unwrap_or(reachable));
        if transport == Transport::Tcp {
            contact.params.set("transport", "tcp");
        }
        let mut request = Request::new(Method::Register, self.registration.registrar.clone());
        let aor = NameAddr::new(self.registration.aor.clone());
        self.removing = self.leaving;
        let expires = if self.removing { 0 } else { self.expires };
        let headers = &mut request.headers;
        headers.push(Name::From, aor.clone().with_tag(&self.from_tag).to_string());
        headers.push(Name::To, aor.to_string());
        headers.push(Name::CallId, &*self.call_id);
        headers.push(Name::CSeq, CSeq::new(self.sequence, Method::Register).to_string());
        headers.push(Name::Contact, format!("<{contact}>;expires={expires}"));
        if let Some(outdated) = &self.outdated {
            headers.push(Name::Contact, format!("<{outdated}>;expires=0"));
        }
        headers.push(Name::Expires, expires.to_string());
        self.auth.authorize(&mut request, cnonce);
        self.contact = Some(contact);
        Some(request)
    }

    /// The final response to the last request.
    pub fn handle_response(&mut self, now: Instant, response: &Response) -> Action {
        if self.state != State::Asked || !response.status.is_final() {
            return Action::Nothing;
        }
        match response.status {
            status if status.is_success() => self.succeed(now, response),
            StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                match self.auth.handle_challenge(response) {
                    Ok(()) => self.again(now),
                    Err(Refused::WrongPassword | Refused::Unsupported | Refused::NoChallenge) => {
                        self.give_up(response.status)
                    }
                }
            }
            StatusCode::FORBIDDEN => self.give_up(response.status),
            // RFC 3261 §10.2.8.
            StatusCode::INTERVAL_TOO_BRIEF => match response.headers.min_expires() {
                Some(least) if least > self.expires && least <= LONGEST_EXPIRES => {
                    self.expires = least;
                    self.again(now)
                }
                Some(_) | None => self.fail(now, response.status, None),
            },
            status => self.fail(now, status, response.headers.retry_after()),
        }
    }

    /// No final response came: 408, or 503 when the request could not even be sent.
    pub fn handle_failure(&mut self, now: Instant, status: StatusCode) -> Action {
        if self.state != State::Asked {
            return Action::Nothing;
        }
        self.fail(now, status, None)
    }

    /// Removes our contact as soon as no response is awaited. [`Action::End`] here means that there is nothing to remove.
    pub fn unregister(&mut self, now: Instant) -> Action {
        self.leaving = true;
        match self.state {
            State::Asked => Action::Nothing,
            State::Due(_) | State::Stopped if self.bound => self.again(now),
            State::Due(_) | State::Stopped => self.end(),
        }
    }

    fn succeed(&mut self, now: Instant, response: &Response) -> Action {
        self.auth.handle_success();
        self.failures = 0;
        self.outdated = None;
        if self.leaving {
            // The response may be that to a request from before the wish to leave.
            return if self.removing { self.end() } else { self.again(now) };
        }
        self.bound = true;
        if let Some(seen) = self.new_address(response).filter(|_| self.rewrites < MAX_REWRITES) {
            self.rewrites += 1;
            self.public = Some(seen);
            self.outdated = self.contact.take();
            return self.again(now);
        }
        let granted = self.granted(response).unwrap_or(self.expires).max(1);
        // Early enough for the request to be repeated until it arrives.
        let refresh = Duration::from_secs(granted.into()).mul_f64(0.8).max(Duration::from_secs(1));
        self.state = State::Due(now + refresh);
        Action::Tell(RegistrationState::Registered(granted))
    }

    /// Where we must be reached instead of at our contact, by what the registrar saw.
    fn new_address(&self, response: &Response) -> Option<SocketAddr> {
        let (contact, via) = (self.contact.as_ref()?, response.headers.via().ok()?);
        let seen = nat::observed(&via)?;
        match self.public {
            Some(public) => (via.rport().is_some() && seen != public).then_some(seen),
            None => nat::rewritten_contact(contact, &via).map(|_| seen),
        }
    }

    /// RFC 3261 §10.2.4: the lifetime is with our contact in the list of all.
    fn granted(&self, response: &Response) -> Option<u32> {
        let contacts = response.headers.contacts().ok()?;
        let own =
            contacts.iter().find(|one| self.contact.as_ref().is_some_and(|uri| uri.equivalent(&one.uri)));
        match own {
            Some(contact) => contact.expires().or_else(|| response.headers.expires()),
            None if contacts.is_empty() => response.headers.expires(),
            None => None,
        }
    }

    fn again(&mut self, now: Instant) -> Action {
        self.state = State::Due(now);
        Action::Nothing
    }

    fn give_up(&mut self, status: StatusCode) -> Action {
        if self.leaving {
            return self.end();
        }
        self.state = State::Stopped;
        self.bound = false;
        Action::Tell(RegistrationState::Failed(status))
    }

    fn fail(&mut self, now: Instant, status: StatusCode, retry_after: Option<u32>) -> Action {
        if self.leaving {
            return self.end();
        }
        let pause = self.pause().max(Duration::from_secs(retry_after.unwrap_or(0).min(LONGEST_PAUSE).into()));
        self.failures += 1;
        self.state = State::Due(now + pause);
        Action::Tell(RegistrationState::Failed(status))
    }

    fn end(&mut self) -> Action {
        self.state = State::Stopped;
        Action::End(RegistrationState::Unregistered)
    }

    /// RFC 5626 §4.5: doubling up to half an hour, and not all clients at the same time.
    fn pause(&self) -> Duration {
        let longest = (FIRST_PAUSE << self.failures.min(6)).min(1800);
        let spread = digest::mac(&[0; 32], format!("{} {}", self.call_id, self.sequence).as_bytes())[0];
        Duration::from_secs(longest).mul_f64(0.5 + f64::from(spread) / 510.0)
    }
}

/// Lifetimes that a registrar may demand, seconds.
const LONGEST_EXPIRES: u32 = 7 * 24 * 3600;
/// Pause a registrar may demand, seconds.
const LONGEST_PAUSE: u32 = 24 * 3600;
/// Pause after a first failure, seconds.
const FIRST_PAUSE: u64 = 30;
/// How often our address may change behind NAT within a registration before we keep what we have.
const MAX_REWRITES: u32 = 8;
