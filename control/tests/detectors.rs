//! Keys come once, in whatever way a peer sends them, and detectors tell what they hear on a leg.

#![expect(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test")]

extern crate offhook_control as control;

mod common;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use common::config;
use control::{
    Collect, CollectEnd, Command, Config, Dial, EventKind, InbandDigits, LegId, Play, Target,
    media::{
        Codec, Detectors, DigitString, Inband, PlayerId, Prompt,
        dsp::{
            answering_machine::{Answerer, AnsweringMachineConfig},
            call_progress::Progress,
            tone::{ToneGenerator, ToneSpec},
            tone_plan::Country,
        },
        dtmf::digit_code,
    },
    signaling::{NameAddr, Uri, message::Message},
    sim::{NodeId, RawId, World},
};

const LINE: LegId = LegId(1);
const TRUNK: LegId = LegId(2);

/// A phone that neither sends nor takes telephone events.
fn plain() -> Config {
    let mut config = config();
    config.media.telephone_event = false;
    config
}

fn uri(world: &World, node: NodeId) -> Uri {
    Uri::parse(&format!("sip:someone@{}", world.node(node).address)).unwrap()
}

fn dial(world: &mut World, from: NodeId, to: NodeId, leg: LegId, near: Option<LegId>) -> LegId {
    let dial = Dial { near, ..Dial::new(Target::Uri(uri(world, to)), NameAddr::from(uri(world, from))) };
    let told = world.node(to).events.len();
    world.command(from, leg, Command::Dial(Box::new(dial))).unwrap();
    let is_incoming = |kind: &EventKind| matches!(kind, EventKind::Incoming(_));
    let found = world
        .wait(to, told, Duration::from_secs(10), |event| is_incoming(&event.kind))
        .expect("the call arrives");
    world.node(to).events[found - 1].1.leg
}

fn call(world: &mut World, from: NodeId, to: NodeId, leg: LegId, near: Option<LegId>) -> LegId {
    let callee = dial(world, from, to, leg, near);
    world.command(to, callee, Command::Answer).unwrap();
    world.run_for(Duration::from_millis(300));
    callee
}

fn keys(world: &World, node: NodeId, leg: LegId) -> String {
    let keys = world.node(node).events.iter().filter(|(_, event)| event.leg == leg);
    keys.filter_map(|(_, event)| match event.kind {
        EventKind::DigitDown(key) => Some(key),
        _ => None,
    })
    .collect()
}

fn told(world: &World, node: NodeId, wanted: impl Fn(&EventKind) -> bool) -> usize {
    world.node(node).events.iter().filter(|(_, event)| wanted(&event.kind)).count()
}

fn energy(sound: &[i16]) -> f64 {
    sound.iter().map(|&sample| f64::from(sample).powi(2)).sum()
}

fn send_digits(world: &mut World, node: NodeId, leg: LegId, digits: &str) {
    let digits = DigitString::parse(digits).unwrap();
    world.command(node, leg, Command::SendDigits(digits)).unwrap();
}

#[test]
fn a_phone_without_telephone_events_is_heard_by_its_tones() {
    let mut world = World::new(1);
    let (phone, server) = (world.add_node("phone", plain()), world.add_node("server", config()));
    let leg = call(&mut world, phone, server, LINE, None);
    let collect = Collect { max: 8, ..Collect::default() };
    world.command(server, leg, Command::Collect(collect)).unwrap();
    send_digits(&mut world, phone, LINE, "15933#");
    world.run_for(Duration::from_secs(3));
    assert_eq!(keys(&world, server, leg), "15933#");
    let collected = |kind: &EventKind| matches!(kind, EventKind::Collected(digits, CollectEnd::Terminator) if digits == "15933");
    assert_eq!(told(&world, server, collected), 1);
}

