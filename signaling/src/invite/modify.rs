//! Changing a session: re-INVITE (RFC 3261 §14) and UPDATE (RFC 3311), and what happens when both want to.

use std::time::{Duration, Instant};

use crate::{
    endpoint::core::{ClientId, Core, Outcome, ServerId},
    error::InviteError,
    event::Event,
    flow::Source,
    message::{Body, Headers, Method, Name, Request, Response, StatusCode},
    transaction::Class,
};

use super::{Direction, Phase, Usage, established::Unacked, turns::Turns};

/// The change we want.
#[derive(Debug)]
pub(super) enum Ours {
    /// None.
    Nothing,
    /// It waits until nothing else is open and the pause after a 491 is over.
    Waiting { not_before: Instant, body: Option<Body> },
    /// Our re-INVITE is under way.
    Sent(Sent),
}

/// A re-INVITE of ours.
#[derive(Debug)]
pub(super) struct Sent {
    client: ClientId,
    body: Option<Body>,
    /// How long the peer may ponder, once it gave a provisional response.
    pub(super) until: Option<Instant>,
}

/// A re-INVITE or UPDATE of the peer that waits for our answer.
#[derive(Debug)]
pub(super) struct Theirs {
    pub(super) server: ServerId,
    method: Method,
    sequence: u32,
    /// Whether we are asked for the offer.
    late: bool,
    /// Where the peer wants to be reached from now on, if we agree.
    headers: Headers,
    source: Source,
}

impl Usage {
    pub(super) fn modify(
        &mut self,
        now: Instant,
        core: &mut Core,
        body: Option<Body>,
    ) -> Result<(), InviteError> {
        let Phase::Established(established) = &mut self.phase else { return Err(InviteError::WrongState) };
        let busy = !established.turns.is_idle() || established.late.is_some() || established.theirs.is_some();
        if busy || !matches!(established.ours, Ours::Nothing) {
            return Err(InviteError::OfferPending);
        }
        established.ours = Ours::Waiting { not_before: now, body };
        self.pump(now, core);
        Ok(())
    }

    /// Sends the re-INVITE that waits, if it may leave now.
    pub(super) fn pump(&mut self, now: Instant, core: &mut Core) {
        let Phase::Established(established) = &mut self.phase else { return };
        let ready = match &established.ours {
            Ours::Waiting { not_before, .. } => now >= *not_before && established.is_quiet(),
            Ours::Nothing | Ours::Sent(_) => false,
        };
        if !ready || self.ended {
            return;
        }
        let Ours::Waiting { body, .. } = std::mem::replace(&mut established.ours, Ours::Nothing) else {
            return;
        };
        established.turns = Turns::PeerOwes;
        let Some(client) = self.send_in_dialog(now, core, Method::Invite, body.clone()) else { return };
        if let Phase::Established(established) = &mut self.phase {
            established.ours = Ours::Sent(Sent { client, body, until: None });
        }
    }

    pub(super) fn on_modify_outcome(
        &mut self,
        now: Instant,
        core: &mut Core,
        client: ClientId,
        outcome: &Outcome,
    ) -> bool {
        let Phase::Established(established) = &mut self.phase else { return false };
        let Ours::Sent(sent) = &mut established.ours else { return false };
        if sent.client != client {
            return false;
        }
        let response = match outcome {
            Outcome::Response(response, source) => match Class::of(response.status) {
                Class::Provisional => {
                    sent.until.get_or_insert(now + core.config.ring_timeout);
                    return true;
                }
                Class::Success => {
                    self.on_modify_agreed(core, client, response, source);
                    self.pump(now, core);
                    return true;
                }
                Class::Failure => Some(response),
            },
            Outcome::TimedOut | Outcome::Unreachable => None,
        };
        if let Some(response) = response
            && self.on_modify_delayed(now, core, client, response)
        {
            return true;
        }
        if let Phase::Established(established) = &mut self.phase {
            established.ours = Ours::Nothing;
            established.turns = Turns::Idle;
        }
        if !self.is_fatal(now, core, outcome) {
            let code = response.map_or(StatusCode::SERVICE_UNAVAILABLE, |response| response.status);
            self.tell(core, Event::ModifyFailed(self.id, code));
        }
        true
    }

