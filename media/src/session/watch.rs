//! Takes stock at each report: how good the last seconds were, and why nothing was heard if nothing was.

use std::time::Instant;

use super::{Path, Session};
use crate::{
    command::Feed,
    quality::{Mos, Quality, Reasons},
};

/// Counters at the last report.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    received: u64,
    late: u64,
    wrong_source: u64,
    invalid: u64,
    unauthenticated: u64,
    starved: u64,
    quality: Quality,
}

impl Watch {
    pub(super) fn quality(&self) -> Quality {
        self.quality
    }
}

impl Session {
    /// The quality of the last interval between two reports, and why the peer hears nothing now.
    #[must_use]
    pub fn quality(&self) -> Quality {
        Quality { unsaid: self.unsaid(None), ..self.watch.quality }
    }

    /// Judges the interval that ends. `lost` is the share of packets that did not arrive, 1/256.
    pub(super) fn take_stock(&mut self, now: Instant, lost: Option<u8>) {
        let stats = self.stats();
        let before = &self.watch;
        let received = stats.received - before.received;
        let unheard = self.unheard(received == 0, &stats, before);
        let mut unsaid = self.unsaid(Some(now));
        unsaid.add(Reasons::STARVED, stats.starved > before.starved);
        let codec = self.receive.codec().unwrap_or(self.config.send.codec);
        let trip_ms = stats.round_trip_us as f32 / 1_000.0;
        let frame_ms = f32::from(self.config.ptime_ms);

        let late = stats.late.saturating_sub(before.late) as f32 / received.max(1) as f32;
        let loss = (f32::from(lost.unwrap_or(0)) / 256.0 + late).min(1.0);
        let buffered_ms = stats.playout_delay_ms as f32;
        let mos_received = match received {
            0 => Mos::default(),
            _ => Mos::estimate(codec, loss, trip_ms / 2.0 + buffered_ms + frame_ms),
        };
        let mos_sent = match self.reports.is_reported() {
            false => Mos::default(),
            // What the peer's playout adds is not known; most keep two frames.
            true => Mos::estimate(
                self.config.send.codec,
                f32::from(stats.remote_fraction_lost) / 256.0,
                trip_ms / 2.0 + 3.0 * frame_ms,
            ),
        };
        self.watch = Watch {
            received: stats.received,
            late: stats.late,
            wrong_source: stats.wrong_source,
            invalid: stats.invalid,
            unauthenticated: stats.unauthenticated + stats.replayed,
            starved: stats.starved,
            quality: Quality {
                mos_received,
                mos_sent,
                loss_received: (loss * 256.0).min(255.0) as u8,
                loss_sent: stats.remote_fraction_lost,
                jitter_ms: (stats.jitter / 8).min(u32::from(u16::MAX)) as u16,
                round_trip_ms: (stats.round_trip_us / 1_000).min(u32::from(u16::MAX)) as u16,
                unheard,
                unsaid,
            },
        };
    }

    fn unheard(&self, silent: bool, stats: &crate::SessionStats, before: &Watch) -> Reasons {
        let mut reasons = Reasons::NONE;
        let held = !self.config.direction.receives();
        reasons.add(Reasons::HELD, held);
        reasons.add(Reasons::MUTED, self.muted && self.seat.is_some());
        reasons.add(
            Reasons::NO_LISTENER,
            self.listeners.is_empty() && self.taps.is_empty() && self.seat.is_none() && self.ears.is_none(),
        );
        if silent && !held {
            let refused = stats.unauthenticated + stats.replayed > before.unauthenticated;
            let strange = stats.wrong_source > before.wrong_source;
            let odd = stats.invalid > before.invalid;
            reasons.add(Reasons::NO_ADDRESS, self.config.remote.is_none());
            reasons.add(Reasons::UNAUTHENTICATED, refused);
            reasons.add(Reasons::WRONG_SOURCE, strange);
            reasons.add(Reasons::WRONG_FORMAT, odd);
            reasons.add(Reasons::NO_PACKETS, !(refused || strange || odd));
        }
        reasons
    }

    fn unsaid(&self, now: Option<Instant>) -> Reasons {
        let mut reasons = Reasons::NONE;
        reasons.add(Reasons::NO_ADDRESS, self.destination().is_none());
        reasons.add(Reasons::HELD, !self.config.direction.sends());
        if self.player.is_none() {
            let from_session = matches!(self.feed, Feed::Session(_));
            reasons.add(Reasons::NOTHING_TO_HEAR, matches!(self.feed, Feed::Silence));
            reasons.add(Reasons::SOURCE_GONE, from_session && self.path == Path::None);
            let paused = now.is_some_and(|now| self.relay.is_paused(now));
            reasons.add(Reasons::SOURCE_SILENT, from_session && self.path == Path::Relay && paused);
        }
        reasons
    }
}
