//! `cargo bench -p offhook-benches --bench prompt`; what is measured: `src/bodies/prompt.rs`.

mod common;

fn main() {
    common::measure(offhook_benches::bodies::prompt::all());
}
