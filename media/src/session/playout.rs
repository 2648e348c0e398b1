//! From packets to one frame per tick: waits a little, puts in order, conceals what is missing.

use super::jitter_buffer::JitterBuffer;
use crate::codec::Codec;

/// The peer's audio as a continuous signal.
#[derive(Debug)]
pub(crate) struct Playout {
    buffer: JitterBuffer,
    /// Extended timestamp of the next sample; `None` before the first packet.
    position: Option<i64>,
    /// Decoded audio that did not fit into the last frame.
    carry: [i16; PIECE],
    carried: std::ops::Range<usize>,
    /// The last audio, to be repeated.
    history: [i16; FRAME],
    /// Samples concealed in a row.
    missing: usize,
    /// Packets in a row that came too late.
    late_in_row: u8,
    /// What was decoded, by position on the worker's clock.
    said: [i16; SAID],
    produced: u64,
    /// Packets that came too late.
    pub(crate) late: u64,
    /// Frames that were made up.
    pub(crate) concealed: u64,
}

impl Playout {
    pub(crate) fn new(clock: u64) -> Self {
        Self {
            buffer: JitterBuffer::new(),
            position: None,
            carry: [0; PIECE],
            carried: 0..0,
            history: [0; FRAME],
            missing: FADE_OUT,
            late_in_row: 0,
            said: [0; SAID],
            produced: clock,
            late: 0,
            concealed: 0,
        }
    }

    /// Another source, or the same one started over: what waits is forgotten, the delay is kept.
    pub(crate) fn restart(&mut self) {
        self.buffer.clear();
        self.position = None;
    }

    /// Takes a packet in. `talk_begins` is the marker bit.
    pub(crate) fn insert(&mut self, timestamp: u32, talk_begins: bool, codec: Codec, payload: &[u8]) {
        if payload.is_empty() {
            return;
        }
        let Some(position) = self.position else {
            let at = i64::from(timestamp);
            self.position = Some(at - DELAY);
            self.buffer.insert(at, codec, payload);
            return;
        };
        let at = position + i64::from(timestamp.wrapping_sub(position as u32) as i32);
        let is_silent = self.missing >= FADE_OUT && self.carried.is_empty() && self.buffer.first().is_none();
        if is_silent || (talk_begins && self.buffer.first().is_none()) {
            self.align(at);
        } else if at + payload.len() as i64 <= position {
            self.late += 1;
            self.late_in_row += 1;
            if self.late_in_row < LATE_IN_ROW {
                return;
            }
            self.align(at);
        } else if at - position > MAX_DELAY {
            // The source jumped, or is faster than we are: what is old is given up.
            self.align(at);
        }
        self.late_in_row = 0;
        self.buffer.insert(at, codec, payload);
    }

    /// Appends one frame to what was said, up to `clock`. Time that passed without a call is skipped.
    pub(crate) fn produce(&mut self, clock: u64) -> [i16; FRAME] {
        let start = clock.saturating_sub(FRAME as u64);
        let skipped = start.saturating_sub(self.produced);
        if let Some(position) = &mut self.position {
            *position += skipped as i64;
        }
        if skipped > 0 {
            self.carried = 0..0;
        }
        let mut frame = [0; FRAME];
        self.fill(&mut frame);
        for (index, sample) in frame.iter().enumerate() {
            self.said[(start as usize + index) % SAID] = *sample;
        }
        self.produced = clock;
        frame
    }

    /// Copies what was said from `from` on. `None`: not there yet, or no longer.
    pub(crate) fn read(&self, from: u64, out: &mut [i16]) -> Option<()> {
        let end = from + out.len() as u64;
        if end > self.produced || from + (SAID as u64) < self.produced {
            return None;
        }
        for (index, sample) in out.iter_mut().enumerate() {
            *sample = self.said[(from as usize + index) % SAID];
        }
        Some(())
    }

    /// Up to where audio was produced, on the worker's clock.
    pub(crate) fn produced(&self) -> u64 {
        self.produced
    }

