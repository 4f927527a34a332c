//! Mismatches and rules as they leave: no value but of places that the file allows, and no path with values.

use std::collections::{BTreeMap, BTreeSet};

use flags::accepted::{AcceptedRule, RuleChange};
use jiff::Timestamp;
use metrics::compare::RuleEntry;
use metrics::mismatch::{CALLERS_MAX, Example, Finding, Findings, Proposal, Totals, Value as Shown, day_of, propose};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// What became of requests that were to be compared.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[schema(as = ComparisonTotals)]
pub(crate) struct TotalsView {
    pub(crate) eligible: u64,
    pub(crate) matched: u64,
    /// They differ where they may: by a rule, or as legacy differs from itself.
    pub(crate) ignored: u64,
    pub(crate) mismatched: u64,
    pub(crate) not_compared: u64,
    /// Compared of all that have ended, 0..1; absent without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) coverage: Option<f64>,
    pub(crate) not_compared_by: BTreeMap<String, u64>,
}

impl From<&Totals> for TotalsView {
    fn from(totals: &Totals) -> Self {
        Self {
            eligible: totals.eligible,
            matched: totals.matched,
            ignored: totals.ignored,
            mismatched: totals.mismatched,
            not_compared: totals.not_compared(),
            coverage: totals.coverage(),
            not_compared_by: totals.not_compared_by.clone(),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = MismatchVersion)]
pub(crate) struct VersionView {
    version: String,
    requests: u64,
    #[schema(value_type = String, format = DateTime)]
    first: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    latest: Timestamp,
}

/// A rule that noise asks for. Nobody has accepted it.
#[derive(Serialize, ToSchema)]
#[schema(as = RuleProposal)]
pub(crate) struct ProposalView {
    path: String,
    /// As a file has it: `"shape"` or `{"tolerance": {"absolute": 0.01}}`.
    kind: Value,
    route: String,
    /// It checks nothing: whatever new has there would pass.
    last_resort: bool,
    /// What speaks for it.
    reason: String,
}

impl From<Proposal> for ProposalView {
    fn from(proposal: Proposal) -> Self {
        let Proposal { path, kind, route, last_resort, reason } = proposal;
        Self { path, kind, route, last_resort, reason }
    }
}

/// One way in which answers differ at one place of one route.
#[derive(Serialize, ToSchema)]
#[schema(as = Mismatch)]
pub(crate) struct MismatchView {
    pub(crate) fingerprint: String,
    /// The route's path template.
    pub(crate) route: String,
    /// The place, with indexes and keys that are data folded.
    pub(crate) pattern: String,
    pub(crate) kind: String,
    /// `counted`, `noise`, `insufficient`, `gone` where it has counted and is not found any more, or `accepted` where a rule lets
    /// it pass.
    pub(crate) status: &'static str,
    /// The accepted rule that does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rule: Option<String>,
    /// Requests in which new differs, of those that were compared.
    pub(crate) requests: u64,
    pub(crate) compared: u64,
    /// The same of the last hour in which anything was compared on its route.
    pub(crate) requests_last_hour: u64,
    pub(crate) compared_last_hour: u64,
    /// Requests in which legacy differs from itself, of those that it was asked twice.
    pub(crate) noise: u64,
    pub(crate) asked_twice: u64,
    /// By how much new differs more often than legacy does by itself, at least: -1..1, above 0 where it is sure.
    pub(crate) confidence: f64,
    /// About how many callers met it.
    pub(crate) users: u64,
    /// There may be more.
    pub(crate) users_at_least: bool,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) since: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) latest: Timestamp,
    /// Of Crossfade's state, in which it was found first and last.
    pub(crate) first_revision: u64,
    pub(crate) latest_revision: u64,
    /// Of new, where its answers name one.
    pub(crate) versions: Vec<VersionView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) proposal: Option<ProposalView>,
}

impl MismatchView {
    /// `rule` is the one that lets it pass.
    pub(crate) fn new(findings: &Findings, finding: &Finding, rule: Option<&AcceptedRule>) -> Self {
        let (compared, asked_twice) = findings.bases(finding);
        let status = if rule.is_some() { "accepted" } else { findings.standing(finding).name() };
        let users = finding.callers.count();
        let recently = findings.recently(finding);
        let versions = finding.versions.iter().map(|(version, of)| VersionView {
            version: version.clone(),
            requests: of.requests,
            first: of.first,
            latest: of.latest,
        });
        let proposal = if rule.is_some() { None } else { propose(findings, finding) };
        Self {
            fingerprint: finding.fingerprint().to_string(),
            route: finding.route.clone(),
            pattern: finding.pattern.clone(),
            kind: finding.kind.name().to_owned(),
            status,
            rule: rule.map(|rule| rule.id.clone()),
            requests: finding.raw,
            compared,
            requests_last_hour: recently.raw,
            compared_last_hour: recently.compared,
            noise: finding.noise,
            asked_twice,
            confidence: findings.gap(finding),
            users,
            users_at_least: users >= CALLERS_MAX,
            since: finding.first,
            latest: finding.latest,
            first_revision: finding.revisions.0,
            latest_revision: finding.revisions.1,
            versions: versions.collect(),
            proposal: proposal.map(Into::into),
        }
    }
}

