//! Bindings of a registrar: RFC 3261 §10.3 seen from outside.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::time::{Duration, Instant};

use offhook_signaling::{
    FlowId, Source, Transport,
    message::{Message, Request, Response, StatusCode},
    register::bindings::{Bindings, Change, Limits},
};

struct World {
    bindings: Bindings,
    now: Instant,
    sequence: u32,
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "a base for virtual time")]
    fn new() -> Self {
        let limits = Limits { min_expires: 60, max_expires: 3600, max_contacts: 3 };
        Self { bindings: Bindings::new(limits), now: Instant::now(), sequence: 0 }
    }

    /// REGISTER of alice with the next CSeq; `lines` are Contact and Expires.
    fn register(&mut self, lines: &str) -> Response {
        self.sequence += 1;
        let request = request(lines, "one", self.sequence);
        self.bindings.register(self.now, "alice", &request, &udp("192.0.2.5:5060"))
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.bindings.handle_timeout(self.now);
    }

    fn uris(&self) -> Vec<String> {
        self.bindings.contacts(self.now, "alice").iter().map(|contact| contact.uri.to_string()).collect()
    }

    /// `+` and `-` with the URI, in order.
    fn changes(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.bindings.poll_change())
            .map(|change| match change {
                Change::Bound(_, uri) => format!("+{uri}"),
                Change::Unbound(_, uri) => format!("-{uri}"),
            })
            .collect()
    }
}

fn request(lines: &str, call_id: &str, sequence: u32) -> Request {
    let text = format!(
        "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.5:5060;branch=z9hG4bK{sequence};rport\r\n\
         From: <sip:alice@example.com>;tag=1\r\nTo: <sip:alice@example.com>\r\nCall-ID: {call_id}\r\n\
         CSeq: {sequence} REGISTER\r\n{}\r\n",
        lines.lines().map(|line| format!("{line}\r\n")).collect::<String>()
    );
    let Ok(Message::Request(request)) = Message::parse(&text.clone().into()) else { panic!("{text}") };
    request
}

fn source(transport: Transport, flow: u64, remote: &str) -> Source {
    Source {
        flow: FlowId(flow),
        transport,
        local: "192.0.2.1:5060".parse().unwrap(),
        remote: remote.parse().unwrap(),
    }
}

fn udp(remote: &str) -> Source {
    source(Transport::Udp, 1, remote)
}

fn listed(response: &Response) -> Vec<(String, u32)> {
    let contacts = response.headers.contacts().unwrap();
    contacts.iter().map(|contact| (contact.uri.to_string(), contact.expires().unwrap())).collect()
}

#[test]
fn a_binding_lives_as_long_as_granted() {
    let mut world = World::new();
    let response = world.register("Contact: <sip:a@192.0.2.5>;expires=100\nExpires: 200");
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(listed(&response), [("sip:a@192.0.2.5".to_owned(), 100)]);
    assert_eq!(world.bindings.poll_timeout(), Some(world.now + Duration::from_secs(100)));
    world.pass(99);
    assert_eq!(world.uris(), ["sip:a@192.0.2.5"]);
    world.pass(1);
    assert_eq!(world.changes(), ["+sip:a@192.0.2.5", "-sip:a@192.0.2.5"]);
    assert!(world.bindings.is_empty() && world.bindings.poll_timeout().is_none());
}

#[test]
fn a_refresh_is_no_news_and_prolongs() {
    let mut world = World::new();
    world.register("Contact: <sip:a@192.0.2.5>\nExpires: 100");
    world.pass(90);
    let response = world.register("Contact: <sip:a@192.0.2.5>\nExpires: 100");
    assert_eq!(listed(&response)[0].1, 100);
    world.pass(90);
    assert_eq!(world.bindings.len(), 1);
    assert_eq!(world.changes(), ["+sip:a@192.0.2.5"]);
}

