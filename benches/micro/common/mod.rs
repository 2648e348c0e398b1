//! Runs bodies under criterion.

use std::time::Duration;

use criterion::{Criterion, Throughput};
use offhook_benches::bodies::Body;

/// Times each body, and reports its operations per second. A run of all files together takes about a minute.
pub(crate) fn measure(bodies: Vec<Body>) {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    for mut body in bodies {
        let mut group = criterion.benchmark_group(body.name);
        group.throughput(Throughput::Elements(body.operations));
        group.bench_function(format!("{} x {}", body.operations, body.operation), |bencher| {
            bencher.iter(|| body.run());
        });
        group.finish();
    }
    criterion.final_summary();
}
