//! The command line: one file a subcommand, exit codes in one place.

pub mod demo;

use std::process::ExitCode;

use clap::Parser;

/// Moves live traffic from a legacy system to its replacement, and back.
#[derive(Debug, Parser)]
#[command(name = "crossfade", version)]
pub struct Cli {}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let _ = Cli::parse();
    ExitCode::SUCCESS
}