    /// Lets a packet that begins `at` be heard after the usual delay, and gives up what is older.
    fn align(&mut self, at: i64) {
        let position = at - DELAY;
        self.position = Some(position);
        self.carried = 0..0;
        if self.buffer.first().is_some_and(|first| first < position)
            || self.buffer.end().is_some_and(|end| end > at + MAX_DELAY)
        {
            self.buffer.clear();
        }
    }

    fn fill(&mut self, frame: &mut [i16; FRAME]) {
        let mut filled = 0;
        let mut made_up = 0;
        while filled < FRAME {
            if !self.carried.is_empty() {
                filled += self.take_carried(&mut frame[filled..]);
                continue;
            }
            let wait = match (self.position, self.buffer.first()) {
                (Some(position), Some(first)) => first - position,
                _ => i64::MAX,
            };
            if wait > 0 {
                let count = (wait.min(FRAME as i64) as usize).min(FRAME - filled);
                made_up += self.conceal(&mut frame[filled..filled + count]);
                filled += count;
                self.position = self.position.map(|position| position + count as i64);
                continue;
            }
            self.decode_next(wait.unsigned_abs() as usize);
        }
        self.concealed += u64::from(made_up > 0);
        self.history = *frame;
    }

    /// Decodes the earliest packet, of which `skip` samples are over.
    fn decode_next(&mut self, skip: usize) {
        if let Some(slot) = self.buffer.pop() {
            let length = slot.codec().decode(slot.payload(), &mut self.carry);
            self.carried = skip.min(length)..length;
        }
    }

    fn take_carried(&mut self, out: &mut [i16]) -> usize {
        let count = self.carried.len().min(out.len());
        let start = self.carried.start;
        out[..count].copy_from_slice(&self.carry[start..start + count]);
        if self.missing > 0 && self.missing < FADE_OUT {
            self.blend(&mut out[..count]);
        }
        self.missing = 0;
        self.carried.start += count;
        self.position = self.position.map(|position| position + count as i64);
        count
    }

    /// Repeats the last frame, fading to silence within 60 ms. Returns how many samples are not plain silence.
    fn conceal(&mut self, out: &mut [i16]) -> usize {
        let mut audible = 0;
        for sample in out.iter_mut() {
            *sample = self.made_up(self.missing);
            audible += usize::from(self.missing < FADE_OUT);
            self.missing = (self.missing + 1).min(FADE_OUT);
        }
        audible
    }

    fn made_up(&self, missing: usize) -> i16 {
        let gain = FADE_OUT.saturating_sub(missing) as i32;
        (i32::from(self.history[missing % FRAME]) * gain / FADE_OUT as i32) as i16
    }

    /// Leads from made-up audio back to the real one within 5 ms.
    fn blend(&self, out: &mut [i16]) {
        for (index, sample) in out.iter_mut().take(BLEND).enumerate() {
            let made_up = i32::from(self.made_up(self.missing + index)) * (BLEND - index) as i32;
            *sample = ((made_up + i32::from(*sample) * index as i32) / BLEND as i32) as i16;
        }
    }
}

/// 20 ms at 8 kHz.
pub(crate) const FRAME: usize = 160;

/// Longest packet decoded at once: a piece of the jitter buffer.
const PIECE: usize = 160;

/// How much of the past can be read: 256 ms.
const SAID: usize = 2_048;

/// How long a packet waits for those before it: 40 ms.
const DELAY: i64 = 320;

/// The longest a packet may wait: 200 ms.
const MAX_DELAY: i64 = 1_600;

/// After so many late packets in a row the delay is measured afresh.
const LATE_IN_ROW: u8 = 3;

/// Length of the fade to silence in a gap: 60 ms.
const FADE_OUT: usize = 480;