#[test]
fn lifetimes_are_kept_within_limits() {
    let mut world = World::new();
    let response = world.register("Contact: <sip:a@192.0.2.5>\nExpires: 59");
    assert_eq!(response.status, StatusCode::INTERVAL_TOO_BRIEF);
    assert_eq!(response.headers.min_expires(), Some(60));
    for lines in ["Contact: <sip:a@192.0.2.5>\nExpires: 99999999999", "Contact: <sip:a@192.0.2.5>"] {
        assert_eq!(listed(&world.register(lines))[0].1, 3600, "{lines}");
    }
}

#[test]
fn several_contacts_are_sorted_by_preference() {
    let mut world = World::new();
    let response =
        world.register("Contact: <sip:a@192.0.2.5>;q=0.2, <sip:b@192.0.2.5>\nm: <sip:c@192.0.2.5>;q=0.7");
    assert_eq!(response.headers.contacts().unwrap().len(), 3);
    assert_eq!(world.uris(), ["sip:b@192.0.2.5", "sip:c@192.0.2.5", "sip:a@192.0.2.5"]);
    assert_eq!(world.register("").headers.contacts().unwrap().len(), 3, "without Contact it is a question");
}

#[test]
fn the_one_not_heard_of_for_longest_makes_room() {
    let mut world = World::new();
    for user in ["a", "b", "c", "a", "d"] {
        world.register(&format!("Contact: <sip:{user}@192.0.2.5>"));
    }
    assert_eq!(world.uris(), ["sip:d@192.0.2.5", "sip:a@192.0.2.5", "sip:c@192.0.2.5"]);
    let four = "Contact: <sip:1@h>, <sip:2@h>, <sip:3@h>, <sip:4@h>";
    assert_eq!(world.register(four).status, StatusCode::FORBIDDEN);
}

