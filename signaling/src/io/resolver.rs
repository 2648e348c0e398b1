//! Answers route questions with the system's resolver: address records of a host (RFC 3263 §4.2, last step).

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use crate::{
    flow::Transport,
    route::{Question, QuestionId, Target},
};

/// How long the system may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long an answer is reused. The system does not tell the records' lifetime, so this is short; it keeps a
/// thousand calls per second to one host from asking a thousand times.
const FRESH: Duration = Duration::from_secs(10);

/// How long "not found" is reused.
const FRESH_FAILURE: Duration = Duration::from_secs(1);

/// Answers kept and names being asked for at a time.
const NAMES: usize = 1024;

type Name = (String, u16);

/// Names asked for, and answers that are still fresh.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    answers: BTreeMap<Name, (Instant, Vec<SocketAddr>)>,
    waiting: BTreeMap<Name, Vec<(QuestionId, Transport)>>,
    running: JoinSet<(Name, Vec<SocketAddr>)>,
    done: Vec<(QuestionId, Vec<Target>)>,
}

impl Resolver {
    pub(super) fn ask(&mut self, question: Question) {
        let Question { id, host, port, transport } = question;
        let name = (host.trim_matches(['[', ']']).to_ascii_lowercase(), port.unwrap_or(5060));
        let now = Instant::now();
        if let Some((until, addresses)) = self.answers.get(&name)
            && now < *until
        {
            self.done.push((id, targets(transport, addresses)));
            return;
        }
        if let Some(others) = self.waiting.get_mut(&name) {
            others.push((id, transport));
            return;
        }
        if self.waiting.len() >= NAMES {
            self.done.push((id, Vec::new()));
            return;
        }
        self.waiting.insert(name.clone(), vec![(id, transport)]);
        self.running.spawn(async move {
            let lookup = tokio::net::lookup_host((name.0.as_str(), name.1));
            let addresses = match tokio::time::timeout(PATIENCE, lookup).await {
                Ok(Ok(found)) => found.collect(),
                Ok(Err(error)) => {
                    tracing::debug!(host = name.0, %error, "name not found");
                    Vec::new()
                }
                Err(_) => Vec::new(),
            };
            (name, addresses)
        });
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(QuestionId, Vec<Target>)> {
        loop {
            if let Some(answer) = self.done.pop() {
                return Poll::Ready(answer);
            }
            match self.running.poll_join_next(cx) {
                Poll::Ready(Some(Ok((name, addresses)))) => self.learn(name, addresses),
                // A lookup never panics and is never cancelled while we live.
                Poll::Ready(Some(Err(_))) => {}
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn learn(&mut self, name: Name, addresses: Vec<SocketAddr>) {
        let now = Instant::now();
        for (id, transport) in self.waiting.remove(&name).unwrap_or_default() {
            self.done.push((id, targets(transport, &addresses)));
        }
        if self.answers.len() >= NAMES {
            self.answers.retain(|_, (until, _)| now < *until);
        }
        if self.answers.len() < NAMES {
            let lifetime = if addresses.is_empty() { FRESH_FAILURE } else { FRESH };
            self.answers.insert(name, (now + lifetime, addresses));
        }
    }
}

fn targets(transport: Transport, addresses: &[SocketAddr]) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::with_capacity(addresses.len());
    for address in addresses.iter().copied() {
        if !targets.iter().any(|known| known.address == address) {
            targets.push(Target { transport, address });
        }
    }
    targets
}
