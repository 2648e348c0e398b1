//! Offer and answer from nothing to two session configurations.

use std::{hint::black_box, net::SocketAddr};

use media::{Capabilities, Negotiation};

use super::Body;

const EXCHANGES: u64 = 10;

/// An offer of ours answered by ourselves; and the offer of a browser-like phone, with much in it that is not for us.
#[must_use]
pub fn all() -> Vec<Body> {
    vec![
        Body::new("sdp_negotiation/both_sides", "exchange", EXCHANGES, || {
            (0..EXCHANGES).map(|_| u64::from(exchange().is_some())).sum()
        }),
        Body::new("sdp_negotiation/long_offer", "answer", EXCHANGES, || {
            (0..EXCHANGES).map(|_| u64::from(answer(black_box(LONG_OFFER)).is_some())).sum()
        }),
    ]
}

fn exchange() -> Option<()> {
    let mut caller = party(1);
    let mut callee = party(2);
    let offer = caller.offer();
    let (answer, session) = callee.accept_offer(&offer).ok()?;
    black_box(session);
    black_box(caller.accept_answer(&answer).ok()?);
    Some(())
}

fn answer(offer: &[u8]) -> Option<()> {
    black_box(party(3).accept_offer(offer).ok()?);
    Some(())
}

fn party(number: u8) -> Negotiation {
    let local = SocketAddr::from(([192, 0, 2, number], 4_000));
    Negotiation::new(Capabilities::default(), local, u64::from(number))
}

const LONG_OFFER: &[u8] = b"v=0\r\n\
o=phone 3731844522 3731844522 IN IP4 198.51.100.7\r\n\
s=a call\r\n\
c=IN IP4 198.51.100.7\r\n\
b=AS:84\r\n\
t=0 0\r\n\
a=group:BUNDLE 0\r\n\
a=X-nat:0\r\n\
m=audio 40012 RTP/AVP 96 97 9 3 0 8 101 13 98\r\n\
b=TIAS:64000\r\n\
a=rtpmap:96 opus/48000/2\r\n\
a=fmtp:96 useinbandfec=1;maxaveragebitrate=32000;stereo=0\r\n\
a=rtpmap:97 speex/16000\r\n\
a=rtpmap:9 G722/8000\r\n\
a=rtpmap:3 GSM/8000\r\n\
a=rtpmap:0 PCMU/8000\r\n\
a=rtpmap:8 PCMA/8000\r\n\
a=rtpmap:101 telephone-event/8000\r\n\
a=fmtp:101 0-16\r\n\
a=rtpmap:98 telephone-event/48000\r\n\
a=fmtp:98 0-16\r\n\
a=rtcp:40013 IN IP4 198.51.100.7\r\n\
a=rtcp-mux\r\n\
a=ssrc:305419896 cname:3c1d6a7e\r\n\
a=candidate:1 1 UDP 2130706431 198.51.100.7 40012 typ host\r\n\
a=candidate:1 2 UDP 2130706430 198.51.100.7 40013 typ host\r\n\
a=ptime:20\r\n\
a=maxptime:60\r\n\
a=sendrecv\r\n\
m=video 0 RTP/AVP 31\r\n";
