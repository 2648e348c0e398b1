//! The command line: one file per subcommand.

pub mod demo;
pub mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Programmable telephony that people run themselves.
#[derive(Debug, Parser)]
#[command(
    name = "offhook",
    version,
    about = "Programmable telephony that people run themselves: SIP, RTP and what answers the phone.",
    after_help = "\
Examples:
  offhook demo                                  two phones talk through a server on this machine
  offhook serve                                 SIP on port 5060 (UDP and TCP), nobody can register yet
  offhook serve --config offhook.toml           users and routes from a file
  offhook serve --sip udp:192.0.2.1:5060 --advertise 203.0.113.7 --rtp-ports 20000-29999

offhook <COMMAND> --help tells everything about a command.",
    propagate_version = true,
    arg_required_else_help = true
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server until SIGTERM or Ctrl-C.
    Serve(serve::Serve),
    /// Let two built-in phones call each other through a server on this machine, and judge what they heard.
    Demo(demo::Demo),
}

impl Cli {
    /// Runs the command; 0 on success, 1 on failure.
    #[must_use]
    pub fn run(self) -> ExitCode {
        match self.command {
            Command::Serve(serve) => serve.run(),
            Command::Demo(demo) => demo.run(),
        }
    }
}

/// A failure on its way out, as the last line on standard error.
fn fail(what: impl std::fmt::Display) -> ExitCode {
    eprintln!("offhook: {what}");
    ExitCode::FAILURE
}
