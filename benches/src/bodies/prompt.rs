//! One prompt, encoded once, played to 1,000 sessions in a loop. Nobody talks.

use std::sync::Arc;

use media::{Codec, Command, Playback, PlayerId, Prompt};

use super::{
    Body, g711,
    shard::{SESSIONS, Stage},
};

/// One frame out.
#[must_use]
pub fn all() -> Vec<Body> {
    let mut stage = None;
    let run = move || stage.get_or_insert_with(listening).frame(false);
    vec![Body::new("prompt", "frame", SESSIONS, run)]
}

fn listening() -> Stage {
    let mut stage = Stage::new(|_| Codec::Pcmu);
    let prompt = Arc::new(Prompt::from_samples(&g711::second(), 8_000));
    for (number, id) in stage.ids().into_iter().enumerate() {
        let playback = Playback::prompt(Arc::clone(&prompt), None);
        stage.command(Command::Play(id, PlayerId(number as u64), Box::new(playback)));
    }
    stage.warm_up(false);
    stage
}
