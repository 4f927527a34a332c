//! `crossfade reseed`: gives a store back what it has lost.

use http::Method;

use super::change::ChangeArgs;
use super::exit::{Exit, Failure};

/// Writes the last good state of the router back to a store that lost it; needs the role admin.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    change: ChangeArgs,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.change.if_revision().is_some() {
        return Err(Failure::new(Exit::Usage, "--if-revision is of one migration and does not go with reseed"));
    }
    args.change.run(args.change.call(Method::POST, "/reseed".into(), &[]))
}
