//! A mix: everybody in it hears everybody else.
//!
//! Each member adds its frame to one running sum when the frame is produced; whoever listens takes the last
//! milliseconds of the sum and subtracts itself. So the work per member does not grow with the mix, and as addition
//! knows no order, neither does the result. The sum is kept in pieces of one beat: members that take turns on the
//! beats of a tick meet on the same sample, and a listener waits for nobody.

use crate::{
    codec::Codec,
    command::MixId,
    dsp::mix::{self, Activity, Gain, Talk},
    graph::Frame,
    time::BEAT,
};

/// The running sum, and those who are in it.
#[derive(Debug)]
pub(crate) struct Mix {
    id: MixId,
    /// Samples per second.
    rate: u32,
    /// Samples of a beat.
    piece: usize,
    /// What all say, by beat.
    sum: Box<[i32]>,
    /// Beats before this one have their place in `sum`; what stands there for later ones is old.
    cleared: u64,
    /// In this beat and later ones nobody is heard.
    silent_from: u64,
    members: Vec<Option<Member>>,
    count: usize,
    /// By listener, then source.
    pairs: Vec<Pair>,
    shared: Vec<Shared>,
    scratch: Box<[i32]>,
}

/// One session in the mix.
#[derive(Debug)]
struct Member {
    /// What it says, by beat; silence where it is not worth hearing.
    voice: Box<[i16]>,
    /// What of it is in the sum.
    part: Box<[i16]>,
    /// It has spoken for all beats before this one.
    end: u64,
    /// From this beat on its part is silence.
    silent_from: u64,
    activity: Activity,
    /// Its last frame was worth hearing.
    open: bool,
    muted: bool,
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

/// The whole mix in one codec, for those who add nothing to it.
#[derive(Debug)]
struct Shared {
    codec: Codec,
    length: usize,
    beat: u64,
    payload: [u8; Frame::CAPACITY],
    bytes: usize,
}

/// What a member hears.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "lives for a moment on the stack")]
pub(crate) enum Mixed<'a> {
    /// Nobody says anything.
    Silence,
    /// What everybody hears who says nothing, encoded.
    Payload(&'a [u8]),
    /// The mix without itself.
    Audio(Frame),
}

impl Mix {
    pub(crate) fn new(id: MixId, rate: u32) -> Self {
        let piece = rate as usize / 1_000 * BEAT.as_millis() as usize;
        Self {
            id,
            rate,
            piece,
            sum: vec![0; piece * PIECES].into_boxed_slice(),
            cleared: 0,
            silent_from: 0,
            members: Vec::new(),
            count: 0,
            pairs: Vec::new(),
            shared: Vec::new(),
            scratch: vec![0; piece * LONGEST].into_boxed_slice(),
        }
    }

