//! What is on a recording: which tone from when to when, and whether it is whole.

use std::path::Path;

use control::media::dsp::{
    detect::{analyse, tone_level},
    level::dbfs,
};

/// Samples per second of a recording.
const RATE: u32 = 8000;
/// Length of the windows that are judged, samples.
const WINDOW: usize = 160;
/// Quieter is not heard, dBFS.
const AUDIBLE: f32 = -40.0;
/// A tone that is so much weaker than all sound together is the splatter of another, dB.
const MASKED: f32 = 7.0;
/// Shorter interruptions belong to the sound (they are counted as gaps), ms.
const PAUSE_MS: usize = 200;
/// Silence on both sides of a sound, so that its ramps are seen whole and are no cut-outs, ms.
const EDGE_MS: usize = 45;

/// Both tracks of a recording.
#[derive(Debug, Default)]
pub(super) struct Tracks {
    /// What the phone heard.
    pub(super) heard: Vec<i16>,
    /// What the phone said.
    pub(super) said: Vec<i16>,
}

/// A stretch of one tone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stretch {
    pub(super) hz: f32,
    pub(super) from_ms: usize,
    pub(super) to_ms: usize,
    /// Missing in between.
    pub(super) gaps_ms: usize,
}

impl Stretch {
    pub(super) fn length_ms(&self) -> usize {
        self.to_ms - self.from_ms
    }
}

/// Reads a stereo recording.
pub(super) fn read(path: &Path) -> Result<Tracks, String> {
    let told = |error: hound::Error| format!("{}: {error}", path.display());
    let mut reader = hound::WavReader::open(path).map_err(told)?;
    let spec = reader.spec();
    if (spec.channels, spec.sample_rate, spec.bits_per_sample) != (2, RATE, 16) {
        return Err(format!("{}: not 16-bit stereo at {RATE} Hz", path.display()));
    }
    let mut tracks = Tracks::default();
    for (index, sample) in reader.samples::<i16>().enumerate() {
        let track = if index % 2 == 0 { &mut tracks.heard } else { &mut tracks.said };
        track.push(sample.map_err(told)?);
    }
    Ok(tracks)
}

/// Where a tone is heard.
pub(super) fn stretches(samples: &[i16], hz: f32) -> Vec<Stretch> {
    let mut found: Vec<Stretch> = Vec::new();
    for (index, window) in samples.chunks_exact(WINDOW).enumerate() {
        let level = tone_level(window, RATE, hz);
        if level < AUDIBLE || level < dbfs(window) - MASKED {
            continue;
        }
        let (from_ms, to_ms) = (index * 20, (index + 1) * 20);
        match found.last_mut() {
            Some(last) if from_ms - last.to_ms <= PAUSE_MS => {
                last.gaps_ms += from_ms - last.to_ms;
                last.to_ms = to_ms;
            }
            _ => found.push(Stretch { hz, from_ms, to_ms, gaps_ms: 0 }),
        }
    }
    found
}

/// The longest stretch of a tone.
pub(super) fn longest(samples: &[i16], hz: f32) -> Option<Stretch> {
    stretches(samples, hz).into_iter().max_by_key(Stretch::length_ms)
}

/// The sample at which a tone after silence reaches half its strength.
pub(super) fn onset(samples: &[i16], hz: f32) -> Option<usize> {
    let stretch = longest(samples, hz)?;
    let at = |ms: usize| (ms * RATE as usize / 1000).min(samples.len());
    // The first window may hold only the end of the ramp; the one before it holds its beginning.
    let begin = at(stretch.from_ms.saturating_sub(20));
    let peak = |range: &[i16]| range.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0);
    let full = peak(&samples[at(stretch.from_ms)..at(stretch.to_ms)]);
    samples[begin..].iter().position(|sample| sample.unsigned_abs() >= full / 2).map(|offset| begin + offset)
}

/// Jumps and short cut-outs within a stretch.
pub(super) fn clicks(samples: &[i16], stretch: &Stretch) -> usize {
    let at = |ms: usize| (ms * RATE as usize / 1000).min(samples.len());
    let whole = at(stretch.from_ms.saturating_sub(EDGE_MS))..at(stretch.to_ms + EDGE_MS);
    analyse(&samples[whole], RATE, &[stretch.hz]).clicks
}

/// Milliseconds of that many samples.
pub(super) fn ms(samples: f64) -> f64 {
    samples * 1000.0 / f64::from(RATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f32, ms: usize) -> Vec<i16> {
        let step = std::f32::consts::TAU * hz / RATE as f32;
        (0..ms * 8).map(|n| ((n as f32 * step).sin() * 8000.0) as i16).collect()
    }

    #[test]
    fn a_tone_is_found_where_it_is() {
        let samples = [vec![0; 8 * 100], tone(1100.0, 400), vec![0; 8 * 300], tone(600.0, 100)].concat();
        assert_eq!(longest(&samples, 1100.0).map(|s| (s.from_ms, s.to_ms, s.gaps_ms)), Some((100, 500, 0)));
        assert_eq!(longest(&samples, 600.0).map(|s| (s.from_ms, s.to_ms, s.gaps_ms)), Some((800, 900, 0)));
        assert_eq!(longest(&samples, 1400.0), None);
    }

    #[test]
    fn an_interruption_is_a_gap_of_one_sound() {
        let samples = [tone(1100.0, 200), vec![0; 8 * 60], tone(1100.0, 200)].concat();
        assert_eq!(longest(&samples, 1100.0).map(|s| (s.length_ms(), s.gaps_ms)), Some((460, 60)));
    }

    #[test]
    fn the_onset_is_exact_to_a_wave() {
        let samples = [vec![0; 1234], tone(1100.0, 400)].concat();
        let found = onset(&samples, 1100.0).unwrap();
        assert!((1234..1244).contains(&found), "{found}");
    }
}
