//! Where requests go: proxies, names, unreachable targets, peers behind NAT (RFC 3261 §12.2, §16, RFC 3263, RFC 3581).

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a failed test is what a panic is for"
)]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::world::{World, address, call, call_by_tcp, establish, reply, sdp, uri};
use offhook_signaling::{
    Cause, Event, FlowId, Outgoing, StatusCode, Target, Transport,
    message::{Method, Name},
};

fn udp(who: usize) -> Target {
    Target { transport: Transport::Udp, address: address(who) }
}

fn with_header(bytes: &Bytes, header: &str) -> String {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    text.replacen("Content-Length", &format!("{header}\r\nContent-Length"), 1)
}

#[test]
fn requests_of_the_caller_follow_the_recorded_route_backwards() {
    let mut world = World::of(1);
    let (first, second) = (world.add_script(), world.add_script());
    let out = world.dial(0, call(0, first));
    let invite = world.receive_request(first, Method::Invite);
    let route = format!("Record-Route: <sip:{};lr>, <sip:{};lr>", address(second), address(first));
    let ok = reply(first, &invite, 200, "x", Some("answer"));
    world.send(first, 0, with_header(&ok, &route));
    let ack = world.receive_request(first, Method::Ack);
    let routes: Vec<&str> = ack.headers.values(Name::Route).collect();
    assert_eq!(routes, [format!("<sip:{};lr>", address(first)), format!("<sip:{};lr>", address(second))]);
    assert_eq!(ack.uri, uri(&format!("sip:script@{}", address(first))));
    world.wait(0, |event| matches!(event, Event::Answered(..)).then_some(()));
    world.with(0, out, |invite, now| invite.hang_up(now, None).unwrap());
    let bye = world.receive_request(first, Method::Bye);
    assert_eq!(bye.headers.values(Name::Route).count(), 2);
    world.send(first, 0, reply(first, &bye, 200, "x", None));
    world.assert_clean();
}

#[test]
fn requests_of_the_callee_follow_the_recorded_route_and_responses_repeat_it() {
    let mut world = World::of(1);
    let (caller, proxy) = (world.add_script(), world.add_script());
    let (a, b, p) = (address(caller), address(0), address(proxy));
    let invite = format!(
        "INVITE sip:u@{b} SIP/2.0\r\nVia: SIP/2.0/UDP {p};branch=z9hG4bKp\r\nVia: SIP/2.0/UDP {a};branch=z9hG4bKa\r\n\
         Record-Route: <sip:{p};lr>\r\nMax-Forwards: 69\r\nFrom: <sip:s@{a}>;tag=script\r\nTo: <sip:u@{b}>\r\n\
         Call-ID: c\r\nCSeq: 1 INVITE\r\nContact: <sip:s@{a}>\r\nContent-Type: application/sdp\r\n\
         Content-Length: 5\r\n\r\noffer"
    );
    world.send(proxy, 0, invite);
    let (inc, _) = world.wait_incoming(0);
    world.with(0, inc, |invite, now| invite.accept(now, sdp("answer")).unwrap());
    let ok = world.receive_response(proxy);
    assert_eq!(ok.headers.all(Name::Via).count(), 2);
    assert_eq!(ok.headers.get(Name::RecordRoute), Some(format!("<sip:{p};lr>").as_str()));
    let to = ok.headers.get(Name::To).unwrap();
    let ack = format!(
        "ACK sip:u@{b} SIP/2.0\r\nVia: SIP/2.0/UDP {p};branch=z9hG4bKack\r\nFrom: <sip:s@{a}>;tag=script\r\nTo: {to}\r\n\
         Call-ID: c\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n"
    );
    world.send(proxy, 0, ack);
    world.wait(0, |event| matches!(event, Event::Confirmed(..)).then_some(()));
    world.with(0, inc, |invite, now| invite.hang_up(now, None).unwrap());
    let bye = world.receive_request(proxy, Method::Bye);
    assert_eq!(bye.uri, uri(&format!("sip:s@{a}")));
    assert_eq!(bye.headers.get(Name::Route), Some(format!("<sip:{p};lr>").as_str()));
    world.send(proxy, 0, reply(proxy, &bye, 200, "", None));
    world.assert_clean();
}

