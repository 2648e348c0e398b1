//! Packets that wait for their time, by timestamp.

use crate::codec::Codec;

/// A few packets in the order of their timestamps. Holds payload, not audio: nothing is decoded in vain.
#[derive(Debug)]
pub(crate) struct JitterBuffer {
    /// Position of each slot's first sample; `None` when free. Apart from the payload, because it is searched for
    /// every packet and frame.
    times: [Option<i64>; CAPACITY],
    slots: [(Codec, u16); CAPACITY],
    /// Payload of all slots, of the same room each.
    payload: Box<[u8]>,
}

/// One packet, or a piece of a long one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot<'a> {
    codec: Codec,
    payload: &'a [u8],
}

impl<'a> Slot<'a> {
    pub(crate) fn codec(&self) -> Codec {
        self.codec
    }

    pub(crate) fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

impl JitterBuffer {
    pub(crate) fn new() -> Self {
        Self {
            times: [None; CAPACITY],
            slots: [(Codec::Pcmu, 0); CAPACITY],
            payload: vec![0; CAPACITY * PIECE].into_boxed_slice(),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.times = [None; CAPACITY];
    }

    /// Keeps a packet. A timestamp that is there already is not kept twice; when there is no room, the earliest
    /// packet makes way. Where [`PIECE`] bytes of payload are `piece` samples, whatever comes before them, a long packet
    /// is as good as several short ones.
    pub(crate) fn insert(&mut self, at: i64, codec: Codec, payload: &[u8], piece: Option<u32>) {
        if payload.len() > self.room() && piece.is_none() {
            self.grow(payload.len());
        }
        let room = if piece.is_some() { PIECE } else { self.room() };
        for (index, part) in payload.chunks(room).enumerate() {
            let at = at + index as i64 * i64::from(piece.unwrap_or(0));
            if self.times.contains(&Some(at)) {
                continue;
            }
            // Free slots are `None`, which is least.
            let Some(free) = (0..CAPACITY).min_by_key(|&slot| self.times[slot]) else { return };
            self.times[free] = Some(at);
            self.slots[free] = (codec, part.len() as u16);
            let start = free * self.room();
            self.payload[start..start + part.len()].copy_from_slice(part);
        }
    }

    /// Where the earliest packet begins.
    pub(crate) fn first(&self) -> Option<i64> {
        self.times.iter().flatten().min().copied()
    }

    /// The earliest packet, which stays.
    pub(crate) fn peek(&self) -> Option<Slot<'_>> {
        Some(self.slot(self.earliest()?))
    }

    /// Takes the earliest packet out.
    pub(crate) fn pop(&mut self) -> Option<Slot<'_>> {
        let first = self.earliest()?;
        self.times[first] = None;
        Some(self.slot(first))
    }

    /// Positions are counted at another rate from now on.
    pub(crate) fn rescale(&mut self, scale: impl Fn(i64) -> i64) {
        for time in self.times.iter_mut().flatten() {
            *time = scale(*time);
        }
    }

    fn earliest(&self) -> Option<usize> {
        (0..CAPACITY).filter(|&slot| self.times[slot].is_some()).min_by_key(|&slot| self.times[slot])
    }

    fn slot(&self, index: usize) -> Slot<'_> {
        let (codec, length) = self.slots[index];
        let start = index * self.room();
        Slot { codec, payload: &self.payload[start..start + usize::from(length)] }
    }

    fn room(&self) -> usize {
        self.payload.len() / CAPACITY
    }

    /// The first packet of a codec with larger ones came. They are as large as a datagram at most.
    #[cold]
    fn grow(&mut self, length: usize) {
        let (before, room) = (self.room(), length.next_multiple_of(4 * PIECE));
        let mut payload = vec![0; CAPACITY * room].into_boxed_slice();
        for (old, new) in self.payload.chunks(before).zip(payload.chunks_mut(room)) {
            new[..before].copy_from_slice(old);
        }
        self.payload = payload;
    }
}

/// Packets kept: 320 ms at the shortest packet time, 640 ms at 20 ms.
const CAPACITY: usize = 32;

/// 20 ms of G.711.
pub(crate) const PIECE: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_out_by_time_and_once() {
        let mut buffer = JitterBuffer::new();
        for at in [320, 0, 160, 0] {
            buffer.insert(at, Codec::Pcmu, &[at as u8; 160], Some(160));
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
        buffer.insert(1_000, Codec::Pcma, &[1; 400], Some(160));
        for (at, length) in [(1_000, 160), (1_160, 160), (1_320, 80)] {
            assert_eq!(buffer.first(), Some(at));
            assert_eq!(buffer.pop().unwrap().payload().len(), length);
        }
    }

    #[test]
    fn a_full_buffer_loses_its_earliest_packet() {
        let mut buffer = JitterBuffer::new();
        for index in 0..40 {
            buffer.insert(index * 160, Codec::Pcmu, &[0; 160], Some(160));
        }
        assert_eq!(buffer.first(), Some(8 * 160));
    }

    #[test]
    fn a_large_packet_finds_room_and_those_before_it_stay() {
        let mut buffer = JitterBuffer::new();
        buffer.insert(0, Codec::Pcmu, &[1; 160], None);
        buffer.insert(960, Codec::Pcmu, &[2; 1_275], None);
        assert_eq!(buffer.pop().unwrap().payload(), [1; 160]);
        assert_eq!(buffer.peek().unwrap().payload(), [2; 1_275]);
        assert_eq!(buffer.pop().unwrap().payload(), [2; 1_275]);
    }
}
