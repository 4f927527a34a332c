//! `crossfade rollout`: changes the share of keys that new serves in mode gradual.

use http::Method;
use serde_json::json;

use flags::BasisPoints;

use super::change::ChangeArgs;
use super::client::encoded;
use super::exit::Failure;

/// Sets the percentage of keys that new serves in mode gradual.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    migration: String,
    /// 0 to 100 with at most two decimals: 25, 12.5, 25%
    percent: BasisPoints,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let path = format!("/migrations/{}/rollout", encoded(&args.migration));
    let call = args.change.call(Method::PUT, path, &[("percent", json!(args.percent.percent()))]);
    args.change.run(call)
}
