//! `crossfade status`: where every migration stands, what this router sees of it, and who else serves.
//!
//! Of one migration also how both sides did over a window, and what speaks against new.

use std::io::IsTerminal as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Call, Connection, encoded};
use super::exit::{Exit, Failure};
use super::output::{Output, cell, percent, print, table};
use super::performance;

/// Evidence against new that is worth a look; a hold comes at 20.
const EVIDENCE_SHOWN: f64 = 5.0;

const WATCH_EVERY: Duration = Duration::from_secs(2);

/// Shows modes, configured and observed percentage, health and routers.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this migration.
    migration: Option<String>,
    /// How far back the sides of one migration are compared, such as 15m, 6h or 30d.
    #[arg(long, value_name = "DURATION", default_value = "10m", requires = "migration")]
    window: String,
    /// Again every 2 s until Ctrl-C.
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    loop {
        let seen = look(args)?;
        let text = if args.output.is_json() {
            // One object a line while watching, so that a reader needs no parser for streams.
            if args.watch { seen.to_string() } else { format!("{seen:#}") }
        } else {
            tables(&seen)
        };
        if args.watch && !args.output.is_json() && std::io::stdout().is_terminal() {
            print("\u{1b}[2J\u{1b}[H")?;
        }
        print(&text)?;
        if !args.watch {
            return Ok(());
        }
        std::thread::sleep(WATCH_EVERY);
    }
}

fn look(args: &Args) -> Result<Value, Failure> {
    let (mut comparison, mut evidence) = (Value::Null, Value::Null);
    let (degraded, freeze);
    let migrations = match &args.migration {
        Some(id) => {
            let path = format!("/migrations/{}", encoded(id));
            let one = args.connection.call(Call::get(&path))?;
            let query = vec![("window", args.window.clone())];
            let compared = args.connection.call(Call { query, ..Call::get(format!("{path}/comparison")) });
            // With the store away there are no counts, and where it stands matters all the same; a wrong window is told.
            comparison = match compared {
                Err(failure) if failure.exit == Exit::Unreachable => Value::Null,
                compared => compared?,
            };
            evidence = args.connection.call(Call::get(format!("{path}/evidence")))?;
            let mut all = args.connection.call(Call::get("/migrations"))?;
            (degraded, freeze) = (all["degraded"].take(), all["freeze"].take());
            json!([one])
        }
        None => {
            let mut answer = args.connection.call(Call::get("/migrations"))?;
            (degraded, freeze) = (answer["degraded"].take(), answer["freeze"].take());
            answer["migrations"].take()
        }
    };
    // With the store away nobody can list the replicas, and the modes are what matters.
    let mut fleet = args.connection.call(Call::get("/replicas")).unwrap_or(Value::Null);
    let replicas = fleet.get_mut("replicas").map_or(Value::Null, Value::take);
    let mut seen = json!({
        "migrations": migrations, "replicas": replicas, "fleet": fleet, "degraded": degraded, "freeze": freeze,
    });
    if args.migration.is_some() {
        (seen["comparison"], seen["evidence"]) = (comparison, evidence);
    }
    Ok(seen)
}

fn tables(seen: &Value) -> String {
    let list = |name: &str| seen[name].as_array().map_or(&[][..], Vec::as_slice);
    let rows = list("migrations").iter().map(migration).collect();
    let header =
        ["MIGRATION", "MODE", "PERCENT", "OBSERVED", "STATE", "LEGACY", "NEW", "PINS", "REVISION", "LAST CHANGE"];
    let mut text = table(&header, rows);
    for migration in list("migrations") {
        if let Some(problem) = migration["problem"].as_str() {
            let problem = super::output::shown(problem);
            text.push_str(&format!("\n\n{}: {problem}", cell(&migration["id"])));
        }
    }
    let performance = performance::tables(&seen["comparison"], &seen["evidence"]);
    if !performance.is_empty() {
        text.push_str(&format!("\n\n{performance}"));
    }
    if seen["freeze"].is_object() {
        text.push_str(&format!("\n\n{}", super::freeze::line(&seen["freeze"])));
    }
    for sentence in list("degraded") {
        text.push_str(&format!("\n\ndegraded: {}", super::output::shown(&cell(sentence))));
    }
    if seen["replicas"].is_null() {
        text.push_str("\n\nthe other routers are not known: the store does not answer");
    } else {
        let rows = list("replicas").iter().map(replica).collect();
        text.push_str("\n\n");
        text.push_str(&agreement(&seen["fleet"]));
        text.push_str("\n\n");
        text.push_str(&table(&["ROUTER", "STATE", "REVISION", "FILE", "VERSION"], rows));
    }
    text
}

