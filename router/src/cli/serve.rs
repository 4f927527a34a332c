//! `crossfade serve`: runs the router until it is told to stop.

use std::path::PathBuf;

use super::check;
use super::exit::{Exit, Failure};
use crate::app::{self, StartError};
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
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("admin")
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failure, format!("the system gives no threads: {error}")))?;
    let served = runtime.block_on(app::serve(&args.config, config));
    // What is left are tasks that wait for the store or a socket; they must not hold the process.
    runtime.shutdown_background();
    served.map_err(|error| {
        let exit = if matches!(error, StartError::Refused(_)) { Exit::Unreachable } else { Exit::Failure };
        Failure::new(exit, format!("the router cannot start: {error}"))
    })
}
