//! What a session can hear: another session (`relay`), many (`mix`), prompts, streams and tones in a row ([`player`]), tones (`tones`). Recorders
//! listen along ([`recorder`]) and change nothing.

pub(crate) mod mix;
pub mod player;
pub mod prompt;
pub mod recorder;
pub(crate) mod relay;
pub mod stream;
pub(crate) mod tones;

/// One packet's time of mono audio. Large: there is one per worker, lent to whoever is served.
pub(crate) struct Frame {
    samples: [i16; Self::CAPACITY],
    length: u16,
    rate: u32,
}

impl Frame {
    /// Most samples a frame holds: 60 ms at 48 kHz.
    pub(crate) const CAPACITY: usize = 2_880;

    /// Nothing.
    pub(crate) fn new() -> Self {
        Self { samples: [0; Self::CAPACITY], length: 0, rate: 8_000 }
    }

    /// So many samples, to be filled in: they are what they were. What exceeds [`CAPACITY`](Self::CAPACITY) is cut off.
    pub(crate) fn begin(&mut self, length: usize, rate: u32) -> &mut [i16] {
        self.length = length.min(Self::CAPACITY) as u16;
        self.rate = rate;
        &mut self.samples[..usize::from(self.length)]
    }

    /// The audio.
    pub(crate) fn samples(&self) -> &[i16] {
        &self.samples[..usize::from(self.length)]
    }

    /// The audio, to be changed.
    pub(crate) fn samples_mut(&mut self) -> &mut [i16] {
        &mut self.samples[..usize::from(self.length)]
    }

    /// Samples per second.
    pub(crate) fn rate(&self) -> u32 {
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
    samples: [i16; MAX_FADE],
    length: u8,
    pending: bool,
}

impl Default for Fade {
    fn default() -> Self {
        Self { samples: [0; MAX_FADE], length: 0, pending: false }
    }
}

impl Fade {
    /// Fades out what `fill` would have played next at `rate` samples per second.
    pub(crate) fn start(&mut self, rate: u32, fill: impl FnOnce(&mut [i16])) {
        let mut next = [0; MAX_FADE];
        let length = fade_samples(rate);
        let next = &mut next[..length];
        fill(next);
        // One that is pending was for the same frame, unless the rate changed in between.
        let before = self.pending && usize::from(self.length) == length;
        for (index, (out, sample)) in self.samples.iter_mut().zip(next).enumerate() {
            let gain = (length - index) as i32;
            let before = if before { i32::from(*out) } else { 0 };
            *out = saturate(before + i32::from(*sample) * gain / (length as i32 + 1));
        }
        (self.pending, self.length) = (true, length as u8);
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.pending
    }

    /// Mixes the pending fade into a frame.
    pub(crate) fn mix_into(&mut self, frame: &mut [i16]) {
        if !std::mem::take(&mut self.pending) {
            return;
        }
        for (sample, fade) in frame.iter_mut().zip(&self.samples[..usize::from(self.length)]) {
            *sample = saturate(i32::from(*sample) + i32::from(*fade));
        }
    }
}

fn saturate(sample: i32) -> i16 {
    sample.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

/// Samples of a fade: 5 ms.
pub(crate) fn fade_samples(rate: u32) -> usize {
    (rate as usize / 200).min(MAX_FADE)
}

/// 5 ms at 48 kHz.
pub(crate) const MAX_FADE: usize = 240;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_never_grows_beyond_its_room() {
        let mut frame = Frame::new();
        assert_eq!(frame.begin(5_000, 8_000).len(), Frame::CAPACITY);
        assert_eq!(frame.begin(160, 8_000).len(), 160);
    }

    #[test]
    fn a_fade_falls_to_nothing_and_is_heard_once() {
        let mut fade = Fade::default();
        fade.start(8_000, |out| out.fill(10_000));
        let mut frame = [0_i16; 160];
        fade.mix_into(&mut frame);
        assert!(frame[..40].windows(2).all(|pair| pair[0] > pair[1]));
        assert!(frame[0] > 9_000 && frame[40 - 1] < 300);
        assert!(frame[40..].iter().all(|&sample| sample == 0));
        let mut next = [0_i16; 160];
        fade.mix_into(&mut next);
        assert_eq!(next, [0; 160]);
    }
}
