//! Messages that get lost, come twice or come late.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a failed test is what a panic is for"
)]

mod common;

use std::time::Duration;

use common::world::{World, call, establish, sdp};
use offhook_signaling::{
    Cause, Event, StatusCode,
    message::{Message, Method},
};

/// Loses the first `times` messages that match.
fn lose_first(world: &mut World, mut times: usize, matches: impl Fn(&Message) -> bool + 'static) {
    world.lose = Some(Box::new(move |_, _, message| {
        let hit = times > 0 && matches(message);
        times -= usize::from(hit);
        hit
    }));
}

fn is_request(message: &Message, method: &Method) -> bool {
    matches!(message, Message::Request(request) if request.method == *method)
}

fn is_response(message: &Message, code: u16, method: &Method) -> bool {
    matches!(message, Message::Response(response)
        if response.status.code() == code && response.headers.cseq().is_ok_and(|cseq| cseq.method == *method))
}

#[test]
fn lost_200_is_sent_again() {
    let mut world = World::of(2);
    lose_first(&mut world, 3, |message| is_response(message, 200, &Method::Invite));
    let (out, inc) = establish(&mut world, call(0, 1), 0, 1);
    world.with(0, out, |invite, now| invite.hang_up(now, None).unwrap());
    world.wait_ended(1, inc);
    world.assert_clean();
    assert_eq!(world.count(0, 1, "ACK"), 1);
}

#[test]
fn lost_ack_is_sent_again() {
    let mut world = World::of(2);
    lose_first(&mut world, 3, |message| is_request(message, &Method::Ack));
    let (out, inc) = establish(&mut world, call(0, 1), 0, 1);
    assert_eq!(world.count(0, 1, "ACK"), 4);
    world.with(1, inc, |invite, now| invite.hang_up(now, None).unwrap());
    world.wait_ended(0, out);
    world.assert_clean();
}

#[test]
fn lost_bye_is_sent_again() {
    let mut world = World::of(2);
    lose_first(&mut world, 4, |message| is_request(message, &Method::Bye));
    let (out, inc) = establish(&mut world, call(0, 1), 0, 1);
    world.with(0, out, |invite, now| invite.hang_up(now, None).unwrap());
    assert_eq!(world.wait_ended(1, inc).cause, Cause::RemoteBye);
    world.assert_clean();
}

#[test]
fn lost_answer_to_bye_makes_no_second_end() {
    let mut world = World::of(2);
    lose_first(&mut world, 4, |message| is_response(message, 200, &Method::Bye));
    let (out, inc) = establish(&mut world, call(0, 1), 0, 1);
    world.with(0, out, |invite, now| invite.hang_up(now, None).unwrap());
    world.wait_ended(1, inc);
    world.wait_ended(0, out);
    world.assert_clean();
    assert_eq!(world.count(0, 1, "BYE"), 5);
    assert!(world.events(1).is_empty());
}

#[test]
fn without_ack_the_call_ends_by_bye() {
    let mut world = World::of(2);
    lose_first(&mut world, usize::MAX, |message| is_request(message, &Method::Ack));
    let out = world.dial(0, call(0, 1));
    let (inc, _) = world.wait_incoming(1);
    world.with(1, inc, |invite, now| invite.accept(now, sdp("answer")).unwrap());
    let began = world.now;
    let end = world.wait_ended(1, inc);
    assert_eq!((end.cause, end.code), (Cause::Timeout, StatusCode::REQUEST_TIMEOUT));
    assert_eq!(world.now - began, Duration::from_secs(32));
    assert_eq!(world.wait_ended(0, out).cause, Cause::RemoteBye);
    world.assert_clean();
    assert_eq!(world.count(1, 0, "200"), 11, "{}", world.story());
}

#[test]
fn a_callee_that_hangs_up_before_the_ack_waits_for_it() {
    let mut world = World::of(2);
    lose_first(&mut world, 2, |message| is_request(message, &Method::Ack));
    let out = world.dial(0, call(0, 1));
    let (inc, _) = world.wait_incoming(1);
    world.with(1, inc, |invite, now| invite.accept(now, sdp("answer")).unwrap());
    world.with(1, inc, |invite, now| invite.hang_up(now, None).unwrap());
    assert_eq!(world.wait_ended(1, inc).cause, Cause::Local);
    world.run_for(Duration::from_millis(900));
    assert_eq!(world.count(1, 0, "BYE"), 0);
    assert_eq!(world.wait_ended(0, out).cause, Cause::RemoteBye);
    world.assert_clean();
}