    fn on_modify_agreed(&mut self, core: &mut Core, client: ClientId, response: &Response, source: &Source) {
        let Phase::Established(established) = &mut self.phase else { return };
        let Ours::Sent(sent) = std::mem::replace(&mut established.ours, Ours::Nothing) else { return };
        let sequence =
            core.sent(client).and_then(|sent| sent.headers.cseq().ok()).map_or(0, |cseq| cseq.sequence);
        established.dialog.follow_response(&response.headers, source);
        established.turns = Turns::Idle;
        let body = response.content();
        if sent.body.is_none() && body.is_some() {
            established.acknowledge_later(core, client, sequence);
        } else {
            core.acknowledge(client, &established.dialog, established.dialog.ack(sequence));
        }
        if let Some(credentials) = &mut self.credentials {
            credentials.succeed();
        }
        self.tell(core, Event::Modified(self.id, body));
    }

    /// Refusals that only mean another try: a challenge, or both sides asked at once.
    fn on_modify_delayed(
        &mut self,
        now: Instant,
        core: &mut Core,
        client: ClientId,
        response: &Response,
    ) -> bool {
        if let Some(client) = self.repeat_with_credentials(now, core, client, response) {
            if let Phase::Established(established) = &mut self.phase
                && let Ours::Sent(sent) = &mut established.ours
            {
                sent.client = client;
                sent.until = None;
            }
            return true;
        }
        if response.status != StatusCode::REQUEST_PENDING {
            return false;
        }
        // RFC 3261 §14.1: the pauses do not overlap, so that the second try does not collide, too.
        let pause = match self.direction {
            Direction::Outgoing => core.random.between(Duration::from_millis(2100), Duration::from_secs(4)),
            Direction::Incoming => core.random.between(Duration::ZERO, Duration::from_secs(2)),
        };
        let Phase::Established(established) = &mut self.phase else { return false };
        let Ours::Sent(sent) = std::mem::replace(&mut established.ours, Ours::Nothing) else { return false };
        established.ours = Ours::Waiting { not_before: now + pause, body: sent.body };
        established.turns = Turns::Idle;
        true
    }

    pub(super) fn on_modify_due(&mut self, now: Instant, core: &mut Core) {
        let Phase::Established(established) = &mut self.phase else { return };
        if let Ours::Sent(sent) = &mut established.ours
            && sent.until.is_some_and(|until| now >= until)
        {
            sent.until = None;
            core.cancel(now, sent.client, None);
        }
    }

    pub(super) fn on_reinvite(
        &mut self,
        now: Instant,
        core: &mut Core,
        server: ServerId,
        request: &Request,
        source: &Source,
    ) {
        let Phase::Established(established) = &mut self.phase else { return };
        // RFC 3261 §14.2: glare, and a second INVITE before we answered the first.
        if established.theirs.is_some() {
            self.answer_later(now, core, server);
            return;
        }
        // RFC 5407 §3.1.4: an ACK that is still missing matters only if it carries an answer.
        let pending = matches!(established.ours, Ours::Sent(_)) || !established.turns.is_idle();
        if pending || established.unacked.len() >= MAX_UNACKED {
            self.answer(now, core, server, StatusCode::REQUEST_PENDING);
            return;
        }
        core.assign(server, self.id);
        self.answer(now, core, server, StatusCode::TRYING);
        self.ask(core, server, request, source);
    }

