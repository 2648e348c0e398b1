//! Our INVITE until it is answered: early dialogs, challenges, CANCEL and its races.

use std::time::{Duration, Instant};

use crate::{
    dialog::Dialog,
    endpoint::{
        client::Departure,
        core::{ClientId, Core, Outcome, Owner, ServerId},
        timers::Armed,
    },
    event::{Answered, Cause, EarlyId, Event, InviteId, Progress},
    flow::Source,
    message::{Body, CSeq, Method, Name, NameAddr, Request, Response, StatusCode},
    route::{Hop, Path, Target},
    transaction::{Class, timers::Deadline},
};

use super::{Credentials, Direction, Outgoing, Phase, Usage, established::Established, turns::Turns, words};

/// Our INVITE without final response.
#[derive(Debug)]
pub(super) struct Calling {
    /// Its latest transaction; a challenge makes another one.
    pub(super) client: ClientId,
    /// One per To tag seen.
    pub(super) early: Vec<Early>,
    hop: Hop,
    offered: bool,
    /// Whether the latest transaction has a provisional response, so that it may be cancelled (RFC 3261 §9.1).
    heard: bool,
    ring_timeout: Duration,
    ring_until: Option<Instant>,
    cancel: Cancel,
}

/// One early dialog; a forked INVITE has several.
#[derive(Debug)]
pub(super) struct Early {
    pub(super) dialog: Dialog,
    id: EarlyId,
    /// Latest preview of the answer.
    preview: Option<Body>,
}

#[derive(Debug)]
enum Cancel {
    No,
    /// As soon as there is a provisional response; with this Reason.
    Due(Option<String>),
    Sent,
}

impl Usage {
    /// Sends an INVITE.
    pub(crate) fn dial(now: Instant, core: &mut Core, id: InviteId, outgoing: Outgoing) -> Self {
        let (local_tag, call_id) = (core.random.tag(), core.random.call_id());
        let mut from = outgoing.from;
        from.params.remove("tag");
        let contact_user = from.uri.user_unescaped().map(Into::into);
        let mut remote = outgoing.to.unwrap_or_else(|| NameAddr::new(outgoing.target.clone()));
        remote.params.remove("tag");
        let mut request = Request::new(Method::Invite, outgoing.target);
        let headers = &mut request.headers;
        headers.push(Name::MaxForwards, "70");
        headers.push(Name::From, from.with_tag(&local_tag).to_string());
        headers.push(Name::To, remote.to_string());
        headers.push(Name::CallId, call_id.clone());
        headers.push(Name::CSeq, CSeq::new(core.random.below(1 << 15) + 1, Method::Invite).to_string());
        headers.push(Name::Allow, core.allow());
        for (name, value) in outgoing.headers {
            let name = Name::from(name.as_str());
            if name == Name::MaxForwards {
                headers.set(name, value);
            } else if !OWN.contains(&name) {
                headers.push(name, value);
            }
        }
        let offered = outgoing.body.is_some();
        request.set_content(outgoing.body);
        let hop = match outgoing.destination {
            Some((transport, address)) => {
                Hop::Path(Path { flow: outgoing.flow, local: None, target: Target { transport, address } })
            }
            // RFC 3261 §8.1.2: a Route that was given decides, otherwise the Request-URI.
            None => {
                let route =
                    request.headers.routes(Name::Route).ok().and_then(|routes| routes.into_iter().next());
                Hop::Uri(Box::new(route.map_or_else(|| request.uri.clone(), |route| route.uri)), None)
            }
        };
        let owner = Owner::Invite(id);
        let client = core.send(now, Departure { request, hop: hop.clone(), owner, contact_user });
        let calling = Calling {
            client,
            early: Vec::new(),
            hop,
            offered,
            heard: false,
            ring_timeout: outgoing.ring_timeout.unwrap_or(core.config.ring_timeout),
            ring_until: None,
            cancel: Cancel::No,
        };
        Self {
            id,
            direction: Direction::Outgoing,
            call_id,
            local_tag,
            remote,
            phase: Phase::Calling(Box::new(calling)),
            credentials: outgoing.credentials.map(|(user, password)| Credentials::new(user, password)),
            ended: false,
            armed: Armed::default(),
        }
    }

