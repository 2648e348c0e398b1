//! Offers and answers, first ones and later ones (RFC 3264).

#![allow(clippy::unwrap_used, reason = "a failed test is meant to panic")]

use std::net::SocketAddr;

use offhook_media::{
    Capabilities, Codec, Direction, Latch, Negotiation, Order, PayloadFormat, sdp::SdpError,
};

const HEAD: &str = "v=0\r\no=- 5 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n";

fn local() -> SocketAddr {
    "198.51.100.1:20000".parse().unwrap()
}

/// G.711 in our order.
fn ours() -> Negotiation {
    let codecs = vec![Codec::Pcmu, Codec::Pcma];
    Negotiation::new(Capabilities { codecs, order: Order::Ours, ..Capabilities::default() }, local(), 42)
}

/// Every codec, in the order of whoever offers.
fn all() -> Negotiation {
    Negotiation::new(Capabilities::default(), local(), 42)
}

fn remote(port: u16) -> Option<SocketAddr> {
    Some(SocketAddr::new("192.0.2.9".parse().unwrap(), port))
}

fn body(sections: &str) -> Vec<u8> {
    format!("{HEAD}{sections}").into_bytes()
}

fn text(body: Vec<u8>) -> String {
    String::from_utf8(body).unwrap()
}

fn lines<'a>(text: &'a str, prefix: &str) -> Vec<&'a str> {
    text.lines().filter(|line| line.starts_with(prefix)).collect()
}

fn version(text: &str) -> u64 {
    lines(text, "o=")[0].split(' ').nth(2).unwrap().parse().unwrap()
}

fn pcmu() -> PayloadFormat {
    PayloadFormat { codec: Codec::Pcmu, payload_type: 0 }
}

fn pcma() -> PayloadFormat {
    PayloadFormat { codec: Codec::Pcma, payload_type: 8 }
}

#[test]
fn the_first_offer_names_everything_we_can_do() {
    let offer = text(ours().offer());
    assert_eq!(
        offer,
        "v=0\r\no=- 42 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n\
         m=audio 20000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\na=rtcp-mux\r\n"
    );
}

#[test]
fn two_of_us_agree() {
    let (mut caller, mut callee) =
        (ours(), Negotiation::new(Capabilities::default(), "203.0.113.5:30000".parse().unwrap(), 7));
    let (answer, callee_config) = callee.accept_offer(&caller.offer()).unwrap();
    let caller_config = caller.accept_answer(&answer).unwrap();
    assert_eq!(caller_config.remote, Some("203.0.113.5:30000".parse().unwrap()));
    assert_eq!(callee_config.remote, Some(local()));
    for config in [&caller_config, &callee_config] {
        assert_eq!(config.send, pcmu());
        assert_eq!(config.remote_rtcp, config.remote);
        assert!(config.rtcp_mux);
        assert_eq!((config.send_event, &config.receive_event[..]), (Some(101), &[101][..]));
        assert_eq!(
            (config.ptime_ms, config.direction, config.latch),
            (20, Direction::SendRecv, Latch::SameIp)
        );
    }
    assert_eq!(callee_config.receive, [pcmu()]);
    assert_eq!(caller_config.receive, [pcmu(), pcma()]);
}

#[test]
fn the_answer_takes_our_favourite_codec_and_the_numbers_of_the_offer() {
    let offer = body(
        "m=audio 4000 RTP/AVP 18 8 96 97\r\na=rtpmap:96 pcmu/8000\r\na=rtpmap:97 telephone-event/8000\r\n\
         a=fmtp:97 0-15\r\n",
    );
    let (answer, config) = ours().accept_offer(&offer).unwrap();
    assert_eq!(config.send, PayloadFormat { codec: Codec::Pcmu, payload_type: 96 });
    assert_eq!((config.send_event, config.receive_event), (Some(97), vec![97]));
    let answer = text(answer);
    assert_eq!(lines(&answer, "m="), ["m=audio 20000 RTP/AVP 96 97"]);
    assert!(
        answer.contains("a=rtpmap:96 PCMU/8000\r\n")
            && answer.contains("a=rtpmap:97 telephone-event/8000\r\n")
    );
    assert!(!answer.contains("rtcp-mux"));
    assert_eq!(config.remote_rtcp, remote(4001));
}

