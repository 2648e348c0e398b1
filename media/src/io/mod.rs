//! Threads, sockets, clocks and files: shards run here on real media threads.
//!
//! [`Engine`] owns the workers; [`Prompts`] loads audio to play, [`RecordingWriter`] stores audio that was heard.
//! Linux only.

mod affinity;
mod audio_file;
mod clock;
mod engine;
mod flac;
mod growing_file;
mod legs;
mod load;
#[cfg(feature = "opus")]
mod ogg_opus;
mod placement;
mod port_range;
mod prompts;
mod queue;
mod recording_publisher;
mod recording_settings;
mod recording_writer;
mod remotes;
mod shared_port;
mod sharing;
mod socket;
mod wake;
mod wav;
mod worker;

pub use audio_file::{Audio, AudioFile, RawAudio};
pub use engine::{Engine, EngineConfig, EngineGauges, OpenError, QueueFull, WorkerGauges};
pub use prompts::{
    Keep, Key, LoadError, MAX_PROMPT_FILE, Open, Opened, PromptEvent, PromptGauges, Prompts, PromptsConfig,
    Recording,
};
pub use recording_settings::{Layout, RecordingFormat, RecordingSettings};
pub use recording_writer::{RecordedFile, RecordingError, RecordingOutcome, RecordingWriter};
