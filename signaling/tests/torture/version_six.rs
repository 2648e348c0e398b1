//! RFC 5118: addresses of version 6.

use std::net::IpAddr;

use offhook_signaling::message::{Host, Name, Problem};

use crate::{error, request};

fn register(uri: &str, via: &str) -> String {
    format!(
        "
REGISTER {uri} SIP/2.0
To: sip:user@example.com
From: sip:user@example.com;tag=81x2
Via: {via}
Call-ID: SSG9559905523997077@hlau_4100
Max-Forwards: 70
Contact: \"Caller\" <sip:caller@[2001:db8::1]>
CSeq: 98176 REGISTER
Content-Length: 0

"
    )
}

const VIA: &str = "SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111";

fn ip(text: &str) -> Host {
    Host::Ip(text.parse::<IpAddr>().unwrap())
}

#[test]
fn ipv6_good() {
    let request = request(&register("sip:[2001:db8::10]", VIA));
    assert_eq!((request.uri.host, request.uri.port), (ip("2001:db8::10"), None));
    assert_eq!(request.headers.via().unwrap().host, ip("2001:db8::9:1"));
    assert_eq!(request.headers.contact().unwrap().uri.host, ip("2001:db8::1"));
}

/// Without brackets nobody can tell the port.
#[test]
fn ipv6_bad() {
    let error = error(&register("sip:2001:db8::10", VIA));
    assert_eq!(error.problem, Problem::RequestUri);
    assert!(error.answerable().is_some());
}

/// What looks like a port is part of the address.
#[test]
fn port_ambiguous() {
    let request = request(&register("sip:[2001:db8::10:5070]", VIA));
    assert_eq!((request.uri.host, request.uri.port), (ip("2001:db8::10:5070"), None));
}

#[test]
fn port_unambiguous() {
    let request = request(&register("sip:[2001:db8::10]:5070", VIA));
    assert_eq!((request.uri.host, request.uri.port), (ip("2001:db8::10"), Some(5070)));
}

/// The brackets in `received` are no part of its grammar but are written by some.
#[test]
fn via_received_param_with_delim() {
    let request = request(&register("sip:[2001:db8::10]", &VIA.replace(';', ";received=[2001:db8::9:255];")));
    assert_eq!(request.headers.via().unwrap().received(), "2001:db8::9:255".parse().ok());
}

#[test]
fn via_received_param_without_delim() {
    let request = request(&register("sip:[2001:db8::10]", &VIA.replace(';', ";received=2001:db8::9:255;")));
    assert_eq!(request.headers.via().unwrap().received(), "2001:db8::9:255".parse().ok());
}

/// Addresses of both versions in one list.
#[test]
fn mult_ip_in_header() {
    let via = format!(
        "SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bKas3-111, {VIA}, SIP/2.0/UDP 192.0.2.3;branch=1"
    );
    let request = request(&register("sip:user@[2001:db8::10]", &via));
    assert_eq!(request.headers.values(Name::Via).count(), 3);
    assert_eq!(request.headers.via().unwrap().port, Some(6050));
}

/// A body is not looked into.
#[test]
fn ipv6_in_sdp() {
    let sdp = "v=0\no=assistant 971731711378798081 0 IN IP6 2001:db8::20\nc=IN IP6 2001:db8::20\n";
    let text =
        register("sip:[2001:db8::10]", VIA).replace("Content-Length: 0", "Content-Type: application/sdp");
    let request = request(&(text + sdp));
    assert!(request.content().unwrap().is_sdp());
}

#[test]
fn ipv4_mapped_ipv6() {
    let request =
        request(&register("sip:user@[::ffff:192.0.2.10]", "SIP/2.0/UDP [::ffff:192.0.2.2]:5080;branch=1"));
    assert_eq!(request.uri.host, ip("::ffff:192.0.2.10"));
    assert_eq!(request.headers.via().unwrap().host, ip("::ffff:192.0.2.2"));
}

/// The third colon is a fault of the grammar in RFC 3261.
#[test]
fn ipv6_bug_abnf_3_colons() {
    let request = request(&register("sip:user@[2001:db8:::192.0.2.1]", VIA));
    assert_eq!(request.uri.host, ip("2001:db8::192.0.2.1"));
}
