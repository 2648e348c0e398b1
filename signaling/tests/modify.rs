//! Changing a session: hold, glare, refusals, and what else happens meanwhile (RFC 3261 §14, RFC 3311, RFC 3264).
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a failed test is what a panic is for"
)]

mod common;

use std::time::Duration;

use common::world::{World, address, call, call_by_tcp, establish, reply, sdp};
use offhook_signaling::{
    Body, Cause, Event, InviteError, InviteId, StatusCode,
    message::{Method, Name},
};

fn wait_modify(world: &mut World, who: usize) -> Option<Body> {
    world.wait(who, |event| match event {
        Event::Modify(_, body) => Some(body.clone()),
        _ => None,
    })
}

fn wait_modified(world: &mut World, who: usize) -> Option<Body> {
    world.wait(who, |event| match event {
        Event::Modified(_, body) => Some(body.clone()),
        _ => None,
    })
}

fn part(world: &mut World, who: usize, id: InviteId) {
    world.with(who, id, |invite, now| invite.hang_up(now, None).unwrap());
    world.assert_clean();
}

#[test]
fn hold_and_resume_from_both_sides() {
    for outgoing in [call(0, 1), call_by_tcp(0, 1)] {
        let mut world = World::of(2);
        let (out, inc) = establish(&mut world, outgoing, 0, 1);
        for (asker, asked) in [((0, out), (1, inc)), ((1, inc), (0, out))] {
            for offer in ["hold", "resume"] {
                world.with(asker.0, asker.1, |invite, now| invite.modify(now, Some(sdp(offer))).unwrap());
                assert_eq!(wait_modify(&mut world, asked.0), Some(sdp(offer)));
                world.with(asked.0, asked.1, |invite, now| invite.accept_modify(now, sdp("agreed")).unwrap());
                assert_eq!(wait_modified(&mut world, asker.0), Some(sdp("agreed")));
                world.run_for(Duration::from_secs(1));
            }
        }
        part(&mut world, 0, out);
    }
}

#[test]
fn only_one_offer_at_a_time() {
    let mut world = World::of(2);
    let (out, inc) = establish(&mut world, call(0, 1), 0, 1);
    world.with(0, out, |invite, now| {
        invite.modify(now, Some(sdp("hold"))).unwrap();
        assert_eq!(invite.modify(now, Some(sdp("again"))), Err(InviteError::OfferPending));
        assert_eq!(invite.accept_modify(now, sdp("x")), Err(InviteError::WrongState));
    });
    wait_modify(&mut world, 1);
    world.with(1, inc, |invite, now| {
        assert_eq!(invite.modify(now, Some(sdp("mine"))), Err(InviteError::OfferPending));
        invite.refuse_modify(now, StatusCode::NOT_ACCEPTABLE_HERE).unwrap();
        assert_eq!(invite.refuse_modify(now, StatusCode::NOT_ACCEPTABLE_HERE), Err(InviteError::WrongState));
    });
    let code = world.wait(0, |event| match event {
        Event::ModifyFailed(_, code) => Some(*code),
        _ => None,
    });
    assert_eq!(code, StatusCode::NOT_ACCEPTABLE_HERE);
    world.with(0, out, |invite, now| invite.modify(now, Some(sdp("hold"))).unwrap());
    wait_modify(&mut world, 1);
    part(&mut world, 0, out);
}

