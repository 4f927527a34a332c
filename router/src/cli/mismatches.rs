//! `crossfade mismatches`: what differs between both systems, and one mismatch with its examples.

use serde_json::Value;

use super::client::{Call, Connection, encoded};
use super::exit::Failure;
use super::output::{Output, cell, percent, print, print_json, seconds, table};

/// Shows in which ways answers of both systems differ, or one of these with its examples.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    migration: String,
    /// Of one mismatch, as the list has it.
    fingerprint: Option<String>,
    /// Only of this route: its path template.
    #[arg(long, value_name = "TEMPLATE")]
    route: Option<String>,
    /// Only of this kind, such as value_changed.
    #[arg(long)]
    kind: Option<String>,
    /// Only those of this status.
    #[arg(long, value_parser = ["counted", "insufficient", "noise", "accepted", "gone"])]
    status: Option<String>,
    /// How many, 1 to 500.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500))]
    limit: u16,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let list = format!("/migrations/{}/mismatches", encoded(&args.migration));
    let mut call = match &args.fingerprint {
        Some(fingerprint) => Call::get(format!("{list}/{}", encoded(fingerprint))),
        None => Call::get(list),
    };
    if args.fingerprint.is_none() {
        call.query.push(("limit", args.limit.to_string()));
        let filters = [("route", &args.route), ("kind", &args.kind), ("status", &args.status)];
        call.query.extend(filters.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
    }
    let answer = args.connection.call(call)?;
    if args.output.is_json() {
        print_json(&answer)?;
    } else if args.fingerprint.is_some() {
        print(&detail(&answer))?;
    } else {
        print(&overview(&answer))?;
    }
    Ok(())
}

fn overview(answer: &Value) -> String {
    let totals = &answer["totals"];
    let number = |name: &str| cell(&totals[name]);
    let mut text = format!(
        "{} matched, {} ignored, {} mismatched, {} not compared\n",
        number("matched"),
        number("ignored"),
        number("mismatched"),
        number("not_compared")
    );
    let reasons = totals["not_compared_by"].as_object().into_iter().flatten();
    let reasons: Vec<String> = reasons.map(|(why, count)| format!("{why} {count}")).collect();
    if !reasons.is_empty() {
        text.push_str(&format!("not compared: {}\n", reasons.join(", ")));
    }
    let all = answer["mismatches"].as_array().map_or(&[][..], Vec::as_slice);
    if all.is_empty() {
        return text + "no mismatch is known\n";
    }
    let header = ["FINGERPRINT", "STATUS", "USERS", "REQUESTS", "OF", "LAST HOUR", "ROUTE", "WHERE", "KIND", "SINCE"];
    text.push_str(&table(&header, all.iter().map(row).collect()));
    let left = answer["total"].as_u64().unwrap_or_default().saturating_sub(all.len() as u64);
    if left > 0 {
        text.push_str(&format!("\n{left} more: --limit shows them"));
    }
    text
}

fn users(mismatch: &Value) -> String {
    let more = if mismatch["users_at_least"] == true { "+" } else { "" };
    format!("{}{more}", cell(&mismatch["users"]))
}

fn row(mismatch: &Value) -> Vec<String> {
    let own = |name: &str| cell(&mismatch[name]);
    vec![
        own("fingerprint"),
        own("status"),
        users(mismatch),
        own("requests"),
        own("compared"),
        format!("{} of {}", own("requests_last_hour"), own("compared_last_hour")),
        own("route"),
        own("pattern"),
        own("kind"),
        seconds(&mismatch["since"]),
    ]
}

