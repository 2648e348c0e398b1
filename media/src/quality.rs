//! How good a call is, and why nothing is heard where nothing is.

use std::fmt;

use crate::codec::Codec;

/// A mean opinion score as the E-model estimates it: 1.00 (bad) to 4.50, in hundredths; 0 while unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Mos(u16);

impl Mos {
    /// ITU-T G.107 with its default values, but for these: what the codec and lost packets impair (G.113) and what
    /// delay does. `lost` is a share from 0 to 1, `delay_ms` one way from mouth to ear.
    #[must_use]
    pub fn estimate(codec: Codec, lost: f32, delay_ms: f32) -> Self {
        let (equipment, robustness) = impairment(codec);
        let percent = lost.clamp(0.0, 1.0) * 100.0;
        // G.107 §7.5, losses at random.
        let effective = equipment + (95.0 - equipment) * percent / (percent + robustness);
        // The usual approximation of G.107 §7.4 where echo is cancelled.
        let late = (delay_ms - 177.3).max(0.0);
        let delay = 0.024 * delay_ms.max(0.0) + 0.11 * late;
        Self::from_rating(BASE - delay - effective)
    }

    /// From the rating factor R (G.107 annex B).
    #[must_use]
    pub fn from_rating(rating: f32) -> Self {
        let rating = rating.clamp(0.0, 100.0);
        let score = 1.0 + 0.035 * rating + rating * (rating - 60.0) * (100.0 - rating) * 7e-6;
        Self((score.clamp(1.0, 4.5) * 100.0).round() as u16)
    }

    /// 100 to 450; 0 while unknown.
    #[must_use]
    pub fn hundredths(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Mos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("unknown"),
            score => write!(f, "{}.{:02}", score / 100, score % 100),
        }
    }
}

/// Equipment impairment Ie and robustness against loss Bpl (ITU-T G.113 appendix I), both for losses that are
/// concealed. Wideband codecs, which have no place on this scale, count as G.711.
fn impairment(codec: Codec) -> (f32, f32) {
    match codec {
        Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::Opus | Codec::L16(_) => (0.0, 25.1),
    }
}

/// R with all default values of G.107.
const BASE: f32 = 93.2;

/// Reasons for silence, any number of them.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Reasons(u16);

impl Reasons {
    /// There is no reason: something is heard.
    pub const NONE: Self = Self(0);
    /// No address of the peer is known yet.
    pub const NO_ADDRESS: Self = Self(1);
    /// The offer/answer allows nothing in this direction: somebody holds.
    pub const HELD: Self = Self(1 << 1);
    /// No datagram arrived.
    pub const NO_PACKETS: Self = Self(1 << 2);
    /// Packets came from addresses that are not the peer's.
    pub const WRONG_SOURCE: Self = Self(1 << 3);
    /// Packets were not encrypted with the peer's key.
    pub const UNAUTHENTICATED: Self = Self(1 << 4);
    /// Packets had a payload type that was not negotiated, or were no RTP.
    pub const WRONG_FORMAT: Self = Self(1 << 5);
    /// Nobody hears or records the session.
    pub const NO_LISTENER: Self = Self(1 << 6);
    /// The session is muted in its mix.
    pub const MUTED: Self = Self(1 << 7);
    /// It is to hear silence, and nothing is played.
    pub const NOTHING_TO_HEAR: Self = Self(1 << 8);
    /// The session it is to hear is gone, or cannot be reached.
    pub const SOURCE_GONE: Self = Self(1 << 9);
    /// The session it is to hear says nothing at the moment.
    pub const SOURCE_SILENT: Self = Self(1 << 10);
    /// Audio of a playback comes too late.
    pub const STARVED: Self = Self(1 << 11);

