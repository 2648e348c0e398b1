//! A call from INVITE to BYE, in both directions and over both transports.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a failed test is what a panic is for"
)]

mod common;

use std::time::Duration;

use common::world::{World, call, call_by_tcp, establish, sdp};
use offhook_signaling::{Cause, Direction, Event, InviteError, Outgoing, StatusCode, message::Body};

fn rings_is_answered_and_ends(outgoing: Outgoing, caller_ends: bool) {
    let mut world = World::of(2);
    let out = world.dial(0, outgoing);
    let (inc, incoming) = world.wait_incoming(1);
    assert_eq!(incoming.body, Some(sdp("offer")));
    assert_eq!(incoming.request_uri.user.as_deref(), Some("user1"));
    assert_eq!(incoming.from.uri.user.as_deref(), Some("user0"));
    let call_id = incoming.call_id;
    world.with(0, out, |invite, _| {
        assert_eq!((invite.direction(), invite.call_id()), (Direction::Outgoing, call_id.as_str()));
    });
    world.with(1, inc, |invite, now| invite.ring(now, StatusCode::RINGING, None).unwrap());
    let progress = world.wait(0, |event| match event {
        Event::Progress(id, progress) if *id == out => Some(progress.clone()),
        _ => None,
    });
    assert_eq!((progress.code, progress.body), (StatusCode::RINGING, None));
    world.with(1, inc, |invite, now| invite.accept(now, sdp("answer")).unwrap());
    let answered = world.wait(0, |event| match event {
        Event::Answered(id, answered) if *id == out => Some(answered.clone()),
        _ => None,
    });
    assert_eq!(
        (answered.body, answered.is_offer, answered.early),
        (Some(sdp("answer")), false, progress.early)
    );
    let confirmed: Option<Body> = world.wait(1, |event| match event {
        Event::Confirmed(id, body) if *id == inc => Some(body.clone()),
        _ => None,
    });
    assert_eq!(confirmed, None);
    assert_eq!(world.gauges(0).dialogs, 1);
    let ((ender, ended), (other, left)) =
        if caller_ends { ((0, out), (1, inc)) } else { ((1, inc), (0, out)) };
    world.with(ender, ended, |invite, now| invite.hang_up(now, None).unwrap());
    assert_eq!(world.wait_ended(ender, ended).cause, Cause::Local);
    let end = world.wait_ended(other, left);
    assert_eq!((end.cause, end.code), (Cause::RemoteBye, StatusCode::OK));
    world.assert_clean();
    assert!(world.events(0).is_empty() && world.events(1).is_empty());
}

#[test]
fn caller_hangs_up() {
    rings_is_answered_and_ends(call(0, 1), true);
}

#[test]
fn callee_hangs_up() {
    rings_is_answered_and_ends(call(0, 1), false);
}

#[test]
fn over_tcp_in_both_directions() {
    rings_is_answered_and_ends(call_by_tcp(0, 1), true);
    rings_is_answered_and_ends(call_by_tcp(0, 1), false);
}

#[test]
fn an_endpoint_calls_itself() {
    let mut world = World::of(1);
    let (out, inc) = establish(&mut world, call(0, 0), 0, 0);
    world.with(0, inc, |invite, now| invite.modify(now, Some(sdp("hold"))).unwrap());
    world.wait(0, |event| matches!(event, Event::Modify(id, _) if *id == out).then_some(()));
    world.with(0, out, |invite, now| invite.accept_modify(now, sdp("held")).unwrap());
    world.wait(0, |event| matches!(event, Event::Modified(id, _) if *id == inc).then_some(()));
    world.with(0, out, |invite, now| invite.hang_up(now, None).unwrap());
    world.wait_ended(0, inc);
    world.wait_ended(0, out);
    world.assert_clean();
}

#[test]
fn a_call_without_loss_takes_as_many_messages_as_the_book_says() {
    let mut world = World::of(2);
    let (out, _) = establish(&mut world, call(0, 1), 0, 1);
    world.with(0, out, |invite, now| invite.hang_up(now, None).unwrap());
    world.run_out();
    let lines: Vec<&str> = world.log.iter().map(|(_, _, line)| line.split(' ').next().unwrap()).collect();
    assert_eq!(lines, ["INVITE", "100", "180", "200", "ACK", "BYE", "200"]);
}

