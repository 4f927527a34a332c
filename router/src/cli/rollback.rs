//! `crossfade rollback`: everything to legacy, at once. It never asks back.

use http::Method;

use super::change::ChangeArgs;
use super::client::encoded;
use super::exit::{Exit, Failure};

/// Sends all traffic of a migration, or of all, to legacy until somebody acknowledges.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    migration: Option<String>,
    /// Every migration.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let path = match &args.migration {
        Some(migration) => format!("/migrations/{}/rollback", encoded(migration)),
        None if args.change.if_revision().is_some() => {
            return Err(Failure::new(Exit::Usage, "--if-revision is of one migration and does not go with --all"));
        }
        None => "/rollback".into(),
    };
    let call = args.change.call(Method::POST, path, &[]);
    args.change.run(call)
}
