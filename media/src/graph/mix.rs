//! A mix: everybody in it hears everybody else.
//!
//! Each member adds its frame to one running sum when the frame is produced; whoever listens takes the last
//! milliseconds of the sum and subtracts itself. So the work per member does not grow with the mix, and as addition
//! knows no order, neither does the result. The sum is kept in pieces of one beat: members that take turns on the
//! beats of a tick meet on the same sample, and a listener waits for nobody.
//!
//! There is one sum for each rate at which somebody listens, a [`Band`]. Who speaks at another rate is resampled into it
//! while there is anything to hear. So those who hear wide-band audio hear each other's in full, whoever else is there,
//! and when a rate comes or goes with a member, nobody else hears a difference.

mod band;

use band::{Band, Line};

use crate::{
    codec::{Codec, Encoder, EncoderSettings},
    command::MixId,
    dsp::mix::{self, Activity, Gain, Talk},
    graph::Frame,
    time::UNIT_RATE,
};

/// The running sums, and those who are in it.
#[derive(Debug)]
pub(crate) struct Mix {
    id: MixId,
    /// By rate.
    bands: Vec<Band>,
    members: Vec<Option<Member>>,
    count: usize,
    /// By listener, then source.
    pairs: Vec<Pair>,
    /// So many talkers are heard at most; 0 is no limit.
    loudest: usize,
    /// The tick for which the loudest were chosen.
    chosen: u64,
    ranks: Vec<(u32, u32)>,
    scratch: Box<[i32]>,
}

/// One session in the mix.
#[derive(Debug)]
struct Member {
    /// The rate at which it hears, samples per second.
    rate: u32,
    /// What it says, for each band.
    lines: Vec<Line>,
    /// It has spoken for all beats before this one.
    end: u64,
    activity: Activity,
    /// Its last frame was worth hearing.
    open: bool,
    muted: bool,
    /// It is one of the loudest, or there is no limit.
    is_chosen: bool,
    /// Its last frame was for everybody.
    aloud: bool,
    /// First beat it may hear.
    joined: u64,
    /// Last beat it heard.
    heard: Option<u64>,
}

/// A voice that one listener hears otherwise than everybody else.
#[derive(Debug, Clone, Copy)]
struct Pair {
    listener: u32,
    source: u32,
    /// As it was heard last, and as it shall be; `None` as everybody hears it.
    from: Option<Gain>,
    to: Option<Gain>,
}

/// What a member hears.
#[derive(Debug)]
pub(crate) enum Mixed<'a> {
    /// Nobody says anything.
    Silence,
    /// What everybody hears who says nothing, encoded, and by whom if that has a memory.
    Payload(&'a [u8], Option<&'a Encoder>),
    /// The mix without itself, in the frame.
    Audio,
}

impl Mix {
    pub(crate) fn new(id: MixId) -> Self {
        Self {
            id,
            bands: Vec::new(),
            members: Vec::new(),
            count: 0,
            pairs: Vec::new(),
            loudest: 0,
            chosen: 0,
            ranks: Vec::new(),
            scratch: Box::new([]),
        }
    }

