//! What comes in: RFC 3261 §8.2, from the first look at a message to the usage it belongs to.

use std::{net::IpAddr, time::Instant};

use bytes::Bytes;

use crate::{
    auth::Verdict,
    event::InviteId,
    flow::Source,
    invite::Usage,
    message::{Message, Method, Name, ParseError, Problem, Request, Scheme, StatusCode},
    nat,
};

use super::{
    Endpoint,
    core::ServerId,
    server::{Arrival, response_path},
};

impl Endpoint {
    pub(super) fn on_message(&mut self, now: Instant, source: &Source, bytes: &Bytes) {
        if bytes.len() > self.core.config.max_message {
            self.core.dropped += 1;
            return;
        }
        match Message::parse(bytes) {
            Ok(Message::Response(response)) => self.core.on_response(now, source, response),
            Ok(Message::Request(request)) => self.on_request(now, source, request),
            Err(error) => self.on_garbage(source, &error),
        }
    }

    /// What cannot be read is refused if its sender can be told, and dropped otherwise.
    fn on_garbage(&mut self, source: &Source, error: &ParseError) {
        if error.problem == Problem::Empty {
            return;
        }
        self.core.dropped += 1;
        let Some(answer) = error.answerable() else { return };
        let mut answer = answer.clone();
        let Ok(mut via) = answer.headers.via() else { return };
        nat::note_source(&mut via, source.remote);
        answer.headers.set_via(&via);
        let path = response_path(&answer.headers, source);
        self.core.transmit(&path, answer.to_bytes());
    }

    fn on_request(&mut self, now: Instant, source: &Source, mut request: Request) {
        if let Ok(mut via) = request.headers.via()
            && nat::note_source(&mut via, source.remote)
        {
            request.headers.set_via(&via);
        }
        match self.core.match_request(now, &request) {
            Arrival::Known => {}
            Arrival::Ack => self.on_ack(now, &request),
            Arrival::New if request.method == Method::Cancel => self.on_cancel(now, source, request),
            Arrival::New if request.headers.to_tag().is_some() => {
                self.on_dialog_request(now, source, request)
            }
            Arrival::New => self.on_fresh_request(now, source, request),
        }
    }

    fn on_ack(&mut self, now: Instant, ack: &Request) {
        let Some(id) = self.usage_of(ack) else {
            // The ACK of a stateless refusal, or a late one: nobody waits for it.
            return;
        };
        if let Some(usage) = self.usages.get_mut(&id) {
            usage.on_ack(now, &mut self.core, ack);
        }
        self.settle(id);
    }

    /// RFC 3261 §9.2.
    fn on_cancel(&mut self, now: Instant, source: &Source, cancel: Request) {
        let Some((invite, usage)) = self.core.cancelled(&cancel) else {
            self.refuse(source, &cancel, StatusCode::CALL_DOES_NOT_EXIST, &[]);
            return;
        };
        // §9.2: the To tag of both responses is the same, where the INVITE makes a dialog.
        let tag = usage
            .and_then(|id| self.usages.get(&id))
            .map_or_else(|| self.core.stateless_tag(&cancel), |usage| usage.local_tag.clone());
        let response = self.core.reply_to(&cancel, StatusCode::OK, &tag);
        if let Some(server) = self.receive(source, cancel.clone()) {
            self.core.respond(now, server, &response);
        } else {
            self.core.respond_stateless(&cancel, source, &response);
        }
        if let Some(id) = usage {
            if let Some(usage) = self.usages.get_mut(&id) {
                usage.on_cancel(now, &mut self.core, invite, &cancel);
            }
            self.settle(id);
        }
    }

    fn on_dialog_request(&mut self, now: Instant, source: &Source, request: Request) {
        let Some(id) = self.usage_of(&request) else {
            self.refuse(source, &request, StatusCode::CALL_DOES_NOT_EXIST, &[]);
            return;
        };
        if self.refuse_extension(source, &request) {
            return;
        }
        let Some(server) = self.receive(source, request.clone()) else {
            self.overload(source, &request);
            return;
        };
        if let Some(usage) = self.usages.get_mut(&id) {
            usage.on_request(now, &mut self.core, server, &request, source);
        }
        self.settle(id);
    }

    /// A request outside any dialog. Refusals before anybody is trusted keep no state (RFC 3261 §8.2.7).
    fn on_fresh_request(&mut self, now: Instant, source: &Source, request: Request) {
        if matches!(request.uri.scheme, Scheme::Other(_)) {
            self.refuse(source, &request, StatusCode::UNSUPPORTED_URI_SCHEME, &[]);
            return;
        }
        if self.core.is_merged(&request) {
            self.refuse(source, &request, StatusCode::LOOP_DETECTED, &[]);
            return;
        }
        if self.refuse_extension(source, &request) {
            return;
        }
        match request.method {
            Method::Invite => self.on_invite(now, source, request),
            Method::Register if self.core.config.registrar => self.on_register(now, source, &request),
            Method::Options => self.on_options(source, &request),
            Method::Bye | Method::Prack | Method::Info | Method::Update | Method::Notify => {
                self.refuse(source, &request, StatusCode::CALL_DOES_NOT_EXIST, &[]);
            }
            Method::Register | Method::Message | Method::Refer | Method::Subscribe | Method::Publish => {
                let allow = (Name::Allow, self.core.allow().to_owned());
                self.refuse(source, &request, StatusCode::METHOD_NOT_ALLOWED, &[allow]);
            }
            Method::Other(_) => {
                let allow = (Name::Allow, self.core.allow().to_owned());
                self.refuse(source, &request, StatusCode::NOT_IMPLEMENTED, &[allow]);
            }
            Method::Ack | Method::Cancel => {}
        }
    }

