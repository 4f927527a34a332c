//! What is the same, what is a difference and of which kind: tables first, then properties, hostile answers and a corpus.

pub(crate) mod corpus;
mod digests;
mod hostile;
mod packed;
mod properties;
mod tables;
mod tree;

use super::*;

pub(super) fn rule(path: &str, kind: RuleKind) -> RuleEntry {
    let (owner, reason) = ("search".to_owned(), "ids are made anew".to_owned());
    RuleEntry { path: path.to_owned(), kind, owner, reason, expires: None, route: None }
}

pub(super) fn rules(entries: &[(&str, RuleKind)]) -> Rules {
    Rules::parse(entries.iter().map(|(path, kind)| rule(path, kind.clone())).collect()).unwrap()
}

pub(super) fn json_headers() -> Vec<(String, String)> {
    vec![("content-type".to_owned(), "application/json".to_owned())]
}

pub(super) fn of_json(legacy: &str, new: &str, rules: &Rules) -> Comparison {
    let headers = json_headers();
    let answer = |body| Answer { status: 200, headers: &headers, body, truncated: false };
    compare(&answer(legacy.as_bytes()), &answer(new.as_bytes()), rules, &Limits::default())
}

/// Patterns and kinds that were found, each once, sorted; `matched`, `ignored` or the reason without any.
pub(super) fn told(comparison: &Comparison) -> Vec<String> {
    match comparison {
        Comparison::Matched { .. } => vec!["matched".to_owned()],
        Comparison::Ignored { .. } => vec!["ignored".to_owned()],
        Comparison::NotCompared { why } => vec![format!("not compared: {}", why.name())],
        Comparison::Mismatched { differences, .. } => {
            let mut told: Vec<String> = differences.iter().map(|d| format!("{} {}", d.pattern, d.kind)).collect();
            told.sort();
            told.dedup();
            told
        }
    }
}
