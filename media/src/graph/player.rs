//! A player: one listener's place in what is played to it.

mod gain;
mod playback;

use super::stream::Read;
use crate::{
    codec::Codec,
    command::{PlayerId, Steer},
    dsp::tone_script::ScriptGenerator,
};
use gain::{Gain, factor};
pub use playback::{Piece, Playback};

/// What is left of a playback that is over: given back so that no media thread frees its memory. To be dropped.
#[derive(Debug)]
pub struct Spent(#[expect(dead_code, reason = "only its drop counts")] Option<Box<Player>>);

/// One listener's place in a playback. All places and lengths count 48,000 per second, of which every rate is a whole
/// part.
#[derive(Debug)]
pub(crate) struct Player {
    id: PlayerId,
    playback: Playback,
    /// The piece that is heard; their number when none is left.
    piece: usize,
    /// Place in the piece.
    offset: u64,
    /// Place in the round.
    place: u64,
    /// The next marker.
    marker: usize,
    /// A tone that runs, and its rate.
    tones: Option<(ScriptGenerator, u32)>,
    /// Rounds after this one; `None` is endless.
    more: Option<u32>,
    /// Left of the silence before.
    lead_in: u64,
    played: u64,
    started: bool,
    state: State,
    gain: Gain,
    failed: Option<Box<str>>,
    /// The stream ran dry within the last frame.
    dry: bool,
    /// Something was heard since the last round began.
    sounded: bool,
    starved: u64,
}

/// What happens while a frame is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// The first samples are in it.
    Started,
    /// A marker was passed: its number.
    Marker(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    /// Fades out, then pauses.
    Pausing,
    Paused,
    /// Fades out, then is over.
    Stopping,
    Stopped,
}

impl Player {
    pub(crate) fn new(id: PlayerId, playback: Playback) -> Self {
        let more = playback.times.map(|times| times.max(1) - 1);
        let (paused, from_ms) = (playback.paused, playback.from_ms);
        let mut player = Self {
            id,
            piece: 0,
            offset: 0,
            place: 0,
            marker: 0,
            tones: None,
            more,
            lead_in: u64::from(playback.lead_in_ms) * PER_MS,
            played: 0,
            started: false,
            state: if paused { State::Paused } else { State::Running },
            gain: Gain::at(factor(playback.volume_db)),
            failed: None,
            dry: false,
            sounded: false,
            starved: 0,
            playback,
        };
        if from_ms > 0 {
            player.seek(from_ms);
        }
        player
    }

    /// Whether a frame of so many samples would not starve.
    #[cfg(test)]
    pub(crate) fn has(&self, samples: usize) -> bool {
        !matches!(self.playback.pieces.get(self.piece), Some(Piece::Stream(stream)) if !stream.has(samples))
    }

    pub(crate) fn id(&self) -> PlayerId {
        self.id
    }

    /// The rate at which nothing of its recordings is lost, samples per second; that of speech for what else it has.
    pub(crate) fn rate(&self) -> u32 {
        let rate = |piece: &Piece| piece.prompt().map_or(SPEECH, |prompt| prompt.rate());
        self.playback.pieces.iter().map(rate).max().unwrap_or(SPEECH)
    }

    /// Whether nothing is left to play.
    pub(crate) fn is_finished(&self) -> bool {
        self.state == State::Stopped
            || self.failed.is_some()
            || self.piece >= self.playback.pieces.len()
            || (self.piece + 1 == self.playback.pieces.len() && self.more == Some(0) && self.is_piece_over())
    }

    /// Whether it was stopped and has faded out.
    pub(crate) fn is_stopped(&self) -> bool {
        self.state == State::Stopped
    }

    /// Why it cannot go on, told once.
    pub(crate) fn failure(&mut self) -> Option<Box<str>> {
        self.failed.take()
    }

    pub(crate) fn played_ms(&self) -> u32 {
        (self.played / PER_MS).min(u64::from(u32::MAX)) as u32
    }

    /// Frames that were short of audio.
    pub(crate) fn starved(&self) -> u64 {
        self.starved
    }

    /// Whether it sounds now, so that its end has to fade.
    pub(crate) fn is_heard(&self) -> bool {
        self.started && !matches!(self.state, State::Paused | State::Stopped)
    }

    pub(crate) fn spent(self: Box<Self>) -> Spent {
        for piece in &self.playback.pieces {
            if let Piece::Stream(stream) = piece {
                stream.abandon();
            }
        }
        Spent(Some(self))
    }

    // ---- steering ----------------------------------------------------------------------------------------------

    /// Ends it with the fade it was given. Returns whether there is anything to wait for.
    pub(crate) fn stop(&mut self) -> bool {
        if !self.is_heard() || self.playback.fade_out_ms <= FADE_MS {
            return false;
        }
        if self.state != State::Stopping {
            self.state = State::Stopping;
            self.gain.go(0.0, self.playback.fade_out_ms);
        }
        true
    }

    pub(crate) fn steer(&mut self, steer: Steer) {
        match (steer, self.state) {
            (Steer::Pause, State::Running) if self.started => {
                self.state = State::Pausing;
                self.gain.go(0.0, FADE_MS);
            }
            (Steer::Pause, State::Running) => self.state = State::Paused,
            (Steer::Resume, State::Pausing | State::Paused) => {
                self.state = State::Running;
                // What has not begun needs no ramp.
                if self.started {
                    self.gain.go(factor(self.playback.volume_db), FADE_MS);
                }
            }
            (Steer::Volume(db), state) => {
                self.playback.volume_db = db;
                if state == State::Running {
                    self.gain.go(factor(db), if self.started { FADE_MS } else { 0 });
                } else if !self.started {
                    self.gain = Gain::at(factor(db));
                }
            }
            (Steer::Seek(ms), State::Running | State::Pausing | State::Paused) => {
                self.seek(ms);
                if self.started && self.state == State::Running {
                    self.gain = Gain::at(0.0);
                    self.gain.go(factor(self.playback.volume_db), FADE_MS);
                }
            }
            (Steer::Pause | Steer::Resume | Steer::Seek(_), _) => {}
        }
    }

    fn seek(&mut self, to_ms: u32) {
        let mut left = u64::from(to_ms) * PER_MS;
        self.tones = None;
        self.piece = self.playback.pieces.len();
        self.offset = 0;
        self.marker = self.playback.markers.partition_point(|&marker| marker < to_ms);
        self.place = left;
        for (index, piece) in self.playback.pieces.iter_mut().enumerate() {
            let length = piece.length();
            if length.is_none_or(|length| left < length) && self.piece > index {
                self.piece = index;
                self.offset = left;
                if let Piece::Stream(stream) = piece {
                    stream.seek((left / PER_MS) as u32);
                }
                left = 0;
            } else if let Piece::Stream(stream) = piece {
                // Those after it begin anew, if they were heard.
                stream.rewind();
            }
            left = left.saturating_sub(length.unwrap_or(0));
        }
        // Beyond the end of all there is nothing more of this round.
        if self.piece == self.playback.pieces.len() {
            self.next_round();
        }
    }

    // ---- audio -------------------------------------------------------------------------------------------------

    /// The next frame as it was encoded, of so many bytes; `None` at the end of a piece, and where it has to be made of
    /// samples. Whoever sends it [passes](Self::pass) it.
    pub(crate) fn payload(&self, codec: Codec, length: usize) -> Option<&[u8]> {
        let payload = self.encoded(codec)?;
        let start = (self.offset / PER_NARROW) as usize;
        payload.get(start..start + length).filter(|_| start + length < payload.len())
    }

    /// A frame of [`payload`](Self::payload) was sent.
    pub(crate) fn pass(&mut self, length: usize, told: &mut impl FnMut(News)) {
        let length = length as u64 * PER_NARROW;
        self.offset += length;
        self.played += length;
        self.move_on(length, told);
    }

    /// The piece as it was encoded, if it can be heard like that.
    fn encoded(&self, codec: Codec) -> Option<&[u8]> {
        let plain = self.state == State::Running && self.gain.is_neutral() && self.lead_in == 0;
        if plain { self.playback.pieces.get(self.piece)?.prompt()?.encoded(codec) } else { None }
    }

    /// Copies a frame as it was encoded, beyond the end of a round if need be. Returns false where the frame has to be
    /// made of samples; nothing has changed then. `last` says that nothing follows this playback, so that silence may
    /// fill the frame.
    pub(crate) fn fill_payload(
        &mut self,
        codec: Codec,
        last: bool,
        out: &mut [u8],
        told: &mut impl FnMut(News),
    ) -> bool {
        let length = out.len() as u64 * PER_NARROW;
        let Some(payload) = self.encoded(codec) else { return false };
        let end = payload.len() as u64 * PER_NARROW;
        let start = (self.offset / PER_NARROW) as usize;
        // The end of a piece: simple where only itself or nothing follows.
        let left = (end - self.offset) + self.more.map_or(u64::MAX / 2, |more| u64::from(more) * end);
        if self.playback.pieces.len() != 1 || end == 0 || (left < length && !last) {
            return false;
        }
        let (mut offset, mut filled, mut more, mut rounds) = (start, 0, self.more, 0);
        while filled < out.len() {
            if offset == payload.len() {
                if more == Some(0) {
                    break;
                }
                more = more.map(|more| more - 1);
                (offset, rounds) = (0, rounds + 1);
            }
            let count = (out.len() - filled).min(payload.len() - offset);
            out[filled..filled + count].copy_from_slice(&payload[offset..offset + count]);
            offset += count;
            filled += count;
        }
        self.more = more;
        self.offset = offset as u64 * PER_NARROW;
        self.played += filled as u64 * PER_NARROW;
        for _ in 0..rounds {
            self.move_on(end - self.place.min(end), told);
            (self.place, self.marker) = (0, 0);
        }
        self.move_on(self.offset.saturating_sub(self.place), told);
        true
    }

    /// Writes the next samples of `rate` per second over `out`, 8, 16 or 48 kHz. Returns how many belong to the
    /// playback; fewer than there is room for only at its end. `told` hears of markers by their number.
    pub(crate) fn fill(&mut self, rate: u32, out: &mut [i16], told: &mut impl FnMut(News)) -> usize {
        let per_sample = PER_SECOND / u64::from(rate.max(1));
        let mut filled = 0;
        if self.lead_in > 0 && self.state == State::Running {
            let count = (self.lead_in / per_sample).min(out.len() as u64);
            self.lead_in = if count == 0 { 0 } else { self.lead_in - count * per_sample };
            filled = count as usize;
            out[..filled].fill(0);
        }
        while filled < out.len() && !self.is_finished() {
            if self.state == State::Paused {
                out[filled..].fill(0);
                return out.len();
            }
            let room = &mut out[filled..];
            // A ramp that ends a state ends within the frame.
            let room = match self.state {
                State::Pausing | State::Stopping => {
                    let left = self.gain.left().div_ceil(per_sample).max(1) as usize;
                    let length = room.len().min(left);
                    &mut room[..length]
                }
                State::Running | State::Paused | State::Stopped => room,
            };
            let Some(count) = self.fill_piece(rate, room) else {
                self.next_piece();
                continue;
            };
            self.gain.apply(&mut room[..count], per_sample);
            filled += count;
            let moved = count as u64 * per_sample;
            self.offset += moved;
            self.played += moved;
            self.move_on(moved, told);
            if count == 0 || self.dry {
                // The stream is late, or not there yet. Nobody hears the end of a ramp.
                self.gain = Gain::at(self.gain.target);
                self.settle();
                out[filled..].fill(0);
                return out.len();
            }
            self.settle();
        }
        filled
    }

    /// The next samples of the piece; `None` at its end, `Some(0)` when they are late.
    fn fill_piece(&mut self, rate: u32, out: &mut [i16]) -> Option<usize> {
        let per_sample = PER_SECOND / u64::from(rate.max(1));
        let from = (self.offset / per_sample) as usize;
        let piece = self.playback.pieces.get_mut(self.piece)?;
        if let Some(prompt) = piece.prompt() {
            return Some(prompt.read(rate, from, out)).filter(|&count| count > 0);
        }
        match piece {
            Piece::Prompt(_) => None,
            Piece::Silence(ms) => {
                let left = (u64::from(*ms) * PER_MS).saturating_sub(self.offset) / per_sample;
                let count = left.min(out.len() as u64) as usize;
                out[..count].fill(0);
                Some(count).filter(|&count| count > 0)
            }
            Piece::Tones(script) => {
                let known = self.tones.take().filter(|(_, known)| *known == rate);
                let (mut tones, _) = known.unwrap_or_else(|| {
                    let mut tones = ScriptGenerator::new(**script, rate);
                    skip(&mut tones, from.min(rate as usize * 60));
                    (tones, rate)
                });
                let count = tones.fill(out);
                self.tones = Some((tones, rate));
                Some(count).filter(|&count| count > 0)
            }
            Piece::Stream(stream) => match stream.read(rate, out) {
                Read::Samples(count) => {
                    self.starve(rate, count, out);
                    Some(count)
                }
                Read::Whole => self.fill_piece(rate, out),
                Read::End => None,
                Read::Failed(why) => {
                    self.failed = Some(why);
                    None
                }
            },
        }
    }

    /// Smooths the edges of a hole in a stream, and counts it.
    fn starve(&mut self, rate: u32, count: usize, out: &mut [i16]) {
        let ramp = (rate / 1_000 * FADE_MS) as usize;
        if self.dry && count > 0 {
            for (step, sample) in out[..count].iter_mut().take(ramp).enumerate() {
                *sample = (i32::from(*sample) * step as i32 / ramp as i32) as i16;
            }
            self.dry = false;
        }
        let Some(Piece::Stream(stream)) = self.playback.pieces.get_mut(self.piece) else { return };
        // A mark that waits says that nothing is missing.
        if count == out.len() || !stream.is_late() || stream.is_ready() {
            return;
        }
        for (step, sample) in out[..count].iter_mut().rev().take(ramp).enumerate() {
            *sample = (i32::from(*sample) * step as i32 / ramp as i32) as i16;
        }
        stream.count_starved();
        self.dry = true;
        self.starved += 1;
    }

    /// A ramp that is over may end the state.
    fn settle(&mut self) {
        if self.gain.left() > 0 {
            return;
        }
        match self.state {
            State::Pausing => self.state = State::Paused,
            State::Stopping => self.state = State::Stopped,
            State::Running | State::Paused | State::Stopped => {}
        }
    }

    fn move_on(&mut self, by: u64, told: &mut impl FnMut(News)) {
        if by == 0 {
            return;
        }
        if !std::mem::replace(&mut self.started, true) {
            told(News::Started);
        }
        self.place += by;
        self.sounded = true;
        while let Some(&at_ms) = self.playback.markers.get(self.marker)
            && u64::from(at_ms) * PER_MS <= self.place
        {
            told(News::Marker(self.marker as u32));
            self.marker += 1;
        }
    }

    /// Whether what is left of a piece is known to be nothing. A stream tells only when it is read.
    fn is_piece_over(&self) -> bool {
        let piece = &self.playback.pieces[self.piece];
        match piece {
            Piece::Tones(_) => self.tones.as_ref().is_some_and(|(tones, _)| tones.is_finished()),
            Piece::Stream(stream) if piece.prompt().is_none() => stream.is_over(),
            Piece::Prompt(_) | Piece::Silence(_) | Piece::Stream(_) => {
                piece.length().is_some_and(|length| self.offset >= length)
            }
        }
    }

    fn next_piece(&mut self) {
        self.offset = 0;
        self.tones = None;
        self.piece += 1;
        if self.piece >= self.playback.pieces.len() {
            self.next_round();
        }
    }

    fn next_round(&mut self) {
        // What gives nothing in a round gives nothing in any.
        if self.more == Some(0) || !std::mem::take(&mut self.sounded) {
            self.piece = self.playback.pieces.len();
            return;
        }
        self.more = self.more.map(|more| more - 1);
        (self.piece, self.offset, self.place, self.marker, self.tones) = (0, 0, 0, 0, None);
    }
}

impl std::fmt::Display for Player {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.playback.pieces.get(self.piece) {
            Some(Piece::Prompt(prompt)) => write!(f, "{prompt:?}"),
            Some(Piece::Stream(_)) => f.write_str("stream"),
            Some(Piece::Tones(script)) => write!(f, "tones {script}"),
            Some(Piece::Silence(ms)) => write!(f, "{ms} ms of silence"),
            None => f.write_str("nothing more"),
        }
    }
}

/// A tone that goes on in the middle, a minute away at most.
fn skip(tones: &mut ScriptGenerator, mut samples: usize) {
    let mut scratch = [0; 480];
    while samples > 0 && !tones.is_finished() {
        let count = samples.min(scratch.len());
        tones.fill(&mut scratch[..count]);
        samples -= count;
    }
}

/// Wide-band speech, samples per second.
const SPEECH: u32 = 16_000;

/// All places and lengths count so many per second.
const PER_SECOND: u64 = 48_000;
const PER_MS: u64 = PER_SECOND / 1_000;
const PER_NARROW: u64 = PER_SECOND / 8_000;
/// The shortest fade that does not click.
const FADE_MS: u32 = 5;

#[cfg(test)]
mod tests;
