//! Digits out, and keys in from RTP and from INFO.

use std::time::Instant;

use media::DigitString;
use signaling::Body;

use crate::{command::LegId, error::CommandError, event::EventKind, switchboard::Switchboard};

impl Switchboard {
    pub(crate) fn send_digits(&mut self, id: LegId, digits: DigitString) -> Result<(), CommandError> {
        let session = self.session(id)?;
        self.media(media::Command::SendDigits(session, Box::new(digits)));
        Ok(())
    }

    /// The media session knows what else came in of the same key, and passes it on.
    pub(crate) fn on_info(&mut self, id: LegId, body: &Body) {
        let Some((key, ms)) = parse_info(body) else { return };
        let session = self.legs.get(&id).filter(|leg| !leg.is_ending()).and_then(|leg| leg.session);
        if let (Some(session), Some(code)) = (session, media::dtmf::digit_code(key)) {
            self.media(media::Command::DigitHeard(session, code, ms));
        }
    }

    pub(crate) fn on_key_down(&mut self, now: Instant, id: LegId, key: char) {
        if self.legs.get(&id).is_some_and(|leg| !leg.is_ending()) {
            self.tell(id, EventKind::DigitDown(key));
            self.collect_key(now, id, key);
        }
    }

    pub(crate) fn on_key_up(&mut self, id: LegId, key: char, ms: u32) {
        self.tell(id, EventKind::Digit(key, ms));
    }
}

/// `application/dtmf-relay` (`Signal=5`, `Duration=160`) and `application/dtmf` (`5`): the key and its length in ms.
fn parse_info(body: &Body) -> Option<(char, u16)> {
    let text = std::str::from_utf8(&body.bytes).ok()?;
    let kind = body.content_type.split(';').next()?.trim().to_ascii_lowercase();
    let (mut signal, mut ms) = (None, 160);
    match kind.as_str() {
        "application/dtmf" => signal = Some(text.trim()),
        "application/dtmf-relay" => {
            for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
                match name.trim().to_ascii_lowercase().as_str() {
                    "signal" => signal = Some(value.trim()),
                    "duration" => ms = value.trim().parse().unwrap_or(ms),
                    _ => {}
                }
            }
        }
        _ => return None,
    }
    let key = match signal? {
        "10" => '*',
        "11" => '#',
        one => {
            let mut chars = one.chars();
            let key = chars.next()?.to_ascii_uppercase();
            chars.next().is_none().then_some(key)?
        }
    };
    matches!(key, '0'..='9' | '*' | '#' | 'A'..='D').then_some((key, ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(content_type: &str, text: &'static str) -> Option<(char, u16)> {
        parse_info(&Body { content_type: content_type.into(), bytes: text.into() })
    }

    #[test]
    fn dtmf_relay_names_signal_and_duration() {
        assert_eq!(parsed("application/dtmf-relay", "Signal=5\r\nDuration=240\r\n"), Some(('5', 240)));
        assert_eq!(parsed("Application/DTMF-Relay; x=y", "signal= # \r\n"), Some(('#', 160)));
        assert_eq!(parsed("application/dtmf-relay", "Signal=11\nDuration=x"), Some(('#', 160)));
    }

    #[test]
    fn plain_dtmf_is_one_key() {
        assert_eq!(parsed("application/dtmf", " d "), Some(('D', 160)));
        assert_eq!(parsed("application/dtmf", "12"), None);
    }

    #[test]
    fn other_bodies_and_flash_are_no_keys() {
        assert_eq!(parsed("application/dtmf-relay", "Signal=16\r\n"), None);
        assert_eq!(parsed("text/plain", "5"), None);
        assert_eq!(parsed("application/dtmf-relay", ""), None);
    }
}
