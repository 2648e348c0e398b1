//! Protecting a packet of 20 ms of G.711 and opening it again: an operation is both.

use std::hint::black_box;

use media::{
    rtp::HEADER_LEN,
    srtp::{KeySource, ReceiveContext, SendContext, Suite},
};

use super::Body;

const PACKETS: usize = 64;

/// One body for each kind of encryption.
#[must_use]
pub fn all() -> Vec<Body> {
    let bodies = [("srtp_aes_cm", Suite::AesCm128HmacSha1_80), ("srtp_aes_gcm", Suite::AeadAes128Gcm)];
    bodies.map(|(name, suite)| Body::new(name, "packet", PACKETS as u64, body(suite))).into()
}

fn body(suite: Suite) -> impl FnMut() -> u64 {
    let key = KeySource::new([7; 32]).master_key(suite);
    let (mut send, mut receive) = (SendContext::new(&key), ReceiveContext::new(&key));
    let mut sequence = 0_u16;
    move || {
        let mut opened = 0;
        for _ in 0..PACKETS {
            sequence = sequence.wrapping_add(1);
            let mut room = [0x55; HEADER_LEN + 160 + 16];
            room[..2].copy_from_slice(&[0x80, 0]);
            room[2..4].copy_from_slice(&sequence.to_be_bytes());
            let datagram = &mut room[..HEADER_LEN + 160 + suite.rtp_overhead()];
            let sent = send.protect_rtp(black_box(datagram));
            opened += u64::from(sent.is_ok() && receive.unprotect_rtp(black_box(datagram)) == Ok(172));
        }
        opened
    }
}
