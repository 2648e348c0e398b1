//! RFC 4475 §3.1.1: unusual, but as the grammar has it.

use bytes::Bytes;
use offhook_signaling::message::{CSeq, Host, Message, Method, Name, Scheme, StatusCode};

use crate::{bytes, request, response};

/// Blanks and folds wherever they may stand.
#[test]
fn wsinv() {
    let request = request(
        r#"
INVITE sip:room@chair.example.com;unknownparam SIP/2.0
TO :
 sip:room@chair.example.com ;   tag    = 1918181833n
from   : "J Doe \\\""       <sip:doe@example.com>
  ;
  tag = 98asjd8
MaX-fOrWaRdS: 0068
Call-ID: wsinv.first@192.0.2.1
Content-Length   : 9
cseq: 0009
  INVITE
Via  : SIP  /   2.0
 /UDP
    192.0.2.2;branch=390skdjuw
s :
NewHeader:   new value
 continued value
UnusualValue: ;;,,;;,;
Content-Type: application/sdp
Route:
 <sip:services.example.com;lr;with=value;without-value>
v:  SIP  / 2.0  / TCP     spindle.example.com   ;
  branch  =   z9hG4bK9ikj8  ,
 SIP  /    2.0   / UDP  192.168.255.111   ; branch=
 z9hG4bK30239
m:"Quoted string \"\"" <sip:doe@example.com> ; newparam =
      newvalue ;
  secondparam ; q = 0.33

v=0
o=-
"#,
    );
    let headers = &request.headers;
    assert_eq!(request.uri.params.get("unknownparam"), Some(""));
    assert_eq!(headers.to().unwrap().tag(), Some("1918181833n"));
    let from = headers.from().unwrap();
    assert_eq!((from.display.as_deref(), from.tag()), (Some("J Doe \\\""), Some("98asjd8")));
    assert_eq!(headers.max_forwards(), Ok(68));
    assert_eq!(headers.cseq(), Ok(CSeq::new(9, Method::Invite)));
    assert_eq!(headers.get(Name::Subject), Some(""));
    assert_eq!(headers.get(Name::Other("newheader")), Some("new value continued value"));
    assert_eq!(headers.get(Name::Other("UnusualValue")), Some(";;,,;;,;"));
    assert_eq!(headers.values(Name::Via).count(), 3);
    assert_eq!(headers.via().unwrap().branch(), Some("390skdjuw"));
    let contact = headers.contact().unwrap();
    assert_eq!(contact.display.as_deref(), Some("Quoted string \"\""));
    assert_eq!((contact.params.get("newparam"), contact.q()), (Some("newvalue"), 330));
    assert!(headers.routes(Name::Route).unwrap()[0].uri.is_loose());
    assert_eq!(&request.body[..], b"v=0\r\no=-\r");
}

/// Every character that a method, a user and a parameter may have.
#[test]
fn intmeth() {
    let text = r#"
!interesting-Method0123456789_*+`.%indeed'~ sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com SIP/2.0
Via: SIP/2.0/TCP host1.example.com;branch=z9hG4bK-.!%66*_+`'~
To: "ALMOST:␇" <sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com>
From: token1~` token2'+_ token3*%!.- <sip:mundane@example.com>;fromParam''~+*_!.-%="юникод";tag=_token~1'+`*%!-.
Call-ID: intmeth.word%ZK-!.*_+'@word`~)(><:\/"][?}{
CSeq: 139122385 !interesting-Method0123456789_*+`.%indeed'~
Max-Forwards: 255
extensionHeader-!.%*+_`'~:大停電
Content-Length: 0

"#;
    let request = request(text);
    assert_eq!(request.method, Method::Other("!interesting-Method0123456789_*+`.%indeed'~".into()));
    assert_eq!(request.uri.user.as_deref(), Some("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"));
    assert_eq!(request.uri.password.as_deref(), Some("&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"));
    assert_eq!(request.headers.via().unwrap().branch(), Some("z9hG4bK-.!%66*_+`'~"));
    let from = request.headers.from().unwrap();
    assert_eq!(from.tag(), Some("_token~1'+`*%!-."));
    assert_eq!(from.params.unquoted("fromParam''~+*_!.-%").as_deref(), Some("юникод"));
    assert_eq!(request.headers.get(Name::Other("EXTENSIONHEADER-!.%*+_`'~")), Some("大停電"));
    assert_eq!(request.headers.max_forwards(), Ok(255));
}

/// Escapes in a URI stay as written and compare as what they mean.
#[test]
fn esc01() {
    let request = request(
        "
INVITE sip:sips%3Auser%40example.com@example.net SIP/2.0
To: sip:%75se%72@example.com
From: <sip:I%20have%20spaces@example.net>;tag=938
Max-Forwards: 87
i: esc01.239409asdfakjkn23onasd0-3234
CSeq: 234234 INVITE
Via: SIP/2.0/UDP host5.example.net;branch=z9hG4bKkdjuw
Contact: <sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31>
Content-Length: 0

",
    );
    assert_eq!(request.uri.user_unescaped().unwrap(), "sips:user@example.com");
    assert_eq!(request.uri.host, Host::Name("example.net".into()));
    assert!(request.headers.to().unwrap().uri.equivalent(&"sip:user@example.com".parse().unwrap()));
    assert_eq!(request.headers.from().unwrap().uri.user_unescaped().unwrap(), "I have spaces");
    let contact = request.headers.contact().unwrap();
    // An escaped `lr` is not the parameter `lr`.
    assert!(!contact.uri.is_loose());
    assert_eq!(contact.uri.params.get("n%61me"), Some("v%61lue%25%34%31"));
}

