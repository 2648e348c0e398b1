//! What is served over HTTP: health, metrics and gauges.

mod measures;

use std::time::Duration;

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use control::{
    CallRecord,
    call_record::Direction,
    io::{Gauges, LegReport},
};
use serde_json::json;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    time::timeout,
};

/// Asks the control loop for a [`Snapshot`].
pub type Question = oneshot::Sender<Snapshot>;

/// A control loop that does not answer for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the server holds and has done.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Of the libraries below.
    pub gauges: Gauges,
    /// Every leg.
    pub legs: Vec<LegReport>,
    /// Since the start.
    pub counts: Counts,
    /// Calls the attendant runs.
    pub calls: usize,
    /// Whether new calls are refused because we are about to stop.
    pub draining: bool,
    /// Since the start.
    pub uptime: Duration,
}

/// Counts of calls since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Calls that came in.
    pub incoming: u64,
    /// Incoming legs that ended after an answer.
    pub incoming_answered: u64,
    /// Incoming legs that ended without.
    pub incoming_failed: u64,
    /// Outgoing legs that ended after an answer.
    pub outgoing_answered: u64,
    /// Outgoing legs that ended without.
    pub outgoing_failed: u64,
    /// Calls that came in and were refused because as many were served as could be.
    pub refused: u64,
    /// RTP packets that ended legs have missed.
    pub packets_lost: u64,
    /// RTP packets that came too late to be heard, of ended legs.
    pub packets_late: u64,
    /// Packets that ended legs refused: not encrypted with their peer's key, or received before.
    pub packets_refused: u64,
    /// Frames that ended legs were not sent because their media thread was late.
    pub frames_skipped: u64,
}

impl Counts {
    /// Takes the account of a leg in.
    pub fn ended(&mut self, record: &CallRecord) {
        let count = match (record.direction, record.answered.is_some()) {
            (Direction::Incoming, true) => &mut self.incoming_answered,
            (Direction::Incoming, false) => &mut self.incoming_failed,
            (Direction::Outgoing, true) => &mut self.outgoing_answered,
            (Direction::Outgoing, false) => &mut self.outgoing_failed,
        };
        *count += 1;
        self.packets_lost += record.stats.lost;
        self.packets_late += record.stats.late;
        self.packets_refused += record.stats.unauthenticated + record.stats.replayed;
        self.frames_skipped += record.stats.skipped;
    }
}

/// Serves until the process ends.
pub async fn serve(listener: TcpListener, control: mpsc::Sender<Question>) {
    let routes = Router::new()
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .route("/api/v1/gauges", get(gauges))
        .route("/api/v1/legs", get(legs))
        .with_state(control);
    if let Err(error) = axum::serve(listener, routes).await {
        tracing::error!(%error, "HTTP ended");
    }
}

async fn snapshot(control: &mpsc::Sender<Question>) -> Option<Snapshot> {
    let (question, answer) = oneshot::channel();
    timeout(PATIENCE, async {
        control.send(question).await.ok()?;
        answer.await.ok()
    })
    .await
    .ok()
    .flatten()
}

async fn health(State(control): State<mpsc::Sender<Question>>) -> Response {
    let (code, status) = match snapshot(&control).await {
        Some(snapshot) if snapshot.draining => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        Some(_) => (StatusCode::OK, "ok"),
        None => (StatusCode::SERVICE_UNAVAILABLE, "stuck"),
    };
    (code, Json(json!({ "status": status, "version": env!("CARGO_PKG_VERSION") }))).into_response()
}

async fn metrics(State(control): State<mpsc::Sender<Question>>) -> Response {
    match snapshot(&control).await {
        Some(snapshot) => {
            let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
            (kind, measures::prometheus(&snapshot)).into_response()
        }
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn gauges(State(control): State<mpsc::Sender<Question>>) -> Response {
    match snapshot(&control).await {
        Some(snapshot) => Json(measures::json(&snapshot)).into_response(),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn legs(State(control): State<mpsc::Sender<Question>>) -> Response {
    match snapshot(&control).await {
        Some(snapshot) => Json(measures::legs(&snapshot)).into_response(),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}