#[test]
fn our_order_of_codecs_decides() {
    let codecs = vec![Codec::Pcma, Codec::Pcmu];
    let capabilities = Capabilities { codecs, order: Order::Ours, ..Capabilities::default() };
    let mut negotiation = Negotiation::new(capabilities, local(), 1);
    let (_, config) = negotiation.accept_offer(&body("m=audio 4000 RTP/AVP 0 8\r\n")).unwrap();
    assert_eq!(config.send, pcma());
    assert_eq!((config.send_event, config.receive_event), (None, vec![]));
}

#[test]
fn telephone_events_of_another_clock_rate_are_not_ours() {
    let offer = body(
        "m=audio 4000 RTP/AVP 96 8 97 98\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:97 telephone-event/48000\r\n\
         a=rtpmap:98 telephone-event/8000\r\n",
    );
    let (answer, config) = ours().accept_offer(&offer).unwrap();
    assert_eq!((config.send, config.send_event), (pcma(), Some(98)));
    assert_eq!(lines(&text(answer), "m="), ["m=audio 20000 RTP/AVP 8 98"]);
}

#[test]
fn telephone_events_can_be_switched_off() {
    let capabilities = Capabilities { telephone_event: false, ..Capabilities::default() };
    let mut negotiation = Negotiation::new(capabilities, local(), 1);
    assert!(!text(negotiation.offer()).contains("telephone-event"));
    let offer = body("m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n");
    let (answer, config) = negotiation.accept_offer(&offer).unwrap();
    assert!(!text(answer).contains("101"));
    assert_eq!((config.send_event, config.receive_event), (None, vec![]));
}

#[test]
fn other_media_are_refused_in_their_places() {
    let offer = body(
        "m=video 5000 RTP/AVP 31 34\r\na=rtpmap:31 H261/90000\r\nm=audio 4000 RTP/SAVP 0\r\na=crypto:1 x y\r\n\
         m=audio 4002 RTP/AVP 8\r\nm=image 6000 udptl t38\r\nm=audio 4004 RTP/AVP 0\r\n",
    );
    let mut negotiation = ours();
    let (answer, config) = negotiation.accept_offer(&offer).unwrap();
    let expected = [
        "m=video 0 RTP/AVP 31 34",
        "m=audio 0 RTP/SAVP 0",
        "m=audio 20000 RTP/AVP 8",
        "m=image 0 udptl t38",
        "m=audio 0 RTP/AVP 0",
    ];
    assert_eq!(lines(&text(answer), "m="), expected);
    assert_eq!((config.remote, config.send), (remote(4002), pcma()));

    let offer = text(negotiation.offer());
    let places: Vec<_> =
        lines(&offer, "m=").iter().map(|line| line.split(' ').take(2).collect::<Vec<_>>()).collect();
    assert_eq!(
        places,
        [["m=video", "0"], ["m=audio", "0"], ["m=audio", "20000"], ["m=image", "0"], ["m=audio", "0"]],
        "lines never go away nor change their places"
    );
    let answer = body(
        "m=video 0 RTP/AVP 31\r\nm=audio 0 RTP/SAVP 0\r\nm=audio 4010 RTP/AVP 0\r\nm=image 0 udptl t38\r\n\
         m=audio 0 RTP/AVP 0\r\n",
    );
    let config = negotiation.accept_answer(&answer).unwrap();
    assert_eq!((config.remote, config.send), (remote(4010), pcmu()));
}

#[test]
fn the_audio_line_in_use_stays_in_use() {
    let mut negotiation = ours();
    let offer = "m=audio 0 RTP/AVP 0\r\nm=audio 4002 RTP/AVP 8\r\n";
    negotiation.accept_offer(&body(offer)).unwrap();
    let again = "m=audio 4000 RTP/AVP 0\r\nm=audio 4002 RTP/AVP 8\r\n";
    let (answer, config) = negotiation.accept_offer(&body(again)).unwrap();
    assert_eq!(config.remote, remote(4002));
    assert_eq!(lines(&text(answer), "m=audio 0").len(), 1);
}

