//! CANCEL and its races (RFC 3261 §9, RFC 5407 §3).
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a failed test is what a panic is for"
)]

mod common;

use std::time::Duration;

use common::world::{World, address, call, call_by_tcp, reply, sdp, uri};
use offhook_signaling::{
    Cause, Event, NameAddr, Outgoing, StatusCode, Target, Transport,
    message::{Message, Method, Name},
};

#[test]
fn caller_gives_up_while_it_rings() {
    for outgoing in [call(0, 1), call_by_tcp(0, 1)] {
        let mut world = World::of(2);
        let out = world.dial(0, outgoing);
        let (inc, _) = world.wait_incoming(1);
        world.with(1, inc, |invite, now| invite.ring(now, StatusCode::RINGING, None).unwrap());
        world.wait(0, |event| matches!(event, Event::Progress(..)).then_some(()));
        world.with(0, out, |invite, now| invite.hang_up(now, None).unwrap());
        let end = world.wait_ended(0, out);
        assert_eq!((end.cause, end.code), (Cause::Local, StatusCode::REQUEST_TERMINATED));
        let end = world.wait_ended(1, inc);
        assert_eq!((end.cause, end.code), (Cause::RemoteCancel, StatusCode::REQUEST_TERMINATED));
        world.assert_clean();
        assert_eq!(
            (world.count(0, 1, "CANCEL"), world.count(1, 0, "487"), world.count(0, 1, "ACK")),
            (1, 1, 1)
        );
    }
}

#[test]
fn the_reason_of_a_cancel_is_told() {
    let mut world = World::of(2);
    let out = world.dial(0, call(0, 1));
    let (inc, _) = world.wait_incoming(1);
    world.run_for(Duration::from_secs(1));
    world.with(0, out, |invite, now| invite.hang_up(now, StatusCode::new(200)).unwrap());
    assert_eq!(world.wait_ended(1, inc).reason, "OK");
    world.wait_ended(0, out);
    world.assert_clean();
}

#[test]
fn cancel_waits_for_a_provisional_response() {
    let mut world = World::of(1);
    let callee = world.add_script();
    let out = world.dial(0, call(0, callee));
    let invite = world.receive_request(callee, Method::Invite);
    world.with(0, out, |invite, now| invite.hang_up(now, None).unwrap());
    world.wait_ended(0, out);
    world.run_for(Duration::from_millis(400));
    assert_eq!(world.count(0, callee, "CANCEL"), 0);
    world.send(callee, 0, reply(callee, &invite, 180, "x", None));
    let cancel = world.receive_request(callee, Method::Cancel);
    assert_eq!(cancel.headers.get(Name::Via), invite.headers.get(Name::Via));
    assert_eq!(cancel.headers.get(Name::CallId), invite.headers.get(Name::CallId));
    assert_eq!(cancel.headers.cseq().unwrap().sequence, invite.headers.cseq().unwrap().sequence);
    world.send(callee, 0, reply(callee, &cancel, 200, "x", None));
    world.send(callee, 0, reply(callee, &invite, 487, "x", None));
    world.receive_request(callee, Method::Ack);
    world.assert_clean();
}

#[test]
fn cancel_crosses_200() {
    let mut world = World::of(2);
    let out = world.dial(0, call(0, 1));
    let (inc, _) = world.wait_incoming(1);
    world.with(1, inc, |invite, now| invite.ring(now, StatusCode::RINGING, None).unwrap());
    world.wait(0, |event| matches!(event, Event::Progress(..)).then_some(()));
    // Both at the same instant.
    world.with(0, out, |invite, now| invite.hang_up(now, None).unwrap());
    world.with(1, inc, |invite, now| invite.accept(now, sdp("answer")).unwrap());
    let end = world.wait_ended(0, out);
    assert_eq!(end.cause, Cause::Local);
    world.wait(1, |event| matches!(event, Event::Confirmed(..)).then_some(()));
    assert_eq!(world.wait_ended(1, inc).cause, Cause::RemoteBye);
    world.assert_clean();
    assert!(world.events(0).is_empty(), "after its end a call is silent");
    assert_eq!((world.count(0, 1, "ACK"), world.count(0, 1, "BYE"), world.count(1, 0, "487")), (1, 1, 0));
}

#[test]
fn a_callee_that_ignores_cancel_is_given_up() {
    let mut world = World::of(1);
    let callee = world.add_script();
    let out = world.dial(0, call(0, callee));
    let invite = world.receive_request(callee, Method::Invite);
    world.send(callee, 0, reply(callee, &invite, 180, "x", None));
    world.wait(0, |event| matches!(event, Event::Progress(..)).then_some(()));
    world.with(0, out, |invite, now| invite.hang_up(now, None).unwrap());
    world.wait_ended(0, out);
    world.assert_clean();
}

#[test]
fn nobody_answers_and_the_call_rings_out() {
    let mut world = World::of(2);
    let out = world.dial(0, Outgoing { ring_timeout: Some(Duration::from_secs(20)), ..call(0, 1) });
    let (inc, _) = world.wait_incoming(1);
    world.with(1, inc, |invite, now| invite.ring(now, StatusCode::RINGING, None).unwrap());
    let began = world.now;
    let end = world.wait_ended(0, out);
    assert_eq!((end.cause, end.code), (Cause::Timeout, StatusCode::REQUEST_TIMEOUT));
    assert!(world.now - began >= Duration::from_secs(19) && world.now - began < Duration::from_secs(21));
    assert_eq!(world.wait_ended(1, inc).cause, Cause::RemoteCancel);
    world.assert_clean();
}

