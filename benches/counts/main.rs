//! Runs one body so that callgrind can count its instructions: `ci/bench_counts.sh` does.
//!
//! `counts --list` prints the names, `counts NAME` runs that body. Only what happens in [`counted`] is of interest.

use std::process::ExitCode;

use offhook_benches::bodies::{self, Body};

/// Runs before counting begins: whatever is allocated or looked up for the first time is.
const WARM_UP: u64 = 2;
/// Runs that are counted.
const RUNS: u64 = 3;

fn main() -> ExitCode {
    let Some(wanted) = std::env::args().nth(1) else {
        eprintln!("counts --list | counts NAME");
        return ExitCode::from(2);
    };
    let mut bodies = bodies::all();
    if wanted == "--list" {
        for body in bodies {
            println!("{} {} {}", body.name, body.operation, body.operations * RUNS);
        }
        return ExitCode::SUCCESS;
    }
    let Some(body) = bodies.iter_mut().find(|body| body.name == wanted) else {
        eprintln!("no body named {wanted}; there are those of counts --list");
        return ExitCode::from(2);
    };
    for _ in 0..WARM_UP {
        body.run();
    }
    if counted(body) == body.operations * RUNS { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Callgrind begins to count where this is entered, and ends where it is left.
#[inline(never)]
fn counted(body: &mut Body) -> u64 {
    (0..RUNS).map(|_| body.run()).sum()
}
