//! Everything one worker owns. Pure: time and bytes come in as arguments, results are polled.

mod guests;
mod mixes;
mod output;
mod passage;
mod random;
mod slots;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

pub(crate) use guests::Guests;
use mixes::Mixes;
pub(crate) use mixes::Seat;
pub(crate) use output::Output;
pub use output::{Channel, Transmit};
pub use passage::Moving;
pub(crate) use random::Random;
pub use slots::Slots;
#[cfg(feature = "io")]
pub(crate) use slots::seats;

use crate::{
    command::{Command, Feed, SessionId},
    dsp::mix::Talk,
    dtmf::{Edge, Edges},
    event::Event,
    graph::{Frame, MAX_FADE, mix::Mixed, relay::Relayed},
    rtp::{self, Class},
    session::{
        Path, Session,
        frames::{Heard, Wants},
        receive::{Accepted, Content},
    },
    stats::ShardStats,
    time::{BEAT, SLOTS},
};

/// How a shard begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardConfig {
    /// Number of the worker; commands for other workers' sessions are ignored.
    pub worker: u8,
    /// Where SSRCs, sequence numbers and timestamps begin. The same seed and inputs give the same outputs.
    pub seed: u64,
    /// Sessions to reserve memory for.
    pub sessions: usize,
}

/// The sessions of one worker.
///
/// Change it with one call (`handle_command`, `handle_datagram` or `handle_beat`), then drain
/// [`poll_transmit`](Self::poll_transmit) and [`poll_event`](Self::poll_event) until both are empty.
#[derive(Debug)]
pub struct Shard {
    worker: u8,
    epoch: Instant,
    /// Last beat that was handled.
    beat: u64,
    /// By slot.
    sessions: Vec<Option<Box<Session>>>,
    open: usize,
    /// Sessions with frames between the ticks of 20 ms.
    odd: usize,
    /// Slots of sessions that hold packets back.
    holding: Vec<u32>,
    guests: Guests,
    /// Slots of sessions whose company changed since the last beat.
    unsettled: Vec<u32>,
    mixes: Mixes,
    /// Audio on its way from one session to another.
    frame: Box<Frame>,
    output: Output,
    random: Random,
    stats: ShardStats,
    /// Continuity violations of sessions that are closed.
    violations_before: u64,
}

impl Shard {
    /// A shard without sessions, whose grid begins `now`.
    #[must_use]
    pub fn new(config: ShardConfig, now: Instant) -> Self {
        let mut output = Output::default();
        output.reserve(config.sessions.max(1));
        Self {
            worker: config.worker,
            epoch: now,
            beat: FIRST_BEAT,
            sessions: Vec::with_capacity(config.sessions),
            open: 0,
            odd: 0,
            holding: Vec::with_capacity(config.sessions),
            guests: Guests::default(),
            unsettled: Vec::new(),
            mixes: Mixes::default(),
            frame: Box::new(Frame::new()),
            output,
            random: Random::new(config.seed),
            stats: ShardStats::default(),
            violations_before: 0,
        }
    }

