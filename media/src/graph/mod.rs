//! What a session can hear: another session (`relay`), many (`mix`), prompts, streams and tones in a row ([`player`]), tones (`tones`). Recorders
//! listen along ([`recorder`]) and change nothing.

pub(crate) mod mix;
pub mod player;
pub mod prompt;
pub mod recorder;
pub(crate) mod relay;
pub mod stream;
pub(crate) mod tones;

/// One tick of mono audio, never on the heap.
#[derive(Clone, Copy)]
pub struct Frame {
    samples: [i16; Self::CAPACITY],
    length: u16,
    rate: u32,
}

impl Frame {
    /// Most samples a frame holds: 20 ms at 48 kHz or 60 ms at 16 kHz.
    pub const CAPACITY: usize = 960;

    /// So many samples of silence. What exceeds [`CAPACITY`](Self::CAPACITY) is cut off.
    #[must_use]
    pub fn silence(length: usize, rate: u32) -> Self {
        Self { samples: [0; Self::CAPACITY], length: length.min(Self::CAPACITY) as u16, rate }
    }

    /// The audio.
    #[must_use]
    pub fn samples(&self) -> &[i16] {
        &self.samples[..usize::from(self.length)]
    }

    /// The audio, to be filled in.
    pub fn samples_mut(&mut self) -> &mut [i16] {
        &mut self.samples[..usize::from(self.length)]
    }

    /// Samples per second.
    #[must_use]
    pub fn rate(&self) -> u32 {
        self.rate
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Frame of {} samples at {} Hz", self.length, self.rate)
    }
}

/// The end of something that is cut off: 5 ms that fade out, mixed into the next frame so that nothing clicks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fade {
    samples: [i16; FADE_SAMPLES],
    pending: bool,
}

impl Default for Fade {
    fn default() -> Self {
        Self { samples: [0; FADE_SAMPLES], pending: false }
    }
}

impl Fade {
    /// Fades out what `fill` would have played next.
    pub(crate) fn start(&mut self, fill: impl FnOnce(&mut [i16])) {
        let mut next = [0; FADE_SAMPLES];
        fill(&mut next);
        for (index, (out, sample)) in self.samples.iter_mut().zip(next).enumerate() {
            let gain = (FADE_SAMPLES - index) as i32;
            let before = if self.pending { i32::from(*out) } else { 0 };
            *out = saturate(before + i32::from(sample) * gain / (FADE_SAMPLES as i32 + 1));
        }
        self.pending = true;
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.pending
    }

    /// Mixes the pending fade into a frame.
    pub(crate) fn mix_into(&mut self, frame: &mut [i16]) {
        if !std::mem::take(&mut self.pending) {
            return;
        }
        for (sample, fade) in frame.iter_mut().zip(self.samples) {
            *sample = saturate(i32::from(*sample) + i32::from(fade));
        }
    }
}

fn saturate(sample: i32) -> i16 {
    sample.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

/// 5 ms at 8 kHz.
pub(crate) const FADE_SAMPLES: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_small_enough_for_the_stack_and_never_grows() {
        assert!(size_of::<Frame>() <= 1_936);
        assert_eq!(Frame::silence(5_000, 8_000).samples().len(), Frame::CAPACITY);
    }

    #[test]
    fn a_fade_falls_to_nothing_and_is_heard_once() {
        let mut fade = Fade::default();
        fade.start(|out| out.fill(10_000));
        let mut frame = [0_i16; 160];
        fade.mix_into(&mut frame);
        assert!(frame[..FADE_SAMPLES].windows(2).all(|pair| pair[0] > pair[1]));
        assert!(frame[0] > 9_000 && frame[FADE_SAMPLES - 1] < 300);
        assert!(frame[FADE_SAMPLES..].iter().all(|&sample| sample == 0));
        let mut next = [0_i16; 160];
        fade.mix_into(&mut next);
        assert_eq!(next, [0; 160]);
    }
}
