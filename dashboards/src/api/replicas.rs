//! The routers of the fleet, by their own last word.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;

use super::changes::problem;
use super::request::Viewer;
use crate::Shared;
use crate::problem::Problem;
use crate::wire::{ReplicaView, ReplicasView};

/// Every replica that was heard of within the last minute.
#[utoipa::path(get, path = "/replicas", tag = "replicas", responses((status = 200, body = ReplicasView)))]
pub(crate) async fn list(State(shared): State<Shared>, _: Viewer) -> Result<Json<ReplicasView>, Problem> {
    let heartbeats = shared.control.replicas().await.map_err(problem)?;
    let now = Timestamp::now();
    let replicas = heartbeats.into_iter().map(|word| ReplicaView::new(word, now, &shared.replica)).collect();
    Ok(Json(ReplicasView::new(replicas, shared.watch.current().revision())))
}
