//! The measured bodies, one noun per file. All are pure: virtual time, bytes in memory, the same inputs each run.

pub mod dialog;
pub mod g711;
pub mod g722;
pub mod opus;
pub mod playout;
pub mod prompt;
pub mod relay;
pub mod resample;
pub mod rtp_parse;
pub mod sdp_negotiation;
mod shard;
pub mod sip_parse;
pub mod sip_print;
mod sip_world;
pub mod srtp;
mod time;
pub mod transaction;

/// Something that can be run any number of times, always with the same work.
pub struct Body {
    /// Names it in reports and in the baseline.
    pub name: &'static str,
    /// What one operation is.
    pub operation: &'static str,
    /// Operations in one run.
    pub operations: u64,
    run: Box<dyn FnMut() -> u64>,
}

impl Body {
    /// `run` does `operations` and returns how many it found to be done.
    fn new(
        name: &'static str,
        operation: &'static str,
        operations: u64,
        run: impl FnMut() -> u64 + 'static,
    ) -> Self {
        Self { name, operation, operations, run: Box::new(run) }
    }

    /// Runs it once; the first run also sets the scene. Returns the operations that were done. Fewer than [`Body::operations`] means that something else
    /// than intended is measured.
    pub fn run(&mut self) -> u64 {
        (self.run)()
    }
}

/// All bodies, in the order of their names.
#[must_use]
pub fn all() -> Vec<Body> {
    let mut bodies: Vec<Body> = [
        dialog::all(),
        g711::all(),
        g722::all(),
        opus::all(),
        playout::all(),
        prompt::all(),
        relay::all(),
        resample::all(),
        rtp_parse::all(),
        sdp_negotiation::all(),
        sip_parse::all(),
        sip_print::all(),
        srtp::all(),
        transaction::all(),
    ]
    .into_iter()
    .flatten()
    .collect();
    bodies.sort_by_key(|body| body.name);
    bodies
}
