//! What the media engine tells, and what is told to it after an offer/answer.

use std::{net::SocketAddr, time::Instant};

use media::{Direction as Flow, Event as MediaEvent, Negotiation, SessionConfig, SessionId, sdp::SdpError};
use signaling::{Body, Cause, Outgoing, StatusCode};

use crate::{
    command::{Dial, LegId, Target},
    event::EventKind,
    leg::{LegState, Opening},
    switchboard::Switchboard,
};

impl Switchboard {
    /// The answer to [`crate::MediaRequest::Open`]: the session and the address its RTP socket is bound to, or
    /// `None` when no port was free.
    pub fn handle_opened(&mut self, now: Instant, id: LegId, opened: Option<(SessionId, SocketAddr)>) {
        let sdp_session = self.fresh_sdp_session();
        let Some(leg) = self.legs.get_mut(&id) else {
            if let Some((session, _)) = opened {
                self.media(media::Command::Close(session));
            }
            return;
        };
        let peer = match &leg.opening {
            Opening::Outgoing(dial) => peer_of(dial),
            Opening::Incoming(_) | Opening::Done => leg.signaling_ip,
        };
        let srtp = match &leg.opening {
            Opening::Outgoing(dial) => dial.srtp,
            Opening::Incoming(_) | Opening::Done => None,
        };
        let Some((session, bound)) = opened else {
            self.no_port(now, id);
            return;
        };
        leg.session = Some(session);
        self.by_session.insert(session, id);
        if leg.is_ending() {
            self.media(media::Command::Close(session));
            return;
        }
        let local = self.sdp_address(peer, bound);
        let mut capabilities = self.config.media.clone();
        capabilities.srtp = srtp.unwrap_or(capabilities.srtp);
        let mut negotiation = Negotiation::new(capabilities, local, sdp_session);
        if let Some(keys) = &mut self.config.keys {
            negotiation = negotiation.with_keys(keys.fork());
        }
        let Some(leg) = self.legs.get_mut(&id) else { return };
        leg.negotiation = Some(negotiation);
        match std::mem::replace(&mut leg.opening, Opening::Done) {
            Opening::Outgoing(dial) => self.send_invite(now, id, *dial),
            Opening::Incoming(incoming) => {
                if let Some(body) = &incoming.body
                    && let Err(error) = self.prepare_answer(id, body)
                {
                    let code = if matches!(error, SdpError::Syntax { .. }) {
                        StatusCode::BAD_REQUEST
                    } else {
                        StatusCode::NOT_ACCEPTABLE_HERE
                    };
                    self.drop_leg(now, id, code, "the offer cannot be used");
                    return;
                }
                let Some(leg) = self.legs.get_mut(&id) else { return };
                leg.told = true;
                leg.advance(now, LegState::Dialing);
                self.tell(id, EventKind::Incoming(incoming));
            }
            Opening::Done => {}
        }
        self.drain_endpoint(now);
    }

    fn no_port(&mut self, now: Instant, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        // Nothing will arrive any more, so the leg may go at once.
        leg.advance(now, LegState::Dialing);
        if leg.is_ending() {
            self.retire(id, media::SessionStats::default());
            return;
        }
        if let Some(invite) = leg.invite {
            self.refuse(now, invite, StatusCode::SERVICE_UNAVAILABLE);
        }
        self.finish(now, id, Cause::Unreachable, StatusCode::SERVICE_UNAVAILABLE, "no RTP port is free");
        self.drain_endpoint(now);
    }

