//! Sends digits as telephone events, one decision per frame (RFC 4733 §2.5.1).

use std::collections::VecDeque;

use super::EventPayload;
use crate::command::{DigitStep, DigitString};

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigitFrame {
    /// Nothing to send now, be it for a wait in a [`DigitString`] or for good: audio as usual.
    Idle,
    /// The gap after a digit: no event packet, and no audio either.
    Pause,
    /// An event packet instead of audio.
    Event(EventPacket),
    /// All pushed digits are sent; told once. Audio as usual.
    Done,
}

/// One packet of a telephone event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventPacket {
    /// The key.
    pub code: u8,
    /// Length up to the end of this frame, timestamp units; constant once `end` is set.
    pub duration: u16,
    /// The event is over. Such packets are sent three times.
    pub end: bool,
    /// First packet of the event: it carries the marker.
    pub first: bool,
    /// The RTP timestamp of this and the following packets is the clock at this frame: a new event, or a new
    /// segment of one longer than 65,535 units.
    pub start: bool,
    /// A repeated end: the key is no longer down. A tone in place of events is silent here.
    pub repeat: bool,
}

impl EventPacket {
    /// The payload to send.
    #[must_use]
    pub fn payload(&self) -> EventPayload {
        EventPayload { code: self.code, end: self.end, volume: VOLUME, duration: self.duration }
    }
}

/// Sends queued digits, and relays keys somebody else holds down. Asked once per frame; allocates only when
/// created.
#[derive(Debug, Clone)]
pub struct DigitSender {
    units_per_ms: u32,
    queue: VecDeque<Step>,
    state: State,
    /// Digits were pushed, and `Done` is owed.
    owes_done: bool,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Key {
        code: u8,
        on_ms: u16,
        gap_ms: u16,
    },
    Wait {
        ms: u16,
    },
    /// A key pressed by somebody else: down for `held_ms` so far.
    Live {
        code: u8,
        held_ms: u32,
        released: bool,
    },
}

#[derive(Debug, Clone, Copy)]
enum State {
    Idle,
    Down(Down),
    /// The gap after a key, in which the end is repeated.
    Gap {
        packet: EventPacket,
        repeats: u8,
        left_ms: u32,
    },
    /// A wait between digits, in which audio goes on.
    Wait {
        left_ms: u32,
    },
}

#[derive(Debug, Clone, Copy)]
struct Down {
    code: u8,
    /// When the key goes up; `None` while somebody holds it.
    on_ms: Option<u32>,
    gap_ms: u32,
    sent_ms: u32,
    /// Part of `sent_ms` that went into finished segments.
    segment_ms: u32,
    /// How long a live key has been held.
    held_ms: u32,
}

impl DigitSender {
    /// A sender of events with that many timestamp units per second.
    #[must_use]
    pub fn new(clock_rate: u32) -> Self {
        Self {
            units_per_ms: (clock_rate / 1000).max(1),
            queue: VecDeque::with_capacity(QUEUE),
            state: State::Idle,
            owes_done: false,
        }
    }

    /// Events count that many timestamp units per second from now on.
    pub fn set_clock_rate(&mut self, clock_rate: u32) {
        self.units_per_ms = (clock_rate / 1000).max(1);
    }

    /// Queues digits after those already queued. Returns false, and queues nothing, when there is no room.
    #[must_use]
    pub fn push(&mut self, digits: &DigitString) -> bool {
        if digits.steps.len() > QUEUE - self.queue.len() {
            return false;
        }
        let (on_ms, gap_ms) = (digits.on_ms.max(MIN_MS), digits.gap_ms.max(MIN_MS));
        self.queue.extend(digits.steps.iter().map(|step| match *step {
            DigitStep::Digit(code) => Step::Key { code, on_ms, gap_ms },
            DigitStep::Pause(ms) => Step::Wait { ms },
        }));
        self.owes_done = true;
        true
    }

    /// A key is pressed elsewhere and is to go down here, after what is queued. It stays down until
    /// [`release`](Self::release). Dropped when the queue is full.
    pub fn press(&mut self, code: u8) {
        self.release();
        if self.queue.len() < QUEUE {
            self.queue.push_back(Step::Live { code, held_ms: 0, released: false });
        }
    }

    /// The key pressed last is up again. Here it stays down as long as it was held there.
    pub fn release(&mut self) {
        for step in &mut self.queue {
            if let Step::Live { released, .. } = step {
                *released = true;
            }
        }
        if let State::Down(down) = &mut self.state
            && down.on_ms.is_none()
        {
            down.on_ms = Some(down.held_ms.max(u32::from(MIN_MS)));
        }
    }

