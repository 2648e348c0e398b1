//! REGISTER between two endpoints: one is the registrar, the other a phone.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a failed test is what a panic is for"
)]

mod common;

use std::time::Duration;

use common::world::{World, address, call, config, sdp, uri};
use offhook_signaling::{
    Config, Event, FlowId, Outgoing, Registration, RegistrationId, RegistrationState, StatusCode,
    auth::User,
    message::{Message, Method, Name},
};

fn registrar_and_phone(change: impl FnOnce(&mut Config)) -> World {
    let mut world = World::new();
    let mut registrar = Config { users: vec![User::new("alice", "offhook", "secret")], ..config(0) };
    change(&mut registrar);
    world.add(registrar);
    world.add(config(1));
    world
}

fn registration(password: &str) -> Registration {
    Registration::new(uri(&format!("sip:{}", address(0))), "alice", password)
}

fn register(world: &mut World, registration: Registration) -> RegistrationId {
    let now = world.now;
    let id = world.endpoint(1).register(now, registration);
    world.flush();
    id
}

fn state(world: &mut World) -> RegistrationState {
    world.wait(1, |event| match event {
        Event::Registration(_, state) => Some(state.clone()),
        _ => None,
    })
}

#[test]
fn a_phone_registers_stays_and_leaves() {
    let mut world = registrar_and_phone(|_| {});
    let id = register(&mut world, registration("secret"));
    assert_eq!(state(&mut world), RegistrationState::Registered(3600));
    let bound = world.wait(0, |event| match event {
        Event::Bound(user, contact) => Some((user.clone(), contact.clone())),
        _ => None,
    });
    assert_eq!(bound.0, "alice");
    assert_eq!(world.gauges(0).bindings, 1);
    world.run_for(Duration::from_secs(4 * 3600));
    assert_eq!(world.gauges(0).bindings, 1);
    assert!(world.events(0).is_empty(), "refreshing is no news");
    let now = world.now;
    world.endpoint(1).unregister(now, id);
    world.flush();
    world.wait(0, |event| matches!(event, Event::Unbound(user, _) if user == "alice").then_some(()));
    world.wait(1, |event| {
        matches!(event, Event::Registration(_, RegistrationState::Unregistered)).then_some(())
    });
    world.assert_clean();
}

#[test]
fn a_wrong_password_is_refused_and_not_tried_again() {
    let mut world = registrar_and_phone(|_| {});
    let id = register(&mut world, registration("guess"));
    assert_eq!(state(&mut world), RegistrationState::Failed(StatusCode::UNAUTHORIZED));
    world.run_for(Duration::from_secs(7200));
    assert_eq!(world.count(1, 0, "REGISTER"), 2);
    assert_eq!(world.gauges(0).bindings, 0);
    let now = world.now;
    world.endpoint(1).unregister(now, id);
    world.assert_clean();
}

#[test]
fn nobody_binds_the_address_of_another() {
    let mut world = registrar_and_phone(|config| {
        config.users.push(User::new("bob", "offhook", "secret"));
    });
    let aor = uri(&format!("sip:bob@{}", address(0)));
    register(&mut world, Registration { aor, ..registration("secret") });
    assert_eq!(state(&mut world), RegistrationState::Failed(StatusCode::FORBIDDEN));
    assert_eq!(world.gauges(0).bindings, 0);
}

#[test]
fn a_phone_that_vanishes_is_unbound_when_it_expires() {
    let mut world = registrar_and_phone(|_| {});
    register(&mut world, Registration { expires: 60, ..registration("secret") });
    assert_eq!(state(&mut world), RegistrationState::Registered(60));
    world.lose = Some(Box::new(|_, _, _| true));
    let began = world.now;
    world.wait(0, |event| matches!(event, Event::Unbound(user, _) if user == "alice").then_some(()));
    let lived = world.now - began;
    assert!(lived > Duration::from_secs(59) && lived <= Duration::from_secs(60), "{lived:?}");
    assert_eq!(world.gauges(0).bindings, 0);
}

