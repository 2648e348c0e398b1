//! One session is one remote party's media: what it says comes in, what it hears goes out.

pub(crate) mod ears;
pub(crate) mod frames;
pub(crate) mod jitter_buffer;
pub(crate) mod keys;
pub(crate) mod latch;
pub(crate) mod lateness;
mod playback;
pub(crate) mod playout;
pub(crate) mod receive;
pub(crate) mod reports;
pub(crate) mod secure;
pub(crate) mod send;
pub(crate) mod voice;
pub(crate) mod watch;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{
    codec::{Codec, Encoder},
    command::{Feed, SessionId, SteerTap, TapId},
    config::SessionConfig,
    dsp::tone_script::ScriptGenerator,
    dtmf::{DigitSender, Fusion},
    event::{Event, FinishReason},
    graph::{
        Fade,
        player::Player,
        recorder::{Recorder, Track},
        relay::Relay,
        tones::Tone,
    },
    shard::{Output, Random, Seat},
    srtp::Suite,
    stats::SessionStats,
    time::{BEAT, SLOTS, UNIT_RATE},
};
use ears::Ears;
use playout::{Playout, PlayoutCounters};
use receive::Receive;
use reports::Reports;
use secure::{Refused, Secure};
use send::Egress;
use voice::Voice;
use watch::Watch;

/// Without RTP or RTCP for so long, media has stopped.
pub const MEDIA_TIMEOUT: Duration = Duration::from_secs(7);

/// One remote party's media. Owned by a [`crate::Shard`].
pub struct Session {
    id: SessionId,
    config: SessionConfig,
    /// Units of 1/8000 s in a packet of ours.
    frame: usize,
    /// How our packets are encoded.
    voice: Voice,
    egress: Egress,
    receive: Receive,
    reports: Reports,
    /// There while packets are encrypted.
    secure: Option<Box<Secure>>,
    refused: Refused,
    watch: Watch,
    /// There while somebody hears or records decoded audio.
    playout: Option<Box<Playout>>,
    /// There while something is listened for in what the peer says.
    ears: Option<Box<Ears>>,
    /// What the peer says is for detectors a greeting, or what follows it.
    answered: bool,
    /// The keys of the peer.
    fusion: Fusion,
    feed: Feed,
    path: Path,
    relay: Relay,
    /// Where the source's decoded audio goes on, on its clock.
    read_from: Option<u64>,
    /// Its place in the mix it is in.
    seat: Option<Seat>,
    /// A mix is not to hear it.
    muted: bool,
    tone: Option<Box<ScriptGenerator>>,
    player: Option<Box<Player>>,
    /// Playbacks that wait for it to end.
    queue: VecDeque<Box<Player>>,
    /// Frames that earlier playbacks were short of audio.
    starved: u64,
    fade: Fade,
    digits: DigitSender,
    digit_tone: Option<(u8, Tone)>,
    /// Packets the digit being sent needs at least; 0 between digits.
    digit_packets: u8,
    /// Whether the digit under way goes out as a telephone event.
    digit_as_event: bool,
    /// The source holds a key down that we pass on.
    relays_key: bool,
    /// Who hears this session.
    listeners: Vec<SessionId>,
    taps: Vec<Tap>,
    last_tick: Option<u64>,
    /// Sub-slot of the frame in which the session sends.
    phase: u64,
    /// The last beat it saw in the shard it came from.
    settled: u64,
    skipped: u64,
    late: u64,
    /// Of playouts that are over.
    played_out: PlayoutCounters,
}

/// How audio of the source comes here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Path {
    /// There is no source.
    #[default]
    None,
    /// As packets, at once.
    Relay,
    /// Decoded, on our tick.
    Decoded,
}

#[derive(Debug)]
struct Tap {
    id: TapId,
    recorder: Box<Recorder>,
    /// Clock when it began.
    start: u64,
}

