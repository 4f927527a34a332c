//! What may differ: the rules of the file, and those that people accept while the routers run.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::ETAG;
use axum::response::{IntoResponse, Response};
use flags::accepted::{AcceptedRule, EXPIRES_DAYS};
use flags::control::Ask;
use flags::migration::MigrationId;
use jiff::civil::Date;
use jiff::{Span, Timestamp};
use metrics::compare::{RuleEntry, RuleKind, Rules};
use metrics::mismatch::{Findings, day_of, path, propose};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::changes::{Asked, ChangeParams, ChangeView, change, known};
use super::mismatches::{accepted, covers, find, fleet};
use super::pins::{UnpinBody, UnpinParams, body};
use super::request::{Holder, IfMatch, JsonBody, Operator, Params, PathPart, Viewer, has_body};
use crate::Shared;
use crate::problem::{Code, Problem};
use crate::wire::{PassesView, RuleView, RulesView};

/// What may differ, by whom, why and until when.
#[utoipa::path(
    get, path = "/migrations/{id}/rules", tag = "comparison",
    params(("id" = String, Path)), responses((status = 200, body = RulesView))
)]
pub(crate) async fn list(
    State(shared): State<Shared>,
    _: Viewer,
    PathPart(id): PathPart<String>,
) -> Result<Response, Problem> {
    let id = known(&shared, &id)?;
    let now = Timestamp::now();
    let of_file = shared.mismatches.rules(&id);
    let of_file = of_file.iter().map(|rule| RuleView::of_file(rule, now));
    let accepted = accepted(&shared, &id);
    let rules = of_file.chain(accepted.iter().map(|rule| RuleView::accepted(rule, now))).collect();
    let snapshot = shared.watch.current();
    let revision = snapshot.find(&id).map(|at| snapshot.placed(at).document.revision).unwrap_or_default();
    Ok(([(ETAG, format!("\"{revision}\""))], Json(RulesView { rules })).into_response())
}

/// A rule of one's own, or the one that a mismatch asks for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleBody {
    /// Take path and route of this mismatch, and the kind that it proposes unless one is said.
    fingerprint: Option<String>,
    /// As `$.items[*].id`, `header:location` or `status`.
    path: Option<String>,
    /// `"ignore"`, `"shape"`, `"unordered"`, `{"tolerance": {"absolute": 0.01}}`, `{"keyed_by": {"key": "id"}}` or
    /// `{"map_host": {"legacy": "a", "new": "b"}}`.
    kind: Option<Value>,
    /// The route's path template; all routes without it.
    route: Option<String>,
    /// Who answers for it; who asks unless said.
    owner: Option<String>,
    #[schema(required, value_type = String)]
    reason: Option<String>,
    /// The last day on which it holds, as `2027-01-31`; 30 days from now unless said.
    expires: Option<String>,
    #[serde(default)]
    force: bool,
}

/// Accepts a rule. A dry run tells how many of the requests that were found to differ it would let pass.
#[utoipa::path(
    post, path = "/migrations/{id}/rules", tag = "comparison",
    params(("id" = String, Path), ChangeParams), request_body = RuleBody,
    responses((status = 200, body = ChangeView))
)]
pub(crate) async fn accept(
    State(shared): State<Shared>,
    Holder(actor): Operator,
    PathPart(id): PathPart<String>,
    if_match: IfMatch,
    Params(params): Params<ChangeParams>,
    JsonBody(body): JsonBody<RuleBody>,
) -> Result<ChangeView, Problem> {
    let id = known(&shared, &id)?;
    let asked = Asked::new(actor.clone(), body.reason.as_deref(), body.force, if_match, &params)?;
    // A rule of one's own can be made without the fleet; only what it would let pass is not told then.
    let found = match fleet(&shared, &id).await {
        Ok(fleet) => Some(fleet.findings),
        Err(problem) if body.fingerprint.is_some() => return Err(problem),
        Err(_) => None,
    };
    let rule = rule(&id, body, actor, &asked.reason, found.as_ref())?;
    let entry = sound(&rule)?;
    let passes = found.map(|findings| passes(&findings, &entry));
    let view = change(&shared, &id, Ask::AcceptRule(rule), asked).await?;
    Ok(ChangeView { passes, ..view })
}

