//! Packets that wait for their time, by timestamp.

use crate::codec::Codec;

/// A few packets in the order of their timestamps. Holds payload, not audio: nothing is decoded in vain.
#[derive(Debug)]
pub(crate) struct JitterBuffer {
    slots: Box<[Slot; CAPACITY]>,
}

/// One packet, or a piece of a long one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    /// Extended timestamp of the first sample; `None` when free.
    at: Option<i64>,
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
        let empty = Slot { at: None, codec: Codec::Pcmu, length: 0, payload: [0; PIECE] };
        Self { slots: Box::new([empty; CAPACITY]) }
    }

    pub(crate) fn clear(&mut self) {
        for slot in self.slots.iter_mut() {
            slot.at = None;
        }
    }

    /// Keeps a packet. A timestamp that is there already is not kept twice; when there is no room, the earliest
    /// packet makes way.
    pub(crate) fn insert(&mut self, at: i64, codec: Codec, payload: &[u8]) {
        // One byte is one sample in G.711, so a long packet is as good as several short ones.
        for (index, piece) in payload.chunks(PIECE).enumerate() {
            let at = at + (index * PIECE) as i64;
            if self.slots.iter().any(|slot| slot.at == Some(at)) {
                continue;
            }
            // Free slots are `None`, which is least.
            let Some(slot) = self.slots.iter_mut().min_by_key(|slot| slot.at) else { return };
            (slot.at, slot.codec, slot.length) = (Some(at), codec, piece.len() as u16);
            slot.payload[..piece.len()].copy_from_slice(piece);
        }
    }

    /// Where the earliest packet begins.
    pub(crate) fn first(&self) -> Option<i64> {
        self.slots.iter().filter_map(|slot| slot.at).min()
    }

    /// Where the latest packet ends.
    pub(crate) fn end(&self) -> Option<i64> {
        self.slots.iter().filter_map(|slot| slot.at.map(|at| at + i64::from(slot.length))).max()
    }

    /// Takes the earliest packet out.
    pub(crate) fn pop(&mut self) -> Option<(i64, &Slot)> {
        let slot = self.slots.iter_mut().filter(|slot| slot.at.is_some()).min_by_key(|slot| slot.at)?;
        let at = slot.at.take()?;
        Some((at, slot))
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
        assert_eq!((buffer.first(), buffer.end()), (Some(0), Some(480)));
        for expected in [0, 160, 320] {
            let (at, slot) = buffer.pop().unwrap();
            assert_eq!((at, slot.payload()[0]), (expected, expected as u8));
        }
        assert!(buffer.pop().is_none());
    }

    #[test]
    fn a_long_packet_is_kept_in_pieces() {
        let mut buffer = JitterBuffer::new();
        buffer.insert(1_000, Codec::Pcma, &[1; 400]);
        assert_eq!(buffer.end(), Some(1_400));
        let lengths: Vec<_> =
            std::iter::from_fn(|| buffer.pop().map(|(at, slot)| (at, slot.payload().len()))).collect();
        assert_eq!(lengths, [(1_000, 160), (1_160, 160), (1_320, 80)]);
    }

    #[test]
    fn a_full_buffer_loses_its_earliest_packet() {
        let mut buffer = JitterBuffer::new();
        for index in 0..40 {
            buffer.insert(index * 160, Codec::Pcmu, &[0; 160]);
        }
        assert_eq!((buffer.first(), buffer.end()), (Some(8 * 160), Some(40 * 160)));
    }
}
