//! What a person may accept of a finding: the narrowest rule that would let it pass, with what speaks for it.
//!
//! Nothing is accepted by itself. `shape` still checks what a value looks like and that it is there; `ignore` checks nothing
//! and is the last resort. `tolerance` is never proposed, because no distances are kept; a person who knows one may add it.

use serde::Serialize;
use serde_json::{Value, json};

use super::finding::{Finding, without_shape};
use super::findings::Findings;
use super::standing::Standing;
use crate::compare::{Kind, steps};

/// A rule that nobody has accepted yet.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proposal {
    pub path: String,
    /// As a file has it: `"shape"`, `"unordered"`, `"ignore"`.
    pub kind: Value,
    pub route: String,
    /// It checks nothing: whatever new has there would pass.
    pub last_resort: bool,
    /// In one sentence, to be the reason of the rule.
    pub reason: String,
}

/// The rule that noise asks for; none where it is no noise, or no rule has such a path.
pub fn propose(findings: &Findings, finding: &Finding) -> Option<Proposal> {
    let (compared, twice) = findings.bases(finding);
    if findings.standing(finding) != Standing::Noise || without_shape(&finding.pattern).is_some() {
        return None;
    }
    let (kind, last_resort) = match finding.kind {
        Kind::ValueChanged | Kind::HeaderChanged if finding.own_shapes.len() == 1 && finding.alike == finding.raw => {
            ("shape", false)
        }
        Kind::OrderChanged if steps(&finding.pattern).is_some() => ("unordered", false),
        _ => ("ignore", true),
    };
    let shapes: Vec<&str> = finding.own_shapes.iter().map(String::as_str).collect();
    let reason = format!(
        "legacy has it with itself in {} of {twice} requests, new in {} of {compared}{}{}",
        finding.noise,
        finding.raw,
        if shapes.is_empty() { "" } else { ", as " },
        shapes.join(", "),
    );
    Some(Proposal { path: path(finding), kind: json!(kind), route: finding.route.clone(), last_resort, reason })
}

/// The path of a rule for a finding, whatever its kind.
pub fn path(finding: &Finding) -> String {
    let pattern = without_shape(&finding.pattern).unwrap_or(&finding.pattern);
    if let Some(header) = pattern.strip_prefix("header:") {
        // One rule is for all cookies.
        return format!("header:{}", header.split('[').next().unwrap_or(header));
    }
    if pattern == "status" || steps(pattern).is_some() { pattern.to_owned() } else { "$".to_owned() }
}
