//! `cargo bench -p offhook-benches --bench dialog`; what is measured: `src/bodies/dialog.rs`.

mod common;

fn main() {
    common::measure(offhook_benches::bodies::dialog::all());
}
