//! INVITEs without offer: the callee offers in its 200, the caller answers in its ACK (RFC 3261 §13.2.1, RFC 3264).

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a failed test is what a panic is for"
)]

mod common;

use std::time::Duration;

use common::world::{World, call, reply, sdp};
use offhook_signaling::{Answered, Body, Cause, Event, InviteError, Outgoing, StatusCode, message::Method};

fn offerless(from: usize, to: usize) -> Outgoing {
    Outgoing { body: None, ..call(from, to) }
}

fn answered(world: &mut World) -> Answered {
    world.wait(0, |event| match event {
        Event::Answered(_, answered) => Some(answered.clone()),
        _ => None,
    })
}

fn confirmed(world: &mut World) -> Option<Body> {
    world.wait(1, |event| match event {
        Event::Confirmed(_, body) => Some(body.clone()),
        _ => None,
    })
}

#[test]
fn the_answer_goes_into_the_ack() {
    let mut world = World::of(2);
    let out = world.dial(0, offerless(0, 1));
    let (inc, incoming) = world.wait_incoming(1);
    assert_eq!(incoming.body, None);
    world.with(1, inc, |invite, now| {
        let early = invite.ring(now, StatusCode::SESSION_PROGRESS, Some(sdp("offer")));
        assert_eq!(early, Err(InviteError::WrongState), "an offer needs a reliable response");
        invite.ring(now, StatusCode::RINGING, None).unwrap();
        invite.accept(now, sdp("offer")).unwrap();
    });
    let answer = answered(&mut world);
    assert_eq!((answer.body, answer.is_offer), (Some(sdp("offer")), true));
    // Thinking takes time; the 200 is repeated, but not told again.
    world.run_for(Duration::from_secs(3));
    assert_eq!(world.count(0, 1, "ACK"), 0);
    world.with(1, inc, |invite, now| {
        assert_eq!(invite.modify(now, Some(sdp("x"))), Err(InviteError::OfferPending));
    });
    world.with(0, out, |invite, now| {
        assert_eq!(invite.modify(now, Some(sdp("x"))), Err(InviteError::OfferPending));
        invite.acknowledge(now, Some(sdp("answer"))).unwrap();
        assert_eq!(invite.acknowledge(now, None), Err(InviteError::WrongState));
    });
    assert_eq!(confirmed(&mut world), Some(sdp("answer")));
    world.with(1, inc, |invite, now| invite.hang_up(now, None).unwrap());
    world.wait_ended(0, out);
    world.assert_clean();
}

#[test]
fn the_ack_with_the_answer_is_repeated_when_it_gets_lost() {
    let mut world = World::of(2);
    let mut acks = 0;
    world.lose = Some(Box::new(move |_, _, message| {
        let lost = message.headers().cseq().is_ok_and(|cseq| cseq.method == Method::Ack) && acks < 2;
        acks += usize::from(lost);
        lost
    }));
    let out = world.dial(0, offerless(0, 1));
    let (inc, _) = world.wait_incoming(1);
    world.with(1, inc, |invite, now| invite.accept(now, sdp("offer")).unwrap());
    answered(&mut world);
    world.with(0, out, |invite, now| invite.acknowledge(now, Some(sdp("answer"))).unwrap());
    assert_eq!(confirmed(&mut world), Some(sdp("answer")));
    world.with(0, out, |invite, now| invite.hang_up(now, None).unwrap());
    world.wait_ended(1, inc);
    world.assert_clean();
}

#[test]
fn hanging_up_instead_of_answering_acknowledges_first() {
    let mut world = World::of(2);
    let out = world.dial(0, offerless(0, 1));
    let (inc, _) = world.wait_incoming(1);
    world.with(1, inc, |invite, now| invite.accept(now, sdp("offer")).unwrap());
    answered(&mut world);
    world.with(0, out, |invite, now| invite.hang_up(now, None).unwrap());
    assert_eq!(confirmed(&mut world), None);
    assert_eq!(world.wait_ended(1, inc).cause, Cause::RemoteBye);
    world.assert_clean();
}

#[test]
fn an_answer_that_never_comes_ends_the_call() {
    let mut world = World::of(2);
    let out = world.dial(0, offerless(0, 1));
    let (inc, _) = world.wait_incoming(1);
    world.with(1, inc, |invite, now| invite.accept(now, sdp("offer")).unwrap());
    answered(&mut world);
    assert_eq!(world.wait_ended(1, inc).cause, Cause::Timeout);
    assert_eq!(world.wait_ended(0, out).cause, Cause::RemoteBye);
    world.assert_clean();
}

#[test]
fn a_200_without_body_is_acknowledged_at_once() {
    let mut world = World::of(1);
    let callee = world.add_script();
    world.dial(0, offerless(0, callee));
    let invite = world.receive_request(callee, Method::Invite);
    world.send(callee, 0, reply(callee, &invite, 200, "x", None));
    let answer = answered(&mut world);
    assert_eq!((answer.body, answer.is_offer), (None, false));
    world.receive_request(callee, Method::Ack);
}
