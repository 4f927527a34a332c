//! Rules of the comparison, in a file of their own or in the configuration: a YAML list in which every mistake has its place.

use std::ops::Range;
use std::path::Path;

use jiff::civil::Date;
use metrics::compare::{RuleEntry, RuleKind, Rules};
use schemars::JsonSchema;
use serde::Deserialize;

use super::errors::{ConfigErrors, Problem, quoted};
use super::read::{At, read};
use super::{read_bounded, tree};

type Text = Option<At<String>>;

/// One rule of what is known to differ and may.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    /// $.a.b[*].c, $.a.*.c, $..c, $.a["a key"], header:NAME or status.
    #[schemars(required)]
    path: Text,
    /// ignore, shape, unordered, {tolerance: {absolute: 0.01}}, {keyed_by: {key: id}} or {map_host: {legacy: a, new: b}}.
    #[schemars(required)]
    kind: Option<At<serde_json::Value>>,
    /// Who answers for it.
    #[schemars(required)]
    owner: Text,
    #[schemars(required)]
    reason: Text,
    /// The last day on which it holds, as 2027-01-31.
    expires: Text,
    /// The one route it is for; all where left out.
    route: Text,
}

/// Reads a file and tells everything that is wrong with it.
pub(crate) fn load(path: &Path) -> Result<Rules, ConfigErrors> {
    let name = path.display().to_string();
    let text = read_bounded(path).map_err(|error| ConfigErrors::of_file(&name, format!("cannot be read: {error}")))?;
    parse(&name, &text)
}

fn parse(name: &str, text: &str) -> Result<Rules, ConfigErrors> {
    let mut problems = Vec::new();
    let written = tree::parse(text, &|variable| std::env::var(variable).ok(), &mut problems)
        .filter(|root| root.value != tree::Value::Null)
        .map(|root| read::<Vec<At<Written>>>(&root, &mut problems).unwrap_or_default());
    let rules = checked(written.unwrap_or_default(), &mut problems);
    if problems.is_empty() { Ok(rules) } else { Err(ConfigErrors::new(name, text, problems)) }
}

/// A rule that holds no longer: where the file says so, and how it is told.
pub(super) struct Lapsed {
    pub(super) at: Range<usize>,
    pub(super) message: String,
}

/// Rules of which the last day is over.
pub(super) fn lapsed(written: &[At<Written>], today: Date) -> Vec<Lapsed> {
    let lapsed = |item: &At<Written>| {
        let expires = item.value.as_ref()?.expires.as_ref()?;
        let last = expires.get()?.parse::<Date>().ok().filter(|last| *last < today)?;
        Some(Lapsed { at: expires.at.clone(), message: format!("this rule has expired: it held through {last}") })
    };
    written.iter().filter_map(lapsed).collect()
}

/// Rules that are sound together; what is wrong with them is told.
pub(super) fn checked(written: Vec<At<Written>>, problems: &mut Vec<Problem>) -> Rules {
    let mut entries = Vec::new();
    let mut places = Vec::new();
    for item in written {
        let Some(written) = &item.value else { continue };
        let Some(entry) = entry(written, &item.at, problems) else { continue };
        places.push(written.path.as_ref().map_or(item.at, |path| path.at.clone()));
        entries.push(entry);
    }
    Rules::parse(entries).unwrap_or_else(|errors| {
        for error in errors {
            let at = places.get(error.number.saturating_sub(1)).cloned().unwrap_or(0..0);
            problems.push(Problem::new(&at, error.problem));
        }
        Rules::default()
    })
}

/// One rule, or none where something of it was wrong, which is told.
fn entry(written: &Written, at: &Range<usize>, problems: &mut Vec<Problem>) -> Option<RuleEntry> {
    let mut required = |field: &Text, name: &str| match field {
        None => {
            problems.push(Problem::new(at, format!("this rule has no `{name}`")));
            None
        }
        Some(field) => field.get().cloned(),
    };
    let path = required(&written.path, "path");
    let owner = required(&written.owner, "owner");
    let reason = required(&written.reason, "reason");
    let kind = match &written.kind {
        None => {
            problems.push(Problem::new(at, "this rule has no `kind`"));
            None
        }
        Some(kind) => kind.get().and_then(|value| match serde_json::from_value::<RuleKind>(value.clone()) {
            Ok(found) => Some(found),
            Err(error) => {
                let help = "kinds are ignore, shape, unordered, {tolerance: {absolute: 0.01}}, {keyed_by: {key: id}} and {map_host: {legacy: a, new: b}}";
                problems.push(Problem::new(&kind.at, error.to_string()).help(help));
                None
            }
        }),
    };
    let mut expires = None;
    if let Some(day) = &written.expires {
        let text = day.get()?;
        match text.parse::<Date>() {
            Ok(date) => expires = Some(date),
            Err(_) => {
                let message = format!("{} is not a day: write it as 2027-01-31", quoted(text));
                problems.push(Problem::new(&day.at, message));
                return None;
            }
        }
    }
    let route = match &written.route {
        Some(route) => Some(route.get()?.clone()),
        None => None,
    };
    Some(RuleEntry { path: path?, kind: kind?, owner: owner?, reason: reason?, expires, route })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn findings(text: &str) -> Vec<(usize, String)> {
        match parse("rules.yaml", text) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.findings().map(|finding| (finding.line, finding.message)).collect(),
        }
    }

    #[test]
    fn every_kind_can_be_written() {
        let text = "\
- {path: $.at, kind: ignore, owner: ann, reason: a clock, expires: 2027-01-31}
- {path: \"$.items[*].id\", kind: shape, owner: ann, reason: made anew, route: GET /orders/{id}}
- {path: $.total, kind: {tolerance: {absolute: 0.01}}, owner: ann, reason: rounding}
- {path: $.tags, kind: unordered, owner: ann, reason: a set}
- {path: $.rows, kind: {keyed_by: {key: id}}, owner: ann, reason: a set}
- {path: $.url, kind: {map_host: {legacy: a.example, new: b.example}}, owner: ann, reason: two hosts}
";
        let rules = parse("rules.yaml", text).unwrap();
        assert_eq!(rules.entries().len(), 6);
        assert_eq!(rules.entries()[1].route.as_deref(), Some("GET /orders/{id}"));
        assert!(findings("").is_empty());
    }

    #[test]
    fn everything_that_is_wrong_is_told_with_its_line() {
        let text = "\
- {path: $.a, kind: ignored, owner: ann, reason: r}
- {path: $.b, kind: ignore, reason: r}
- {path: $.c, kind: ignore, owner: ann, reason: r, expires: soon}
- {pfad: $.d, kind: ignore, owner: ann, reason: r}
- 7
";
        let lines: Vec<usize> = findings(text).into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [1, 2, 3, 4, 4, 5]);
        assert_eq!(findings("a: b")[0].0, 1);
    }
}
