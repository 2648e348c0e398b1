//! Peers that are nothing but bytes: what they may send, in whatever order, and what they must get.

#![expect(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test")]

extern crate offhook_control as control;

mod common;

use std::time::Duration;

use common::config;
use control::{
    Command, Dial, EventKind, LegId, Target,
    signaling::{
        Cause, NameAddr, Uri,
        message::{Message, Method, Name, Request, Response},
    },
    sim::{NodeId, RawId, World},
};

const TRUNK: LegId = LegId(1);

struct Stage {
    world: World,
    server: NodeId,
    peer: RawId,
    read: usize,
}

impl Stage {
    fn new() -> Self {
        let mut world = World::new(7);
        let server = world.add_node("server", config());
        let peer = world.add_raw();
        Self { world, server, peer, read: 0 }
    }

    /// The next message to the peer that `wanted` picks; those before it are passed over.
    fn receive<T>(&mut self, what: &str, mut wanted: impl FnMut(Message) -> Option<T>) -> T {
        let (peer, mut read, mut found) = (self.peer, self.read, None);
        self.world.run_until(Duration::from_secs(40), |world| {
            let inbox = world.raw_inbox(peer);
            while found.is_none() && read < inbox.len() {
                found = Message::parse(&inbox[read].2).ok().and_then(&mut wanted);
                read += 1;
            }
            found.is_some()
        });
        self.read = read;
        let told: Vec<_> = self.world.node(self.server).events.iter().map(|(_, event)| &event.kind).collect();
        found.unwrap_or_else(|| panic!("the peer never got {what}; the server told {told:#?}"))
    }

    fn request(&mut self, method: &Method) -> Request {
        self.receive(method.as_str(), |message| match message {
            Message::Request(request) if request.method == *method => Some(request),
            _ => None,
        })
    }

    fn response(&mut self, code: u16, method: &str) -> Response {
        self.receive(&format!("{code} to {method}"), |message| match message {
            Message::Response(response)
                if response.status.code() == code
                    && response.headers.get(Name::CSeq).is_some_and(|cseq| cseq.ends_with(method)) =>
            {
                Some(response)
            }
            _ => None,
        })
    }

    fn send(&mut self, text: impl Into<String>) {
        let to = self.world.node(self.server).address;
        self.world.raw_send(self.peer, to, text.into());
    }

    fn dial(&mut self) -> Request {
        let uri = Uri::parse(&format!("sip:peer@{}", self.world.raw_address(self.peer))).unwrap();
        let from = NameAddr::from(Uri::parse("sip:server@10.0.0.1").unwrap());
        let dial = Dial::new(Target::Uri(uri), from);
        self.world.command(self.server, TRUNK, Command::Dial(Box::new(dial))).unwrap();
        self.request(&Method::Invite)
    }

    /// Answers a request of the server, as the fork with that tag.
    fn reply(&mut self, request: &Request, status: &str, tag: &str, sdp: Option<&str>) {
        let contact = self.world.raw_address(self.peer);
        let header = |name| request.headers.get(name).unwrap_or_default().to_owned();
        let body = sdp.unwrap_or_default();
        let kind = if sdp.is_some() { "Content-Type: application/sdp\r\n" } else { "" };
        self.send(format!(
            "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag={tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
             Contact: <sip:{tag}@{contact}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            header(Name::Via),
            header(Name::From),
            header(Name::To),
            header(Name::CallId),
            header(Name::CSeq),
            body.len(),
        ));
    }

    /// A request of the peer's own call; `to` has the server's tag once there is one.
    fn ask(&mut self, method: &str, cseq: u32, branch: &str, to: &str, kind: &str, body: &str) {
        let (me, server) = (self.world.raw_address(self.peer), self.world.node(self.server).address);
        let kind = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
        self.send(format!(
            "{method} sip:menu@{server} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bK{branch};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:peer@{me}>;tag=mine\r\nTo: {to}\r\nCall-ID: raw@{me}\r\n\
             CSeq: {cseq} {method}\r\nContact: <sip:peer@{me}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            body.len(),
        ));
    }

    fn to(&self) -> String {
        format!("<sip:menu@{}>", self.world.node(self.server).address)
    }

    fn incoming(&mut self) -> LegId {
        let found = self
            .world
            .wait(self.server, 0, Duration::from_secs(10), |event| {
                matches!(event.kind, EventKind::Incoming(_))
            })
            .expect("the call arrives");
        self.world.node(self.server).events[found - 1].1.leg
    }

