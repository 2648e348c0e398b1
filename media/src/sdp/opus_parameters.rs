//! What the `a=fmtp` line of Opus asks of who sends it audio (RFC 7587 §6.1).

use super::{Attribute, Media};
use crate::codec::{Codec, EncoderSettings};

/// What we ask for.
pub(super) const OURS: &str = "minptime=10;useinbandfec=1";

/// How to encode for a peer whose description has this media section.
pub(super) fn settings(media: &Media, codec: Codec, payload_type: u8) -> EncoderSettings {
    let settings = EncoderSettings::default();
    if codec != Codec::Opus {
        return settings;
    }
    let parameters = media.attributes.iter().find_map(|attribute| {
        let Attribute::Fmtp { payload_type: known, parameters } = attribute else { return None };
        (*known == payload_type).then_some(parameters.as_str())
    });
    let value = |name: &str| {
        let mut pairs = parameters.unwrap_or_default().split(';').filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(known, _)| known.trim().eq_ignore_ascii_case(name))?;
        value.trim().parse::<u32>().ok()
    };
    EncoderSettings {
        forward_error_correction: value("useinbandfec") == Some(1),
        discontinuous: value("usedtx") == Some(1),
        peer_rate: value("maxplaybackrate").unwrap_or(settings.peer_rate).clamp(8_000, 48_000),
        // It is a limit, not a wish: above what speech needs we do not go.
        bit_rate: value("maxaveragebitrate").filter(|&rate| rate < ENOUGH).map(|rate| rate.max(LEAST)),
        ..settings
    }
}

/// Bits per second beyond which a limit is none.
const ENOUGH: u32 = 40_000;

/// Bits per second that are needed at least (RFC 6716 §2.1.1).
const LEAST: u32 = 6_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdp::Description;

    fn read(fmtp: &str) -> EncoderSettings {
        let body = format!(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 96\r\n\
             a=rtpmap:96 opus/48000/2\r\n{fmtp}"
        );
        let description = Description::parse(body.as_bytes()).unwrap();
        settings(&description.media[0], Codec::Opus, 96)
    }

    #[test]
    fn what_the_peer_asks_for_is_done() {
        let all =
            read("a=fmtp:96 maxplaybackrate=16000; useinbandfec=1;usedtx=1; maxaveragebitrate=20000\r\n");
        assert!(all.forward_error_correction && all.discontinuous);
        assert_eq!((all.peer_rate, all.bit_rate), (16_000, Some(20_000)));
    }

    #[test]
    fn what_it_does_not_say_has_the_value_of_the_standard_and_nonsense_is_skipped() {
        for fmtp in
            ["", "a=fmtp:96 \r\n", "a=fmtp:96 usedtx;;=;maxplaybackrate=x\r\n", "a=fmtp:97 usedtx=1\r\n"]
        {
            let none = read(fmtp);
            assert!(!none.forward_error_correction && !none.discontinuous, "{fmtp}");
            assert_eq!((none.peer_rate, none.bit_rate), (48_000, None), "{fmtp}");
        }
        assert_eq!(read("a=fmtp:96 maxaveragebitrate=510000\r\n").bit_rate, None);
        assert_eq!(read("a=fmtp:96 maxaveragebitrate=1;maxplaybackrate=1\r\n").bit_rate, Some(6_000));
    }
}
