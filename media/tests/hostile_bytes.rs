//! Whatever arrives, nothing panics and nothing grows without bound.

#![allow(clippy::unwrap_used, reason = "a failed test is meant to panic")]

use std::time::{Duration, Instant};

use offhook_media::dsp::detect::analyse;
use offhook_media::dtmf::{DigitFrame, DigitSender, Edge, EventPayload, EventReceiver};
use offhook_media::rtcp::{Compound, Packet as RtcpPacket};
use offhook_media::rtp::{Header, Packet, Reception, classify};
use offhook_media::sdp::Description;
use offhook_media::{Capabilities, DigitString, Negotiation};
use proptest::collection::vec;
use proptest::prelude::*;

#[expect(clippy::disallowed_methods, reason = "a base for virtual time")]
fn base() -> Instant {
    Instant::now()
}

const OFFER: &str = "v=0\r\no=- 5 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\na=sendrecv\r\n\
    m=audio 4000 RTP/AVP 0 8 96 101\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\n\
    a=fmtp:101 0-15\r\na=ptime:20\r\na=maxptime:60\r\na=rtcp:4001 IN IP4 192.0.2.9\r\na=rtcp-mux\r\n\
    m=video 5000 RTP/AVP 31\r\nc=IN IP6 2001:db8::1\r\n";

/// Words that a grammar trips over.
const TOKENS: [&str; 24] = [
    "4294967296",
    "-1",
    "0",
    "65535",
    "65536",
    "m=audio",
    "m=audio 0 RTP/AVP",
    "a=ptime:",
    "a=rtpmap:",
    "\r\n",
    "\r",
    "\n",
    "=",
    ":",
    "/",
    " ",
    "\0",
    "c=IN IP4 0.0.0.0",
    "c=IN IP6 ::",
    "a=inactive",
    "a=sendonly",
    "\u{fffd}",
    "v=0",
    "é",
];

#[derive(Debug, Clone)]
enum Edit {
    Replace(prop::sample::Index, u8),
    Remove(prop::sample::Index, usize),
    Insert(prop::sample::Index, &'static str),
    Repeat(prop::sample::Index, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Replace(at, byte)),
        (at(), 0..80_usize).prop_map(|(at, length)| Edit::Remove(at, length)),
        (at(), prop::sample::select(&TOKENS[..])).prop_map(|(at, token)| Edit::Insert(at, token)),
        (at(), 0..120_usize).prop_map(|(at, length)| Edit::Repeat(at, length)),
    ]
}

fn mutated(seed: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for edit in edits {
        if bytes.is_empty() {
            break;
        }
        match edit {
            Edit::Replace(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Edit::Remove(at, length) => {
                let at = at.index(bytes.len());
                bytes.drain(at..(at + length).min(bytes.len()));
            }
            Edit::Insert(at, token) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, token.bytes());
            }
            Edit::Repeat(at, length) => {
                let at = at.index(bytes.len());
                let copy = bytes[at..(at + length).min(bytes.len())].to_vec();
                bytes.splice(at..at, copy);
            }
        }
    }
    bytes
}

