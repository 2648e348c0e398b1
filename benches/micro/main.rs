//! Times of the measured bodies, under criterion: `cargo bench -p offhook-benches`, or only those whose name holds a
//! word: `cargo bench -p offhook-benches -- relay`.

use std::time::Duration;

use criterion::{Criterion, Throughput};
use offhook_benches::bodies;

/// Reports time per run, of so many operations, and operations per second. All together take about a minute.
fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    for mut body in bodies::all() {
        let mut group = criterion.benchmark_group(body.name);
        group.throughput(Throughput::Elements(body.operations));
        group.bench_function(format!("{} x {}", body.operations, body.operation), |bencher| {
            bencher.iter(|| body.run());
        });
        group.finish();
    }
    criterion.final_summary();
}
