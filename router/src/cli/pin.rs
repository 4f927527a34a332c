//! `crossfade pin` and `unpin`: explicit placement of one key.

use http::Method;
use serde_json::{Value, json};

use super::change::ChangeArgs;
use super::client::encoded;
use super::exit::Failure;
use crate::config::Period;

/// Places one key on a side, whatever the mode and the percentage say.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PinArgs {
    migration: String,
    key: String,
    #[arg(value_parser = ["legacy", "new"])]
    side: String,
    /// How long, such as 7d; for ever unless said.
    #[arg(long = "for", value_name = "DURATION", value_parser = life)]
    life: Option<Period>,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Removes the pin of a key.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct UnpinArgs {
    migration: String,
    key: String,
    #[command(flatten)]
    change: ChangeArgs,
}

fn life(text: &str) -> Result<Period, String> {
    let period: Period = text.parse()?;
    if period.0.is_zero() { Err("a pin that never holds is no pin".into()) } else { Ok(period) }
}

fn path(migration: &str, key: &str) -> String {
    format!("/migrations/{}/pins/{}", encoded(migration), encoded(key))
}

pub(crate) fn pin(args: &PinArgs) -> Result<(), Failure> {
    let mut members: Vec<(&str, Value)> = vec![("side", json!(args.side))];
    members.extend(args.life.map(|life| ("for", json!(life.to_string()))));
    let call = args.change.call(Method::PUT, path(&args.migration, &args.key), &members);
    args.change.run(call)
}

pub(crate) fn unpin(args: &UnpinArgs) -> Result<(), Failure> {
    let call = args.change.call(Method::DELETE, path(&args.migration, &args.key), &[]);
    args.change.run(call)
}