#[test]
fn the_peers_packet_time_is_honoured() {
    for (attributes, expected) in [
        ("", 20),
        ("a=ptime:30\r\n", 30),
        ("a=ptime:10\r\n", 10),
        ("a=ptime:60\r\na=maxptime:40\r\n", 40),
        ("a=maxptime:10\r\n", 10),
        ("a=ptime:50\r\n", 40),
        ("a=ptime:200\r\n", 60),
        ("a=ptime:15\r\n", 10),
        ("a=ptime:0\r\n", 20),
        ("a=ptime:4294967316\r\n", 20),
        ("a=maxptime:1\r\n", 20),
    ] {
        let offer = body(&format!("m=audio 4000 RTP/AVP 0\r\n{attributes}"));
        let (answer, config) = ours().accept_offer(&offer).unwrap();
        assert_eq!(config.ptime_ms, expected, "{attributes:?}");
        assert!(text(answer).contains(&format!("a=ptime:{expected}\r\n")));
        let mut caller = ours();
        let _ = caller.offer();
        assert_eq!(caller.accept_answer(&offer).unwrap().ptime_ms, expected, "{attributes:?}");
    }
}

#[test]
fn rtcp_goes_where_the_peer_says() {
    for (attributes, expected) in [
        ("", remote(4001)),
        ("a=rtcp:5005\r\n", remote(5005)),
        ("a=rtcp:5005 IN IP4 192.0.2.77\r\n", Some("192.0.2.77:5005".parse().unwrap())),
        ("a=rtcp:0\r\n", None),
        ("a=rtcp:5005 IN IP4 224.0.0.1\r\n", None),
        ("a=rtcp:5005\r\na=rtcp-mux\r\n", remote(4000)),
    ] {
        let (_, config) =
            ours().accept_offer(&body(&format!("m=audio 4000 RTP/AVP 0\r\n{attributes}"))).unwrap();
        assert_eq!(config.remote_rtcp, expected, "{attributes:?}");
        assert_eq!(config.rtcp_mux, attributes.contains("mux"));
    }
    let (_, config) = ours().accept_offer(&body("m=audio 65535 RTP/AVP 0\r\n")).unwrap();
    assert_eq!(config.remote_rtcp, None);
    let capabilities = Capabilities { rtcp_mux: false, ..Capabilities::default() };
    let offer = body("m=audio 4000 RTP/AVP 0\r\na=rtcp-mux\r\n");
    let (answer, config) = Negotiation::new(capabilities, local(), 1).accept_offer(&offer).unwrap();
    assert!(!config.rtcp_mux && !text(answer).contains("mux"));
}

#[test]
fn the_section_has_the_last_word_about_addresses_and_direction() {
    let offer = "v=0\r\nc=IN IP4 192.0.2.1\r\na=recvonly\r\nm=audio 4000 RTP/AVP 0\r\nc=IN IP4 192.0.2.9\r\n";
    let (answer, config) = ours().accept_offer(offer.as_bytes()).unwrap();
    assert_eq!((config.remote, config.direction), (remote(4000), Direction::SendOnly));
    assert!(text(answer).contains("a=sendonly\r\n"));
    let (_, config) = ours().accept_offer(format!("{offer}a=inactive\r\n").as_bytes()).unwrap();
    assert_eq!(config.direction, Direction::Inactive);
}

#[test]
fn ipv6_works_both_ways() {
    let mut negotiation =
        Negotiation::new(Capabilities::default(), "[2001:db8::1]:20000".parse().unwrap(), 1);
    assert!(text(negotiation.offer()).contains("c=IN IP6 2001:db8::1\r\n"));
    let offer = "v=0\r\nc=IN IP6 2001:db8::9\r\nm=audio 4000 RTP/AVP 0\r\n";
    let (answer, config) = negotiation.accept_offer(offer.as_bytes()).unwrap();
    assert_eq!(config.remote, Some("[2001:db8::9]:4000".parse().unwrap()));
    assert!(lines(&text(answer), "o=")[0].ends_with("IN IP6 2001:db8::1"));
}