#[test]
fn tones_are_not_looked_for_where_nobody_asked_or_the_peer_has_events() {
    let mut never = config();
    never.inband_digits = InbandDigits::Never;
    for (phone, server, expected) in [(plain(), never, ""), (config(), config(), "12")] {
        let mut world = World::new(2);
        let (phone, server) = (world.add_node("phone", phone), world.add_node("server", server));
        let leg = call(&mut world, phone, server, LINE, None);
        send_digits(&mut world, phone, LINE, "12");
        world.run_for(Duration::from_secs(2));
        assert_eq!(keys(&world, server, leg), expected);
        let shown = world.node(server).shard.session(leg_session(&world, server)).unwrap().to_string();
        assert!(!shown.contains("jitter"), "{shown}");
    }
}

fn leg_session(world: &World, node: NodeId) -> control::media::SessionId {
    *world.node(node).checks.keys().next().expect("something was sent")
}

#[test]
fn removed_tones_reach_the_other_side_as_events_only() {
    for (inband, most) in [(InbandDigits::WithoutEventsRemoved, 0.1), (InbandDigits::WithoutEvents, 2.0)] {
        let mut world = World::new(3);
        let mut own = config();
        own.inband_digits = inband;
        let (phone, server) = (world.add_node("phone", plain()), world.add_node("server", own));
        let other = world.add_node("other", config());
        let leg = call(&mut world, phone, server, LINE, None);
        let callee = call(&mut world, server, other, TRUNK, Some(leg));
        world.command(server, leg, Command::Bridge(TRUNK)).unwrap();
        world.listen(other, callee).unwrap();
        world.run_for(Duration::from_millis(500));
        send_digits(&mut world, phone, LINE, "147*");
        world.run_for(Duration::from_secs(2));
        assert_eq!(keys(&world, server, leg), "147*", "{inband:?}");
        let mut tone = vec![0; 4 * 800];
        ToneGenerator::new(ToneSpec::dtmf(1).unwrap(), 8000).fill(&mut tone);
        let share = energy(world.arrived(other, callee)) / energy(&tone);
        let removed = inband == InbandDigits::WithoutEventsRemoved;
        assert_eq!(keys(&world, other, callee), if removed { "147*" } else { "" });
        assert!(share < most && (removed || share > 0.8), "{inband:?}: {share}");
    }
}

/// A peer that is nothing but bytes, in a call.
struct Raw {
    world: World,
    server: NodeId,
    peer: RawId,
    leg: LegId,
    /// Where its RTP goes.
    to: SocketAddr,
    to_header: String,
    sequence: u16,
    timestamp: u32,
    cseq: u32,
}