    pub(super) fn on_calling_outcome(&mut self, now: Instant, core: &mut Core, outcome: &Outcome) -> bool {
        match outcome {
            Outcome::Response(response, source) => match Class::of(response.status) {
                Class::Provisional => self.on_progress(now, core, response, source),
                Class::Success => return self.on_answer(now, core, response, source),
                Class::Failure => self.on_refusal(now, core, response),
            },
            Outcome::TimedOut => {
                self.end(core, Cause::Timeout, StatusCode::REQUEST_TIMEOUT, String::new());
                self.phase = Phase::Over;
            }
            Outcome::Unreachable => {
                self.end(core, Cause::Unreachable, StatusCode::SERVICE_UNAVAILABLE, "Unreachable".into());
                self.phase = Phase::Over;
            }
        }
        true
    }

    fn on_progress(&mut self, now: Instant, core: &mut Core, response: &Response, source: &Source) {
        let Phase::Calling(calling) = &mut self.phase else { return };
        calling.heard = true;
        if !self.ended {
            calling.ring_until.get_or_insert(now + calling.ring_timeout);
        }
        if let Cancel::Due(reason) = &mut calling.cancel {
            let reason = reason.take();
            calling.cancel = Cancel::Sent;
            core.cancel(now, calling.client, reason);
        }
        if response.status == StatusCode::TRYING || self.ended {
            return;
        }
        let Some(early) = calling.early_dialog(core, response, source) else { return };
        let body = response.content();
        if body.is_some() {
            early.preview.clone_from(&body);
        }
        let progress =
            Progress { code: response.status, reason: response.reason.to_string(), early: early.id, body };
        self.tell(core, Event::Progress(self.id, progress));
    }

    fn on_answer(&mut self, now: Instant, core: &mut Core, response: &Response, source: &Source) -> bool {
        let Phase::Calling(calling) = std::mem::replace(&mut self.phase, Phase::Over) else { return false };
        let Calling { client, early, hop, offered, .. } = *calling;
        let dialog =
            core.sent(client).and_then(|sent| Dialog::of_caller(sent, response, source, hop.given()));
        let Some(mut dialog) = dialog else {
            // Nobody can be acknowledged here; the peer will give up by itself.
            self.end(core, Cause::Rejected, StatusCode::BAD_GATEWAY, "Unusable answer".into());
            return true;
        };
        if let Some(credentials) = &mut self.credentials {
            credentials.succeed();
        }
        let sequence = dialog.local_cseq;
        let next_early = EarlyId(u32::try_from(early.len()).unwrap_or(u32::MAX));
        let before = early.into_iter().find(|early| early.dialog.id.remote_tag == dialog.id.remote_tag);
        if let Some(before) = &before {
            dialog.remote_cseq = before.dialog.remote_cseq;
        }
        let (early, preview) = before.map_or((next_early, None), |before| (before.id, before.preview));
        if self.ended {
            // RFC 3261 §9.1: the answer crossed our CANCEL, so there is a session, and it has to be ended.
            core.acknowledge(client, &dialog, dialog.ack(sequence));
            self.phase = Phase::Established(Box::new(Established::new(dialog, Turns::Idle)));
            self.leave(now, core, None);
            return true;
        }
        self.remote = dialog.remote.clone();
        let body = response.content();
        let late = !offered && body.is_some();
        let mut established = Established::new(dialog, if late { Turns::WeOwe } else { Turns::Idle });
        if late {
            established.acknowledge_later(core, client, sequence);
        } else {
            core.acknowledge(client, &established.dialog, established.dialog.ack(sequence));
        }
        self.phase = Phase::Established(Box::new(established));
        // Some peers put the answer into an 18x only.
        let body = body.or(preview.filter(|_| offered));
        let answered = Answered { early, body, is_offer: late, source: source.remote };
        self.tell(core, Event::Answered(self.id, answered));
        true
    }

    fn on_refusal(&mut self, now: Instant, core: &mut Core, response: &Response) {
        if !self.ended && is_challenge(response.status) && self.try_again(now, core, response) {
            return;
        }
        self.end(core, Cause::Rejected, response.status, words(response));
        self.phase = Phase::Over;
    }

    // RFC 3261 §22.2: the same request once more, next in sequence, with an answer to the challenge.
    fn try_again(&mut self, now: Instant, core: &mut Core, response: &Response) -> bool {
        let Phase::Calling(calling) = &mut self.phase else { return false };
        let Some(credentials) = &mut self.credentials else { return false };
        if !credentials.learn(response) {
            return false;
        }
        let Some(mut request) = core.sent(calling.client).cloned() else { return false };
        let Ok(cseq) = request.headers.cseq() else { return false };
        let sequence = cseq.sequence.wrapping_add(1) & 0x7fff_ffff;
        request.headers.set(Name::CSeq, CSeq::new(sequence, Method::Invite).to_string());
        credentials.attach(&mut request, &mut core.random);
        let contact_user =
            request.headers.contact().ok().and_then(|contact| contact.uri.user_unescaped().map(Into::into));
        let departure =
            Departure { request, hop: calling.hop.clone(), owner: Owner::Invite(self.id), contact_user };
        calling.client = core.send(now, departure);
        calling.heard = false;
        calling.early.clear();
        true
    }