#[test]
fn bye_before_ack_is_accepted() {
    let mut world = World::of(2);
    lose_first(&mut world, usize::MAX, |message| is_request(message, &Method::Ack));
    let out = world.dial(0, call(0, 1));
    let (inc, _) = world.wait_incoming(1);
    world.with(1, inc, |invite, now| invite.accept(now, sdp("answer")).unwrap());
    world.wait(0, |event| matches!(event, Event::Answered(..)).then_some(()));
    world.with(0, out, |invite, now| invite.hang_up(now, None).unwrap());
    assert_eq!(world.wait_ended(1, inc).cause, Cause::RemoteBye);
    let answers = world.count(1, 0, "200");
    world.run_for(Duration::from_secs(10));
    assert_eq!(world.count(1, 0, "200"), answers, "the 2xx is not sent any more");
    world.assert_clean();
}

#[test]
fn crossing_byes_are_both_answered() {
    let mut world = World::of(2);
    let (out, inc) = establish(&mut world, call(0, 1), 0, 1);
    world.with(0, out, |invite, now| invite.hang_up(now, None).unwrap());
    world.with(1, inc, |invite, now| invite.hang_up(now, None).unwrap());
    assert_eq!(world.wait_ended(0, out).cause, Cause::Local);
    assert_eq!(world.wait_ended(1, inc).cause, Cause::Local);
    world.assert_clean();
    assert_eq!((world.count(0, 1, "200"), world.count(1, 0, "200 OK")), (1, 2));
}

#[test]
fn repeated_messages_are_absorbed() {
    let mut world = World::of(2);
    world.link.duplication = 100;
    let (out, inc) = establish(&mut world, call(0, 1), 0, 1);
    world.with(0, out, |invite, now| invite.modify(now, Some(sdp("hold"))).unwrap());
    world.wait(1, |event| matches!(event, Event::Modify(..)).then_some(()));
    world.with(1, inc, |invite, now| invite.accept_modify(now, sdp("held")).unwrap());
    world.wait(0, |event| matches!(event, Event::Modified(..)).then_some(()));
    world.with(1, inc, |invite, now| invite.info(now, sdp("x")).unwrap());
    world.wait(0, |event| matches!(event, Event::Info(..)).then_some(()));
    world.with(1, inc, |invite, now| invite.hang_up(now, None).unwrap());
    world.wait_ended(0, out);
    world.wait_ended(1, inc);
    world.assert_clean();
    let progress = |event: &Event| matches!(event, Event::Progress(..));
    let (zero, one) = (world.events(0), world.events(1));
    assert!(zero.iter().all(progress) && one.is_empty(), "{zero:?} {one:?}");
}

#[test]
fn lost_refusal_is_sent_again() {
    let mut world = World::of(2);
    lose_first(&mut world, 2, |message| is_response(message, 486, &Method::Invite));
    let out = world.dial(0, call(0, 1));
    let (inc, _) = world.wait_incoming(1);
    world.with(1, inc, |invite, now| invite.reject(now, StatusCode::BUSY_HERE, None).unwrap());
    world.wait_ended(1, inc);
    assert_eq!(world.wait_ended(0, out).code, StatusCode::BUSY_HERE);
    world.assert_clean();
}

#[test]
fn a_peer_that_vanishes_in_the_middle_of_a_call_costs_64_t1() {
    let mut world = World::of(2);
    let (out, _) = establish(&mut world, call(0, 1), 0, 1);
    world.lose = Some(Box::new(|_, _, _| true));
    world.with(0, out, |invite, now| invite.hang_up(now, None).unwrap());
    world.wait_ended(0, out);
    let began = world.now;
    world.run_for(Duration::from_secs(32));
    assert_eq!(world.gauges(0).invites, 0);
    assert_eq!(world.now - began, Duration::from_secs(32));
}
