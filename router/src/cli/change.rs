//! What every change has in common: reason, guards against accidents, waiting, and what is printed.

use std::time::Duration;

use http::Method;
use serde_json::{Map, Value, json};

use super::client::{Call, Connection};
use super::exit::{Exit, Failure};
use super::output::{Output, cell, percent, print, print_json, shown};
use crate::config::Period;

/// The longest wait that the router accepts.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Arguments of every change.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Change")]
pub(crate) struct ChangeArgs {
    /// Why: the history keeps it for whoever looks next.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// Only if nobody has changed the migration since this revision.
    #[arg(long, value_name = "N")]
    if_revision: Option<u64>,
    /// Tells what would move and changes nothing.
    #[arg(long)]
    dry_run: bool,
    /// How long to wait until every live router has applied it; 0 does not wait.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = wait)]
    wait: Period,
    /// Also toward new while a live router has not confirmed the change before, the guard has stopped progress or the
    /// environment is frozen.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

pub(super) fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() { Err("say why the change is made".into()) } else { Ok(text.into()) }
}

fn wait(text: &str) -> Result<Period, String> {
    let period: Period = text.parse()?;
    if period.0 > WAIT_MAX { Err("at most 60s can be waited for".into()) } else { Ok(period) }
}

impl ChangeArgs {
    /// The call that asks for this change; `members` go beside the reason.
    pub(crate) fn call(&self, method: Method, path: String, members: &[(&str, Value)]) -> Call {
        let mut body = Map::from_iter([("reason".to_owned(), json!(self.reason))]);
        if self.force {
            body.insert("force".into(), true.into());
        }
        body.extend(members.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let mut query = Vec::new();
        if self.dry_run {
            query.push(("dry_run", "true".to_owned()));
        }
        if !self.wait.0.is_zero() && !self.dry_run {
            query.push(("wait", self.wait.to_string()));
        }
        Call { method, path, query, body: Some(body.into()), if_revision: self.if_revision, wait: self.wait.0 }
    }

    pub(crate) const fn if_revision(&self) -> Option<u64> {
        self.if_revision
    }

    /// Whether the caller wants to know that every router has it.
    fn waits(&self) -> bool {
        !self.wait.0.is_zero() && !self.dry_run
    }

    /// Calls, prints what was done, and answers whether everybody has it.
    pub(crate) fn run(&self, call: Call) -> Result<(), Failure> {
        let answer = self.connection.call(call)?;
        if self.output.is_json() {
            print_json(&answer)?;
        }
        let changes = match answer["changes"].as_array() {
            Some(changes) => changes.iter().collect(),
            None => vec![&answer],
        };
        let mut late = false;
        for change in changes {
            if !self.output.is_json() {
                print(&summary(change))?;
            }
            late |= self.waits() && !change["converged"].as_bool().unwrap_or(false);
            if let Some(note) = note(change) {
                eprint!("{}", shown_lines(&note));
            }
        }
        if late { Err(Failure::told(Exit::NotConverged)) } else { Ok(()) }
    }
}

/// What a change did, in lines for a person: the facts, who has it, how to take it back.
fn summary(change: &Value) -> String {
    let migration = cell(&change["migration"]);
    let (before, after) = (&change["before"], &change["after"]);
    let mut text = migration;
    if let Some(pin) = change["pin"].as_object() {
        let side =
            |value: &Value| value["side"].as_str().map_or("not pinned".to_owned(), |side| format!("pinned to {side}"));
        let (was, is) = (side(&pin["before"]), side(&pin["after"]));
        text.push_str(&format!(": key {} {was} -> {is}", cell(&pin["key"])));
        if let Some(until) = pin["after"]["until"].as_str() {
            text.push_str(&format!(" until {until}"));
        }
    } else if let Some(rule) = change["rule"].as_object() {
        let told = |rule: &Value| format!("{} on {}", cell(&rule["kind"]), cell(&rule["path"]));
        let until = |rule: &Value| format!("{} until {}", told(rule), cell(&rule["expires"]));
        match (rule["before"].is_null(), rule["after"].is_null()) {
            (false, true) => text.push_str(&format!(": rule {} taken back", told(&rule["before"]))),
            _ => text.push_str(&format!(": rule {} {}", cell(&rule["after"]["id"]), until(&rule["after"]))),
        }
    } else {
        let place = |position: &Value| format!("{} {}", cell(&position["mode"]), percent(&position["percent"]));
        text.push_str(&format!(": {} -> {}", place(before), place(after)));
    }
    let dry_run = change["dry_run"].as_bool().unwrap_or(false);
    if !dry_run {
        text.push_str(&format!(", revision {}", cell(&change["revision"])));
    }
    text.push('\n');
    if let Some(passes) = change["passes"].as_object() {
        let would = passes.get("would_pass").map_or("as many as its values say".to_owned(), cell);
        let (of, in_all) = (cell(&passes["requests"]), cell(&passes["mismatches"]));
        text.push_str(&format!("of {of} requests in {in_all} mismatches it lets pass {would}\n"));
    }
    let moves = &change["moves"];
    if moves["direction"].as_str().is_some_and(|direction| direction != "none") {
        let verb = if dry_run { "would move" } else { "moves" };
        let toward = if moves["direction"] == "toward_new" { "new" } else { "legacy" };
        text.push_str(&format!("{verb} {} of all keys toward {toward}\n", percent(&moves["percent"])));
    }
    if dry_run {
        text.push_str("dry run: nothing was changed\n");
        return shown_lines(&text);
    }
    if !change["changed"].as_bool().unwrap_or(true) {
        text.push_str("it already was so: nothing was written\n");
    }
    let applied = change["applied_by"].as_array().map_or(0, Vec::len);
    let pending = change["pending"].as_array().map_or(0, Vec::len);
    text.push_str(&format!("applied by {applied} of {} live routers\n", applied + pending));
    if let Some(command) = change["undo"]["command"].as_str() {
        text.push_str(&format!("undo: {command}\n"));
    }
    shown_lines(&text)
}

fn shown_lines(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", shown(line))).collect()
}

/// What an operator must know beyond the change itself.
fn note(change: &Value) -> Option<String> {
    if change["here_only"].as_bool().unwrap_or(false) {
        return Some("warning: the store is away; this router acts now, the others follow when it is back".into());
    }
    let list = |name: &str| change[name].as_array().map_or(&[][..], Vec::as_slice).iter().map(cell).collect::<Vec<_>>();
    let mut notes: Vec<String> = list("warnings").iter().map(|warning| format!("warning: {warning}")).collect();
    let pending = list("pending");
    if !pending.is_empty() {
        notes.push(format!("warning: not yet applied by {}", pending.join(", ")));
    }
    (!notes.is_empty()).then(|| notes.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_summed_up_with_its_undo() {
        let change = json!({
            "migration": "sessions", "revision": 18, "kind": "rollout",
            "before": {"mode": "gradual", "percent": 10.0}, "after": {"mode": "gradual", "percent": 12.5},
            "moves": {"direction": "toward_new", "percent": 2.5}, "changed": true, "dry_run": false, "here_only": false,
            "undo": {"command": "crossfade undo sessions --reason TEXT"},
            "applied_by": ["a", "b"], "pending": ["c\u{1b}[31m"], "converged": false,
        });
        let expected = "\
sessions: gradual 10 % -> gradual 12.5 %, revision 18
moves 2.5 % of all keys toward new
applied by 2 of 3 live routers
undo: crossfade undo sessions --reason TEXT
";
        assert_eq!(summary(&change), expected);
        assert_eq!(note(&change).unwrap(), "warning: not yet applied by c\u{1b}[31m");
    }

    #[test]
    fn a_dry_run_says_that_nothing_changed() {
        let change = json!({
            "migration": "m", "before": {"mode": "gradual", "percent": 0}, "after": {"mode": "new_only", "percent": 0},
            "moves": {"direction": "toward_new", "percent": 100.0}, "dry_run": true, "changed": true,
        });
        let expected =
            "m: gradual 0 % -> new_only 0 %\nwould move 100 % of all keys toward new\ndry run: nothing was changed\n";
        assert_eq!(summary(&change), expected);
    }
}