    pub(crate) fn id(&self) -> MixId {
        self.id
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Lets a session in after `beat`, which hears audio of `rate` samples per second. Returns its number.
    pub(crate) fn join(&mut self, muted: bool, rate: u32, beat: u64) -> u32 {
        self.open_band(rate, beat);
        let member = Member {
            rate,
            lines: self.bands.iter().map(|band| Line::new(band.rate())).collect(),
            end: beat + 1,
            activity: Activity::default(),
            open: false,
            muted,
            is_chosen: self.loudest == 0,
            aloud: !muted && self.loudest == 0,
            // In between fades who left just now, perhaps itself.
            joined: beat + 2,
            heard: None,
        };
        self.count += 1;
        let free = self.members.iter().position(Option::is_none).unwrap_or(self.members.len());
        if free == self.members.len() {
            self.members.push(None);
        }
        self.ranks.reserve(self.members.len());
        self.members[free] = Some(member);
        free as u32
    }

    /// Lets a session go. What it said up to `beat` is on its way; after that its voice fades out within a beat.
    /// Returns whether it was talking.
    pub(crate) fn leave(&mut self, number: u32, beat: u64) -> bool {
        let Some(mut member) = self.members.get_mut(number as usize).and_then(Option::take) else {
            return false;
        };
        self.count -= 1;
        self.pairs.retain(|pair| pair.listener != number && pair.source != number);
        for (band, line) in self.bands.iter_mut().zip(&mut member.lines) {
            band.take_out(line, member.end, beat);
        }
        self.close_band(member.rate);
        member.activity.is_talking()
    }

    /// A member hears another rate from now on.
    pub(crate) fn tune(&mut self, number: u32, rate: u32, beat: u64) {
        let Some(before) = self.member(number).map(|member| member.rate).filter(|&before| before != rate)
        else {
            return;
        };
        self.open_band(rate, beat);
        if let Some(member) = self.member(number) {
            (member.rate, member.joined, member.heard) = (rate, beat + 1, None);
        }
        self.close_band(before);
    }

    /// From the next frame on the others do not hear that member, or hear it again.
    pub(crate) fn mute(&mut self, number: u32, muted: bool) {
        if let Some(member) = self.member(number) {
            member.muted = muted;
        }
    }

    /// Lets only so many be heard at a time, those who talk loudest; 0 is no limit.
    pub(crate) fn set_loudest(&mut self, loudest: usize) {
        self.loudest = loudest;
        self.chosen = 0;
    }

    /// Sets how loud one member hears another; `None` as everybody does.
    pub(crate) fn set_gain(&mut self, listener: u32, source: u32, gain: Option<Gain>) {
        let key = (listener, source);
        match self.pairs.binary_search_by_key(&key, |pair| (pair.listener, pair.source)) {
            Ok(at) => self.pairs[at].to = gain,
            Err(at) if gain.is_some() => {
                self.pairs.insert(at, Pair { listener, source, from: None, to: gain });
            }
            Err(_) => {}
        }
    }

    /// Takes in the frame that a member says from `beat` on, of `rate` samples per second. Tells when it begins or stops
    /// to talk.
    pub(crate) fn contribute(&mut self, number: u32, beat: u64, said: &[i16], rate: u32) -> Option<Talk> {
        let end = beat + (said.len() / piece(rate)) as u64;
        for band in &mut self.bands {
            band.clear_to(end);
        }
        self.choose(beat);
        let member = self.members.get_mut(number as usize)?.as_mut()?;
        // Frames follow each other. What was skipped was not said.
        if beat < member.end {
            return None;
        }
        let skipped = member.end..beat.min(member.end + band::PIECES as u64);
        member.end = end;
        let talk = member.activity.frame(said);
        let for_all = !member.muted && member.is_chosen;
        let open = [std::mem::replace(&mut member.open, member.activity.is_audible()), member.open];
        let aloud = [std::mem::replace(&mut member.aloud, for_all), for_all];
        for (band, line) in self.bands.iter_mut().zip(&mut member.lines) {
            line.skip(skipped.clone());
            band.add(line, said, rate, beat, open, aloud);
        }
        talk
    }

    /// What a member hears in the frame of so many units of 1/8000 s that ends with `beat`; `frame` has its audio.
    /// `encoded` allows the frame that all share who say nothing themselves; `own` is the member's encoder, if that has a
    /// memory.
    pub(crate) fn hear(
        &mut self,
        number: u32,
        beat: u64,
        units: usize,
        encoded: Option<(Codec, EncoderSettings)>,
        own: Option<&Encoder>,
        frame: &mut Frame,
    ) -> Mixed<'_> {
        let pairs = self.pairs_of(number);
        let Self { bands, members, scratch, .. } = self;
        let Some(member) = members.get_mut(number as usize).and_then(Option::as_mut) else {
            return Mixed::Silence;
        };
        let Some(index) = bands.iter().position(|band| band.rate() == member.rate) else {
            return Mixed::Silence;
        };
        let (rate, piece) = (member.rate, piece(member.rate));
        let units = units.min(band::LONGEST * UNITS);
        let first = (beat + 1).saturating_sub((units / UNITS) as u64);
        let band = &mut bands[index];
        band.follow_to(beat + 1);
        let (begins, joined) = (member.heard.replace(beat).is_none(), member.joined);
        // An encoder with a memory goes on by itself until its memory is the same as that of the common one.
        let has_memory = encoded.is_some_and(|(codec, _)| !codec.is_stateless());
        let silent_from = member.lines[index].silent_from();
        let adds_nothing =
            if has_memory { silent_from.max(joined) + AGREEING <= first } else { silent_from <= first };
        let is_silent = band.silent_from() <= first && pairs.is_empty();
        if is_silent && !(has_memory && adds_nothing) {
            return Mixed::Silence;
        }
        if let Some(encoded) = encoded
            && adds_nothing
            && !begins
            && pairs.is_empty()
        {
            let (payload, encoder) = bands[index].payload(encoded, own, units, beat);
            return Mixed::Payload(payload, encoder);
        }
        let out = frame.begin(units * (rate / UNIT_RATE) as usize, rate);
        let sum = &mut scratch[..out.len()];
        band.sum_without(&member.lines[index], first, sum);
        let mut over = false;
        for pair in &mut self.pairs[pairs] {
            if let Some(source) = &members[pair.source as usize] {
                pair.correct(sum, &source.lines[index], first, piece);
            }
            pair.from = pair.to;
            over |= pair.to.is_none();
        }
        bands[index].limit(sum, first, out);
        if begins {
            for (now, samples) in (first..=beat).zip(out.chunks_exact_mut(piece)) {
                match now == first.max(joined) {
                    true => mix::fade_in(samples),
                    false if now < joined => samples.fill(0),
                    false => {}
                }
            }
        }
        if over {
            self.pairs.retain(|pair| pair.to.is_some() || pair.from.is_some());
        }
        Mixed::Audio
    }

