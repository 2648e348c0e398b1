//! The program `offhook`.

use std::process::ExitCode;

use clap::Parser;
use server::cli::Cli;

/// Gives memory back to the system after a rush of calls, which the allocator of the C library does not.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    Cli::parse().run()
}
