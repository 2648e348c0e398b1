//! The media engine with one worker, as the server under test.

use std::{io, net::SocketAddr, sync::Arc};

use media::{
    Codec, Command, Feed, Latch, PayloadFormat, Playback, PlayerId, Prompt, SessionConfig, SessionId,
    io::{Engine, EngineConfig},
};

use super::{Returns, Server};

/// What every session does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Returns what it hears.
    Echo,
    /// Plays a prompt in a loop, while its peer talks too.
    Play,
}

/// An engine with one session per peer, on the last core.
pub struct Worker {
    task: Task,
    addresses: Vec<SocketAddr>,
    /// Its sessions last as long as it.
    _engine: Engine,
}

impl Worker {
    /// Starts the engine and opens the sessions.
    pub fn start(task: Task, peers: &[SocketAddr]) -> io::Result<Self> {
        let mut engine = Engine::start(EngineConfig {
            workers: 1,
            pin: true,
            sessions_per_worker: peers.len(),
            seed: u64::from(std::process::id()),
            ..EngineConfig::default()
        })?;
        let prompt = Arc::new(prompt());
        let mut addresses = Vec::with_capacity(peers.len());
        for &peer in peers {
            let (id, address) = engine.open(None).map_err(io::Error::other)?;
            addresses.push(address);
            for command in [Command::Open(id, Box::new(config(peer))), begin(task, id, &prompt)] {
                engine.send(command).map_err(|full| io::Error::other(full.to_string()))?;
            }
        }
        Ok(Self { task, addresses, _engine: engine })
    }
}

impl Server for Worker {
    fn thread(&self) -> &str {
        "media-0"
    }

    fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    fn returns(&self) -> Returns {
        match self.task {
            Task::Echo => Returns::Echo,
            Task::Play => Returns::Stream,
        }
    }
}

fn begin(task: Task, id: SessionId, prompt: &Arc<Prompt>) -> Command {
    match task {
        Task::Echo => Command::Feed(id, Feed::Session(id)),
        Task::Play => {
            let playback = Playback::prompt(Arc::clone(prompt), None);
            Command::Play(id, PlayerId(u64::from(id.slot())), Box::new(playback))
        }
    }
}

fn config(peer: SocketAddr) -> SessionConfig {
    SessionConfig {
        remote: Some(peer),
        remote_rtcp: Some(peer),
        rtcp_mux: true,
        receive: vec![PayloadFormat { codec: Codec::Pcmu, payload_type: 0 }],
        // Strangers may send to a port that was theirs a moment ago.
        latch: Latch::Off,
        ..SessionConfig::default()
    }
}

/// Five seconds of a tone.
fn prompt() -> Prompt {
    let tone = |at: u32| (f64::from(at) * 440.0 / 8_000.0 * std::f64::consts::TAU).sin() * 8_000.0;
    let samples: Vec<i16> = (0..40_000).map(|at| tone(at) as i16).collect();
    Prompt::from_samples(&samples, 8_000)
}
