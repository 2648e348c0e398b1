//! The INVITE usage of a dialog (RFC 5057), from first INVITE to BYE, in both directions.
//!
//! A usage is in one `Phase` at a time; each phase has its file: `outgoing` until our INVITE is answered,
//! `incoming` until we answer, `established` while there is a session, `leaving` until the BYE is through.

mod credentials;
mod established;
mod incoming;
mod info;
mod leaving;
mod modify;
mod outgoing;
mod turns;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{
    endpoint::{
        Endpoint,
        core::{ClientId, Core, Outcome, ServerId},
        timers::Armed,
    },
    error::InviteError,
    event::{Cause, Ended, Event, InviteId},
    flow::{FlowId, Source, Transport},
    message::{Body, Method, Name, NameAddr, Request, Response, StatusCode, Uri, header::reason::Reason},
    transaction::timers::Deadline,
};

use credentials::Credentials;
use established::Established;
use incoming::Offered;
use leaving::Leaving;
use outgoing::Calling;

/// An INVITE to be sent.
#[derive(Clone)]
pub struct Outgoing {
    /// Request-URI, and To unless given.
    pub target: Uri,
    /// Calling party; its tag is ours to choose. The user part also goes into our Contact.
    pub from: NameAddr,
    /// Called party, if it is to differ from `target`.
    pub to: Option<NameAddr>,
    /// Send there whatever the target says: an outbound proxy, or the address a registered phone was seen at.
    pub destination: Option<(Transport, SocketAddr)>,
    /// Send through this association while it is open; goes with `destination`.
    pub flow: Option<FlowId>,
    /// Name and password for digest authentication.
    pub credentials: Option<(String, String)>,
    /// The offer; `None` leaves it to the peer (late offer).
    pub body: Option<Body>,
    /// Further headers, name and value. Those that make up the transaction and the dialog are not overridden.
    pub headers: Vec<(String, String)>,
    /// Overrides [`crate::Config::ring_timeout`].
    pub ring_timeout: Option<Duration>,
}

impl Outgoing {
    /// A call without offer, credentials and further headers.
    #[must_use]
    pub fn new(target: Uri, from: NameAddr) -> Self {
        Self {
            target,
            from,
            to: None,
            destination: None,
            flow: None,
            credentials: None,
            body: None,
            headers: Vec::new(),
            ring_timeout: None,
        }
    }
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing")
            .field("target", &self.target.to_string())
            .field("from", &self.from.to_string())
            .field("destination", &self.destination)
            .field("offer", &self.body.is_some())
            .field("authenticated", &self.credentials.is_some())
            .finish_non_exhaustive()
    }
}

/// Who sent the first INVITE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The peer called.
    Incoming,
    /// We called.
    Outgoing,
}

/// A running INVITE usage, borrowed from its [`Endpoint`] to be asked or told something.
pub struct Invite<'a> {
    pub(crate) endpoint: &'a mut Endpoint,
    pub(crate) id: InviteId,
    pub(crate) direction: Direction,
}

