//! Answers every call with a session description of its own making, here one that discards what it is told, and
//! shows what happens: `answer_with_own_sdp 127.0.0.1:5060`. Signaling without media.

use std::{error::Error, net::SocketAddr};

use offhook_signaling::{
    Body, Config, Event, StatusCode, Transport,
    io::{UserAgent, local_ip_towards},
};

#[allow(clippy::wildcard_enum_match_arm, reason = "shows whatever else happens")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address: SocketAddr = std::env::args().nth(1).as_deref().unwrap_or("127.0.0.1:5060").parse()?;
    let mut agent =
        UserAgent::bind(&[(Transport::Udp, address), (Transport::Tcp, address)], Config::default())?;
    println!("calls are answered at {address}");
    loop {
        match agent.event().await {
            Event::Incoming(id, call) => {
                println!("{} calls {}", call.from, call.request_uri);
                let ip = local_ip_towards(call.source.remote)?;
                agent.act(|endpoint, now| {
                    let Some(mut invite) = endpoint.invite(id) else { return Ok(()) };
                    invite.ring(now, StatusCode::RINGING, None)?;
                    invite.accept(now, Body::sdp(own_sdp(ip)))
                })?;
            }
            // Hold, resume: we do not mind.
            Event::Modify(id, offer) => agent.act(|endpoint, now| {
                let Some(mut invite) = endpoint.invite(id) else { return Ok(()) };
                let ip = local_ip_towards(([127, 0, 0, 1], 9).into()).unwrap_or(address.ip());
                println!("{} changes the session: {}", invite.call_id(), offer.is_some());
                invite.accept_modify(now, Body::sdp(own_sdp(ip)))
            })?,
            Event::Ended(_, ended) => println!("ended: {:?} {} {}", ended.cause, ended.code, ended.reason),
            other => println!("{other:?}"),
        }
    }
}

/// PCMU at the discard port.
fn own_sdp(ip: std::net::IpAddr) -> String {
    let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
    format!(
        "v=0\r\no=- 1 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\na=recvonly\r\n"
    )
}
