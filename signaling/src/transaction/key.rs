//! What makes messages belong to one transaction.

use crate::message::{Method, Request, Response, header::via::MAGIC_COOKIE};

/// RFC 3261 §17.1.3: a response belongs to the request with its branch and method.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ClientKey {
    /// Branch of the topmost Via, which is ours.
    pub(crate) branch: String,
    /// Method of the CSeq.
    pub(crate) method: Method,
}

impl ClientKey {
    /// The key of a response.
    pub(crate) fn of(response: &Response) -> Option<Self> {
        let branch = response.headers.via().ok()?.branch()?.to_owned();
        let method = response.headers.cseq().ok()?.method;
        Some(Self { branch, method })
    }
}

/// RFC 3261 §17.2.3: a request belongs to the one before it with its branch, sender and method; ACK counts as INVITE.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ServerKey {
    branch: String,
    sent_by: String,
    method: Method,
}

impl ServerKey {
    /// The key of a request.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        let method = if request.method == Method::Ack { Method::Invite } else { request.method.clone() };
        Self::with_method(request, method)
    }

    /// The key of the INVITE that a CANCEL means.
    pub(crate) fn of_cancelled(request: &Request) -> Option<Self> {
        Self::with_method(request, Method::Invite)
    }

    fn with_method(request: &Request, method: Method) -> Option<Self> {
        let via = request.headers.via().ok()?;
        let sent_by = via.sent_by().to_ascii_lowercase();
        let branch = match via.branch() {
            Some(branch) if branch.starts_with(MAGIC_COOKIE) => branch.to_owned(),
            // RFC 2543 knows no unique branches. The To tag is left out: an ACK has the one we gave, its INVITE has none.
            other => format!(
                "{} {} {} {} {}",
                other.unwrap_or_default(),
                request.uri,
                request.headers.from_tag().unwrap_or_default(),
                request.headers.call_id().ok()?,
                request.headers.cseq().ok()?.sequence,
            ),
        };
        Some(Self { branch, sent_by, method })
    }
}