    /// Whether nothing is being sent or queued.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle) && self.queue.is_empty() && !self.owes_done
    }

    /// Whether the next frame belongs to a digit, so that audio has to make way.
    #[must_use]
    pub fn is_next(&self) -> bool {
        match self.state {
            State::Down(_) | State::Gap { .. } => true,
            State::Wait { .. } => false,
            State::Idle => matches!(self.queue.front(), Some(Step::Key { .. } | Step::Live { .. })),
        }
    }

    /// Decides about the next frame of that many ms.
    pub fn poll_frame(&mut self, frame_ms: u8) -> DigitFrame {
        let frame_ms = u32::from(frame_ms.max(1));
        if self.is_idle() {
            return DigitFrame::Idle;
        }
        if matches!(self.state, State::Idle) {
            self.begin_next();
        }
        let frame = match &mut self.state {
            State::Idle => {
                self.owes_done = false;
                DigitFrame::Done
            }
            State::Wait { left_ms } => {
                *left_ms = left_ms.saturating_sub(frame_ms);
                if *left_ms == 0 {
                    self.state = State::Idle;
                }
                DigitFrame::Idle
            }
            State::Gap { packet, repeats, left_ms } => {
                *left_ms = left_ms.saturating_sub(frame_ms);
                let frame = match repeats {
                    0 => DigitFrame::Pause,
                    _ => {
                        *repeats -= 1;
                        DigitFrame::Event(*packet)
                    }
                };
                if *left_ms == 0 && *repeats == 0 {
                    self.state = State::Idle;
                }
                frame
            }
            State::Down(down) => {
                let packet = down.advance(frame_ms, self.units_per_ms);
                if packet.end {
                    let repeated = EventPacket { repeat: true, first: false, start: false, ..packet };
                    self.state = State::Gap { packet: repeated, repeats: 2, left_ms: down.gap_ms };
                }
                DigitFrame::Event(packet)
            }
        };
        self.hold(frame_ms);
        frame
    }

    /// Time passes for keys held elsewhere.
    fn hold(&mut self, frame_ms: u32) {
        for step in &mut self.queue {
            if let Step::Live { held_ms, released: false, .. } = step {
                *held_ms = held_ms.saturating_add(frame_ms);
            }
        }
    }

    fn begin_next(&mut self) {
        let Some(step) = self.queue.pop_front() else { return };
        self.state = match step {
            Step::Wait { ms } => State::Wait { left_ms: u32::from(ms) },
            Step::Key { code, on_ms, gap_ms } => State::Down(Down {
                code,
                on_ms: Some(u32::from(on_ms)),
                gap_ms: u32::from(gap_ms),
                sent_ms: 0,
                segment_ms: 0,
                held_ms: 0,
            }),
            Step::Live { code, held_ms, released } => State::Down(Down {
                code,
                on_ms: released.then_some(held_ms.max(u32::from(MIN_MS))),
                gap_ms: u32::from(MIN_MS),
                sent_ms: 0,
                segment_ms: 0,
                held_ms,
            }),
        };
    }
}

impl Down {
    fn advance(&mut self, frame_ms: u32, units_per_ms: u32) -> EventPacket {
        let first = self.sent_ms == 0;
        let mut start = first;
        self.held_ms = self.held_ms.saturating_add(frame_ms);
        // RFC 4733 §2.5.1.3: what does not fit into 16 bits goes on in a new segment.
        if (self.sent_ms - self.segment_ms + frame_ms) * units_per_ms > u32::from(u16::MAX) {
            self.segment_ms = self.sent_ms;
            start = true;
        }
        self.sent_ms += frame_ms;
        let end_ms = self.on_ms.filter(|&on_ms| on_ms <= self.sent_ms);
        // Released within a frame already sent, the key was down until the end of this one.
        let length_ms = match end_ms {
            Some(on_ms) if on_ms > self.sent_ms - frame_ms => on_ms,
            _ => self.sent_ms,
        };
        EventPacket {
            code: self.code,
            duration: ((length_ms - self.segment_ms) * units_per_ms).min(u32::from(u16::MAX)) as u16,
            end: end_ms.is_some(),
            first,
            start,
            repeat: false,
        }
    }
}

/// Power level of the events we send, -dBm0.
pub const VOLUME: u8 = 10;