/// How many live routers serve the newest revision, and who does not or has another file.
fn agreement(fleet: &Value) -> String {
    let number = |name: &str| cell(&fleet[name]);
    let mut text =
        format!("{}/{} routers at revision {}", number("current"), number("live"), number("newest_revision"));
    for (name, what) in [("behind", "behind"), ("other_file", "of another file than most")] {
        if fleet[name].as_array().is_some_and(|names| !names.is_empty()) {
            text.push_str(&format!("; {what}: {}", super::output::shown(&cell(&fleet[name]))));
        }
    }
    text
}

fn migration(view: &Value) -> Vec<String> {
    let stored = cell(&view["mode"]);
    let effective = cell(&view["effective_mode"]);
    // A kill file or a local rollback is ahead of the store.
    let mode =
        if effective == stored || effective == "-" { stored } else { format!("{effective} here ({stored} stored)") };
    let last = &view["last_change"];
    let last =
        if last.is_object() { format!("{}: {}", cell(&last["actor"]), cell(&last["reason"])) } else { "-".into() };
    vec![
        cell(&view["id"]),
        mode,
        percent(&view["percent"]),
        percent(&view["observed"]["percent"]),
        state(view),
        side(&view["legacy"]),
        side(&view["new"]),
        cell(&view["pins"]),
        cell(&view["revision"]),
        last,
    ]
}

/// Whether it makes progress, with the evidence once there is some.
fn state(view: &Value) -> String {
    let state = cell(&view["state"]);
    match view["evidence"].as_f64() {
        Some(evidence) if evidence >= EVIDENCE_SHOWN => format!("{state}, evidence {}", performance::e_value(evidence)),
        Some(_) | None => state,
    }
}

fn side(view: &Value) -> String {
    let health = match view["healthy"].as_bool() {
        Some(true) => " up",
        Some(false) => " DOWN",
        None => "",
    };
    format!("{}{health}", cell(&view["label"]))
}

fn replica(view: &Value) -> Vec<String> {
    let flag = |name: &str| view[name].as_bool().unwrap_or(false);
    let state = match (flag("live"), flag("draining"), flag("behind")) {
        (false, _, _) => "gone",
        (true, true, _) => "draining",
        (true, false, true) => "behind",
        (true, false, false) => "live",
    };
    let name = if flag("this") { format!("{} (this)", cell(&view["name"])) } else { cell(&view["name"]) };
    let file: String = cell(&view["config_hash"]).chars().take(12).collect();
    vec![name, state.into(), cell(&view["revision"]), file, cell(&view["version"])]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_a_fleet_fits_two_tables() {
        let seen = json!({
            "migrations": [{
                "id": "sessions", "mode": "gradual", "effective_mode": "emergency_rollback", "percent": 12.5, "state": "running",
                "legacy": {"label": "TypeScript", "healthy": true}, "new": {"label": "Python", "healthy": false},
                "pins": 2, "revision": 7, "last_change": {"actor": "ann", "reason": "try\u{7} it"}, "observed": {"percent": 0.0},
                "problem": "its schema is 9, this version reads 1",
            }],
            "replicas": [{"name": "r1", "live": true, "draining": false, "revision": 7, "config_hash": "0123456789abcdef", "version": "0.1.0", "this": true}],
            "freeze": {"actor": "bob", "reason": "release\u{7}", "time": "2026-05-04T03:02:01Z"},
            "fleet": {"current": 7, "live": 8, "newest_revision": 42, "behind": ["r2", "r\u{7}3"], "other_file": []},
        });
        let text = tables(&seen);
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
            .collect();
        assert_eq!(
            lines[1],
            [
                "sessions",
                "emergency_rollback here (gradual stored)",
                "12.5 %",
                "0 %",
                "running",
                "TypeScript up",
                "Python DOWN",
                "2",
                "7",
                "ann: try\u{fffd} it"
            ]
        );
        assert_eq!(lines[3], ["sessions: its schema is 9, this version reads 1"]);
        assert_eq!(lines[5], ["frozen by bob since 2026-05-04T03:02:01Z until somebody thaws it: release\u{fffd}"],);
        assert_eq!(lines[7], ["7/8 routers at revision 42; behind: r2, r\u{fffd}3"]);
        assert_eq!(lines[10], ["r1 (this)", "live", "7", "0123456789ab", "0.1.0"]);
    }
}