    fn send_invite(&mut self, now: Instant, id: LegId, dial: Dial) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Some(negotiation) = leg.negotiation.as_mut() else { return };
        let offer = Body::sdp(negotiation.offer());
        leg.signaling_ip = peer_of(&dial);
        let (target, destination, flow) = match dial.target {
            Target::Uri(uri) => (uri, None, None),
            Target::Contact(contact) => {
                (contact.uri, Some((contact.transport, contact.source)), contact.flow)
            }
        };
        let invite = self.endpoint.dial(
            now,
            Outgoing {
                target,
                from: dial.from,
                to: None,
                destination,
                flow,
                credentials: dial.credentials,
                body: Some(offer),
                headers: dial.headers,
                ring_timeout: dial.ring_timeout,
            },
        );
        leg.invite = Some(invite);
        leg.advance(now, LegState::Dialing);
        self.by_invite.insert(invite, id);
        if let Some(call_id) = self.endpoint.invite(invite).map(|invite| invite.call_id().to_owned())
            && let Some(leg) = self.legs.get_mut(&id)
        {
            leg.call_id = call_id;
        }
    }

    fn prepare_answer(&mut self, id: LegId, body: &Body) -> Result<(), SdpError> {
        let Some(leg) = self.legs.get_mut(&id) else { return Ok(()) };
        let Some(negotiation) = leg.negotiation.as_mut() else { return Ok(()) };
        let (answer, config) = negotiation.accept_offer(&body.bytes)?;
        leg.answer = Some(Body::sdp(answer));
        leg.prepared = Some(Box::new(config));
        Ok(())
    }

    /// Our answer left with an 18x or 2xx: from now on media may flow.
    pub(crate) fn apply_prepared(&mut self, id: LegId) {
        if let Some(config) = self.legs.get_mut(&id).and_then(|leg| leg.prepared.take()) {
            self.apply(id, *config);
        }
    }

    /// The peer answered our offer, or gave a preview of its answer.
    pub(crate) fn apply_answer(&mut self, id: LegId, body: &Body) -> Result<(), SdpError> {
        let Some(leg) = self.legs.get_mut(&id) else { return Ok(()) };
        let Some(negotiation) = leg.negotiation.as_mut().filter(|_| body.is_sdp()) else {
            return Err(SdpError::NoAudio);
        };
        let config = negotiation.accept_answer(&body.bytes)?;
        self.apply(id, config);
        Ok(())
    }

    /// Tells the session the result of an offer/answer, and the user what changed about hold.
    pub(crate) fn apply(&mut self, id: LegId, mut config: SessionConfig) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Some(session) = leg.session else { return };
        config.signaling_ip = leg.signaling_ip;
        // Whoever does not want to hear us holds us (RFC 3264 §8.4).
        let held = matches!(config.direction, Flow::RecvOnly | Flow::Inactive);
        let takes_events = config.send_event.is_some();
        let changed = leg.hold.remote != held;
        leg.hold.remote = held;
        self.media(media::Command::Configure(session, Box::new(config)));
        self.choose_inband_digits(id, takes_events);
        if changed {
            self.tell(id, if held { EventKind::Held } else { EventKind::Resumed });
        }
    }

    /// Takes one fact from the media engine in.
    #[expect(clippy::wildcard_enum_match_arm, reason = "facts that may be added are no news for a leg")]
    pub fn handle_media(&mut self, now: Instant, event: MediaEvent) {
        let Some(id) = self.by_session.get(&event.session()).copied() else { return };
        match event {
            MediaEvent::MediaStarted(_) => {
                self.begin_plays(id);
                self.tell(id, EventKind::MediaStarted);
            }
            MediaEvent::MediaStopped(_) => self.tell(id, EventKind::MediaStopped),
            MediaEvent::DigitDown(_, event) => {
                if let Some(key) = media::dtmf::digit_char(event) {
                    self.on_key_down(now, id, key);
                }
            }
            MediaEvent::DigitUp(_, event, ms) => {
                if let Some(key) = media::dtmf::digit_char(event) {
                    self.on_key_up(id, key, ms);
                }
            }
            MediaEvent::ToneHeard(_, progress) => self.tell(id, EventKind::ToneHeard(progress)),
            MediaEvent::BeepHeard(_, hz, ms) => self.tell(id, EventKind::BeepHeard(hz, ms)),
            MediaEvent::Answerer(_, verdict) => self.tell(id, EventKind::AnsweredBy(verdict)),
            MediaEvent::SpeechStarted(_) => self.tell(id, EventKind::SpeechStarted),
            MediaEvent::SpeechStopped(_) => self.tell(id, EventKind::SpeechStopped),
            MediaEvent::DigitsSent(_) => self.tell(id, EventKind::DigitsSent),
            MediaEvent::ToneEnded(_) => self.tell(id, EventKind::ToneEnded),
            MediaEvent::TalkStarted(_) => self.tell(id, EventKind::TalkStarted),
            MediaEvent::TalkStopped(_) => self.tell(id, EventKind::TalkStopped),
            MediaEvent::PlayStarted(_, player) => self.tell(id, EventKind::PlayStarted(player)),
            MediaEvent::PlayFinished { player, reason, played_ms, .. } => {
                if self.forget_play(id, player) {
                    self.start_first_digit_timer(now, id);
                }
                self.tell(id, EventKind::PlayFinished(player, reason, played_ms));
            }
            MediaEvent::PlayMarker(_, player, number) => self.tell(id, EventKind::PlayMarker(player, number)),
            MediaEvent::PlayFailed(_, player, why) => {
                self.tell(id, EventKind::PlayFailed(player, why.into()))
            }
            MediaEvent::TapEnded(_, tap) => self.tell(id, EventKind::Recorded(tap)),
            MediaEvent::Statistics(_, quality) => {
                if let Some(leg) = self.legs.get_mut(&id) {
                    leg.quality = quality;
                }
            }
            MediaEvent::Closed(_, stats) => self.retire(id, *stats),
            // Latched is the worker's business; the enum may grow.
            _ => {}
        }
        self.drain_endpoint(now);
    }
}

fn peer_of(dial: &Dial) -> Option<std::net::IpAddr> {
    match &dial.target {
        Target::Contact(contact) => Some(contact.source.ip()),
        Target::Uri(uri) => uri.host.ip(),
    }
}