/// The rule that is asked for; what it means is not checked yet.
fn rule(
    id: &MigrationId,
    body: RuleBody,
    actor: String,
    reason: &str,
    found: Option<&Findings>,
) -> Result<AcceptedRule, Problem> {
    let impossible = |detail: String| Problem::new(Code::InvalidValue, detail);
    let RuleBody { fingerprint, path: own_path, kind: own_kind, route: own_route, owner, expires, .. } = body;
    let (place, kind, route) = match (fingerprint, own_path, own_kind) {
        (Some(fingerprint), None, kind) => {
            let findings = found.ok_or_else(|| impossible("the mismatch is not known here".into()))?;
            let finding = find(findings, id, &fingerprint)?;
            let proposed = kind.or_else(|| propose(findings, finding).map(|proposal| proposal.kind));
            let kind = proposed.ok_or_else(|| {
                impossible("this mismatch is no noise, so that no rule is proposed for it: say in \"kind\" what may differ, and in \"reason\" why that is right".into())
            })?;
            (path(finding), kind, own_route.or_else(|| Some(finding.route.clone())))
        }
        (None, Some(path), Some(kind)) => (path, kind, own_route),
        _ => {
            let detail = "send \"fingerprint\" for the rule that a mismatch asks for, or \"path\" and \"kind\" for one of your own";
            return Err(impossible(detail.into()));
        }
    };
    let today = day_of(Timestamp::now());
    let expires = match expires {
        None => today.saturating_add(Span::new().days(EXPIRES_DAYS)),
        Some(day) => day.parse::<Date>().map_err(|_| {
            let shown: String = day.chars().take(40).collect();
            impossible(format!("\"{}\" is not a day: write \"expires\" as 2027-01-31", shown.escape_debug()))
        })?,
    };
    let (kind, owner) = (kind.to_string(), owner.unwrap_or(actor));
    let id = AcceptedRule::id_of(route.as_deref(), &place, &kind);
    let (reason, accepted) = (reason.to_owned(), Timestamp::now());
    Ok(AcceptedRule { id, path: place, kind, route, owner, reason, expires, accepted })
}

/// The rule as the engine reads it, if it means something.
fn sound(rule: &AcceptedRule) -> Result<RuleEntry, Problem> {
    let kind: RuleKind = serde_json::from_str(&rule.kind).map_err(|error| {
        let kinds = r#""ignore", "shape", "unordered", {"tolerance": {"absolute": 0.01}}, {"keyed_by": {"key": "id"}} and {"map_host": {"legacy": "a", "new": "b"}}"#;
        Problem::new(Code::InvalidValue, format!("\"kind\" is no kind of rule ({error}): there are {kinds}"))
    })?;
    let AcceptedRule { path, owner, reason, route, expires, .. } = rule.clone();
    let entry = RuleEntry { path, kind, owner, reason, expires: Some(expires), route };
    match Rules::parse(vec![entry.clone()]) {
        Ok(_) => Ok(entry),
        Err(errors) => {
            let problems: Vec<String> = errors.into_iter().map(|error| error.problem).collect();
            Err(Problem::new(Code::InvalidValue, problems.join("; ")))
        }
    }
}

/// How much of what was found a rule is for.
fn passes(findings: &Findings, entry: &RuleEntry) -> PassesView {
    let covered: Vec<_> = findings.iter().filter(|finding| finding.raw > 0 && covers(entry, finding)).collect();
    let sum = |of: fn(&metrics::mismatch::Finding) -> u64| covered.iter().map(|finding| of(finding)).sum();
    let would_pass = match entry.kind {
        RuleKind::Ignore | RuleKind::Unordered | RuleKind::KeyedBy { .. } => Some(sum(|finding| finding.raw)),
        RuleKind::Shape => Some(sum(|finding| finding.alike)),
        RuleKind::Tolerance { .. } | RuleKind::MapHost { .. } => None,
    };
    PassesView { mismatches: covered.len(), requests: sum(|finding| finding.raw), would_pass }
}

/// Takes an accepted rule back. The reason comes in the body, or as `?reason=`.
#[utoipa::path(
    delete, path = "/migrations/{id}/rules/{rule}", tag = "comparison",
    params(("id" = String, Path), ("rule" = String, Path), UnpinParams), request_body = UnpinBody,
    responses((status = 200, body = ChangeView))
)]
pub(crate) async fn remove(
    State(shared): State<Shared>,
    Holder(actor): Operator,
    PathPart((id, rule)): PathPart<(String, String)>,
    if_match: IfMatch,
    Params(params): Params<UnpinParams>,
    request: Request,
) -> Result<ChangeView, Problem> {
    let id = known(&shared, &id)?;
    let body = if has_body(request.headers()) { body(request, &shared).await? } else { UnpinBody::default() };
    let UnpinParams { dry_run, wait, reason } = params;
    let reason = body.reason.or(reason);
    let asked = Asked::new(actor, reason.as_deref(), body.force, if_match, &ChangeParams { dry_run, wait })?;
    change(&shared, &id, Ask::RemoveRule { id: rule }, asked).await
}
