//! Reading SIP messages, and the headers of them that every request and response needs.

use std::hint::black_box;

use bytes::Bytes;
use signaling::message::{Headers, Message};

use super::Body;

const MESSAGES: u64 = 16;

/// An INVITE with SDP and an answer without.
#[must_use]
pub fn all() -> Vec<Body> {
    vec![parse("sip_parse/invite", INVITE), parse("sip_parse/response", RINGING)]
}

fn parse(name: &'static str, text: &'static [u8]) -> Body {
    let bytes = Bytes::from_static(text);
    Body::new(name, "message", MESSAGES, move || {
        (0..MESSAGES).map(|_| u64::from(read(black_box(&bytes)).is_some())).sum()
    })
}

fn read(bytes: &Bytes) -> Option<()> {
    let message = Message::parse(bytes).ok()?;
    let headers: &Headers = message.headers();
    black_box(headers.via().ok()?);
    black_box(headers.call_id().ok()?);
    black_box(headers.cseq().ok()?);
    black_box((headers.from_tag(), headers.to_tag()));
    black_box(headers.contact().ok()?);
    Some(())
}

/// As a desk phone behind a proxy sends it.
pub(super) const INVITE: &[u8] = b"INVITE sip:+4930123456@pbx.example.com;user=phone SIP/2.0\r\n\
Via: SIP/2.0/UDP 192.0.2.4:5060;branch=z9hG4bK-524287-1---5f1c2a7b9d3e;rport\r\n\
Via: SIP/2.0/UDP 198.51.100.20:5062;branch=z9hG4bK776asdhds;received=198.51.100.20;rport=5062\r\n\
Record-Route: <sip:192.0.2.4;lr;ftag=a73kszlfl>\r\n\
Max-Forwards: 69\r\n\
From: \"Alice at the desk\" <sip:alice@pbx.example.com>;tag=a73kszlfl\r\n\
To: <sip:+4930123456@pbx.example.com;user=phone>\r\n\
Call-ID: 1j9FpLxk3uxtm8tn-2f7c@198.51.100.20\r\n\
CSeq: 314159 INVITE\r\n\
Contact: <sip:alice@198.51.100.20:5062;transport=udp>;+sip.instance=\"<urn:uuid:f81d4fae-7dec>\"\r\n\
Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, REFER, NOTIFY, SUBSCRIBE, MESSAGE, PRACK\r\n\
Supported: replaces, timer, outbound, 100rel\r\n\
Session-Expires: 1800\r\n\
User-Agent: Desk 3.4.1\r\n\
P-Asserted-Identity: \"Alice\" <sip:alice@pbx.example.com>\r\n\
Content-Type: application/sdp\r\n\
Content-Length: 213\r\n\
\r\n\
v=0\r\n\
o=alice 53655765 2353687637 IN IP4 198.51.100.20\r\n\
s=-\r\n\
c=IN IP4 198.51.100.20\r\n\
t=0 0\r\n\
m=audio 49170 RTP/AVP 0 8 101\r\n\
a=rtpmap:0 PCMU/8000\r\n\
a=rtpmap:8 PCMA/8000\r\n\
a=rtpmap:101 telephone-event/8000\r\n\
a=sendrecv\r\n";

/// As the phone at the other end answers.
pub(super) const RINGING: &[u8] = b"SIP/2.0 180 Ringing\r\n\
Via: SIP/2.0/UDP 192.0.2.4:5060;branch=z9hG4bK-524287-1---5f1c2a7b9d3e;rport=5060;received=192.0.2.4\r\n\
Via: SIP/2.0/UDP 198.51.100.20:5062;branch=z9hG4bK776asdhds;received=198.51.100.20;rport=5062\r\n\
Record-Route: <sip:192.0.2.4;lr;ftag=a73kszlfl>\r\n\
From: \"Alice at the desk\" <sip:alice@pbx.example.com>;tag=a73kszlfl\r\n\
To: <sip:+4930123456@pbx.example.com;user=phone>;tag=8321234356\r\n\
Call-ID: 1j9FpLxk3uxtm8tn-2f7c@198.51.100.20\r\n\
CSeq: 314159 INVITE\r\n\
Contact: <sip:bob@203.0.113.9:5060>\r\n\
User-Agent: Desk 3.4.1\r\n\
Content-Length: 0\r\n\
\r\n";
