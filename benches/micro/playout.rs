//! `cargo bench -p offhook-benches --bench playout`; what is measured: `src/bodies/playout.rs`.

mod common;

fn main() {
    common::measure(offhook_benches::bodies::playout::all());
}