fn negotiate(body: &[u8]) {
    let new = || Negotiation::new(Capabilities::default(), "198.51.100.1:20000".parse().unwrap(), 42);
    let mut callee = new();
    if let Ok((answer, config)) = callee.accept_offer(body) {
        let description = Description::parse(&answer).expect("our answer can be read");
        let offered = Description::parse(body).expect("it was accepted");
        assert_eq!(description.media.len(), offered.media.len());
        assert!([10, 20, 30, 40, 60].contains(&config.ptime_ms));
        assert!(config.remote.is_none_or(|remote| !remote.ip().is_unspecified() && remote.port() != 0));
        assert!(config.receive.iter().all(|format| format.payload_type <= 127));
        let mut peer = new();
        let _ = peer.offer();
        let again = callee.offer();
        let (_, _) = peer.accept_offer(&again).expect("our offer is acceptable to ourselves");
    }
    let mut caller = new();
    let _ = caller.offer();
    if let Ok(config) = caller.accept_answer(body) {
        assert!(config.receive.iter().any(|format| format.codec == config.send.codec));
    }
    assert!(Description::parse(&caller.offer()).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_descriptions_are_accepted_or_refused(edits in vec(edit(), 0..12)) {
        negotiate(&mutated(OFFER.as_bytes(), &edits));
    }

    #[test]
    fn random_descriptions_are_accepted_or_refused(body in vec(any::<u8>(), 0..300)) {
        negotiate(&body);
    }

    #[test]
    fn what_can_be_read_prints_to_something_that_reads_the_same(edits in vec(edit(), 0..6)) {
        if let Ok(description) = Description::parse(&mutated(OFFER.as_bytes(), &edits)) {
            let printed = description.to_string();
            let again = Description::parse(printed.as_bytes()).unwrap();
            prop_assert_eq!(again.to_string(), printed);
        }
    }

    #[test]
    fn random_datagrams_are_parsed_or_refused(
        first in prop_oneof![any::<u8>(), 0x80..=0xBF_u8],
        rest in vec(any::<u8>(), 0..200),
    ) {
        let mut datagram = vec![first];
        datagram.extend(rest);
        let _ = classify(&datagram);
        if let Ok(packet) = Packet::parse(&datagram) {
            prop_assert!(packet.payload.len() + 12 <= datagram.len());
            let mut written = [0; 12];
            packet.header.write(&mut written);
            prop_assert_eq!(Packet::parse(&written).unwrap().header, packet.header);
        }
        if let Ok(compound) = Compound::parse(&datagram) {
            read_rtcp(compound);
        }
    }

    #[test]
    fn random_rtcp_of_known_types_is_read(
        packets in vec((0..32_u8, 199..205_u8, vec(any::<u8>(), 0..80), any::<bool>()), 1..4),
    ) {
        let mut datagram = Vec::new();
        for (count, packet_type, mut body, padded) in packets {
            body.truncate(body.len() / 4 * 4);
            let flags = 0x80 | (u8::from(padded) << 5) | count;
            datagram.extend([flags, packet_type, 0, (body.len() / 4) as u8]);
            datagram.extend(body);
        }
        if let Ok(compound) = Compound::parse(&datagram) {
            read_rtcp(compound);
        }
    }

    #[test]
    fn reception_counts_anything(
        packets in vec((any::<u16>(), any::<u32>(), 0..3_u32, 0..100_000_u64), 0..300),
        near in any::<bool>(),
    ) {
        let (mut reception, mut now) = (Reception::new(8000), base());
        let (mut new, mut highest) = (0, 0);
        for (sequence, timestamp, ssrc, step) in packets {
            now += Duration::from_millis(step);
            let sequence = if near { sequence % 128 } else { sequence };
            let header = Header { sequence, timestamp, ssrc, ..Header::default() };
            let arrival = reception.record(now, &header);
            prop_assert_eq!(arrival.sequence as u16, sequence);
            if arrival.is_new() {
                new += 1;
                highest = highest.max(arrival.sequence);
            }
            if step % 7 == 0 {
                let _ = reception.report();
            }
        }
        prop_assert_eq!(reception.received(), new);
        prop_assert!(highest < (300 << 17));
    }

    #[test]
    fn every_key_that_goes_down_goes_up_once(
        packets in vec((0..4_u32, 0..20_u8, any::<bool>(), 0..0x1_0000_u32, any::<u16>(), 0..200_u64), 0..200),
    ) {
        let (mut receiver, mut now) = (EventReceiver::default(), base());
        let mut down = None;
        for (timestamp, code, end, duration, sequence, step) in packets {
            now += Duration::from_millis(step);
            let header = Header { timestamp: timestamp * 1600, sequence, ssrc: timestamp / 3, ..Header::default() };
            let payload = EventPayload { code, end, volume: 10, duration: duration as u16 }.to_bytes();
            let mut edges: Vec<_> = receiver.handle_timeout(now).into_iter().collect();
            edges.extend(receiver.handle(now, &header, &payload));
            for edge in edges {
                match edge {
                    Edge::Down(code) => {
                        prop_assert_eq!(down.replace(code), None);
                        prop_assert!(code <= 15);
                    }
                    Edge::Up(code, _) => prop_assert_eq!(down.take(), Some(code)),
                }
            }
            prop_assert_eq!(receiver.poll_timeout().is_some(), down.is_some());
        }
    }

    #[test]
    fn what_is_sent_as_digits_is_received_as_the_same_digits(
        text in "[0-9*#A-D.,]{1,20}",
        frame_ms in prop::sample::select(&[10_u8, 20, 30, 40, 60][..]),
        loss in vec(0..4_u8, 0..400),
    ) {
        let digits = DigitString::parse(&text).unwrap();
        let mut sender = DigitSender::new(8000);
        prop_assert!(sender.push(&digits));
        let (mut receiver, mut now) = (EventReceiver::default(), base());
        let mut heard = Vec::new();
        let (mut event_start, mut lost_run) = (0, 0);
        for frame in 0..100_000_u32 {
            now += Duration::from_millis(u64::from(frame_ms));
            let packet = match sender.poll_frame(frame_ms) {
                DigitFrame::Event(packet) => packet,
                DigitFrame::Pause | DigitFrame::Idle => continue,
                DigitFrame::Done => break,
            };
            let clock = frame * u32::from(frame_ms) * 8;
            if packet.start {
                event_start = clock;
            }
            // Up to two packets in a row are lost: at least one of an event always arrives.
            if lost_run < 2 && loss.get(frame as usize) == Some(&0) {
                lost_run += 1;
                continue;
            }
            lost_run = 0;
            let header = Header {
                timestamp: event_start, sequence: frame as u16, marker: packet.first, ..Header::default()
            };
            heard.extend(receiver.handle_timeout(now));
            heard.extend(receiver.handle(now, &header, &packet.payload().to_bytes()));
        }
        heard.extend(receiver.release());
        let keys: String = heard
            .iter()
            .filter_map(|edge| match edge {
                Edge::Down(code) => offhook_media::dtmf::digit_char(*code),
                Edge::Up(..) => None,
            })
            .collect();
        prop_assert_eq!(keys, text.replace(['.', ','], ""));
    }

    #[test]
    fn any_samples_can_be_analysed(samples in vec(any::<i16>(), 0..2000), tones in vec(-10.0..9000.0_f32, 0..4)) {
        let report = analyse(&samples, 8000, &tones);
        prop_assert_eq!(report.clicks, report.click_ms.len());
    }
}

fn read_rtcp(compound: Compound<'_>) {
    for packet in compound {
        match packet {
            RtcpPacket::SenderReport(report) => assert!(report.blocks.count() < 32),
            RtcpPacket::ReceiverReport(report) => assert!(report.blocks.count() < 32),
            RtcpPacket::SourceDescription(description) => {
                let _ = (description.items().count(), description.cname(1));
            }
            RtcpPacket::Goodbye(goodbye) => {
                let _ = (goodbye.sources().count(), goodbye.reason());
            }
            RtcpPacket::Other { .. } | _ => {}
        }
    }
}
