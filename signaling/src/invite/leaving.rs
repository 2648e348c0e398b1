//! Ending an established dialog: BYE (RFC 3261 §15), at once or as soon as it may be sent.

use std::time::Instant;

use crate::{
    dialog::Dialog,
    endpoint::{
        client::Departure,
        core::{ClientId, Core, Outcome, Owner, ServerId},
    },
    message::{Method, Name, Request, StatusCode},
    transaction::timers::Deadline,
};

use super::{Phase, Usage, established::Unacked};

/// A dialog that we want to end.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) dialog: Dialog,
    /// Our 2xx to the first INVITE; its ACK comes before our BYE (RFC 3261 §15).
    unacked: Option<Unacked>,
    reason: Option<String>,
    client: Option<ClientId>,
}

impl Usage {
    /// Leaves the established dialog. The end was told.
    pub(super) fn leave(&mut self, now: Instant, core: &mut Core, reason: Option<String>) {
        if let Phase::Established(established) = &self.phase
            && established.late.is_some()
        {
            // Its ACK was to carry our answer; now it only makes the BYE possible.
            let _ = self.acknowledge(core, None);
        }
        self.close_exchanges(now, core);
        let Phase::Established(established) = std::mem::replace(&mut self.phase, Phase::Over) else { return };
        let unacked = established.unacked.into_iter().find(|unacked| unacked.first);
        let wait = unacked.is_some();
        self.phase =
            Phase::Leaving(Box::new(Leaving { dialog: established.dialog, unacked, reason, client: None }));
        if !wait {
            self.say_bye(now, core);
        }
    }

    pub(super) fn say_bye(&mut self, now: Instant, core: &mut Core) {
        let Phase::Leaving(leaving) = &mut self.phase else { return };
        leaving.unacked = None;
        let mut request = leaving.dialog.request(Method::Bye);
        if let Some(reason) = leaving.reason.take() {
            request.headers.push(Name::Reason, reason);
        }
        if let Some(credentials) = &mut self.credentials {
            credentials.attach(&mut request, &mut core.random);
        }
        let hop = leaving.dialog.hop();
        let departure = Departure { request, hop, owner: Owner::Invite(self.id), contact_user: None };
        leaving.client = Some(core.send(now, departure));
    }

    pub(super) fn on_bye_outcome(
        &mut self,
        now: Instant,
        core: &mut Core,
        client: ClientId,
        outcome: &Outcome,
    ) -> bool {
        let Phase::Leaving(leaving) = &self.phase else { return false };
        if leaving.client != Some(client) {
            return false;
        }
        if let Outcome::Response(response, _) = outcome {
            if response.status.is_provisional() {
                return true;
            }
            if let Some(client) = self.repeat_with_credentials(now, core, client, response) {
                if let Phase::Leaving(leaving) = &mut self.phase {
                    leaving.client = Some(client);
                }
                return true;
            }
        }
        self.phase = Phase::Over;
        true
    }

    pub(super) fn on_leaving_due(&mut self, now: Instant, core: &mut Core) {
        let Phase::Leaving(leaving) = &mut self.phase else { return };
        let Some(unacked) = &mut leaving.unacked else { return };
        unacked.on_due(now, core);
        if unacked.is_expired(now) {
            self.say_bye(now, core);
        }
    }

    pub(super) fn on_request_while_leaving(
        &mut self,
        now: Instant,
        core: &mut Core,
        server: ServerId,
        request: &Request,
    ) {
        let Phase::Leaving(leaving) = &self.phase else { return };
        let waits = leaving.unacked.is_some();
        let ours = leaving.dialog.id.remote_tag == request.headers.from_tag().unwrap_or_default();
        if request.method != Method::Bye || !ours {
            self.answer(now, core, server, StatusCode::CALL_DOES_NOT_EXIST);
            return;
        }
        self.answer(now, core, server, StatusCode::OK);
        if waits {
            self.phase = Phase::Over;
        }
    }
}

impl Leaving {
    /// Whether our BYE waits for this ACK.
    pub(super) fn is_awaited(&self, ack: &Request) -> bool {
        self.unacked.as_ref().is_some_and(|unacked| unacked.is_for(ack))
    }

    pub(super) fn deadline(&self) -> Option<Deadline> {
        self.unacked.as_ref().map(Unacked::deadline)
    }
}
