//! `cargo bench -p offhook-benches --bench g711`; what is measured: `src/bodies/g711.rs`.

mod common;

fn main() {
    common::measure(offhook_benches::bodies::g711::all());
}