fn detail(one: &Value) -> String {
    let own = |name: &str| cell(&one[name]);
    let share = |name: &str| percent(&one[name].as_f64().map(|share| share * 100.0).into());
    let mut rows = vec![
        vec!["status".to_owned(), own("status")],
        vec!["route".to_owned(), own("route")],
        vec!["where".to_owned(), own("pattern")],
        vec!["kind".to_owned(), own("kind")],
        vec!["new differs".to_owned(), format!("in {} of {} requests", own("requests"), own("compared"))],
        vec![
            "in the last hour".to_owned(),
            format!("in {} of {} requests", own("requests_last_hour"), own("compared_last_hour")),
        ],
        vec!["legacy differs".to_owned(), format!("from itself in {} of {}", own("noise"), own("asked_twice"))],
        vec!["more often, at least".to_owned(), share("confidence")],
        vec!["users".to_owned(), users(one)],
        vec!["since".to_owned(), seconds(&one["since"])],
        vec!["latest".to_owned(), seconds(&one["latest"])],
    ];
    for version in one["versions"].as_array().into_iter().flatten() {
        let of = format!("{} requests since {}", cell(&version["requests"]), seconds(&version["first"]));
        rows.push(vec![format!("version {}", cell(&version["version"])), of]);
    }
    if let Some(proposal) = one["proposal"].as_object() {
        let last = if proposal["last_resort"] == true { ", which checks nothing" } else { "" };
        let rule =
            format!("{} on {}{last}: {}", cell(&proposal["kind"]), cell(&proposal["path"]), cell(&proposal["reason"]));
        rows.push(vec!["proposed rule".to_owned(), rule]);
    }
    let side = |value: &Value| match value.as_object() {
        None => "nothing".to_owned(),
        Some(_) => {
            let hash = value["hash"].as_str().map_or(String::new(), |hash| format!(" #{hash}"));
            format!("{} {}{hash}", cell(&value["type"]), cell(&value["form"]))
        }
    };
    let examples = one["examples"].as_array().into_iter().flatten().map(|example| {
        let (time, method) = (seconds(&example["at"]), cell(&example["method"]));
        vec![time, method, cell(&example["request_id"]), side(&example["legacy"]), side(&example["new"])]
    });
    let facts = table(&["", ""], rows);
    format!("{}\n\n{}", facts.trim(), table(&["TIME", "METHOD", "REQUEST", "LEGACY", "NEW"], examples.collect()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_says_what_was_not_looked_at() {
        let answer = json!({
            "totals": {"matched": 90, "ignored": 5, "mismatched": 3, "not_compared": 2, "not_compared_by": {"busy": 2}},
            "mismatches": [{"fingerprint": "ab", "status": "counted", "users": 5000, "users_at_least": true, "requests": 3,
                "compared": 98, "requests_last_hour": 2, "compared_last_hour": 7, "route": "/a/{id}", "pattern": "$.total", "kind": "missing", "since": "2026-05-04T03:02:01.5Z"}],
            "total": 4,
        });
        let text = overview(&answer);
        for expected in ["2 not compared\n", "busy 2", "5000+", "2 of 7", "$.total", "2026-05-04T03:02:01Z", "3 more"] {
            assert!(text.contains(expected), "{expected} is not in {text}");
        }
        assert!(overview(&json!({"totals": {}, "mismatches": [], "total": 0})).contains("no mismatch is known"));
    }

    #[test]
    fn one_is_told_with_its_examples_side_by_side() {
        let text = detail(&json!({
            "status": "noise", "pattern": "$.at", "requests": 300, "compared": 300, "requests_last_hour": 1, "compared_last_hour": 9, "noise": 60, "asked_twice": 60,
            "confidence": -0.02, "versions": [{"version": "1.4", "requests": 9, "first": "2026-05-04T03:02:01Z"}],
            "proposal": {"path": "$.at", "kind": "shape", "last_resort": false, "reason": "noise"},
            "examples": [{"at": "2026-05-04T03:02:01Z", "method": "GET", "request_id": "r-1",
                "legacy": {"type": "string", "form": "rfc3339", "hash": "0a0b0c0d"}, "new": null}],
        }));
        for expected in
            ["-2 %", "in 1 of 9 requests", "version 1.4", "shape on $.at: noise", "string rfc3339 #0a0b0c0d", "nothing"]
        {
            assert!(text.contains(expected), "{expected} is not in {text}");
        }
    }
}