#[test]
fn an_answered_request_only_lingers() {
    let mut world = World::of(2);
    let (out, inc) = establish(&mut world, call(0, 1), 0, 1);
    world.with(0, out, |invite, now| invite.hang_up(now, None).unwrap());
    assert_eq!(world.endpoint(0).open_requests(), 1);
    world.wait_ended(1, inc);
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.endpoint(0).open_requests(), 0);
    assert!(world.gauges(0).client_transactions > 0);
    world.assert_clean();
}

#[test]
fn early_media_is_told_with_its_body() {
    let mut world = World::of(2);
    let out = world.dial(0, call(0, 1));
    let (inc, _) = world.wait_incoming(1);
    world.with(1, inc, |invite, now| {
        invite.ring(now, StatusCode::SESSION_PROGRESS, Some(sdp("preview"))).unwrap();
    });
    let progress = world.wait(0, |event| match event {
        Event::Progress(id, progress) if *id == out => Some(progress.clone()),
        _ => None,
    });
    assert_eq!(progress.body, Some(sdp("preview")));
    world.with(1, inc, |invite, now| invite.reject(now, StatusCode::BUSY_HERE, None).unwrap());
    let end = world.wait_ended(0, out);
    assert_eq!(
        (end.cause, end.code, end.reason.as_str()),
        (Cause::Rejected, StatusCode::BUSY_HERE, "Busy Here")
    );
    assert_eq!(world.wait_ended(1, inc).cause, Cause::Local);
    world.assert_clean();
}

#[test]
fn a_refusal_carries_its_own_words() {
    let mut world = World::of(2);
    let out = world.dial(0, call(0, 1));
    let (inc, _) = world.wait_incoming(1);
    world.with(1, inc, |invite, now| {
        invite.reject(now, StatusCode::NOT_FOUND, Some("No such extension".into())).unwrap();
    });
    assert_eq!(world.wait_ended(0, out).reason, "No such extension");
    assert_eq!(world.wait_ended(1, inc).code, StatusCode::NOT_FOUND);
    world.assert_clean();
}

#[test]
fn commands_that_do_not_fit_change_nothing() {
    let mut world = World::of(2);
    let out = world.dial(0, call(0, 1));
    let (inc, _) = world.wait_incoming(1);
    world.with(0, out, |invite, now| {
        assert_eq!(invite.accept(now, sdp("x")), Err(InviteError::WrongState));
        assert_eq!(invite.modify(now, None), Err(InviteError::WrongState));
        assert_eq!(invite.info(now, sdp("x")), Err(InviteError::WrongState));
        assert_eq!(invite.acknowledge(now, None), Err(InviteError::WrongState));
    });
    world.with(1, inc, |invite, now| {
        assert_eq!(invite.ring(now, StatusCode::OK, None), Err(InviteError::WrongState));
        assert_eq!(invite.ring(now, StatusCode::TRYING, None), Err(InviteError::WrongState));
        assert_eq!(invite.reject(now, StatusCode::OK, None), Err(InviteError::WrongState));
        invite.hang_up(now, None).unwrap();
        assert_eq!(invite.hang_up(now, None), Err(InviteError::Gone));
    });
    assert_eq!(world.wait_ended(0, out).code, StatusCode::TEMPORARILY_UNAVAILABLE);
    let now = world.now;
    assert!(world.endpoint(0).invite(out).is_none());
    assert_eq!(world.endpoint(1).gauges().invites, 0);
    assert!(now > world.now - Duration::from_secs(1));
    world.wait_ended(1, inc);
    world.assert_clean();
}

#[test]
fn a_provisional_response_is_repeated_every_minute() {
    let mut world = World::of(2);
    let out = world.dial(0, Outgoing { ring_timeout: Some(Duration::from_secs(600)), ..call(0, 1) });
    let (inc, _) = world.wait_incoming(1);
    world.with(1, inc, |invite, now| invite.ring(now, StatusCode::RINGING, None).unwrap());
    world.run_for(Duration::from_secs(190));
    assert_eq!(world.count(1, 0, "180"), 4);
    world.with(0, out, |invite, now| invite.hang_up(now, None).unwrap());
    world.run_out();
}
