//! Reads of migrations and the changes of where they stand. Translation only: `Control` decides.

use axum::Json;
use axum::extract::State;
use axum::http::header::ETAG;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use flags::control::Ask;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::changes::{Asked, ChangeParams, ChangeView, apply, change, follow, known, problem};
use super::request::{Admin, Holder, IfMatch, JsonBody, Operator, Params, PathPart, Viewer, has_copy};
use super::values;
use crate::Shared;
use crate::problem::Problem;
use crate::wire::{MigrationView, MigrationsView, mode_schema};

/// Every migration of the file, in its order.
#[utoipa::path(get, path = "/migrations", tag = "migrations", responses((status = 200, body = MigrationsView)))]
pub(crate) async fn list(State(shared): State<Shared>, _: Viewer) -> Json<MigrationsView> {
    let snapshot = shared.watch.current();
    let upstreams = shared.health.upstreams();
    let view = |at| MigrationView::new(&snapshot, at, shared.health.as_ref(), &shared.board, &upstreams);
    let migrations = snapshot.iter().map(|(at, ..)| view(at)).collect();
    let degraded = crate::probes::degradations(&shared);
    let freeze = shared.watch.freeze().map(Into::into);
    Json(MigrationsView { migrations, revision: snapshot.revision(), degraded, freeze })
}

/// One migration; its ETag is the revision of its last change.
#[utoipa::path(
    get, path = "/migrations/{id}", tag = "migrations",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = MigrationView, headers(("ETag" = String, description = "the quoted revision"))),
        (status = 304, description = "The copy of If-None-Match is still right"),
    )
)]
pub(crate) async fn one(
    State(shared): State<Shared>,
    _: Viewer,
    PathPart(id): PathPart<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = known(&shared, &id)?;
    let snapshot = shared.watch.current();
    let Some(at) = snapshot.find(&id) else { return Err(super::changes::unknown(id.as_str())) };
    let view = MigrationView::new(&snapshot, at, shared.health.as_ref(), &shared.board, &shared.health.upstreams());
    let tag = format!("\"{}\"", view.revision);
    // The tag names the stored state; what this router overrides must not hide behind it.
    let as_stored = view.effective_mode == view.mode && view.problem.is_none();
    if as_stored && has_copy(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response());
    }
    Ok(([(ETAG, tag)], Json(view)).into_response())
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModeBody {
    #[schema(schema_with = mode_schema)]
    mode: String,
    /// Why, for whoever looks next.
    #[schema(required, value_type = String)]
    reason: Option<String>,
    /// Go ahead although a live replica has not confirmed the change before, the guard has stopped progress or the
    /// environment is frozen.
    #[serde(default)]
    force: bool,
}

/// Changes the mode.
#[utoipa::path(
    put, path = "/migrations/{id}/mode", tag = "changes",
    params(("id" = String, Path), ChangeParams), request_body = ModeBody,
    responses((status = 200, body = ChangeView))
)]
pub(crate) async fn mode(
    State(shared): State<Shared>,
    Holder(actor): Operator,
    PathPart(id): PathPart<String>,
    if_match: IfMatch,
    Params(params): Params<ChangeParams>,
    JsonBody(body): JsonBody<ModeBody>,
) -> Result<ChangeView, Problem> {
    let id = known(&shared, &id)?;
    let ask = Ask::Mode(values::mode(&body.mode)?);
    let asked = Asked::new(actor, body.reason.as_deref(), body.force, if_match, &params)?;
    change(&shared, &id, ask, asked).await
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RolloutBody {
    /// 0 to 100, with two decimals at most.
    #[schema(minimum = 0, maximum = 100, multiple_of = 0.01)]
    percent: f64,
    #[schema(required, value_type = String)]
    reason: Option<String>,
    #[serde(default)]
    force: bool,
}

/// Sets the share of gradual mode.
#[utoipa::path(
    put, path = "/migrations/{id}/rollout", tag = "changes",
    params(("id" = String, Path), ChangeParams), request_body = RolloutBody,
    responses((status = 200, body = ChangeView))
)]
pub(crate) async fn rollout(
    State(shared): State<Shared>,
    Holder(actor): Operator,
    PathPart(id): PathPart<String>,
    if_match: IfMatch,
    Params(params): Params<ChangeParams>,
    JsonBody(body): JsonBody<RolloutBody>,
) -> Result<ChangeView, Problem> {
    let id = known(&shared, &id)?;
    let ask = Ask::Rollout(values::percent(body.percent)?);
    let asked = Asked::new(actor, body.reason.as_deref(), body.force, if_match, &params)?;
    change(&shared, &id, ask, asked).await
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReasonBody {
    #[schema(required, value_type = String)]
    pub(crate) reason: Option<String>,
    #[serde(default)]
    pub(crate) force: bool,
}

/// Everything to legacy, latched. Never waits for anybody's leave: If-Match and `force` change nothing.
///
/// Works with the store away: 202, on this router until it is back.
#[utoipa::path(
    post, path = "/migrations/{id}/rollback", tag = "changes",
    params(("id" = String, Path), ChangeParams), request_body = ReasonBody,
    responses((status = 200, body = ChangeView), (status = 202, body = ChangeView))
)]
pub(crate) async fn rollback(
    State(shared): State<Shared>,
    Holder(actor): Operator,
    PathPart(id): PathPart<String>,
    if_match: IfMatch,
    Params(params): Params<ChangeParams>,
    JsonBody(body): JsonBody<ReasonBody>,
) -> Result<ChangeView, Problem> {
    let id = known(&shared, &id)?;
    let asked = Asked::new(actor, body.reason.as_deref(), body.force, if_match, &params)?;
    change(&shared, &id, Ask::RollBack, asked).await
}

