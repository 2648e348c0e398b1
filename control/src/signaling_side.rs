//! What the SIP endpoint tells, turned into changes of legs.

use std::{net::SocketAddr, time::Instant};

use media::{Latch, Negotiation, sdp::SdpError};
use signaling::{
    Answered, Body, Cause, Ended, Event as SignalingEvent, Incoming, InviteId, Progress, StatusCode,
};

use crate::{
    command::LegId,
    config::Mux,
    event::{EventKind, Notice},
    leg::{Leg, LegState},
    switchboard::{MediaRequest, Switchboard},
};

impl Switchboard {
    pub(crate) fn drain_endpoint(&mut self, now: Instant) {
        while let Some(event) = self.endpoint.poll_event() {
            self.on_signaling(now, event);
        }
    }

    fn on_signaling(&mut self, now: Instant, event: SignalingEvent) {
        match event {
            SignalingEvent::Incoming(invite, incoming) => self.on_incoming(now, invite, incoming),
            SignalingEvent::Progress(invite, progress) => {
                self.with_leg(invite, |this, leg| this.on_progress(now, leg, progress));
            }
            SignalingEvent::Answered(invite, answered) => {
                self.with_leg(invite, |this, leg| this.on_answered(now, leg, answered));
            }
            SignalingEvent::Confirmed(invite, body) => {
                self.with_leg(invite, |this, leg| this.on_confirmed(now, leg, body));
            }
            SignalingEvent::Modify(invite, body) => {
                self.with_leg(invite, |this, leg| this.on_modify(now, leg, body));
            }
            SignalingEvent::ModifyConfirmed(invite, body) => {
                self.with_leg(invite, |this, leg| this.on_modify_confirmed(now, leg, body));
            }
            SignalingEvent::Modified(invite, body) => {
                self.with_leg(invite, |this, leg| this.on_modified(now, leg, body));
            }
            SignalingEvent::ModifyFailed(invite, code) => {
                self.with_leg(invite, |this, leg| this.on_modify_failed(leg, code));
            }
            SignalingEvent::Info(invite, body) => {
                self.with_leg(invite, |this, leg| this.on_info(leg, &body));
            }
            SignalingEvent::Ended(invite, ended) => {
                let Ended { cause, code, reason } = *ended;
                self.with_leg(invite, |this, leg| this.finish(now, leg, cause, code, &reason));
            }
            SignalingEvent::Bound(user, uri) => self.notices.push_back(Notice::Bound(user, uri)),
            SignalingEvent::Unbound(user, uri) => self.notices.push_back(Notice::Unbound(user, uri)),
            SignalingEvent::Registration(id, state) => {
                self.notices.push_back(Notice::Registration(id, state))
            }
            _ => {}
        }
    }

    fn with_leg(&mut self, invite: InviteId, f: impl FnOnce(&mut Self, LegId)) {
        if let Some(leg) = self.by_invite.get(&invite).copied() {
            f(self, leg);
        }
    }

    fn on_incoming(&mut self, now: Instant, invite: InviteId, incoming: Box<Incoming>) {
        if incoming.body.as_ref().is_some_and(|body| !body.is_sdp()) {
            self.refuse(now, invite, StatusCode::UNSUPPORTED_MEDIA_TYPE);
            return;
        }
        let leg = self.fresh_incoming();
        let remote = self.certain_remote(&incoming);
        self.legs.insert(leg, Leg::incoming(now, invite, incoming));
        self.by_invite.insert(invite, leg);
        self.request(MediaRequest::Open { leg, near: None, remote });
    }

    /// Where the caller's media will come from, if that is certain.
    fn certain_remote(&self, incoming: &Incoming) -> Option<SocketAddr> {
        let mux = self.config.mux;
        if mux == Mux::Off || (mux == Mux::Auto && self.config.media.latch != Latch::Off) {
            return None;
        }
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut preview = Negotiation::new(self.config.media.clone(), nowhere, 0);
        let remote = preview.accept_offer(&incoming.body.as_ref()?.bytes).ok()?.1.remote?;
        let direct = self.config.media.latch == Latch::Off || incoming.source.remote.ip() == remote.ip();
        direct.then_some(remote)
    }

    pub(crate) fn refuse(&mut self, now: Instant, invite: InviteId, code: StatusCode) {
        if let Some(mut invite) = self.endpoint.invite(invite) {
            // A usage that is gone already needs no refusal.
            let _ = invite.reject(now, code, None);
        }
    }