/// 5 ms.
const BLEND: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds packets of constant level 1 frame apart; `arrives` names the packets that come before each tick.
    fn play(arrives: &[&[u32]]) -> (Playout, Vec<[i16; FRAME]>) {
        let mut playout = Playout::new(1_000 * FRAME as u64);
        let mut frames = Vec::new();
        for (tick, packets) in arrives.iter().enumerate() {
            for &index in *packets {
                let mut payload = [0; FRAME];
                Codec::Pcmu.encode(&[(index as i16 + 1) * 1_000; FRAME], &mut payload);
                playout.insert(index.wrapping_mul(160).wrapping_sub(500), false, Codec::Pcmu, &payload);
            }
            frames.push(playout.produce((1_001 + tick as u64) * FRAME as u64));
        }
        (playout, frames)
    }

    fn is_near(sample: i16, index: i16) -> bool {
        (i32::from(sample) - (i32::from(index) + 1) * 1_000).abs() < 200
    }

    #[test]
    fn the_first_packet_is_heard_after_40_ms_and_the_rest_without_a_gap() {
        let (playout, frames) = play(&[&[0], &[1], &[2], &[3], &[4]]);
        assert!(frames[..2].iter().all(|frame| frame.iter().all(|&sample| sample == 0)));
        for index in 0..3 {
            assert!(frames[2 + index].iter().all(|&sample| is_near(sample, index as i16)), "frame {index}");
        }
        assert_eq!((playout.late, playout.concealed), (0, 0));
    }

    #[test]
    fn reordered_packets_are_heard_in_order() {
        let (playout, frames) = play(&[&[0], &[2], &[1], &[3], &[4]]);
        for index in 0..3 {
            assert!(frames[2 + index].iter().all(|&sample| is_near(sample, index as i16)), "frame {index}");
        }
        assert_eq!(playout.concealed, 0);
    }

    #[test]
    fn a_lost_packet_is_concealed_and_a_silent_source_fades() {
        let (playout, frames) = play(&[&[0], &[], &[2], &[], &[], &[], &[], &[], &[]]);
        assert!(frames[3][0] > 900, "repeats what was heard");
        assert!(is_near(frames[4][80], 2));
        assert!(frames[8].iter().all(|&sample| sample == 0));
        assert_eq!(playout.concealed, 1 + 3);
    }

    #[test]
    fn late_packets_are_counted_and_a_longer_way_is_learned() {
        let (playout, frames) =
            play(&[&[0], &[1], &[2], &[], &[], &[], &[3], &[4], &[5], &[6], &[7], &[8], &[9]]);
        assert!(frames[8..].iter().any(|frame| frame[80] > 3_000));
        assert!(playout.late <= 3, "{}", playout.late);
    }

    #[test]
    fn a_jump_of_timestamps_does_not_stop_the_audio() {
        let mut playout = Playout::new(0);
        for (tick, timestamp) in
            [0, 160, 320, 9_000_000, 9_000_160, 9_000_320, 9_000_480].into_iter().enumerate()
        {
            playout.insert(timestamp, false, Codec::Pcmu, &[0x80; FRAME]);
            playout.produce((tick as u64 + 1) * 160);
        }
        let mut frame = [0; FRAME];
        playout.read(6 * 160, &mut frame).unwrap();
        assert!(frame[80].unsigned_abs() > 20_000);
    }

    #[test]
    fn what_was_said_can_be_read_for_a_while() {
        let (playout, frames) = play(&[&[0], &[1], &[2], &[3]]);
        let mut out = [0; 240];
        let start = 1_002 * FRAME as u64;
        playout.read(start, &mut out).unwrap();
        assert_eq!(out[..160], frames[2]);
        assert_eq!(out[160..], frames[3][..80]);
        assert!(playout.read(start + 160, &mut out).is_none(), "not there yet");
        assert!(playout.read(0, &mut out).is_none(), "no longer there");
    }

    #[test]
    fn packets_of_any_length_give_whole_frames() {
        let mut playout = Playout::new(0);
        for tick in 0..12_u32 {
            if tick % 3 == 0 {
                playout.insert(tick * 160, false, Codec::Pcma, &[0x55; 480]);
            }
            playout.produce((u64::from(tick) + 1) * 160);
        }
        assert_eq!((playout.late, playout.concealed), (0, 0));
    }
}
