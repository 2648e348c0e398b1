//! Everything an endpoint can tell.

use std::net::SocketAddr;

use crate::{
    flow::Source,
    message::{body::Body, name_addr::NameAddr, status::StatusCode, uri::Uri},
};

/// One INVITE usage, from its first INVITE to its BYE, in either direction (RFC 5057).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InviteId(pub u64);

/// One early dialog of an outgoing INVITE; a fork has several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EarlyId(pub u32);

/// One registration of ours with another registrar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegistrationId(pub u64);

/// A new INVITE from a peer, authenticated or from a trusted network.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// Where it came from.
    pub source: Source,
    /// The dialled URI.
    pub request_uri: Uri,
    /// Calling party.
    pub from: NameAddr,
    /// Called party as the caller wrote it.
    pub to: NameAddr,
    /// Call-ID.
    pub call_id: String,
    /// The user that authenticated, if one did.
    pub user: Option<String>,
    /// The offer; `None` is a late offer: ours goes into [`crate::Invite::accept`].
    pub body: Option<Body>,
    /// All other headers in order, name and value as received.
    pub headers: Vec<(String, String)>,
}

/// A provisional response above 100.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// 101 to 199.
    pub code: StatusCode,
    /// Reason phrase as received.
    pub reason: String,
    /// Which early dialog.
    pub early: EarlyId,
    /// Preview of the answer (RFC 3261 §13.2.1; not final).
    pub body: Option<Body>,
}

/// A 2xx to our INVITE. Already acknowledged, except when it carries an offer to our offerless INVITE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Which dialog; a new one when the 2xx came with a tag that had no provisional response.
    pub early: EarlyId,
    /// The answer; or the offer, which [`crate::Invite::acknowledge`] must answer.
    pub body: Option<Body>,
    /// Whether `body` is an offer.
    pub is_offer: bool,
    /// Where the peer's signaling comes from.
    pub source: SocketAddr,
}

/// Why an INVITE usage is over. The first cause wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// We sent BYE, CANCEL or a final refusal.
    Local,
    /// The peer sent BYE.
    RemoteBye,
    /// The caller sent CANCEL before our answer.
    RemoteCancel,
    /// The callee refused with a final response of 300 or above.
    Rejected,
    /// No (final) response in time, or no ACK to our 2xx.
    Timeout,
    /// The message could not be sent, or its target not be found.
    Unreachable,
}

/// Last event of an INVITE usage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Why.
    pub cause: Cause,
    /// The SIP status that goes with it: the received or sent one; 200 for a BYE, 487 for a CANCEL, 408 for a time-out.
    pub code: StatusCode,
    /// Text of the status line or the Reason header.
    pub reason: String,
}

/// State of a registration of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistrationState {
    /// Bound for so many seconds; refreshed by itself.
    Registered(u32),
    /// Refused or unanswered (408); tried again by itself after a pause unless it was a wrong password (401, 403, 407).
    Failed(StatusCode),
    /// Removed on our request.
    Unregistered,
}

/// A fact from an endpoint.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A peer calls. Answer through [`crate::Endpoint::invite`].
    Incoming(InviteId, Box<Incoming>),
    /// Our INVITE makes progress.
    Progress(InviteId, Progress),
    /// Our INVITE is answered.
    Answered(InviteId, Answered),
    /// The ACK to our 2xx arrived; with the answer, if our 2xx carried the offer.
    Confirmed(InviteId, Option<Body>),
    /// The peer wants to change the session (re-INVITE or UPDATE); `None` asks us for an offer.
    /// Answer with [`crate::Invite::accept_modify`] or [`crate::Invite::refuse_modify`].
    Modify(InviteId, Option<Body>),
    /// The ACK that answers the offer we gave to an offerless re-INVITE.
    ModifyConfirmed(InviteId, Option<Body>),
    /// Our re-INVITE was answered. If it asked for an offer, the body is one, and [`crate::Invite::acknowledge`] must
    /// answer it.
    Modified(InviteId, Option<Body>),
    /// Our re-INVITE was refused; the session is as before. 491 is retried inside and not told, unless the peer makes an
    /// offer before the retry: then this comes right before that [`Event::Modify`].
    ModifyFailed(InviteId, StatusCode),
    /// An INFO of the peer, already answered 200.
    Info(InviteId, Body),
    /// Last event of an INVITE usage, exactly once.
    Ended(InviteId, Box<Ended>),
    /// A user of ours is bound to a new contact.
    Bound(String, Uri),
    /// A contact of a user expired or was removed.
    Unbound(String, Uri),
    /// News of our own registration.
    Registration(RegistrationId, RegistrationState),
}
