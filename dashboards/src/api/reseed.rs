//! Writing the last good state back to a store that has lost it.

use axum::extract::State;
use axum::response::Json;
use flags::control::Reseed;

use super::changes::{Asked, ChangeParams, follow_all, problem};
use super::migrations::{ChangesView, ReasonBody};
use super::request::{Admin, Holder, IfMatch, JsonBody, Params};
use crate::Shared;
use crate::problem::Problem;

/// Writes what this router last served back to a store that has lost it, as new revisions.
///
/// Refused where nothing was lost, and while a live router serves a newer state than this one, unless
/// forced. Every router then follows.
#[utoipa::path(
    post, path = "/reseed", tag = "changes", params(ChangeParams), request_body = ReasonBody,
    responses((status = 200, body = ChangesView))
)]
pub(crate) async fn reseed(
    State(shared): State<Shared>,
    Holder(actor): Admin,
    Params(params): Params<ChangeParams>,
    JsonBody(body): JsonBody<ReasonBody>,
) -> Result<Json<ChangesView>, Problem> {
    let asked = Asked::new(actor, body.reason.as_deref(), body.force, IfMatch::Anything, &params)?;
    let Asked { actor, reason, force, dry_run, wait, .. } = asked;
    let applied = shared.control.reseed(&Reseed { actor, reason, force, dry_run }).await.map_err(problem)?;
    Ok(Json(ChangesView { changes: follow_all(&shared, applied, wait).await }))
}
