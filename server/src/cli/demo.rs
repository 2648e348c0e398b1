//! `offhook demo`: the demonstration, shown to a person.

use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::demo::{self, Report};

/// Flags of `offhook demo`.
#[derive(Debug, Args)]
#[command(after_help = "\
Starts a server on free loopback ports and two phones that register with digest authentication. One calls the server,
hears a prompt and presses digits; the server recognises them, calls the other and bridges both; each says a tone.
Everything goes through real UDP SIP and RTP. Exits with 0 if everybody heard what was said, otherwise with 1.")]
pub struct Demo {
    /// Write the recordings of both phones here
    #[arg(long, value_name = "DIR", default_value = "offhook-demo")]
    out: PathBuf,
}

impl Demo {
    /// Runs it; 0 if all sound was heard.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
        {
            Ok(runtime) => runtime,
            Err(error) => return super::fail(format_args!("no threads: {error}")),
        };
        let mut progress = Progress::new();
        let outcome = runtime.block_on(demo::run(&self.out, |step| progress.step(step)));
        progress.end();
        match outcome {
            Ok(report) => match print(&report) {
                Ok(()) if report.problems.is_empty() => ExitCode::SUCCESS,
                Ok(()) => ExitCode::FAILURE,
                Err(error) => super::fail(format_args!("cannot write: {error}")),
            },
            Err(error) => super::fail(error),
        }
    }
}

/// A live line on a terminal, plain lines elsewhere.
enum Progress {
    Live(ProgressBar),
    Plain,
}

impl Progress {
    fn new() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Plain;
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed:>3}  {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self::Live(bar)
    }

    fn step(&mut self, step: &str) {
        match self {
            Self::Live(bar) => bar.set_message(step.to_owned()),
            Self::Plain => eprintln!("... {step}"),
        }
    }

    fn end(self) {
        if let Self::Live(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn print(report: &Report) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "Timeline (seconds; SIP as the server saw it)")?;
    for line in &report.timeline {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "\nHeard")?;
    for verdict in &report.verdicts {
        writeln!(out, "  {:<6} {}", verdict.who, if verdict.ok { "all is well" } else { "NOT WELL" })?;
        for line in &verdict.heard {
            writeln!(out, "         {line}")?;
        }
    }
    writeln!(out, "\nMeasured")?;
    for (name, value) in &report.measured {
        writeln!(out, "  {name:<32} {value}")?;
    }
    writeln!(out, "\nRecordings (left: heard, right: said)")?;
    for file in &report.recordings {
        writeln!(out, "  {}", file.display())?;
    }
    writeln!(out)?;
    if report.problems.is_empty() {
        writeln!(out, "Everybody heard what was said.")?;
    }
    for problem in &report.problems {
        writeln!(out, "FAILED: {problem}")?;
    }
    out.flush()
}
