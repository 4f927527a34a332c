//! `crossfade history`: who changed what, when and why.

use serde_json::Value;

use super::client::{Call, Connection, encoded};
use super::exit::Failure;
use super::output::{Output, cell, percent, print, print_json, seconds, table};

/// Shows the changes of a migration, newest first.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    migration: String,
    /// How many, 1 to 200.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=200))]
    limit: u16,
    /// Only changes older than this revision.
    #[arg(long, value_name = "REVISION")]
    before: Option<u64>,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut call = Call::get(format!("/migrations/{}/history", encoded(&args.migration)));
    call.query.push(("limit", args.limit.to_string()));
    call.query.extend(args.before.map(|revision| ("before", revision.to_string())));
    let answer = args.connection.call(call)?;
    if args.output.is_json() {
        print_json(&answer)?;
    } else {
        let rows = answer["history"].as_array().map(|entries| entries.iter().map(row).collect());
        print(&table(&["REVISION", "TIME", "ACTOR", "CHANGE", "REASON"], rows.unwrap_or_default()))?;
    }
    if answer["chain"] == "broken" {
        let place = cell(&answer["broken_at"]);
        eprintln!("warning: the history was edited or is incomplete: revision {place} does not fit the one before it");
    }
    Ok(())
}

fn row(entry: &Value) -> Vec<String> {
    let change = match entry["pin"].as_object() {
        None if entry["rule"].is_object() => {
            let rule = |rule: &Value| match rule.as_object() {
                Some(_) => format!("{} on {}", cell(&rule["kind"]), cell(&rule["path"])),
                None => "no rule".to_owned(),
            };
            format!("{}: {} -> {}", cell(&entry["kind"]), rule(&entry["rule"]["before"]), rule(&entry["rule"]["after"]))
        }
        Some(pin) => {
            let side = |pin: &Value| pin["side"].as_str().unwrap_or("no pin").to_owned();
            format!("{}: {} -> {}", cell(&pin["key"]), side(&pin["before"]), side(&pin["after"]))
        }
        None => {
            let place = |position: &Value| format!("{} {}", cell(&position["mode"]), percent(&position["percent"]));
            format!("{}: {} -> {}", cell(&entry["kind"]), place(&entry["before"]), place(&entry["after"]))
        }
    };
    vec![cell(&entry["revision"]), seconds(&entry["time"]), cell(&entry["actor"]), change, cell(&entry["reason"])]
}
