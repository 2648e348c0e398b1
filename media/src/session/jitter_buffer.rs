//! Packets that wait for their time, by timestamp.

use crate::codec::Codec;

/// A few packets in the order of their timestamps. Holds payload, not audio: nothing is decoded in vain.
#[derive(Debug)]
pub(crate) struct JitterBuffer {
    /// Extended timestamp of each slot's first sample; `None` when free. Apart from the payload, because it is
    /// searched for every packet and frame.
    times: [Option<i64>; CAPACITY],
    slots: Box<[Slot; CAPACITY]>,
}

/// One packet, or a piece of a long one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    codec: Codec,
    length: u16,
    payload: [u8; PIECE],
}

impl Slot {
    pub(crate) fn codec(&self) -> Codec {
        self.codec
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload[..usize::from(self.length)]
    }
}

impl JitterBuffer {
    pub(crate) fn new() -> Self {
        let empty = Slot { codec: Codec::Pcmu, length: 0, payload: [0; PIECE] };
        Self { times: [None; CAPACITY], slots: Box::new([empty; CAPACITY]) }
    }

    pub(crate) fn clear(&mut self) {
        self.times = [None; CAPACITY];
    }

    /// Keeps a packet. A timestamp that is there already is not kept twice; when there is no room, the earliest
    /// packet makes way.
    pub(crate) fn insert(&mut self, at: i64, codec: Codec, payload: &[u8]) {
        // One byte is one sample in G.711, so a long packet is as good as several short ones.
        for (index, piece) in payload.chunks(PIECE).enumerate() {
            let at = at + (index * PIECE) as i64;
            if self.times.contains(&Some(at)) {
                continue;
            }
            // Free slots are `None`, which is least.
            let Some(free) = (0..CAPACITY).min_by_key(|&slot| self.times[slot]) else { return };
            self.times[free] = Some(at);
            let slot = &mut self.slots[free];
            (slot.codec, slot.length) = (codec, piece.len() as u16);
            slot.payload[..piece.len()].copy_from_slice(piece);
        }
    }

    /// Where the earliest packet begins.
    pub(crate) fn first(&self) -> Option<i64> {
        self.times.iter().flatten().min().copied()
    }

    /// Takes the earliest packet out.
    pub(crate) fn pop(&mut self) -> Option<&Slot> {
        let first =
            (0..CAPACITY).filter(|&slot| self.times[slot].is_some()).min_by_key(|&slot| self.times[slot])?;
        self.times[first] = None;
        Some(&self.slots[first])
    }
}

/// Packets kept: 320 ms at the shortest packet time, 640 ms at 20 ms.
const CAPACITY: usize = 32;

/// 20 ms of G.711.
const PIECE: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_out_by_time_and_once() {
        let mut buffer = JitterBuffer::new();
        for at in [320, 0, 160, 0] {
            buffer.insert(at, Codec::Pcmu, &[at as u8; 160]);
        }
        for expected in [0, 160, 320] {
            assert_eq!(buffer.first(), Some(expected));
            assert_eq!(buffer.pop().unwrap().payload()[0], expected as u8);
        }
        assert!(buffer.pop().is_none());
    }

    #[test]
    fn a_long_packet_is_kept_in_pieces() {
        let mut buffer = JitterBuffer::new();
        buffer.insert(1_000, Codec::Pcma, &[1; 400]);
        for (at, length) in [(1_000, 160), (1_160, 160), (1_320, 80)] {
            assert_eq!(buffer.first(), Some(at));
            assert_eq!(buffer.pop().unwrap().payload().len(), length);
        }
    }

    #[test]
    fn a_full_buffer_loses_its_earliest_packet() {
        let mut buffer = JitterBuffer::new();
        for index in 0..40 {
            buffer.insert(index * 160, Codec::Pcmu, &[0; 160]);
        }
        assert_eq!(buffer.first(), Some(8 * 160));
    }
}
