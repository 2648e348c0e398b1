//! A benchmark that quietly does nothing would look like progress.

use offhook_benches::bodies;

#[test]
fn every_run_does_all_of_its_operations() {
    for mut body in bodies::all() {
        for run in 0..3 {
            assert_eq!(body.run(), body.operations, "run {run} of {}", body.name);
        }
    }
}

#[test]
fn names_are_unique() {
    let names: Vec<_> = bodies::all().iter().map(|body| body.name).collect();
    let mut unique = names.clone();
    unique.dedup();
    assert_eq!(names, unique);
}