/// Shortest key and shortest gap, ms: what ITU-T Q.24 receivers must accept.
const MIN_MS: u16 = 40;
const QUEUE: usize = DigitString::MAX_STEPS;

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(sender: &mut DigitSender, frame_ms: u8) -> Vec<DigitFrame> {
        let mut frames = Vec::new();
        for _ in 0..2000 {
            if sender.is_idle() {
                return frames;
            }
            frames.push(sender.poll_frame(frame_ms));
        }
        panic!("never idle");
    }

    fn sent(text: &str, frame_ms: u8) -> Vec<DigitFrame> {
        let mut sender = DigitSender::new(8000);
        assert!(sender.push(&DigitString::parse(text).unwrap()));
        frames(&mut sender, frame_ms)
    }

    /// One letter per frame: `M` first, `S` new segment, `e` event, `E` end, `r` repeated end, `_` gap, `.` audio, `!` done.
    fn picture(frames: &[DigitFrame]) -> String {
        let letter = |frame: &DigitFrame| match frame {
            DigitFrame::Idle => '.',
            DigitFrame::Pause => '_',
            DigitFrame::Done => '!',
            DigitFrame::Event(packet) if packet.repeat => 'r',
            DigitFrame::Event(packet) if packet.end => 'E',
            DigitFrame::Event(packet) if packet.first => 'M',
            DigitFrame::Event(packet) if packet.start => 'S',
            DigitFrame::Event(_) => 'e',
        };
        frames.iter().map(letter).collect()
    }

    fn durations(frames: &[DigitFrame]) -> Vec<u16> {
        let duration = |frame: &DigitFrame| match frame {
            DigitFrame::Event(packet) => Some(packet.duration),
            DigitFrame::Idle | DigitFrame::Pause | DigitFrame::Done => None,
        };
        frames.iter().filter_map(duration).collect()
    }

    #[test]
    fn a_digit_is_five_frames_and_its_end_is_sent_three_times() {
        let frames = sent("5", 20);
        assert_eq!(picture(&frames), "MeeeErr___!");
        assert_eq!(durations(&frames), [160, 320, 480, 640, 800, 800, 800]);
        let DigitFrame::Event(first) = frames[0] else { panic!("{frames:?}") };
        assert!(first.first && first.start);
        assert_eq!(first.payload(), EventPayload { code: 5, end: false, volume: 10, duration: 160 });
    }

    #[test]
    fn digits_and_pauses_follow_each_other() {
        assert_eq!(picture(&sent("12", 20)), "MeeeErr___MeeeErr___!");
        let with_pause = picture(&sent("1.2", 20));
        assert_eq!(with_pause, format!("MeeeErr___{}MeeeErr___!", ".".repeat(50)), "audio goes on in a wait");
    }

    #[test]
    fn other_packet_times_keep_the_length_of_the_digit() {
        assert_eq!(durations(&sent("1", 30)), [240, 480, 720, 800, 800, 800]);
        assert_eq!(picture(&sent("1", 60)), "MErr!");
        assert_eq!(durations(&sent("1", 60)), [480, 800, 800, 800]);
        assert_eq!(picture(&sent("1", 10)), "MeeeeeeeeErr________!");
    }

    #[test]
    fn too_short_digits_and_gaps_are_made_audible() {
        let mut sender = DigitSender::new(8000);
        assert!(sender.push(&DigitString { steps: vec![DigitStep::Digit(1)], on_ms: 1, gap_ms: 0 }));
        assert_eq!(picture(&frames(&mut sender, 20)), "MErr!");
    }

    #[test]
    fn a_full_queue_refuses_a_string_as_a_whole() {
        let mut sender = DigitSender::new(8000);
        assert!(sender.push(&DigitString::parse(&"1".repeat(60)).unwrap()));
        assert!(!sender.push(&DigitString::parse("12345").unwrap()));
        assert!(sender.push(&DigitString::parse("1234").unwrap()));
        sender.press(3);
        let frames = frames(&mut sender, 20);
        assert_eq!(frames.iter().filter(|f| **f == DigitFrame::Done).count(), 1);
        assert_eq!(picture(&frames).matches('M').count(), 64);
    }

    #[test]
    fn a_key_held_elsewhere_lasts_as_long_here() {
        let mut sender = DigitSender::new(8000);
        sender.press(9);
        let mut seen = Vec::new();
        for _ in 0..7 {
            seen.push(sender.poll_frame(20));
        }
        sender.release();
        seen.extend(frames(&mut sender, 20));
        assert_eq!(picture(&seen), "MeeeeeeErr", "the gap is as short as it may be, and nothing is owed");
    }

    #[test]
    fn a_key_held_elsewhere_for_a_moment_is_long_enough_here() {
        let mut sender = DigitSender::new(8000);
        sender.press(9);
        sender.release();
        assert_eq!(picture(&frames(&mut sender, 20)), "MErr");
    }

    #[test]
    fn keys_that_come_while_another_is_sent_wait_and_keep_their_length() {
        let mut sender = DigitSender::new(8000);
        assert!(sender.push(&DigitString::parse("1").unwrap()));
        sender.press(2);
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(sender.poll_frame(20));
        }
        sender.release();
        sender.press(3);
        seen.extend((0..30).map(|_| sender.poll_frame(20)));
        sender.release();
        seen.extend(frames(&mut sender, 20));
        let picture = picture(&seen);
        assert!(picture.starts_with("MeeeErr___MeeErr"), "{picture}");
        assert_eq!(picture.matches('M').count(), 3);
        assert_eq!(picture.matches('!').count(), 1);
    }

    #[test]
    fn a_key_longer_than_sixteen_bits_goes_on_in_segments() {
        let mut sender = DigitSender::new(8000);
        sender.press(1);
        let mut seen: Vec<_> = (0..900).map(|_| sender.poll_frame(20)).collect();
        sender.release();
        seen.extend(frames(&mut sender, 20));
        let picture = picture(&seen);
        assert_eq!(picture.find('S'), Some(409));
        assert_eq!(picture.matches('S').count(), 2);
        assert_eq!(durations(&seen)[408], 409 * 160);
        assert_eq!(durations(&seen)[409], 160);
    }

    #[test]
    fn an_idle_sender_stays_idle() {
        let mut sender = DigitSender::new(8000);
        sender.release();
        assert_eq!(sender.poll_frame(20), DigitFrame::Idle);
        assert!(sender.is_idle());
    }
}
