//! `cargo bench -p offhook-benches --bench sip_print`; what is measured: `src/bodies/sip_print.rs`.

mod common;

fn main() {
    common::measure(offhook_benches::bodies::sip_print::all());
}