#[test]
fn an_outbound_proxy_gets_everything() {
    let mut world = World::of(1);
    let proxy = world.add_script();
    let target = uri("sip:bob@elsewhere.example");
    let destination = Some((Transport::Udp, address(proxy)));
    let out = world.dial(0, Outgoing { target, destination, ..call(0, proxy) });
    let invite = world.receive_request(proxy, Method::Invite);
    assert_eq!(invite.uri, uri("sip:bob@elsewhere.example"));
    world.send(proxy, 0, reply(proxy, &invite, 200, "x", Some("answer")));
    world.wait(0, |event| matches!(event, Event::Answered(..)).then_some(()));
    world.with(0, out, |invite, now| invite.hang_up(now, None).unwrap());
    let bye = world.receive_request(proxy, Method::Bye);
    world.send(proxy, 0, reply(proxy, &bye, 200, "x", None));
    world.assert_clean();
}

#[test]
fn names_are_asked_for_and_their_targets_tried_in_turn() {
    let mut world = World::of(2);
    let dead = world.add_script();
    world.names.insert("pbx.example".into(), vec![udp(dead), udp(1)]);
    let out = world.dial(0, Outgoing { target: uri("sip:bob@pbx.example"), ..call(0, 1) });
    world.run_for(Duration::from_millis(50));
    let now = world.now;
    world.endpoint(0).handle_unreachable(now, address(dead));
    world.flush();
    let (inc, incoming) = world.wait_incoming(1);
    assert_eq!(incoming.request_uri, uri("sip:bob@pbx.example"));
    world.with(1, inc, |invite, now| invite.accept(now, sdp("answer")).unwrap());
    world.wait(0, |event| matches!(event, Event::Answered(..)).then_some(()));
    world.with(0, out, |invite, now| invite.hang_up(now, None).unwrap());
    world.wait_ended(1, inc);
    world.assert_clean();
}

#[test]
fn a_peer_known_by_name_only_gets_its_ack_and_bye() {
    let mut world = World::of(1);
    let callee = world.add_script();
    world.names.insert("phone.example".into(), vec![udp(callee)]);
    let out = world.dial(0, call(0, callee));
    let invite = world.receive_request(callee, Method::Invite);
    let ok = reply(callee, &invite, 200, "x", Some("answer"));
    let ok = String::from_utf8(ok.to_vec()).unwrap();
    let ok = ok.replace(&format!("<sip:script@{}>", address(callee)), "<sip:script@phone.example>");
    world.send(callee, 0, ok.clone());
    assert_eq!(world.receive_request(callee, Method::Ack).uri, uri("sip:script@phone.example"));
    world.send(callee, 0, ok);
    world.receive_request(callee, Method::Ack);
    world.with(0, out, |invite, now| invite.hang_up(now, None).unwrap());
    let bye = world.receive_request(callee, Method::Bye);
    world.send(callee, 0, reply(callee, &bye, 200, "x", None));
    world.assert_clean();
}

#[test]
fn a_name_that_does_not_exist_ends_the_call() {
    let mut world = World::of(1);
    let out = world.dial(0, Outgoing { target: uri("sip:bob@nowhere.example"), ..call(0, 1) });
    let end = world.wait_ended(0, out);
    assert_eq!((end.cause, end.code), (Cause::Unreachable, StatusCode::SERVICE_UNAVAILABLE));
    world.assert_clean();
}

#[test]
fn a_question_without_answer_ends_the_call_after_a_while() {
    let mut world = World::of(1);
    let now = world.now;
    let out = world.endpoint(0).dial(now, Outgoing { target: uri("sip:bob@slow.example"), ..call(0, 1) });
    let question = world.endpoint(0).poll_question().unwrap();
    assert_eq!(
        (question.host.as_str(), question.port, question.transport),
        ("slow.example", None, Transport::Udp)
    );
    assert_eq!(world.wait_ended(0, out).cause, Cause::Unreachable);
    assert_eq!(world.now - now, Duration::from_secs(32));
    let now = world.now;
    world.endpoint(0).handle_route(now, question.id, &[udp(1)]);
    world.flush();
    world.assert_clean();
    assert!(world.log.is_empty());
}