    fn on_progress(&mut self, now: Instant, id: LegId, progress: Progress) {
        let media = progress.body.as_ref().is_some_and(|body| self.apply_answer(id, body).is_ok());
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if media {
            leg.early = Some(progress.early);
        }
        leg.advance(now, if media { LegState::Early } else { LegState::Ringing });
        self.tell(id, EventKind::Progress(progress.code, media));
    }

    fn on_answered(&mut self, now: Instant, id: LegId, answered: Answered) {
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.signaling_ip = Some(answered.source.ip());
        }
        let agreed = match &answered.body {
            Some(body) => self.apply_answer(id, body).is_ok(),
            // Some gateways put the answer only into their 18x; it was applied then.
            None => self.legs.get(&id).is_some_and(|leg| leg.early.is_some()),
        };
        if !agreed {
            self.drop_leg(now, id, StatusCode::NOT_ACCEPTABLE_HERE, "the answer offers nothing we can use");
            return;
        }
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.advance(now, LegState::Answered);
        }
        self.greeting_begins(id);
        self.begin_plays(id);
        self.tell(id, EventKind::Answered);
    }

    fn on_confirmed(&mut self, now: Instant, id: LegId, body: Option<Body>) {
        let late = self.legs.get(&id).is_some_and(|leg| leg.answer.is_none());
        if late && !self.apply_or_drop(now, id, body.as_ref(), "the ACK brought no usable answer") {
            return;
        }
        self.begin_plays(id);
        self.tell(id, EventKind::Answered);
    }

    fn on_modify(&mut self, now: Instant, id: LegId, body: Option<Body>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Some(negotiation) = leg.negotiation.as_mut() else { return };
        let reply = match &body {
            None => Ok((negotiation.offer(), None)),
            Some(body) if body.is_sdp() => {
                negotiation.accept_offer(&body.bytes).map(|(answer, config)| (answer, Some(config)))
            }
            Some(_) => Err(SdpError::NoAudio),
        };
        let Some(mut invite) = leg.invite.and_then(|invite| self.endpoint.invite(invite)) else { return };
        match reply {
            Err(_) => {
                let _ = invite.refuse_modify(now, StatusCode::NOT_ACCEPTABLE_HERE);
            }
            Ok((sdp, config)) => {
                if invite.accept_modify(now, Body::sdp(sdp)).is_ok()
                    && let Some(config) = config
                {
                    self.apply(id, config);
                }
            }
        }
    }

    fn on_modify_confirmed(&mut self, now: Instant, id: LegId, body: Option<Body>) {
        self.apply_or_drop(now, id, body.as_ref(), "the ACK brought no usable answer");
    }

    fn on_modified(&mut self, now: Instant, id: LegId, body: Option<Body>) {
        if !self.apply_or_drop(now, id, body.as_ref(), "the answer offers nothing we can use") {
            return;
        }
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if let Some(held) = leg.hold.pending.take() {
            leg.hold.local = held;
            self.tell(id, EventKind::HoldChanged(held));
        }
    }

    /// Applies the answer the peer owes; a leg that does not get it cannot go on. Whether it does.
    fn apply_or_drop(&mut self, now: Instant, id: LegId, body: Option<&Body>, complaint: &str) -> bool {
        let applied = body.is_some_and(|body| self.apply_answer(id, body).is_ok());
        if !applied {
            self.drop_leg(now, id, StatusCode::NOT_ACCEPTABLE_HERE, complaint);
        }
        applied
    }

    fn on_modify_failed(&mut self, id: LegId, code: StatusCode) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if let Some(negotiation) = leg.negotiation.as_mut() {
            negotiation.withdraw_offer();
            negotiation.set_direction(crate::commands::hold::wanted(leg.hold.local));
        }
        if leg.hold.pending.take().is_some() {
            self.tell(id, EventKind::HoldFailed(code));
        }
    }

    /// Ends the INVITE usage of a leg and the leg.
    pub(crate) fn drop_leg(&mut self, now: Instant, id: LegId, code: StatusCode, reason: &str) {
        if let Ok(mut invite) = self.invite(id) {
            // A usage that is gone already needs no BYE.
            let _ = invite.hang_up(now, Some(code));
        }
        self.finish(now, id, Cause::Local, code, reason);
    }
}
