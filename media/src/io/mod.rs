//! Threads, sockets, clocks and files: shards run here on real media threads.
//!
//! [`Engine`] owns the workers; [`Prompts`] loads audio to play, [`RecordingWriter`] stores audio that was heard.
//! Linux only.

mod affinity;
mod clock;
mod engine;
mod legs;
mod load;
mod placement;
mod port_range;
mod prompt_loader;
mod queue;
mod recording_writer;
mod remotes;
mod shared_port;
mod sharing;
mod socket;
mod wake;
mod wav;
mod worker;

pub use engine::{Engine, EngineConfig, EngineGauges, OpenError, QueueFull, WorkerGauges};
pub use prompt_loader::{LoadError, MAX_PROMPT_FILE, Prompts};
pub use recording_writer::{Layout, RecordedFile, RecordingError, RecordingOutcome, RecordingWriter};
