//! Pins: single keys that an operator placed.

use axum::Json;
use axum::extract::{Request, State};
use flags::control::Ask;
use flags::snapshot::PinIndex;
use jiff::{SignedDuration, Timestamp};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::changes::{Asked, ChangeParams, ChangeView, change, known};
use super::request::{Holder, IfMatch, JsonBody, Operator, Params, PathPart, Viewer, has_body};
use super::values;
use crate::Shared;
use crate::problem::{Code, Problem};
use crate::wire::{PinView, PinsView, side_schema};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PinPage {
    /// Only keys behind this one.
    after: Option<String>,
    /// 1 to 500; 100 unless said.
    limit: Option<usize>,
}

/// The pinned keys, sorted, a page at a time.
#[utoipa::path(
    get, path = "/migrations/{id}/pins", tag = "pins",
    params(("id" = String, Path), PinPage), responses((status = 200, body = PinsView))
)]
pub(crate) async fn list(
    State(shared): State<Shared>,
    _: Viewer,
    PathPart(id): PathPart<String>,
    Params(page): Params<PinPage>,
) -> Result<Json<PinsView>, Problem> {
    let id = known(&shared, &id)?;
    let limit = values::limit(page.limit, 100, 500)?;
    let snapshot = shared.watch.current();
    let Some(at) = snapshot.find(&id) else { return Err(super::changes::unknown(id.as_str())) };
    let pins = &snapshot.placed(at).pins;
    let (keys, more) = keys(pins, page.after.as_deref(), limit);
    let now = Timestamp::now();
    let views = keys.iter().filter_map(|key| Some(PinView::new(&String::from_utf8_lossy(key), pins.get(*key)?, now)));
    let views: Vec<PinView> = views.collect();
    let next = views.last().filter(|_| more).map(|last| {
        let after = utf8_percent_encode(&last.key, NON_ALPHANUMERIC);
        format!("/api/v1/migrations/{id}/pins?after={after}&limit={limit}")
    });
    Ok(Json(PinsView { pins: views, total: pins.len(), next }))
}

/// The first `limit` keys behind `after`, and whether there are more.
fn keys<'a>(pins: &'a PinIndex, after: Option<&str>, limit: usize) -> (Vec<&'a [u8]>, bool) {
    let behind = |key: &&[u8]| after.is_none_or(|after| *key > after.as_bytes());
    let mut keys: Vec<&[u8]> = pins.keys().map(AsRef::as_ref).filter(behind).collect();
    let more = keys.len() > limit;
    if more {
        keys.select_nth_unstable(limit);
        keys.truncate(limit);
    }
    keys.sort_unstable();
    (keys, more)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PinBody {
    #[schema(schema_with = side_schema)]
    side: String,
    #[schema(required, value_type = String)]
    reason: Option<String>,
    /// How long, such as `7d`; for ever unless said.
    #[serde(rename = "for")]
    life: Option<String>,
    #[serde(default)]
    force: bool,
}

/// Places one key on a side. A `/` in the key is sent as `%2F`.
#[utoipa::path(
    put, path = "/migrations/{id}/pins/{key}", tag = "pins",
    params(("id" = String, Path), ("key" = String, Path), ChangeParams), request_body = PinBody,
    responses((status = 200, body = ChangeView))
)]
pub(crate) async fn put(
    State(shared): State<Shared>,
    Holder(actor): Operator,
    PathPart((id, key)): PathPart<(String, String)>,
    if_match: IfMatch,
    Params(params): Params<ChangeParams>,
    JsonBody(body): JsonBody<PinBody>,
) -> Result<ChangeView, Problem> {
    let id = known(&shared, &id)?;
    let side = values::side(&body.side)?;
    let life = body.life.as_deref().map(values::pin_life).transpose()?;
    let until = life.map(end).transpose()?;
    let asked = Asked::new(actor, body.reason.as_deref(), body.force, if_match, &params)?;
    change(&shared, &id, Ask::Pin { key, side, until }, asked).await
}

fn end(life: std::time::Duration) -> Result<Timestamp, Problem> {
    let end = SignedDuration::try_from(life).ok().and_then(|life| Timestamp::now().checked_add(life).ok());
    end.ok_or_else(|| Problem::new(Code::InvalidValue, "a pin cannot end that far ahead"))
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UnpinBody {
    pub(super) reason: Option<String>,
    #[serde(default)]
    pub(super) force: bool,
}

/// The parameters of a change, with the reason for clients that send no body with DELETE.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct UnpinParams {
    pub(super) dry_run: bool,
    pub(super) wait: Option<String>,
    /// Instead of a body.
    pub(super) reason: Option<String>,
}

/// Removes a pin. The reason comes in the body, or as `?reason=`.
#[utoipa::path(
    delete, path = "/migrations/{id}/pins/{key}", tag = "pins",
    params(("id" = String, Path), ("key" = String, Path), UnpinParams), request_body = UnpinBody,
    responses((status = 200, body = ChangeView))
)]
pub(crate) async fn delete(
    State(shared): State<Shared>,
    Holder(actor): Operator,
    PathPart((id, key)): PathPart<(String, String)>,
    if_match: IfMatch,
    Params(params): Params<UnpinParams>,
    request: Request,
) -> Result<ChangeView, Problem> {
    let id = known(&shared, &id)?;
    let body = if has_body(request.headers()) { body(request, &shared).await? } else { UnpinBody::default() };
    let UnpinParams { dry_run, wait, reason } = params;
    let reason = body.reason.or(reason);
    let asked = Asked::new(actor, reason.as_deref(), body.force, if_match, &ChangeParams { dry_run, wait })?;
    let snapshot = shared.watch.current();
    let pinned = snapshot.find(&id).is_some_and(|at| snapshot.placed(at).pins.contains_key(key.as_bytes()));
    if !pinned {
        let shown: String = key.chars().take(80).collect();
        let detail =
            format!("key \"{}\" is not pinned: GET /api/v1/migrations/{id}/pins lists the pins", shown.escape_debug());
        return Err(Problem::new(Code::UnknownPin, detail));
    }
    change(&shared, &id, Ask::Unpin { key }, asked).await
}

pub(super) async fn body(request: Request, shared: &Shared) -> Result<UnpinBody, Problem> {
    use axum::extract::FromRequest as _;
    JsonBody::from_request(request, shared).await.map(|JsonBody(body)| body)
}

#[cfg(test)]
mod tests {
    use flags::Side;
    use flags::state::Pin;

    use super::*;

    #[track_caller]
    fn check(after: Option<&str>, limit: usize, expected: &[&str], more: bool) {
        let pin = Pin { side: Side::New, reason: String::new(), actor: String::new(), until: None };
        let pins: PinIndex = ["b", "d", "a", "c"].iter().map(|key| (key.as_bytes().into(), pin.clone())).collect();
        let expected: Vec<&[u8]> = expected.iter().map(|key| key.as_bytes()).collect();
        assert_eq!(keys(&pins, after, limit), (expected, more), "{after:?} {limit}");
    }

    #[test]
    fn pages_are_sorted_and_join_without_a_gap() {
        check(None, 2, &["a", "b"], true);
        check(Some("b"), 2, &["c", "d"], false);
        check(Some("d"), 2, &[], false);
        check(None, 4, &["a", "b", "c", "d"], false);
        check(Some("aa"), 1, &["b"], true);
    }
}
