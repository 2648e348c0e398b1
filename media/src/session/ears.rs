//! What is listened for in what the peer says.

use crate::{
    detectors::{Detectors, Inband},
    dsp::{
        answering_machine::{AnsweringMachine, Clue, Verdict},
        beep::BeepDetector,
        call_progress::{CallProgress, Progress},
        narrow::Narrow,
        tone_plan::Country,
        voice_activity::{VoiceActivity, VoiceEdge},
    },
    dtmf::{Edges, InbandDigits},
    graph::Frame,
};

/// The detectors that run on one session, with all their memory.
#[derive(Debug)]
pub(crate) struct Ears {
    wanted: Detectors,
    digits: Option<Box<InbandDigits>>,
    removal: Option<Box<Removal>>,
    tones: Option<Box<CallProgress>>,
    machine: Option<Box<AnsweringMachine>>,
    beep: Option<Box<BeepDetector>>,
    speech: Option<Box<VoiceActivity>>,
    narrow: Box<Narrow>,
    /// Keys that moved and were not asked for yet.
    keys: Edges,
}

/// What was found in a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Found {
    Tone(Progress),
    /// Frequency, Hz, and length, ms.
    Beep(u16, u32),
    Answerer(Verdict),
    Speech(bool),
}

impl Ears {
    pub(crate) fn new() -> Self {
        Self {
            wanted: Detectors::default(),
            digits: None,
            removal: None,
            tones: None,
            machine: None,
            beep: None,
            speech: None,
            narrow: Box::default(),
            keys: Edges::default(),
        }
    }

    /// Starts and stops detectors. Those that are wanted as before go on.
    pub(crate) fn set(&mut self, wanted: &Detectors, answered: bool, mut tell: impl FnMut(Found)) {
        let before = std::mem::replace(&mut self.wanted, wanted.clone());
        if wanted.digits == Inband::Ignore {
            self.release();
            self.digits = None;
        } else {
            self.digits.get_or_insert_default();
        }
        match wanted.digits {
            Inband::Remove => _ = self.removal.get_or_insert_default(),
            Inband::Ignore | Inband::Tell => self.removal = None,
        }
        if wanted.answering_machine != before.answering_machine {
            self.machine = wanted.answering_machine.map(|config| Box::new(AnsweringMachine::new(config)));
            if answered {
                self.answered();
            }
        }
        let listens_along = self.machine.is_some();
        if wanted.tones != before.tones || self.tones.is_some() != (listens_along || wanted.tones.is_some()) {
            let country = wanted.tones.or(listens_along.then_some(Country::Us));
            self.tones = country.map(|country| Box::new(CallProgress::new(country)));
        }
        if !(wanted.beep || listens_along) {
            self.beep = None;
        } else {
            self.beep.get_or_insert_default();
        }
        if wanted.speech != before.speech {
            if self.speech.as_ref().is_some_and(|speech| speech.is_talking()) {
                tell(Found::Speech(false));
            }
            self.speech = wanted.speech.map(|config| Box::new(VoiceActivity::new(config)));
        }
    }

    /// What is heard from now on is a greeting.
    pub(crate) fn answered(&mut self) {
        if let Some(machine) = &mut self.machine {
            machine.answered();
        }
    }

    /// Whether digits are kept from others.
    pub(crate) fn removes_digits(&self) -> bool {
        self.removal.is_some()
    }

    /// Whether nothing will ever be found any more.
    pub(crate) fn is_done(&self) -> bool {
        let only_machine = Detectors { answering_machine: None, ..self.wanted.clone() }.is_empty();
        only_machine && self.machine.as_ref().is_none_or(|machine| machine.is_finished())
    }