    pub(crate) fn id(&self) -> MixId {
        self.id
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Lets a session in after `beat`. Returns its number.
    pub(crate) fn join(&mut self, muted: bool, beat: u64) -> u32 {
        let silence = || vec![0; self.piece * PIECES].into_boxed_slice();
        let member = Member {
            voice: silence(),
            part: silence(),
            end: beat + 1,
            silent_from: 0,
            activity: Activity::default(),
            open: false,
            muted,
            aloud: !muted,
            // In between fades who left just now, perhaps itself.
            joined: beat + 2,
            heard: None,
        };
        self.count += 1;
        let free = self.members.iter().position(Option::is_none).unwrap_or(self.members.len());
        if free == self.members.len() {
            self.members.push(None);
        }
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
        let next = beat + 1;
        self.clear_to(next + 1);
        for later in next..member.end {
            let (at, part) = (place(later, self.piece), place(later, self.piece));
            mix::subtract(&mut self.sum[at], &member.part[part]);
        }
        if member.silent_from >= next {
            let at = place(next, self.piece);
            if member.end <= next {
                // Nobody knows what it would have said next. Its last words backwards go on from where it was.
                member.part.copy_within(place(beat, self.piece), at.start);
                member.part[at.clone()].reverse();
            }
            mix::fade_out(&mut member.part[at.clone()]);
            mix::add(&mut self.sum[at.clone()], &member.part[at]);
            self.silent_from = self.silent_from.max(next + 1);
        }
        member.activity.is_talking()
    }

    /// From the next frame on the others do not hear that member, or hear it again.
    pub(crate) fn mute(&mut self, number: u32, muted: bool) {
        if let Some(member) = self.member(number) {
            member.muted = muted;
        }
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

    /// Takes in the frame that a member says from `beat` on. Tells when it begins or stops to talk.
    pub(crate) fn contribute(&mut self, number: u32, beat: u64, said: &[i16]) -> Option<Talk> {
        let (piece, pieces) = (self.piece, (said.len() / self.piece) as u64);
        let end = beat + pieces;
        self.clear_to(end);
        let member = self.members.get_mut(number as usize)?.as_mut()?;
        // Frames follow each other. What was skipped was not said.
        if beat < member.end {
            return None;
        }
        for skipped in member.end..beat.min(member.end + PIECES as u64) {
            member.voice[place(skipped, piece)].fill(0);
            member.part[place(skipped, piece)].fill(0);
        }
        member.end = end;
        let talk = member.activity.frame(said);
        let open = [std::mem::replace(&mut member.open, member.activity.is_audible()), member.open];
        let aloud = [std::mem::replace(&mut member.aloud, !member.muted), !member.muted];
        for (now, said) in (beat..).zip(said.chunks_exact(piece)) {
            let (at, first) = (place(now, piece), now == beat);
            let (voice, part) = (&mut member.voice[at.clone()], &mut member.part[at.clone()]);
            voice.copy_from_slice(said);
            let audible = gate(voice, open, first);
            part.copy_from_slice(voice);
            if gate(part, aloud, first) && audible {
                mix::add(&mut self.sum[at], part);
                member.silent_from = now + 1;
            }
        }
        self.silent_from = self.silent_from.max(member.silent_from);
        talk
    }

    /// What a member hears in the frame of that length that ends with `beat`. `encoded` allows the frame that all
    /// share who say nothing themselves.
    pub(crate) fn hear(
        &mut self,
        number: u32,
        beat: u64,
        length: usize,
        encoded: Option<Codec>,
    ) -> Mixed<'_> {
        let (piece, length) = (self.piece, length.min(self.scratch.len()));
        let first = (beat + 1).saturating_sub((length / piece) as u64);
        self.clear_to(beat + 1);
        let pairs = self.pairs_of(number);
        let Some(member) = self.member(number) else { return Mixed::Silence };
        let (begins, joined) = (member.heard.replace(beat).is_none(), member.joined);
        let adds_nothing = member.silent_from <= first;
        if self.silent_from <= first && pairs.is_empty() {
            return Mixed::Silence;
        }
        if let Some(codec) = encoded
            && adds_nothing
            && !begins
            && pairs.is_empty()
        {
            return Mixed::Payload(self.payload(codec, length, beat));
        }
        let mut frame = Frame::silence(length, self.rate);
        let sum = &mut self.scratch[..length];
        for (now, sum) in (first..=beat).zip(sum.chunks_exact_mut(piece)) {
            sum.copy_from_slice(&self.sum[place(now, piece)]);
            if let Some(member) = &self.members[number as usize] {
                mix::subtract(sum, &member.part[place(now, piece)]);
            }
        }
        let mut over = false;
        for pair in &mut self.pairs[pairs] {
            if let Some(source) = &self.members[pair.source as usize] {
                pair.correct(sum, source, first, piece);
            }
            pair.from = pair.to;
            over |= pair.to.is_none();
        }
        mix::limit(sum, frame.samples_mut());
        if begins {
            for (now, samples) in (first..=beat).zip(frame.samples_mut().chunks_exact_mut(piece)) {
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
        Mixed::Audio(frame)
    }

    /// What would go on where a member stopped listening, if `beat` was not long ago: the end of what it heard,
    /// backwards.
    pub(crate) fn rest(&self, number: u32, beat: u64, out: &mut [i16]) -> Option<()> {
        let member = self.members.get(number as usize)?.as_ref()?;
        let last = member.heard.filter(|last| beat.saturating_sub(*last) < FRAME_BEATS)?;
        let at = place(last, self.piece);
        let mut sum = [0; Frame::CAPACITY];
        let sum = sum.get_mut(..self.piece)?;
        sum.copy_from_slice(&self.sum[at.clone()]);
        mix::subtract(sum, &member.part[at]);
        sum.reverse();
        mix::limit(sum, out.get_mut(..self.piece)?);
        Some(())
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

    /// The whole mix, encoded once for all whose frames end with the same beat.
    fn payload(&mut self, codec: Codec, length: usize, beat: u64) -> &[u8] {
        let known = self.shared.iter().position(|shared| shared.codec == codec && shared.length == length);
        let index = known.unwrap_or_else(|| {
            let payload = [0; Frame::CAPACITY];
            self.shared.push(Shared { codec, length, beat: 0, payload, bytes: 0 });
            self.shared.len() - 1
        });
        let piece = self.piece;
        let shared = &mut self.shared[index];
        if shared.beat != beat {
            let first = (beat + 1).saturating_sub((length / piece) as u64);
            let mut frame = Frame::silence(length, self.rate);
            for (now, samples) in (first..=beat).zip(frame.samples_mut().chunks_exact_mut(piece)) {
                mix::limit(&self.sum[place(now, piece)], samples);
            }
            shared.bytes = codec.encode(frame.samples(), &mut shared.payload);
            shared.beat = beat;
        }
        &shared.payload[..shared.bytes]
    }

    /// Makes room for all beats before `end`.
    fn clear_to(&mut self, end: u64) {
        let first = self.cleared.max(end.saturating_sub(PIECES as u64));
        for beat in first..end {
            self.sum[place(beat, self.piece)].fill(0);
        }
        self.cleared = self.cleared.max(end);
    }
}

impl Pair {
    /// Puts the gain of this listener in place of everybody's.
    fn correct(&self, sum: &mut [i32], source: &Member, first: u64, piece: usize) {
        for (now, sum) in (first..).zip(sum.chunks_exact_mut(piece)) {
            let at = place(now, piece);
            let (voice, part) = (&source.voice[at.clone()], &source.part[at]);
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

/// Lets a voice through, or not, as it was before and is now. It changes within the first piece of a frame. Whether
/// something is left.
fn gate(voice: &mut [i16], [before, now]: [bool; 2], first: bool) -> bool {
    match (before, now) {
        (true, false) if first => mix::fade_out(voice),
        (false, true) if first => mix::fade_in(voice),
        (_, true) => {}
        (_, false) => voice.fill(0),
    }
    now || before && first
}

/// Where a beat stands in a ring.
#[inline]
fn place(beat: u64, piece: usize) -> std::ops::Range<usize> {
    let start = (beat % PIECES as u64) as usize * piece;
    start..start + piece
}

/// Beats that are kept: the longest frame that is heard, a frame ahead that is said, and one in which a voice fades.
const PIECES: usize = LONGEST + FRAME_BEATS as usize;

/// Beats of the longest frame, 60 ms.
const LONGEST: usize = 12;

/// Beats of a frame that is said.
const FRAME_BEATS: u64 = crate::time::SLOTS;

#[cfg(test)]
mod tests;
