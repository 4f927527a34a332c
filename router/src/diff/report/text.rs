//! The report as tables.

use super::Report;
use crate::cli::output::{shown, table};
use crate::diff::tally::{Example, Finding};

/// Rows of a table; the JSON has all.
const ROWS_MAX: usize = 50;

pub(crate) fn text(report: &Report) -> String {
    let counted = &report.counted;
    let mut parts = vec![format!("{}: {}", shown(&report.recording), report.verdict())];
    let numbers = report.numbers();
    parts.push(table(
        &["REQUESTS", "", ""],
        numbers.into_iter().map(|(name, count, told)| vec![name.into(), count.to_string(), told]).collect(),
    ));
    if counted.routes.len() > 1 || counted.totals.mismatched > 0 {
        let mut routes: Vec<_> = counted.routes.iter().collect();
        routes.sort_by_key(|(name, totals)| (std::cmp::Reverse(totals.mismatched), (*name).clone()));
        let rows = routes.iter().map(|(name, totals)| {
            let numbers = [totals.matched, totals.ignored, totals.mismatched, totals.not_compared];
            std::iter::once((*name).clone()).chain(numbers.map(|number| number.to_string())).collect()
        });
        parts.push(cut(&["ROUTE", "MATCHED", "IGNORED", "MISMATCHED", "NOT COMPARED"], rows.collect()));
    }
    if !counted.findings.is_empty() {
        let header = ["REQUESTS", "ROUTE", "WHERE", "HOW", "LEGACY", "NEW", "LINE", "FINGERPRINT"];
        parts.push(cut(&header, counted.findings.iter().map(row).collect()));
    }
    if !counted.noise.is_empty() {
        let rows = counted.noise.iter().map(|finding| {
            vec![finding.noise.to_string(), finding.route.clone(), finding.pattern.clone(), finding.kind.to_string()]
        });
        parts.push(cut(&["NOISE", "ROUTE", "WHERE", "HOW"], rows.collect()));
    }
    if !counted.reasons.is_empty() {
        let rows = counted.reasons.iter().map(|(reason, count)| vec![count.to_string(), reason.clone()]);
        parts.push(table(&["NOT COMPARED", "WHY"], rows.collect()));
    }
    let mut rows: Vec<Vec<String>> =
        report.skipped.iter().map(|(reason, count)| vec![count.to_string(), (*reason).into()]).collect();
    if report.unreadable > 0 {
        rows.push(vec![report.unreadable.to_string(), "cannot be read".into()]);
    }
    if !rows.is_empty() {
        parts.push(table(&["NOT SENT", "WHY"], rows));
    }
    parts.extend(notes(report));
    parts.join("\n\n")
}

fn row(finding: &Finding) -> Vec<String> {
    let Finding { requests, route, pattern, kind, fingerprint, example, .. } = finding;
    let [legacy, new] = sides(example.as_ref());
    let line = example.as_ref().map_or_else(|| "-".into(), |example| example.line.to_string());
    let (kind, fingerprint) = (kind.to_string(), fingerprint.to_string());
    vec![requests.to_string(), route.clone(), pattern.clone(), kind, legacy, new, line, fingerprint]
}

/// What both sides have there; `-` for nothing.
pub(super) fn sides(example: Option<&Example>) -> [String; 2] {
    let told = |side: fn(&Example) -> Option<&metrics::compare::Shown>| {
        example.and_then(side).map_or_else(|| "-".into(), |value| format!("{} {value}", value.kind.name()))
    };
    [told(|example| example.legacy.as_ref()), told(|example| example.new.as_ref())]
}

/// What else is known, a sentence each.
pub(super) fn notes(report: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    if report.counted.notations > 0 {
        notes.push(format!(
            "{} numbers are written otherwise (1 and 1.0), which is not counted",
            report.counted.notations
        ));
    }
    if report.counted.beyond > 0 {
        notes.push(format!("{} of the mismatched differ in more ways than are kept", report.counted.beyond));
    }
    if report.noise && report.counted.by_noise == 0 && report.counted.noise.is_empty() {
        notes.push("legacy answered twice alike".into());
    }
    notes
}

fn cut(header: &[&str], mut rows: Vec<Vec<String>>) -> String {
    let more = rows.len().saturating_sub(ROWS_MAX);
    rows.truncate(ROWS_MAX);
    let text = table(header, rows);
    if more == 0 { text } else { format!("{text}\n{more} more are not shown: -o json has them") }
}
