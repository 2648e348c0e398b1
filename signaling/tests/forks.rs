//! One INVITE, several callees (RFC 3261 §12.1, §13.2.2.4).
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a failed test is what a panic is for"
)]

mod common;

use std::time::Duration;

use common::world::{World, call, reply, sdp};
use offhook_signaling::{
    Answered, Event, Progress, StatusCode,
    message::{Message, Method, Request},
};

fn progress(world: &mut World) -> Progress {
    world.wait(0, |event| match event {
        Event::Progress(_, progress) => Some(progress.clone()),
        _ => None,
    })
}

fn answered(world: &mut World) -> Answered {
    world.wait(0, |event| match event {
        Event::Answered(_, answered) => Some(answered.clone()),
        _ => None,
    })
}

fn to_tag(request: &Request) -> String {
    request.headers.to_tag().unwrap_or_default().to_owned()
}

#[test]
fn fork_two_early_dialogs() {
    let mut world = World::of(1);
    let callee = world.add_script();
    let out = world.dial(0, call(0, callee));
    let invite = world.receive_request(callee, Method::Invite);
    world.send(callee, 0, reply(callee, &invite, 183, "one", Some("preview one")));
    world.send(callee, 0, reply(callee, &invite, 180, "two", None));
    world.send(callee, 0, reply(callee, &invite, 183, "two", Some("preview two")));
    let (first, second, third) = (progress(&mut world), progress(&mut world), progress(&mut world));
    assert_eq!(first.body, Some(sdp("preview one")));
    assert_ne!(first.early, second.early);
    assert_eq!((second.early, second.body), (third.early, None));
    assert_eq!(world.gauges(0).dialogs, 2);
    world.send(callee, 0, reply(callee, &invite, 200, "two", Some("answer")));
    let answer = answered(&mut world);
    assert_eq!((answer.early, answer.body), (second.early, Some(sdp("answer"))));
    assert_eq!(world.gauges(0).dialogs, 1);
    let ack = world.receive_request(callee, Method::Ack);
    assert_eq!(to_tag(&ack), "two");
    world.with(0, out, |invite, now| invite.hang_up(now, None).unwrap());
    let bye = world.receive_request(callee, Method::Bye);
    assert_eq!(to_tag(&bye), "two");
    world.send(callee, 0, reply(callee, &bye, 200, "", None));
    world.assert_clean();
}

#[test]
fn a_2xx_of_an_unknown_callee_is_a_new_dialog() {
    let mut world = World::of(1);
    let callee = world.add_script();
    world.dial(0, call(0, callee));
    let invite = world.receive_request(callee, Method::Invite);
    world.send(callee, 0, reply(callee, &invite, 180, "one", None));
    let early = progress(&mut world).early;
    world.send(callee, 0, reply(callee, &invite, 200, "two", Some("answer")));
    assert_ne!(answered(&mut world).early, early);
}

#[test]
fn an_answer_that_came_with_the_183_only_is_told_with_the_200() {
    let mut world = World::of(1);
    let callee = world.add_script();
    world.dial(0, call(0, callee));
    let invite = world.receive_request(callee, Method::Invite);
    world.send(callee, 0, reply(callee, &invite, 183, "one", Some("answer")));
    world.send(callee, 0, reply(callee, &invite, 200, "one", None));
    let answer = answered(&mut world);
    assert_eq!((answer.body, answer.is_offer), (Some(sdp("answer")), false));
}

#[test]
fn further_2xx_are_acknowledged_and_their_dialogs_ended() {
    let mut world = World::of(1);
    let callee = world.add_script();
    let out = world.dial(0, call(0, callee));
    let invite = world.receive_request(callee, Method::Invite);
    world.send(callee, 0, reply(callee, &invite, 200, "one", Some("answer")));
    world.send(callee, 0, reply(callee, &invite, 200, "two", Some("answer")));
    answered(&mut world);
    world.run_for(Duration::from_millis(100));
    let (mut acks, mut byes) = (Vec::new(), Vec::new());
    for message in world.inbox(callee) {
        let Message::Request(request) = message else { continue };
        match request.method {
            Method::Ack => acks.push(to_tag(&request)),
            Method::Bye => {
                byes.push(to_tag(&request));
                world.send(callee, 0, reply(callee, &request, 200, "", None));
            }
            _ => panic!("{}", request.method),
        }
    }
    assert_eq!((acks, byes), (vec!["one".into(), "two".into()], vec!["two".into()]));
    assert!(world.endpoint(0).invite(out).is_some(), "the first answer stays");
    // Even long after the call has ended, while the transaction lives.
    world.with(0, out, |invite, now| invite.hang_up(now, None).unwrap());
    let bye = world.receive_request(callee, Method::Bye);
    world.send(callee, 0, reply(callee, &bye, 200, "", None));
    world.run_for(Duration::from_secs(20));
    world.send(callee, 0, reply(callee, &invite, 200, "three", Some("answer")));
    assert_eq!(to_tag(&world.receive_request(callee, Method::Ack)), "three");
    let bye = world.receive_request(callee, Method::Bye);
    assert_eq!(to_tag(&bye), "three");
    world.send(callee, 0, reply(callee, &bye, 200, "", None));
    world.assert_clean();
    let events = world.events(0);
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Ended(..))).count(), 1);
}

#[test]
fn a_2xx_that_comes_again_is_acknowledged_again() {
    let mut world = World::of(1);
    let callee = world.add_script();
    let out = world.dial(0, call(0, callee));
    let invite = world.receive_request(callee, Method::Invite);
    let ok = reply(callee, &invite, 200, "one", Some("answer"));
    world.send(callee, 0, ok.clone());
    let ack = world.receive_request(callee, Method::Ack);
    for _ in 0..3 {
        world.run_for(Duration::from_secs(4));
        world.send(callee, 0, ok.clone());
        assert_eq!(world.receive_request(callee, Method::Ack), ack);
    }
    answered(&mut world);
    world.with(0, out, |invite, now| invite.hang_up(now, None).unwrap());
    world.run_for(Duration::from_secs(60));
    // The transaction is over: nobody knows the 2xx any more.
    world.inbox(callee);
    world.send(callee, 0, ok);
    world.run_for(Duration::from_secs(1));
    assert!(world.inbox(callee).is_empty());
    assert_eq!(world.wait_ended(0, out).code, StatusCode::OK);
    world.assert_clean();
}

#[test]
fn a_flood_of_forks_is_bounded() {
    let mut world = World::of(1);
    let callee = world.add_script();
    let out = world.dial(0, call(0, callee));
    let invite = world.receive_request(callee, Method::Invite);
    for n in 0..500 {
        world.send(callee, 0, reply(callee, &invite, 180, &format!("t{n}"), None));
    }
    world.run_for(Duration::from_secs(1));
    assert!(world.gauges(0).dialogs <= 32);
    for n in 0..500 {
        world.send(callee, 0, reply(callee, &invite, 200, &format!("t{n}"), None));
    }
    world.run_for(Duration::from_secs(1));
    assert!(world.gauges(0).client_transactions <= 33);
    world.with(0, out, |invite, now| invite.hang_up(now, None).unwrap());
    world.assert_clean();
}
