//! `crossfade freeze` and `thaw`: nothing moves toward new, and again.

use std::time::Duration;

use http::Method;
use serde_json::{Map, Value, json};

use super::change::reason;
use super::client::{Call, Connection};
use super::exit::Failure;
use super::output::{Output, cell, print, print_json, seconds, shown};
use crate::config::Period;

/// What the router takes as the length of a freeze.
const LASTS_MIN: Duration = Duration::from_secs(60);
const LASTS_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Refuses every move toward new until a thaw; back to legacy stays open.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct FreezeArgs {
    /// How long, 1m to 30d; until somebody thaws unless said.
    #[arg(long = "for", value_name = "DURATION", value_parser = lasts)]
    lasts: Option<Period>,
    #[command(flatten)]
    word: WordArgs,
}

/// Ends a freeze.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ThawArgs {
    #[command(flatten)]
    word: WordArgs,
}

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Change")]
struct WordArgs {
    /// Why: whoever is refused by it reads this, and so does whoever looks next.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// Tells what would change and changes nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

fn lasts(text: &str) -> Result<Period, String> {
    let period: Period = text.parse()?;
    let is_possible = (LASTS_MIN..=LASTS_MAX).contains(&period.0);
    if is_possible { Ok(period) } else { Err("a freeze lasts 1m to 30d".into()) }
}

pub(crate) fn freeze(args: &FreezeArgs) -> Result<(), Failure> {
    args.word.say(Method::PUT, args.lasts.map(|lasts| ("for", json!(lasts.to_string()))))
}

pub(crate) fn thaw(args: &ThawArgs) -> Result<(), Failure> {
    args.word.say(Method::DELETE, None)
}

impl WordArgs {
    fn say(&self, method: Method, member: Option<(&str, Value)>) -> Result<(), Failure> {
        let mut body = Map::from_iter([("reason".to_owned(), json!(self.reason))]);
        body.extend(member.map(|(name, value)| (name.to_owned(), value)));
        let mut call = Call { method, body: Some(body.into()), ..Call::get("/freeze") };
        if self.dry_run {
            call.query.push(("dry_run", "true".to_owned()));
        }
        let answer = self.connection.call(call)?;
        if self.output.is_json() {
            print_json(&answer)?;
        } else {
            print(&summary(&answer))?;
        }
        Ok(())
    }
}

fn summary(answer: &Value) -> String {
    let is = |name: &str| answer[name].as_bool().unwrap_or(false);
    let mut text = match (is("frozen"), is("changed")) {
        (true, _) => format!("{}: nothing moves toward new\n", line(answer)),
        (false, true) => "thawed: moves toward new are taken again\n".to_owned(),
        (false, false) => "it was not frozen: nothing was written\n".to_owned(),
    };
    if is("dry_run") {
        text.push_str("dry run: nothing was changed\n");
    } else if is("frozen") {
        text.push_str("thaw: crossfade thaw --reason TEXT\n");
    }
    text
}

/// A freeze as an answer has it, on one line.
pub(super) fn line(freeze: &Value) -> String {
    let until = match &freeze["until"] {
        Value::Null => "until somebody thaws it".to_owned(),
        until => format!("until {}", seconds(until)),
    };
    let (actor, reason) = (cell(&freeze["actor"]), cell(&freeze["reason"]));
    shown(&format!("frozen by {actor} since {} {until}: {reason}", seconds(&freeze["time"]))).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(answer: &Value, expected: &str) {
        assert_eq!(summary(answer), expected, "{answer}");
    }

    #[test]
    fn a_freeze_and_a_thaw_are_summed_up() {
        let frozen = json!({
            "frozen": true, "changed": true, "dry_run": false, "actor": "ann", "reason": "rel\u{7}ease",
            "time": "2026-05-04T03:02:01.25Z", "until": "2026-05-04T05:02:01.25Z",
        });
        check(
            &frozen,
            "frozen by ann since 2026-05-04T03:02:01Z until 2026-05-04T05:02:01Z: rel\u{fffd}ease: nothing moves toward new\n\
             thaw: crossfade thaw --reason TEXT\n",
        );
        let mut dry = frozen;
        (dry["dry_run"], dry["until"]) = (json!(true), Value::Null);
        assert!(summary(&dry).contains("until somebody thaws it") && summary(&dry).contains("dry run"), "{dry}");
        check(
            &json!({ "frozen": false, "changed": true, "dry_run": false }),
            "thawed: moves toward new are taken again\n",
        );
        check(&json!({ "frozen": false, "changed": false }), "it was not frozen: nothing was written\n");
    }
}