#[test]
fn what_cannot_be_an_address_is_sent_to_by_nobody() {
    for connection in ["IP4 phone.example", "IP4 255.255.255.255", "IP4 239.1.1.1/16", "IP6 ff02::1"] {
        let offer = format!("v=0\r\nc=IN {connection}\r\nm=audio 4000 RTP/AVP 0\r\n");
        let (_, config) = ours().accept_offer(offer.as_bytes()).unwrap();
        assert_eq!((config.remote, config.remote_rtcp), (None, None), "{connection}");
    }
}

#[test]
fn the_version_grows_exactly_when_the_content_changes() {
    let mut negotiation = ours();
    assert_eq!(version(&text(negotiation.offer())), 1);
    assert_eq!(version(&text(negotiation.offer())), 1);
    negotiation.set_direction(Direction::SendOnly);
    assert_eq!(version(&text(negotiation.offer())), 2);
    assert_eq!(version(&text(negotiation.offer())), 2);
    negotiation.set_direction(Direction::SendRecv);
    assert_eq!(version(&text(negotiation.offer())), 3);
    let offer = body("m=audio 4000 RTP/AVP 8\r\n");
    let (first, _) = negotiation.accept_offer(&offer).unwrap();
    let (second, _) = negotiation.accept_offer(&offer).unwrap();
    assert_eq!((version(&text(first)), version(&text(second))), (4, 4));
    let full = text(negotiation.offer());
    assert_eq!(version(&full), 5);
    assert_eq!(lines(&full, "m="), ["m=audio 20000 RTP/AVP 0 8 101"], "a full offer, not the narrowed one");
}

#[test]
fn several_answers_to_one_offer_may_come_and_the_last_counts() {
    let mut negotiation = ours();
    let _ = negotiation.offer();
    let first = negotiation.accept_answer(&body("m=audio 4000 RTP/AVP 8\r\n")).unwrap();
    let second = negotiation.accept_answer(&body("m=audio 6000 RTP/AVP 0\r\na=sendonly\r\n")).unwrap();
    let last = negotiation.accept_answer(&body("m=audio 4000 RTP/AVP 8\r\n")).unwrap();
    assert_eq!((first.remote, first.send), (remote(4000), pcma()));
    assert_eq!((second.remote, second.direction), (remote(6000), Direction::RecvOnly));
    assert_eq!(last, first);
    assert!(!negotiation.peer_holds());
}

#[test]
fn answers_with_numbers_of_their_own_are_understood() {
    let mut negotiation = ours();
    let _ = negotiation.offer();
    let answer =
        body("m=audio 4000 RTP/AVP 96 97\r\na=rtpmap:96 PCMA/8000\r\na=rtpmap:97 telephone-event/8000\r\n");
    let config = negotiation.accept_answer(&answer).unwrap();
    let theirs = PayloadFormat { codec: Codec::Pcma, payload_type: 96 };
    assert_eq!(config.send, theirs);
    assert!(config.receive.contains(&theirs) && config.receive.contains(&pcma()));
    assert_eq!((config.send_event, config.receive_event), (Some(97), vec![101, 97]));
}

#[test]
fn a_peer_without_telephone_events_gets_none() {
    let mut negotiation = ours();
    let _ = negotiation.offer();
    let config = negotiation.accept_answer(&body("m=audio 4000 RTP/AVP 0\r\n")).unwrap();
    assert_eq!((config.send_event, config.receive_event), (None, vec![]));
}

