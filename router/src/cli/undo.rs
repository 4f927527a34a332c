//! `crossfade undo`: takes the last change of a migration back, as a new revision.

use http::Method;

use super::change::ChangeArgs;
use super::client::encoded;
use super::exit::Failure;

/// Takes the last change of a migration back, as a new revision.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    migration: String,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let path = format!("/migrations/{}/undo", encoded(&args.migration));
    let call = args.change.call(Method::POST, path, &[]);
    args.change.run(call)
}
