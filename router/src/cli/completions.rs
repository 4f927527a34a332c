//! `crossfade completions`: completions for a shell.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::exit::Failure;
use super::output::print;

/// Prints completions for a shell.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Args {
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "crossfade", &mut script);
    Ok(print(&String::from_utf8_lossy(&script))?)
}