impl Raw {
    fn call() -> Self {
        let mut world = World::new(4);
        let mut own = config();
        own.inband_digits = InbandDigits::Always;
        let server = world.add_node("server", own);
        let peer = world.add_raw();
        let me = world.raw_address(peer);
        let sdp = format!(
            "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0 101\r\n\
             a=rtpmap:101 telephone-event/8000\r\n",
            ip = me.ip(),
            port = me.port(),
        );
        let to_header = format!("<sip:menu@{}>", world.node(server).address);
        let mut raw =
            Self { world, server, peer, leg: LINE, to: me, to_header, sequence: 1, timestamp: 0, cseq: 1 };
        raw.request("INVITE", "application/sdp", &sdp);
        raw.world.run_for(Duration::from_millis(50));
        let events = &raw.world.node(server).events;
        raw.leg =
            events.iter().find(|(_, event)| matches!(event.kind, EventKind::Incoming(_))).unwrap().1.leg;
        raw.world.command(server, raw.leg, Command::Answer).unwrap();
        raw.world.run_for(Duration::from_millis(50));
        let (answer, tag) = raw.responses("INVITE").pop().unwrap();
        raw.to_header = tag;
        let port = answer.split("m=audio ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        raw.to = SocketAddr::new(raw.world.node(server).address.ip(), port);
        raw.cseq -= 1;
        raw.request("ACK", "", "");
        raw
    }

    /// Body and To of each 200 to requests of that method.
    fn responses(&self, method: &str) -> Vec<(String, String)> {
        let messages = self.world.raw_inbox(self.peer).iter();
        let responses = messages.filter_map(|(_, _, bytes)| match Message::parse(bytes) {
            Ok(Message::Response(response)) if response.status.code() == 200 => Some((bytes, response)),
            _ => None,
        });
        responses
            .filter_map(|(bytes, response)| {
                use control::signaling::message::Name;
                let of = response.headers.get(Name::CSeq)?.ends_with(method);
                let to = response.headers.get(Name::To)?.to_owned();
                of.then(|| (String::from_utf8_lossy(bytes).into_owned(), to))
            })
            .collect()
    }

    fn request(&mut self, method: &str, kind: &str, body: &str) {
        let (me, server) = (self.world.raw_address(self.peer), self.world.node(self.server).address);
        let kind = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
        let text = format!(
            "{method} sip:menu@{server} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bK{method}{cseq};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:peer@{me}>;tag=mine\r\nTo: {to}\r\nCall-ID: raw@{me}\r\n\
             CSeq: {cseq} {method}\r\nContact: <sip:peer@{me}>\r\n{kind}Content-Length: {length}\r\n\r\n{body}",
            to = self.to_header,
            cseq = self.cseq,
            length = body.len(),
        );
        self.cseq += 1;
        self.world.raw_send(self.peer, server, text);
    }

    fn rtp(&mut self, payload_type: u8, timestamp: u32, payload: &[u8]) {
        let mut bytes = vec![0x80, payload_type];
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(timestamp.to_be_bytes());
        bytes.extend(7_u32.to_be_bytes());
        bytes.extend(payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.world.raw_send(self.peer, self.to, bytes);
    }

    /// So many frames of audio, with a key held down for the first `held` of them.
    fn talk(&mut self, frames: usize, key: Option<(u8, usize, bool)>) {
        let mut tone = key.map(|(code, ..)| ToneGenerator::new(ToneSpec::dtmf(code).unwrap(), 8000));
        let began = self.timestamp;
        for frame in 0..frames {
            let mut samples = [0; 160];
            if let (Some(tone), Some((_, held, _))) = (&mut tone, key)
                && frame < held
            {
                tone.fill(&mut samples);
            }
            let mut payload = [0; 160];
            Codec::Pcmu.encode(&samples, &mut payload);
            self.rtp(0, self.timestamp, &payload);
            if let Some((code, held, true)) = key
                && frame < held + 2
            {
                let end = if frame + 1 >= held { 0x80 } else { 0 };
                let [high, low] = ((frame.min(held - 1) + 1) as u16 * 160).to_be_bytes();
                self.rtp(101, began, &[code, end | 10, high, low]);
            }
            self.timestamp += 160;
            self.world.run_for(Duration::from_millis(20));
        }
    }
}

#[test]
fn one_press_through_events_tones_and_info_is_one_digit() {
    let mut raw = Raw::call();
    raw.talk(20, None);
    for key in "7707".chars() {
        let code = digit_code(key).unwrap();
        raw.talk(4, Some((code, 4, true)));
        raw.request("INFO", "application/dtmf-relay", &format!("Signal={key}\r\nDuration=100\r\n"));
        raw.talk(20, None);
    }
    assert_eq!(keys(&raw.world, raw.server, raw.leg), "7707");
    let ups = |kind: &EventKind| matches!(kind, EventKind::Digit(..));
    assert_eq!(told(&raw.world, raw.server, ups), 4);
    // Each way alone is enough.
    raw.talk(30, Some((1, 5, false)));
    raw.request("INFO", "application/dtmf", "2");
    raw.talk(30, None);
    assert_eq!(keys(&raw.world, raw.server, raw.leg), "770712");
    raw.request("INFO", "text/plain", "what?");
    raw.talk(5, None);
    assert_eq!(raw.responses("INFO").len(), 6, "every INFO is answered 200");
}

/// The greeting of somebody who answers, in words of so many ms.
fn greeting(words: &[usize]) -> Arc<Prompt> {
    let mut sound = Vec::new();
    for (number, ms) in words.iter().enumerate() {
        let mut word = vec![0; ms * 8];
        // Vowels are harmonics of a voice, and glide.
        for harmonic in 1..12 {
            let hz = (118.0 + 9.0 * number as f32) * harmonic as f32;
            let mut tone = vec![0; ms * 8];
            ToneGenerator::new(ToneSpec::continuous(hz, -24.0 - harmonic as f32), 8000).fill(&mut tone);
            word.iter_mut().zip(tone).for_each(|(sum, sample)| *sum += sample);
        }
        sound.extend(word);
        sound.extend(vec![0; 8 * 120]);
    }
    Arc::new(Prompt::from_samples(&sound, 8000))
}

#[test]
fn who_answered_is_told_without_delaying_the_bridge() {
    for (words, expected) in [(&[450][..], Answerer::Human), (&[900, 700, 800, 600], Answerer::Machine)] {
        let mut world = World::new(5);
        let (server, callee) = (world.add_node("server", config()), world.add_node("callee", config()));
        let incoming = dial(&mut world, server, callee, TRUNK, None);
        world.command(callee, incoming, Command::Early).unwrap();
        world.run_for(Duration::from_millis(200));
        let detectors = Detectors {
            answering_machine: Some(AnsweringMachineConfig::default()),
            tones: Some(Country::Us),
            ..Detectors::default()
        };
        world.command(server, TRUNK, Command::Detect(Box::new(detectors))).unwrap();
        world.command(callee, incoming, Command::tone(ToneSpec::ringback(Country::Us))).unwrap();
        world.run_for(Duration::from_secs(7));
        world.command(callee, incoming, Command::Silence).unwrap();
        assert_eq!(told(&world, server, |kind| matches!(kind, EventKind::AnsweredBy(_))), 0);
        world.command(callee, incoming, Command::Answer).unwrap();
        let play = Play::prompt(PlayerId(1), greeting(words), Some(1));
        world.command(callee, incoming, Command::Play(play.into())).unwrap();
        world.run_for(Duration::from_secs(5));
        let events: Vec<_> = world.node(server).events.iter().map(|(_, event)| &event.kind).collect();
        let verdicts: Vec<_> = events
            .iter()
            .filter_map(|kind| match kind {
                EventKind::AnsweredBy(verdict) => Some(verdict.answerer),
                _ => None,
            })
            .collect();
        assert_eq!(verdicts, [expected]);
        assert!(events.iter().any(|kind| matches!(kind, EventKind::ToneHeard(Progress::Ringback))));
    }
}

#[test]
fn what_is_asked_for_counts_more_than_the_configuration() {
    let mut world = World::new(6);
    let (phone, server) = (world.add_node("phone", plain()), world.add_node("server", config()));
    let leg = call(&mut world, phone, server, LINE, None);
    let detectors = Detectors { digits: Inband::Remove, ..Detectors::default() };
    world.command(server, leg, Command::Detect(Box::new(detectors))).unwrap();
    world.command(server, leg, Command::Echo).unwrap();
    world.listen(phone, LINE).unwrap();
    world.run_for(Duration::from_millis(300));
    send_digits(&mut world, phone, LINE, "5");
    world.run_for(Duration::from_secs(1));
    assert_eq!(keys(&world, server, leg), "5");
    // The peer takes no events, so it hears a tone made anew, and later than an echo of its own.
    assert!(energy(world.arrived(phone, LINE)) > 0.0);
    world.command(server, leg, Command::Detect(Box::default())).unwrap();
    send_digits(&mut world, phone, LINE, "6");
    world.run_for(Duration::from_secs(1));
    assert_eq!(keys(&world, server, leg), "56", "the configuration still listens");
}
