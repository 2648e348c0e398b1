//! When RTCP is sent, and what it says.

use std::{net::SocketAddr, time::Instant};

use super::Session;
use crate::{
    config::SessionConfig,
    shard::{Channel, Output, Random},
};

/// The RTCP half of a session.
#[derive(Debug)]
pub(crate) struct Reports {
    random: Random,
    round_trip_us: u32,
    remote_fraction_lost: u8,
}

impl Reports {
    pub(crate) fn new(_now: Instant, seed: u64) -> Self {
        Self { random: Random::new(seed), round_trip_us: 0, remote_fraction_lost: 0 }
    }
    pub(crate) fn configure(&mut self, _config: &SessionConfig) {}
    pub(crate) fn round_trip_us(&self) -> u32 {
        self.round_trip_us
    }
    pub(crate) fn remote_fraction_lost(&self) -> u8 {
        self.remote_fraction_lost
    }
}

impl Session {
    pub(crate) fn handle_rtcp(
        &mut self,
        _now: Instant,
        _channel: Channel,
        _from: SocketAddr,
        _datagram: &[u8],
    ) {
    }
    pub(crate) fn send_report_if_due(&mut self, _beat: u64, _now: Instant, _out: &mut Output) {}
    pub(crate) fn send_goodbye(&mut self, _beat: u64, _now: Instant, _out: &mut Output) {}
}
