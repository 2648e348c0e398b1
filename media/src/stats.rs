//! What a session and a shard can tell about themselves.

use crate::quality::Quality;

/// Counters of one session.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SessionStats {
    /// RTP packets received from the accepted source.
    pub received: u64,
    /// RTP payload bytes received from the accepted source.
    pub received_bytes: u64,
    /// RTP packets sent.
    pub sent: u64,
    /// RTP payload bytes sent.
    pub sent_bytes: u64,
    /// Packets of the peer that never arrived, by sequence number.
    pub lost: u64,
    /// Packets that arrived twice.
    pub duplicates: u64,
    /// Packets that arrived after a later one.
    pub reordered: u64,
    /// Packets that came too late to be heard.
    pub late: u64,
    /// Frames that were concealed.
    pub concealed: u64,
    /// Lost packets whose audio was read from the packet after them.
    pub recovered: u64,
    /// Pitch periods inserted or left out to change the playout delay.
    pub stretched: u64,
    /// Times the peer's stream started over while it was decoded: another source, a jump of time, a longer way.
    pub realigned: u64,
    /// How long the quickest packets wait before they are heard, ms; 0 while nothing is decoded.
    pub playout_delay_ms: u32,
    /// How long they should wait to suit the jitter of the last seconds, ms; 0 while nothing is decoded.
    pub playout_target_ms: u32,
    /// How much slower than ours the peer's clock runs, millionths; negative when it is faster.
    pub clock_drift_ppm: i32,
    /// Packets dropped because their source is not the peer's.
    pub wrong_source: u64,
    /// Datagrams that are not RTP or RTCP, or carry a payload type that was not negotiated.
    pub invalid: u64,
    /// Datagrams dropped because they are not encrypted with the peer's key.
    pub unauthenticated: u64,
    /// Encrypted packets dropped because they were received before, or are older than the last 128.
    pub replayed: u64,
    /// Interarrival jitter of the peer's stream (RFC 3550 §6.4.1), units of 1/8000 s whatever the codec.
    pub jitter: u32,
    /// Breaches of the egress continuity contract; anything but 0 is a defect.
    pub continuity_violations: u64,
    /// Own frames skipped because the worker was late.
    pub skipped: u64,
    /// Frames of playbacks whose audio came too late; they were silent.
    pub starved: u64,
    /// Smallest round-trip time from RTCP, microseconds; 0 while unknown.
    pub round_trip_us: u32,
    /// Share of our packets the peer reports lost, in 1/256 (RFC 3550 §6.4.1 fraction lost, latest).
    pub remote_fraction_lost: u8,
    /// Opinion scores of the last seconds, and why nothing was heard if nothing was.
    pub quality: Quality,
}

/// Counters of one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShardStats {
    /// Sessions open now.
    pub sessions: u64,
    /// RTP and RTCP datagrams handled.
    pub datagrams: u64,
    /// Datagrams produced.
    pub transmits: u64,
    /// Beats that began more than one beat late.
    pub late_beats: u64,
    /// Session frames skipped because the worker was more than a frame late.
    pub skipped_frames: u64,
    /// Commands for sessions that are gone.
    pub stale_commands: u64,
    /// Sum of the sessions' breaches of the continuity contract, closed sessions included.
    pub continuity_violations: u64,
    /// Frames that were concealed because nothing was there to be heard; closed sessions included.
    pub concealed: u64,
    /// Packets that came too late to be heard; closed sessions included.
    pub late_packets: u64,
}
