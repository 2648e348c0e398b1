//! What an endpoint is told when it is made.

use std::{net::IpAddr, net::SocketAddr, time::Duration};

use crate::{auth::digest::Algorithm, flow::Transport};

/// One address we listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    /// How.
    pub transport: Transport,
    /// The bound address.
    pub local: SocketAddr,
    /// The address written into Via and Contact; differs from `local` behind NAT or when bound to `0.0.0.0`.
    pub advertised: SocketAddr,
}

/// Configuration of an [`crate::Endpoint`]. Every field has a working default.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where we listen. The first listener of a transport is used for requests over it.
    pub listeners: Vec<Listener>,
    /// User-Agent and Server header. Default `offhook`.
    pub product: String,
    /// Digest realm and domain of our users. Default `offhook`.
    pub realm: String,
    /// Digest algorithms offered in a challenge, the preferred first. Default MD5 alone: phones in use (libre 1, SIPp 3)
    /// give up on a challenge with any other, even beside one that they know.
    pub digest: Vec<Algorithm>,
    /// Seed of tags, branches, Call-IDs and nonces: 32 unguessable bytes in production, fixed in the simulator.
    pub seed: [u8; 32],
    /// Users that may register and authenticate: see [`crate::auth::credentials::User`].
    pub users: Vec<crate::auth::credentials::User>,
    /// Networks (address, prefix length) whose INVITEs need no authentication. Default loopback.
    pub trusted: Vec<(IpAddr, u8)>,
    /// Whether REGISTER is served (registrar). Default true.
    pub registrar: bool,
    /// Round-trip estimate T1 (RFC 3261 §17.1.1.1). Default 500 ms.
    pub t1: Duration,
    /// Longest retransmission interval T2. Default 4 s.
    pub t2: Duration,
    /// Longest time a message stays in the network T4. Default 5 s.
    pub t4: Duration,
    /// Longest time an outgoing INVITE waits for a final response after a provisional one. Default 180 s.
    pub ring_timeout: Duration,
    /// Longest message accepted, bytes. Default 65,535.
    pub max_message: usize,
    /// Registration lifetime granted at most and at least, seconds. Default 3600 and 60.
    pub max_expires: u32,
    /// See `max_expires`.
    pub min_expires: u32,
    /// Contacts per user. Default 10.
    pub max_contacts: usize,
    /// INVITE usages at a time; more are answered 503 with Retry-After. Default 100,000.
    pub max_invites: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listeners: Vec::new(),
            product: "offhook".into(),
            realm: "offhook".into(),
            digest: vec![Algorithm::Md5],
            seed: [0; 32],
            users: Vec::new(),
            trusted: vec![
                (IpAddr::from([127, 0, 0, 0]), 8),
                (IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1u16]), 128),
            ],
            registrar: true,
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            ring_timeout: Duration::from_secs(180),
            max_message: 65_535,
            max_expires: 3600,
            min_expires: 60,
            max_contacts: 10,
            max_invites: 100_000,
        }
    }
}
