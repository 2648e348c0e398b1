//! An independent judge of the egress continuity contract (RFC 3550 §5.1, RFC 3551 §4.1): it reads only the bytes
//! that a session sends, before the network touches them.

/// What one session's stream looked like so far.
#[derive(Debug, Default)]
pub struct StreamCheck {
    last: Option<Seen>,
    /// Packets judged.
    pub packets: u64,
    /// What was wrong, in words; empty for a good stream.
    pub violations: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    /// Timestamp units until the next packet is expected; `None` after a telephone event, whose length is not
    /// the packet's.
    length: Option<u32>,
    event: bool,
}

impl StreamCheck {
    /// Judges one RTP packet of 8 kHz G.711 or telephone events; `event` says which.
    pub fn packet(&mut self, datagram: &[u8], event: bool) {
        let Ok(packet) = media::rtp::Packet::parse(datagram) else {
            self.violations.push("not RTP".into());
            return;
        };
        let header = packet.header;
        let seen = Seen {
            ssrc: header.ssrc,
            sequence: header.sequence,
            timestamp: header.timestamp,
            length: (!event).then_some(packet.payload.len() as u32),
            event,
        };
        self.packets += 1;
        match self.last.replace(seen) {
            None if !header.marker => self.complain(seen, "first packet without marker"),
            None => {}
            Some(last) => self.compare(last, seen, header.marker),
        }
    }

    fn compare(&mut self, last: Seen, seen: Seen, marker: bool) {
        if seen.ssrc != last.ssrc {
            self.complain(seen, "SSRC changed");
        }
        if seen.sequence != last.sequence.wrapping_add(1) {
            self.complain(seen, "sequence does not follow");
        }
        let step = seen.timestamp.wrapping_sub(last.timestamp);
        if seen.event && last.event && step == 0 {
            return;
        }
        if step == 0 || step > 0x8000_0000 {
            self.complain(seen, "timestamp does not advance");
            return;
        }
        if !step.is_multiple_of(160) {
            self.complain(seen, "timestamp off the 20 ms grid");
        }
        if let Some(length) = last.length {
            if step < length {
                self.complain(seen, "timestamp overlaps the packet before");
            }
            if !seen.event && marker != (step > length) {
                self.complain(seen, if marker { "marker without a gap" } else { "gap without a marker" });
            }
        }
    }

    fn complain(&mut self, seen: Seen, what: &str) {
        // A broken stream repeats itself; the first complaints tell enough.
        if self.violations.len() < 20 {
            self.violations.push(format!(
                "{what} (packet {}, sequence {}, timestamp {})",
                self.packets, seen.sequence, seen.timestamp
            ));
        }
    }
}
