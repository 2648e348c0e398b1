//! Digest authentication of INVITEs, as the one who asks and as the one who answers.

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a failed test is what a panic is for"
)]

mod common;

use common::world::{World, call, config, reply, sdp};
use offhook_signaling::{
    Cause, Config, Event, Outgoing, StatusCode,
    auth::User,
    message::{Message, Method, Name, Request, header::authorization::Authorization},
};

fn with_guard() -> World {
    let mut world = World::new();
    world.add(config(0));
    world.add(Config {
        trusted: Vec::new(),
        users: vec![User::new("alice", "offhook", "secret")],
        ..config(1)
    });
    world
}

fn as_alice(password: &str) -> Outgoing {
    Outgoing { credentials: Some(("alice".into(), password.into())), ..call(0, 1) }
}

#[test]
fn a_stranger_with_the_password_comes_in() {
    let mut world = with_guard();
    let out = world.dial(0, as_alice("secret"));
    let (inc, incoming) = world.wait_incoming(1);
    assert_eq!(incoming.user.as_deref(), Some("alice"));
    assert!(incoming.headers.iter().all(|(name, _)| name != "Authorization"));
    world.with(1, inc, |invite, now| invite.accept(now, sdp("answer")).unwrap());
    world.wait(0, |event| matches!(event, Event::Answered(..)).then_some(()));
    world.with(0, out, |invite, now| invite.hang_up(now, None).unwrap());
    world.wait_ended(1, inc);
    world.assert_clean();
    assert_eq!((world.count(0, 1, "INVITE"), world.count(1, 0, "401")), (2, 1));
}

#[test]
fn a_wrong_password_is_tried_once() {
    let mut world = with_guard();
    let out = world.dial(0, as_alice("guess"));
    let end = world.wait_ended(0, out);
    assert_eq!((end.cause, end.code), (Cause::Rejected, StatusCode::UNAUTHORIZED));
    world.assert_clean();
    assert_eq!(world.count(0, 1, "INVITE"), 2);
    assert!(world.events(1).is_empty());
}

#[test]
fn without_credentials_a_challenge_is_a_refusal() {
    let mut world = with_guard();
    let out = world.dial(0, call(0, 1));
    assert_eq!(world.wait_ended(0, out).code, StatusCode::UNAUTHORIZED);
    world.assert_clean();
    assert_eq!(world.count(0, 1, "INVITE"), 1);
}

#[test]
fn challenges_survive_loss() {
    for seed in 0..40 {
        let mut world = with_guard();
        world.dice = common::world::Dice(seed);
        world.link.loss = 25;
        let out = world.dial(0, as_alice("secret"));
        let (inc, _) = world.wait_incoming(1);
        world.with(1, inc, |invite, now| invite.accept(now, sdp("answer")).unwrap());
        world.wait(0, |event| matches!(event, Event::Answered(..)).then_some(()));
        world.with(0, out, |invite, now| invite.hang_up(now, None).unwrap());
        world.wait_ended(1, inc);
        world.assert_clean();
    }
}

fn challenged(who: usize, request: &Request, realm: &str, nonce: &str) -> String {
    let bytes = reply(who, request, 407, "x", None);
    let header = format!(
        "Proxy-Authenticate: Digest realm=\"{realm}\", nonce=\"{nonce}\", qop=\"auth\", algorithm=MD5\r\n"
    );
    String::from_utf8(bytes.to_vec()).unwrap().replace("Content-Length", &format!("{header}Content-Length"))
}

fn answer_in(request: &Request) -> Option<Authorization> {
    request.headers.get(Name::ProxyAuthorization).and_then(Authorization::parse)
}

#[test]
fn requests_in_the_dialog_answer_those_who_asked_before_and_nobody_else() {
    let mut world = World::of(1);
    let proxy = world.add_script();
    let out = world.dial(0, Outgoing { credentials: Some(("u".into(), "p".into())), ..call(0, proxy) });
    let first = world.receive_request(proxy, Method::Invite);
    assert!(answer_in(&first).is_none());
    world.send(proxy, 0, challenged(proxy, &first, "proxy", "one"));
    world.receive_request(proxy, Method::Ack);
    let second = world.receive_request(proxy, Method::Invite);
    assert_eq!(second.headers.cseq().unwrap().sequence, first.headers.cseq().unwrap().sequence + 1);
    assert_eq!(second.headers.call_id(), first.headers.call_id());
    assert_eq!(second.headers.from_tag(), first.headers.from_tag());
    assert_ne!(second.headers.via().unwrap().branch(), first.headers.via().unwrap().branch());
    let answer = answer_in(&second).unwrap();
    assert_eq!((answer.realm.as_str(), answer.nonce.as_str(), answer.nc), ("proxy", "one", Some(1)));
    world.send(proxy, 0, reply(proxy, &second, 200, "x", Some("answer")));
    world.wait(0, |event| matches!(event, Event::Answered(..)).then_some(()));
    let ack = world.receive_request(proxy, Method::Ack);
    assert_eq!(answer_in(&ack), Some(answer), "the ACK repeats what the INVITE said");

    // A used-up nonce inside the dialog is renewed.
    world.with(0, out, |invite, now| invite.modify(now, Some(sdp("hold"))).unwrap());
    let third = world.receive_request(proxy, Method::Invite);
    assert_eq!(answer_in(&third).unwrap().nc, Some(2));
    world.send(proxy, 0, challenged(proxy, &third, "proxy", "two"));
    world.receive_request(proxy, Method::Ack);
    let fourth = world.receive_request(proxy, Method::Invite);
    assert_eq!((answer_in(&fourth).unwrap().nonce.as_str(), &fourth.body), ("two", &third.body));
    world.send(proxy, 0, reply(proxy, &fourth, 200, "x", Some("held")));
    world.wait(0, |event| matches!(event, Event::Modified(..)).then_some(()));
    world.receive_request(proxy, Method::Ack);

    // Somebody who never asked before gets nothing to crack.
    world.with(0, out, |invite, now| invite.modify(now, Some(sdp("resume"))).unwrap());
    let fifth = world.receive_request(proxy, Method::Invite);
    world.send(proxy, 0, challenged(proxy, &fifth, "evil", "chosen"));
    let failed = world.wait(0, |event| match event {
        Event::ModifyFailed(_, code) => Some(*code),
        _ => None,
    });
    assert_eq!(failed, StatusCode::PROXY_AUTHENTICATION_REQUIRED);
    world.with(0, out, |invite, now| invite.hang_up(now, None).unwrap());
    let bye = world.receive_request(proxy, Method::Bye);
    world.send(proxy, 0, challenged(proxy, &bye, "proxy", "three"));
    let bye = world.receive_request(proxy, Method::Bye);
    assert_eq!(answer_in(&bye).unwrap().nonce, "three");
    world.send(proxy, 0, reply(proxy, &bye, 200, "x", None));
    world.assert_clean();
    assert!(world.inbox(proxy).iter().all(|message| matches!(message, Message::Request(_))));
}
