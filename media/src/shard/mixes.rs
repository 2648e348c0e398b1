//! The mixes of a shard, and who sits where in them.

use std::collections::BTreeMap;

use crate::{
    codec::{Codec, Encoder, EncoderSettings},
    command::MixId,
    dsp::mix::{Gain, Talk},
    graph::{
        Frame,
        mix::{Mix, Mixed},
    },
};

/// A session's place in a mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seat {
    mix: u32,
    member: u32,
}

/// Mixes come with their first member and go with their last.
#[derive(Debug, Default)]
pub(crate) struct Mixes {
    mixes: Vec<Option<Box<Mix>>>,
    by_id: BTreeMap<MixId, u32>,
}

impl Mixes {
    /// A seat for one who hears audio of `rate` samples per second.
    pub(crate) fn join(&mut self, id: MixId, muted: bool, rate: u32, beat: u64) -> Seat {
        let mix = *self.by_id.entry(id).or_insert_with(|| {
            let free = self.mixes.iter().position(Option::is_none).unwrap_or(self.mixes.len());
            if free == self.mixes.len() {
                self.mixes.push(None);
            }
            free as u32
        });
        let room = self.mixes[mix as usize].get_or_insert_with(|| Box::new(Mix::new(id)));
        Seat { mix, member: room.join(muted, rate, beat) }
    }

    /// Gives a seat up after `beat`. Tells whether who sat there was talking.
    pub(crate) fn leave(&mut self, seat: Seat, beat: u64) -> bool {
        let Some(mix) = self.mix(seat) else { return false };
        let talked = mix.leave(seat.member, beat);
        if mix.is_empty() {
            let id = mix.id();
            self.by_id.remove(&id);
            self.mixes[seat.mix as usize] = None;
        }
        talked
    }

    /// Who sits there hears another rate from now on.
    pub(crate) fn tune(&mut self, seat: Seat, rate: u32, beat: u64) {
        if let Some(mix) = self.mix(seat) {
            mix.tune(seat.member, rate, beat);
        }
    }

    /// Lets only so many talkers of that mix be heard at a time; 0 is no limit.
    pub(crate) fn set_loudest(&mut self, seat: Seat, loudest: usize) {
        if let Some(mix) = self.mix(seat) {
            mix.set_loudest(loudest);
        }
    }

    pub(crate) fn mute(&mut self, seat: Seat, muted: bool) {
        if let Some(mix) = self.mix(seat) {
            mix.mute(seat.member, muted);
        }
    }

    /// Sets how loud one member hears another of the same mix. Whether they are in the same one.
    pub(crate) fn set_gain(&mut self, listener: Seat, source: Seat, factor: Option<f32>) -> bool {
        if listener.mix != source.mix {
            return false;
        }
        if let Some(mix) = self.mix(listener) {
            mix.set_gain(listener.member, source.member, factor.map(Gain::new));
        }
        true
    }

    pub(crate) fn contribute(&mut self, seat: Seat, beat: u64, said: &Frame) -> Option<Talk> {
        self.mix(seat)?.contribute(seat.member, beat, said.samples(), said.rate())
    }

    pub(crate) fn hear(
        &mut self,
        seat: Seat,
        beat: u64,
        units: usize,
        encoded: Option<(Codec, EncoderSettings)>,
        own: Option<&Encoder>,
        frame: &mut Frame,
    ) -> Mixed<'_> {
        match self.mix(seat) {
            Some(mix) => mix.hear(seat.member, beat, units, encoded, own, frame),
            None => Mixed::Silence,
        }
    }

    /// What would go on where a member stops to listen, and its rate.
    pub(crate) fn rest(&self, seat: Seat, beat: u64, out: &mut [i16]) -> Option<u32> {
        self.mixes.get(seat.mix as usize)?.as_ref()?.rest(seat.member, beat, out)
    }

    fn mix(&mut self, seat: Seat) -> Option<&mut Mix> {
        self.mixes.get_mut(seat.mix as usize)?.as_deref_mut()
    }
}
