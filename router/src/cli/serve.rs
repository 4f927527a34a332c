//! `crossfade serve`: runs the router until it is told to stop.

use std::path::PathBuf;

use super::check;
use super::exit::{Exit, Failure};
use crate::logging;

/// Runs the router.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let config = check::load(&args.config)?;
    logging::init(&config.log);
    check::warn(&config);
    Err(Failure::new(Exit::Failure, "this build has no data plane yet"))
}