/// What a change of several migrations did.
#[derive(Serialize, ToSchema)]
#[schema(as = Changes)]
pub(crate) struct ChangesView {
    pub(crate) changes: Vec<ChangeView>,
}

/// Every migration to legacy, latched.
///
/// One that fails does not keep the others from it; the answer then has its status and names it.
#[utoipa::path(
    post, path = "/rollback", tag = "changes", params(ChangeParams), request_body = ReasonBody,
    responses((status = 200, body = ChangesView), (status = 202, body = ChangesView))
)]
pub(crate) async fn rollback_all(
    State(shared): State<Shared>,
    Holder(actor): Operator,
    Params(params): Params<ChangeParams>,
    JsonBody(body): JsonBody<ReasonBody>,
) -> Result<Response, Problem> {
    let asked = || Asked::new(actor.clone(), body.reason.as_deref(), body.force, IfMatch::Anything, &params);
    let Asked { wait, reason, dry_run, .. } = asked()?;
    let results = if dry_run {
        let snapshot = shared.watch.current();
        let mut results = Vec::new();
        for (_, migration, _) in snapshot.iter() {
            results.push((migration.id.clone(), apply(&shared, &migration.id, Ask::RollBack, asked()?).await));
        }
        results
    } else {
        let results = shared.control.roll_back_all(&actor, &reason).await.map_err(|error| problem(error.into()))?;
        results.into_iter().map(|(id, result)| (id, result.map_err(problem))).collect()
    };
    let (mut applied, mut failed) = (Vec::new(), Vec::new());
    for (migration, result) in results {
        match result {
            Ok(done) => applied.push(done),
            Err(problem) => failed.push((migration, problem)),
        }
    }
    let mut changes = Vec::with_capacity(applied.len());
    for done in applied {
        changes.push(follow(&shared, done, wait).await);
    }
    let Some((_, first)) = failed.first() else {
        let status = changes.iter().map(ChangeView::status).max().unwrap_or_default();
        return Ok((status, Json(ChangesView { changes })).into_response());
    };
    let detail = "some migrations could not be rolled back: \"failed\" names them, \"changes\" holds the others";
    let problems: Vec<Value> =
        failed.iter().map(|(id, problem)| json!({ "migration": id, "problem": problem.to_value() })).collect();
    let changes = serde_json::to_value(changes).unwrap_or_default();
    Err(Problem::new(first.code(), detail).with("failed", problems).with("changes", changes))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AcknowledgeBody {
    /// `legacy_only` or `parallel`.
    #[schema(schema_with = mode_schema)]
    to: String,
    #[schema(required, value_type = String)]
    reason: Option<String>,
    #[serde(default)]
    force: bool,
}

/// Leaves `emergency_rollback`, having understood why it was entered.
#[utoipa::path(
    post, path = "/migrations/{id}/acknowledge", tag = "changes",
    params(("id" = String, Path), ChangeParams), request_body = AcknowledgeBody,
    responses((status = 200, body = ChangeView))
)]
pub(crate) async fn acknowledge(
    State(shared): State<Shared>,
    Holder(actor): Admin,
    PathPart(id): PathPart<String>,
    if_match: IfMatch,
    Params(params): Params<ChangeParams>,
    JsonBody(body): JsonBody<AcknowledgeBody>,
) -> Result<ChangeView, Problem> {
    let id = known(&shared, &id)?;
    let ask = Ask::Acknowledge(values::mode(&body.to)?);
    let asked = Asked::new(actor, body.reason.as_deref(), body.force, if_match, &params)?;
    change(&shared, &id, ask, asked).await
}

/// Takes the last change back, as a new revision.
#[utoipa::path(
    post, path = "/migrations/{id}/undo", tag = "changes",
    params(("id" = String, Path), ChangeParams), request_body = ReasonBody,
    responses((status = 200, body = ChangeView))
)]
pub(crate) async fn undo(
    State(shared): State<Shared>,
    Holder(actor): Operator,
    PathPart(id): PathPart<String>,
    if_match: IfMatch,
    Params(params): Params<ChangeParams>,
    JsonBody(body): JsonBody<ReasonBody>,
) -> Result<ChangeView, Problem> {
    let id = known(&shared, &id)?;
    let asked = Asked::new(actor, body.reason.as_deref(), body.force, if_match, &params)?;
    change(&shared, &id, Ask::Undo, asked).await
}