    /// Does what is asked. Commands for sessions that are gone are counted and ignored.
    pub fn handle_command(&mut self, now: Instant, command: Command) {
        if let Command::Open(id, config) = command {
            self.open(now, id, *config);
            return;
        }
        if let Command::Adopt(_, slot, moving) = command {
            self.adopt(now, slot, *moving);
            return;
        }
        let Some(index) = self.index(command.session()) else {
            self.stats.stale_commands += 1;
            return;
        };
        let beat = self.beat_at(now);
        let Some(session) = &mut self.sessions[index] else { return };
        match command {
            Command::Open(..) | Command::Adopt(..) => {}
            Command::Configure(_, config) => {
                self.odd -= usize::from(session.is_odd());
                session.configure(now, *config);
                self.odd += usize::from(session.is_odd());
                self.tune_seat(index);
                self.relink(index, beat);
            }
            Command::Feed(id, feed) => self.set_feed(id, index, feed, beat),
            Command::Mute(_, muted) => {
                session.set_muted(muted);
                if let Some(seat) = session.seat() {
                    self.mixes.mute(seat, muted);
                }
            }
            Command::Gain(_, source, factor) => self.set_gain(index, source, factor),
            Command::Loudest(_, talkers) => match session.seat() {
                Some(seat) => self.mixes.set_loudest(seat, usize::from(talkers)),
                None => self.stats.stale_commands += 1,
            },
            Command::Play(_, player, playback) => session.play(player, *playback, &mut self.output),
            Command::StopPlay(_, player) => session.stop_play(player, &mut self.output),
            Command::SteerPlay(_, player, steer) => session.steer_play(player, steer),
            Command::SendDigits(id, digits) => {
                if digits.steps.is_empty() || !session.digits().push(&digits) {
                    self.output.event(Event::DigitsSent(id));
                }
            }
            Command::Detect(_, wanted) => {
                let edges = session.detect(now, &wanted, &mut self.output);
                self.pass_keys_on(index, edges);
                self.refresh(index, beat);
            }
            Command::Answered(_) => session.answered(),
            Command::DigitHeard(_, code, ms) => {
                let edges = session.hear_digit(now, code, ms, &mut self.output);
                self.pass_keys_on(index, edges);
            }
            Command::Tap(_, tap, recorder) => {
                session.tap(tap, recorder, beat);
                self.refresh(index, beat);
            }
            Command::SteerTap(_, tap, steer) => session.steer_tap(tap, &steer, beat),
            Command::Untap(_, tap) => {
                session.untap(Some(tap), &mut self.output);
                self.refresh(index, beat);
            }
            Command::Release(_) => self.release(index),
            Command::Close(_) => self.close(now, index),
        }
    }

