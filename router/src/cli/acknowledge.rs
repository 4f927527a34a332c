//! `crossfade acknowledge`: leaves emergency_rollback, having understood why it was entered.

use http::Method;
use serde_json::json;

use flags::Mode;

use super::change::ChangeArgs;
use super::client::encoded;
use super::exit::Failure;

/// Leaves emergency_rollback; needs the role admin.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    migration: String,
    /// The mode to go on with: legacy_only or parallel.
    #[arg(long, value_name = "MODE")]
    to: Mode,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let path = format!("/migrations/{}/acknowledge", encoded(&args.migration));
    let call = args.change.call(Method::POST, path, &[("to", json!(args.to.name()))]);
    args.change.run(call)
}
