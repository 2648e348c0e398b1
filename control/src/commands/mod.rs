//! One verb per file: how a telephone verb becomes signaling calls and feed changes.

mod answer;
mod bridge;
mod collect;
mod conference;
mod detect;
mod dial;
mod dtmf;
mod hang_up;
pub(crate) mod hold;
mod listen;
pub(crate) mod play;
mod record;
mod ring;
mod say;

use std::time::Instant;

use crate::{
    command::{Command, LegId},
    error::CommandError,
    switchboard::Switchboard,
};

impl Switchboard {
    pub(crate) fn run(&mut self, now: Instant, leg: LegId, command: Command) -> Result<(), CommandError> {
        match command {
            Command::Dial(dial) => self.dial(now, leg, dial),
            Command::Ring => self.ring(now, leg),
            Command::Early => self.early(now, leg),
            Command::Answer => self.answer(now, leg),
            Command::Reject(code) => self.reject(now, leg, code),
            Command::Play(play) => self.play(now, leg, *play),
            Command::Say(player, utterance) => self.say(now, leg, player, &utterance),
            Command::SteerPlay(player, steer) => self.steer_play(leg, player, steer),
            Command::StopPlay(player) => self.stop_play(leg, player),
            Command::Tone(tone) => self.tone(leg, tone),
            Command::Silence => self.silence(leg),
            Command::Echo => self.echo(leg),
            Command::SendDigits(digits) => self.send_digits(leg, digits),
            Command::Collect(how) => self.collect(now, leg, how),
            Command::Detect(wanted) => self.detect(leg, *wanted),
            Command::Record(tap, recorder) => self.record(leg, tap, recorder),
            Command::SteerRecord(tap, steer) => self.steer_record(leg, tap, steer),
            Command::StopRecord(tap) => self.stop_record(leg, tap),
            Command::Bridge(other) => self.bridge(leg, other),
            Command::Unbridge => self.unbridge(leg),
            Command::Join(mix) => self.join(leg, mix),
            Command::Leave => self.leave(leg),
            Command::Mute(muted) => self.mute(leg, muted),
            Command::Gain(source, factor) => self.gain(leg, source, factor),
            Command::Hold => self.hold(now, leg, true),
            Command::Resume => self.hold(now, leg, false),
            Command::HangUp(code) => self.hang_up(now, leg, code),
        }
    }
}