    /// Takes in a datagram from one of a session's sockets.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        id: SessionId,
        channel: Channel,
        from: SocketAddr,
        datagram: &mut [u8],
    ) {
        self.stats.datagrams += 1;
        let Some(index) = self.index(id) else { return };
        let beat = self.beat_at(now);
        let Some(session) = &mut self.sessions[index] else { return };
        match (rtp::classify(datagram), channel) {
            (Class::Rtp, Channel::Rtp) => {}
            (Class::Rtcp, _) => {
                if let Some(datagram) = session.unprotect(now, Class::Rtcp, datagram) {
                    session.handle_rtcp(now, channel, from, datagram);
                }
                return;
            }
            (Class::Rtp | Class::Stun | Class::Dtls | Class::Other, _) => {
                session.count_invalid();
                return;
            }
        }
        let Some(datagram) = session.unprotect(now, Class::Rtp, datagram) else { return };
        let Some(accepted) = session.handle_rtp(now, from, datagram, &mut self.output) else { return };
        if accepted.reshaped {
            self.choose_paths(index, true, beat);
        }
        self.spread(index, beat, now, &accepted);
    }

    /// Moves the grid on to `now`. Call it every [`BEAT`]; a call that is late by less than a frame makes up for
    /// the beats between, a later one skips what is over.
    pub fn handle_beat(&mut self, now: Instant) {
        self.settle(now);
        let current = self.beat_at(now);
        if current <= self.beat {
            return;
        }
        if self.open > 0 && now.saturating_duration_since(self.instant(self.beat + 1)) > BEAT {
            self.stats.late_beats += 1;
        }
        let first = (self.beat + 1).max((current + 1).saturating_sub(SLOTS));
        self.release_held(current, now);
        for beat in first..=current {
            self.beat = beat;
            self.run_beat(beat, now);
        }
    }

    /// When [`handle_beat`](Self::handle_beat) is due; `None` without sessions.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.open > 0).then(|| self.instant(self.beat + 1))
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        self.output.poll_transmit()
    }

    /// The next fact to tell.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.output.poll_event()
    }

    /// Counters, summed up now.
    #[must_use]
    pub fn stats(&self) -> ShardStats {
        let mut stats = ShardStats {
            sessions: self.open as u64,
            transmits: self.output.produced,
            continuity_violations: self.violations_before,
            ..self.stats
        };
        for session in self.sessions.iter().flatten() {
            let session = session.stats();
            stats.continuity_violations += session.continuity_violations;
            stats.concealed += session.concealed;
            stats.late_packets += session.late;
        }
        stats
    }

    /// Sessions open now.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.open
    }

    /// A session that is open. Its `Display` shows the live chain.
    #[must_use]
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(self.index(id)?)?.as_deref()
    }

    // ---- sessions ----------------------------------------------------------------------------------------------

    fn index(&self, id: SessionId) -> Option<usize> {
        let at_home = self.sessions.get(id.slot() as usize).and_then(Option::as_ref);
        if at_home.is_some_and(|session| session.id() == id) {
            return Some(id.slot() as usize);
        }
        self.guests.slot(id)
    }

    fn open(&mut self, now: Instant, id: SessionId, config: crate::config::SessionConfig) {
        if id.worker() != self.worker || id.slot() > MAX_SLOT {
            self.stats.stale_commands += 1;
            return;
        }
        let index = id.slot() as usize;
        if self.sessions.get(index).is_some_and(Option::is_some) {
            self.close(now, index);
        }
        // Nobody was there to be late for.
        if self.open == 0 {
            self.beat = self.beat.max(self.beat_at(now));
        }
        if self.sessions.len() <= index {
            self.sessions.resize_with(index + 1, || None);
        }
        let session = Box::new(Session::new(id, config, now, &mut self.random));
        self.odd += usize::from(session.is_odd());
        self.sessions[index] = Some(session);
        self.open += 1;
        self.output.reserve(self.open);
        self.holding.reserve(self.open.saturating_sub(self.holding.len()));
    }

    fn close(&mut self, now: Instant, index: usize) {
        let beat = self.beat_at(now);
        let Some(mut session) = self.sessions[index].take() else { return };
        self.forget(index, &session);
        for &listener in session.listeners() {
            if let Some(listener) = self.index(listener).and_then(|index| self.sessions[index].as_mut()) {
                listener.set_feed(Feed::Silence);
            }
        }
        self.unlink(session.id(), session.feed(), beat);
        if let Some(seat) = session.seat() {
            self.leave(session.id(), seat);
        }
        session.close(beat, now, &mut self.output);
        let stats = session.stats();
        self.violations_before += stats.continuity_violations;
        self.stats.concealed += stats.concealed;
        self.stats.late_packets += stats.late;
    }

    // ---- who hears whom ----------------------------------------------------------------------------------------

    fn set_feed(&mut self, id: SessionId, index: usize, feed: Feed, beat: u64) {
        let Some(session) = &mut self.sessions[index] else { return };
        let before = session.feed();
        if matches!(feed, Feed::Mix(_)) && feed == before {
            return;
        }
        session.set_feed(feed.clone());
        self.unlink(id, before, beat);
        self.change_seat(id, index, feed.clone(), beat);
        if let Feed::Session(source) = feed
            && let Some(source) = self.index(source)
            && let Some(session) = &mut self.sessions[source]
        {
            session.add_listener(id);
            self.refresh(source, beat);
        }
    }

    /// Leaves the mix a session is in, and joins that of its new feed.
    fn change_seat(&mut self, id: SessionId, index: usize, feed: Feed, beat: u64) {
        let Some(session) = &mut self.sessions[index] else { return };
        let before = session.seat();
        if let Some(seat) = before {
            let mut rest = [0; MAX_FADE];
            if let Some(rate) = self.mixes.rest(seat, self.beat, &mut rest) {
                session.fade_mix(rate, &rest);
            }
        }
        let after = match feed {
            Feed::Mix(mix) => {
                session.tune(session.best_rate());
                Some(self.mixes.join(mix, session.is_muted(), session.rate(), self.beat))
            }
            Feed::Silence | Feed::Session(_) | Feed::Tone(_) => None,
        };
        session.set_seat(after);
        if let Some(seat) = before {
            self.leave(id, seat);
        }
        if before.is_some() || after.is_some() {
            self.refresh(index, beat);
        }
    }

    /// A session in a mix hears it at the rate of its codec.
    fn tune_seat(&mut self, index: usize) {
        let Some(session) = &mut self.sessions[index] else { return };
        let Some(seat) = session.seat() else { return };
        let mut rest = [0; MAX_FADE];
        if let Some(rate) = self.mixes.rest(seat, self.beat, &mut rest)
            && session.best_rate() != rate
        {
            session.fade_mix(rate, &rest);
        }
        session.tune(session.best_rate());
        self.mixes.tune(seat, session.rate(), self.beat);
    }

    fn leave(&mut self, id: SessionId, seat: Seat) {
        if self.mixes.leave(seat, self.beat) {
            self.output.event(Event::TalkStopped(id));
        }
    }

    /// Two sessions that are not in the same mix have nothing to do with each other.
    fn set_gain(&mut self, listener: usize, source: SessionId, factor: Option<f32>) {
        let seat = |session: &Option<Box<Session>>| session.as_ref().and_then(|session| session.seat());
        let source = self.index(source).and_then(|index| seat(&self.sessions[index]));
        let done = match (seat(&self.sessions[listener]), source) {
            (Some(listener), Some(source)) => self.mixes.set_gain(listener, source, factor),
            (None, _) | (_, None) => false,
        };
        self.stats.stale_commands += u64::from(!done);
    }

    fn unlink(&mut self, listener: SessionId, feed: Feed, beat: u64) {
        if let Feed::Session(source) = feed
            && let Some(source) = self.index(source)
            && let Some(session) = &mut self.sessions[source]
        {
            session.remove_listener(listener);
            self.refresh(source, beat);
        }
    }

    /// After a session changed its codecs: how it is heard, and how it hears.
    fn relink(&mut self, index: usize, beat: u64) {
        self.refresh(index, beat);
        let Some(session) = &self.sessions[index] else { return };
        if let Feed::Session(source) = session.feed()
            && let Some(source) = self.index(source)
        {
            self.refresh(source, beat);
        }
    }

    /// Chooses for every listener of a source between packets and decoded audio, and decodes if somebody needs it.
    fn refresh(&mut self, source: usize, beat: u64) {
        self.choose_paths(source, false, beat);
    }

    fn choose_paths(&mut self, source: usize, on_its_own: bool, beat: u64) {
        let mut decoded = None;
        let mut number = 0;
        while let Some(listener) = self.listener(source, number) {
            number += 1;
            let Some(listener) = self.index(listener) else { continue };
            let (Some(from), Some(to)) = (&self.sessions[source], &self.sessions[listener]) else { continue };
            let path = to.path_from(from);
            if path == Path::Decoded {
                decoded = decoded.max(Some(to.best_rate()));
            }
            if let Some(to) = &mut self.sessions[listener] {
                to.set_path(path);
            }
        }
        let Some(session) = &mut self.sessions[source] else { return };
        session.set_decoding(decoded, on_its_own, beat);
        let Some(rate) = session.said_rate() else { return };
        let mut number = 0;
        while let Some(listener) = self.listener(source, number) {
            number += 1;
            let Some(listener) = self.index(listener) else { continue };
            let Some(session) = &mut self.sessions[listener] else { continue };
            if session.path() == Path::Decoded {
                session.tune(rate);
            }
        }
    }

    fn listener(&self, source: usize, number: usize) -> Option<SessionId> {
        self.sessions[source].as_ref()?.listeners().get(number).copied()
    }

    /// Hands a packet of a session on to those who hear it as packets.
    fn spread(&mut self, source: usize, beat: u64, now: Instant, accepted: &Accepted<'_>) {
        let header = &accepted.packet.header;
        let mut relayed = Relayed {
            sequence: accepted.arrival.sequence,
            timestamp: header.timestamp,
            marker: header.marker,
            payload: accepted.packet.payload,
        };
        if accepted.content == Content::Digit {
            // Digits are pressed anew on the other side; their packets only take up sequence numbers.
            relayed.payload = &[];
            let Some(session) = &mut self.sessions[source] else { return };
            let edges = session.handle_digit(now, &accepted.packet, &mut self.output);
            self.pass_keys_on(source, edges);
        } else if accepted.restarted
            && let Some(session) = &mut self.sessions[source]
        {
            let edges = session.release_digit(now, &mut self.output);
            self.pass_keys_on(source, edges);
        }
        let mut number = 0;
        while let Some(listener) = self.listener(source, number) {
            number += 1;
            let Some(index) = self.index(listener) else { continue };
            let Some(session) = &mut self.sessions[index] else { continue };
            if session.path() == Path::Relay && session.relay(beat, now, &relayed, &mut self.output) {
                let slot = index as u32;
                if !self.holding.contains(&slot) {
                    self.holding.push(slot);
                }
            }
        }
    }

    fn pass_keys_on(&mut self, source: usize, edges: Edges) {
        for edge in edges {
            self.pass_key_on(source, edge);
        }
    }

    fn pass_key_on(&mut self, source: usize, edge: Edge) {
        let mut number = 0;
        while let Some(listener) = self.listener(source, number) {
            number += 1;
            if let Some(listener) = self.index(listener).and_then(|index| self.sessions[index].as_mut()) {
                match edge {
                    Edge::Down(code) => listener.press_key(code),
                    Edge::Up(..) => listener.release_key(),
                }
            }
        }
    }

    // ---- the grid ----------------------------------------------------------------------------------------------

    fn beat_at(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.epoch);
        let per_second = 1_000_000_000 / BEAT_NANOS;
        FIRST_BEAT + elapsed.as_secs() * per_second + u64::from(elapsed.subsec_nanos()) / BEAT_NANOS
    }

    fn instant(&self, beat: u64) -> Instant {
        self.epoch + Duration::from_nanos((beat - FIRST_BEAT).saturating_mul(BEAT_NANOS))
    }

    /// Lets go of packets that waited long enough for one before them.
    fn release_held(&mut self, beat: u64, now: Instant) {
        let Self { holding, sessions, output, .. } = self;
        holding.retain(|&slot| {
            sessions[slot as usize].as_mut().is_some_and(|session| session.relay_held(beat, now, output))
        });
    }

    /// Everything of one beat: first what is said, then what is heard, so that nobody waits a tick longer.
    fn run_beat(&mut self, beat: u64, now: Instant) {
        let phase = (beat % SLOTS) as usize;
        for index in (phase..self.sessions.len()).step_by(SLOTS as usize) {
            self.look_after(index, beat, now);
        }
        self.send_frames(phase, beat, now);
        // Frames of 10 and 30 ms are due half-way between, too.
        if self.odd > 0 {
            self.send_frames((phase + SLOTS as usize / 2) % SLOTS as usize, beat, now);
        }
    }

    /// What a session says, once per tick.
    fn look_after(&mut self, index: usize, beat: u64, now: Instant) {
        let Some(session) = &mut self.sessions[index] else { return };
        if !session.is_tick(beat) {
            return;
        }
        let said = session.look_after(beat, now, &mut self.frame, &mut self.output);
        if let (Some(seat), true) = (session.seat(), said) {
            let id = session.id();
            match self.mixes.contribute(seat, beat, &self.frame) {
                Some(Talk::Started) => self.output.event(Event::TalkStarted(id)),
                Some(Talk::Stopped) => self.output.event(Event::TalkStopped(id)),
                None => {}
            }
        }
        if !session.awaits_keys() {
            return;
        }
        let edges = session.move_keys(now, &mut self.output);
        let settled = session.stops_listening();
        self.pass_keys_on(index, edges);
        if settled {
            self.refresh(index, beat);
        }
    }

    fn send_frames(&mut self, phase: usize, beat: u64, now: Instant) {
        for index in (phase..self.sessions.len()).step_by(SLOTS as usize) {
            self.send_frame(index, beat, now);
        }
    }

    /// What a session hears, when its frame is due.
    fn send_frame(&mut self, index: usize, beat: u64, now: Instant) {
        let Some(session) = &self.sessions[index] else { return };
        if !session.is_due(beat) {
            return;
        }
        let units = session.frame_units();
        let wants = session.wants();
        let source = match wants {
            Wants::Said(source, _) => self.index(source),
            Wants::Nothing | Wants::Mix(..) => None,
        };
        let Self { sessions, mixes, frame, output, .. } = self;
        let heard = match wants {
            Wants::Nothing => Heard::Nothing,
            Wants::Said(_, from) => source
                .and_then(|source| sessions[source].as_ref())
                .and_then(|source| source.read_said(from, units, frame))
                .map_or(Heard::Nothing, |next| Heard::Said(frame, next)),
            Wants::Mix(seat, encoded) => {
                let own = sessions[index].as_ref().and_then(|session| session.encoder());
                match mixes.hear(seat, beat, units, encoded, own, frame) {
                    Mixed::Silence => Heard::Nothing,
                    Mixed::Payload(payload, encoder) => Heard::Payload(payload, encoder),
                    Mixed::Audio => Heard::Mixed(frame),
                }
            }
        };
        if let Some(session) = &mut sessions[index] {
            self.stats.skipped_frames += session.send_frame(beat, now, heard, output);
        }
    }
}

/// Beats count from here, so that every session's phase fits before it.
const FIRST_BEAT: u64 = SLOTS;

const BEAT_NANOS: u64 = BEAT.as_nanos() as u64;

/// Highest slot; a mistaken id must not make us allocate without bound.
const MAX_SLOT: u32 = 1 << 20;
