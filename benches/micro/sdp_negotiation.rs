//! `cargo bench -p offhook-benches --bench sdp_negotiation`; what is measured: `src/bodies/sdp_negotiation.rs`.

mod common;

fn main() {
    common::measure(offhook_benches::bodies::sdp_negotiation::all());
}