#[test]
fn glare_491() {
    for seed in 0..20 {
        let mut world = World::of(2);
        world.link.delay = Duration::from_millis(10 + seed * 7);
        let (out, inc) = establish(&mut world, call(0, 1), 0, 1);
        // Both at the same instant: both are refused, both try again after different pauses.
        world.with(0, out, |invite, now| invite.modify(now, Some(sdp("from the caller"))).unwrap());
        world.with(1, inc, |invite, now| invite.modify(now, Some(sdp("from the callee"))).unwrap());
        world.run_for(Duration::from_millis(500));
        assert_eq!((world.count(0, 1, "491"), world.count(1, 0, "491")), (1, 1));
        // The callee comes first (0 to 2 s against 2.1 to 4 s).
        assert_eq!(wait_modify(&mut world, 0), Some(sdp("from the callee")));
        let failed = world.wait(0, |event| match event {
            Event::ModifyFailed(_, code) => Some(*code),
            _ => None,
        });
        assert_eq!(failed, StatusCode::REQUEST_PENDING, "told before, because a new offer came");
        world.with(0, out, |invite, now| invite.accept_modify(now, sdp("agreed")).unwrap());
        assert_eq!(wait_modified(&mut world, 1), Some(sdp("agreed")));
        world.with(0, out, |invite, now| invite.modify(now, Some(sdp("later"))).unwrap());
        assert_eq!(wait_modify(&mut world, 1), Some(sdp("later")));
        part(&mut world, 1, inc);
    }
}

#[test]
fn a_491_alone_is_retried_without_a_word() {
    let mut world = World::of(1);
    let callee = world.add_script();
    let (out, _) = answered_by_script(&mut world, callee);
    world.with(0, out, |invite, now| invite.modify(now, Some(sdp("hold"))).unwrap());
    let first = world.receive_request(callee, Method::Invite);
    assert_eq!(first.headers.to_tag(), Some(CALLEE));
    world.send(callee, 0, reply(callee, &first, 491, "", None));
    let refused = world.now;
    let second = world.receive_request(callee, Method::Invite);
    let pause = world.now - refused;
    assert!(pause > Duration::from_millis(2100) && pause < Duration::from_millis(4100), "{pause:?}");
    assert_eq!(second.headers.cseq().unwrap().sequence, first.headers.cseq().unwrap().sequence + 1);
    assert_eq!(second.body, first.body);
    world.send(callee, 0, reply(callee, &second, 200, "", Some("held")));
    assert_eq!(wait_modified(&mut world, 0), Some(sdp("held")));
    assert!(world.events(0).is_empty());
}

#[test]
fn a_modify_right_after_our_answer_waits_for_the_ack() {
    let mut world = World::of(2);
    let out = world.dial(0, call(0, 1));
    let (inc, _) = world.wait_incoming(1);
    world.with(1, inc, |invite, now| {
        invite.accept(now, sdp("answer")).unwrap();
        invite.modify(now, Some(sdp("hold"))).unwrap();
    });
    assert_eq!(wait_modify(&mut world, 0), Some(sdp("hold")));
    let order: Vec<&str> = world.log.iter().map(|(_, _, line)| line.split(' ').next().unwrap()).collect();
    assert_eq!(order, ["INVITE", "100", "200", "ACK", "INVITE", "100"]);
    part(&mut world, 0, out);
}

#[test]
fn reinvite_without_offer_asks_for_ours() {
    let mut world = World::of(2);
    let (out, inc) = establish(&mut world, call(0, 1), 0, 1);
    world.with(0, out, |invite, now| invite.modify(now, None).unwrap());
    assert_eq!(wait_modify(&mut world, 1), None);
    world.with(1, inc, |invite, now| invite.accept_modify(now, sdp("full offer")).unwrap());
    assert_eq!(wait_modified(&mut world, 0), Some(sdp("full offer")));
    world.run_for(Duration::from_secs(2));
    assert!(world.count(1, 0, "200") > 2, "the 2xx is repeated while our answer is missing");
    world.with(0, out, |invite, now| {
        assert_eq!(invite.modify(now, None), Err(InviteError::OfferPending));
        invite.acknowledge(now, Some(sdp("late answer"))).unwrap();
    });
    let confirmed = world.wait(1, |event| match event {
        Event::ModifyConfirmed(_, body) => Some(body.clone()),
        _ => None,
    });
    assert_eq!(confirmed, Some(sdp("late answer")));
    part(&mut world, 1, inc);
}

