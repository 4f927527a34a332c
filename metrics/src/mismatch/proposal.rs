//! What a person may accept of a finding: the narrowest rule that would let it pass, with what speaks for it.
//!
//! Nothing is accepted by itself. `shape` still checks what a value looks like and that it is there; `ignore` checks nothing
//! and is the last resort. Numbers of which legacy's own are a tenth apart at most get a `tolerance`, relative to the larger one, that
//! covers what legacy has with itself; where new is farther apart than that, it is told.

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
    /// As a file has it: `"shape"`, `"unordered"`, `"ignore"`, `{"tolerance": {"relative": 0.01}}`.
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
        Kind::ValueChanged if let Some(relative) = finding.own_apart.and_then(tolerance) => {
            (json!({"tolerance": {"relative": relative}}), false)
        }
        Kind::ValueChanged | Kind::HeaderChanged if finding.own_shapes.len() == 1 && finding.alike == finding.raw => {
            (json!("shape"), false)
        }
        Kind::OrderChanged if steps(&finding.pattern).is_some() => (json!("unordered"), false),
        _ => (json!("ignore"), true),
    };
    let shapes: Vec<&str> = finding.own_shapes.iter().map(String::as_str).collect();
    let reason = format!(
        "legacy has it with itself in {} of {twice} requests, new in {} of {compared}{}{}",
        finding.noise,
        finding.raw,
        if shapes.is_empty() { "" } else { ", as " },
        shapes.join(", "),
    );
    Some(Proposal { path: path(finding), kind, route: finding.route.clone(), last_resort, reason })
}

/// The share that numbers may be apart so that as many millionths are covered, rounded up to 1, 2 or 5; none where they hardly belong together.
fn tolerance(apart: u64) -> Option<f64> {
    let steps = (0..6).flat_map(|zeros| [1, 2, 5].map(|step| step * 10_u64.pow(zeros)));
    let covering = steps.filter(|step| *step <= APART_MAX).find(|step| *step >= apart)?;
    Some(covering as f64 / 1e6)
}

/// Millionths beyond which numbers are not near each other: a tenth.
const APART_MAX: u64 = 100_000;

/// The path of a rule for a finding, whatever its kind.
pub fn path(finding: &Finding) -> String {
    let pattern = without_shape(&finding.pattern).unwrap_or(&finding.pattern);
    if let Some(header) = pattern.strip_prefix("header:") {
        // One rule is for all cookies.
        return format!("header:{}", header.split('[').next().unwrap_or(header));
    }
    if pattern == "status" || steps(pattern).is_some() { pattern.to_owned() } else { "$".to_owned() }
}
