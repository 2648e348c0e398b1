//! Digits: strings of them, and telephone events on the wire (RFC 4733).

pub mod event_receiver;
pub mod event_sender;
pub mod fusion;
pub mod inband;

use std::fmt;

use crate::command::{DigitStep, DigitString};

pub use event_receiver::{Edge, Edges, EventReceiver};
pub use event_sender::{DigitFrame, DigitSender, EventPacket};
pub use fusion::{Fusion, Way};
pub use inband::{InbandDigits, InbandEdge};

/// The payload of a telephone-event packet (RFC 4733 §2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventPayload {
    /// Event code: 0 to 9, 10 `*`, 11 `#`, 12 to 15 `A` to `D`, others are no digits.
    pub code: u8,
    /// The event is over; `duration` is final.
    pub end: bool,
    /// Power level, -dBm0, 0 to 63.
    pub volume: u8,
    /// Length so far, timestamp units.
    pub duration: u16,
}

impl EventPayload {
    /// Length of the payload we write, bytes.
    pub const LEN: usize = 4;

    /// Reads the first event of a payload; `None` when it is too short.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let &[code, flags, high, low] = payload.first_chunk::<4>()?;
        Some(Self {
            code,
            end: flags & 0x80 != 0,
            volume: flags & 0x3F,
            duration: u16::from_be_bytes([high, low]),
        })
    }

    /// The four bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let [high, low] = self.duration.to_be_bytes();
        [self.code, (u8::from(self.end) << 7) | (self.volume & 0x3F), high, low]
    }
}

/// The key with that event code; `None` for what is no digit.
#[must_use]
pub fn digit_char(event: u8) -> Option<char> {
    KEYS.get(usize::from(event)).map(|&key| char::from(key))
}

/// The event code of a key, letters in any case.
#[must_use]
pub fn digit_code(key: char) -> Option<u8> {
    let key = u8::try_from(key.to_ascii_uppercase()).ok()?;
    KEYS.iter().position(|&known| known == key).map(|code| code as u8)
}

impl DigitString {
    /// Most steps in one string; pauses in a row are one step.
    pub const MAX_STEPS: usize = 64;

    /// Reads keys `0-9 * # A-D`, `!` (flash) and pauses: `.` 1 s; `,`, `w` and `p` 500 ms. Spaces, `-`, `(` and
    /// `)` are skipped. Digits are 100 ms long with gaps of 100 ms.
    pub fn parse(text: &str) -> Result<Self, DigitError> {
        let mut steps = Vec::new();
        for key in text.chars() {
            let step = match key {
                ' ' | '-' | '(' | ')' => continue,
                '.' => DigitStep::Pause(1000),
                ',' | 'w' | 'W' | 'p' | 'P' => DigitStep::Pause(500),
                '!' => DigitStep::Digit(FLASH),
                key => DigitStep::Digit(digit_code(key).ok_or(DigitError::Unknown(key))?),
            };
            if let (Some(DigitStep::Pause(before)), DigitStep::Pause(more)) = (steps.last_mut(), step)
                && let Some(sum) = before.checked_add(more)
            {
                *before = sum;
                continue;
            }
            if steps.len() == Self::MAX_STEPS {
                return Err(DigitError::TooLong);
            }
            steps.push(step);
        }
        if steps.is_empty() {
            return Err(DigitError::Empty);
        }
        Ok(Self { steps, on_ms: 100, gap_ms: 100 })
    }
}

/// Why a text is no [`DigitString`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DigitError {
    /// There is no such key.
    Unknown(char),
    /// More than [`DigitString::MAX_STEPS`] steps.
    TooLong,
    /// Nothing to send.
    Empty,
}

impl fmt::Display for DigitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(key) => {
                write!(f, "{key:?} is not a key; expected 0-9 * # A-D ! or a pause . , w p")
            }
            Self::TooLong => write!(f, "more than {} digits and pauses", DigitString::MAX_STEPS),
            Self::Empty => f.write_str("no digits"),
        }
    }
}

impl std::error::Error for DigitError {}

/// Event code of a hook flash; not a digit.
pub const FLASH: u8 = 16;

const KEYS: &[u8; 16] = b"0123456789*#ABCD";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_pauses_are_read() {
        let digits = DigitString::parse(".12.1..4").unwrap();
        assert_eq!(
            digits.steps,
            [
                DigitStep::Pause(1000),
                DigitStep::Digit(1),
                DigitStep::Digit(2),
                DigitStep::Pause(1000),
                DigitStep::Digit(1),
                DigitStep::Pause(2000),
                DigitStep::Digit(4)
            ]
        );
        assert_eq!((digits.on_ms, digits.gap_ms), (100, 100));
        let codes: Vec<_> = DigitString::parse("0*#aD!").unwrap().steps;
        assert_eq!(codes, [0, 10, 11, 12, 15, 16].map(DigitStep::Digit));
    }

    #[test]
    fn what_is_no_key_is_named() {
        assert_eq!(DigitString::parse("12x"), Err(DigitError::Unknown('x')));
        assert_eq!(DigitString::parse("１"), Err(DigitError::Unknown('１')));
        assert_eq!(DigitString::parse(""), Err(DigitError::Empty));
        assert_eq!(DigitString::parse(" -"), Err(DigitError::Empty));
        assert_eq!(DigitString::parse(&"1".repeat(64)).unwrap().steps.len(), 64);
        assert_eq!(DigitString::parse(&"1".repeat(65)), Err(DigitError::TooLong));
        assert_eq!(DigitString::parse(&".".repeat(60)).unwrap().steps, [DigitStep::Pause(60_000)]);
        assert_eq!(DigitString::parse(&".".repeat(100)).unwrap().steps.len(), 2);
    }

    #[test]
    fn codes_and_keys_lead_back_to_each_other() {
        for code in 0..16 {
            assert_eq!(digit_code(digit_char(code).unwrap()), Some(code));
        }
        assert_eq!(digit_char(16), None);
        assert_eq!(digit_code('é'), None);
    }

    #[test]
    fn a_payload_is_read_back() {
        let payload = EventPayload { code: 11, end: true, volume: 10, duration: 0xFFFE };
        assert_eq!(payload.to_bytes(), [11, 0x8A, 0xFF, 0xFE]);
        assert_eq!(EventPayload::parse(&payload.to_bytes()), Some(payload));
        assert_eq!(EventPayload::parse(&[1, 2, 3]), None);
    }
}
