//! One file per core that meets bytes of strangers.

mod dress;
mod endpoint;
mod rtcp;
mod rtp;
mod sdp;
mod shard;
mod sip_framing;
mod sip_message;
mod srtp;

use crate::random::Random;

/// What became of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was taken for what it claims to be.
    Accepted,
    /// It was refused.
    Refused,
    /// The target has no opinion.
    None,
}

/// A core under test. A broken property is a panic.
pub trait Target {
    /// For reports and `--target`.
    fn name(&self) -> &'static str;

    /// Folders of seeds.
    fn kinds(&self) -> &'static [&'static str];

    /// Its part of a run, relative to the others.
    fn share(&self) -> usize;

    /// Changes a seed into an input.
    fn mutate(&self, input: &mut Vec<u8>, other: &[u8], random: &mut Random);

    /// Takes one input.
    fn run(&mut self, input: &[u8], random: &mut Random) -> Verdict;

    /// What a run achieved, where "accepted" says nothing.
    fn report(&self) -> Option<String> {
        None
    }

    /// Whether it may hold memory between inputs.
    fn remembers(&self) -> bool {
        false
    }

    /// Bytes one input of this length may allocate at most at a time.
    fn allowance(&self, length: usize) -> usize {
        16 * 1024 + 64 * length
    }

    /// Ends whatever is going on, and checks that nothing is left.
    fn settle(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// All of them.
pub fn all() -> Vec<Box<dyn Target>> {
    vec![
        Box::new(sip_message::SipMessage),
        Box::new(sip_framing::SipFraming),
        Box::new(endpoint::LiveEndpoint::new()),
        Box::new(sdp::Sdp::new()),
        Box::new(rtp::Rtp),
        Box::new(rtcp::Rtcp),
        Box::new(srtp::Srtp::new()),
        Box::new(shard::LiveShard::new()),
    ]
}
