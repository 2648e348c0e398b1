//! An answered INVITE: the session and what happens to it until somebody says BYE.

use std::time::Instant;

use crate::{
    dialog::Dialog,
    endpoint::{
        client::Departure,
        core::{ClientId, Core, Outcome, Owner, ServerId},
    },
    error::InviteError,
    event::{Cause, Event},
    flow::Source,
    message::{Body, Method, Request, Response, StatusCode},
    transaction::timers::{Deadline, Resend, soonest},
};

use super::{
    Phase, Usage,
    modify::{Ours, Theirs},
    outgoing::is_challenge,
    turns::Turns,
    words_of,
};

/// The dialog and the exchanges that are open in it.
#[derive(Debug)]
pub(super) struct Established {
    pub(super) dialog: Dialog,
    pub(super) turns: Turns,
    /// A 2xx with an offer of the peer whose ACK has to carry our answer: the INVITE and its number.
    pub(super) late: Option<(ClientId, u32)>,
    /// Our 2xx that the peer has not acknowledged.
    pub(super) unacked: Vec<Unacked>,
    /// The change we want.
    pub(super) ours: Ours,
    /// The change the peer wants.
    pub(super) theirs: Option<Theirs>,
}

/// A 2xx of ours without ACK.
#[derive(Debug)]
pub(super) struct Unacked {
    server: ServerId,
    sequence: u32,
    resend: Resend,
    expires: Instant,
    /// Whether it carries our offer.
    pub(super) offers: bool,
    /// Whether it answers the first INVITE.
    pub(super) first: bool,
}

impl Unacked {
    pub(super) fn new(
        now: Instant,
        core: &Core,
        server: ServerId,
        sequence: u32,
        offers: bool,
        first: bool,
    ) -> Self {
        let t1 = core.config.t1;
        Self { server, sequence, resend: Resend::every(now, t1), expires: now + t1 * 64, offers, first }
    }

    // RFC 3261 §13.3.1.4: over any transport, since there may be an unreliable hop further on.
    pub(super) fn on_due(&mut self, now: Instant, core: &mut Core) {
        if now >= self.resend.at && now < self.expires {
            self.resend = self.resend.next(now, core.config.t2);
            core.repeat(self.server);
        }
    }

    pub(super) fn is_expired(&self, now: Instant) -> bool {
        now >= self.expires
    }

    pub(super) fn is_for(&self, ack: &Request) -> bool {
        ack.headers.cseq().is_ok_and(|cseq| cseq.sequence == self.sequence)
    }

    pub(super) fn deadline(&self) -> Deadline {
        (self.resend.at.min(self.expires), "2xx not acknowledged")
    }
}

impl Established {
    pub(super) fn new(dialog: Dialog, turns: Turns) -> Self {
        Self { dialog, turns, late: None, unacked: Vec::new(), ours: Ours::Nothing, theirs: None }
    }

    /// The 2xx brought an offer: its ACK has to wait for our answer.
    pub(super) fn acknowledge_later(&mut self, core: &mut Core, client: ClientId, sequence: u32) {
        core.await_ack(client, &self.dialog.id.remote_tag);
        self.late = Some((client, sequence));
        self.turns = Turns::WeOwe;
    }

    pub(super) fn is_theirs(&self, server: ServerId) -> bool {
        self.theirs.as_ref().is_some_and(|theirs| theirs.server == server)
    }

    /// Whether nothing is open, so that an INVITE of ours may leave.
    pub(super) fn is_quiet(&self) -> bool {
        self.turns.is_idle() && self.late.is_none() && self.unacked.is_empty() && self.theirs.is_none()
    }

    pub(super) fn deadline(&self) -> Option<Deadline> {
        let unacked = self.unacked.iter().map(Unacked::deadline).min_by_key(|(at, _)| *at);
        let ours = match &self.ours {
            Ours::Nothing => None,
            Ours::Waiting { not_before, .. } => self.is_quiet().then_some((*not_before, "retry re-INVITE")),
            Ours::Sent(sent) => sent.until.map(|at| (at, "re-INVITE takes too long")),
        };
        soonest(unacked, ours)
    }
}

impl Usage {
    /// An ACK without transaction.
    pub(crate) fn on_ack(&mut self, now: Instant, core: &mut Core, ack: &Request) {
        match &mut self.phase {
            Phase::Established(established) => {
                if ack.headers.from_tag().unwrap_or_default() != established.dialog.id.remote_tag {
                    return;
                }
                let Some(at) = established.unacked.iter().position(|unacked| unacked.is_for(ack)) else {
                    return;
                };
                let unacked = established.unacked.remove(at);
                core.drop_response(unacked.server);
                if unacked.offers {
                    established.turns = Turns::Idle;
                }
                let body = ack.content().filter(|_| unacked.offers);
                match (unacked.first, unacked.offers) {
                    (true, _) => self.tell(core, Event::Confirmed(self.id, body)),
                    (false, true) => self.tell(core, Event::ModifyConfirmed(self.id, body)),
                    (false, false) => {}
                }
                self.pump(now, core);
            }
            Phase::Leaving(leaving) => {
                if leaving.is_awaited(ack) {
                    self.say_bye(now, core);
                }
            }
            Phase::Calling(_) | Phase::Offered(_) | Phase::Over => {}
        }
    }

    pub(super) fn acknowledge(&mut self, core: &mut Core, body: Option<Body>) -> Result<(), InviteError> {
        let Phase::Established(established) = &mut self.phase else { return Err(InviteError::WrongState) };
        let Some((client, sequence)) = established.late.take() else { return Err(InviteError::WrongState) };
        established.turns = Turns::Idle;
        let mut ack = established.dialog.ack(sequence);
        ack.set_content(body);
        core.acknowledge(client, &established.dialog, ack);
        Ok(())
    }