impl Session {
    pub(crate) fn new(id: SessionId, config: SessionConfig, now: Instant, random: &mut Random) -> Self {
        // RFC 3711 §3.3.1: who joins late must not miss the first rollover of the sequence numbers.
        let egress = Egress::new(random.next_u32(), random.next_u32() as u16 & 0x7FFF, random.next_u32());
        let mut session = Self {
            id,
            frame: 0,
            voice: Voice::new(config.send.codec),
            egress,
            receive: Receive::new(now),
            reports: Reports::new(now, random.next_u64()),
            secure: None,
            refused: Refused::default(),
            watch: Watch::default(),
            playout: None,
            ears: None,
            answered: false,
            fusion: Fusion::new(),
            feed: Feed::Silence,
            path: Path::None,
            relay: Relay::default(),
            read_from: None,
            seat: None,
            muted: false,
            tone: None,
            player: None,
            queue: VecDeque::new(),
            starved: 0,
            fade: Fade::default(),
            digits: DigitSender::new(config.send.codec.clock_rate()),
            digit_tone: None,
            digit_packets: 0,
            digit_as_event: false,
            relays_key: false,
            listeners: Vec::with_capacity(4),
            taps: Vec::with_capacity(2),
            last_tick: None,
            phase: u64::from(id.slot()) % SLOTS,
            settled: 0,
            skipped: 0,
            late: 0,
            played_out: PlayoutCounters::default(),
            config: SessionConfig::default(),
        };
        session.configure(now, config);
        session
    }

    /// Applies the result of an offer/answer. The outgoing stream goes on.
    pub(crate) fn configure(&mut self, now: Instant, config: SessionConfig) {
        let codec = config.send.codec;
        let ptime_ms = codec.packet_time(if config.ptime_ms < 10 { 20 } else { config.ptime_ms });
        let frame = usize::from(ptime_ms) * UNIT_RATE as usize / 1_000;
        if codec != self.voice.codec() {
            self.voice = Voice::new(codec);
            self.digit_tone = None;
            self.relay.reset();
            self.read_from = None;
        }
        // An event cannot go on at another clock rate.
        self.digit_as_event &= !self.egress.set_clock_rate(codec.clock_rate());
        self.digits.set_clock_rate(codec.clock_rate());
        if self.receive.codec().is_none() {
            self.receive.set_clock_rate(codec.clock_rate());
        }
        if frame != self.frame {
            self.frame = frame;
            self.egress.align(frame as u64);
            self.relay.reset();
            self.last_tick = None;
        }
        self.receive.latch.configure(now, config.latch, config.remote, config.signaling_ip);
        self.reports.configure(&config);
        self.secure(now, config.srtp.as_ref());
        self.voice.configure(frame, &config);
        self.config = SessionConfig { ptime_ms, ..config };
    }

    /// Takes audio of so many samples per second from now on, or what the codec makes of that.
    pub(crate) fn tune(&mut self, rate: u32) {
        if self.voice.codec().rate_for(rate) != self.voice.rate() {
            self.voice.set_rate(rate);
            self.digit_tone = None;
        }
    }

    /// A tone that is heard fades out.
    fn rest_of_tone(&mut self) {
        let Self { tone: Some(tone), player: None, voice, fade, .. } = self else { return };
        fade.start(voice.rate(), |next| {
            voice.at_rate(TONE_RATE, next, |next| _ = tone.fill(next));
        });
    }

    /// The name of the session.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Where RTP is sent: the learned address, or that of the SDP.
    #[must_use]
    pub fn destination(&self) -> Option<SocketAddr> {
        self.receive.latch.destination()
    }

    /// What the session hears when nothing is played.
    #[must_use]
    pub fn feed(&self) -> Feed {
        self.feed.clone()
    }

    /// How what it sends is encrypted, if it is.
    #[must_use]
    pub fn suite(&self) -> Option<Suite> {
        self.config.srtp.as_ref().map(|keys| keys.send.suite())
    }