#[test]
fn targets_we_cannot_speak_to_end_the_call() {
    for target in ["tel:+123", "sip:bob@10.0.0.2;transport=sctp"] {
        let mut world = World::of(1);
        let out = world.dial(0, Outgoing { target: uri(target), ..call(0, 1) });
        assert_eq!(world.wait_ended(0, out).cause, Cause::Unreachable, "{target}");
        world.assert_clean();
    }
}

#[test]
fn what_cannot_be_delivered_ends_the_call_at_once() {
    let mut world = World::of(1);
    world.add_script();
    let out = world.dial(0, call(0, 1));
    let now = world.now;
    world.endpoint(0).handle_unreachable(now, address(1));
    world.flush();
    assert_eq!(world.wait_ended(0, out).cause, Cause::Unreachable);
    assert_eq!(world.now, now);
    world.assert_clean();
}

#[test]
fn a_connection_that_closes_before_the_answer_ends_the_call() {
    let mut world = World::of(1);
    world.add_script();
    let destination = Some((Transport::Tcp, address(1)));
    let out = world.dial(0, Outgoing { destination, flow: Some(FlowId(9)), ..call_by_tcp(0, 1) });
    let now = world.now;
    world.endpoint(0).handle_flow_closed(now, FlowId(9));
    world.flush();
    assert_eq!(world.wait_ended(0, out).cause, Cause::Unreachable);
    world.assert_clean();
}

#[test]
fn a_call_survives_the_loss_of_its_connection() {
    let mut world = World::of(2);
    let (out, inc) = establish(&mut world, call_by_tcp(0, 1), 0, 1);
    let now = world.now;
    for who in 0..2 {
        for flow in 1..5 {
            world.endpoint(who).handle_flow_closed(now, FlowId(flow));
        }
    }
    world.flush();
    world.with(1, inc, |invite, now| invite.hang_up(now, None).unwrap());
    assert_eq!(world.wait_ended(0, out).cause, Cause::RemoteBye);
    world.assert_clean();
}

#[test]
fn a_caller_behind_nat_is_reached_where_it_sends_from() {
    let mut world = World::of(1);
    let caller = world.add_script();
    let b = address(0);
    let invite = format!(
        "INVITE sip:u@{b} SIP/2.0\r\nVia: SIP/2.0/UDP 192.168.1.5:5060;branch=z9hG4bKn;rport\r\nMax-Forwards: 70\r\n\
         From: <sip:s@192.168.1.5>;tag=script\r\nTo: <sip:u@{b}>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:s@192.168.1.5:5060>\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\noffer"
    );
    world.send(caller, 0, invite);
    let (inc, _) = world.wait_incoming(0);
    world.with(0, inc, |invite, now| invite.accept(now, sdp("answer")).unwrap());
    let ok = world.receive_response(caller);
    let via = ok.headers.via().unwrap();
    assert_eq!((via.rport(), via.received()), (Some(5060), Some(address(caller).ip())));
    let to = ok.headers.get(Name::To).unwrap();
    let ack = format!(
        "ACK sip:u@{b} SIP/2.0\r\nVia: SIP/2.0/UDP 192.168.1.5:5060;branch=z9hG4bKo;rport\r\n\
         From: <sip:s@192.168.1.5>;tag=script\r\nTo: {to}\r\nCall-ID: c\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n"
    );
    world.send(caller, 0, ack);
    world.wait(0, |event| matches!(event, Event::Confirmed(..)).then_some(()));
    world.with(0, inc, |invite, now| invite.hang_up(now, None).unwrap());
    let bye = world.receive_request(caller, Method::Bye);
    assert_eq!(bye.uri, uri("sip:s@192.168.1.5:5060"));
    world.send(caller, 0, reply(caller, &bye, 200, "", None));
    world.assert_clean();
}