impl Invite<'_> {
    /// Sends a provisional response above 100; with a body it is early media (RFC 3960).
    ///
    /// # Errors
    /// `WrongState` unless incoming and unanswered, for a code outside 101 to 199, and for a body without an offer: an
    /// offer of ours needs a reliable response.
    pub fn ring(&mut self, now: Instant, status: StatusCode, body: Option<Body>) -> Result<(), InviteError> {
        self.with(now, |usage, core| usage.ring(now, core, status, body))
    }

    /// Answers with 200. The body is the answer, or the offer if the INVITE had none.
    ///
    /// # Errors
    /// `WrongState` unless incoming and unanswered.
    pub fn accept(&mut self, now: Instant, body: Body) -> Result<(), InviteError> {
        self.with(now, |usage, core| usage.accept(now, core, body))
    }

    /// Refuses with 300 to 699 and, if given, other words than the usual ones.
    ///
    /// # Errors
    /// `WrongState` unless incoming and unanswered, and for other codes.
    pub fn reject(
        &mut self,
        now: Instant,
        status: StatusCode,
        reason: Option<String>,
    ) -> Result<(), InviteError> {
        self.with(now, |usage, core| usage.reject(now, core, status, reason, &[]))
    }

    /// Refuses with 300 to 399 and names where else to try.
    ///
    /// # Errors
    /// `WrongState` unless incoming and unanswered, and for other codes.
    pub fn redirect(
        &mut self,
        now: Instant,
        status: StatusCode,
        contacts: &[NameAddr],
    ) -> Result<(), InviteError> {
        if !status.is_redirection() {
            return Err(InviteError::WrongState);
        }
        self.with(now, |usage, core| usage.reject(now, core, status, None, contacts))
    }

    /// Answers the offer that came in a 2xx to our offerless INVITE or re-INVITE. Without a body the 2xx is acknowledged
    /// all the same, which only makes sense when [`Invite::hang_up`] follows.
    ///
    /// # Errors
    /// `WrongState` unless such an offer waits.
    pub fn acknowledge(&mut self, now: Instant, body: Option<Body>) -> Result<(), InviteError> {
        self.with(now, |usage, core| usage.acknowledge(core, body))
    }

    /// Sends a re-INVITE with this offer, or one that asks for an offer. It waits while an ACK or the pause after a 491
    /// is due; should the peer make an offer meanwhile, it fails with 491 before that offer is told.
    ///
    /// # Errors
    /// `WrongState` before the answer, `OfferPending` while either side owes an answer.
    pub fn modify(&mut self, now: Instant, body: Option<Body>) -> Result<(), InviteError> {
        self.with(now, |usage, core| usage.modify(now, core, body))
    }

    /// Agrees to [`Event::Modify`]. The body is the answer, or the offer if we were asked for one.
    ///
    /// # Errors
    /// `WrongState` unless the peer waits for it.
    pub fn accept_modify(&mut self, now: Instant, body: Body) -> Result<(), InviteError> {
        self.with(now, |usage, core| usage.accept_modify(now, core, body))
    }

    /// Refuses [`Event::Modify`]; the session stays as it is.
    ///
    /// # Errors
    /// `WrongState` unless the peer waits for it, and for a status below 300.
    pub fn refuse_modify(&mut self, now: Instant, status: StatusCode) -> Result<(), InviteError> {
        self.with(now, |usage, core| usage.refuse_modify(now, core, status))
    }

    /// Sends an INFO (RFC 6086), such as a DTMF digit.
    ///
    /// # Errors
    /// `WrongState` before the answer.
    pub fn info(&mut self, now: Instant, body: Body) -> Result<(), InviteError> {
        self.with(now, |usage, core| usage.info(now, core, body))
    }

    /// Ends it: CANCEL, BYE or a refusal, whatever the state asks for. [`Event::Ended`] follows at once; what the peer
    /// still has to be told is done in the background. A cause goes into the Reason header (RFC 3326), or is the code of
    /// the refusal (603 after ringing and 480 before it, if not given).
    ///
    /// # Errors
    /// `Gone` if it has ended before.
    pub fn hang_up(&mut self, now: Instant, cause: Option<StatusCode>) -> Result<(), InviteError> {
        self.with(now, |usage, core| usage.hang_up(now, core, cause))
    }

    /// Who sent the first INVITE.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Call-ID; empty once it has ended.
    #[must_use]
    pub fn call_id(&self) -> &str {
        self.usage().map_or("", |usage| &usage.call_id)
    }

    /// The other party: To of an outgoing, From of an incoming INVITE; `None` once it has ended.
    #[must_use]
    pub fn remote(&self) -> Option<&NameAddr> {
        self.usage().map(|usage| &usage.remote)
    }

    fn usage(&self) -> Option<&Usage> {
        self.endpoint.usages.get(&self.id)
    }

    fn with(
        &mut self,
        now: Instant,
        command: impl FnOnce(&mut Usage, &mut Core) -> Result<(), InviteError>,
    ) -> Result<(), InviteError> {
        let Endpoint { usages, core, .. } = &mut *self.endpoint;
        let usage = usages.get_mut(&self.id).filter(|usage| !usage.ended).ok_or(InviteError::Gone)?;
        let result = command(usage, core);
        self.endpoint.settle(self.id);
        self.endpoint.drain(now);
        result
    }
}

/// All that is known about one INVITE usage.
#[derive(Debug)]
pub(crate) struct Usage {
    id: InviteId,
    pub(crate) direction: Direction,
    call_id: String,
    /// Our tag; names the usage among the requests of peers.
    pub(crate) local_tag: String,
    remote: NameAddr,
    phase: Phase,
    credentials: Option<Credentials>,
    /// Whether [`Event::Ended`] was told; what follows is between us and the peer.
    pub(crate) ended: bool,
    pub(crate) armed: Armed,
}

#[derive(Debug)]
enum Phase {
    /// Our INVITE has no final response.
    Calling(Box<Calling>),
    /// The peer's INVITE has none.
    Offered(Box<Offered>),
    /// Answered.
    Established(Box<Established>),
    /// We want out; the peer does not know yet.
    Leaving(Box<Leaving>),
    /// Nothing is left to do.
    Over,
}

impl Usage {
    /// News of a request of ours. `false` if it is of no interest here any more.
    pub(crate) fn on_outcome(
        &mut self,
        now: Instant,
        core: &mut Core,
        client: ClientId,
        method: &Method,
        outcome: &Outcome,
    ) -> bool {
        match &mut self.phase {
            Phase::Calling(calling) if calling.client == client => {
                self.on_calling_outcome(now, core, outcome)
            }
            Phase::Established(_) => self.on_established_outcome(now, core, client, method, outcome),
            Phase::Leaving(_) if *method == Method::Bye => self.on_bye_outcome(now, core, client, outcome),
            Phase::Calling(_) | Phase::Offered(_) | Phase::Leaving(_) | Phase::Over => false,
        }
    }