    /// The peer calls, is answered and acknowledges; the To of its further requests.
    fn call(&mut self) -> String {
        let to = self.to();
        self.ask("INVITE", 1, "a", &to, "application/sdp", &sdp(4000, "sendrecv"));
        let leg = self.incoming();
        self.world.command(self.server, leg, Command::Answer).unwrap();
        let to = self.response(200, "INVITE").headers.get(Name::To).unwrap().to_owned();
        self.ask("ACK", 1, "b", &to, "", "");
        to
    }

    fn told(&self, wanted: impl Fn(&EventKind) -> bool) -> usize {
        self.world.node(self.server).events.iter().filter(|(_, event)| wanted(&event.kind)).count()
    }

    fn finish(mut self) {
        self.world.run_for(Duration::from_secs(180));
        let complaints = self.world.complaints();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
}

fn sdp(port: u16, direction: &str) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 10.0.1.1\r\ns=-\r\nc=IN IP4 10.0.1.1\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na={direction}\r\n"
    )
}

#[test]
fn two_forks_ring_with_media_and_only_the_one_that_answers_stays() {
    let mut stage = Stage::new();
    let invite = stage.dial();
    stage.reply(&invite, "183 Session Progress", "one", Some(&sdp(4000, "sendrecv")));
    stage.reply(&invite, "183 Session Progress", "two", Some(&sdp(4002, "sendrecv")));
    stage.world.run_for(Duration::from_millis(200));
    assert_eq!(stage.told(|kind| matches!(kind, EventKind::Progress(_, true))), 2);
    stage.reply(&invite, "200 OK", "two", Some(&sdp(4002, "sendrecv")));
    let ack = stage.request(&Method::Ack);
    assert_eq!(ack.headers.to_tag(), Some("two"));
    // The other fork answers late: it is acknowledged and hung up, and nobody above hears of it.
    stage.reply(&invite, "200 OK", "one", Some(&sdp(4000, "sendrecv")));
    assert_eq!(stage.request(&Method::Ack).headers.to_tag(), Some("one"));
    let bye = stage.request(&Method::Bye);
    assert_eq!(bye.headers.to_tag(), Some("one"));
    stage.reply(&bye, "200 OK", "one", None);
    assert_eq!(stage.told(|kind| matches!(kind, EventKind::Answered)), 1);
    stage.world.command(stage.server, TRUNK, Command::HangUp(None)).unwrap();
    let bye = stage.request(&Method::Bye);
    assert_eq!(bye.headers.to_tag(), Some("two"));
    stage.reply(&bye, "200 OK", "two", None);
    stage.finish();
}

#[test]
fn a_200_that_crosses_our_cancel_is_acknowledged_and_hung_up() {
    let mut stage = Stage::new();
    let invite = stage.dial();
    stage.reply(&invite, "180 Ringing", "late", None);
    stage.world.run_for(Duration::from_millis(50));
    stage.world.command(stage.server, TRUNK, Command::HangUp(None)).unwrap();
    let cancel = stage.request(&Method::Cancel);
    stage.reply(&invite, "200 OK", "late", Some(&sdp(4000, "sendrecv")));
    stage.reply(&cancel, "481 Too Late", "late", None);
    stage.request(&Method::Ack);
    let bye = stage.request(&Method::Bye);
    stage.reply(&bye, "200 OK", "late", None);
    assert_eq!(stage.told(|kind| matches!(kind, EventKind::Answered)), 0);
    stage.finish();
}

#[test]
fn a_late_offer_is_made_in_the_200_and_answered_in_the_ack() {
    let mut stage = Stage::new();
    let to = stage.to();
    stage.ask("INVITE", 1, "a", &to, "", "");
    let leg = stage.incoming();
    assert!(stage.world.command(stage.server, leg, Command::Early).is_err(), "there is nothing to hear yet");
    stage.world.command(stage.server, leg, Command::Answer).unwrap();
    let answer = stage.response(200, "INVITE");
    assert!(answer.body.starts_with(b"v=0"), "the 200 carries the offer");
    let to = answer.headers.get(Name::To).unwrap().to_owned();
    stage.ask("ACK", 1, "b", &to, "application/sdp", &sdp(4000, "sendrecv"));
    stage.world.run_for(Duration::from_millis(300));
    assert_eq!(stage.told(|kind| matches!(kind, EventKind::Answered)), 1);
    let sent = stage.world.node(stage.server).checks.values().map(|check| check.packets).sum::<u64>();
    assert!(sent >= 10, "media flows after the ACK: {sent} packets");
    stage.ask("BYE", 2, "c", &to, "", "");
    stage.response(200, "BYE");
    assert_eq!(
        stage.told(|kind| matches!(kind, EventKind::Ended(record) if record.cause == Cause::RemoteBye)),
        1
    );
    stage.finish();
}

