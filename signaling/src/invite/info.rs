//! INFO (RFC 6086).

use std::time::Instant;

use crate::{
    endpoint::core::{ClientId, Core, Outcome, ServerId},
    error::InviteError,
    event::Event,
    message::{Body, Method, Request, StatusCode},
};

use super::{Phase, Usage};

impl Usage {
    pub(super) fn info(&mut self, now: Instant, core: &mut Core, body: Body) -> Result<(), InviteError> {
        match self.phase {
            Phase::Established(_) => {
                self.send_in_dialog(now, core, Method::Info, Some(body));
                Ok(())
            }
            Phase::Calling(_) | Phase::Offered(_) | Phase::Leaving(_) | Phase::Over => {
                Err(InviteError::WrongState)
            }
        }
    }

    /// Whatever it says, it is answered 200: many phones send a body nobody else understands.
    pub(super) fn on_info(&self, now: Instant, core: &mut Core, server: ServerId, request: &Request) {
        self.answer(now, core, server, StatusCode::OK);
        if let Some(body) = request.content() {
            self.tell(core, Event::Info(self.id, body));
        }
    }

    pub(super) fn on_info_outcome(
        &mut self,
        now: Instant,
        core: &mut Core,
        client: ClientId,
        outcome: &Outcome,
    ) {
        let repeated = match outcome {
            Outcome::Response(response, _) => {
                self.repeat_with_credentials(now, core, client, response).is_some()
            }
            Outcome::TimedOut | Outcome::Unreachable => false,
        };
        if !repeated {
            self.is_fatal(now, core, outcome);
        }
    }
}
