//! The command line: one file a subcommand, exit codes in one place.
//!
//! Data goes to stdout and messages to stderr, so that output can be piped. A script branches on the
//! exit code (`exit::Exit`) and, with `-o json`, on the `code` of a problem.
//!
//! Not here: prompts. A rollback at night must not wait for a `y`.

mod acknowledge;
mod change;
mod check;
mod client;
mod completions;
mod counts;
pub mod demo;
mod diff;
mod exit;
mod explain;
mod freeze;
mod history;
mod issues;
mod mismatches;
mod mode;
mod notify;
pub(crate) mod output;
mod performance;
mod pin;
mod replay;
mod reseed;
mod rollback;
mod rollout;
mod rule;
mod schema;
mod serve;
mod simulate;
mod status;
mod token;
mod undo;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use exit::{Exit, Failure};

/// Moves live traffic from a legacy system to its replacement, and back, safely.
#[derive(Debug, Parser)]
#[command(name = "crossfade", version, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = "\
Exit codes: 0 ok, 1 failure, 2 usage, 3 invalid configuration, 4 unreachable or unauthorised,
5 conflict, 6 refused, 7 not every live router has applied the change.")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Serve(serve::Args),
    Check(check::Args),
    Schema(schema::Args),
    Status(status::Args),
    Mode(mode::Args),
    Rollout(rollout::Args),
    Rollback(rollback::Args),
    Acknowledge(acknowledge::Args),
    Pin(pin::PinArgs),
    Unpin(pin::UnpinArgs),
    Explain(explain::Args),
    History(history::Args),
    Issues(issues::Args),
    Counts(counts::Args),
    Mismatches(mismatches::Args),
    Rule(rule::Args),
    Undo(undo::Args),
    Freeze(freeze::FreezeArgs),
    Thaw(freeze::ThawArgs),
    Simulate(simulate::Args),
    Replay(replay::Args),
    Diff(diff::Args),
    Reseed(reseed::Args),
    Notify(notify::Args),
    Token(token::Args),
    Completions(completions::Args),
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too; a closed pipe is nobody's problem.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { ExitCode::SUCCESS };
        }
    };
    match dispatch(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Demo(args) => demo::run(&args).map_err(Failure::from),
        Command::Serve(args) => serve::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Mode(args) => mode::run(&args),
        Command::Rollout(args) => rollout::run(&args),
        Command::Rollback(args) => rollback::run(&args),
        Command::Acknowledge(args) => acknowledge::run(&args),
        Command::Pin(args) => pin::pin(&args),
        Command::Unpin(args) => pin::unpin(&args),
        Command::Explain(args) => explain::run(&args),
        Command::History(args) => history::run(&args),
        Command::Issues(args) => issues::run(&args),
        Command::Counts(args) => counts::run(&args),
        Command::Mismatches(args) => mismatches::run(&args),
        Command::Rule(args) => rule::run(&args),
        Command::Undo(args) => undo::run(&args),
        Command::Freeze(args) => freeze::freeze(&args),
        Command::Thaw(args) => freeze::thaw(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Reseed(args) => reseed::run(&args),
        Command::Notify(args) => notify::run(&args),
        Command::Token(args) => token::run(&args),
        Command::Completions(args) => completions::run(&args),
    }
}
