//! `cargo bench -p offhook-benches --bench sip_parse`; what is measured: `src/bodies/sip_parse.rs`.

mod common;

fn main() {
    common::measure(offhook_benches::bodies::sip_parse::all());
}