#[test]
fn an_answer_needs_an_offer_and_audio() {
    let mut negotiation = ours();
    let answer = body("m=audio 4000 RTP/AVP 0\r\n");
    assert_eq!(negotiation.accept_answer(&answer), Err(SdpError::NoOffer));
    let _ = negotiation.offer();
    assert_eq!(negotiation.accept_answer(&body("")), Err(SdpError::NoAudio));
    assert_eq!(negotiation.accept_answer(&body("m=audio 0 RTP/AVP 0\r\n")), Err(SdpError::NoAudio));
    assert_eq!(negotiation.accept_answer(&body("m=video 4000 RTP/AVP 31\r\n")), Err(SdpError::NoAudio));
    assert_eq!(
        negotiation.accept_answer(&body("m=audio 4000 RTP/SAVP 0\r\n")),
        Err(SdpError::NoCommonSecurity)
    );
    assert_eq!(negotiation.accept_answer(&body("m=audio 4000 RTP/AVP 18\r\n")), Err(SdpError::NoCommonCodec));
    assert!(negotiation.accept_answer(&answer).is_ok(), "a bad answer leaves the offer open");
    negotiation.withdraw_offer();
    assert_eq!(negotiation.accept_answer(&answer), Err(SdpError::NoOffer));
}

#[test]
fn offers_we_cannot_take_are_refused_with_the_reason() {
    let refuse = |sections: &str| ours().accept_offer(&body(sections)).unwrap_err();
    assert_eq!(refuse(""), SdpError::NoAudio);
    assert_eq!(refuse("m=video 4000 RTP/AVP 31\r\n"), SdpError::NoAudio);
    assert_eq!(refuse("m=audio 0 RTP/AVP 0\r\n"), SdpError::NoAudio);
    assert_eq!(refuse("m=audio 4000 RTP/AVP 18 3\r\n"), SdpError::NoCommonCodec);
    assert_eq!(refuse("m=audio 4000 RTP/AVP\r\n"), SdpError::NoCommonCodec);
    assert_eq!(
        refuse("m=audio 4000 RTP/AVP 101\r\na=rtpmap:101 telephone-event/8000\r\n"),
        SdpError::NoCommonCodec
    );
    assert_eq!(refuse("m=audio 4000 RTP/SAVP 0\r\n"), SdpError::NoCommonSecurity);
    let homeless = ours().accept_offer(b"v=0\r\nm=audio 4000 RTP/AVP 0\r\n").unwrap_err();
    assert!(matches!(homeless, SdpError::Syntax { line: 2, .. }), "{homeless}");
    assert!(homeless.to_string().starts_with("SDP line 2: expected a c= line"));
}

#[test]
fn a_refused_offer_changes_nothing() {
    let mut negotiation = ours();
    let (before, _) = negotiation.accept_offer(&body("m=audio 4000 RTP/AVP 0\r\n")).unwrap();
    for offer in ["m=audio 4000 RTP/AVP 18\r\n", "m=video 1 RTP/AVP 31\r\n", "m=audio x\r\n"] {
        assert!(negotiation.accept_offer(&body(offer)).is_err());
    }
    let (after, _) = negotiation.accept_offer(&body("m=audio 4000 RTP/AVP 0\r\n")).unwrap();
    assert_eq!(text(before), text(after));
}

#[test]
fn audio_can_be_removed_and_come_back() {
    let mut negotiation = ours();
    negotiation.accept_offer(&body("m=audio 4000 RTP/AVP 0\r\n")).unwrap();
    let (answer, config) = negotiation.accept_offer(&body("m=audio 0 RTP/AVP 0\r\n")).unwrap();
    assert_eq!(lines(&text(answer), "m="), ["m=audio 0 RTP/AVP 0"]);
    assert_eq!((config.remote, config.direction), (None, Direction::Inactive));
    let (_, config) = negotiation.accept_offer(&body("m=audio 4000 RTP/AVP 0\r\n")).unwrap();
    assert_eq!((config.remote, config.direction), (remote(4000), Direction::SendRecv));
}

#[test]
fn a_number_the_peer_uses_otherwise_is_not_taken_for_events() {
    let mut negotiation = ours();
    let offer = body("m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 opus/48000/2\r\n");
    let (answer, config) = negotiation.accept_offer(&offer).unwrap();
    assert_eq!(config.send_event, None);
    assert_eq!(lines(&text(answer), "m="), ["m=audio 20000 RTP/AVP 0"]);
    let ours = text(negotiation.offer());
    assert!(!ours.contains("a=rtpmap:101 "), "{ours}");
    assert!(ours.contains("telephone-event/8000"));
}

