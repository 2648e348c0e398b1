//! A peer's INVITE until we answer it.

use std::time::{Duration, Instant};

use crate::{
    dialog::Dialog,
    endpoint::{
        core::{Core, ServerId},
        timers::Armed,
    },
    error::InviteError,
    event::{Cause, Event, Incoming, InviteId},
    flow::Source,
    message::{Body, Method, Name, NameAddr, Request, StatusCode},
    transaction::timers::Deadline,
};

use super::{
    Direction, Phase, Usage,
    established::{Established, Unacked},
    turns::Turns,
    words_of,
};

/// A peer's INVITE without final response.
#[derive(Debug)]
pub(super) struct Offered {
    pub(super) server: ServerId,
    pub(super) dialog: Dialog,
    /// Whether the INVITE came without an offer.
    late: bool,
    /// When our latest provisional response is due again, once there is one.
    again: Option<Instant>,
}

impl Usage {
    /// Takes a new INVITE; `None` if it can make no dialog.
    pub(crate) fn offered(
        core: &mut Core,
        id: InviteId,
        server: ServerId,
        request: &Request,
        source: &Source,
        user: Option<String>,
    ) -> Option<Self> {
        let local_tag = core.random.tag();
        let dialog = Dialog::of_callee(request, source, &local_tag)?;
        let body = request.content();
        let late = body.is_none();
        let remote = dialog.remote.clone();
        let call_id = dialog.id.call_id.clone();
        let incoming = Incoming {
            source: *source,
            request_uri: request.uri.clone(),
            from: remote.clone(),
            to: request.headers.to().ok()?,
            call_id: call_id.clone(),
            user,
            body,
            headers: request
                .headers
                .iter()
                .filter(|(name, _)| !TOLD_OTHERWISE.contains(name))
                .map(|(name, value)| (name.as_str().to_owned(), value.to_owned()))
                .collect(),
        };
        core.assign(server, id);
        core.events.push_back(Event::Incoming(id, Box::new(incoming)));
        Some(Self {
            id,
            direction: Direction::Incoming,
            call_id,
            local_tag,
            remote,
            phase: Phase::Offered(Box::new(Offered { server, dialog, late, again: None })),
            credentials: None,
            ended: false,
            armed: Armed::default(),
        })
    }

    pub(super) fn ring(
        &mut self,
        now: Instant,
        core: &mut Core,
        status: StatusCode,
        body: Option<Body>,
    ) -> Result<(), InviteError> {
        let Phase::Offered(offered) = &mut self.phase else { return Err(InviteError::WrongState) };
        let unusable = !status.is_provisional() || status == StatusCode::TRYING;
        if unusable || (offered.late && body.is_some()) {
            return Err(InviteError::WrongState);
        }
        offered.again = Some(now + RING_AGAIN);
        let (server, contact) = (offered.server, core.own_contact(&offered.dialog));
        if let Some(mut response) = core.reply(server, status, &self.local_tag) {
            response.headers.set(Name::Contact, contact);
            response.headers.push(Name::Allow, core.allow());
            response.set_content(body);
            core.respond(now, server, &response);
        }
        Ok(())
    }

    pub(super) fn accept(&mut self, now: Instant, core: &mut Core, body: Body) -> Result<(), InviteError> {
        let Phase::Offered(offered) = &self.phase else { return Err(InviteError::WrongState) };
        let (server, late) = (offered.server, offered.late);
        let contact = core.own_contact(&offered.dialog);
        let sequence = offered.dialog.remote_cseq.unwrap_or_default();
        let Some(mut response) = core.reply(server, StatusCode::OK, &self.local_tag) else {
            return Err(InviteError::WrongState);
        };
        response.headers.set(Name::Contact, contact);
        response.headers.push(Name::Allow, core.allow());
        response.set_content(Some(body));
        core.respond(now, server, &response);
        let Phase::Offered(offered) = std::mem::replace(&mut self.phase, Phase::Over) else { return Ok(()) };
        let turns = if late { Turns::PeerOwes } else { Turns::Idle };
        let mut established = Established::new(offered.dialog, turns);
        established.unacked.push(Unacked::new(now, core, server, sequence, late, true));
        self.phase = Phase::Established(Box::new(established));
        Ok(())
    }