    fn on_invite(&mut self, now: Instant, source: &Source, request: Request) {
        // Admission comes before allocation.
        if self.usages.len() >= self.core.config.max_invites {
            self.overload(source, &request);
            return;
        }
        match request.headers.max_forwards() {
            Ok(0) => return self.refuse(source, &request, StatusCode::TOO_MANY_HOPS, &[]),
            Err(_) => return self.refuse(source, &request, StatusCode::BAD_REQUEST, &[]),
            Ok(_) => {}
        }
        if request.headers.contact().is_err() {
            self.refuse(source, &request, StatusCode::BAD_REQUEST, &[]);
            return;
        }
        let user = if self.is_trusted(source.remote.ip()) {
            None
        } else {
            match self.authenticator.check(now, &request) {
                Verdict::Ok(user) => Some(user),
                Verdict::Challenge(challenges) => {
                    self.challenge(source, &request, challenges);
                    return;
                }
            }
        };
        let Some(server) = self.receive(source, request.clone()) else {
            self.overload(source, &request);
            return;
        };
        let trying = self.core.reply_to(&request, StatusCode::TRYING, "");
        self.core.respond(now, server, &trying);
        let id = InviteId(self.core.serial());
        match Usage::offered(&mut self.core, id, server, &request, source, user) {
            Some(usage) => self.adopt(id, usage),
            None => {
                let tag = self.core.stateless_tag(&request);
                let response = self.core.reply_to(&request, StatusCode::BAD_REQUEST, &tag);
                self.core.respond(now, server, &response);
            }
        }
    }

    /// RFC 3261 §11.2. Whoever asks gets the same constant answer, so there is nothing to protect.
    fn on_options(&mut self, source: &Source, request: &Request) {
        let allow = (Name::Allow, self.core.allow().to_owned());
        self.refuse(source, request, StatusCode::OK, &[allow, (Name::Accept, "application/sdp".into())]);
    }

    /// RFC 3261 §8.2.2.3: we know no extension that a peer could insist on.
    fn refuse_extension(&mut self, source: &Source, request: &Request) -> bool {
        if request.method == Method::Ack || request.method == Method::Cancel {
            return false;
        }
        let unknown: Vec<&str> =
            request.headers.values(Name::Require).filter(|tag| !tag.is_empty()).collect();
        if unknown.is_empty() {
            return false;
        }
        let unsupported = (Name::Unsupported, unknown.join(", "));
        self.refuse(source, request, StatusCode::BAD_EXTENSION, &[unsupported]);
        true
    }

    pub(super) fn challenge(&mut self, source: &Source, request: &Request, challenges: Vec<String>) {
        let headers: Vec<_> =
            challenges.into_iter().map(|challenge| (Name::WwwAuthenticate, challenge)).collect();
        self.refuse(source, request, StatusCode::UNAUTHORIZED, &headers);
    }

    pub(super) fn overload(&mut self, source: &Source, request: &Request) {
        let pause = (Name::RetryAfter, RETRY_AFTER.to_owned());
        self.refuse(source, request, StatusCode::SERVICE_UNAVAILABLE, &[pause]);
    }

    /// Answers without keeping anything.
    pub(super) fn refuse(
        &mut self,
        source: &Source,
        request: &Request,
        status: StatusCode,
        headers: &[(Name<'static>, String)],
    ) {
        let tag = self.core.stateless_tag(request);
        let mut response = self.core.reply_to(request, status, &tag);
        for (name, value) in headers {
            response.headers.push(*name, value.clone());
        }
        self.core.respond_stateless(request, source, &response);
    }

    /// Starts a server transaction, unless there are too many.
    pub(super) fn receive(&mut self, source: &Source, request: Request) -> Option<ServerId> {
        let most = self.core.config.max_invites.saturating_mul(4).saturating_add(SPARE_TRANSACTIONS);
        if self.core.server_count() >= most { None } else { self.core.receive(request, source) }
    }

    fn usage_of(&self, request: &Request) -> Option<InviteId> {
        let id = *self.usages_by_tag.get(request.headers.to_tag()?)?;
        let usage = self.usages.get(&id)?;
        (request.headers.call_id().ok()? == usage.call_id()).then_some(id)
    }

    fn is_trusted(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.core.config.trusted.iter().any(|&(network, length)| is_within(ip, network, length))
    }
}

/// Whether the address is in the network.
fn is_within(ip: IpAddr, network: IpAddr, length: u8) -> bool {
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => {
            let shift = 32 - u32::from(length.min(32));
            u32::from(ip).checked_shr(shift) == u32::from(network).checked_shr(shift)
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) => {
            let shift = 128 - u32::from(length.min(128));
            u128::from(ip).checked_shr(shift) == u128::from(network).checked_shr(shift)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

const RETRY_AFTER: &str = "5";

/// Server transactions beside those of the INVITE usages.
const SPARE_TRANSACTIONS: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_have_a_length() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(is_within(ip("127.0.0.9"), ip("127.0.0.0"), 8));
        assert!(!is_within(ip("128.0.0.9"), ip("127.0.0.0"), 8));
        assert!(is_within(ip("8.8.8.8"), ip("0.0.0.0"), 0));
        assert!(is_within(ip("::1"), ip("::1"), 128));
        assert!(!is_within(ip("::2"), ip("::1"), 128));
        assert!(!is_within(ip("127.0.0.1"), ip("::"), 0));
    }
}
