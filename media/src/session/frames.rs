//! What leaves at each tick, and what passes by in between.

use std::time::Instant;

use super::{
    Path, Session, TONE_RATE,
    playout::FRAME,
    receive::{Accepted, Content},
};
use crate::{
    codec::{Codec, Encoder, EncoderSettings},
    command::{Feed, SessionId},
    dsp::tone::ToneSpec,
    dtmf::{DigitFrame, EventPacket},
    event::Event,
    graph::{
        Fade, Frame,
        recorder::Track,
        relay::{Relayed, Turn},
        tones::Tone,
    },
    rtp::{Class, HEADER_LEN, Header, Packet},
    shard::{Channel, Output, Seat},
    time::UNIT_RATE,
};

impl Session {
    // ---- in ----------------------------------------------------------------------------------------------------

    /// Takes in a datagram that looks like RTP. Returns what listeners may hear of it.
    pub(crate) fn handle_rtp<'a>(
        &mut self,
        now: Instant,
        from: std::net::SocketAddr,
        datagram: &'a [u8],
        out: &mut Output,
    ) -> Option<Accepted<'a>> {
        let accepted = self.receive.accept(now, from, datagram, &self.config)?;
        if self.receive.starts() {
            out.event(Event::MediaStarted(self.id));
        }
        if let Some(address) = accepted.learned {
            out.event(Event::Latched(self.id, address));
        }
        if accepted.restarted
            && let Some(playout) = &mut self.playout
        {
            playout.restart();
        }
        // What a held peer says is nobody's business.
        if !self.config.direction.receives() || !accepted.arrival.is_new() {
            return None;
        }
        if let (Content::Audio(codec), Some(playout)) = (accepted.content, &mut self.playout) {
            let Packet { header, payload } = accepted.packet;
            playout.insert(now, header.timestamp, header.marker, codec, payload);
        }
        Some(accepted)
    }

    /// What has to be looked after once per tick, whatever is heard.
    /// Whether somebody wanted what was said decoded; it is in `said` then.
    pub(crate) fn look_after(&mut self, beat: u64, now: Instant, said: &mut Frame, out: &mut Output) -> bool {
        let may_send = self.config.direction.receives();
        if self.receive.stops(now, may_send) {
            out.event(Event::MediaStopped(self.id));
        }
        self.send_report_if_due(beat, now, out);
        let clock = self.clock(beat);
        let Some(playout) = &mut self.playout else { return false };
        let rate = playout.rate();
        playout.produce(now, clock + FRAME as u64, said.begin(FRAME * (rate / UNIT_RATE) as usize, rate));
        if self.listen(said.samples_mut(), rate, out)
            && let Some(playout) = &mut self.playout
        {
            playout.replace(said.samples());
        }
        if !self.taps.is_empty() {
            self.record(Track::Said, clock, said.samples(), rate);
        }
        true
    }

    /// Copies what the peer said from `from` on into a listener's frame of so many units of 1/8000 s. Without `from`, or
    /// when that is over, the listener begins with the latest. Returns where it goes on.
    pub(crate) fn read_said(&self, from: Option<u64>, units: usize, frame: &mut Frame) -> Option<u64> {
        let playout = self.playout.as_ref()?;
        let rate = playout.rate();
        let (length, out) = (units as u64, frame.begin(units * (rate / UNIT_RATE) as usize, rate));
        if let Some(from) = from
            && playout.read(from, out).is_some()
        {
            return Some(from + length);
        }
        // Frames of another length than the source's need one frame in stock.
        let stock = if units.is_multiple_of(FRAME) { 0 } else { FRAME as u64 };
        let from = playout.produced().checked_sub(length + stock)?;
        playout.read(from, out)?;
        Some(from + length)
    }

    // ---- out: packets that pass by -----------------------------------------------------------------------------

    /// Passes a packet of the source on. Returns whether packets are held back now.
    pub(crate) fn relay(&mut self, beat: u64, now: Instant, packet: &Relayed<'_>, out: &mut Output) -> bool {
        if !self.hears_feed() || !self.sends() {
            self.relay.reset();
            return false;
        }
        match self.relay.offer(now, packet) {
            Turn::Now => self.pass_on(beat, now, packet, out),
            Turn::Held => {}
            Turn::Late => self.late += 1,
        }
        self.relay.is_holding() && self.relay_held(beat, now, out)
    }

    /// Passes on what was held back and need not wait any longer. Returns whether something still has to.
    pub(crate) fn relay_held(&mut self, beat: u64, now: Instant, out: &mut Output) -> bool {
        if !self.hears_feed() || !self.sends() {
            self.relay.reset();
        }
        while let Some(held) = self.relay.follower(now) {
            self.pass_on(beat, now, &held.packet(), out);
        }
        self.relay.is_holding()
    }

    fn pass_on(&mut self, beat: u64, now: Instant, packet: &Relayed<'_>, out: &mut Output) {
        if packet.payload.is_empty() {
            return;
        }
        let frame = self.frame as u64;
        let clock = self.clock(beat) / frame * frame;
        let ticks = self.voice.ticks();
        let Some(position) = self.relay.place(now, &self.egress, clock, frame, ticks, packet) else {
            self.late += 1;
            return;
        };
        let header = self.egress.stamp(position, frame, self.config.send.payload_type);
        self.transmit(&header, packet.payload, out);
        self.voice.interrupt();
        if !self.taps.is_empty() {
            let mut heard = [0; Frame::CAPACITY];
            let (length, rate) = self.voice.decode(packet.payload, &mut heard);
            self.record(Track::Heard, self.egress.clock(position), &heard[..length], rate);
        }
    }

    /// Whether the feed is what is heard, not a playback or digits in its place.
    fn hears_feed(&self) -> bool {
        self.player.is_none() && !self.fade.is_pending() && !self.digits.is_next()
    }

    // ---- out: frames of our own --------------------------------------------------------------------------------

    /// What goes into the next frame, if it comes from others.
    pub(crate) fn wants(&self) -> Wants {
        if self.player.is_some() || !self.sends() {
            return Wants::Nothing;
        }
        match (&self.feed, self.seat) {
            (&Feed::Session(source), _) if self.path == Path::Decoded => Wants::Said(source, self.read_from),
            (Feed::Mix(_), Some(seat)) => {
                let mixes_more = self.fade.is_pending() || !self.taps.is_empty();
                let encoded = (!mixes_more).then_some((self.config.send.codec, self.config.encoder));
                Wants::Mix(seat, encoded)
            }
            (Feed::Session(_) | Feed::Mix(_) | Feed::Silence | Feed::Tone(_), _) => Wants::Nothing,
        }
    }

    /// One tick: sends a frame, unless a relayed packet takes its place. `heard` is what others give to it. Returns
    /// how many frames were missed since the last tick.
    pub(crate) fn send_frame(&mut self, beat: u64, now: Instant, heard: Heard<'_>, out: &mut Output) -> u64 {
        let (clock, frame) = (self.clock(beat), self.frame as u64);
        let before = self.last_tick.replace(clock);
        self.read_from = match &heard {
            Heard::Said(_, next) => Some(*next),
            Heard::Nothing | Heard::Mixed(_) | Heard::Payload(..) => None,
        };
        if self.destination().is_none() {
            return 0;
        }
        if !self.config.direction.sends() {
            self.play_unheard(out);
            self.finish_digit(out);
            return 0;
        }
        let missed = before.map_or(0, |before| (clock.saturating_sub(before) / frame).saturating_sub(1));
        self.skipped += missed;
        let passes_by = self.path == Path::Relay && self.hears_feed();
        if passes_by && !self.relay.is_paused(now) {
            // Waits between digits pass, too.
            self.next_digit(out);
            return missed;
        }
        let Some(position) = self.egress.place(clock, frame) else { return missed };
        match self.next_digit(out) {
            DigitFrame::Event(packet) => self.send_digit(position, packet, out),
            DigitFrame::Pause => self.send_audio(position, |_, _| {}, out),
            DigitFrame::Done | DigitFrame::Idle => self.send_heard(position, heard, out),
        }
        if passes_by {
            self.relay.filled();
        }
        missed
    }

    fn next_digit(&mut self, out: &mut Output) -> DigitFrame {
        if self.digits.is_idle() { DigitFrame::Idle } else { self.digit_frame(out) }
    }

    fn digit_frame(&mut self, out: &mut Output) -> DigitFrame {
        let digit = self.digits.poll_frame(self.config.ptime_ms);
        match digit {
            DigitFrame::Event(packet) if packet.repeat => {
                self.digit_packets = self.digit_packets.saturating_sub(1)
            }
            DigitFrame::Event(_) => self.digit_packets = ENDS,
            DigitFrame::Done => out.event(Event::DigitsSent(self.id)),
            DigitFrame::Pause | DigitFrame::Idle => {}
        }
        digit
    }

    /// A digit that was cut off by a hold passes unheard, so that it does not go on seconds later. Those after it
    /// wait.
    fn finish_digit(&mut self, out: &mut Output) {
        if self.digit_packets > 0 {
            self.next_digit(out);
            self.digit_tone = None;
        }
    }

    fn send_heard(&mut self, position: u64, heard: Heard<'_>, out: &mut Output) {
        if self.player.is_some() {
            self.send_prompt(position, out);
        } else if let Heard::Said(frame, _) | Heard::Mixed(frame) = heard {
            self.send_frame_of(position, frame, out);
        } else if let Heard::Payload(payload, encoder) = heard {
            if let Some(encoder) = encoder {
                self.voice.follow(encoder);
            }
            self.send_payload(position, payload, out);
        } else if self.tone.is_some() {
            self.send_tone(position, out);
        } else if self.fade.is_pending() || !self.taps.is_empty() {
            self.send_audio(position, |_, _| {}, out);
        } else {
            if self.egress.packets().is_multiple_of(RELAX_EVERY) {
                self.egress.relax(self.frame as u64);
            }
            match self.voice.silence() {
                Some((byte, length)) if length <= SMALL => {
                    let silence = [byte; SMALL];
                    self.send_payload(position, &silence[..length], out);
                }
                Some(_) | None => self.send_audio(position, |_, _| {}, out),
            }
        }
    }

    fn send_tone(&mut self, position: u64, out: &mut Output) {
        let fill = |session: &mut Self, samples: &mut [i16]| {
            let Self { tone: Some(tone), voice, .. } = session else { return };
            voice.at_rate(TONE_RATE, samples, |samples| _ = tone.fill(samples));
        };
        self.send_audio(position, fill, out);
        if self.tone.as_ref().is_some_and(|tone| tone.is_finished()) {
            self.tone = None;
            out.event(Event::ToneEnded(self.id));
        }
    }

    /// What others give, brought to the rate of our packets.
    fn send_frame_of(&mut self, position: u64, frame: &Frame, out: &mut Output) {
        self.send_audio(
            position,
            |session, samples| {
                session.voice.at_rate(frame.rate(), samples, |samples| {
                    let length = samples.len().min(frame.samples().len());
                    samples[..length].copy_from_slice(&frame.samples()[..length]);
                });
            },
            out,
        );
    }

    /// Encodes and sends what `fill` puts into a silent frame.
    pub(super) fn send_audio(
        &mut self,
        position: u64,
        fill: impl FnOnce(&mut Self, &mut [i16]),
        out: &mut Output,
    ) {
        let length = self.voice.samples();
        if length <= SMALL && self.voice.silence().is_some_and(|(_, bytes)| bytes <= SMALL) {
            let (mut frame, mut payload) = ([0; SMALL], [0; SMALL]);
            self.send_samples(position, &mut frame[..length], &mut payload, fill, out);
        } else {
            let (mut frame, mut payload) = ([0; Frame::CAPACITY], [0; MAX_PAYLOAD]);
            let length = length.min(frame.len());
            self.send_samples(position, &mut frame[..length], &mut payload, fill, out);
        }
    }

    fn send_samples(
        &mut self,
        position: u64,
        frame: &mut [i16],
        payload: &mut [u8],
        fill: impl FnOnce(&mut Self, &mut [i16]),
        out: &mut Output,
    ) {
        fill(self, frame);
        self.fade.mix_into(frame);
        let length = self.voice.encode(frame, payload);
        if length > 0 {
            self.send_payload(position, &payload[..length], out);
        }
        if !self.taps.is_empty() {
            self.record(Track::Heard, self.egress.clock(position), frame, self.voice.rate());
        }
    }

    pub(super) fn send_payload(&mut self, position: u64, payload: &[u8], out: &mut Output) {
        let header = self.egress.stamp(position, self.frame as u64, self.config.send.payload_type);
        self.transmit(&header, payload, out);
    }

    /// A key is down: a telephone event, or its tone where the peer does not take events.
    fn send_digit(&mut self, position: u64, packet: EventPacket, out: &mut Output) {
        // An offer/answer in the middle of a digit may allow or forbid telephone events. What began as a tone, or was
        // interrupted by audio, cannot become an event: its start is in the past.
        self.digit_as_event |= packet.first;
        let Some(payload_type) = self.config.send_event.filter(|_| self.digit_as_event) else {
            self.digit_as_event = false;
            self.send_digit_tone(position, packet, out);
            return;
        };
        if packet.first {
            self.fade = Fade::default();
            self.egress.begin_event(position);
        } else if packet.start {
            self.egress.continue_event();
        }
        let header = self.egress.stamp_event(u64::from(packet.duration), packet.first, payload_type);
        self.transmit(&header, &packet.payload().to_bytes(), out);
    }

    fn send_digit_tone(&mut self, position: u64, packet: EventPacket, out: &mut Output) {
        if packet.first {
            self.digit_tone =
                ToneSpec::dtmf(packet.code).map(|spec| (packet.code, Tone::new(spec, self.voice.rate())));
        }
        let tone = if packet.repeat { None } else { self.digit_tone.take() };
        let Some((code, mut tone)) = tone.filter(|(code, _)| *code == packet.code) else {
            self.send_audio(position, |_, _| {}, out);
            return;
        };
        self.send_audio(position, |_, samples| tone.fill(samples), out);
        if packet.end {
            self.fade.start(self.voice.rate(), |next| tone.fill(next));
        } else {
            self.digit_tone = Some((code, tone));
        }
    }

    fn transmit(&mut self, header: &Header, payload: &[u8], out: &mut Output) {
        let Some(destination) = self.destination() else { return };
        let locked = self.receive.latch.is_locked();
        self.egress.sent(payload.len());
        let overhead = self.rtp_overhead();
        out.transmit(self.id, Channel::Rtp, destination, locked, |datagram| {
            let mut first = [0; HEADER_LEN];
            header.write(&mut first);
            datagram.extend_from_slice(&first);
            datagram.extend_from_slice(payload);
            datagram.resize(datagram.len() + overhead, 0);
        });
        self.protect(Class::Rtp, out);
    }
}

/// Whose audio a session needs for its next frame.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wants {
    /// Nobody's.
    Nothing,
    /// A session's, from that position on.
    Said(SessionId, Option<u64>),
    /// A mix's; encoded will do where a codec is named.
    Mix(Seat, Option<(Codec, EncoderSettings)>),
}

/// What others give to a session's next frame.
#[derive(Debug)]
pub(crate) enum Heard<'a> {
    /// Nothing.
    Nothing,
    /// What a session said, and where it goes on.
    Said(&'a Frame, u64),
    /// The mix without this session.
    Mixed(&'a Frame),
    /// The mix, encoded, and by whom if that has a memory.
    Payload(&'a [u8], Option<&'a Encoder>),
}

/// Packets of a digit that are still to come when its first end was sent (RFC 4733 §2.5.1.4).
const ENDS: u8 = 2;

/// One frame of silence in so many may be left out to come back to the clock.
const RELAX_EVERY: u64 = 10;

/// 60 ms of G.711, in samples and in bytes. Nearly all frames are not larger.
pub(super) const SMALL: usize = 480;

/// Payload of the largest packet.
const MAX_PAYLOAD: usize = 1_480;
