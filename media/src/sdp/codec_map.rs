//! Which payload type means what, on either side of an `m=` line.

use super::{Attribute, Media, attribute::payload_type_of};
use crate::codec::Codec;

/// What a payload type carries, as far as we can use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Audio.
    Audio(Codec),
    /// Telephone events at that clock rate (RFC 4733).
    TelephoneEvent(u32),
}

/// The usable formats of one `m=` line, in its order, each payload type once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CodecMap {
    entries: Vec<(u8, Meaning)>,
}

impl CodecMap {
    /// Reads the formats and `a=rtpmap` lines of a media section.
    #[must_use]
    pub fn of(media: &Media) -> Self {
        let mut entries: Vec<(u8, Meaning)> = Vec::with_capacity(media.formats.len());
        for payload_type in media.formats.iter().filter_map(|format| payload_type_of(format)) {
            // A list with duplicates is as good as one without (CVE-2023-40019).
            if entries.iter().any(|(known, _)| *known == payload_type) {
                continue;
            }
            if let Some(meaning) = meaning(media, payload_type) {
                entries.push((payload_type, meaning));
            }
        }
        Self { entries }
    }

    /// The codecs with their payload types, in order.
    pub fn codecs(&self) -> impl Iterator<Item = (Codec, u8)> + '_ {
        self.entries.iter().filter_map(|(payload_type, meaning)| match meaning {
            Meaning::Audio(codec) => Some((*codec, *payload_type)),
            Meaning::TelephoneEvent(_) => None,
        })
    }

    /// The payload type of a codec; the first, if there are several.
    #[must_use]
    pub fn payload_type(&self, codec: Codec) -> Option<u8> {
        self.codecs().find(|(known, _)| *known == codec).map(|(_, payload_type)| payload_type)
    }

    /// The payload type of telephone events at a clock rate.
    #[must_use]
    pub fn telephone_event(&self, clock_rate: u32) -> Option<u8> {
        self.entries
            .iter()
            .find(|(_, meaning)| *meaning == Meaning::TelephoneEvent(clock_rate))
            .map(|(payload_type, _)| *payload_type)
    }
}

fn meaning(media: &Media, payload_type: u8) -> Option<Meaning> {
    let mapped = media.attributes.iter().find_map(|attribute| {
        let Attribute::RtpMap { payload_type: known, name, clock_rate, channels } = attribute else {
            return None;
        };
        (*known == payload_type).then_some((name, *clock_rate, *channels))
    });
    match mapped {
        Some((name, clock_rate, 1)) if name.eq_ignore_ascii_case(TELEPHONE_EVENT) => {
            Some(Meaning::TelephoneEvent(clock_rate))
        }
        Some((name, clock_rate, 1)) => Codec::from_name(name, clock_rate).map(Meaning::Audio),
        // RFC 7587 §7: Opus is always announced with two channels, whatever is in it.
        Some((name, clock_rate, 2)) => {
            Codec::from_name(name, clock_rate).filter(|&codec| codec == Codec::Opus).map(Meaning::Audio)
        }
        Some(_) => None,
        // RFC 3551 §6: static payload types need no map.
        None => Codec::from_static_payload_type(payload_type).map(Meaning::Audio),
    }
}

/// Encoding name of RFC 4733 events.
pub(super) const TELEPHONE_EVENT: &str = "telephone-event";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdp::Description;

    fn map(section: &str) -> CodecMap {
        let body = format!("v=0\r\n{section}");
        CodecMap::of(&Description::parse(body.as_bytes()).unwrap().media[0])
    }

    #[test]
    fn static_and_dynamic_types_are_found_in_order() {
        let map = map(
            "m=audio 4000 RTP/AVP 96 8 0 18 101\r\na=rtpmap:96 pcmu/8000\r\na=rtpmap:101 Telephone-Event/8000\r\n",
        );
        assert_eq!(map.codecs().collect::<Vec<_>>(), [(Codec::Pcmu, 96), (Codec::Pcma, 8), (Codec::Pcmu, 0)]);
        assert_eq!(map.payload_type(Codec::Pcmu), Some(96));
        assert_eq!(map.telephone_event(8000), Some(101));
        assert_eq!(map.telephone_event(48_000), None);
    }

    #[test]
    fn a_map_overrides_a_static_type_and_nonsense_is_skipped() {
        assert_eq!(map("m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 G729/8000\r\n"), CodecMap::default());
        assert_eq!(map("m=audio 4000 RTP/AVP 4294967296 x -1 128 200\r\n"), CodecMap::default());
        assert_eq!(map("m=audio 4000 RTP/AVP 96\r\na=rtpmap:96 PCMU/8000/2\r\n"), CodecMap::default());
        assert_eq!(map("m=audio 4000 RTP/AVP 0 0 0\r\n").codecs().count(), 1);
        assert_eq!(map("m=audio 4000 RTP/AVP\r\n"), CodecMap::default());
    }

    #[test]
    fn events_are_kept_per_clock_rate() {
        let map = map(
            "m=audio 4000 RTP/AVP 96 97\r\na=rtpmap:96 telephone-event/48000\r\na=rtpmap:97 telephone-event/8000\r\n",
        );
        assert_eq!((map.telephone_event(48_000), map.telephone_event(8000)), (Some(96), Some(97)));
    }
}
