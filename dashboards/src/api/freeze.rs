//! The freeze of the environment: nothing moves toward new until it is thawed or over.
//!
//! No `?wait=`: every change asks the store itself, so that a freeze holds for all routers once it is written.

use axum::Json;
use axum::extract::{FromRequest as _, Request, State};
use flags::control::Freeze;
use flags::freeze::FreezeKind;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::changes::problem;
use super::request::{Holder, JsonBody, Operator, Params, Viewer, has_body};
use super::values;
use crate::Shared;
use crate::problem::Problem;
use crate::wire::{FreezeChangeView, FreezeStateView};

/// Whether the environment is frozen, and the last 100 freezes and thaws.
#[utoipa::path(get, path = "/freeze", tag = "freeze", responses((status = 200, body = FreezeStateView)))]
pub(crate) async fn read(State(shared): State<Shared>, _: Viewer) -> Result<Json<FreezeStateView>, Problem> {
    let (freeze, entries) = shared.control.freezes().await.map_err(problem)?;
    Ok(Json(FreezeStateView::new(freeze, entries)))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct FreezeParams {
    /// Answer what would change and write nothing.
    dry_run: bool,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FreezeBody {
    /// Why, for whoever is refused by it.
    #[schema(required, value_type = String)]
    reason: Option<String>,
    /// How long, `1m` to `30d`; until somebody thaws unless said.
    #[serde(rename = "for")]
    lasts: Option<String>,
}

/// Freezes the environment. A freeze that holds is replaced.
///
/// Every move toward new then answers 409 `frozen` unless it has `force`; moves toward legacy, rollbacks,
/// acknowledgements and the guard are not held up.
#[utoipa::path(
    put, path = "/freeze", tag = "freeze", params(FreezeParams), request_body = FreezeBody,
    responses((status = 200, body = FreezeChangeView))
)]
pub(crate) async fn freeze(
    State(shared): State<Shared>,
    Holder(actor): Operator,
    Params(FreezeParams { dry_run }): Params<FreezeParams>,
    JsonBody(body): JsonBody<FreezeBody>,
) -> Result<Json<FreezeChangeView>, Problem> {
    let lasts = body.lasts.as_deref().map(values::freeze_life).transpose()?;
    let reason = values::reason(body.reason.as_deref())?;
    say(&shared, Freeze { kind: FreezeKind::Freeze, lasts, actor, reason, dry_run }).await
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ThawBody {
    reason: Option<String>,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ThawParams {
    /// Answer what would change and write nothing.
    dry_run: bool,
    /// Instead of a body.
    reason: Option<String>,
}

/// Thaws the environment. The reason comes in the body, or as `?reason=`.
#[utoipa::path(
    delete, path = "/freeze", tag = "freeze", params(ThawParams), request_body = ThawBody,
    responses((status = 200, body = FreezeChangeView))
)]
pub(crate) async fn thaw(
    State(shared): State<Shared>,
    Holder(actor): Operator,
    Params(ThawParams { dry_run, reason }): Params<ThawParams>,
    request: Request,
) -> Result<Json<FreezeChangeView>, Problem> {
    let body = if has_body(request.headers()) {
        JsonBody::<ThawBody>::from_request(request, &shared).await?.0
    } else {
        ThawBody::default()
    };
    let reason = values::reason(body.reason.or(reason).as_deref())?;
    say(&shared, Freeze { kind: FreezeKind::Thaw, lasts: None, actor, reason, dry_run }).await
}

async fn say(shared: &Shared, ask: Freeze) -> Result<Json<FreezeChangeView>, Problem> {
    let frozen = shared.control.freeze(&ask).await.map_err(problem)?;
    Ok(Json(FreezeChangeView::new(frozen, ask.dry_run)))
}