    /// What would go on where a member stopped listening, if `beat` was not long ago: the end of what it heard,
    /// backwards, and its rate.
    pub(crate) fn rest(&self, number: u32, beat: u64, out: &mut [i16]) -> Option<u32> {
        let member = self.members.get(number as usize)?.as_ref()?;
        let last = member.heard.filter(|last| beat.saturating_sub(*last) < band::FRAME_BEATS)?;
        let index = self.bands.iter().position(|band| band.rate() == member.rate)?;
        let piece = piece(member.rate);
        let mut sum = [0; Frame::CAPACITY];
        let sum = sum.get_mut(..piece)?;
        self.bands[index].sum_without(&member.lines[index], last, sum);
        let out = out.get_mut(..piece)?;
        self.bands[index].limit(sum, last, out);
        out.reverse();
        Some(member.rate)
    }

    fn member(&mut self, number: u32) -> Option<&mut Member> {
        self.members.get_mut(number as usize)?.as_mut()
    }

    fn pairs_of(&self, listener: u32) -> std::ops::Range<usize> {
        if self.pairs.is_empty() {
            return 0..0;
        }
        let start = self.pairs.partition_point(|pair| pair.listener < listener);
        start..start + self.pairs[start..].partition_point(|pair| pair.listener == listener)
    }

    /// One more member hears that rate.
    fn open_band(&mut self, rate: u32, beat: u64) {
        let at = self.bands.partition_point(|band| band.rate() < rate);
        if self.bands.get(at).is_none_or(|band| band.rate() != rate) {
            self.bands.insert(at, Band::new(rate, beat));
            for member in self.members.iter_mut().flatten() {
                member.lines.insert(at, Line::new(rate));
            }
            let longest = self.bands.iter().map(|band| piece(band.rate()) * band::LONGEST).max();
            self.scratch = vec![0; longest.unwrap_or(0)].into_boxed_slice();
        }
        self.bands[at].listeners += 1;
    }

    /// One less does.
    fn close_band(&mut self, rate: u32) {
        let Some(at) = self.bands.iter().position(|band| band.rate() == rate) else { return };
        self.bands[at].listeners -= 1;
        if self.bands[at].listeners == 0 {
            self.bands.remove(at);
            for member in self.members.iter_mut().flatten() {
                member.lines.remove(at);
            }
        }
    }

    /// Chooses the loudest once per tick, by what they said in the one before, whoever's turn is first.
    fn choose(&mut self, beat: u64) {
        let tick = beat / band::FRAME_BEATS;
        if self.chosen == tick {
            return;
        }
        self.chosen = tick;
        let Self { ranks, members, loudest, .. } = self;
        if *loudest == 0 {
            for member in members.iter_mut().flatten() {
                member.is_chosen = true;
            }
            return;
        }
        ranks.clear();
        for (number, member) in members.iter_mut().enumerate() {
            let talks = |member: &&mut Member| member.activity.is_audible() && !member.muted;
            let Some(member) = member.as_mut().filter(talks) else { continue };
            let level = member.activity.level();
            // Whoever is heard is not given up for one who is hardly louder: 6 dB.
            let level = if member.is_chosen { 2 * level } else { level };
            ranks.push((u32::MAX - level, number as u32));
        }
        ranks.sort_unstable();
        // Where there is room, the first word of whoever begins is not lost.
        let has_room = ranks.len() < *loudest;
        for member in members.iter_mut().flatten() {
            member.is_chosen = has_room;
        }
        for &(_, number) in ranks.iter().take(*loudest) {
            if let Some(member) = &mut members[number as usize] {
                member.is_chosen = true;
            }
        }
    }
}

impl Pair {
    /// Puts the gain of this listener in place of everybody's.
    fn correct(&self, sum: &mut [i32], source: &Line, first: u64, piece: usize) {
        for (now, sum) in (first..).zip(sum.chunks_exact_mut(piece)) {
            let (voice, part) = (source.voice(now), source.part(now));
            let difference = |gain: Option<Gain>, index: usize| {
                gain.map_or(0, |gain| gain.of(voice[index]) - i32::from(part[index]))
            };
            let blends = now == first && self.from != self.to;
            for (index, sum) in sum.iter_mut().enumerate() {
                let mut change = difference(self.to, index);
                if blends {
                    let (before, steps) = (difference(self.from, index), piece as i32 + 1);
                    change = before + (change - before) * (index as i32 + 1) / steps;
                }
                *sum = sum.wrapping_add(change);
            }
        }
    }
}

/// Samples of a beat.
fn piece(rate: u32) -> usize {
    rate as usize / (UNIT_RATE as usize / UNITS)
}

/// Units of 1/8000 s in a beat.
const UNITS: usize = 40;

/// Beats in which two encoders of the same audio come to agree: half a second.
const AGREEING: u64 = 100;

#[cfg(test)]
mod tests;