#[test]
fn a_contact_and_a_star_can_be_removed() {
    let mut world = World::new();
    world.register("Contact: <sip:a@192.0.2.5>, <sip:b@192.0.2.5>, <sip:c@192.0.2.5>");
    world.register("Contact: <sip:b@192.0.2.5>;expires=0");
    assert_eq!(world.uris(), ["sip:c@192.0.2.5", "sip:a@192.0.2.5"]);
    for wrong in ["Contact: *", "Contact: *\nExpires: 10", "Contact: *, <sip:a@192.0.2.5>\nExpires: 0"] {
        assert_eq!(world.register(wrong).status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    world.changes();
    let response = world.register("Contact: *\nExpires: 0");
    assert_eq!((response.status, listed(&response).len()), (StatusCode::OK, 0));
    assert_eq!(world.changes().len(), 2);
    assert!(world.bindings.is_empty());
}

#[test]
fn an_older_request_of_the_same_client_changes_nothing() {
    let mut world = World::new();
    let source = udp("192.0.2.5:5060");
    let mut send = |lines: &str, call_id: &str, sequence: u32| {
        world.bindings.register(world.now, "alice", &request(lines, call_id, sequence), &source).status
    };
    assert_eq!(send("Contact: <sip:a@h>", "one", 10), StatusCode::OK);
    for (lines, sequence) in
        [("Contact: <sip:new@h>, <sip:a@h>;expires=0", 9), ("Contact: *\nExpires: 0", 10)]
    {
        assert_eq!(send(lines, "one", sequence), StatusCode::SERVER_INTERNAL_ERROR);
    }
    assert_eq!(send("Contact: <sip:b@h>", "two", 1), StatusCode::OK);
    assert_eq!(world.uris(), ["sip:b@h", "sip:a@h"], "all or nothing");
}

#[test]
fn a_phone_with_a_new_address_replaces_its_old_one() {
    let mut world = World::new();
    world.register("Contact: <sip:a@192.0.2.5:1000>;+sip.instance=\"<urn:uuid:1>\";reg-id=1");
    world.register("Contact: <sip:a@192.0.2.5:2000>;+sip.instance=\"<urn:uuid:1>\";reg-id=1");
    assert_eq!(world.uris(), ["sip:a@192.0.2.5:2000"]);
    assert_eq!(world.changes(), ["+sip:a@192.0.2.5:1000", "-sip:a@192.0.2.5:1000", "+sip:a@192.0.2.5:2000"]);
}

#[test]
fn who_is_behind_nat_is_reached_where_the_request_came_from() {
    let mut world = World::new();
    let reach = |world: &mut World, lines: &str, source: &Source| {
        let response = world.bindings.register(world.now, "alice", &request(lines, "nat", 1), source);
        assert_eq!(response.status, StatusCode::OK);
        let contact = world.bindings.contacts(world.now, "alice").remove(0);
        world.bindings = Bindings::new(Limits { min_expires: 60, max_expires: 3600, max_contacts: 3 });
        (contact.transport, contact.destination.map(|to| to.to_string()), contact.flow)
    };
    let direct = reach(&mut world, "Contact: <sip:a@192.0.2.5>", &udp("192.0.2.5:5060"));
    assert_eq!(direct, (Transport::Udp, Some("192.0.2.5:5060".into()), Some(FlowId(1))));
    let nat = reach(&mut world, "Contact: <sip:a@10.0.0.5>", &udp("198.51.100.1:777"));
    assert_eq!(nat, (Transport::Udp, Some("198.51.100.1:777".into()), Some(FlowId(1))));
    let name = reach(&mut world, "Contact: <sip:a@pc.example.com;transport=tcp>", &udp("192.0.2.5:5060"));
    assert_eq!(name, (Transport::Tcp, None, None));
    let tcp = source(Transport::Tcp, 9, "192.0.2.5:40000");
    let stream = reach(&mut world, "Contact: <sip:a@192.0.2.5:5060;transport=tcp>", &tcp);
    assert_eq!(stream, (Transport::Tcp, Some("192.0.2.5:40000".into()), Some(FlowId(9))));
}

#[test]
fn a_closed_connection_takes_those_along_who_have_no_other_way() {
    let mut world = World::new();
    let nat = source(Transport::Tcp, 9, "198.51.100.1:40000");
    world.bindings.register(world.now, "alice", &request("Contact: <sip:a@10.0.0.5>", "x", 1), &nat);
    let direct = source(Transport::Tcp, 9, "192.0.2.7:40000");
    let lines = "Contact: <sip:b@192.0.2.7;transport=tcp>";
    world.bindings.register(world.now, "alice", &request(lines, "y", 1), &direct);
    world.bindings.handle_flow_closed(FlowId(9));
    let left = world.bindings.contacts(world.now, "alice");
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].destination, left[0].flow), ("192.0.2.7:5060".parse().ok(), None));
    world.bindings.handle_flow_closed(FlowId(9));
    assert_eq!(world.changes(), ["+sip:a@10.0.0.5", "+sip:b@192.0.2.7;transport=tcp", "-sip:a@10.0.0.5"]);
}

#[test]
fn a_broken_contact_changes_nothing() {
    let mut world = World::new();
    for lines in ["Contact: <sip:a@h>, sip:user@example.com?Route=x", "Contact: <tel:+1>"] {
        assert_eq!(world.register(lines).status, StatusCode::BAD_REQUEST, "{lines}");
    }
    assert!(world.bindings.is_empty());
}

#[test]
fn nothing_is_left_when_all_have_expired() {
    let mut world = World::new();
    for user in 0..1000 {
        let (name, lines) =
            (format!("user{user}"), format!("Contact: <sip:{user}@192.0.2.5>\nExpires: {}", 60 + user));
        let tcp = source(Transport::Tcp, user, "198.51.100.1:4000");
        world.bindings.register(world.now, &name, &request(&lines, "x", 1), &tcp);
    }
    assert_eq!(world.bindings.len(), 1000);
    world.pass(1060);
    assert_eq!((world.bindings.len(), world.bindings.poll_timeout()), (0, None));
    assert_eq!(world.changes().len(), 2000);
}