    /// A request of the peer in one of our dialogs, other than ACK and CANCEL.
    pub(crate) fn on_request(
        &mut self,
        now: Instant,
        core: &mut Core,
        server: ServerId,
        request: &Request,
        source: &Source,
    ) {
        match &mut self.phase {
            Phase::Calling(_) => self.on_request_while_calling(now, core, server, request),
            Phase::Offered(_) => self.on_request_while_offered(now, core, server, request),
            Phase::Established(_) => self.on_request_while_established(now, core, server, request, source),
            Phase::Leaving(_) => self.on_request_while_leaving(now, core, server, request),
            Phase::Over => self.answer(now, core, server, StatusCode::CALL_DOES_NOT_EXIST),
        }
    }

    /// Something is due.
    pub(crate) fn on_due(&mut self, now: Instant, core: &mut Core) {
        self.armed.fired();
        match &mut self.phase {
            Phase::Calling(_) => self.on_calling_due(now, core),
            Phase::Offered(offered) => offered.on_due(now, core),
            Phase::Established(_) => self.on_established_due(now, core),
            Phase::Leaving(_) => self.on_leaving_due(now, core),
            Phase::Over => {}
        }
    }

    /// Call-ID.
    pub(crate) fn call_id(&self) -> &str {
        &self.call_id
    }

    /// When something is due next.
    pub(crate) fn deadline(&self) -> Option<Deadline> {
        match &self.phase {
            Phase::Calling(calling) => calling.deadline(),
            Phase::Offered(offered) => offered.deadline(),
            Phase::Established(established) => established.deadline(),
            Phase::Leaving(leaving) => leaving.deadline(),
            Phase::Over => None,
        }
    }

    /// Whether it can be forgotten.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Dialogs it holds.
    pub(crate) fn dialogs(&self) -> usize {
        match &self.phase {
            Phase::Calling(calling) => calling.early.len(),
            Phase::Offered(_) | Phase::Established(_) | Phase::Leaving(_) => 1,
            Phase::Over => 0,
        }
    }

    /// A connection is gone.
    pub(crate) fn forget_flow(&mut self, flow: FlowId) {
        match &mut self.phase {
            Phase::Calling(calling) => {
                calling.early.iter_mut().for_each(|early| early.dialog.forget_flow(flow))
            }
            Phase::Offered(offered) => offered.dialog.forget_flow(flow),
            Phase::Established(established) => established.dialog.forget_flow(flow),
            Phase::Leaving(leaving) => leaving.dialog.forget_flow(flow),
            Phase::Over => {}
        }
    }

    fn hang_up(
        &mut self,
        now: Instant,
        core: &mut Core,
        cause: Option<StatusCode>,
    ) -> Result<(), InviteError> {
        let reason = cause.map(|cause| Reason::sip(cause.code(), cause.phrase()).to_string());
        match &mut self.phase {
            Phase::Calling(_) => {
                self.end(core, Cause::Local, StatusCode::REQUEST_TERMINATED, String::new());
                self.give_up_calling(now, core, reason);
                Ok(())
            }
            Phase::Offered(offered) => {
                let usual = if offered.has_rung() {
                    StatusCode::DECLINE
                } else {
                    StatusCode::TEMPORARILY_UNAVAILABLE
                };
                let status = cause.filter(|cause| cause.code() >= 300).unwrap_or(usual);
                self.reject(now, core, status, None, &[])
            }
            Phase::Established(_) => {
                self.end(core, Cause::Local, StatusCode::OK, String::new());
                self.leave(now, core, reason);
                Ok(())
            }
            Phase::Leaving(_) | Phase::Over => Err(InviteError::Gone),
        }
    }

    /// Tells the end, the first time.
    fn end(&mut self, core: &mut Core, cause: Cause, code: StatusCode, reason: String) {
        if self.ended {
            return;
        }
        self.ended = true;
        let reason = if reason.is_empty() { code.phrase().into() } else { reason };
        core.events.push_back(Event::Ended(self.id, Box::new(Ended { cause, code, reason })));
    }

    /// Tells something, unless the end was told.
    fn tell(&self, core: &mut Core, event: Event) {
        if !self.ended {
            core.events.push_back(event);
        }
    }

    /// Answers a request of the peer in the simplest way.
    fn answer(&self, now: Instant, core: &mut Core, server: ServerId, status: StatusCode) {
        if let Some(mut response) = core.reply(server, status, &self.local_tag) {
            if status == StatusCode::METHOD_NOT_ALLOWED || status == StatusCode::OK {
                response.headers.push(Name::Allow, core.allow());
            }
            core.respond(now, server, &response);
        }
    }

    /// RFC 3261 §14.2: the peer was too quick; it is told to come again within 10 seconds.
    fn answer_later(&self, now: Instant, core: &mut Core, server: ServerId) {
        if let Some(mut response) = core.reply(server, StatusCode::SERVER_INTERNAL_ERROR, &self.local_tag) {
            response.headers.push(Name::RetryAfter, core.random.below(11).to_string());
            core.respond(now, server, &response);
        }
    }
}

/// What a response says in words: its Reason header if it has one, its status line otherwise.
fn words(response: &Response) -> String {
    response.headers.reason().and_then(|reason| reason.text).unwrap_or_else(|| response.reason.to_string())
}

/// What a BYE or CANCEL says in words.
fn words_of(request: &Request) -> String {
    request.headers.reason().and_then(|reason| reason.text).unwrap_or_default()
}
