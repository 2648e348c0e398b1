//! Dialogs: RFC 3261 §12.

pub(crate) mod id;
pub(crate) mod route_set;

use crate::{
    flow::{FlowId, Source, Transport},
    message::{CSeq, Headers, Method, Name, NameAddr, Request, Response, Uri},
    nat,
    route::{Hop, Origin, Path},
};

use id::DialogId;
use route_set::RouteSet;

/// A peer-to-peer relation of two user agents, as seen from here.
#[derive(Debug, Clone)]
pub(crate) struct Dialog {
    /// What names it.
    pub(crate) id: DialogId,
    /// Our From (or To) with tag.
    pub(crate) local: NameAddr,
    /// The peer's To (or From) with tag.
    pub(crate) remote: NameAddr,
    /// Number of our latest request.
    pub(crate) local_cseq: u32,
    /// Number of the peer's latest request, if it sent one.
    pub(crate) remote_cseq: Option<u32>,
    /// User part of our Contact.
    pub(crate) contact_user: Option<String>,
    target: Uri,
    routes: RouteSet,
    /// The way to the peer that was prescribed when it was called.
    given: Option<Path>,
    /// Where the peer really is, when its Contact cannot be reached.
    pinned: Option<Path>,
    /// Our end of the wire the peer's messages come in by.
    origin: Origin,
}

impl Dialog {
    /// RFC 3261 §12.1.2: the caller's view, made by a response to its INVITE. `given` is the path the INVITE was sent by
    /// when it was prescribed rather than found from its URI.
    pub(crate) fn of_caller(
        request: &Request,
        response: &Response,
        source: &Source,
        given: Option<Path>,
    ) -> Option<Self> {
        let local = request.headers.from().ok()?;
        let remote = response.headers.to().ok()?;
        let mut dialog = Self {
            id: DialogId {
                call_id: request.headers.call_id().ok()?.into(),
                local_tag: local.tag()?.into(),
                remote_tag: remote.tag().unwrap_or_default().into(),
            },
            local_cseq: request.headers.cseq().ok()?.sequence,
            remote_cseq: None,
            contact_user: contact_user(&request.headers),
            target: request.uri.clone(),
            routes: RouteSet::of_caller(response.headers.routes(Name::RecordRoute).ok()?),
            given,
            pinned: None,
            origin: Origin::of(source),
            local,
            remote,
        };
        dialog.follow_response(&response.headers, source);
        Some(dialog)
    }

    /// RFC 3261 §12.1.1: the callee's view, made by the INVITE it received.
    pub(crate) fn of_callee(request: &Request, source: &Source, local_tag: &str) -> Option<Self> {
        let remote = request.headers.from().ok()?;
        let contact = request.headers.contact().ok()?;
        let mut dialog = Self {
            id: DialogId {
                call_id: request.headers.call_id().ok()?.into(),
                local_tag: local_tag.into(),
                remote_tag: remote.tag().unwrap_or_default().into(),
            },
            local: request.headers.to().ok()?.with_tag(local_tag),
            remote,
            local_cseq: 0,
            remote_cseq: Some(request.headers.cseq().ok()?.sequence),
            contact_user: request.uri.user_unescaped().map(Into::into),
            target: contact.uri,
            routes: RouteSet::of_callee(request.headers.routes(Name::RecordRoute).ok()?),
            given: None,
            pinned: None,
            origin: Origin::of(source),
        };
        dialog.follow_request(&request.headers, source);
        Some(dialog)
    }

    /// RFC 3261 §12.2.2: a request of the peer moves its target.
    pub(crate) fn follow_request(&mut self, headers: &Headers, source: &Source) {
        self.follow(headers, source);
        // With more than one Via the source is a proxy, and says nothing about where the peer is.
        let direct = headers.values(Name::Via).count() == 1;
        let hidden = direct && headers.via().is_ok_and(|via| nat::is_behind_nat(&self.target, &via, source));
        // A public Contact other than the source is meant as it is.
        let own = self.target.host.ip().is_some_and(|ip| nat::is_private(ip) || ip == source.remote.ip());
        self.pin(source, hidden && own);
    }

    /// RFC 3261 §12.2.1.2: a response of the peer moves its target.
    pub(crate) fn follow_response(&mut self, headers: &Headers, source: &Source) {
        self.follow(headers, source);
        let hidden =
            self.target.host.ip().is_some_and(nat::is_private) && !nat::is_private(source.remote.ip());
        self.pin(source, hidden);
    }

    fn follow(&mut self, headers: &Headers, source: &Source) {
        if let Ok(contact) = headers.contact() {
            self.target = contact.uri;
        }
        self.origin = Origin::of(source);
    }

    fn pin(&mut self, source: &Source, hidden: bool) {
        self.pinned = if !self.routes.is_empty() {
            None
        } else if self.given.is_some() {
            self.given
        } else if hidden || source.transport == Transport::Tcp && self.speaks_tcp() {
            Some(Path::back_to(source))
        } else {
            None
        };
    }

    /// Where our next request goes.
    pub(crate) fn hop(&self) -> Hop {
        match self.pinned {
            Some(path) => Hop::Path(path),
            None => Hop::Uri(Box::new(self.routes.next_hop(&self.target).clone()), Some(self.origin)),
        }
    }

    /// A new request of ours in this dialog, next in sequence.
    pub(crate) fn request(&mut self, method: Method) -> Request {
        self.local_cseq = self.local_cseq.wrapping_add(1) & 0x7fff_ffff;
        self.numbered(method, self.local_cseq)
    }

    /// RFC 3261 §13.2.2.4: the ACK of a 2xx has the number of its INVITE.
    pub(crate) fn ack(&self, number: u32) -> Request {
        self.numbered(Method::Ack, number)
    }

    /// RFC 3261 §12.2.2: whether a request of the peer with this number is in order; remembers it if so.
    pub(crate) fn accept_cseq(&mut self, number: u32) -> bool {
        let in_order = self.remote_cseq.is_none_or(|last| number > last);
        if in_order {
            self.remote_cseq = Some(number);
        }
        in_order
    }

    /// The flow is gone; what was pinned to it has to find another way.
    pub(crate) fn forget_flow(&mut self, flow: FlowId) {
        if let Some(path) = &mut self.given
            && path.flow == Some(flow)
        {
            path.flow = None;
        }
        if self.pinned.is_some_and(|path| path.flow == Some(flow)) {
            self.pinned = self.given;
        }
    }

    // RFC 5923: a peer that can be reached by TCP is reached by the connection it has opened.
    fn speaks_tcp(&self) -> bool {
        self.target.transport().is_some_and(|transport| transport.eq_ignore_ascii_case("tcp"))
    }

    /// The wire the peer's messages come in by.
    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    fn numbered(&self, method: Method, number: u32) -> Request {
        let mut request = Request::new(method.clone(), self.target.clone());
        request.headers.push(Name::MaxForwards, "70");
        self.routes.apply(&self.target, &mut request);
        request.headers.push(Name::From, self.local.to_string());
        request.headers.push(Name::To, self.remote.to_string());
        request.headers.push(Name::CallId, self.id.call_id.clone());
        request.headers.push(Name::CSeq, CSeq::new(number, method).to_string());
        request
    }
}

fn contact_user(headers: &Headers) -> Option<String> {
    let contact = headers.contact().ok()?;
    contact.uri.user_unescaped().map(Into::into)
}
