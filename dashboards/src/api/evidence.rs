//! What the guard of a migration has found, and what it decided last.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use flags::guard::{Guard, GuardAction};
use jiff::Timestamp;
use metrics::guard::Thresholds;
use metrics::status::{Attempts, Status};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::changes::known;
use super::request::{PathPart, Viewer};
use crate::Shared;
use crate::problem::Problem;
use crate::wire::{guard_action_schema, state_schema};

/// At which evidence what happens.
#[derive(Serialize, ToSchema)]
#[schema(as = Thresholds)]
pub(crate) struct ThresholdsView {
    hold: f64,
    brake: f64,
    rollback: f64,
}

impl From<Thresholds> for ThresholdsView {
    fn from(Thresholds { hold, brake, rollback, .. }: Thresholds) -> Self {
        Self { hold, brake, rollback }
    }
}

/// First attempts at a side in the newest ten seconds that were judged.
#[derive(Serialize, ToSchema)]
#[schema(as = Attempts)]
pub(crate) struct AttemptsView {
    total: f64,
    failed: f64,
}

impl From<Attempts> for AttemptsView {
    fn from(Attempts { total, failed }: Attempts) -> Self {
        Self { total, failed }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Evidence)]
pub(crate) struct EvidenceView {
    migration: String,
    /// What the file lets the guard do.
    #[schema(schema_with = guard_action_schema)]
    action: &'static str,
    #[schema(schema_with = state_schema)]
    state: &'static str,
    /// Since when; absent before the first judgement.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Why, in one sentence; empty while running.
    why: String,
    /// The end of the newest half second that was judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    judged: Option<Timestamp>,
    /// The weighted mean of the evidence of all measures, an e-value: 1 says nothing.
    evidence: f64,
    /// E-values by measure.
    measures: BTreeMap<String, f64>,
    /// How much speaks for new being no worse than legacy by more than the margin, an e-value.
    safety: f64,
    thresholds: ThresholdsView,
    legacy: AttemptsView,
    new: AttemptsView,
    /// Rollbacks of the last 7 days, whoever made them.
    #[schema(value_type = Vec<String>)]
    rollbacks: Vec<Timestamp>,
    /// Until when progress should wait after a rollback that was acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    cooldown_until: Option<Timestamp>,
    /// The newest decision with everything that it was made on; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<Value>,
}

/// What speaks against new and for it, by measure, and the newest decision of the guard.
#[utoipa::path(
    get, path = "/migrations/{id}/evidence", tag = "migrations",
    params(("id" = String, Path)), responses((status = 200, body = EvidenceView))
)]
pub(crate) async fn evidence(
    State(shared): State<Shared>,
    _: Viewer,
    PathPart(id): PathPart<String>,
) -> Result<Json<EvidenceView>, Problem> {
    let id = known(&shared, &id)?;
    let snapshot = shared.watch.current();
    let guard = snapshot.find(&id).map(|at| snapshot.migration(at).guard.clone()).unwrap_or_default();
    let status = shared.board.get(&id).unwrap_or_default();
    let (cooldown_until, evidence) = (status.cooldown_until(), status.e_value());
    let Status { state, since, why, judged, evidence: measures, safety, legacy, new, rollbacks, record, .. } = status;
    Ok(Json(EvidenceView {
        migration: id.to_string(),
        action: action_name(guard.action),
        state: state.name(),
        since,
        why,
        judged,
        evidence,
        measures: measures.into_iter().filter(|(name, _)| name != "all").collect(),
        safety,
        thresholds: thresholds(&guard).into(),
        legacy: legacy.into(),
        new: new.into(),
        rollbacks,
        cooldown_until,
        record,
    }))
}

/// The evidence at which a guard acts.
pub(crate) fn thresholds(guard: &Guard) -> Thresholds {
    Thresholds::of(f64::from(guard.alpha.get()) / 10_000.0)
}

pub(crate) const fn action_name(action: GuardAction) -> &'static str {
    match action {
        GuardAction::Rollback => "rollback",
        GuardAction::Hold => "hold",
        GuardAction::Off => "off",
    }
}
