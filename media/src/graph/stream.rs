//! Audio that arrives while it is played: long files, downloads, speech under synthesis.
//!
//! A [`StreamWriter`] off the workers stays a few seconds ahead of the [`Stream`] on one of them. Samples and marks
//! between them pass through rings; neither side ever waits for the other.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use super::prompt::Prompt;
use crate::dsp::rates::{self, REACH};

/// Two ends of a stream of mono audio with `rate` samples per second (8, 16 or 48 kHz; others are taken for 8 kHz),
/// which holds `capacity_ms` at most.
#[must_use]
pub fn stream(rate: u32, capacity_ms: u32) -> (StreamWriter, Stream) {
    let rate = if rates::is_convertible(rate, NARROW) { rate } else { NARROW };
    let capacity = (capacity_ms as usize * rate as usize / 1_000).max(rate as usize / 10);
    let (producer, samples) = rtrb::RingBuffer::new(capacity);
    let (mark, marks) = rtrb::RingBuffer::new(MARKS);
    let shared = Arc::new(Shared::default());
    let writer =
        StreamWriter { samples: producer, marks: mark, shared: Arc::clone(&shared), rate, written: 0 };
    let stream = Stream {
        samples,
        marks,
        shared,
        rate,
        read: 0,
        mark: None,
        seeks: 0,
        seeking: false,
        whole: None,
        converter: Converter::new(),
        heard: false,
        begun: false,
    };
    (writer, stream)
}

#[derive(Debug, Default)]
struct Shared {
    /// Number of the latest seek in the upper half, where to in ms in the lower one.
    wanted: AtomicU64,
    /// Frames that were short of audio.
    starved: AtomicU64,
    abandoned: AtomicBool,
}

/// The end that is written to, off the workers.
#[derive(Debug)]
pub struct StreamWriter {
    samples: rtrb::Producer<i16>,
    marks: rtrb::Producer<Mark>,
    shared: Arc<Shared>,
    rate: u32,
    written: u64,
}

#[derive(Debug)]
struct Mark {
    /// Samples written before it.
    at: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    /// What follows was asked for by that seek.
    Seeked(u32),
    End,
    Failed(Box<str>),
    Whole(Arc<Prompt>),
}

/// Where a seek goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seek {
    number: u32,
    /// Place from the beginning, ms.
    pub to_ms: u32,
}

impl StreamWriter {
    /// Samples per second that are to be written.
    #[must_use]
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// How many samples may be written now.
    #[must_use]
    pub fn room(&self) -> usize {
        self.samples.slots()
    }

    /// Writes as many samples as there is room for, and returns their number.
    pub fn write(&mut self, samples: &[i16]) -> usize {
        let count = samples.len().min(self.samples.slots());
        if let Ok(mut chunk) = self.samples.write_chunk(count) {
            let (first, second) = chunk.as_mut_slices();
            let (head, tail) = samples[..count].split_at(first.len());
            first.copy_from_slice(head);
            second.copy_from_slice(tail);
            chunk.commit_all();
        }
        self.written += count as u64;
        count
    }

    /// The recording ends here. What is written after that is the next round of a loop, heard without a gap. Returns
    /// false while too many marks wait to be heard.
    pub fn end(&mut self) -> bool {
        self.mark(What::End)
    }

    /// The stream is over for that reason, which the listener's owner is told when what was written is heard.
    pub fn fail(&mut self, reason: &str) -> bool {
        self.mark(What::Failed(reason.into()))
    }

    /// Hands the whole recording over, of which nothing was written yet.
    pub fn whole(&mut self, prompt: Arc<Prompt>) -> bool {
        self.mark(What::Whole(prompt))
    }

    /// A place the listener wants to go on from that is not [reached](Self::seeked) yet.
    #[must_use]
    pub fn wanted(&self, last: Option<Seek>) -> Option<Seek> {
        let wanted = self.shared.wanted.load(Ordering::Acquire);
        let seek = Seek { number: (wanted >> 32) as u32, to_ms: wanted as u32 };
        (seek.number != last.map_or(0, |last| last.number)).then_some(seek)
    }

    /// What is written from now on begins where `seek` wanted it to.
    pub fn seeked(&mut self, seek: Seek) -> bool {
        self.mark(What::Seeked(seek.number))
    }

    /// Whether nothing was written or marked yet.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.written == 0 && self.marks.slots() == MARKS
    }

    /// Whether nobody will read any more.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.samples.is_abandoned() || self.shared.abandoned.load(Ordering::Relaxed)
    }

    /// Frames so far for which audio came too late.
    #[must_use]
    pub fn starved(&self) -> u64 {
        self.shared.starved.load(Ordering::Relaxed)
    }

    fn mark(&mut self, what: What) -> bool {
        self.marks.push(Mark { at: self.written, what }).is_ok()
    }
}

