//! The audit of a migration: who, when, why, from, to; and whether anybody has edited it since.

use axum::Json;
use axum::extract::State;
use flags::Revision;
use flags::state::{Document, HistoryEntry, broken_link};
use flags::store::Page;
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::IntoParams;

use super::changes::{known, problem};
use super::request::{Params, PathPart, Viewer};
use super::values;
use crate::Shared;
use crate::problem::Problem;
use crate::wire::{HistoryPage, HistoryView};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoryParams {
    /// Only entries older than this revision.
    before: Option<u64>,
    /// 1 to 200; 50 unless said.
    limit: Option<usize>,
}

/// The changes of a migration, newest first, a page at a time.
#[utoipa::path(
    get, path = "/migrations/{id}/history", tag = "migrations",
    params(("id" = String, Path), HistoryParams), responses((status = 200, body = HistoryPage))
)]
pub(crate) async fn page(
    State(shared): State<Shared>,
    _: Viewer,
    PathPart(id): PathPart<String>,
    Params(params): Params<HistoryParams>,
) -> Result<Json<HistoryPage>, Problem> {
    let id = known(&shared, &id)?;
    let limit = values::limit(params.limit, 50, 200)?;
    // One more than shown: it tells whether there is a next page, and links the last one shown.
    let page = Page { before: params.before.map(Revision), limit: limit + 1 };
    let mut entries = shared.control.history(&id, page).await.map_err(problem)?;
    let snapshot = shared.watch.current();
    let document = snapshot.find(&id).map(|at| &snapshot.placed(at).document);
    let more = entries.len() > limit;
    let broken_at = broken(&mut entries, document, more);
    entries.truncate(limit);
    let now = Timestamp::now();
    let next = entries
        .last()
        .filter(|_| more)
        .map(|last| format!("/api/v1/migrations/{id}/history?before={}&limit={limit}", last.revision));
    Ok(Json(HistoryPage {
        history: entries.iter().map(|entry| HistoryView::new(entry, now)).collect(),
        chain: if broken_at.is_some() { "broken" } else { "ok" },
        broken_at,
        next,
    }))
}

/// Where a stretch of history, newest first, does not fit itself, its document or its beginning.
fn broken(entries: &mut [HistoryEntry], document: Option<&Document>, more: bool) -> Option<Revision> {
    entries.reverse();
    let inside = broken_link(entries);
    entries.reverse();
    let newest = entries.first()?;
    let replaced =
        document.is_some_and(|document| document.revision == newest.revision && document.chain != newest.hash);
    let oldest = entries.last().filter(|oldest| !more && !oldest.previous_hash.is_empty());
    inside.or(oldest.map(|entry| entry.revision)).or(replaced.then_some(newest.revision))
}