#[test]
fn bye_while_a_change_is_open() {
    let mut world = World::of(2);
    let (out, inc) = establish(&mut world, call(0, 1), 0, 1);
    world.with(0, out, |invite, now| invite.modify(now, Some(sdp("hold"))).unwrap());
    wait_modify(&mut world, 1);
    world.with(0, out, |invite, now| invite.hang_up(now, None).unwrap());
    assert_eq!(world.wait_ended(1, inc).cause, Cause::RemoteBye);
    world.assert_clean();
    assert_eq!(world.count(1, 0, "487"), 1);
    // And the other way round: the asked side leaves.
    let mut world = World::of(2);
    let (out, inc) = establish(&mut world, call(0, 1), 0, 1);
    world.with(0, out, |invite, now| invite.modify(now, Some(sdp("hold"))).unwrap());
    wait_modify(&mut world, 1);
    world.with(1, inc, |invite, now| invite.hang_up(now, None).unwrap());
    world.wait_ended(0, out);
    world.assert_clean();
}

#[test]
fn a_change_that_is_never_answered_ends_the_call() {
    let mut world = World::of(2);
    let (out, _) = establish(&mut world, call(0, 1), 0, 1);
    world.lose = Some(Box::new(|_, _, _| true));
    world.with(0, out, |invite, now| invite.modify(now, Some(sdp("hold"))).unwrap());
    let end = world.wait_ended(0, out);
    assert_eq!((end.cause, end.code), (Cause::Timeout, StatusCode::REQUEST_TIMEOUT));
    world.run_for(Duration::from_secs(40));
    assert_eq!(world.gauges(0).invites, 0);
}

#[test]
fn a_481_to_a_change_ends_the_call() {
    let mut world = World::of(1);
    let callee = world.add_script();
    let (out, _) = answered_by_script(&mut world, callee);
    world.with(0, out, |invite, now| invite.modify(now, Some(sdp("hold"))).unwrap());
    let request = world.receive_request(callee, Method::Invite);
    world.send(callee, 0, reply(callee, &request, 481, "", None));
    assert_eq!(world.wait_ended(0, out).code, StatusCode::CALL_DOES_NOT_EXIST);
    world.assert_clean();
}

#[test]
fn a_change_that_is_pondered_too_long_is_cancelled() {
    let mut world = World::of(2);
    let (out, inc) = establish(&mut world, call(0, 1), 0, 1);
    world.with(0, out, |invite, now| invite.modify(now, Some(sdp("hold"))).unwrap());
    wait_modify(&mut world, 1);
    let failed = world.wait(0, |event| match event {
        Event::ModifyFailed(_, code) => Some(*code),
        _ => None,
    });
    assert_eq!(failed, StatusCode::REQUEST_TERMINATED);
    world.with(1, inc, |invite, now| {
        assert_eq!(invite.accept_modify(now, sdp("too late")), Err(InviteError::WrongState));
        invite.modify(now, Some(sdp("mine"))).unwrap();
    });
    assert_eq!(wait_modify(&mut world, 0), Some(sdp("mine")));
    part(&mut world, 0, out);
}

