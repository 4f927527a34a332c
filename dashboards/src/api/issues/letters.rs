//! Events that wait for a person, and what could not become one.

use axum::Json;
use axum::extract::State;
use flags::MigrationId;
use flags::control::Control;
use flags::ledger::rules::Parked;
use flags::ledger::view::{Choice, PAGE_MAX, QUARANTINE_MAX, Touched};
use flags::store::ledger::Person;
use metrics::events::{IssueDiscarded, IssueReplayed};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::{Of, issue, ledger, unknown};
use crate::Shared;
use crate::api::changes::{problem, store_problem};
use crate::api::request::{Holder, JsonBody, Operator, Params, PathPart, Viewer};
use crate::api::values;
use crate::problem::{Code, Problem};
use crate::wire::issues::{LettersView, QuarantineView, TouchedView};

/// Parameters of a change of issues.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct TouchParams {
    /// The default migration unless said, or the only one.
    pub(super) migration: Option<String>,
    /// Answer what would change and write nothing.
    pub(super) dry_run: bool,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TouchBody {
    #[schema(required, value_type = String)]
    pub(super) reason: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TouchManyBody {
    #[schema(required, value_type = String)]
    reason: Option<String>,
    /// Only those that wait for this reason: rejected, dead or rolled_back; all unless said.
    #[serde(default)]
    why: Option<String>,
}

#[derive(Clone, Copy)]
enum How {
    Replay,
    Discard,
}

/// Events that wait for a person, the oldest first, 200 at most.
#[utoipa::path(
    get, path = "/issues/dead-letters", tag = "issues", params(Of), responses((status = 200, body = LettersView))
)]
pub(crate) async fn dead_letters(
    State(shared): State<Shared>,
    _: Viewer,
    Params(of): Params<Of>,
) -> Result<Json<LettersView>, Problem> {
    let (ledger, id) = ledger(&shared, of.migration.as_deref())?;
    let letters = ledger.dead_letters(&id, PAGE_MAX).await.map_err(|error| store_problem(&error))?;
    Ok(Json(LettersView { dead_letters: letters.iter().map(Into::into).collect() }))
}

/// What came as a webhook and could not become an event, newest first, each with its reason.
#[utoipa::path(
    get, path = "/issues/quarantine", tag = "issues", params(Of), responses((status = 200, body = QuarantineView))
)]
pub(crate) async fn quarantine(
    State(shared): State<Shared>,
    _: Operator,
    Params(of): Params<Of>,
) -> Result<Json<QuarantineView>, Problem> {
    let (ledger, id) = ledger(&shared, of.migration.as_deref())?;
    let found = ledger.quarantined(&id, QUARANTINE_MAX).await.map_err(|error| store_problem(&error))?;
    Ok(Json(QuarantineView { quarantined: found.into_iter().map(Into::into).collect() }))
}

/// Lets the event for which an issue waits be tried again, from the first try on.
#[utoipa::path(
    post, path = "/issues/{id}/replay", tag = "issues",
    params(("id" = String, Path), TouchParams), request_body = TouchBody,
    responses((status = 200, body = TouchedView))
)]
pub(crate) async fn replay(
    State(shared): State<Shared>,
    Holder(actor): Operator,
    PathPart(id): PathPart<String>,
    Params(params): Params<TouchParams>,
    JsonBody(body): JsonBody<TouchBody>,
) -> Result<Json<TouchedView>, Problem> {
    one(&shared, How::Replay, &actor, &id, params, body).await
}

/// Gives the event for which an issue waits up, for good; the next one follows.
#[utoipa::path(
    post, path = "/issues/{id}/discard", tag = "issues",
    params(("id" = String, Path), TouchParams), request_body = TouchBody,
    responses((status = 200, body = TouchedView))
)]
pub(crate) async fn discard(
    State(shared): State<Shared>,
    Holder(actor): Operator,
    PathPart(id): PathPart<String>,
    Params(params): Params<TouchParams>,
    JsonBody(body): JsonBody<TouchBody>,
) -> Result<Json<TouchedView>, Problem> {
    one(&shared, How::Discard, &actor, &id, params, body).await
}

