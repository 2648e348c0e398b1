//! `cargo bench -p offhook-benches --bench transaction`; what is measured: `src/bodies/transaction.rs`.

mod common;

fn main() {
    common::measure(offhook_benches::bodies::transaction::all());
}
