//! Holding and being held (RFC 3264 §8.4, RFC 6337 §5.3).

#![allow(clippy::unwrap_used, reason = "a failed test is meant to panic")]

use offhook_media::{Capabilities, Direction, Negotiation, SessionConfig};

const SECTION: &str = "m=audio 4000 RTP/AVP 0\r\n";

fn established() -> Negotiation {
    let mut negotiation =
        Negotiation::new(Capabilities::default(), "198.51.100.1:20000".parse().unwrap(), 42);
    offered(&mut negotiation, "192.0.2.9", "");
    negotiation
}

fn body(address: &str, direction: &str) -> String {
    format!("v=0\r\nc=IN IP4 {address}\r\n{SECTION}{direction}")
}

/// The direction in our answer, and the resulting session.
fn offered(negotiation: &mut Negotiation, address: &str, direction: &str) -> (String, SessionConfig) {
    let (answer, config) = negotiation.accept_offer(body(address, direction).as_bytes()).unwrap();
    (direction_of(&answer), config)
}

fn answered(negotiation: &mut Negotiation, direction: &str) -> SessionConfig {
    negotiation.accept_answer(body("192.0.2.9", direction).as_bytes()).unwrap()
}

fn direction_of(body: &[u8]) -> String {
    let text = String::from_utf8(body.to_vec()).unwrap();
    let known = ["a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"];
    text.lines().find(|line| known.contains(line)).unwrap()[2..].to_owned()
}

#[test]
fn we_hold_and_resume() {
    let mut negotiation = established();
    negotiation.set_direction(Direction::SendOnly);
    assert_eq!(direction_of(&negotiation.offer()), "sendonly");
    assert_eq!(answered(&mut negotiation, "a=recvonly\r\n").direction, Direction::SendOnly);
    assert!(!negotiation.peer_holds(), "the peer only obeys");
    negotiation.set_direction(Direction::SendRecv);
    assert_eq!(direction_of(&negotiation.offer()), "sendrecv");
    assert_eq!(answered(&mut negotiation, "").direction, Direction::SendRecv);
}

#[test]
fn the_peer_holds_and_resumes() {
    let mut negotiation = established();
    for (theirs, ours, direction) in [
        ("a=sendonly\r\n", "recvonly", Direction::RecvOnly),
        ("a=inactive\r\n", "inactive", Direction::Inactive),
        ("a=recvonly\r\n", "sendonly", Direction::SendOnly),
        ("a=sendrecv\r\n", "sendrecv", Direction::SendRecv),
        ("", "sendrecv", Direction::SendRecv),
    ] {
        let (answer, config) = offered(&mut negotiation, "192.0.2.9", theirs);
        assert_eq!((answer.as_str(), config.direction), (ours, direction));
        assert_eq!(negotiation.peer_holds(), !direction.sends());
    }
}

#[test]
fn the_old_hold_by_address_is_understood_and_never_sent() {
    let mut negotiation = established();
    let (answer, config) = offered(&mut negotiation, "0.0.0.0", "");
    assert_eq!((answer.as_str(), config.direction), ("recvonly", Direction::RecvOnly));
    assert_eq!(config.remote, Some("192.0.2.9:4000".parse().unwrap()), "for the time after");
    assert!(negotiation.peer_holds());
    let (_, config) = offered(&mut negotiation, "0.0.0.0", "a=inactive\r\n");
    assert_eq!(config.direction, Direction::Inactive);
    let (_, config) = offered(&mut negotiation, "192.0.2.10", "");
    assert_eq!(config.remote, Some("192.0.2.10:4000".parse().unwrap()));
    assert_eq!(config.direction, Direction::SendRecv);
    assert!(!String::from_utf8(negotiation.offer()).unwrap().contains("0.0.0.0"));
}

#[test]
fn a_call_may_begin_on_hold() {
    let mut negotiation =
        Negotiation::new(Capabilities::default(), "198.51.100.1:20000".parse().unwrap(), 42);
    let (answer, config) = offered(&mut negotiation, "0.0.0.0", "");
    assert_eq!((answer.as_str(), config.remote, config.remote_rtcp), ("recvonly", None, None));
}

#[test]
fn both_hold_and_each_resumes_alone() {
    let mut negotiation = established();
    offered(&mut negotiation, "192.0.2.9", "a=sendonly\r\n");
    negotiation.set_direction(Direction::SendOnly);
    assert_eq!(direction_of(&negotiation.offer()), "inactive", "held and holding");
    assert_eq!(answered(&mut negotiation, "a=inactive\r\n").direction, Direction::Inactive);

    // We resume first: the peer still holds.
    let mut first = negotiation.clone();
    first.set_direction(Direction::SendRecv);
    assert_eq!(direction_of(&first.offer()), "sendrecv");
    assert_eq!(answered(&mut first, "a=sendonly\r\n").direction, Direction::RecvOnly);
    assert!(first.peer_holds());

    // The peer resumes first: we still hold.
    let (answer, config) = offered(&mut negotiation, "192.0.2.9", "a=sendrecv\r\n");
    assert_eq!((answer.as_str(), config.direction), ("sendonly", Direction::SendOnly));
    assert!(!negotiation.peer_holds());
}

#[test]
fn a_refused_hold_leaves_what_was_agreed() {
    let mut negotiation = established();
    negotiation.set_direction(Direction::SendOnly);
    let _ = negotiation.offer();
    negotiation.withdraw_offer();
    negotiation.set_direction(Direction::SendRecv);
    let (answer, config) = offered(&mut negotiation, "192.0.2.9", "");
    assert_eq!((answer.as_str(), config.direction), ("sendrecv", Direction::SendRecv));
}