    pub(super) fn on_established_due(&mut self, now: Instant, core: &mut Core) {
        let Phase::Established(established) = &mut self.phase else { return };
        established.unacked.iter_mut().for_each(|unacked| unacked.on_due(now, core));
        // RFC 3261 §13.3.1.4, §14.2: without ACK the session ends.
        if established.unacked.iter().any(|unacked| unacked.is_expired(now)) {
            established.unacked.clear();
            self.end(core, Cause::Timeout, StatusCode::REQUEST_TIMEOUT, "No ACK".into());
            self.leave(now, core, None);
            return;
        }
        self.on_modify_due(now, core);
        self.pump(now, core);
    }

    pub(super) fn on_established_outcome(
        &mut self,
        now: Instant,
        core: &mut Core,
        client: ClientId,
        method: &Method,
        outcome: &Outcome,
    ) -> bool {
        if *method == Method::Info {
            self.on_info_outcome(now, core, client, outcome);
            return true;
        }
        self.on_modify_outcome(now, core, client, outcome)
    }

    pub(super) fn on_request_while_established(
        &mut self,
        now: Instant,
        core: &mut Core,
        server: ServerId,
        request: &Request,
        source: &Source,
    ) {
        let Phase::Established(established) = &mut self.phase else { return };
        if established.dialog.id.remote_tag != request.headers.from_tag().unwrap_or_default() {
            self.answer(now, core, server, StatusCode::CALL_DOES_NOT_EXIST);
            return;
        }
        if !request.headers.cseq().is_ok_and(|cseq| established.dialog.accept_cseq(cseq.sequence)) {
            self.answer(now, core, server, StatusCode::SERVER_INTERNAL_ERROR);
            return;
        }
        match request.method {
            Method::Bye => {
                self.answer(now, core, server, StatusCode::OK);
                self.close_exchanges(now, core);
                self.end(core, Cause::RemoteBye, StatusCode::OK, words_of(request));
                self.phase = Phase::Over;
            }
            Method::Invite => self.on_reinvite(now, core, server, request, source),
            Method::Update => self.on_update(now, core, server, request, source),
            Method::Info => self.on_info(now, core, server, request),
            Method::Options => self.answer(now, core, server, StatusCode::OK),
            Method::Prack => self.answer(now, core, server, StatusCode::CALL_DOES_NOT_EXIST),
            Method::Ack | Method::Cancel => {}
            Method::Register
            | Method::Message
            | Method::Refer
            | Method::Notify
            | Method::Subscribe
            | Method::Publish => self.answer(now, core, server, StatusCode::METHOD_NOT_ALLOWED),
            Method::Other(_) => self.answer(now, core, server, StatusCode::NOT_IMPLEMENTED),
        }
    }

    /// A response inside the dialog that ends it (RFC 3261 §12.2.1.2) does so here.
    pub(super) fn is_fatal(&mut self, now: Instant, core: &mut Core, outcome: &Outcome) -> bool {
        let (cause, code) = match outcome {
            Outcome::Response(response, _) if response.status == StatusCode::CALL_DOES_NOT_EXIST => {
                (Cause::Rejected, response.status)
            }
            Outcome::Response(response, _) if response.status == StatusCode::REQUEST_TIMEOUT => {
                (Cause::Timeout, response.status)
            }
            Outcome::TimedOut => (Cause::Timeout, StatusCode::REQUEST_TIMEOUT),
            Outcome::Response(..) | Outcome::Unreachable => return false,
        };
        self.end(core, cause, code, String::new());
        self.leave(now, core, None);
        true
    }

    /// Sends the request `client` once more with an answer to the challenge, next in sequence.
    pub(super) fn repeat_with_credentials(
        &mut self,
        now: Instant,
        core: &mut Core,
        client: ClientId,
        response: &Response,
    ) -> Option<ClientId> {
        if !is_challenge(response.status) {
            return None;
        }
        let dialog = match &mut self.phase {
            Phase::Established(established) => &mut established.dialog,
            Phase::Leaving(leaving) => &mut leaving.dialog,
            Phase::Calling(_) | Phase::Offered(_) | Phase::Over => return None,
        };
        let credentials = self.credentials.as_mut()?;
        if !credentials.learn_again(response) {
            return None;
        }
        let sent = core.sent(client)?;
        let (method, body) = (sent.method.clone(), sent.content());
        let reason = sent.headers.reason();
        let mut request = dialog.request(method);
        request.set_content(body);
        if let Some(reason) = reason {
            request.headers.push(crate::message::Name::Reason, reason.to_string());
        }
        credentials.attach(&mut request, &mut core.random);
        let (hop, contact_user) = (dialog.hop(), dialog.contact_user.clone());
        Some(core.send(now, Departure { request, hop, owner: Owner::Invite(self.id), contact_user }))
    }

    /// Sends a new request in the dialog of an established usage.
    pub(super) fn send_in_dialog(
        &mut self,
        now: Instant,
        core: &mut Core,
        method: Method,
        body: Option<Body>,
    ) -> Option<ClientId> {
        let Phase::Established(established) = &mut self.phase else { return None };
        let dialog = &mut established.dialog;
        let mut request = dialog.request(method);
        if request.method == Method::Invite {
            request.headers.push(crate::message::Name::Allow, core.allow());
        }
        request.set_content(body);
        if let Some(credentials) = &mut self.credentials {
            credentials.attach(&mut request, &mut core.random);
        }
        let (hop, contact_user) = (dialog.hop(), dialog.contact_user.clone());
        Some(core.send(now, Departure { request, hop, owner: Owner::Invite(self.id), contact_user }))
    }
}