    pub(super) fn reject(
        &mut self,
        now: Instant,
        core: &mut Core,
        status: StatusCode,
        reason: Option<String>,
        contacts: &[NameAddr],
    ) -> Result<(), InviteError> {
        let Phase::Offered(offered) = &self.phase else { return Err(InviteError::WrongState) };
        if status.code() < 300 {
            return Err(InviteError::WrongState);
        }
        let server = offered.server;
        let words = reason.clone().unwrap_or_default();
        if let Some(mut response) = core.reply(server, status, &self.local_tag) {
            if let Some(reason) = reason {
                response.reason = reason.into();
            }
            contacts.iter().for_each(|contact| response.headers.push(Name::Contact, contact.to_string()));
            // RFC 3261 §21.5.4; spread, so that they do not all come again at once.
            if status == StatusCode::SERVICE_UNAVAILABLE {
                response.headers.push(Name::RetryAfter, (5 + core.random.below(11)).to_string());
            }
            core.respond(now, server, &response);
        }
        self.end(core, Cause::Local, status, words);
        self.phase = Phase::Over;
        Ok(())
    }

    /// The caller sent CANCEL; that is answered already. Does nothing after our answer (RFC 3261 §9.2).
    pub(crate) fn on_cancel(&mut self, now: Instant, core: &mut Core, server: ServerId, cancel: &Request) {
        match &mut self.phase {
            Phase::Offered(offered) if offered.server == server => {
                self.answer(now, core, server, StatusCode::REQUEST_TERMINATED);
                self.end(core, Cause::RemoteCancel, StatusCode::REQUEST_TERMINATED, words_of(cancel));
                self.phase = Phase::Over;
            }
            Phase::Established(established) if established.is_theirs(server) => {
                self.answer(now, core, server, StatusCode::REQUEST_TERMINATED);
                self.forget_theirs();
            }
            Phase::Calling(_)
            | Phase::Offered(_)
            | Phase::Established(_)
            | Phase::Leaving(_)
            | Phase::Over => {}
        }
    }

    pub(super) fn on_request_while_offered(
        &mut self,
        now: Instant,
        core: &mut Core,
        server: ServerId,
        request: &Request,
    ) {
        let Phase::Offered(offered) = &mut self.phase else { return };
        let (invite, tag) = (offered.server, request.headers.from_tag().unwrap_or_default());
        if offered.dialog.id.remote_tag != tag {
            self.answer(now, core, server, StatusCode::CALL_DOES_NOT_EXIST);
            return;
        }
        let in_order = request.headers.cseq().is_ok_and(|cseq| offered.dialog.accept_cseq(cseq.sequence));
        if in_order && request.method == Method::Bye {
            // RFC 3261 §15: a caller may end an early dialog by BYE.
            self.answer(now, core, server, StatusCode::OK);
            self.answer(now, core, invite, StatusCode::REQUEST_TERMINATED);
            self.end(core, Cause::RemoteBye, StatusCode::OK, words_of(request));
            self.phase = Phase::Over;
            return;
        }
        self.answer_early(now, core, server, request, in_order);
    }
}

impl Offered {
    pub(super) fn has_rung(&self) -> bool {
        self.again.is_some()
    }

    // RFC 3261 §13.3.1.1: proxies cancel an INVITE that says nothing for three minutes.
    pub(super) fn on_due(&mut self, now: Instant, core: &mut Core) {
        if self.again.is_some_and(|at| now >= at) {
            self.again = Some(now + RING_AGAIN);
            core.repeat(self.server);
        }
    }

    pub(super) fn deadline(&self) -> Option<Deadline> {
        self.again.map(|at| (at, "repeat provisional response"))
    }
}

/// Headers that [`Incoming`] has in other fields, or that nobody above should see.
const TOLD_OTHERWISE: &[Name<'static>] = &[
    Name::Via,
    Name::From,
    Name::To,
    Name::CallId,
    Name::ContentLength,
    Name::ContentType,
    Name::Authorization,
    Name::ProxyAuthorization,
];

const RING_AGAIN: Duration = Duration::from_secs(60);
