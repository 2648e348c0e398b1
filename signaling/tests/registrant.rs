//! Our registration with another registrar, against bindings and authenticator of our own.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use offhook_signaling::{
    FlowId, Source, Transport, Uri,
    auth::{Authenticator, User, Verdict},
    event::RegistrationState,
    message::{Name, Request, Response, StatusCode, Via},
    nat,
    register::{
        bindings::{Bindings, Limits},
        client::{Action, Registrant, Registration},
    },
};

struct World {
    now: Instant,
    registrant: Registrant,
    authenticator: Authenticator,
    bindings: Bindings,
    /// Where our requests seem to come from.
    seen_from: SocketAddr,
    requests: u32,
}

const LOCAL: &str = "10.0.0.5:5060";

impl World {
    #[expect(clippy::disallowed_methods, reason = "a base for virtual time")]
    fn new(password: &str) -> Self {
        let now = Instant::now();
        let mut registration = Registration::new(Uri::parse("sip:example.com").unwrap(), "alice", password);
        registration.expires = 30;
        Self {
            now,
            registrant: Registrant::new(now, registration, "call-id".into(), "tag".into()),
            authenticator: Authenticator::new("example", &[1; 32], [User::new("alice", "example", "secret")]),
            bindings: Bindings::new(Limits { min_expires: 60, max_expires: 600, max_contacts: 5 }),
            seen_from: LOCAL.parse().unwrap(),
            requests: 0,
        }
    }

    fn ask(&mut self) -> Option<Request> {
        let local: SocketAddr = LOCAL.parse().unwrap();
        self.requests += 1;
        let cnonce = format!("cnonce{}", self.requests);
        let mut request = self.registrant.next_request(self.now, Transport::Udp, local, &cnonce)?;
        let via = Via::new(Transport::Udp, local, &format!("z9hG4bK{}", self.requests));
        request.headers.insert_first(Name::Via, via.to_string());
        Some(request)
    }

    /// What the registrar makes of a request.
    fn serve(&mut self, mut request: Request) -> Response {
        let mut via = request.headers.via().unwrap();
        nat::note_source(&mut via, self.seen_from);
        request.headers.set_via(&via);
        match self.authenticator.check(self.now, &request) {
            Verdict::Ok(user) => {
                let local = "192.0.2.1:5060".parse().unwrap();
                let source =
                    Source { flow: FlowId(1), transport: Transport::Udp, local, remote: self.seen_from };
                self.bindings.register(self.now, &user, &request, &source)
            }
            Verdict::Challenge(values) => {
                let mut response = request.reply(StatusCode::UNAUTHORIZED);
                for value in values {
                    response.headers.push(Name::WwwAuthenticate, value);
                }
                response
            }
        }
    }

    /// Lets requests and responses go to and fro until there is something to tell.
    fn settle(&mut self) -> Action {
        for _ in 0..10 {
            let Some(at) = self.registrant.poll_timeout() else { break };
            self.now = self.now.max(at);
            let request = self.ask().expect("it is due");
            let response = self.serve(request);
            match self.registrant.handle_response(self.now, &response) {
                Action::Nothing => {}
                action @ (Action::Tell(_) | Action::End(_)) => return action,
            }
        }
        Action::Nothing
    }

    fn bound(&self) -> Vec<String> {
        self.bindings.contacts(self.now, "alice").iter().map(|contact| contact.uri.to_string()).collect()
    }
}

fn tell(state: RegistrationState) -> Action {
    Action::Tell(state)
}

#[test]
fn it_answers_the_challenge_takes_the_longer_lifetime_and_refreshes() {
    let mut world = World::new("secret");
    let begin = world.now;
    assert_eq!(world.settle(), tell(RegistrationState::Registered(60)));
    assert_eq!((world.now, world.requests), (begin, 3), "401, 423, 200");
    assert_eq!(world.bound(), ["sip:alice@10.0.0.5:5060"]);
    for round in 1..20 {
        assert_eq!(world.settle(), tell(RegistrationState::Registered(60)));
        assert_eq!(world.now, begin + Duration::from_secs(48) * round);
        assert_eq!(world.bound().len(), 1);
    }
}