    /// Hears one frame, and takes out of it what others shall not hear. Whether it was changed.
    pub(crate) fn hear(&mut self, said: &mut [i16], rate: u32, mut tell: impl FnMut(Found)) -> bool {
        let mut frame = [0; NARROW_FRAME];
        let heard = self.narrow.hear(said, rate, &mut frame);
        let mut tones = false;
        if let Some(digits) = &mut self.digits {
            // In steps of the detector's, so that no moment of a tone is missed.
            for step in heard.chunks(STEP) {
                digits.hear(step, |heard| self.keys.push(heard.edge));
                tones |= digits.hears_tones();
            }
        }
        let mut clues = [None; 3];
        let machine = self.machine.as_mut().filter(|machine| !machine.is_finished());
        if let Some(progress) = &mut self.tones
            && (self.wanted.tones.is_some() || machine.is_some())
        {
            progress.hear(heard, |heard| {
                match heard.progress {
                    Progress::FaxCalling | Progress::FaxAnswering => clues[0] = Some(Clue::Fax),
                    Progress::SpecialInformation => clues[1] = Some(Clue::SpecialInformation),
                    Progress::Ringback | Progress::Busy | Progress::Congestion | Progress::DialTone => {}
                }
                if self.wanted.tones.is_some() {
                    tell(Found::Tone(heard.progress));
                }
            });
        }
        if let Some(beep) = &mut self.beep
            && (self.wanted.beep || machine.is_some())
        {
            beep.hear(heard, |heard| {
                clues[2] = Some(Clue::Beep);
                if self.wanted.beep {
                    tell(Found::Beep(heard.hz as u16, ((heard.ended - heard.began) / 8) as u32));
                }
            });
        }
        if let Some(machine) = machine {
            machine.hear(heard, |verdict| tell(Found::Answerer(verdict)));
            for clue in clues.into_iter().flatten() {
                machine.clue(clue).into_iter().for_each(|verdict| tell(Found::Answerer(verdict)));
            }
        }
        if let Some(speech) = &mut self.speech {
            speech.hear(heard, |edge| tell(Found::Speech(matches!(edge, VoiceEdge::Started { .. }))));
        }
        let Some(removal) = &mut self.removal else { return false };
        removal.pass(said, tones);
        true
    }

    /// A key went down, by whatever way.
    pub(crate) fn key(&mut self) -> Option<Verdict> {
        self.machine.as_mut()?.clue(Clue::Digit)
    }

    /// The keys that moved since it was asked last.
    pub(crate) fn take_keys(&mut self) -> Edges {
        std::mem::take(&mut self.keys)
    }

    /// A key whose tones go on is let go.
    pub(crate) fn release(&mut self) {
        if let Some(digits) = &mut self.digits {
            digits.finish(|heard| self.keys.push(heard.edge));
        }
    }
}

/// Keeps tones from others: holds one frame back until it is known whether one begins in it.
#[derive(Debug)]
struct Removal {
    held: [i16; Frame::CAPACITY],
    length: usize,
    /// Tones were heard in the frame that is held.
    tones: bool,
    /// What was let out last is silence.
    is_silent: bool,
}

impl Default for Removal {
    fn default() -> Self {
        Self { held: [0; Frame::CAPACITY], length: 0, tones: false, is_silent: false }
    }
}

impl Removal {
    /// Takes a frame in, and puts the one before it in its place.
    fn pass(&mut self, frame: &mut [i16], tones: bool) {
        let length = frame.len().min(Frame::CAPACITY);
        if length != self.length {
            // Another rate; what is held fits no more.
            self.held.fill(0);
            self.length = length;
        }
        frame[..length].swap_with_slice(&mut self.held[..length]);
        let silent = self.tones || tones;
        self.tones = tones;
        // 5 ms of a frame of 20 ms.
        let ramp = length / 4;
        match (self.is_silent, silent) {
            (false, false) => {}
            (true, true) => frame.fill(0),
            (false, true) => {
                fade(frame[..ramp].iter_mut().rev());
                frame[ramp..].fill(0);
            }
            (true, false) => fade(frame[..ramp].iter_mut()),
        }
        self.is_silent = silent;
    }
}

/// From nothing to all.
fn fade<'a>(samples: impl ExactSizeIterator<Item = &'a mut i16>) {
    let length = samples.len() as i32 + 1;
    for (index, sample) in (1..).zip(samples) {
        *sample = (i32::from(*sample) * index / length) as i16;
    }
}

/// Samples of 20 ms at 8 kHz.
const NARROW_FRAME: usize = 160;
/// How often digits are looked for, samples.
const STEP: usize = 40;