#[test]
fn too_short_a_lifetime_is_corrected() {
    let mut world = registrar_and_phone(|config| config.min_expires = 300);
    register(&mut world, Registration { expires: 60, ..registration("secret") });
    assert_eq!(state(&mut world), RegistrationState::Registered(300));
}

#[test]
fn a_registrar_that_is_away_is_asked_again() {
    let mut world = registrar_and_phone(|_| {});
    world.lose = Some(Box::new(|_, _, _| true));
    register(&mut world, registration("secret"));
    assert_eq!(state(&mut world), RegistrationState::Failed(StatusCode::REQUEST_TIMEOUT));
    world.lose = None;
    assert_eq!(state(&mut world), RegistrationState::Registered(3600));
}

#[test]
fn a_registered_phone_is_called_where_it_was_seen() {
    let mut world = registrar_and_phone(|_| {});
    register(&mut world, registration("secret"));
    state(&mut world);
    let contact = world.endpoint(0).contacts("alice").remove(0);
    let out = world.dial(
        0,
        Outgoing {
            target: contact.uri,
            destination: contact.destination.map(|address| (contact.transport, address)),
            flow: contact.flow,
            ..call(0, 1)
        },
    );
    let (inc, incoming) = world.wait_incoming(1);
    assert_eq!(incoming.request_uri.user.as_deref(), Some("alice"));
    world.with(1, inc, |invite, now| invite.accept(now, sdp("answer")).unwrap());
    world.wait(0, |event| matches!(event, Event::Answered(..)).then_some(()));
    world.with(0, out, |invite, now| invite.hang_up(now, None).unwrap());
    world.wait_ended(1, inc);
}

#[test]
fn a_phone_by_tcp_is_reached_through_its_connection_while_that_is_open() {
    let mut world = registrar_and_phone(|_| {});
    let registrar = uri(&format!("sip:{};transport=tcp", address(0)));
    register(&mut world, Registration { registrar, ..registration("secret") });
    state(&mut world);
    let now = world.now;
    let contact = world.endpoint(0).contacts("alice").remove(0);
    assert_eq!((contact.flow, contact.source), (Some(FlowId(3)), address(1)));
    world.endpoint(0).handle_flow_closed(now, FlowId(3));
    world.flush();
    let contacts = world.endpoint(0).contacts("alice");
    assert!(contacts.iter().all(|contact| contact.flow.is_none()));
}

#[test]
fn challenges_keep_no_state_and_tell_no_user_from_another() {
    let mut world = registrar_and_phone(|_| {});
    let script = world.add_script();
    let (here, there) = (address(script), address(0));
    let ask = |user: &str, n: usize| {
        format!(
            "REGISTER sip:{there} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{n}\r\nMax-Forwards: 70\r\n\
             From: <sip:{user}@{there}>;tag=x\r\nTo: <sip:{user}@{there}>\r\nCall-ID: c{n}\r\nCSeq: 1 REGISTER\r\n\
             Contact: <sip:{user}@{here}>\r\nContent-Length: 0\r\n\r\n"
        )
    };
    for n in 0..1000 {
        world.send(script, 0, ask(if n % 2 == 0 { "alice" } else { "mallory" }, n));
    }
    world.run_for(Duration::from_secs(1));
    let gauges = world.gauges(0);
    assert_eq!((gauges.server_transactions, gauges.timers), (0, 0));
    let inbox = world.inbox(script);
    assert_eq!(inbox.len(), 1000);
    for message in &inbox {
        let Message::Response(response) = message else { panic!("a request") };
        assert_eq!(response.status, StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers.all(Name::WwwAuthenticate).count(), 1);
        assert_eq!(response.headers.cseq().unwrap().method, Method::Register);
    }
    let names = |message: &Message| -> Vec<String> {
        message.headers().iter().map(|(name, _)| name.as_str().to_owned()).collect()
    };
    assert_eq!(names(&inbox[0]), names(&inbox[1]));
}