#[test]
fn a_cancelled_call_is_not_cancelled_again_when_its_ringing_would_end() {
    let mut world = World::of(1);
    let callee = world.add_script();
    let out = world.dial(0, Outgoing { ring_timeout: Some(Duration::from_secs(3)), ..call(0, callee) });
    let invite = world.receive_request(callee, Method::Invite);
    world.with(0, out, |invite, now| invite.hang_up(now, None).unwrap());
    world.send(callee, 0, reply(callee, &invite, 180, "x", None));
    let cancel = world.receive_request(callee, Method::Cancel);
    world.send(callee, 0, reply(callee, &cancel, 200, "x", None));
    world.send(callee, 0, reply(callee, &invite, 180, "x", None));
    world.assert_clean();
    assert_eq!(world.count(0, callee, "CANCEL"), 1);
}

#[test]
fn silence_ends_after_64_t1() {
    let mut world = World::of(1);
    let nobody = world.add_script();
    let out = world.dial(0, call(0, nobody));
    let began = world.now;
    let end = world.wait_ended(0, out);
    assert_eq!((end.cause, end.code), (Cause::Timeout, StatusCode::REQUEST_TIMEOUT));
    assert_eq!(world.now - began, Duration::from_secs(32));
    assert_eq!(world.count(0, nobody, "INVITE"), 7);
    world.assert_clean();
}

#[test]
fn hanging_up_while_the_name_is_sought_sends_nothing() {
    let mut world = World::of(1);
    world.names.insert("late.example".into(), Vec::new());
    let now = world.now;
    let target = uri("sip:x@late.example");
    let out = world.endpoint(0).dial(now, Outgoing::new(target, NameAddr::new(uri("sip:a@b"))));
    // The question is asked, but hang_up comes before its answer.
    world.endpoint(0).invite(out).unwrap().hang_up(now, None).unwrap();
    let question = world.endpoint(0).poll_question().unwrap();
    let target = Target { transport: Transport::Udp, address: address(1) };
    world.endpoint(0).handle_route(now, question.id, &[target]);
    world.flush();
    assert_eq!(world.wait_ended(0, out).cause, Cause::Local);
    world.assert_clean();
    assert!(world.log.is_empty());
}

#[test]
fn cancel_after_our_answer_changes_nothing() {
    let mut world = World::of(1);
    let caller = world.add_script();
    let invite = script_invite(caller, 0);
    world.send(caller, 0, invite.clone());
    let (inc, _) = world.wait_incoming(0);
    world.with(0, inc, |invite, now| invite.accept(now, sdp("answer")).unwrap());
    let answer = world.receive_response(caller);
    world.send(caller, 0, invite.replace("INVITE", "CANCEL"));
    let to_cancel = loop {
        let response = world.receive_response(caller);
        if response.headers.cseq().unwrap().method == Method::Cancel {
            break response;
        }
    };
    assert_eq!(to_cancel.status, StatusCode::OK);
    assert!(world.endpoint(0).invite(inc).is_some());
    let to = answer.headers.get(Name::To).unwrap();
    world.send(caller, 0, script_request(caller, 0, "ACK", 1, to));
    world.wait(0, |event| matches!(event, Event::Confirmed(..)).then_some(()));
    world.send(caller, 0, script_request(caller, 0, "BYE", 2, to));
    assert_eq!(world.wait_ended(0, inc).cause, Cause::RemoteBye);
    world.assert_clean();
}

#[test]
fn cancel_without_its_invite_is_answered_481() {
    let mut world = World::of(1);
    let caller = world.add_script();
    world.send(caller, 0, script_invite(caller, 0).replace("INVITE", "CANCEL"));
    assert_eq!(world.receive_response(caller).status, StatusCode::CALL_DOES_NOT_EXIST);
    world.assert_clean();
}

#[test]
fn a_caller_may_end_an_early_dialog_by_bye() {
    let mut world = World::of(1);
    let caller = world.add_script();
    world.send(caller, 0, script_invite(caller, 0));
    let (inc, _) = world.wait_incoming(0);
    world.with(0, inc, |invite, now| invite.ring(now, StatusCode::RINGING, None).unwrap());
    let ringing = world.receive_response(caller);
    world.send(caller, 0, script_request(caller, 0, "BYE", 2, ringing.headers.get(Name::To).unwrap()));
    assert_eq!(world.wait_ended(0, inc).cause, Cause::RemoteBye);
    world.run_for(Duration::from_millis(100));
    let codes: Vec<u16> = world
        .inbox(caller)
        .iter()
        .filter_map(|message| match message {
            Message::Response(response) => Some(response.status.code()),
            Message::Request(_) => None,
        })
        .collect();
    assert!(codes.contains(&200) && codes.contains(&487));
    world.assert_clean();
}

fn script_invite(from: usize, to: usize) -> String {
    let (a, b) = (address(from), address(to));
    format!(
        "INVITE sip:u@{b} SIP/2.0\r\nVia: SIP/2.0/UDP {a};branch=z9hG4bKscript1\r\nMax-Forwards: 70\r\n\
         From: <sip:s@{a}>;tag=script\r\nTo: <sip:u@{b}>\r\nCall-ID: script-call\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:s@{a}>\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\noffer"
    )
}

fn script_request(from: usize, to: usize, method: &str, sequence: u32, to_header: &str) -> String {
    let (a, b) = (address(from), address(to));
    format!(
        "{method} sip:u@{b} SIP/2.0\r\nVia: SIP/2.0/UDP {a};branch=z9hG4bK{method}{sequence}\r\nMax-Forwards: 70\r\n\
         From: <sip:s@{a}>;tag=script\r\nTo: {to_header}\r\nCall-ID: script-call\r\nCSeq: {sequence} {method}\r\n\
         Contact: <sip:s@{a}>\r\nContent-Length: 0\r\n\r\n"
    )
}