/// As much of a value as is kept.
#[derive(Serialize, ToSchema)]
#[schema(as = MismatchValue)]
pub(crate) struct ShownView {
    #[serde(rename = "type")]
    kind: &'static str,
    length: usize,
    /// What it looks like; the value itself where `raw`.
    form: String,
    /// Equal for equal values that one run of one router has seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
    raw: bool,
}

impl ShownView {
    fn new(shown: &Shown) -> Self {
        let Shown { kind, length, form, hash, raw } = shown.clone();
        Self { kind: kind.name(), length, form, hash, raw }
    }
}

/// One request in which it was found; the router's access log and those of both systems have its id.
#[derive(Serialize, ToSchema)]
#[schema(as = MismatchExample)]
pub(crate) struct ExampleView {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    method: String,
    route: String,
    request_id: String,
    revision: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// Absent where that side has nothing there.
    #[serde(skip_serializing_if = "Option::is_none")]
    legacy: Option<ShownView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<ShownView>,
}

impl ExampleView {
    pub(crate) fn new(route: &str, example: &Example) -> Self {
        Self {
            at: example.at,
            method: example.method.clone(),
            route: route.to_owned(),
            request_id: example.request_id.clone(),
            revision: example.revision,
            version: example.version.clone(),
            legacy: example.legacy.as_ref().map(ShownView::new),
            new: example.new.as_ref().map(ShownView::new),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Mismatches)]
pub(crate) struct MismatchesView {
    /// Those that count first, then by users and confidence.
    pub(crate) mismatches: Vec<MismatchView>,
    /// How many there are by these filters.
    pub(crate) total: usize,
    /// Of all requests, whatever the filters.
    pub(crate) totals: TotalsView,
    /// Runs of routers whose findings these are.
    pub(crate) routers: BTreeSet<String>,
    /// Where the next page is; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

/// One mismatch with all that is kept of it.
#[derive(Serialize, ToSchema)]
#[schema(as = MismatchDetail)]
pub(crate) struct MismatchPage {
    #[serde(flatten)]
    pub(crate) mismatch: MismatchView,
    /// What values that differ look like, and those of legacy where it differs from itself.
    pub(crate) shapes: BTreeSet<String>,
    pub(crate) shapes_of_legacy: BTreeSet<String>,
    /// Newest first; a fair sample of all.
    pub(crate) examples: Vec<ExampleView>,
    pub(crate) routers: BTreeSet<String>,
}

/// What may differ.
#[derive(Serialize, ToSchema)]
#[schema(as = Rule)]
pub(crate) struct RuleView {
    /// Absent where the file has it, which also takes it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// `file` or `accepted`; an accepted one holds where both are for the same path.
    pub(crate) source: &'static str,
    pub(crate) path: String,
    /// As a file has it: `"shape"` or `{"tolerance": {"absolute": 0.01}}`; only its name where the file has the rule.
    pub(crate) kind: Value,
    /// The route it is bound to; absent for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) route: Option<String>,
    pub(crate) owner: String,
    pub(crate) reason: String,
    /// The last day on which it holds, in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Date)]
    pub(crate) expires: Option<jiff::civil::Date>,
    pub(crate) expired: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) accepted: Option<Timestamp>,
}

impl RuleView {
    pub(crate) fn accepted(rule: &AcceptedRule, now: Timestamp) -> Self {
        let kind = serde_json::from_str(&rule.kind).unwrap_or_else(|_| Value::from(rule.kind.clone()));
        Self {
            id: Some(rule.id.clone()),
            source: "accepted",
            path: rule.path.clone(),
            kind,
            route: rule.route.clone(),
            owner: rule.owner.clone(),
            reason: rule.reason.clone(),
            expires: Some(rule.expires),
            expired: rule.is_expired(day_of(now)),
            accepted: Some(rule.accepted),
        }
    }

    pub(crate) fn of_file(rule: &RuleEntry, now: Timestamp) -> Self {
        Self {
            id: None,
            source: "file",
            path: rule.path.clone(),
            kind: Value::from(rule.kind.name()),
            route: rule.route.clone(),
            owner: rule.owner.clone(),
            reason: rule.reason.clone(),
            expires: rule.expires,
            expired: rule.is_expired(day_of(now)),
            accepted: None,
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Rules)]
pub(crate) struct RulesView {
    /// Those of the file, then the accepted ones.
    pub(crate) rules: Vec<RuleView>,
}

/// A rule before and after a change.
#[derive(Serialize, ToSchema)]
#[schema(as = RuleChange)]
pub(crate) struct RuleChangeView {
    pub(crate) before: Option<RuleView>,
    pub(crate) after: Option<RuleView>,
}

impl RuleChangeView {
    pub(crate) fn new(change: &RuleChange, now: Timestamp) -> Self {
        let view = |rule: &Option<AcceptedRule>| rule.as_ref().map(|rule| RuleView::accepted(rule, now));
        Self { before: view(&change.before), after: view(&change.after) }
    }
}

/// How much of what was found so far a rule is for.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
#[schema(as = RulePasses)]
pub(crate) struct PassesView {
    /// Mismatches at and below its path, of a kind that it is for.
    pub(crate) mismatches: usize,
    /// Requests that have any of them: a request with several counts for each.
    pub(crate) requests: u64,
    /// How many of these it would let pass; absent where that depends on values, which are not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) would_pass: Option<u64>,
}