    /// What it measured so far.
    #[must_use]
    pub fn stats(&self) -> SessionStats {
        let mut counters = self.played_out;
        let (mut delay, mut target, mut drift) = (0, 0, 0);
        if let Some(playout) = &self.playout {
            counters += playout.counters();
            (delay, target, drift) = (playout.delay_ms(), playout.target_ms(), playout.drift_ppm());
        }
        let reception = &self.receive.reception;
        SessionStats {
            received: self.receive.packets,
            received_bytes: self.receive.bytes,
            sent: self.egress.packets(),
            sent_bytes: self.egress.bytes(),
            lost: reception.lost(),
            duplicates: reception.duplicates(),
            reordered: reception.reordered(),
            late: self.late + counters.late,
            concealed: counters.concealed,
            recovered: counters.recovered,
            stretched: counters.stretched,
            realigned: counters.realigned,
            playout_delay_ms: delay,
            playout_target_ms: target,
            clock_drift_ppm: drift,
            wrong_source: self.receive.wrong_source,
            invalid: self.receive.invalid,
            unauthenticated: self.refused.unauthenticated,
            replayed: self.refused.replayed,
            jitter: self.receive.jitter(),
            continuity_violations: self.egress.violations(),
            skipped: self.skipped,
            starved: self.starved + self.player.as_ref().map_or(0, |player| player.starved()),
            round_trip_us: self.reports.round_trip_us(),
            remote_fraction_lost: self.reports.remote_fraction_lost(),
            quality: self.quality(),
        }
    }

    /// The worker's grid in units of 1/8000 s, as this session counts: a multiple of the frame when it is due.
    fn clock(&self, beat: u64) -> u64 {
        (beat - self.phase) * BEAT_UNITS
    }

    /// Whether a frame of ours is due at that beat.
    pub(crate) fn is_due(&self, beat: u64) -> bool {
        beat > self.settled && self.clock(beat).is_multiple_of(self.frame as u64)
    }

    /// Whether it is to be looked after at that beat.
    pub(crate) fn is_tick(&self, beat: u64) -> bool {
        beat > self.settled && self.sends_in(beat % SLOTS)
    }

    /// Whether that is its sub-slot.
    pub(crate) fn sends_in(&self, phase: u64) -> bool {
        self.phase == phase
    }

    /// All up to that beat is done, in whichever shard.
    pub(crate) fn settle(&mut self, beat: u64) {
        self.settled = self.settled.max(beat);
    }

    pub(crate) fn settled(&self) -> u64 {
        self.settled
    }

    /// Whether it holds packets of its source back.
    pub(crate) fn is_holding(&self) -> bool {
        self.relay.is_holding()
    }

    /// Units of 1/8000 s in a packet of ours.
    pub(crate) fn frame_units(&self) -> usize {
        self.frame
    }

    /// The most our packets can carry, samples per second.
    pub(crate) fn best_rate(&self) -> u32 {
        self.voice.best_rate()
    }

    /// What our packets are encoded with, if that has a memory.
    pub(crate) fn encoder(&self) -> Option<&Encoder> {
        self.voice.encoder()
    }

    /// Samples per second of our packets.
    pub(crate) fn rate(&self) -> u32 {
        self.voice.rate()
    }

    /// Whether frames come between the ticks of 20 ms, too.
    pub(crate) fn is_odd(&self) -> bool {
        !self.frame.is_multiple_of(playout::FRAME)
    }

    /// Counts a datagram that is neither RTP nor RTCP.
    pub(crate) fn count_invalid(&mut self) {
        self.receive.invalid += 1;
    }

    // ---- who hears whom ----------------------------------------------------------------------------------------

    pub(crate) fn listeners(&self) -> &[SessionId] {
        &self.listeners
    }

    pub(crate) fn add_listener(&mut self, listener: SessionId) {
        self.listeners.push(listener);
    }

    pub(crate) fn remove_listener(&mut self, listener: SessionId) {
        self.listeners.retain(|&known| known != listener);
    }