    /// Nobody wants the answer any more; the end was told.
    pub(super) fn give_up_calling(&mut self, now: Instant, core: &mut Core, reason: Option<String>) {
        let Phase::Calling(calling) = &mut self.phase else { return };
        if core.is_seeking(calling.client) {
            core.abandon(calling.client);
            self.phase = Phase::Over;
            return;
        }
        calling.ring_until = None;
        if calling.heard {
            calling.cancel = Cancel::Sent;
            core.cancel(now, calling.client, reason);
        } else {
            calling.cancel = Cancel::Due(reason);
        }
    }

    pub(super) fn on_calling_due(&mut self, now: Instant, core: &mut Core) {
        let Phase::Calling(calling) = &self.phase else { return };
        if calling.ring_until.is_some_and(|until| now >= until) {
            self.end(core, Cause::Timeout, StatusCode::REQUEST_TIMEOUT, String::new());
            self.give_up_calling(now, core, None);
        }
    }

    pub(super) fn on_request_while_calling(
        &mut self,
        now: Instant,
        core: &mut Core,
        server: ServerId,
        request: &Request,
    ) {
        let Phase::Calling(calling) = &mut self.phase else { return };
        let tag = request.headers.from_tag().unwrap_or_default();
        let Some(early) = calling.early.iter_mut().find(|early| early.dialog.id.remote_tag == tag) else {
            // It may have overtaken the response that makes its dialog.
            self.answer_later(now, core, server);
            return;
        };
        let in_order = request.headers.cseq().is_ok_and(|cseq| early.dialog.accept_cseq(cseq.sequence));
        self.answer_early(now, core, server, request, in_order);
    }

    /// Requests inside an early dialog, whoever called.
    pub(super) fn answer_early(
        &mut self,
        now: Instant,
        core: &mut Core,
        server: ServerId,
        request: &Request,
        in_order: bool,
    ) {
        if !in_order {
            self.answer(now, core, server, StatusCode::SERVER_INTERNAL_ERROR);
            return;
        }
        match request.method {
            Method::Info => self.on_info(now, core, server, request),
            Method::Options => self.answer(now, core, server, StatusCode::OK),
            // RFC 3311 §5.2: our offer (or theirs) has no reliable answer yet.
            Method::Update if request.body.is_empty() => self.answer(now, core, server, StatusCode::OK),
            Method::Update => self.answer(now, core, server, StatusCode::REQUEST_PENDING),
            Method::Invite => self.answer_later(now, core, server),
            Method::Bye | Method::Prack => self.answer(now, core, server, StatusCode::CALL_DOES_NOT_EXIST),
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
}

impl Calling {
    pub(super) fn deadline(&self) -> Option<Deadline> {
        self.ring_until.map(|at| (at, "ringing too long"))
    }

    fn early_dialog(&mut self, core: &Core, response: &Response, source: &Source) -> Option<&mut Early> {
        let tag = response.headers.to_tag().unwrap_or_default();
        let given = self.hop.given();
        match self.early.iter().position(|early| early.dialog.id.remote_tag == tag) {
            Some(at) => {
                let early = self.early.get_mut(at)?;
                early.dialog.follow_response(&response.headers, source);
                Some(early)
            }
            None if self.early.len() < MAX_EARLY => {
                let dialog = Dialog::of_caller(core.sent(self.client)?, response, source, given)?;
                let id = EarlyId(u32::try_from(self.early.len()).ok()?);
                self.early.push(Early { dialog, id, preview: None });
                self.early.last_mut()
            }
            None => None,
        }
    }
}

/// Whether a refusal asks for credentials.
pub(super) fn is_challenge(status: StatusCode) -> bool {
    status == StatusCode::UNAUTHORIZED || status == StatusCode::PROXY_AUTHENTICATION_REQUIRED
}

/// Headers that callers of [`Usage::dial`] cannot set.
const OWN: &[Name<'static>] = &[
    Name::Via,
    Name::From,
    Name::To,
    Name::CallId,
    Name::CSeq,
    Name::Contact,
    Name::ContentLength,
    Name::ContentType,
    Name::RecordRoute,
    Name::Authorization,
    Name::ProxyAuthorization,
    Name::UserAgent,
];

/// Early dialogs one INVITE may have.
const MAX_EARLY: usize = 32;
