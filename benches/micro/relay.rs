//! `cargo bench -p offhook-benches --bench relay`; what is measured: `src/bodies/relay.rs`.

mod common;

fn main() {
    common::measure(offhook_benches::bodies::relay::all());
}
