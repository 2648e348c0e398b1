//! Requests that no call is made of, or not yet, or not any more (RFC 3261 §8.2).

#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a failed test is what a panic is for"
)]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::world::{Dice, World, address, call, config, establish, sdp};
use offhook_signaling::{
    Config, Event, StatusCode,
    message::{Message, Method, Name, Response},
};

fn request(method: &str, n: u32, to_tag: &str, extra: &str) -> String {
    let (here, there) = (address(1), address(0));
    format!(
        "{method} sip:u@{there} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{n}\r\n\
         From: <sip:s@{here}>;tag=script\r\nTo: <sip:u@{there}>{to_tag}\r\nCall-ID: call-{n}\r\nCSeq: {n} {method}\r\n\
         {extra}Content-Length: 0\r\n\r\n"
    )
}

fn ask(world: &mut World, text: String) -> Response {
    world.send(1, 0, text);
    world.receive_response(1)
}

fn with_script() -> World {
    let mut world = World::of(1);
    world.add_script();
    world
}

#[test]
fn options_tell_what_we_can() {
    let mut world = with_script();
    let response = ask(&mut world, request("OPTIONS", 1, "", ""));
    assert_eq!(response.status, StatusCode::OK);
    assert!(response.headers.has_token(Name::Allow, "INVITE"));
    assert!(response.headers.has_token(Name::Accept, "application/sdp"));
    assert!(response.headers.to_tag().is_some());
    world.assert_clean();
    assert_eq!(world.gauges(0).timers, 0);
}

#[test]
fn each_strange_request_gets_its_refusal() {
    let mut world = with_script();
    let contact = "Contact: <sip:s@10.0.0.2>\r\n";
    let hops = format!("{contact}Max-Forwards: 0\r\n");
    let require = format!("{contact}Require: 100rel, teleport\r\n");
    for (n, (method, to_tag, extra, code)) in [
        ("BYE", "", "", 481),
        ("BYE", ";tag=unknown", "", 481),
        ("INFO", ";tag=unknown", "", 481),
        ("INVITE", ";tag=unknown", contact, 481),
        ("UPDATE", "", "", 481),
        ("PRACK", "", "", 481),
        ("NOTIFY", "", "", 481),
        ("MESSAGE", "", "", 405),
        ("REFER", "", "", 405),
        ("SUBSCRIBE", "", "", 405),
        ("PUBLISH", "", "", 405),
        ("FLY", "", "", 501),
        ("FLY", ";tag=unknown", "", 481),
        ("INVITE", "", hops.as_str(), 483),
        ("INVITE", "", require.as_str(), 420),
        ("INVITE", "", "", 400),
        ("REGISTER", "", "", 401),
    ]
    .into_iter()
    .enumerate()
    {
        let n = u32::try_from(n).unwrap() + 1;
        let response = ask(&mut world, request(method, n, to_tag, extra));
        assert_eq!(response.status.code(), code, "{method} {to_tag} {extra}");
        assert_eq!(response.headers.has(Name::Allow), code == 405 || code == 501);
        if code == 420 {
            assert_eq!(response.headers.get(Name::Unsupported), Some("100rel, teleport"));
        }
        if method == "INVITE" && to_tag.is_empty() {
            // Refused without state: the ACK of it concerns nobody.
            let tag = format!(";tag={}", response.headers.to_tag().unwrap());
            world.send(1, 0, request("ACK", n, &tag, ""));
        }
    }
    world.assert_clean();
    assert!(world.events(0).is_empty());
}

#[test]
fn schemes_that_are_no_telephone_are_refused() {
    let mut world = with_script();
    let text = request("INVITE", 1, "", "Contact: <sip:s@10.0.0.2>\r\n");
    let text = text.replacen(&format!("sip:u@{}", address(0)), "https://example.com", 1);
    assert_eq!(ask(&mut world, text).status, StatusCode::UNSUPPORTED_URI_SCHEME);
}

#[test]
fn the_same_refusal_comes_again_when_it_was_lost() {
    let mut world = with_script();
    let first = ask(&mut world, request("BYE", 1, "", ""));
    assert_eq!(ask(&mut world, request("BYE", 1, "", "")), first);
}

#[test]
fn a_merged_request_is_refused() {
    let mut world = with_script();
    let invite = request("INVITE", 1, "", "Contact: <sip:s@10.0.0.2>\r\n");
    world.send(1, 0, invite.clone());
    world.wait_incoming(0);
    let by_another_way = invite.replace("z9hG4bK1", "z9hG4bKother");
    assert_eq!(ask(&mut world, by_another_way).status, StatusCode::LOOP_DETECTED);
    assert_eq!(world.gauges(0).invites, 1);
}

#[test]
fn a_repeated_invite_is_answered_by_its_transaction() {
    let mut world = with_script();
    let invite = request("INVITE", 1, "", "Contact: <sip:s@10.0.0.2>\r\n");
    for _ in 0..5 {
        world.send(1, 0, invite.clone());
        world.run_for(Duration::from_millis(100));
    }
    assert_eq!(world.count(0, 1, "100"), 5);
    let (inc, _) = world.wait_incoming(0);
    world.with(0, inc, |invite, now| invite.ring(now, StatusCode::RINGING, None).unwrap());
    world.send(1, 0, invite);
    world.run_for(Duration::from_millis(100));
    assert_eq!(world.count(0, 1, "180"), 2);
    assert!(world.events(0).is_empty());
}

