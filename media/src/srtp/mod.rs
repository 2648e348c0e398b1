//! Secure RTP and RTCP: RFC 3711 with AES in counter mode and HMAC-SHA1, RFC 7714 with AES-GCM.
//!
//! A [`SendContext`] protects the packets of one sender, a [`ReceiveContext`] checks and opens those of one peer.
//! Both work in the caller's memory. Keys are agreed upon in SDP ([`crate::sdp::crypto`], RFC 4568).

mod cipher;
mod key_derivation;
mod keys;
mod receive_context;
mod replay_window;
mod send_context;

use std::fmt;

pub use keys::{KeySource, Keys, MasterKey};
pub use receive_context::ReceiveContext;
pub use send_context::SendContext;

/// How packets are encrypted and authenticated (RFC 4568 §6.2, RFC 7714 §14.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Suite {
    /// AES-128 in counter mode; tags of 80 bits.
    AesCm128HmacSha1_80,
    /// AES-128 in counter mode; tags of 32 bits on RTP, of 80 bits on RTCP.
    AesCm128HmacSha1_32,
    /// AES-128 in Galois/counter mode; tags of 128 bits.
    AeadAes128Gcm,
    /// AES-256 in Galois/counter mode; tags of 128 bits.
    AeadAes256Gcm,
}

impl Suite {
    /// All of them, the strongest first.
    pub const ALL: [Self; 4] =
        [Self::AeadAes256Gcm, Self::AeadAes128Gcm, Self::AesCm128HmacSha1_80, Self::AesCm128HmacSha1_32];

    /// Its name in SDP.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// The suite of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name().eq_ignore_ascii_case(name))
    }

    /// Bytes of its master key.
    #[must_use]
    pub const fn key_length(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 | Self::AeadAes128Gcm => 16,
            Self::AeadAes256Gcm => 32,
        }
    }

    /// Bytes of its master salt.
    #[must_use]
    pub const fn salt_length(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 => 14,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
        }
    }

    /// Bytes that protecting adds to an RTP packet.
    #[must_use]
    pub const fn rtp_overhead(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 => 10,
            Self::AesCm128HmacSha1_32 => 4,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
        }
    }

    /// Bytes that protecting adds to an RTCP packet.
    #[must_use]
    pub const fn rtcp_overhead(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 => INDEX_LEN + 10,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => INDEX_LEN + 16,
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a packet was not protected or not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SrtpError {
    /// It is shorter than its header and tag, or leaves no room for them.
    Malformed,
    /// Its tag is not that of the peer's key.
    Unauthenticated,
    /// It was received before, or is too old to tell. When sending: it is not younger than the one before it.
    Replayed,
    /// The key was used for as many packets as it may be.
    Exhausted,
}

impl fmt::Display for SrtpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "too short to be a secure packet",
            Self::Unauthenticated => "the authentication tag is wrong",
            Self::Replayed => "the packet was received before",
            Self::Exhausted => "the key was used for too many packets",
        })
    }
}

impl std::error::Error for SrtpError {}

/// Length of the header of an RTP packet, which is authenticated and not encrypted (RFC 3711 §3.1).
fn header_length(packet: &[u8]) -> Option<usize> {
    let first = packet.get(..RTP_HEADER)?[0];
    let mut length = RTP_HEADER + usize::from(first & 0x0F) * 4;
    if first & 0x10 != 0 {
        let words = packet.get(length + 2..length + 4)?;
        length += 4 + usize::from(u16::from_be_bytes([words[0], words[1]])) * 4;
    }
    (length <= packet.len()).then_some(length)
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

/// Header of RTP without contributing sources.
const RTP_HEADER: usize = 12;

/// The part of RTCP that is not encrypted: the first header and the sender's SSRC.
const RTCP_HEADER: usize = 8;

/// The E bit and the SRTCP index.
const INDEX_LEN: usize = 4;

/// The E bit: the packet is encrypted.
const ENCRYPTED: u32 = 1 << 31;

/// Last SRTCP index of a key (RFC 3711 §9.2).
const MAX_RTCP_INDEX: u32 = ENCRYPTED - 1;

/// Last SRTP index of a key.
const MAX_RTP_INDEX: u64 = (1 << 48) - 1;
