//! The attributes a session acts upon; every other line is kept as it is.

use std::net::IpAddr;

use super::crypto::CryptoText;
use crate::config::Direction;

/// One `a=` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// `a=rtpmap:97 opus/48000/2` (RFC 8866 §6.6).
    RtpMap {
        /// RTP payload type, 0 to 127.
        payload_type: u8,
        /// Encoding name.
        name: String,
        /// RTP timestamp units per second.
        clock_rate: u32,
        /// Channels; 1 unless told.
        channels: u8,
    },
    /// `a=fmtp:101 0-15` (RFC 8866 §6.15).
    Fmtp {
        /// RTP payload type, 0 to 127.
        payload_type: u8,
        /// Everything after it.
        parameters: String,
    },
    /// `a=ptime:20`, ms (RFC 8866 §6.4), 10 to 200.
    Ptime(u8),
    /// `a=maxptime:60`, ms (RFC 8866 §6.5), 10 to 200.
    MaxPtime(u8),
    /// `a=sendrecv` and its siblings (RFC 8866 §6.7).
    Direction(Direction),
    /// `a=rtcp:53020 IN IP4 192.0.2.1` (RFC 3605).
    Rtcp {
        /// Port of RTCP.
        port: u16,
        /// Address of RTCP, if not that of RTP.
        address: Option<IpAddr>,
    },
    /// `a=rtcp-mux` (RFC 5761).
    RtcpMux,
    /// `a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:…` (RFC 4568), well-formed or not.
    Crypto(CryptoText),
    /// Anything else, also one of the above that is malformed.
    Other(String),
}

impl Attribute {
    /// Reads what follows `a=`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self::parse_known(text).unwrap_or_else(|| Self::Other(text.to_owned()))
    }

    fn parse_known(text: &str) -> Option<Self> {
        let (name, value) = text.split_once(':').map_or((text, ""), |(name, value)| (name, value.trim()));
        match name.trim() {
            "sendrecv" => Some(Self::Direction(Direction::SendRecv)),
            "sendonly" => Some(Self::Direction(Direction::SendOnly)),
            "recvonly" => Some(Self::Direction(Direction::RecvOnly)),
            "inactive" => Some(Self::Direction(Direction::Inactive)),
            "rtcp-mux" => Some(Self::RtcpMux),
            "ptime" => packet_time(value).map(Self::Ptime),
            "maxptime" => packet_time(value).map(Self::MaxPtime),
            "crypto" => Some(Self::Crypto(CryptoText::new(value))),
            "rtpmap" => {
                let (payload_type, encoding) = value.split_once(char::is_whitespace)?;
                let mut parts = encoding.trim().split('/');
                Some(Self::RtpMap {
                    payload_type: payload_type_of(payload_type)?,
                    name: parts.next().filter(|name| !name.is_empty())?.to_owned(),
                    clock_rate: parts.next()?.trim().parse().ok().filter(|&rate| rate > 0)?,
                    channels: parts.next().and_then(|channels| channels.trim().parse().ok()).unwrap_or(1),
                })
            }
            "fmtp" => {
                let (payload_type, parameters) = value.split_once(char::is_whitespace)?;
                Some(Self::Fmtp {
                    payload_type: payload_type_of(payload_type)?,
                    parameters: parameters.trim().to_owned(),
                })
            }
            "rtcp" => {
                let mut words = value.split_whitespace();
                let port = words.next()?.parse().ok()?;
                let address = words.nth(2).and_then(|address| address.parse().ok());
                Some(Self::Rtcp { port, address })
            }
            _ => None,
        }
    }
}

/// A payload type as written in an `m=` or `a=` line.
pub(super) fn payload_type_of(text: &str) -> Option<u8> {
    text.trim().parse().ok().filter(|&payload_type: &u8| payload_type <= 127)
}

/// Packet times from 10 to 200 ms; others are as good as none (CVE-2026-41416). Fractions are cut.
fn packet_time(text: &str) -> Option<u8> {
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    whole.trim().parse().ok().filter(|ms| (10..=200).contains(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_attributes_are_read() {
        assert_eq!(
            Attribute::parse("rtpmap:97 opus/48000/2"),
            Attribute::RtpMap { payload_type: 97, name: "opus".into(), clock_rate: 48_000, channels: 2 }
        );
        assert_eq!(
            Attribute::parse("rtpmap: 0  PCMU/8000"),
            Attribute::RtpMap { payload_type: 0, name: "PCMU".into(), clock_rate: 8000, channels: 1 }
        );
        assert_eq!(
            Attribute::parse("fmtp:101 0-11,16"),
            Attribute::Fmtp { payload_type: 101, parameters: "0-11,16".into() }
        );
        assert_eq!(Attribute::parse("ptime:20"), Attribute::Ptime(20));
        assert_eq!(Attribute::parse("maxptime: 60 "), Attribute::MaxPtime(60));
        assert_eq!(Attribute::parse("ptime:30.0"), Attribute::Ptime(30));
        assert_eq!(Attribute::parse("sendonly"), Attribute::Direction(Direction::SendOnly));
        assert_eq!(Attribute::parse("rtcp:5005"), Attribute::Rtcp { port: 5005, address: None });
        assert_eq!(
            Attribute::parse("rtcp:5005 IN IP4 192.0.2.9"),
            Attribute::Rtcp { port: 5005, address: Some("192.0.2.9".parse().unwrap()) }
        );
        assert_eq!(Attribute::parse("rtcp-mux"), Attribute::RtcpMux);
    }

    #[test]
    fn malformed_and_unknown_attributes_are_kept_as_they_are() {
        for text in [
            "rtpmap:128 X/8000",
            "rtpmap:4294967296 X/8000",
            "rtpmap:0",
            "rtpmap:0 PCMU",
            "rtpmap:0 PCMU/0",
            "rtpmap:0 /8000",
            "fmtp:101",
            "ptime:0",
            "ptime:9",
            "ptime:201",
            "ptime:-20",
            "ptime:99999999999",
            "rtcp:70000",
            "ssrc:1 cname:x",
            "",
            ":",
            "candidate:1 1 UDP 1 192.0.2.1 1 typ host",
        ] {
            assert_eq!(Attribute::parse(text), Attribute::Other(text.to_owned()));
        }
    }
}
