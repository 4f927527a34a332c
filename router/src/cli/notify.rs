//! `crossfade notify test`: tells whether notices would arrive.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use flags::MigrationId;
use serde_json::json;

use super::check;
use super::exit::{Exit, Failure};
use super::output::{Output, print, print_json, table};
use crate::config::Config;
use crate::notify::{Trial, attempt_all};

/// Notices: who is told when a migration moves or is in trouble.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Notify,
}

#[derive(Clone, Debug, Subcommand)]
enum Notify {
    Test(Test),
}

/// Sends one test notice to each target of a file, and tells what happened.
#[derive(Clone, Debug, clap::Args)]
struct Test {
    /// The file.
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    output: Output,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let Notify::Test(args) = &args.command;
    let config = check::load(&args.config)?;
    check::warn(&config);
    if config.notify.is_empty() {
        let message = format!("{} tells nobody: it has no `notify`", args.config.display());
        return Err(Failure::new(Exit::Failure, message));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let migration = some_migration(&config)?;
    let trials = runtime.block_on(attempt_all(&config.notify, &config.environment, &migration));
    if args.output.is_json() {
        let targets: Vec<_> = trials
            .iter()
            .map(|own| json!({ "target": own.target, "address": own.address, "sent": own.problem.is_none(), "problem": own.problem }))
            .collect();
        print_json(&json!({ "targets": targets }))?;
    } else {
        print(&table(&["TARGET", "ADDRESS", "RESULT"], trials.iter().map(row).collect()))?;
    }
    let failed = trials.iter().filter(|own| own.problem.is_some()).count();
    if failed > 0 {
        let message = format!("{failed} of {} targets did not take the test notice", trials.len());
        return Err(Failure::new(Exit::Failure, message));
    }
    Ok(())
}

/// A test names a migration, because every notice does.
fn some_migration(config: &Config) -> Result<MigrationId, Failure> {
    match config.definitions.migrations().first() {
        Some(migration) => Ok(migration.id.clone()),
        None => Ok(MigrationId::new("test").context("a test has no name")?),
    }
}

fn row(own: &Trial) -> Vec<String> {
    let result = own.problem.clone().unwrap_or_else(|| "sent".into());
    vec![own.target.clone(), own.address.clone(), result]
}
