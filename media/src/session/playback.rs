//! Playbacks: one runs, others may wait for it.

use super::{Session, frames::SMALL};
use crate::{
    command::{PlayerId, Steer},
    event::{Event, FinishReason},
    graph::{
        Frame,
        player::{News, Playback, Player},
    },
    shard::Output,
};

impl Session {
    pub(crate) fn play(&mut self, id: PlayerId, playback: Playback, out: &mut Output) {
        let (queued, player) = (playback.queued, Box::new(Player::new(id, playback)));
        if queued && self.player.is_some() {
            if self.queue.len() < MAX_QUEUE {
                self.queue.push_back(player);
            } else {
                out.event(Event::PlayFailed(self.id, id, "too many playbacks wait".into()));
                self.finish_play(player, FinishReason::Failed, out);
            }
            return;
        }
        self.rest_of_tone();
        self.stop_all(FinishReason::Replaced, out);
        self.tune(player.rate());
        self.player = Some(player);
        self.relay.reset();
        self.read_from = None;
        self.release_key();
    }

    /// Ends a playback; what was about to be heard fades out.
    pub(crate) fn stop_play(&mut self, id: PlayerId, out: &mut Output) {
        if let Some(player) = self.player.take_if(|player| player.id() == id) {
            self.cut_off(player, FinishReason::Stopped, out);
        } else if let Some(at) = self.queue.iter().position(|player| player.id() == id)
            && let Some(player) = self.queue.remove(at)
        {
            self.finish_play(player, FinishReason::Stopped, out);
        }
    }

    /// Ends what runs and what waits.
    pub(super) fn stop_all(&mut self, reason: FinishReason, out: &mut Output) {
        let waiting = std::mem::take(&mut self.queue);
        if let Some(player) = self.player.take() {
            self.cut_off(player, reason, out);
        }
        for player in waiting {
            self.finish_play(player, reason, out);
        }
    }

    pub(crate) fn steer_play(&mut self, id: PlayerId, steer: Steer) {
        let mut players = self.player.iter_mut().chain(&mut self.queue);
        let Some(player) = players.find(|player| player.id() == id) else { return };
        if matches!(steer, Steer::Seek(_)) && player.is_heard() {
            let rate = self.voice.rate();
            self.fade.start(rate, |next| {
                player.fill(rate, next, &mut |_| {});
            });
        }
        player.steer(steer);
    }

    /// A running playback ends now, or when it has faded out for long enough.
    fn cut_off(&mut self, mut player: Box<Player>, reason: FinishReason, out: &mut Output) {
        if reason == FinishReason::Stopped && player.stop() {
            self.player = Some(player);
            return;
        }
        let played_ms = player.played_ms();
        if player.is_heard() {
            let rate = self.voice.rate();
            self.fade.start(rate, |next| {
                player.fill(rate, next, &mut |_| {});
            });
        }
        self.tell_finished(player, reason, played_ms, out);
    }

    /// A frame of the playback: copied as it was encoded, unless something has to be mixed into it.
    pub(super) fn send_prompt(&mut self, position: u64, out: &mut Output) {
        if !self.fade.is_pending() && self.taps.is_empty() && self.send_encoded(position, out) {
            self.move_queue(out);
            return;
        }
        let mut samples = [0; Frame::CAPACITY];
        let length = self.voice.samples().min(samples.len());
        self.fill_from_players(&mut samples[..length], out);
        self.send_audio(position, |_, frame| frame.copy_from_slice(&samples[..length]), out);
    }

    /// Whether the next frame was there as it is to be sent.
    fn send_encoded(&mut self, position: u64, out: &mut Output) -> bool {
        let Some(mut player) = self.player.take() else { return false };
        let (codec, last, frame) = (self.config.send.codec, self.queue.is_empty(), self.frame);
        let (id, number) = (self.id, player.id());
        let sent = if let Some(payload) = player.payload(codec, frame) {
            self.send_payload(position, payload, out);
            player.pass(frame, &mut |news| out.event(told(id, number, news)));
            true
        } else {
            let mut payload = [codec.silence().unwrap_or(0); SMALL];
            let payload = &mut payload[..frame];
            let filled =
                player.fill_payload(codec, last, payload, &mut |news| out.event(told(id, number, news)));
            if filled {
                self.send_payload(position, payload, out);
            }
            filled
        };
        self.player = Some(player);
        sent
    }

    /// A playback goes on while the peer holds us and nothing may be sent.
    pub(super) fn play_unheard(&mut self, out: &mut Output) {
        if self.player.is_some() {
            let mut samples = [0; Frame::CAPACITY];
            let length = self.voice.samples().min(samples.len());
            self.fill_from_players(&mut samples[..length], out);
        }
    }

    /// One playback begins on the sample after the one before it ended.
    fn fill_from_players(&mut self, samples: &mut [i16], out: &mut Output) {
        let (id, rate, mut filled) = (self.id, self.voice.rate(), 0);
        while let Some(player) = &mut self.player {
            let number = player.id();
            filled +=
                player.fill(rate, &mut samples[filled..], &mut |news| out.event(told(id, number, news)));
            if !self.move_queue(out) || filled == samples.len() {
                break;
            }
        }
    }

    /// Ends a playback of which nothing is left. Whether it was so.
    fn move_queue(&mut self, out: &mut Output) -> bool {
        let Some(player) = self.player.take_if(|player| player.is_finished()) else { return false };
        let reason = if player.is_stopped() { FinishReason::Stopped } else { FinishReason::Ended };
        self.player = self.queue.pop_front();
        self.finish_play(player, reason, out);
        true
    }

    fn finish_play(&mut self, mut player: Box<Player>, mut reason: FinishReason, out: &mut Output) {
        if let Some(why) = player.failure() {
            reason = FinishReason::Failed;
            out.event(Event::PlayFailed(self.id, player.id(), why));
        }
        let played_ms = player.played_ms();
        self.tell_finished(player, reason, played_ms, out);
    }

    fn tell_finished(&mut self, player: Box<Player>, reason: FinishReason, played_ms: u32, out: &mut Output) {
        self.starved += player.starved();
        let (id, session) = (player.id(), self.id);
        out.event(Event::PlayFinished { session, player: id, reason, played_ms, spent: player.spent() });
    }
}

fn told(session: crate::command::SessionId, player: PlayerId, news: News) -> Event {
    match news {
        News::Started => Event::PlayStarted(session, player),
        News::Marker(number) => Event::PlayMarker(session, player, number),
    }
}

/// Playbacks that wait at most.
const MAX_QUEUE: usize = 64;
