//! Calls on real loopback sockets: one RTP packet of 172 bytes each way per call and 20 ms, on one pinned thread.
//!
//! The same generator drives the media engine and its floor, a loop that only receives and sends. What the engine
//! costs above the floor is ours; the rest is the kernel's.

mod engine;
mod floor;
mod generator;
mod options;
mod packet;
mod report;
mod system;

use std::{io, net::SocketAddr, time::Duration};

pub use engine::{Task, Worker};
pub use floor::{Floor, Reading};
pub use options::Options;
pub use report::{Line, Table};

use generator::Generator;

/// Packet time of every call.
const FRAME: Duration = Duration::from_millis(20);

/// What answers the generator, on one thread.
pub trait Server {
    /// Name of its thread.
    fn thread(&self) -> &str;
    /// Where each call's packets go to, in the order of the peers it was started with.
    fn addresses(&self) -> &[SocketAddr];
    /// What its packets carry.
    fn returns(&self) -> Returns;
}

/// What comes back from a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returns {
    /// What was sent to it: lateness is the round trip, and loss is what did not come back.
    Echo,
    /// A stream of its own: lateness is the distance from its own grid of 20 ms, and loss is a gap in its sequence.
    Stream,
}

/// What was seen of a server.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Processor time of the server's thread for each call, ms per second.
    pub cpu_ms: f64,
    /// Packets that had to come back.
    pub expected: u64,
    /// Packets of these that did not.
    pub lost: u64,
    /// Lateness of each packet that came, ascending, ns.
    pub lateness: Vec<u64>,
    /// How late the generator itself sent each packet, ascending, ns.
    pub sent_late: Vec<u64>,
}

/// Binds one socket per call, lets `start` make a server for them, loads it and measures.
pub fn measure<S: Server>(
    options: &Options,
    start: impl FnOnce(&[SocketAddr]) -> io::Result<S>,
) -> io::Result<Measured> {
    system::raise_open_files()?;
    let generator = Generator::bind(options.calls)?;
    let server = start(&generator.addresses()?)?;
    let clock = system::thread_clock(server.thread())?;
    generator.run(server.addresses(), server.returns(), clock, options)
}
