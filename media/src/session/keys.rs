//! What the peer says beside speech: keys, in whatever way they come, and what detectors find.

use std::time::Instant;

use super::{
    Session,
    ears::{Ears, Found},
};
use crate::{
    detectors::Detectors,
    dtmf::{Edge, Edges, Way},
    event::Event,
    rtp::Packet,
    shard::Output,
};

impl Session {
    /// Starts and stops detectors. Returns which keys moved for others.
    pub(crate) fn detect(&mut self, now: Instant, wanted: &Detectors, out: &mut Output) -> Edges {
        let id = self.id;
        let ears = self.ears.get_or_insert_with(|| Box::new(Ears::new()));
        ears.set(wanted, self.answered, |found| tell(id, found, out));
        let moved = self.move_keys(now, out);
        if wanted.is_empty() {
            self.ears = None;
        }
        moved
    }

    /// The call was answered: a greeting may begin.
    pub(crate) fn answered(&mut self) {
        self.answered = true;
        if let Some(ears) = &mut self.ears {
            ears.answered();
        }
    }

    /// Lets the detectors hear a frame that was said. Where digits are to be removed, the frame before it takes its
    /// place, and `true` is returned.
    pub(crate) fn listen(&mut self, said: &mut [i16], rate: u32, out: &mut Output) -> bool {
        let id = self.id;
        self.ears.as_mut().is_some_and(|ears| ears.hear(said, rate, |found| tell(id, found, out)))
    }

    /// Whether digits are cut out of what others hear.
    pub(crate) fn removes_digits(&self) -> bool {
        self.ears.as_ref().is_some_and(|ears| ears.removes_digits())
    }

    /// Stops listening when all is known that was asked for. Whether it was so.
    pub(crate) fn stops_listening(&mut self) -> bool {
        self.ears.take_if(|ears| ears.is_done()).is_some()
    }

    /// Takes in a telephone event. Returns which keys moved for others.
    pub(crate) fn handle_digit(&mut self, now: Instant, packet: &Packet<'_>, out: &mut Output) -> Edges {
        let mut moved = Edges::default();
        for edge in self.receive.digits.handle(now, &packet.header, packet.payload) {
            self.fuse(now, Way::Event, edge, &mut moved, out);
        }
        moved
    }

    /// Takes in a key that was learned in another way than from media. Returns which keys moved for others.
    pub(crate) fn hear_digit(&mut self, now: Instant, code: u8, ms: u16, out: &mut Output) -> Edges {
        let mut moved = Edges::default();
        if code < KEYS {
            let news = self.fusion.press(now, Way::Signaling, code, ms);
            self.tell_keys(Way::Signaling, news, &mut moved, out);
        }
        moved
    }

    /// A key that was down in a stream that is over is up.
    pub(crate) fn release_digit(&mut self, now: Instant, out: &mut Output) -> Edges {
        let mut moved = Edges::default();
        if let Some(edge) = self.receive.digits.release() {
            self.fuse(now, Way::Event, edge, &mut moved, out);
        }
        moved
    }

    /// Whether [`move_keys`](Self::move_keys) and [`stops_listening`](Self::stops_listening) may have something to tell.
    pub(crate) fn awaits_keys(&self) -> bool {
        self.ears.is_some() || self.receive.digits.is_down() || self.fusion.poll_timeout().is_some()
    }

    /// What became of keys meanwhile: those in the audio, those whose packets stopped coming, those whose time is over.
    pub(crate) fn move_keys(&mut self, now: Instant, out: &mut Output) -> Edges {
        let mut moved = Edges::default();
        if let Some(ears) = &mut self.ears {
            for edge in ears.take_keys() {
                self.fuse(now, Way::Inband, edge, &mut moved, out);
            }
        }
        if let Some(edge) = self.receive.digits.handle_timeout(now) {
            self.fuse(now, Way::Event, edge, &mut moved, out);
        }
        if let Some(edge) = self.fusion.handle_timeout(now) {
            self.tell_keys(Way::Signaling, [edge], &mut moved, out);
        }
        moved
    }

    fn fuse(&mut self, now: Instant, way: Way, edge: Edge, moved: &mut Edges, out: &mut Output) {
        let news = self.fusion.handle(now, way, edge);
        self.tell_keys(way, news, moved, out);
    }

    fn tell_keys(
        &mut self,
        way: Way,
        news: impl IntoIterator<Item = Edge>,
        moved: &mut Edges,
        out: &mut Output,
    ) {
        for edge in news {
            match edge {
                Edge::Down(code) => {
                    out.event(Event::DigitDown(self.id, code));
                    let verdict = self.ears.as_mut().and_then(|ears| ears.key());
                    verdict.into_iter().for_each(|verdict| out.event(Event::Answerer(self.id, verdict)));
                }
                Edge::Up(code, ms) => out.event(Event::DigitUp(self.id, code, ms)),
            }
            // Tones that others hear need no event beside them.
            let is_heard = way == Way::Inband && matches!(edge, Edge::Down(_)) && !self.removes_digits();
            if !is_heard {
                moved.push(edge);
            }
        }
    }
}

fn tell(id: crate::command::SessionId, found: Found, out: &mut Output) {
    out.event(match found {
        Found::Tone(progress) => Event::ToneHeard(id, progress),
        Found::Beep(hz, ms) => Event::BeepHeard(id, hz, ms),
        Found::Answerer(verdict) => Event::Answerer(id, verdict),
        Found::Speech(true) => Event::SpeechStarted(id),
        Found::Speech(false) => Event::SpeechStopped(id),
    });
}

/// Telephone events below this are keys.
const KEYS: u8 = 16;
