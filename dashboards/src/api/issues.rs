//! The ledger of issues: what is where and why.
//!
//! An issue's id is its name, percent-encoded where it stands in a path: `owner%2Frepo%23123`. The migration is named in
//! `?migration=`, or it is the default one, or the only one.

pub(super) mod again;
pub(super) mod letters;
pub(super) mod reconcile;
pub(super) mod reports;

use axum::Json;
use axum::extract::State;
use flags::MigrationId;
use flags::Side;
use flags::ledger::IssueId;
use flags::ledger::rules::State as IssueState;
use flags::ledger::view::{Filter, PAGE_MAX};
use flags::store::Ledger;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use utoipa::IntoParams;

use super::changes::{known, problem, store_problem};
use super::request::{Params, PathPart, Viewer};
use super::values;
use crate::Shared;
use crate::problem::{Code, Problem};
use crate::wire::issues::{IssueEventsView, IssuesView, ShownView, TotalsView};

/// Entries of the audit that one call answers.
const AUDIT_MAX: usize = 1_000;

/// Which migration's ledger is meant.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct Of {
    /// The default migration unless said, or the only one.
    migration: Option<String>,
}

/// The ledger that is meant, and whose it is.
fn ledger<'a>(shared: &'a Shared, migration: Option<&str>) -> Result<(&'a dyn Ledger, MigrationId), Problem> {
    let id = match migration {
        Some(id) => known(shared, id)?,
        None => usual(shared)?,
    };
    Ok((shared.control.ledger(&id).map_err(problem)?, id))
}

fn usual(shared: &Shared) -> Result<MigrationId, Problem> {
    let snapshot = shared.watch.current();
    if let Some(at) = snapshot.definitions().default_migration() {
        return Ok(snapshot.migration(at).id.clone());
    }
    let mut all = snapshot.iter().map(|(_, migration, _)| migration.id.clone());
    match (all.next(), all.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(Problem::new(
            Code::InvalidValue,
            "say in ?migration= whose issues are meant: the file has several migrations and marks none as the default",
        )),
    }
}

fn issue(text: &str) -> Result<IssueId, Problem> {
    IssueId::new(text).map_err(|error| Problem::new(Code::InvalidValue, error.to_string()))
}

fn unknown(issue: &IssueId, migration: &MigrationId) -> Problem {
    let shown = issue.as_str().escape_debug();
    let detail = format!(
        "the ledger of \"{migration}\" has no issue \"{shown}\": nothing came of it, or it ended long ago and was trimmed"
    );
    Problem::new(Code::UnknownIssue, detail)
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParams {
    /// The default migration unless said, or the only one.
    migration: Option<String>,
    /// Only those in this state: parked, sending, moving, waiting, unsure, running or idle.
    state: Option<String>,
    /// Only those of this side: legacy or new.
    owner: Option<String>,
    /// Only those whose id begins so, such as a repository.
    prefix: Option<String>,
    /// Where the page before ended.
    after: Option<String>,
    /// 1 to 200; 50 unless said.
    limit: Option<usize>,
}

/// Issues that have not ended, by name, a page at a time. A page may be short and have a next one all the same.
#[utoipa::path(get, path = "/issues", tag = "issues", params(ListParams), responses((status = 200, body = IssuesView)))]
pub(crate) async fn list(
    State(shared): State<Shared>,
    _: Viewer,
    Params(params): Params<ListParams>,
) -> Result<Json<IssuesView>, Problem> {
    let (ledger, id) = ledger(&shared, params.migration.as_deref())?;
    let limit = values::limit(params.limit, 50, PAGE_MAX)?;
    let state = params.state.as_deref().map(state).transpose()?;
    let owner = params.owner.as_deref().map(values::side).transpose()?;
    let (prefix, after) = (params.prefix.unwrap_or_default(), params.after);
    let filter = Filter { state, owner, prefix, after, limit };
    let page = ledger.list(&id, &filter).await.map_err(|error| store_problem(&error))?;
    let next = page.next.map(|next| {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let mut path = format!("/api/v1/issues?migration={id}&limit={limit}&after={}", encode(&next));
        for (name, value) in [("state", state.map(IssueState::name)), ("owner", owner.map(Side::name))] {
            path.extend(value.map(|value| format!("&{name}={value}")));
        }
        if !filter.prefix.is_empty() {
            path.push_str(&format!("&prefix={}", encode(&filter.prefix)));
        }
        path
    });
    Ok(Json(IssuesView { issues: page.records.iter().map(Into::into).collect(), next }))
}

fn state(text: &str) -> Result<IssueState, Problem> {
    IssueState::ALL.into_iter().find(|state| state.name() == text).ok_or_else(|| {
        let shown: String = text.chars().take(80).collect();
        let names = IssueState::ALL.map(IssueState::name).join(", ");
        let detail = format!("\"{}\" is no state of an issue: use {names}", shown.escape_debug());
        Problem::new(Code::InvalidValue, detail)
    })
}

/// The ledger in numbers: issues by state and owner, what waits and since when, what waits for a person.
#[utoipa::path(get, path = "/issues/totals", tag = "issues", params(Of), responses((status = 200, body = TotalsView)))]
pub(crate) async fn totals(
    State(shared): State<Shared>,
    _: Viewer,
    Params(of): Params<Of>,
) -> Result<Json<TotalsView>, Problem> {
    let (ledger, id) = ledger(&shared, of.migration.as_deref())?;
    let totals = ledger.totals(&id).await.map_err(|error| store_problem(&error))?;
    Ok(Json(TotalsView::new(id.as_str(), &totals)))
}

/// What people did to issues, newest first.
#[utoipa::path(get, path = "/issues/audit", tag = "issues", params(Of), responses((status = 200, body = IssueEventsView)))]
pub(crate) async fn audit(
    State(shared): State<Shared>,
    _: Viewer,
    Params(of): Params<Of>,
) -> Result<Json<IssueEventsView>, Problem> {
    let (ledger, id) = ledger(&shared, of.migration.as_deref())?;
    let events = ledger.events(&id, true, AUDIT_MAX).await.map_err(|error| store_problem(&error))?;
    Ok(Json(IssueEventsView { events: events.into_iter().map(Into::into).collect() }))
}

/// Everything about one issue: whose it is and why, what waits, what happened.
#[utoipa::path(
    get, path = "/issues/{id}", tag = "issues",
    params(("id" = String, Path), Of), responses((status = 200, body = ShownView))
)]
pub(crate) async fn show(
    State(shared): State<Shared>,
    _: Viewer,
    PathPart(id): PathPart<String>,
    Params(of): Params<Of>,
) -> Result<Json<ShownView>, Problem> {
    let (ledger, migration) = ledger(&shared, of.migration.as_deref())?;
    let issue = issue(&id)?;
    let shown = ledger.show(&migration, &issue).await.map_err(|error| store_problem(&error))?;
    shown.map(|shown| Json(shown.into())).ok_or_else(|| unknown(&issue, &migration))
}