#[test]
fn too_many_calls_are_told_to_come_later() {
    let mut world = World::new();
    world.add(Config { max_invites: 3, ..config(0) });
    world.add_script();
    for n in 1..=10 {
        world.send(1, 0, request("INVITE", n, "", "Contact: <sip:s@10.0.0.2>\r\n"));
    }
    world.run_for(Duration::from_secs(1));
    assert_eq!((world.gauges(0).invites, world.gauges(0).server_transactions), (3, 3));
    assert_eq!(world.count(0, 1, "503"), 7);
    let told = world.inbox(1).into_iter().filter_map(|message| match message {
        Message::Response(response) if response.status.code() == 503 => response.headers.retry_after(),
        _ => None,
    });
    assert_eq!(told.count(), 7);
}

#[test]
fn a_stranger_cannot_touch_a_call() {
    let mut world = World::of(2);
    let (out, _) = establish(&mut world, call(0, 1), 0, 1);
    let script = world.add_script();
    let call_id = world.endpoint(0).invite(out).unwrap().call_id().to_owned();
    let (here, there) = (address(script), address(0));
    for method in ["BYE", "INVITE", "UPDATE", "INFO"] {
        world.send(
            script,
            0,
            format!(
                "{method} sip:u@{there} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{method}\r\n\
                 From: <sip:s@{here}>;tag=guess\r\nTo: <sip:u@{there}>;tag=guess\r\nCall-ID: {call_id}\r\n\
                 CSeq: 100 {method}\r\nContact: <sip:s@{here}>\r\nContent-Length: 0\r\n\r\n"
            ),
        );
        assert_eq!(world.receive_response(script).status, StatusCode::CALL_DOES_NOT_EXIST);
    }
    assert!(world.endpoint(0).invite(out).is_some());
}

#[test]
fn what_cannot_be_read_is_refused_or_dropped() {
    let mut world = with_script();
    let broken = request("OPTIONS", 1, "", "").replace("CSeq: 1 OPTIONS", "CSeq: one OPTIONS");
    world.send(1, 0, broken);
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.count(0, 1, "400"), 1);
    let future = request("OPTIONS", 2, "", "").replacen("SIP/2.0", "SIP/7.0", 1);
    assert_eq!(ask(&mut world, future).status, StatusCode::VERSION_NOT_SUPPORTED);
    assert_eq!(world.gauges(0).dropped_messages, 2);
    world.send(1, 0, "GET / HTTP/1.1\r\n\r\n");
    world.send(1, 0, vec![0u8; 100]);
    world.send(1, 0, vec![b'a'; 70_000]);
    world.send(1, 0, "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP x;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n\r\n");
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.gauges(0).dropped_messages, 6);
    // Keep-alives are no fault.
    world.send(1, 0, "\r\n\r\n");
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.gauges(0).dropped_messages, 6);
    assert!(world.inbox(1).is_empty());
}

/// Messages of a real call, with bytes changed, dropped and doubled, in the middle of a real call.
#[test]
fn mutated_messages_neither_panic_nor_stay() {
    let mut seen: Vec<Bytes> = Vec::new();
    let mut world = World::of(2);
    let recorded = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let tape = std::rc::Rc::clone(&recorded);
    world.lose = Some(Box::new(move |_, _, message| {
        tape.borrow_mut().push(message.to_bytes());
        false
    }));
    let (out, inc) = establish(&mut world, call(0, 1), 0, 1);
    world.with(0, out, |invite, now| invite.modify(now, Some(sdp("hold"))).unwrap());
    world.wait(1, |event| matches!(event, Event::Modify(..)).then_some(()));
    world.with(1, inc, |invite, now| invite.accept_modify(now, sdp("held")).unwrap());
    world.wait(0, |event| matches!(event, Event::Modified(..)).then_some(()));
    world.with(1, inc, |invite, now| invite.info(now, sdp("x")).unwrap());
    world.run_for(Duration::from_secs(1));
    seen.extend(recorded.borrow().iter().cloned());
    seen.push(request("REGISTER", 9, "", "Contact: *\r\nExpires: 0\r\n").into());
    seen.push(request("CANCEL", 9, "", "").into());
    world.lose = None;
    let script = world.add_script();
    let mut dice = Dice(42);
    for _ in 0..20_000 {
        let mut bytes = seen[usize::try_from(dice.roll(seen.len() as u64)).unwrap()].to_vec();
        for _ in 0..=dice.roll(4) {
            let at = usize::try_from(dice.roll(bytes.len() as u64)).unwrap();
            match dice.roll(4) {
                0 => bytes[at] = u8::try_from(dice.roll(256)).unwrap(),
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, b"\r\n;,\"<>@:= 0"[usize::try_from(dice.roll(12)).unwrap()]),
                _ => bytes.truncate(at + 1),
            }
            if bytes.is_empty() {
                bytes.push(b' ');
            }
        }
        let to = usize::try_from(dice.roll(2)).unwrap();
        world.send(script, to, bytes);
        if dice.roll(20) == 0 {
            world.run_for(Duration::from_millis(50));
            world.inbox(script);
        }
    }
    world.run_for(Duration::from_millis(50));
    let mut left = Vec::new();
    for who in 0..2 {
        for event in world.events(who) {
            if let Event::Incoming(id, _) = event {
                left.push((who, id));
            }
        }
    }
    left.extend([(0, out), (1, inc)]);
    for (who, id) in left {
        let now = world.now;
        if let Some(mut invite) = world.endpoint(who).invite(id) {
            invite.hang_up(now, None).unwrap();
        }
    }
    world.flush();
    world.assert_clean();
    assert_eq!(
        world.inbox(script).iter().filter(|m| m.headers().cseq().unwrap().method == Method::Ack).count(),
        0
    );
}
