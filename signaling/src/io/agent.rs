//! An endpoint with sockets, a resolver and a clock, for those who use signaling alone.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{Received, TransportGauges, Transports, advertised};
use crate::{
    config::{Config, Listener},
    endpoint::Endpoint,
    event::Event,
    flow::Transport,
};

/// Messages handled before the timers are looked at again.
const BATCH: usize = 64;

/// A SIP user agent on real sockets: an [`Endpoint`] and the [`Transports`] it speaks through.
///
/// It has no task of its own. Whoever awaits [`UserAgent::event`] drives it, so do that in a loop; between two events
/// give commands through [`UserAgent::act`].
pub struct UserAgent {
    endpoint: Endpoint,
    transports: Transports,
}

impl std::fmt::Debug for UserAgent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserAgent")
            .field("listeners", &self.transports.listeners())
            .field("gauges", &self.endpoint.gauges())
            .finish_non_exhaustive()
    }
}

impl UserAgent {
    /// Listens on all of `addresses`; port 0 takes a free one. `config.listeners` is filled in, with an address of this
    /// machine where a listener is bound to `0.0.0.0`, and so is `config.seed` while it is all zero.
    ///
    /// # Errors
    /// When an address cannot be bound, or the system has no randomness.
    pub fn bind(addresses: &[(Transport, SocketAddr)], mut config: Config) -> io::Result<Self> {
        let transports = Transports::bind(addresses)?;
        config.listeners = transports
            .listeners()
            .into_iter()
            .map(|listener| Listener { advertised: advertised(listener.local), ..listener })
            .collect();
        if config.seed == [0; 32] {
            getrandom::fill(&mut config.seed).map_err(io::Error::other)?;
        }
        Ok(Self { endpoint: Endpoint::new(config), transports })
    }

    /// What we listen on.
    #[must_use]
    pub fn listeners(&self) -> Vec<Listener> {
        self.transports.listeners()
    }

    /// The endpoint, to look at.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Counters of the sockets.
    #[must_use]
    pub fn transport_gauges(&self) -> TransportGauges {
        self.transports.gauges()
    }

    /// Gives commands to the endpoint, with the time of now, and sends what they lead to.
    pub fn act<T>(&mut self, command: impl FnOnce(&mut Endpoint, Instant) -> T) -> T {
        let result = command(&mut self.endpoint, Instant::now());
        self.pump();
        result
    }

    /// Runs until there is news. Nothing is lost when the future is dropped, but nothing is done either until it is
    /// awaited again.
    pub async fn event(&mut self) -> Event {
        loop {
            self.pump();
            if let Some(event) = self.endpoint.poll_event() {
                return event;
            }
            let received = match self.endpoint.poll_timeout() {
                Some(due) => tokio::time::timeout_at(due.into(), self.transports.receive()).await.ok(),
                None => Some(self.transports.receive().await),
            };
            self.take(received);
        }
    }

    /// Goes on for `time`, or until nothing is going on any more: lets the last BYE be answered. Events are dropped.
    pub async fn finish(mut self, time: Duration) {
        let deadline = tokio::time::Instant::now() + time;
        while self.endpoint.poll_timeout().is_some() {
            if tokio::time::timeout_at(deadline, self.event()).await.is_err() {
                break;
            }
        }
        self.transports.flush(deadline.saturating_duration_since(tokio::time::Instant::now())).await;
    }

    /// Handles what came, and whatever else is here already.
    fn take(&mut self, received: Option<Received>) {
        let now = Instant::now();
        let mut next = received;
        for left in (0..BATCH).rev() {
            let Some(received) = next else { break };
            match received {
                Received::Message(source, bytes) => self.endpoint.handle_message(now, &source, &bytes),
                Received::FlowClosed(flow) => self.endpoint.handle_flow_closed(now, flow),
                Received::Unreachable(destination) => self.endpoint.handle_unreachable(now, destination),
                Received::Resolved(question, targets) => self.endpoint.handle_route(now, question, &targets),
            }
            self.pump();
            next = if left > 0 { self.transports.try_receive() } else { None };
        }
        if self.endpoint.poll_timeout().is_some_and(|due| due <= now) {
            self.endpoint.handle_timeout(now);
        }
    }

    /// Carries what the endpoint wants to the sockets.
    fn pump(&mut self) {
        while let Some(transmit) = self.endpoint.poll_transmit() {
            self.transports.send(transmit);
        }
        while let Some(question) = self.endpoint.poll_question() {
            self.transports.resolve(question);
        }
    }
}
