//! `crossfade rule`: what may differ between both systems, accepted by a person and taken back.

use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::change::ChangeArgs;
use super::client::{Call, Connection, encoded};
use super::exit::Failure;
use super::output::{Output, cell, print, print_json, table};

/// Shows and changes what answers of both systems may differ in.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    List(ListArgs),
    Accept(AcceptArgs),
    Add(AddArgs),
    Remove(RemoveArgs),
}

/// Shows the rules of a migration, with owner, reason and end.
#[derive(Clone, Debug, clap::Args)]
struct ListArgs {
    migration: String,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

/// Accepts the rule that a mismatch asks for.
#[derive(Clone, Debug, clap::Args)]
struct AcceptArgs {
    migration: String,
    /// Of the mismatch, as `crossfade mismatches` shows it.
    fingerprint: String,
    /// Another kind than the proposed one.
    #[arg(long, value_parser = kind)]
    kind: Option<Value>,
    #[command(flatten)]
    term: Term,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Adds a rule of one's own.
#[derive(Clone, Debug, clap::Args)]
struct AddArgs {
    migration: String,
    /// Such as $.items[*].id, header:location or status.
    path: String,
    /// ignore, shape, unordered, or JSON such as {"tolerance": {"absolute": 0.01}} and {"keyed_by": {"key": "id"}}.
    #[arg(value_parser = kind)]
    kind: Value,
    /// Only on this route: its path template.
    #[arg(long, value_name = "TEMPLATE")]
    route: Option<String>,
    #[command(flatten)]
    term: Term,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Takes an accepted rule back.
#[derive(Clone, Debug, clap::Args)]
struct RemoveArgs {
    migration: String,
    /// As `crossfade rule list` shows it.
    rule: String,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Clone, Debug, clap::Args)]
struct Term {
    /// Who answers for it; whose token it is unless said.
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
    /// The last day on which it holds, such as 2027-01-31; 30 days from now unless said.
    #[arg(long, value_name = "DAY")]
    expires: Option<String>,
}

impl Term {
    fn members(&self) -> impl Iterator<Item = (&'static str, Value)> {
        let given = [("owner", self.owner.clone()), ("expires", self.expires.clone())];
        given.into_iter().filter_map(|(name, value)| Some((name, json!(value?))))
    }
}

/// A kind in JSON, or its name alone.
#[expect(clippy::unnecessary_wraps, reason = "a parser of an argument may fail; the router says what is wrong")]
fn kind(text: &str) -> Result<Value, String> {
    let text = text.trim();
    Ok(serde_json::from_str(text).unwrap_or_else(|_| json!(text)))
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let rules = |migration: &str| format!("/migrations/{}/rules", encoded(migration));
    match &args.what {
        What::List(args) => list(args, rules(&args.migration)),
        What::Accept(args) => {
            let mut members = vec![("fingerprint", json!(args.fingerprint))];
            members.extend(args.kind.clone().map(|kind| ("kind", kind)));
            members.extend(args.term.members());
            args.change.run(args.change.call(Method::POST, rules(&args.migration), &members))
        }
        What::Add(args) => {
            let mut members = vec![("path", json!(args.path)), ("kind", args.kind.clone())];
            members.extend(args.route.as_ref().map(|route| ("route", json!(route))));
            members.extend(args.term.members());
            args.change.run(args.change.call(Method::POST, rules(&args.migration), &members))
        }
        What::Remove(args) => {
            let path = format!("{}/{}", rules(&args.migration), encoded(&args.rule));
            args.change.run(args.change.call(Method::DELETE, path, &[]))
        }
    }
}

fn list(args: &ListArgs, path: String) -> Result<(), Failure> {
    let answer = args.connection.call(Call::get(path))?;
    if args.output.is_json() {
        print_json(&answer)?;
        return Ok(());
    }
    let rows = answer["rules"].as_array().map(|rules| rules.iter().map(row).collect());
    let header = ["RULE", "PATH", "KIND", "ROUTE", "OWNER", "EXPIRES", "REASON"];
    print(&table(&header, rows.unwrap_or_default()))?;
    Ok(())
}

fn row(rule: &Value) -> Vec<String> {
    let id = rule["id"].as_str().unwrap_or("of the file").to_owned();
    let over = if rule["expired"] == true { " (over)" } else { "" };
    let own = |name: &str| cell(&rule[name]);
    vec![id, own("path"), own("kind"), own("route"), own("owner"), own("expires") + over, own("reason")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_a_name_or_json() {
        assert_eq!(kind("shape").unwrap(), json!("shape"));
        assert_eq!(kind("\"ignore\"").unwrap(), json!("ignore"));
        assert_eq!(kind(" {\"tolerance\":{\"absolute\":0.01}}").unwrap(), json!({"tolerance": {"absolute": 0.01}}));
        assert_eq!(kind("{tolerance").unwrap(), json!("{tolerance"), "the router says what is wrong with it");
    }

    #[test]
    fn a_rule_that_is_over_says_so() {
        let rule = json!({"id": "ab", "path": "$.a", "kind": "shape", "owner": "ann", "reason": "r",
            "expires": "2026-01-31", "expired": true});
        assert_eq!(row(&rule), ["ab", "$.a", "shape", "-", "ann", "2026-01-31 (over)", "r"]);
    }
}
