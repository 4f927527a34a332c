//! What differs between both systems, over the fleet: a list to work through, and one mismatch with its examples.

use axum::Json;
use axum::extract::State;
use flags::accepted::AcceptedRule;
use flags::migration::MigrationId;
use jiff::{SignedDuration, Timestamp};
use metrics::compare::RuleKind;
use metrics::mismatch::{Finding, Findings, day_of, entry, share::OfFleet, without_shape};
use serde::Deserialize;
use utoipa::IntoParams;

use super::changes::{known, problem};
use super::request::{Params, PathPart, Viewer};
use super::values;
use crate::Shared;
use crate::problem::{Code, Problem};
use crate::wire::{ExampleView, MismatchPage, MismatchView, MismatchesView, TotalsView};

/// How long a router may take to compare by a rule that was accepted.
const TAKES_MAX: SignedDuration = SignedDuration::from_secs(60);

const STATUSES: [&str; 5] = ["counted", "insufficient", "noise", "accepted", "gone"];

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct MismatchFilter {
    /// Only of this route: its path template.
    route: Option<String>,
    /// Only of this kind, such as `value_changed`.
    kind: Option<String>,
    /// Only `counted`, `insufficient`, `noise`, `accepted` or `gone`.
    status: Option<String>,
    /// Only those behind this fingerprint.
    after: Option<String>,
    /// 1 to 500; 100 unless said.
    limit: Option<usize>,
}

/// What differs, over the fleet: those that count first, then by the number of users that met it and how sure it is.
#[utoipa::path(
    get, path = "/migrations/{id}/mismatches", tag = "comparison",
    params(("id" = String, Path), MismatchFilter), responses((status = 200, body = MismatchesView))
)]
pub(crate) async fn list(
    State(shared): State<Shared>,
    _: Viewer,
    PathPart(id): PathPart<String>,
    Params(filter): Params<MismatchFilter>,
) -> Result<Json<MismatchesView>, Problem> {
    let id = known(&shared, &id)?;
    let limit = values::limit(filter.limit, 100, 500)?;
    if let Some(status) = filter.status.as_deref().filter(|status| !STATUSES.contains(status)) {
        let shown: String = status.chars().take(40).collect();
        let detail = format!("\"{}\" is no status of a mismatch: use {}", shown.escape_debug(), STATUSES.join(", "));
        return Err(Problem::new(Code::InvalidValue, detail));
    }
    let fleet = fleet(&shared, &id).await?;
    let rules = accepted(&shared, &id);
    let mut views: Vec<MismatchView> = fleet
        .findings
        .iter()
        // What only legacy has with itself is no mismatch.
        .filter(|finding| finding.raw > 0)
        .map(|finding| MismatchView::new(&fleet.findings, finding, passing(&rules, finding)))
        .filter(|view| filter.takes(view))
        .collect();
    views.sort_by(|a, b| {
        order(a)
            .cmp(&order(b))
            .then_with(|| b.confidence.total_cmp(&a.confidence))
            .then_with(|| a.fingerprint.cmp(&b.fingerprint))
    });
    let total = views.len();
    let from = filter.after.as_deref().and_then(|after| views.iter().position(|view| view.fingerprint == after));
    let mut page: Vec<MismatchView> = views.drain(from.map_or(0, |at| at + 1)..).collect();
    let has_more = page.len() > limit;
    page.truncate(limit);
    let next = page.last().filter(|_| has_more).map(|last| filter.next(&id, &last.fingerprint, limit));
    let totals = TotalsView::from(&fleet.findings.totals());
    Ok(Json(MismatchesView { mismatches: page, total, totals, routers: fleet.finders, next }))
}

/// Those that count go first, then by users.
fn order(view: &MismatchView) -> (Option<usize>, std::cmp::Reverse<u64>) {
    (STATUSES.iter().position(|status| *status == view.status), std::cmp::Reverse(view.users))
}