#[test]
fn the_number_of_events_stays_for_later_offers() {
    let mut negotiation = ours();
    let offer = body("m=audio 4000 RTP/AVP 0 96\r\na=rtpmap:96 telephone-event/8000\r\n");
    negotiation.accept_offer(&offer).unwrap();
    assert_eq!(lines(&text(negotiation.offer()), "m="), ["m=audio 20000 RTP/AVP 0 8 96"]);
}

#[test]
fn no_line_of_the_peer_can_be_smuggled_into_ours() {
    let offer = format!("{HEAD}m=video 5000 RTP/AVP 31\u{b}a=x\r\nm=audio 4000 RTP/AVP 0\r\n");
    let (answer, _) = ours().accept_offer(offer.as_bytes()).unwrap();
    let answer = text(answer);
    assert_eq!(lines(&answer, "m=").len(), 2);
    assert!(!answer.lines().any(|line| line == "a=x"));
}

#[test]
fn wide_band_codecs_are_offered_after_g711_and_events_at_the_clock_of_each() {
    let offer = text(all().offer());
    for line in [
        "m=audio 20000 RTP/AVP 0 8 9 111 101 110",
        "a=rtpmap:9 G722/8000",
        "a=rtpmap:111 opus/48000/2",
        "a=fmtp:111 minptime=10;useinbandfec=1",
        "a=rtpmap:101 telephone-event/8000",
        "a=rtpmap:110 telephone-event/48000",
        "a=fmtp:110 0-16",
    ] {
        assert!(offer.lines().any(|known| known == line), "{line} in {offer}");
    }
    let answer = body(
        "m=audio 4000 RTP/AVP 111 110\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:110 telephone-event/48000\r\n\
         a=fmtp:111 useinbandfec=1;maxplaybackrate=16000\r\na=ptime:30\r\n",
    );
    let mut negotiation = all();
    _ = negotiation.offer();
    let config = negotiation.accept_answer(&answer).unwrap();
    assert_eq!(config.send, PayloadFormat { codec: Codec::Opus, payload_type: 111 });
    assert_eq!((config.send_event, config.encoder.peer_rate), (Some(110), 16_000));
    // Opus has no packets of 30 ms.
    assert_eq!((config.ptime_ms, config.receive_event), (20, vec![101, 110]));
}

#[test]
fn the_first_codec_of_the_offer_is_answered_and_its_numbers_stay_for_later_offers() {
    let mut negotiation = all();
    let offer = body(
        "m=audio 4000 RTP/AVP 96 9 0 97 98\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:97 telephone-event/48000\r\n\
         a=rtpmap:98 telephone-event/8000\r\n",
    );
    let (answer, config) = negotiation.accept_offer(&offer).unwrap();
    assert_eq!(config.send, PayloadFormat { codec: Codec::Opus, payload_type: 96 });
    assert_eq!((config.send_event, config.receive_event), (Some(97), vec![97]));
    assert!(!config.encoder.forward_error_correction, "nobody asked for it");
    let answer = text(answer);
    assert_eq!(lines(&answer, "m="), ["m=audio 20000 RTP/AVP 96 97"]);
    assert!(answer.contains("a=rtpmap:97 telephone-event/48000"), "{answer}");
    assert_eq!(lines(&text(negotiation.offer()), "m="), ["m=audio 20000 RTP/AVP 0 8 9 96 98 97"]);
}

#[test]
fn g722_is_answered_where_it_is_preferred() {
    let offer = body("m=audio 4000 RTP/AVP 9 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:60\r\n");
    let (_, config) = all().accept_offer(&offer).unwrap();
    assert_eq!(config.send, PayloadFormat { codec: Codec::G722, payload_type: 9 });
    assert_eq!((config.send_event, config.ptime_ms), (Some(101), 60));
}