    pub(super) fn on_update(
        &mut self,
        now: Instant,
        core: &mut Core,
        server: ServerId,
        request: &Request,
        source: &Source,
    ) {
        let Phase::Established(established) = &mut self.phase else { return };
        if request.body.is_empty() {
            established.dialog.follow_request(&request.headers, source);
            let contact = core.own_contact(&established.dialog);
            if let Some(mut response) = core.reply(server, StatusCode::OK, &self.local_tag) {
                response.headers.push(Name::Contact, contact);
                core.respond(now, server, &response);
            }
            return;
        }
        // RFC 3311 §5.2.
        if established.theirs.is_some() || established.turns == Turns::WeOwe {
            self.answer_later(now, core, server);
        } else if !established.turns.is_idle() {
            self.answer(now, core, server, StatusCode::REQUEST_PENDING);
        } else {
            self.ask(core, server, request, source);
        }
    }

    fn ask(&mut self, core: &mut Core, server: ServerId, request: &Request, source: &Source) {
        let Phase::Established(established) = &mut self.phase else { return };
        // What we wanted to say after a 491 is outdated by what the peer says now.
        let outdated = matches!(established.ours, Ours::Waiting { .. });
        if outdated {
            established.ours = Ours::Nothing;
        }
        let body = request.content();
        established.turns = if body.is_some() { Turns::WeOwe } else { Turns::Idle };
        established.theirs = Some(Theirs {
            server,
            method: request.method.clone(),
            sequence: request.headers.cseq().map_or(0, |cseq| cseq.sequence),
            late: body.is_none(),
            headers: request.headers.clone(),
            source: *source,
        });
        if outdated {
            self.tell(core, Event::ModifyFailed(self.id, StatusCode::REQUEST_PENDING));
        }
        self.tell(core, Event::Modify(self.id, body));
    }

    pub(super) fn accept_modify(
        &mut self,
        now: Instant,
        core: &mut Core,
        body: Body,
    ) -> Result<(), InviteError> {
        let Phase::Established(established) = &mut self.phase else { return Err(InviteError::WrongState) };
        let Some(theirs) = established.theirs.take() else { return Err(InviteError::WrongState) };
        let Theirs { server, method, sequence, late, headers, source } = theirs;
        established.dialog.follow_request(&headers, &source);
        established.turns = if late { Turns::PeerOwes } else { Turns::Idle };
        let contact = core.own_contact(&established.dialog);
        if let Some(mut response) = core.reply(server, StatusCode::OK, &self.local_tag) {
            response.headers.push(Name::Contact, contact);
            response.headers.push(Name::Allow, core.allow());
            response.set_content(Some(body));
            core.respond(now, server, &response);
        }
        if method == Method::Invite {
            established.unacked.push(Unacked::new(now, core, server, sequence, late, false));
        }
        self.pump(now, core);
        Ok(())
    }

    pub(super) fn refuse_modify(
        &mut self,
        now: Instant,
        core: &mut Core,
        status: StatusCode,
    ) -> Result<(), InviteError> {
        if status.code() < 300 {
            return Err(InviteError::WrongState);
        }
        let Phase::Established(established) = &self.phase else { return Err(InviteError::WrongState) };
        let Some(theirs) = &established.theirs else { return Err(InviteError::WrongState) };
        self.answer(now, core, theirs.server, status);
        self.forget_theirs();
        self.pump(now, core);
        Ok(())
    }

    /// The change the peer wanted is off.
    pub(super) fn forget_theirs(&mut self) {
        if let Phase::Established(established) = &mut self.phase
            && established.theirs.take().is_some()
        {
            established.turns = Turns::Idle;
        }
    }

    /// RFC 3261 §15.1.2: before the dialog goes, what is open in it is answered or left to itself.
    pub(super) fn close_exchanges(&mut self, now: Instant, core: &mut Core) {
        let Phase::Established(established) = &mut self.phase else { return };
        if let Ours::Sent(sent) = &established.ours {
            core.release(now, sent.client);
        }
        established.ours = Ours::Nothing;
        if let Some(theirs) = established.theirs.take() {
            self.answer(now, core, theirs.server, StatusCode::REQUEST_TERMINATED);
        }
    }
}

/// 2xx that may lack their ACK at a time.
const MAX_UNACKED: usize = 4;
