//! `cargo bench -p offhook-benches --bench rtp_parse`; what is measured: `src/bodies/rtp_parse.rs`.

mod common;

fn main() {
    common::measure(offhook_benches::bodies::rtp_parse::all());
}