impl MismatchFilter {
    fn takes(&self, view: &MismatchView) -> bool {
        let is = |asked: &Option<String>, own: &str| asked.as_deref().is_none_or(|asked| asked == own);
        is(&self.route, &view.route) && is(&self.kind, &view.kind) && is(&self.status, view.status)
    }

    fn next(&self, id: &MigrationId, last: &str, limit: usize) -> String {
        use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
        let mut next = format!("/api/v1/migrations/{id}/mismatches?after={last}&limit={limit}");
        for (name, value) in [("route", &self.route), ("kind", &self.kind), ("status", &self.status)] {
            if let Some(value) = value {
                next.push_str(&format!("&{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
            }
        }
        next
    }
}

/// One mismatch: examples of both sides, since when, by which versions, and the rule that it asks for.
#[utoipa::path(
    get, path = "/migrations/{id}/mismatches/{fingerprint}", tag = "comparison",
    params(("id" = String, Path), ("fingerprint" = String, Path)), responses((status = 200, body = MismatchPage))
)]
pub(crate) async fn one(
    State(shared): State<Shared>,
    _: Viewer,
    PathPart((id, fingerprint)): PathPart<(String, String)>,
) -> Result<Json<MismatchPage>, Problem> {
    let id = known(&shared, &id)?;
    let OfFleet { findings, finders } = fleet(&shared, &id).await?;
    let finding = find(&findings, &id, &fingerprint)?;
    let mut examples = finding.examples.clone();
    examples.sort_by_key(|example| std::cmp::Reverse(example.at));
    Ok(Json(MismatchPage {
        mismatch: MismatchView::new(&findings, finding, passing(&accepted(&shared, &id), finding)),
        shapes: finding.shapes.clone(),
        shapes_of_legacy: finding.own_shapes.clone(),
        examples: examples.iter().map(|example| ExampleView::new(&finding.route, example)).collect(),
        routers: finders,
    }))
}

pub(super) fn find<'f>(findings: &'f Findings, id: &MigrationId, fingerprint: &str) -> Result<&'f Finding, Problem> {
    findings.get(fingerprint).ok_or_else(|| {
        let shown: String = fingerprint.chars().take(40).collect();
        let detail = format!(
            "there is no mismatch \"{}\", or it was not seen for a week: GET /api/v1/migrations/{id}/mismatches lists those that are",
            shown.escape_debug()
        );
        Problem::new(Code::UnknownMismatch, detail)
    })
}

/// What the fleet has found.
pub(super) async fn fleet(shared: &Shared, id: &MigrationId) -> Result<OfFleet, Problem> {
    let now = Timestamp::now();
    shared.mismatches.of_fleet(&shared.control, &shared.replica, id, now).await.map_err(problem)
}

/// The rules that people accepted, as this router knows them.
pub(super) fn accepted(shared: &Shared, id: &MigrationId) -> Vec<AcceptedRule> {
    let snapshot = shared.watch.current();
    snapshot.find(id).map(|at| snapshot.placed(at).document.rules.clone()).unwrap_or_default()
}

/// The rule that lets a finding pass: one that covers it, and since which it was not found.
fn passing<'r>(rules: &'r [AcceptedRule], finding: &Finding) -> Option<&'r AcceptedRule> {
    let today = day_of(Timestamp::now());
    rules.iter().find(|rule| {
        let is_quiet = finding.latest < rule.accepted + TAKES_MAX;
        is_quiet && !rule.is_expired(today) && entry(rule).is_some_and(|entry| covers(&entry, finding))
    })
}

/// Whether a rule is for what was found; of a value whose shape is another, only `ignore` is.
pub(super) fn covers(entry: &metrics::compare::RuleEntry, finding: &Finding) -> bool {
    match without_shape(&finding.pattern) {
        Some(pattern) => entry.kind == RuleKind::Ignore && entry.covers(&finding.route, pattern, finding.kind),
        None => entry.covers(&finding.route, &finding.pattern, finding.kind),
    }
}
