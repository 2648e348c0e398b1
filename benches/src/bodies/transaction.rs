//! A request that is answered at once: OPTIONS from outside, its 200, and the time until the transaction is forgotten.

use std::net::SocketAddr;

use bytes::Bytes;

use super::{
    Body,
    sip_world::{CALLEE, World, address},
};

const REQUESTS: u64 = 10;

/// One request, answered and forgotten.
#[must_use]
pub fn all() -> Vec<Body> {
    let from = SocketAddr::from(([10, 0, 0, 9], 5060));
    let mut world = World::new();
    let mut number = 0_u64;
    let run = move || {
        let mut answered = 0;
        for _ in 0..REQUESTS {
            number += 1;
            world.receive(CALLEE, from, &options(number));
            answered += world.settle(|_, _, _| {});
        }
        world.run_out();
        let gauges = world.parties[CALLEE].gauges();
        if gauges.server_transactions == 0 && gauges.timers == 0 { answered } else { 0 }
    };
    vec![Body::new("transaction", "request", REQUESTS, run)]
}

fn options(number: u64) -> Bytes {
    let to = address(CALLEE);
    let text = format!(
        "OPTIONS sip:{to} SIP/2.0\r\n\
         Via: SIP/2.0/UDP 10.0.0.9:5060;branch=z9hG4bK{number:016x};rport\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:probe@10.0.0.9>;tag=probe\r\n\
         To: <sip:{to}>\r\n\
         Call-ID: {number:016x}@10.0.0.9\r\n\
         CSeq: 1 OPTIONS\r\n\
         Contact: <sip:probe@10.0.0.9:5060>\r\n\
         Accept: application/sdp\r\n\
         Content-Length: 0\r\n\
         \r\n"
    );
    Bytes::from(text)
}