    pub(crate) fn set_feed(&mut self, feed: Feed) {
        self.rest_of_tone();
        self.voice.forget();
        self.tone = match &feed {
            Feed::Tone(script) => Some(Box::new(ScriptGenerator::new(**script, TONE_RATE))),
            Feed::Silence | Feed::Session(_) | Feed::Mix(_) => None,
        };
        self.feed = feed;
        self.set_path(Path::None);
    }

    pub(crate) fn seat(&self) -> Option<Seat> {
        self.seat
    }

    pub(crate) fn set_seat(&mut self, seat: Option<Seat>) {
        self.seat = seat;
    }

    /// A mix is left: `rest`, what was about to be heard of it, fades out in the next frame.
    pub(crate) fn fade_mix(&mut self, rate: u32, rest: &[i16]) {
        if self.player.is_none() {
            self.fade.start(rate, |next| next.copy_from_slice(&rest[..next.len()]));
        }
    }

    pub(crate) fn is_muted(&self) -> bool {
        self.muted
    }

    pub(crate) fn set_muted(&mut self, muted: bool) {
        self.muted = muted;
    }

    /// Whether packets of `source` can go out as they are.
    pub(crate) fn path_from(&self, source: &Self) -> Path {
        let same = source.said_codec() == self.config.send.codec;
        let passes = same && source.receive.is_regular(self.voice.ticks());
        if passes && !source.removes_digits() { Path::Relay } else { Path::Decoded }
    }

    pub(crate) fn path(&self) -> Path {
        self.path
    }

    pub(crate) fn set_path(&mut self, path: Path) {
        if path != self.path {
            self.path = path;
            self.relay.reset();
            self.read_from = None;
        }
        if path == Path::None {
            self.release_key();
        }
    }

    /// What the peer encodes with, as far as it was heard.
    pub(crate) fn said_codec(&self) -> Codec {
        self.receive.codec().unwrap_or(self.config.send.codec)
    }

    /// Samples per second of what the peer is decoded to.
    pub(crate) fn said_rate(&self) -> Option<u32> {
        self.playout.as_ref().map(|playout| playout.rate())
    }

    /// Decodes what the peer says for listeners who make use of so many samples per second, or stops decoding. A stream
    /// that changes its codec `on_its_own` is never decoded to less than before: it may change back.
    pub(crate) fn set_decoding(&mut self, listeners: Option<u32>, on_its_own: bool, beat: u64) {
        let taps = (!self.taps.is_empty() || self.ears.is_some()).then_some(UNIT_RATE);
        let seat = self.seat.map(|_| self.best_rate());
        let wanted = listeners.max(taps).max(seat);
        let rate = wanted.map(|wanted| self.said_codec().rate_for(wanted));
        match (&mut self.playout, rate) {
            (None, Some(rate)) => self.playout = Some(Box::new(Playout::new(self.clock(beat), rate))),
            (Some(playout), Some(rate)) => {
                playout.set_rate(if on_its_own { rate.max(playout.rate()) } else { rate });
            }
            (Some(playout), None) => {
                self.played_out += playout.counters();
                self.playout = None;
            }
            (None, None) => {}
        }
    }

    // ---- digits, taps ------------------------------------------------------------------------------------------

    pub(crate) fn digits(&mut self) -> &mut DigitSender {
        &mut self.digits
    }

    /// The source pressed a key: it goes down here too, if its audio is what is heard.
    pub(crate) fn press_key(&mut self, code: u8) {
        if self.player.is_none() && self.sends() {
            self.digits.press(code);
            self.relays_key = true;
        }
    }

    /// The source released its key, or is no longer heard.
    pub(crate) fn release_key(&mut self) {
        if std::mem::take(&mut self.relays_key) {
            self.digits.release();
        }
    }

    pub(crate) fn tap(&mut self, id: TapId, recorder: Box<Recorder>, beat: u64) {
        let start = self.clock(beat);
        self.taps.push(Tap { id, recorder, start });
    }