#[test]
fn an_ack_without_the_answer_it_owes_ends_the_call() {
    let mut stage = Stage::new();
    let to = stage.to();
    stage.ask("INVITE", 1, "a", &to, "", "");
    let leg = stage.incoming();
    stage.world.command(stage.server, leg, Command::Answer).unwrap();
    let answer = stage.response(200, "INVITE");
    let to = answer.headers.get(Name::To).unwrap().to_owned();
    stage.ask("ACK", 1, "b", &to, "", "");
    stage.request(&Method::Bye);
    stage.finish();
}

#[test]
fn cancel_before_the_answer_gets_200_and_the_invite_487() {
    let mut stage = Stage::new();
    let to = stage.to();
    stage.ask("INVITE", 1, "a", &to, "application/sdp", &sdp(4000, "sendrecv"));
    let leg = stage.incoming();
    stage.world.command(stage.server, leg, Command::Ring).unwrap();
    stage.response(180, "INVITE");
    stage.ask("CANCEL", 1, "a", &to, "", "");
    stage.response(200, "CANCEL");
    let refusal = stage.response(487, "INVITE");
    let to = refusal.headers.get(Name::To).unwrap().to_owned();
    stage.ask("ACK", 1, "a", &to, "", "");
    assert_eq!(
        stage.told(|kind| matches!(kind, EventKind::Ended(record) if record.cause == Cause::RemoteCancel)),
        1
    );
    stage.finish();
}

#[test]
fn keys_from_info_are_told_and_other_infos_are_not() {
    let mut stage = Stage::new();
    let to = stage.call();
    stage.ask("INFO", 2, "c", &to, "application/dtmf-relay", "Signal=5\r\nDuration=160\r\n");
    stage.response(200, "INFO");
    stage.ask("INFO", 3, "d", &to, "application/media_control+xml", "<x/>");
    stage.response(200, "INFO");
    assert_eq!(stage.told(|kind| matches!(kind, EventKind::DigitDown('5'))), 1);
    assert_eq!(stage.told(|kind| matches!(kind, EventKind::DigitDown(_))), 1);
    stage.ask("BYE", 4, "e", &to, "", "");
    stage.finish();
}

#[test]
fn the_old_way_of_hold_is_understood_and_ends() {
    let mut stage = Stage::new();
    let to = stage.call();
    let held = sdp(4000, "sendrecv").replace("c=IN IP4 10.0.1.1", "c=IN IP4 0.0.0.0");
    stage.ask("INVITE", 2, "c", &to, "application/sdp", &held);
    stage.response(200, "INVITE");
    stage.ask("ACK", 2, "d", &to, "", "");
    assert_eq!(stage.told(|kind| matches!(kind, EventKind::Held)), 1);
    stage.ask("INVITE", 3, "e", &to, "application/sdp", &sdp(4000, "sendrecv"));
    stage.response(200, "INVITE");
    stage.ask("ACK", 3, "f", &to, "", "");
    assert_eq!(stage.told(|kind| matches!(kind, EventKind::Resumed)), 1);
    stage.ask("BYE", 4, "g", &to, "", "");
    stage.finish();
}

#[test]
fn an_offer_that_cannot_be_used_is_refused_and_nobody_hears_of_it() {
    let video = sdp(4000, "sendrecv").replace("m=audio", "m=video");
    let unknown = sdp(4000, "sendrecv").replace("RTP/AVP 0 101", "RTP/AVP 18");
    for (kind, body, code) in [
        ("application/sdp", "v=0\r\nm=audio x RTP/AVP 0\r\n".to_owned(), 400),
        ("application/sdp", video, 488),
        ("application/sdp", unknown, 488),
        ("text/plain", "hello".to_owned(), 415),
    ] {
        let mut stage = Stage::new();
        let to = stage.to();
        stage.ask("INVITE", 1, "a", &to, kind, &body);
        let refusal = stage.response(code, "INVITE");
        let to = refusal.headers.get(Name::To).unwrap().to_owned();
        stage.ask("ACK", 1, "a", &to, "", "");
        assert_eq!(stage.told(|_| true), 0, "{body}");
        stage.finish();
    }
}

#[test]
fn a_caller_that_vanishes_before_its_ack_is_given_up() {
    let mut stage = Stage::new();
    let to = stage.to();
    stage.ask("INVITE", 1, "a", &to, "application/sdp", &sdp(4000, "sendrecv"));
    let leg = stage.incoming();
    stage.world.command(stage.server, leg, Command::Answer).unwrap();
    stage.world.run_for(Duration::from_secs(40));
    assert_eq!(
        stage.told(|kind| matches!(kind, EventKind::Ended(record) if record.cause == Cause::Timeout)),
        1
    );
    stage.finish();
}