#[test]
fn a_wrong_password_is_told_and_not_tried_again() {
    let mut world = World::new("guess");
    assert_eq!(world.settle(), tell(RegistrationState::Failed(StatusCode::UNAUTHORIZED)));
    assert_eq!((world.requests, world.registrant.poll_timeout()), (2, None));
    let now = world.now;
    assert_eq!(world.registrant.unregister(now), Action::End(RegistrationState::Unregistered));
}

#[test]
fn it_leaves_when_asked_even_in_the_middle_of_a_refresh() {
    for in_flight in [false, true] {
        let mut world = World::new("secret");
        world.settle();
        if in_flight {
            world.now = world.registrant.poll_timeout().unwrap();
            let request = world.ask().unwrap();
            assert_eq!(world.registrant.unregister(world.now), Action::Nothing);
            let response = world.serve(request);
            assert_eq!(response.status, StatusCode::OK);
            assert_eq!(world.registrant.handle_response(world.now, &response), Action::Nothing);
        } else {
            assert_eq!(world.registrant.unregister(world.now), Action::Nothing);
        }
        assert_eq!(world.settle(), Action::End(RegistrationState::Unregistered));
        assert!(world.bound().is_empty());
    }
}

#[test]
fn failures_pause_longer_and_longer_and_a_success_forgets_them() {
    let mut world = World::new("secret");
    let mut pauses = Vec::new();
    for _ in 0..10 {
        world.now = world.registrant.poll_timeout().unwrap();
        world.ask().unwrap();
        let action = world.registrant.handle_failure(world.now, StatusCode::REQUEST_TIMEOUT);
        assert_eq!(action, tell(RegistrationState::Failed(StatusCode::REQUEST_TIMEOUT)));
        pauses.push((world.registrant.poll_timeout().unwrap() - world.now).as_secs());
    }
    assert!((15..=30).contains(&pauses[0]), "{pauses:?}");
    assert!((900..=1800).contains(&pauses[9]), "{pauses:?}");
    assert_eq!(world.settle(), tell(RegistrationState::Registered(60)));
    world.now = world.registrant.poll_timeout().unwrap();
    let mut busy = world.ask().unwrap().reply(StatusCode::SERVICE_UNAVAILABLE);
    busy.headers.push(Name::RetryAfter, "500");
    world.registrant.handle_response(world.now, &busy);
    assert_eq!(world.registrant.poll_timeout(), Some(world.now + Duration::from_secs(500)));
}

#[test]
fn behind_nat_the_address_seen_by_the_registrar_is_registered() {
    let mut world = World::new("secret");
    world.seen_from = "198.51.100.7:1024".parse().unwrap();
    assert_eq!(world.settle(), tell(RegistrationState::Registered(60)));
    assert_eq!(world.bound(), ["sip:alice@198.51.100.7:1024"]);
    world.seen_from = "198.51.100.7:2048".parse().unwrap();
    world.settle();
    assert_eq!(world.bound(), ["sip:alice@198.51.100.7:2048"], "the NAT has forgotten the first one");
}

#[test]
fn responses_nobody_waits_for_change_nothing() {
    let mut world = World::new("secret");
    let request = world.ask().unwrap();
    assert_eq!(world.ask(), None, "one request at a time");
    let trying = request.reply(StatusCode::TRYING);
    assert_eq!(world.registrant.handle_response(world.now, &trying), Action::Nothing);
    let response = world.serve(request);
    assert_eq!(world.registrant.handle_response(world.now, &response), Action::Nothing);
    assert_eq!(world.registrant.handle_response(world.now, &response), Action::Nothing);
    assert_eq!(world.settle(), tell(RegistrationState::Registered(60)));
}