    const NAMES: [(Self, &'static str); 12] = [
        (Self::NO_ADDRESS, "no address of the peer"),
        (Self::HELD, "held"),
        (Self::NO_PACKETS, "no packets"),
        (Self::WRONG_SOURCE, "packets from a wrong source"),
        (Self::UNAUTHENTICATED, "packets with a wrong key"),
        (Self::WRONG_FORMAT, "packets in a wrong format"),
        (Self::NO_LISTENER, "nobody listens"),
        (Self::MUTED, "muted"),
        (Self::NOTHING_TO_HEAR, "nothing to hear"),
        (Self::SOURCE_GONE, "the source is gone"),
        (Self::SOURCE_SILENT, "the source is silent"),
        (Self::STARVED, "playback starved"),
    ];

    /// Whether all of `reasons` are among these.
    #[must_use]
    pub fn contain(self, reasons: Self) -> bool {
        self.0 & reasons.0 == reasons.0
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }

    /// Adds reasons where `holds`.
    pub(crate) fn add(&mut self, reasons: Self, holds: bool) {
        if holds {
            self.0 |= reasons.0;
        }
    }

    /// What they are, in words.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(reason, _)| self.contain(*reason)).map(|(_, name)| name)
    }
}

impl fmt::Display for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, name) in self.names().enumerate() {
            write!(f, "{}{name}", if place > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reasons({self})")
    }
}

/// The quality of the last interval between two reports, some 5 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quality {
    /// What we hear of the peer.
    pub mos_received: Mos,
    /// What the peer hears of us, as far as it reports.
    pub mos_sent: Mos,
    /// Packets of the peer that were lost or too late to be heard, 1/256.
    pub loss_received: u8,
    /// Packets of ours that the peer reports lost, 1/256.
    pub loss_sent: u8,
    /// Interarrival jitter of the peer's stream, ms.
    pub jitter_ms: u16,
    /// Smallest round trip, ms; 0 while unknown.
    pub round_trip_ms: u16,
    /// Why nothing of the peer was heard.
    pub unheard: Reasons,
    /// Why the peer heard nothing of us at the end of the interval.
    pub unsaid: Reasons,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_of_the_e_model() {
        // G.107 annex B: R of 93.2 is 4.41, of 70 is 3.60, of 50 is 2.58.
        assert_eq!(Mos::from_rating(93.2).hundredths(), 441);
        assert_eq!(Mos::from_rating(70.0).hundredths(), 360);
        assert_eq!(Mos::from_rating(50.0).hundredths(), 258);
        assert_eq!(Mos::from_rating(-20.0).hundredths(), 100);
        assert_eq!(Mos::from_rating(120.0).hundredths(), 450);
        assert_eq!(Mos::estimate(Codec::Pcmu, 0.0, 0.0).to_string(), "4.41");
        assert_eq!(Mos::default().to_string(), "unknown");
    }

    #[test]
    fn loss_and_delay_make_it_worse() {
        let score = |lost, delay| Mos::estimate(Codec::Pcma, lost, delay);
        let falling =
            [score(0.0, 20.0), score(0.01, 20.0), score(0.05, 20.0), score(0.2, 20.0), score(1.0, 20.0)];
        assert!(falling.windows(2).all(|pair| pair[0] > pair[1]), "{falling:?}");
        let falling = [score(0.0, 20.0), score(0.0, 150.0), score(0.0, 300.0), score(0.0, 600.0)];
        assert!(falling.windows(2).all(|pair| pair[0] > pair[1]), "{falling:?}");
        // 5 % of G.711 with concealment: Ie,eff = 95 · 5 / 30.1.
        assert_eq!(score(0.05, 0.0), Mos::from_rating(93.2 - 15.78));
    }

    #[test]
    fn reasons_are_told_in_words() {
        let mut reasons = Reasons::NONE;
        reasons.add(Reasons::WRONG_SOURCE, true);
        reasons.add(Reasons::HELD, false);
        reasons.add(Reasons::MUTED, true);
        assert_eq!(reasons.to_string(), "packets from a wrong source, muted");
        assert!(reasons.contain(Reasons::MUTED) && !reasons.contain(Reasons::HELD) && !reasons.is_empty());
    }
}