#[test]
fn update_with_and_without_offer() {
    let mut world = World::of(1);
    let callee = world.add_script();
    let (out, from) = answered_by_script(&mut world, callee);
    let invite = world.endpoint(0).invite(out).unwrap().call_id().to_owned();
    world.send(callee, 0, script_request(callee, "UPDATE", 1, &invite, &from, ""));
    let response = world.receive_response(callee);
    assert_eq!((response.status, response.headers.has(Name::Contact)), (StatusCode::OK, true));
    world.send(callee, 0, script_request(callee, "UPDATE", 2, &invite, &from, "offer"));
    assert_eq!(wait_modify(&mut world, 0), Some(sdp("offer")));
    // One more while the first is open, and one out of order.
    world.send(callee, 0, script_request(callee, "UPDATE", 3, &invite, &from, "offer"));
    let response = world.receive_response(callee);
    assert_eq!(response.status, StatusCode::SERVER_INTERNAL_ERROR);
    assert!(response.headers.retry_after().is_some_and(|seconds| seconds <= 10));
    world.with(0, out, |invite, now| invite.accept_modify(now, sdp("answer")).unwrap());
    let response = world.receive_response(callee);
    assert_eq!((response.status, response.content()), (StatusCode::OK, Some(sdp("answer"))));
    let outdated = script_request(callee, "UPDATE", 1, &invite, &from, "");
    world.send(callee, 0, outdated.replace("branch=", "branch=z9hG4bKother"));
    assert_eq!(world.receive_response(callee).status, StatusCode::SERVER_INTERNAL_ERROR);
    world.with(0, out, |invite, now| invite.modify(now, Some(sdp("mine"))).unwrap());
    world.send(callee, 0, script_request(callee, "UPDATE", 4, &invite, &from, "offer"));
    assert_eq!(world.receive_response(callee).status, StatusCode::REQUEST_PENDING);
}

#[test]
fn a_second_reinvite_before_our_answer_is_told_to_come_later() {
    let mut world = World::of(1);
    let callee = world.add_script();
    let (out, from) = answered_by_script(&mut world, callee);
    let call_id = world.endpoint(0).invite(out).unwrap().call_id().to_owned();
    world.send(callee, 0, script_request(callee, "INVITE", 1, &call_id, &from, "offer"));
    wait_modify(&mut world, 0);
    world.send(callee, 0, script_request(callee, "INVITE", 2, &call_id, &from, "offer"));
    let response = world.receive_response(callee);
    assert_eq!(response.status, StatusCode::SERVER_INTERNAL_ERROR);
    assert!(response.headers.has(Name::RetryAfter));
    // The first may be cancelled; the session stays.
    let cancel = script_request(callee, "CANCEL", 1, &call_id, &from, "");
    world.send(callee, 0, cancel.replace("z9hG4bKCANCEL", "z9hG4bKINVITE"));
    let mut codes =
        [world.receive_response(callee).status.code(), world.receive_response(callee).status.code()];
    codes.sort_unstable();
    assert_eq!(codes, [200, 487]);
    assert!(world.endpoint(0).invite(out).is_some());
}

#[test]
fn info_is_told_and_always_answered() {
    let mut world = World::of(2);
    let (out, inc) = establish(&mut world, call(0, 1), 0, 1);
    let digit = Body::new("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n");
    world.with(0, out, |invite, now| invite.info(now, digit.clone()).unwrap());
    let told = world.wait(1, |event| match event {
        Event::Info(id, body) if *id == inc => Some(body.clone()),
        _ => None,
    });
    assert_eq!(told, digit);
    part(&mut world, 0, out);
    assert_eq!(world.count(1, 0, "200"), 3);
}

/// A call to a scripted callee that is answered; the id and our tag.
fn answered_by_script(world: &mut World, callee: usize) -> (InviteId, String) {
    let out = world.dial(0, call(0, callee));
    let invite = world.receive_request(callee, Method::Invite);
    world.send(callee, 0, reply(callee, &invite, 200, CALLEE, Some("answer")));
    world.wait(0, |event| matches!(event, Event::Answered(..)).then_some(()));
    let ack = world.receive_request(callee, Method::Ack);
    (out, ack.headers.from_tag().unwrap().to_owned())
}

const CALLEE: &str = "callee";

fn script_request(
    who: usize,
    method: &str,
    sequence: u32,
    call_id: &str,
    peer_tag: &str,
    body: &str,
) -> String {
    let (here, there) = (address(who), address(0));
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "{method} sip:user0@{there} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{method}{sequence}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:c@{here}>;tag={CALLEE}\r\nTo: <sip:user0@{there}>;tag={peer_tag}\r\n\
         Call-ID: {call_id}\r\nCSeq: {sequence} {method}\r\nContact: <sip:script@{here}>\r\n{kind}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