    /// Pauses, resumes or marks a recording; none of that name is none of our business.
    pub(crate) fn steer_tap(&mut self, id: TapId, steer: &SteerTap, beat: u64) {
        let clock = self.clock(beat);
        for tap in self.taps.iter_mut().filter(|tap| tap.id == id) {
            let at = clock.saturating_sub(tap.start);
            match steer {
                SteerTap::Pause => tap.recorder.pause(at),
                SteerTap::Resume => tap.recorder.resume(at),
                SteerTap::Mark(name) => tap.recorder.mark(at, name),
            }
        }
    }

    /// Ends one tap, or all of them.
    pub(crate) fn untap(&mut self, id: Option<TapId>, out: &mut Output) {
        let session = self.id;
        self.taps.retain(|tap| {
            let ends = id.is_none_or(|id| id == tap.id);
            if ends {
                out.event(Event::TapEnded(session, tap.id));
            }
            !ends
        });
    }

    fn record(&mut self, track: Track, clock: u64, samples: &[i16], rate: u32) {
        let per_unit = (rate / UNIT_RATE) as usize;
        for tap in &mut self.taps {
            // What lies before the tap is not recorded.
            let skip = (tap.start.saturating_sub(clock) as usize).saturating_mul(per_unit).min(samples.len());
            tap.recorder.push_at_rate(track, clock.saturating_sub(tap.start), &samples[skip..], rate);
        }
    }

    /// The last words: a BYE for the peer, the end of everything that runs, and the figures.
    pub(crate) fn close(&mut self, beat: u64, now: Instant, out: &mut Output) {
        self.stop_all(FinishReason::Closed, out);
        self.untap(None, out);
        self.send_goodbye(beat, now, out);
        out.event(Event::Closed(self.id, Box::new(self.stats())));
    }

    /// Whether anything of ours may leave.
    fn sends(&self) -> bool {
        self.config.direction.sends() && self.destination().is_some()
    }
}

/// The live chain, as it is now.
impl std::fmt::Display for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let said = self.receive.codec().unwrap_or(self.config.send.codec);
        write!(f, "{:?}: said {said}", self.id)?;
        if let Some(playout) = &self.playout {
            write!(f, " → jitter {} ms → conceal", playout.target_ms())?;
        }
        f.write_str("; heard ")?;
        match (&self.player, &self.feed, self.path) {
            (Some(player), ..) => write!(f, "{player}")?,
            (None, Feed::Silence, _) | (None, Feed::Session(_), Path::None) => f.write_str("silence")?,
            (None, Feed::Mix(mix), _) => write!(f, "mix {} → encode", mix.0)?,
            (None, Feed::Tone(_), _) => f.write_str("tone")?,
            (None, Feed::Session(source), Path::Relay) => write!(f, "{source:?} → relay")?,
            (None, Feed::Session(source), Path::Decoded) => write!(f, "{source:?} → encode")?,
        }
        write!(f, " → {} {} ms", self.config.send.codec, self.config.ptime_ms)?;
        if let Some(suite) = self.suite() {
            write!(f, " → {suite}")?;
        }
        match self.destination() {
            Some(address) if self.receive.latch.is_locked() => write!(f, " → {address}")?,
            Some(address) => write!(f, " → {address} (announced)")?,
            None => f.write_str(" → nowhere yet")?,
        }
        let quality = self.quality();
        if !quality.unheard.is_empty() {
            write!(f, "; unheard: {}", quality.unheard)?;
        }
        if !quality.unsaid.is_empty() {
            write!(f, "; silent: {}", quality.unsaid)?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// Samples per second of generated tones.
const TONE_RATE: u32 = 8_000;

/// Units of 1/8000 s in a beat.
const BEAT_UNITS: u64 = BEAT.as_millis() as u64 * UNIT_RATE as u64 / 1_000;
