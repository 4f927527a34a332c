//! `/livez`, `/readyz` and `/metrics`: for machines, without a token.
//!
//! # Why a lost store stays ready
//!
//! Routing does not need the store, so a router without it is as good as any other, and taking all of
//! them out because the store is gone would turn a nuisance into an outage. It says "degraded" in the body instead.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::Shared;
use crate::problem::{Code, Problem};

pub(crate) fn router() -> Router<Shared> {
    Router::new().route("/livez", get(async || "ok\n")).route("/readyz", get(ready)).route("/metrics", get(metrics))
}

/// Whether new connections should come here; one reason a line.
async fn ready(State(shared): State<Shared>) -> (StatusCode, String) {
    let readiness = shared.health.readiness();
    let mut not_ready = Vec::new();
    if !readiness.listening {
        not_ready.push("not ready: not every listener is bound yet\n".to_owned());
    }
    if readiness.draining {
        not_ready.push("not ready: draining, this router is going down\n".to_owned());
    }
    let degraded = degradations(&shared).into_iter().map(|reason| format!("degraded: {reason}\n"));
    let status = if not_ready.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let verdict = not_ready.is_empty().then(|| "ok\n".to_owned());
    (status, verdict.into_iter().chain(not_ready).chain(degraded).collect())
}

/// What works only partly, in sentences. Text from outside is escaped, so that each is one line.
pub(crate) fn degradations(shared: &Shared) -> Vec<String> {
    let mut found = Vec::new();
    let store = shared.watch.store_health();
    if !store.reachable {
        let error = store.last_error.as_deref().unwrap_or("no answer yet");
        let since = store.last_success.map(|at| format!(", last answered at {at:.0}")).unwrap_or_default();
        found.push(format!(
            "the store is not reachable ({}{since}); traffic goes on by the last known state",
            error.escape_debug()
        ));
    }
    if store.from_saved {
        found.push(
            "the state served is not the store's: it comes from the saved snapshot, or is legacy without one".into(),
        );
    }
    if store.revision_went_back {
        found.push(
            "the store lost its state and is not believed, the last good state goes on serving: crossfade reseed --reason TEXT writes it back, or restore the store".into(),
        );
    }
    if let Some(problem) = &store.problem {
        found.push(format!(
            "a key of the store does not read ({}); the last good state goes on serving",
            problem.escape_debug()
        ));
    }
    if let Some(problem) = &store.beat_problem {
        found.push(format!(
            "the store takes this router's heartbeats or counts only in part ({}): delete the key that is named, it is written anew",
            problem.escape_debug()
        ));
    }
    for lost in &store.losses {
        let (id, revision) = (&lost.migration, lost.revision);
        let (actor, reason) = (lost.actor.escape_debug(), lost.reason.escape_debug());
        let (mode, percent) = (lost.position.mode, lost.position.share);
        let advice = if lost.superseded {
            "the migration was changed since, so look whether that is right"
        } else {
            "crossfade reseed --reason TEXT writes it back, unless the migration is changed otherwise before"
        };
        found.push(format!(
            "the store lost revision {revision} of migration {id}, by which \"{actor}\" set {mode} {percent} % ({reason}): {advice}"
        ));
    }
    for id in &store.rollbacks_waiting {
        found.push(format!("the rollback of {id} holds on this router and is not stored yet"));
    }
    let snapshot = shared.watch.current();
    if snapshot.killed() {
        found.push("the kill file exists: every migration is served by legacy on this router".into());
    }
    let problems = snapshot.iter().filter_map(|(_, migration, placed)| Some((&migration.id, placed.problem.as_ref()?)));
    found.extend(problems.map(|(id, problem)| format!("migration {id}: {}", problem.escape_debug())));
    found
}

async fn metrics(State(shared): State<Shared>) -> Response {
    match (shared.gather)() {
        Ok(text) => ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => {
            let detail = format!("the metrics could not be collected: {}", error.to_string().escape_debug());
            Problem::new(Code::Internal, detail).into_response()
        }
    }
}
