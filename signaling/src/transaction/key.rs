//! What makes messages belong to one transaction.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::message::{Method, Name, Request, Response, header::via::MAGIC_COOKIE};

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
/// Kept as a fingerprint: every request received leaves one behind for half a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ServerKey(Fingerprint);

impl ServerKey {
    /// The key of a request.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        let method = if request.method == Method::Ack { &Method::Invite } else { &request.method };
        Self::with_method(request, method)
    }

    /// The key of the INVITE that a CANCEL means.
    pub(crate) fn of_cancelled(request: &Request) -> Option<Self> {
        Self::with_method(request, &Method::Invite)
    }

    fn with_method(request: &Request, method: &Method) -> Option<Self> {
        let headers = &request.headers;
        let via = headers.via().ok()?;
        let (method, sent_by) = (method.as_str(), via.sent_by().to_ascii_lowercase());
        let fingerprint = match via.branch() {
            Some(branch) if branch.starts_with(MAGIC_COOKIE) => Fingerprint::of(&[method, &sent_by, branch]),
            // RFC 2543 knows no unique branches. The To tag is left out: an ACK has the one we gave, its INVITE has none.
            other => Fingerprint::of(&[
                method,
                &sent_by,
                other.unwrap_or_default(),
                &request.uri.to_string(),
                headers.from_tag().unwrap_or_default(),
                headers.call_id().ok()?,
                &headers.cseq().ok()?.sequence.to_string(),
            ]),
        };
        Some(Self(fingerprint))
    }
}

/// RFC 3261 §8.2.2.2: what a request that comes twice by different ways has in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct MergeKey(Fingerprint);

impl MergeKey {
    /// The key of a request.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        let headers = &request.headers;
        Some(Self(Fingerprint::of(&[headers.from_tag()?, headers.get(Name::CSeq)?, headers.call_id().ok()?])))
    }
}

/// Stands for a few strings; that two different lists share one is as unlikely as a wrong bit in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Fingerprint(u64, u64);

impl Fingerprint {
    fn of(parts: &[&str]) -> Self {
        let (mut one, mut two) = (DefaultHasher::new(), DefaultHasher::new());
        two.write_u8(1);
        for part in parts {
            part.hash(&mut one);
            part.hash(&mut two);
        }
        Self(one.finish(), two.finish())
    }
}
