//! The packets of a load: RTP, PCMU, 20 ms, stamped with the time they were sent.

use media::rtp::header::{HEADER_LEN, Header, Packet};

/// Bytes of every packet.
pub(super) const LENGTH: usize = HEADER_LEN + 160;
const STAMP: std::ops::Range<usize> = HEADER_LEN..HEADER_LEN + 8;
const MARK: usize = STAMP.end;
const MEASURED: u8 = 0xA5;

/// One call's outgoing stream.
pub(super) struct Stream {
    header: Header,
    bytes: [u8; LENGTH],
}

impl Stream {
    pub(super) fn new(call: usize) -> Self {
        let header = Header {
            payload_type: 0,
            marker: true,
            sequence: call as u16,
            timestamp: call as u32 * 7_919,
            ssrc: call as u32 + 1,
        };
        Self { header, bytes: [0x55; LENGTH] }
    }

    /// The next packet; `sent` is its time of departure, ns, and `measured` says whether it counts.
    pub(super) fn next(&mut self, sent: u64, measured: bool) -> &[u8] {
        self.header.write(&mut self.bytes);
        self.bytes[STAMP].copy_from_slice(&sent.to_be_bytes());
        self.bytes[MARK] = if measured { MEASURED } else { 0 };
        self.header.marker = false;
        self.header.sequence = self.header.sequence.wrapping_add(1);
        self.header.timestamp = self.header.timestamp.wrapping_add(160);
        &self.bytes
    }
}

/// The time of departure of a packet that came back and counts.
pub(super) fn stamp(datagram: &[u8]) -> Option<u64> {
    let stamp = datagram.get(STAMP)?.try_into().ok()?;
    (datagram.len() == LENGTH && datagram[MARK] == MEASURED).then(|| u64::from_be_bytes(stamp))
}

/// Sequence number and timestamp of a packet of audio; `None` for reports.
pub(super) fn position(datagram: &[u8]) -> Option<(u16, u32)> {
    let header = Packet::parse(datagram).ok()?.header;
    (header.payload_type == 0 && datagram.len() == LENGTH).then_some((header.sequence, header.timestamp))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_comes_back_if_it_counts() {
        let mut stream = Stream::new(7);
        assert_eq!(stamp(stream.next(123_456, true)), Some(123_456));
        let second = stream.next(5, false);
        assert_eq!((stamp(second), position(second)), (None, Some((8, 7 * 7_919 + 160))));
        assert_eq!((stamp(&second[..40]), position(&second[..40])), (None, None));
    }
}