/// Lets many events that wait for a person be tried again.
#[utoipa::path(
    post, path = "/issues/replay", tag = "issues", params(TouchParams), request_body = TouchManyBody,
    responses((status = 200, body = TouchedView))
)]
pub(crate) async fn replay_many(
    State(shared): State<Shared>,
    Holder(actor): Operator,
    Params(params): Params<TouchParams>,
    JsonBody(body): JsonBody<TouchManyBody>,
) -> Result<Json<TouchedView>, Problem> {
    many(&shared, How::Replay, &actor, params, body).await
}

/// Gives many events that wait for a person up, for good.
#[utoipa::path(
    post, path = "/issues/discard", tag = "issues", params(TouchParams), request_body = TouchManyBody,
    responses((status = 200, body = TouchedView))
)]
pub(crate) async fn discard_many(
    State(shared): State<Shared>,
    Holder(actor): Operator,
    Params(params): Params<TouchParams>,
    JsonBody(body): JsonBody<TouchManyBody>,
) -> Result<Json<TouchedView>, Problem> {
    many(&shared, How::Discard, &actor, params, body).await
}

async fn one(
    shared: &Shared,
    how: How,
    actor: &str,
    id: &str,
    params: TouchParams,
    body: TouchBody,
) -> Result<Json<TouchedView>, Problem> {
    let issue = issue(id)?;
    let (ledger, migration) = ledger(shared, params.migration.as_deref())?;
    let person = Control::person(actor, &values::reason(body.reason.as_deref())?).map_err(problem)?;
    let choice = Choice::Issue(issue.clone());
    let touched = touch(shared, how, &migration, &choice, &person, params.dry_run).await?;
    if touched.events.is_empty() {
        let standing = ledger.standing(&migration, &issue).await.map_err(|error| store_problem(&error))?;
        if standing.is_empty() {
            return Err(unknown(&issue, &migration));
        }
        let shown = issue.as_str().escape_debug();
        let detail = format!(
            "no event of issue \"{shown}\" waits for a person: GET /api/v1/issues/dead-letters lists those that do"
        );
        return Err(Problem::new(Code::NothingWaits, detail));
    }
    Ok(Json(touched))
}

async fn many(
    shared: &Shared,
    how: How,
    actor: &str,
    params: TouchParams,
    body: TouchManyBody,
) -> Result<Json<TouchedView>, Problem> {
    let (_, migration) = ledger(shared, params.migration.as_deref())?;
    let person = Control::person(actor, &values::reason(body.reason.as_deref())?).map_err(problem)?;
    let choice = Choice::All(body.why.as_deref().map(parked).transpose()?);
    touch(shared, how, &migration, &choice, &person, params.dry_run).await.map(Json)
}

fn parked(text: &str) -> Result<Parked, Problem> {
    Parked::ALL.into_iter().find(|parked| parked.name() == text).ok_or_else(|| {
        let shown: String = text.chars().take(80).collect();
        let detail = format!("\"{}\" is no reason to wait: use rejected, dead or rolled_back", shown.escape_debug());
        Problem::new(Code::InvalidValue, detail)
    })
}

async fn touch(
    shared: &Shared,
    how: How,
    migration: &MigrationId,
    choice: &Choice,
    person: &Person,
    dry_run: bool,
) -> Result<TouchedView, Problem> {
    let ledger = shared.control.ledger(migration).map_err(problem)?;
    let touched = match how {
        How::Replay => ledger.replay(migration, choice, person, dry_run).await,
        How::Discard => ledger.discard(migration, choice, person, dry_run).await,
    };
    let Touched { letters, more } = touched.map_err(|error| store_problem(&error))?;
    let cells = shared.observer.issues();
    for letter in letters.iter().filter(|_| !dry_run) {
        let actor = person.actor.as_str();
        match how {
            How::Replay => IssueReplayed { migration, letter, actor }.emit(cells),
            How::Discard => {
                IssueDiscarded { migration, letter, actor, reason: &person.reason }.emit(cells);
            }
        }
    }
    Ok(TouchedView { dry_run, events: letters.iter().map(Into::into).collect(), more })
}
