//! What happened when: SIP messages as the server saw them, and facts between them.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use control::io::{Mirror, Way};

/// One line.
#[derive(Debug, Clone)]
struct Entry {
    at: Instant,
    who: Option<SocketAddr>,
    text: String,
}

/// Shared by everything that takes part.
#[derive(Debug, Clone)]
pub(super) struct Timeline {
    start: Instant,
    entries: Arc<Mutex<Vec<Entry>>>,
}

impl Timeline {
    pub(super) fn begin(start: Instant) -> Self {
        Self { start, entries: Arc::default() }
    }

    /// Writes a fact down.
    pub(super) fn note(&self, at: Instant, text: impl Into<String>) {
        self.push(Entry { at, who: None, text: text.into() });
    }

    /// Writes the server's SIP messages down.
    pub(super) fn mirror(&self) -> Mirror {
        let timeline = self.clone();
        Box::new(move |at, way, _transport, peer, bytes| {
            let arrow = match way {
                Way::In => "──▶",
                Way::Out => "◀──",
            };
            let text = format!("{arrow} offhook  {}", first_line(bytes));
            timeline.push(Entry { at, who: Some(peer), text });
        })
    }

    /// Seconds since the start of the demo.
    pub(super) fn seconds(&self, at: Instant) -> f64 {
        at.saturating_duration_since(self.start).as_secs_f64()
    }

    /// From the last INVITE of that peer to the 200 that answered it.
    pub(super) fn set_up(&self, peer: SocketAddr) -> Option<Duration> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let of_peer = || entries.iter().filter(|entry| entry.who == Some(peer));
        let invite = of_peer().rfind(|entry| entry.text.starts_with("──▶ offhook  INVITE "))?;
        let answer = of_peer().find(|entry| entry.at > invite.at && entry.text.contains("  200 "))?;
        Some(answer.at - invite.at)
    }

    /// All lines in order; `name` tells who has an address.
    pub(super) fn lines(&self, name: impl Fn(SocketAddr) -> String) -> Vec<String> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone();
        entries.sort_by_key(|entry| entry.at);
        let line = |entry: &Entry| {
            let who = entry.who.map_or_else(String::new, |peer| format!("{:<6}", name(peer)));
            let space = if entry.who.is_some() { " " } else { "" };
            format!("{:>8.3}  {who}{space}{}", self.seconds(entry.at), entry.text)
        };
        entries.iter().map(line).collect()
    }

    fn push(&self, entry: Entry) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }
}

/// `INVITE sip:menu@127.0.0.1` or `180 Ringing`, marked when SDP comes along.
fn first_line(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let short =
        line.strip_prefix("SIP/2.0 ").unwrap_or_else(|| line.strip_suffix(" SIP/2.0").unwrap_or(&line));
    let sdp = bytes.windows(5).any(|window| window == b"\nv=0\r");
    format!("{short}{}", if sdp { "  +sdp" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::first_line;

    #[test]
    fn a_message_is_told_by_its_first_line() {
        assert_eq!(first_line(b"SIP/2.0 180 Ringing\r\nVia: x\r\n\r\n"), "180 Ringing");
        assert_eq!(first_line(b"BYE sip:a@b SIP/2.0\r\n\r\n"), "BYE sip:a@b");
        assert_eq!(first_line(b"ACK sip:a@b SIP/2.0\r\n\r\nv=0\r\no=x\r\n"), "ACK sip:a@b  +sdp");
        assert_eq!(first_line(b""), "");
    }
}