/// The end a listener reads.
#[derive(Debug)]
pub struct Stream {
    samples: rtrb::Consumer<i16>,
    marks: rtrb::Consumer<Mark>,
    shared: Arc<Shared>,
    rate: u32,
    read: u64,
    /// The next mark.
    mark: Option<Mark>,
    seeks: u32,
    /// What is in the ring is from before the seek.
    seeking: bool,
    whole: Option<Arc<Prompt>>,
    converter: Converter,
    /// Something of this round was heard.
    heard: bool,
    /// Something was ever heard.
    begun: bool,
}

/// What reading gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// So many samples; fewer than wanted when the rest is late.
    Samples(usize),
    /// It is a prompt from its beginning now.
    Whole,
    /// The round is over.
    End,
    /// And why.
    Failed(Box<str>),
}

impl Stream {
    /// The recording, if it was handed over whole.
    pub(crate) fn prompt(&self) -> Option<&Arc<Prompt>> {
        self.whole.as_ref()
    }

    /// Whether audio or a verdict is there.
    pub(crate) fn is_ready(&mut self) -> bool {
        self.whole.is_some() || !self.samples.is_empty() || self.mark.is_some() || !self.marks.is_empty()
    }

    pub(crate) fn count_starved(&self) {
        self.shared.starved.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether so many samples, or the end, are there.
    #[cfg(test)]
    pub(crate) fn has(&self, samples: usize) -> bool {
        let mark = self.mark.as_ref().or_else(|| self.marks.peek().ok());
        let ends = mark.is_some_and(|mark| mark.at > self.read || !matches!(mark.what, What::End));
        self.whole.is_some() || ends || (!self.seeking && self.samples.slots() >= samples)
    }

    /// Whether silence is due to an absent writer, not to one who has to find another place.
    pub(crate) fn is_late(&self) -> bool {
        self.begun && !self.seeking
    }

    /// Nobody will read any more; the writer may go home.
    pub(crate) fn abandon(&self) {
        self.shared.abandoned.store(true, Ordering::Relaxed);
    }

    /// Goes on elsewhere. Until the writer is there, reading gives nothing.
    pub(crate) fn seek(&mut self, to_ms: u32) {
        if self.whole.is_some() {
            return;
        }
        self.seeks = self.seeks.wrapping_add(1).max(1);
        self.seeking = true;
        let wanted = (u64::from(self.seeks) << 32) | u64::from(to_ms);
        self.shared.wanted.store(wanted, Ordering::Release);
    }

    /// Begins anew if something of it was heard.
    pub(crate) fn rewind(&mut self) {
        if self.heard || self.seeking {
            self.seek(0);
        }
    }

    /// Whether the round is known to be over.
    pub(crate) fn is_over(&self) -> bool {
        let mark = self.mark.as_ref().or_else(|| self.marks.peek().ok());
        let ends = mark.is_some_and(|mark| mark.at == self.read && matches!(mark.what, What::End));
        ends && !self.seeking && self.heard && (self.converter.rates == (0, 0) || self.converter.flushed)
    }

    /// Reads up to the next mark.
    pub(crate) fn read(&mut self, rate: u32, out: &mut [i16]) -> Read {
        loop {
            if self.mark.is_none() {
                // Looked at first: what was written before it went is still there.
                let gone = self.marks.is_abandoned();
                self.mark = self.marks.pop().ok();
                if gone && self.mark.is_none() && self.samples.is_empty() {
                    return Read::Failed("nobody fills the stream any more".into());
                }
            }
            if self.seeking {
                if !self.find() {
                    return Read::Samples(0);
                }
                continue;
            }
            let left = self.mark.as_ref().map_or(u64::MAX, |mark| mark.at.saturating_sub(self.read));
            if left == 0 {
                // The last samples are still in the filter.
                let rest = self.converter.flush(out);
                if rest > 0 {
                    return Read::Samples(rest);
                }
                match self.mark.take().map(|mark| mark.what) {
                    Some(What::End) => {
                        self.converter.reset();
                        self.heard = false;
                        return Read::End;
                    }
                    Some(What::Failed(why)) => return Read::Failed(why),
                    Some(What::Whole(prompt)) => {
                        self.whole = Some(prompt);
                        return Read::Whole;
                    }
                    Some(What::Seeked(_)) | None => continue,
                }
            }
            let count = self.pull(rate, left, out);
            self.heard |= count > 0;
            self.begun |= count > 0;
            // Samples that came before their mark is seen belong before it.
            return Read::Samples(count);
        }
    }

    /// Drops what is from before the latest seek. Whether its place is reached.
    fn find(&mut self) -> bool {
        let available = self.samples.slots() as u64;
        let Some(mark) = &self.mark else {
            self.skip(available);
            return false;
        };
        let (left, reached) = (mark.at - self.read, matches!(mark.what, What::Seeked(n) if n == self.seeks));
        if left > available {
            self.skip(available);
            return false;
        }
        self.skip(left);
        // A failure counts wherever it is, and in the whole every place can be found.
        if matches!(&self.mark, Some(Mark { what: What::Failed(_) | What::Whole(_), .. })) {
            self.seeking = false;
            return true;
        }
        self.mark = None;
        self.seeking = !reached;
        if reached {
            self.converter.reset();
            self.heard = false;
        }
        true
    }

    fn skip(&mut self, count: u64) {
        if let Ok(chunk) = self.samples.read_chunk(count as usize) {
            chunk.commit_all();
            self.read += count;
        }
    }

    fn pull(&mut self, rate: u32, left: u64, out: &mut [i16]) -> usize {
        let available = (self.samples.slots() as u64).min(left) as usize;
        if rate == self.rate || !rates::is_convertible(self.rate, rate) {
            let count = available.min(out.len());
            let taken = take(&mut self.samples, &mut out[..count]);
            self.read += taken as u64;
            return taken;
        }
        let (mut available, mut given) = (available, 0);
        loop {
            let taken = take(&mut self.samples, self.converter.room(self.rate, rate, available));
            self.converter.took(taken);
            self.read += taken as u64;
            available -= taken;
            let count = self.converter.give(&mut out[given..]);
            given += count;
            if given == out.len() || (taken == 0 && count == 0) {
                return given;
            }
        }
    }
}

/// Moves samples out of a ring; returns how many there were.
fn take(ring: &mut rtrb::Consumer<i16>, out: &mut [i16]) -> usize {
    let count = out.len().min(ring.slots());
    let Ok(chunk) = ring.read_chunk(count) else { return 0 };
    let (first, second) = chunk.as_slices();
    out[..first.len()].copy_from_slice(first);
    out[first.len()..count].copy_from_slice(second);
    chunk.commit_all();
    count
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// Samples around the place that is read, for a listener of another rate.
#[derive(Debug)]
struct Converter {
    window: Box<[i16]>,
    filled: usize,
    /// From and to; 0 before the first sample.
    rates: (u32, u32),
    /// New samples since the one in the middle of the filter.
    phase: usize,
    flushed: bool,
}

impl Converter {
    fn new() -> Self {
        Self { window: vec![0; WINDOW].into(), filled: 0, rates: (0, 0), phase: 0, flushed: false }
    }

    fn reset(&mut self) {
        (self.filled, self.rates, self.phase, self.flushed) = (0, (0, 0), 0, false);
    }

    /// Where up to `count` samples go.
    fn room(&mut self, from: u32, to: u32, count: usize) -> &mut [i16] {
        if self.rates != (from, to) {
            self.reset();
            self.rates = (from, to);
            // Silence was before the beginning.
            self.filled = self.edge(REACH - 1);
            self.window[..self.filled].fill(0);
        }
        let end = (self.filled + count).min(WINDOW - EDGE).max(self.filled);
        &mut self.window[self.filled..end]
    }

    fn took(&mut self, count: usize) {
        self.filled += count;
    }

    /// Samples beyond the wanted one, where raising the rate needs `raising`.
    fn edge(&self, raising: usize) -> usize {
        let (from, to) = self.rates;
        if from < to { raising } else { REACH * (from / to) as usize - 1 }
    }

    fn give(&mut self, out: &mut [i16]) -> usize {
        let (from, to) = self.rates;
        let (count, consumed) = if from < to {
            let factor = (to / from) as usize;
            let ready = (self.filled + 1).saturating_sub(2 * REACH) * factor;
            let count = ready.saturating_sub(self.phase).min(out.len());
            rates::interpolate(factor, self.phase, &self.window[..self.filled], &mut out[..count]);
            let moved = self.phase + count;
            self.phase = moved % factor;
            (count, moved / factor)
        } else {
            let factor = (from / to) as usize;
            let span = 2 * REACH * factor - 1;
            let ready = if self.filled < span { 0 } else { (self.filled - span) / factor + 1 };
            let count = ready.min(out.len());
            rates::decimate(factor, &self.window[..self.filled], &mut out[..count]);
            (count, count * factor)
        };
        self.window.copy_within(consumed..self.filled, 0);
        self.filled -= consumed;
        count
    }

    /// What is left when nothing follows.
    fn flush(&mut self, out: &mut [i16]) -> usize {
        if self.rates == (0, 0) {
            return 0;
        }
        if !self.flushed {
            let end = (self.filled + self.edge(REACH)).min(WINDOW);
            self.window[self.filled..end].fill(0);
            (self.filled, self.flushed) = (end, true);
        }
        self.give(out)
    }
}

const NARROW: u32 = 8_000;
/// Marks that wait to be heard: rounds of a short loop.
const MARKS: usize = 64;
/// Samples on one side of the longest filter.
const EDGE: usize = REACH * 6;
/// Samples a converter holds.
const WINDOW: usize = 1_200;

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(count: usize, rate: u32) -> Vec<i16> {
        (0..count).map(|n| ((n as f64 * 5_000.0 / f64::from(rate)).sin() * 8_000.0) as i16).collect()
    }

    #[test]
    fn audio_passes_in_order_and_ends_where_it_was_said_to() {
        let (mut writer, mut stream) = stream(8_000, 100);
        assert!(!stream.is_ready());
        assert_eq!(writer.write(&[7; 1_000]), 800);
        assert!(stream.is_ready());
        let mut out = [0; 600];
        assert_eq!(stream.read(8_000, &mut out), Read::Samples(600));
        assert_eq!((writer.write(&[8; 300]), out[599]), (300, 7));
        assert!(writer.end());
        assert_eq!(writer.write(&[9; 100]), 100);
        assert_eq!(stream.read(8_000, &mut out), Read::Samples(500));
        assert_eq!(out[499], 8);
        assert_eq!(stream.read(8_000, &mut out), Read::End);
        assert_eq!(stream.read(8_000, &mut out), Read::Samples(100));
        assert_eq!(stream.read(8_000, &mut out), Read::Samples(0));
        assert!(writer.fail("no more"));
        assert_eq!(stream.read(8_000, &mut out), Read::Failed("no more".into()));
        assert!(!writer.is_abandoned());
        drop(stream);
        assert!(writer.is_abandoned());
    }

    #[test]
    fn a_writer_that_goes_without_a_word_has_failed() {
        let (mut writer, mut stream) = stream(8_000, 100);
        writer.write(&[7; 100]);
        drop(writer);
        assert_eq!(stream.read(8_000, &mut [0; 160]), Read::Samples(100));
        assert!(matches!(stream.read(8_000, &mut [0; 160]), Read::Failed(_)));
    }

    #[test]
    fn every_rate_is_heard_at_every_rate_in_full_length() {
        for from in [8_000, 16_000, 48_000] {
            for to in [8_000, 16_000, 48_000] {
                let (mut writer, mut stream) = stream(from, 2_000);
                writer.write(&sine(from as usize, from));
                writer.end();
                let (mut heard, mut frame) = (Vec::<i16>::new(), vec![0; to as usize / 50]);
                let end = loop {
                    let read = stream.read(to, &mut frame);
                    let Read::Samples(count) = read else { break read };
                    assert!(count > 0, "{from} to {to}: starved");
                    heard.extend(&frame[..count]);
                };
                assert_eq!(end, Read::End);
                assert_eq!(heard.len(), to as usize, "{from} to {to}");
                let wanted = sine(to as usize, to);
                let edge = to as usize / 100;
                for at in edge..heard.len() - edge {
                    assert!(heard[at].abs_diff(wanted[at]) < 160, "{from} to {to} at {at}");
                }
            }
        }
    }

    #[test]
    fn a_seek_drops_what_was_written_before_it() {
        let (mut writer, mut stream) = stream(8_000, 100);
        writer.write(&[1; 400]);
        writer.end();
        stream.seek(5_000);
        stream.seek(3_000);
        let mut out = [0; 160];
        assert_eq!(stream.read(8_000, &mut out), Read::Samples(0));
        writer.write(&[2; 300]);
        let seek = writer.wanted(None).expect("a seek");
        assert_eq!(seek.to_ms, 3_000);
        assert!(writer.seeked(seek));
        assert_eq!(writer.wanted(Some(seek)), None);
        assert_eq!(stream.read(8_000, &mut out), Read::Samples(0));
        writer.write(&[3; 160]);
        assert_eq!(stream.read(8_000, &mut out), Read::Samples(160));
        assert_eq!(out, [3; 160]);
    }

    #[test]
    fn a_recording_may_be_handed_over_whole() {
        let (mut writer, mut stream) = stream(8_000, 100);
        assert!(writer.whole(Arc::new(Prompt::from_samples(&[5; 80], 8_000))));
        assert!(stream.is_ready());
        assert_eq!(stream.read(8_000, &mut [0; 160]), Read::Whole);
        assert_eq!(stream.prompt().map(|prompt| prompt.duration_ms()), Some(10));
    }
}
