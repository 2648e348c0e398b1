//! Calls written once and run twice: in virtual time and on real sockets.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "every test file uses its own part")]

pub mod live;
pub mod script;
pub mod virtual_time;

use control::{Command, CommandError, Config, Event, LegId, media::Prompt, signaling::Uri};
use std::{sync::Arc, time::Duration};

/// Index of a telephone system on the stage.
pub type Who = usize;

/// Where a script is played. All waiting is for events, so a script needs no clock.
pub trait Stage {
    /// Asks a leg to do something.
    fn command(&mut self, who: Who, leg: LegId, command: Command) -> Result<(), CommandError>;
    /// Waits for an event that was not waited for before; panics with everything told so far when it does not come.
    fn wait(&mut self, who: Who, what: &str, wanted: &mut dyn FnMut(&Event) -> bool) -> Event;
    /// Starts to record a leg.
    fn listen(&mut self, who: Who, leg: LegId);
    /// What arrived from the leg's peer, 8 kHz; only after the leg ended.
    fn arrived(&mut self, who: Who, leg: LegId) -> Vec<i16>;
    /// A URI that reaches `user` at that system.
    fn uri(&self, who: Who, user: &str) -> Uri;
    /// Waits until nothing is left anywhere, and panics with what is.
    fn finish(self);
}

/// Configuration of every system on the stage.
pub fn config() -> Config {
    let mut config = Config::default();
    config.signaling.trusted = vec![([10, 0, 0, 0].into(), 8), ([127, 0, 0, 0].into(), 8)];
    config
}

/// A sine of that many ms.
pub fn tone(hz: f32, ms: u32) -> Arc<Prompt> {
    let spec = control::media::dsp::tone::ToneSpec::continuous(hz, -13.0);
    let mut samples = vec![0; ms as usize * 8];
    control::media::dsp::tone::ToneGenerator::new(spec, 8000).fill(&mut samples);
    Arc::new(Prompt::from_samples(&samples, 8000))
}

pub const PATIENCE: Duration = Duration::from_secs(20);
