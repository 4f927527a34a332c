//! The report as one JSON object.

use metrics::compare::Shown;
use serde_json::{Value, json};

use super::Report;
use crate::diff::tally::{Finding, Totals};

pub(crate) fn json(report: &Report) -> Value {
    let counted = &report.counted;
    let routes: Vec<Value> = counted
        .routes
        .iter()
        .map(|(name, totals)| {
            let mut route = numbers(*totals);
            route["route"] = json!(name);
            route
        })
        .collect();
    let pairs = |(reason, count): (&str, u64)| json!({ "reason": reason, "requests": count });
    json!({
        "legacy": report.legacy,
        "new": report.new,
        "recording": report.recording,
        "sent": report.sent,
        "unreadable": report.unreadable,
        "skipped": report.skipped.iter().map(|(reason, count)| pairs((reason, *count))).collect::<Vec<_>>(),
        "totals": numbers(counted.totals),
        "not_compared": counted.reasons.iter().map(|(reason, count)| pairs((reason, *count))).collect::<Vec<_>>(),
        "routes": routes,
        "differences": counted.findings.iter().map(finding).collect::<Vec<_>>(),
        "differences_beyond_limits": counted.beyond,
        "noise": report.noise.then(|| json!({
            "requests": counted.by_noise,
            "differences": counted.noise.iter().map(finding).collect::<Vec<_>>(),
        })),
        "notations": counted.notations,
    })
}

fn numbers(totals: Totals) -> Value {
    let Totals { matched, ignored, mismatched, not_compared } = totals;
    json!({ "matched": matched, "ignored": ignored, "mismatched": mismatched, "not_compared": not_compared })
}

fn finding(finding: &Finding) -> Value {
    let example = finding.example.as_ref().map(|example| {
        let (legacy, new) = (shown(example.legacy.as_ref()), shown(example.new.as_ref()));
        json!({ "line": example.line, "place": example.place, "legacy": legacy, "new": new })
    });
    json!({
        "fingerprint": finding.fingerprint.to_string(),
        "route": finding.route,
        "pattern": finding.pattern,
        "kind": finding.kind.name(),
        "requests": finding.requests,
        "differences": finding.differences,
        "noise": finding.noise,
        "example": example,
    })
}

fn shown(shown: Option<&Shown>) -> Value {
    shown.map_or(Value::Null, |shown| json!({ "type": shown.kind.name(), "length": shown.length, "form": shown.form }))
}
