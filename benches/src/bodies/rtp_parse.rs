//! Reading RTP: is it RTP at all, and then its header and payload. One in eight packets has an extension, another
//! one padding.

use std::hint::black_box;

use media::rtp::{Class, classify, header::Packet};

use super::Body;

const PACKETS: usize = 64;

/// One packet of 160 bytes of audio.
#[must_use]
pub fn all() -> Vec<Body> {
    let datagrams: Vec<Vec<u8>> = (0..PACKETS).map(datagram).collect();
    let run = move || {
        let mut read = 0;
        for datagram in &datagrams {
            if classify(black_box(datagram)) == Class::Rtp
                && let Ok(packet) = Packet::parse(datagram)
            {
                read += u64::from(black_box(packet).payload.len() == 160);
            }
        }
        read
    };
    vec![Body::new("rtp_parse", "packet", PACKETS as u64, run)]
}

fn datagram(number: usize) -> Vec<u8> {
    let (extension, padding) = (number % 8 == 3, number % 8 == 5);
    let mut bytes = vec![0x80 | u8::from(padding) << 5 | u8::from(extension) << 4, 0];
    bytes.extend((number as u16).to_be_bytes());
    bytes.extend((number as u32 * 160).to_be_bytes());
    bytes.extend(0x0A0B_0C0D_u32.to_be_bytes());
    if extension {
        // RFC 8285 §4.2: one element of one byte.
        bytes.extend([0xBE, 0xDE, 0, 1, 0x10, 0x7F, 0, 0]);
    }
    bytes.extend([0x55; 160]);
    if padding {
        bytes.extend([0, 0, 0, 4]);
    }
    bytes
}
