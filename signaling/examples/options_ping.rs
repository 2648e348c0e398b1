//! Asks a SIP peer whether it is there: `options_ping 192.0.2.7:5060 [tcp]`. Uses the transports alone.

use std::{error::Error, net::SocketAddr, time::Duration};

use offhook_signaling::{
    Transmit, Transport, Uri,
    io::{Received, Transports, local_ip_towards},
    message::{Message, Method, Name, Request},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let peer: SocketAddr = words.next().ok_or("usage: options_ping IP:PORT [tcp]")?.parse()?;
    let transport = if words.next().as_deref() == Some("tcp") { Transport::Tcp } else { Transport::Udp };
    let ip = local_ip_towards(peer)?;
    let mut transports = Transports::bind(&[(transport, (ip, 0).into())])?;
    let us = transports.listeners()[0].local;

    let mut request = Request::new(Method::Options, Uri::at(None, peer));
    let via = format!("SIP/2.0/{} {us};branch=z9hG4bK{};rport", transport.as_via(), us.port());
    request.headers.push(Name::Via, via);
    request.headers.push(Name::MaxForwards, "70");
    request.headers.push(Name::From, format!("<sip:ping@{us}>;tag=ping"));
    request.headers.push(Name::To, format!("<sip:{peer}>"));
    request.headers.push(Name::CallId, format!("ping-{us}"));
    request.headers.push(Name::CSeq, "1 OPTIONS");
    transports.send(Transmit { flow: None, transport, destination: peer, bytes: request.to_bytes() });

    // A real user agent would repeat it (RFC 3261 §17.1.2); one attempt is enough for a ping.
    let answer = async {
        loop {
            match transports.receive().await {
                Received::Message(source, bytes) => match Message::parse(&bytes) {
                    Ok(Message::Response(response)) => break Ok((source, response)),
                    Ok(Message::Request(_)) | Err(_) => {}
                },
                Received::Unreachable(destination) => break Err(destination),
                Received::FlowClosed(_) | Received::Resolved(..) => {}
            }
        }
    };
    match tokio::time::timeout(Duration::from_secs(5), answer).await {
        Ok(Ok((source, response))) => println!("{}: {} {}", source.remote, response.status, response.reason),
        Ok(Err(destination)) => println!("{destination} cannot be reached"),
        Err(_) => println!("{peer} does not answer"),
    }
    Ok(())
}
