//! `crossfade mode`: changes how a migration serves.

use http::Method;
use serde_json::json;

use flags::Mode;

use super::change::ChangeArgs;
use super::client::encoded;
use super::exit::Failure;

/// Changes the mode of a migration.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    migration: String,
    /// legacy_only, parallel, gradual or new_only
    mode: Mode,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let path = format!("/migrations/{}/mode", encoded(&args.migration));
    let call = args.change.call(Method::PUT, path, &[("mode", json!(args.mode.name()))]);
    args.change.run(call)
}