/// An escaped zero byte ends nothing.
#[test]
fn escnull() {
    let request = request(
        "
REGISTER sip:example.com SIP/2.0
To: sip:null-%00-null@example.com
From: sip:null-%00-null@example.com;tag=839923423
Max-Forwards: 70
Call-ID: escnull.39203ndfvkjdasfkq3w4otrq0adsfdfnavd
CSeq: 14398234 REGISTER
Via: SIP/2.0/UDP host5.example.com;branch=z9hG4bKkdjuw
Contact: <sip:%00@host5.example.com>
Contact: <sip:%00%00@host5.example.com>
L:0

",
    );
    let contacts = request.headers.contacts().unwrap();
    assert_eq!(contacts.len(), 2);
    assert!(!contacts[0].uri.equivalent(&contacts[1].uri));
    assert_eq!(request.headers.to().unwrap().uri.user_unescaped().unwrap(), "null-\0-null");
}

/// A percent sign in a method or display name escapes nothing.
#[test]
fn esc02() {
    let request = request(
        r#"
RE%47IST%45R sip:registrar.example.com SIP/2.0
To: "%Z%45" <sip:resource@example.com>
From: "%Z%45" <sip:resource@example.com>;tag=f232jadfj23
Call-ID: esc02.asdfnqwo34rq23i34jrjasdcnl23nrlknsdf
Via: SIP/2.0/TCP host.example.com;branch=z9hG4bK209%fzsnel234
CSeq: 29344 RE%47IST%45R
Max-Forwards: 70
Contact: <sip:alias1@host1.example.com>
C%6Fntact: <sip:alias2@host2.example.com>
Contact: <sip:alias3@host3.example.com>
l: 0

"#,
    );
    assert_eq!(request.method, Method::Other("RE%47IST%45R".into()));
    assert_eq!(request.headers.to().unwrap().display.as_deref(), Some("%Z%45"));
    assert_eq!(request.headers.contacts().unwrap().len(), 2);
}

/// No blank between display name and bracket.
#[test]
fn lwsdisp() {
    let request = request(
        "
OPTIONS sip:user@example.com SIP/2.0
To: sip:user@example.com
From: caller<sip:caller@example.com>;tag=323
Max-Forwards: 70
Call-ID: lwsdisp.1234abcd@funky.example.com
CSeq: 60 OPTIONS
Via: SIP/2.0/UDP funky.example.com;branch=z9hG4bKkdjuw
l: 0

",
    );
    assert_eq!(request.headers.from().unwrap().display.as_deref(), Some("caller"));
}

/// Long values, many of them.
#[test]
fn longreq() {
    let long = "unreasonably-long-".repeat(40);
    let vias: String = (0..30)
        .map(|hop| format!("v: SIP/2.0/TCP sip{hop}.example.com;branch=z9hG4bK{hop}{long}\n"))
        .collect();
    let text = format!(
        "
INVITE sip:user@example.com SIP/2.0
To: \"I have a user name of {long}\" <sip:user@example.com:6000;unknownparam1={long};{long}=x>
F: sip:{long}@example.net;tag=12{long}424;unknownheaderparamname{long}=value{long}
Call-ID: longreq.one{long}longcallid
CSeq: 3882340 INVITE
UnknownName{long}: unknown-value{long}
{vias}Max-Forwards: 70
Contact: <sip:{long}@host5.example.net>
Content-Type: application/sdp
l: 0

"
    );
    let request = request(&text);
    assert_eq!(request.headers.values(Name::Via).count(), 30);
    assert_eq!(request.headers.to().unwrap().uri.port, Some(6000));
    assert!(request.headers.from_tag().unwrap().ends_with("424"));
    assert_eq!(
        request.headers.get(Name::Other(&format!("unknownname{long}"))),
        Some(&*format!("unknown-value{long}"))
    );
}

/// A datagram with more in it than its message.
#[test]
fn dblreq() {
    let request = request(
        "
REGISTER sip:example.com SIP/2.0
To: sip:j.user@example.com
From: sip:j.user@example.com;tag=43251j3j324
Max-Forwards: 8
I: dblreq.0ha0isndaksdj99sdfafnl3lk233412
Contact: sip:j.user@host.example.com
CSeq: 8 REGISTER
Via: SIP/2.0/UDP 192.0.2.125;branch=z9hG4bKkdjuw23492
Content-Length: 0


INVITE sip:joe@example.com SIP/2.0
t: sip:joe@example.com
",
    );
    assert_eq!(request.method, Method::Register);
    assert!(request.body.is_empty());
}

