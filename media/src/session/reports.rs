//! When RTCP is sent and where to, and what the peer's reports tell (RFC 3550 §6).

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::Session;
use crate::{
    config::SessionConfig,
    event::Event,
    rtcp::{Compound, CompoundWriter, NtpTime, Packet, ReportBlock, SenderInfo, sender_report::round_trip},
    rtp::{Class, ReceptionReport},
    shard::{Channel, Output, Random},
};

/// The RTCP half of a session.
#[derive(Debug)]
pub(crate) struct Reports {
    random: Random,
    name: Name,
    /// Where the clock of our reports begins. It shows elapsed time, not the time of day, as RFC 3550 §4 allows.
    epoch: Instant,
    due: Option<Instant>,
    /// Address of the SDP.
    signaled: Option<SocketAddr>,
    /// Where reports of the peer came from, when that is not the address of the SDP.
    learned: Option<SocketAddr>,
    mux: bool,
    /// The peer's last sender report: middle of its NTP time, and when it came.
    last_sender_report: Option<(u32, Instant)>,
    packets_reported: u64,
    round_trip: Option<Duration>,
    remote_fraction_lost: u8,
    /// The peer said how our packets arrive.
    reported: bool,
}

impl Reports {
    pub(crate) fn new(now: Instant, seed: u64) -> Self {
        let mut random = Random::new(seed);
        Self {
            name: Name::new(&mut random),
            random,
            epoch: now,
            due: None,
            signaled: None,
            learned: None,
            mux: false,
            last_sender_report: None,
            packets_reported: 0,
            round_trip: None,
            remote_fraction_lost: 0,
            reported: false,
        }
    }

    pub(crate) fn configure(&mut self, config: &SessionConfig) {
        if config.remote_rtcp.is_some() && config.remote_rtcp != self.signaled {
            (self.signaled, self.learned) = (config.remote_rtcp, None);
        }
        self.mux = config.rtcp_mux;
    }

    /// Smallest round trip, microseconds; 0 while unknown.
    pub(crate) fn round_trip_us(&self) -> u32 {
        self.round_trip.map_or(0, |trip| trip.as_micros().min(u128::from(u32::MAX)) as u32)
    }

    /// Whether the peer said how our packets arrive.
    pub(crate) fn is_reported(&self) -> bool {
        self.reported
    }

    /// Share of our packets the peer lost lately, 1/256.
    pub(crate) fn remote_fraction_lost(&self) -> u8 {
        self.remote_fraction_lost
    }

    /// Between 0.5 and 1.5 times the interval (RFC 3550 §6.2).
    fn schedule(&mut self, now: Instant, interval: Duration) {
        let permille = 500 + self.random.below(1_001) as u32;
        self.due = Some(now + interval * permille / 1_000);
    }

    fn ntp(&self, now: Instant) -> NtpTime {
        NtpTime::since_1900(now.saturating_duration_since(self.epoch) + CLOCK_START)
    }

    fn learn_blocks(&mut self, now: Instant, own_ssrc: u32, blocks: impl Iterator<Item = ReportBlock>) {
        for block in blocks.filter(|block| block.ssrc == own_ssrc) {
            self.remote_fraction_lost = block.fraction_lost;
            self.reported = true;
            if let Some(trip) = round_trip(self.ntp(now), block.last_sender_report, block.delay_since_last) {
                self.round_trip = Some(self.round_trip.map_or(trip, |before| before.min(trip)));
            }
        }
    }
}

impl Session {
    /// Takes in RTCP: of the peer, or not at all.
    pub(crate) fn handle_rtcp(&mut self, now: Instant, channel: Channel, from: SocketAddr, datagram: &[u8]) {
        let Ok(compound) = Compound::parse(datagram) else {
            self.count_invalid();
            return;
        };
        if !self.is_reporter(channel, from) {
            self.receive.wrong_source += 1;
            return;
        }
        self.receive.heard_reports(now);
        let (own, peer) = (self.egress.ssrc(), self.receive.reception.ssrc());
        for packet in compound {
            match packet {
                Packet::SenderReport(report) => {
                    if peer == Some(report.ssrc) {
                        self.reports.last_sender_report = Some((report.info.ntp.middle(), now));
                        self.learn_reporter(channel, from);
                    }
                    self.reports.learn_blocks(now, own, report.blocks);
                }
                Packet::ReceiverReport(report) => {
                    if peer == Some(report.ssrc) {
                        self.learn_reporter(channel, from);
                    }
                    self.reports.learn_blocks(now, own, report.blocks);
                }
                Packet::SourceDescription(_) | Packet::Goodbye(_) | Packet::Other { .. } => {}
            }
        }
    }

    /// Reports come from where they were announced to come from, or from the host whose RTP is accepted.
    fn is_reporter(&self, channel: Channel, from: SocketAddr) -> bool {
        let host = self.destination().is_some_and(|address| address.ip() == from.ip());
        match channel {
            Channel::Rtp => self.destination() == Some(from),
            Channel::Rtcp => self.reports.signaled == Some(from) || (host && self.receive.latch.is_locked()),
        }
    }

