//! Judges a received stream by its bytes alone. It shares no code with what it judges.

use std::time::{Duration, Instant};

/// What one receiver knows about the stream sent to it.
pub(crate) struct Checker {
    /// Samples of a packet.
    frame: u32,
    event_payload_type: Option<u8>,
    first: Option<(Instant, u32)>,
    last: Option<Seen>,
    event: Option<EventSeen>,
    recent: Vec<Instant>,
    pub(crate) packets: u64,
    pub(crate) events: u64,
    pub(crate) marked: u64,
    /// Smallest and largest difference between media time and arrival, samples.
    pub(crate) skew: (i64, i64),
    pub(crate) violations: Vec<String>,
}

#[derive(Clone, Copy)]
struct Seen {
    at: Instant,
    ssrc: u32,
    sequence: u16,
    /// First timestamp after it.
    end: u32,
}

#[derive(Clone, Copy)]
struct EventSeen {
    timestamp: u32,
    code: u8,
    duration: u16,
    ends: u32,
    interrupted: bool,
}

impl Checker {
    pub(crate) fn new(frame: u32, event_payload_type: Option<u8>) -> Self {
        Self {
            frame,
            event_payload_type,
            first: None,
            last: None,
            event: None,
            recent: Vec::new(),
            packets: 0,
            events: 0,
            marked: 0,
            skew: (0, 0),
            violations: Vec::new(),
        }
    }

    pub(crate) fn packet(&mut self, at: Instant, bytes: &[u8]) {
        if bytes.len() < 12 || bytes[0] != 0x80 {
            self.blame(format!("not a plain RTP packet: {:02x?}", &bytes[..bytes.len().min(12)]));
            return;
        }
        self.packets += 1;
        let marker = bytes[1] & 0x80 != 0;
        let payload_type = bytes[1] & 0x7F;
        let sequence = u16::from_be_bytes([bytes[2], bytes[3]]);
        let timestamp = u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        let ssrc = u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
        let (began, origin) = *self.first.get_or_insert((at, timestamp));
        let is_event = Some(payload_type) == self.event_payload_type;
        // An event keeps the time of its start; how far it got is in its payload.
        let so_far = match bytes[12..] {
            [_, _, high, low] if is_event => {
                u32::from(u16::from_be_bytes([high, low])).saturating_sub(self.frame)
            }
            _ => 0,
        };
        self.pace(at, began, timestamp.wrapping_add(so_far).wrapping_sub(origin));
        if !timestamp.wrapping_sub(origin).is_multiple_of(self.frame) {
            self.blame(format!("timestamp {timestamp} is off the grid of {origin}"));
        }
        if let Some(last) = self.last {
            if ssrc != last.ssrc {
                self.blame(format!("SSRC {ssrc:x} after {:x}", last.ssrc));
            }
            if sequence != last.sequence.wrapping_add(1) {
                self.blame(format!("sequence {sequence} after {}", last.sequence));
            }
        }
        self.marked += u64::from(marker);
        // A hold may cut an event off.
        if let (Some(last), Some(event)) = (self.last, &mut self.event) {
            event.interrupted |= at - last.at > HOLD;
        }
        let end = if is_event {
            self.event_packet(timestamp, marker, &bytes[12..])
        } else {
            self.audio_packet(timestamp, marker, &bytes[12..])
        };
        self.last = Some(Seen { at, ssrc, sequence, end });
    }

    fn audio_packet(&mut self, timestamp: u32, marker: bool, payload: &[u8]) -> u32 {
        if let Some(event) = self.event.take()
            && event.ends != 3
            && !event.interrupted
        {
            self.blame(format!("audio after {} ends of event {}", event.ends, event.code));
        }
        if payload.len() != self.frame as usize {
            self.blame(format!("{} bytes of audio", payload.len()));
        }
        match self.last {
            None if !marker => self.blame("the first packet is not marked".to_owned()),
            None => {}
            Some(last) => {
                let ahead = timestamp.wrapping_sub(last.end) as i32;
                if ahead < 0 {
                    self.blame(format!("timestamp goes back by {}", -ahead));
                } else if (ahead > 0) != marker {
                    self.blame(format!("marker {marker} after a gap of {ahead}"));
                }
            }
        }
        timestamp.wrapping_add(self.frame)
    }

    fn event_packet(&mut self, timestamp: u32, marker: bool, payload: &[u8]) -> u32 {
        let &[code, flags, high, low] = payload else {
            self.blame(format!("event payload of {} bytes", payload.len()));
            return timestamp;
        };
        self.events += 1;
        let (ends, duration) = (flags & 0x80 != 0, u16::from_be_bytes([high, low]));
        let known = self.event.filter(|event| event.timestamp == timestamp);
        match known {
            Some(event) => {
                if marker || event.code != code {
                    self.blame(format!("event {code} within event {}, marker {marker}", event.code));
                }
                if duration < event.duration || (event.ends > 0 && (duration != event.duration || !ends)) {
                    self.blame(format!("event {code} of {duration} after {}", event.duration));
                }
                if event.ends >= 3 {
                    self.blame(format!("event {code} ends more than three times"));
                }
            }
            None => {
                if let Some(event) = self.event
                    && event.ends != 3
                    && !event.interrupted
                {
                    self.blame(format!("event {code} after {} ends of event {}", event.ends, event.code));
                }
                if !marker {
                    self.blame(format!("event {code} begins without a marker"));
                }
                if let Some(last) = self.last
                    && (timestamp.wrapping_sub(last.end) as i32) < 0
                {
                    self.blame(format!("event {code} begins in the past"));
                }
            }
        }
        let ends = known.map_or(0, |event| event.ends) + u32::from(ends);
        self.event = Some(EventSeen {
            timestamp,
            code,
            duration,
            ends,
            interrupted: known.is_some_and(|event| event.interrupted),
        });
        let end = timestamp.wrapping_add(u32::from(duration));
        self.last.map_or(end, |last| if (end.wrapping_sub(last.end) as i32) < 0 { last.end } else { end })
    }

    /// Media time follows real time, and nothing comes in bursts.
    fn pace(&mut self, at: Instant, began: Instant, media: u32) {
        let elapsed = at.saturating_duration_since(began).as_micros() as i64 * 8 / 1_000;
        let skew = i64::from(media as i32) - elapsed;
        self.skew = (self.skew.0.min(skew), self.skew.1.max(skew));
        if !(-MAX_BEHIND..=MAX_AHEAD).contains(&skew) {
            self.blame(format!("media time is {skew} samples off real time"));
        }
        self.recent.retain(|&then| at.saturating_duration_since(then) < Duration::from_millis(20));
        self.recent.push(at);
        if self.recent.len() > (BURST / self.frame).max(4) as usize {
            self.blame(format!("{} packets within 20 ms", self.recent.len()));
        }
    }

    fn blame(&mut self, what: String) {
        if self.violations.len() < 20 {
            self.violations.push(format!("packet {}: {what}", self.packets));
        }
    }
}

/// Relayed packets may be as late as the network made them: 300 ms.
const MAX_BEHIND: i64 = 2_400;

/// And as early, against the clock they were anchored to.
const MAX_AHEAD: i64 = 2_400;

/// Without packets for so long nothing may be sent.
const HOLD: Duration = Duration::from_millis(30);

/// Most audio within 20 ms: what was held back or late on the way here, and nothing like a backlog. 160 ms.
const BURST: u32 = 1_280;