/// Semicolons in the user part are no parameters.
#[test]
fn semiuri() {
    let request = request(
        "
OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0
To: sip:j_user@example.com
From: sip:caller@example.org;tag=33242
Max-Forwards: 3
Call-ID: semiuri.0ha0isndaksdj
CSeq: 8 OPTIONS
Accept: application/sdp, application/pkcs7-mime,
        multipart/mixed, multipart/signed,
        message/sip, message/sipfrag
Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKkdjuw
l: 0

",
    );
    assert_eq!(request.uri.user.as_deref(), Some("user;par=u%40example.net"));
    assert!(request.uri.params.is_empty());
    assert!(request.headers.has_token(Name::Accept, "multipart/signed"));
}

/// Transports that are unknown here.
#[test]
fn transports() {
    let request = request(
        "
OPTIONS sip:user@example.com SIP/2.0
To: sip:user@example.com
From: <sip:caller@example.com>;tag=323
Max-Forwards: 70
Call-ID:  transports.kijh4akdnaqjkwendsasfdj
Accept: application/sdp
CSeq: 60 OPTIONS
Via: SIP/2.0/UDP t1.example.com;branch=z9hG4bKkdjuw
Via: SIP/2.0/SCTP t2.example.com;branch=z9hG4bKklasjdhf
Via: SIP/2.0/TLS t3.example.com;branch=z9hG4bK2980unddj
Via: SIP/2.0/UNKNOWN t4.example.com;branch=z9hG4bKasd0f3en
Via: SIP/2.0/TCP t5.example.com;branch=z9hG4bK0a9idfnee
l: 0

",
    );
    assert_eq!(request.headers.values(Name::Via).count(), 5);
}

/// A body of any bytes.
#[test]
fn mpart01() {
    let head = bytes(
        "
MESSAGE sip:kumiko@example.org SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK-d87543-4dade06d0bdb11ee-1--d87543-;rport
Max-Forwards: 70
Route: <sip:127.0.0.1:5080>
Identity: r5mwreLuyDRYBi/0TiPwEsY3rEVsk/G2WxhgTV1PF7hHuL
Contact: <sip:fluffy@127.0.0.1:5070>
To: <sip:kumiko@example.org>
From: <sip:fluffy@example.com>;tag=2fb0dcc9
Call-ID: 3d9485ad0c49859b@Zmx1ZmZ5LW1hYy0xNi5sb2NhbA..
CSeq: 1 MESSAGE
Content-Type: multipart/mixed;boundary=7a9cbec02ceef655
Content-Length: 256

",
    );
    let mut whole = head.to_vec();
    whole.extend(0..=255u8);
    let Ok(Message::Request(request)) = Message::parse(&Bytes::from(whole.clone())) else {
        panic!("it is valid")
    };
    assert!(request.body.iter().copied().eq(0..=255));
    let body = request.content().unwrap();
    assert!(body.is("multipart/mixed") && !body.is_sdp());
    assert_eq!(Message::parse(&request.to_bytes()), Ok(Message::Request(request)));
}

/// Characters beyond ASCII in the reason.
#[test]
fn unreason() {
    let response = response(
        "
SIP/2.0 200 = 2**3 * 5**2 но сто девяносто девять - простое
Via: SIP/2.0/UDP 192.0.2.198;branch=z9hG4bK1324923
Call-ID: unreason.1234ksdfak3j2erwedfsASdf
CSeq: 35 INVITE
From: sip:user@example.com;tag=11141343
To: sip:user@example.edu;tag=2229
Content-Length: 0
Contact: <sip:user@host198.example.com>

",
    );
    assert_eq!(response.reason, "= 2**3 * 5**2 но сто девяносто девять - простое");
}

/// No reason at all, with and without the blank before it.
#[test]
fn noreason() {
    for line in ["SIP/2.0 100 ", "SIP/2.0 100"] {
        let response = response(&format!(
            "{line}
Via: SIP/2.0/UDP 192.0.2.105;branch=z9hG4bK2398ndaoe
Call-ID: noreason.asndj203insdf99223ndf
CSeq: 35 INVITE
From: <sip:user@example.com>;tag=39ansfi3
To: <sip:user@example.edu>;tag=902jndnke3
Content-Length: 0
Contact: <sip:user@host105.example.com>

"
        ));
        assert_eq!((response.status, &*response.reason), (StatusCode::TRYING, ""));
    }
}

/// Line ends before the message, bare line feeds as line ends, and a value that is no UTF-8.
#[test]
fn sloppy_senders_are_understood() {
    let text = b"\r\n\r\nOPTIONS tel:+1 SIP/2.0\nVia: SIP/2.0/UDP h;branch=1\nf: J\xfcrgen <sip:a@b>;tag=1\nt: sip:c@d\ni: 1\nCSeq: 1 OPTIONS\n\nx";
    let Ok(Message::Request(request)) = Message::parse(&Bytes::from_static(text)) else {
        panic!("it is readable")
    };
    assert_eq!(request.uri.scheme, Scheme::Tel);
    assert_eq!(request.headers.from().unwrap().display.as_deref(), Some("J\u{fffd}rgen"));
    assert_eq!(&request.body[..], b"x");
}