    /// The sender of the accepted stream reports from there, so it is reached there.
    fn learn_reporter(&mut self, channel: Channel, from: SocketAddr) {
        if channel == Channel::Rtcp && self.reports.signaled != Some(from) {
            self.reports.learned = Some(from);
        }
    }

    fn reports_go_to(&self) -> Option<(Channel, SocketAddr)> {
        let rtp = self.destination()?;
        if self.reports.mux {
            return Some((Channel::Rtp, rtp));
        }
        // Behind a NAT the announced address leads nowhere, and the mapped one is not known before it was used.
        let announced = self.reports.signaled.filter(|address| address.ip() == rtp.ip());
        self.reports.learned.or(announced).map(|address| (Channel::Rtcp, address))
    }

    /// Sends a report when its time has come.
    pub(crate) fn send_report_if_due(&mut self, beat: u64, now: Instant, out: &mut Output) {
        match self.reports.due {
            None if self.destination().is_some() => self.reports.schedule(now, INTERVAL / 2),
            Some(due) if due <= now => {
                self.reports.schedule(now, INTERVAL);
                let reception = self.receive.reception.report();
                self.take_stock(now, reception.map(|report| report.fraction_lost));
                out.event(Event::Statistics(self.id, self.watch.quality()));
                self.send_report(beat, now, reception, false, out);
            }
            None | Some(_) => {}
        }
    }

    /// Tells the peer that the stream is over.
    pub(crate) fn send_goodbye(&mut self, beat: u64, now: Instant, out: &mut Output) {
        // RFC 3550 §6.3.7: who never sent says no goodbye.
        if self.egress.packets() > 0 {
            let reception = self.receive.reception.report();
            self.send_report(beat, now, reception, true, out);
        }
    }

    fn send_report(
        &mut self,
        beat: u64,
        now: Instant,
        reception: Option<ReceptionReport>,
        goodbye: bool,
        out: &mut Output,
    ) {
        let Some((channel, destination)) = self.reports_go_to() else { return };
        self.voice.set_expected_loss((u32::from(self.reports.remote_fraction_lost) * 100 / 256) as u8);
        let (ssrc, packets) = (self.egress.ssrc(), self.egress.packets());
        let block = reception.and_then(|report| self.report_block(now, &report));
        let blocks = block.as_slice();
        let mut buffer = [0; MAX_REPORT];
        let mut compound = CompoundWriter::new(&mut buffer);
        if packets > self.reports.packets_reported {
            let info = SenderInfo {
                ntp: self.reports.ntp(now),
                rtp_timestamp: self.egress.timestamp(self.clock(beat)),
                packets: packets as u32,
                bytes: self.egress.bytes() as u32,
            };
            compound.sender_report(ssrc, &info, blocks);
        } else {
            compound.receiver_report(ssrc, blocks);
        }
        compound.cname(ssrc, self.reports.name.as_str());
        if goodbye {
            compound.goodbye(ssrc);
        }
        let length = compound.len();
        self.reports.packets_reported = packets;
        let locked = channel == Channel::Rtp && self.receive.latch.is_locked();
        let overhead = self.rtcp_overhead();
        out.transmit(self.id, channel, destination, locked, |datagram| {
            datagram.extend_from_slice(&buffer[..length]);
            datagram.resize(datagram.len() + overhead, 0);
        });
        self.protect(Class::Rtcp, out);
    }

    fn report_block(&self, now: Instant, report: &ReceptionReport) -> Option<ReportBlock> {
        let ssrc = self.receive.reception.ssrc()?;
        let (last_sender_report, delay_since_last) =
            self.reports.last_sender_report.map_or((0, 0), |(middle, came)| {
                let delay = now.saturating_duration_since(came).as_micros() * 65_536 / 1_000_000;
                (middle, delay.min(u128::from(u32::MAX)) as u32)
            });
        Some(ReportBlock {
            ssrc,
            fraction_lost: report.fraction_lost,
            cumulative_lost: report.cumulative_lost,
            highest: report.highest,
            jitter: report.jitter,
            last_sender_report,
            delay_since_last,
        })
    }
}

/// A canonical name that says nothing about the host (RFC 7022 §4.2).
#[derive(Debug)]
struct Name([u8; 24]);

impl Name {
    fn new(random: &mut Random) -> Self {
        let mut name = [0; 24];
        for letter in &mut name {
            *letter = ALPHABET[random.below(ALPHABET.len() as u64) as usize];
        }
        Self(name)
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Mean time between reports (RFC 3550 §6.2).
const INTERVAL: Duration = Duration::from_secs(5);

/// The clock of our reports does not begin at 0, which stands for "no report".
const CLOCK_START: Duration = Duration::from_secs(3_600);

/// Sender report with one block, name and goodbye are 100 bytes and a bit.
const MAX_REPORT: usize = 160;
