//! The three routes of the issue-agents story, for whoever scripted them.
//!
//! They act on the default migration and speak the story's words: `typescript_only` and
//! `python_only` are the migration's labels with `_only`. They are no way around anything: the same
//! tokens, the same `Control`, the same history.

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use flags::control::Ask;
use flags::migration::Labels;
use flags::mirror::only;
use flags::{Migration, Mode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::Shared;
use crate::api::request::{Holder, IfMatch, Operator, PathPart};
use crate::api::{Asked, ChangeParams, change};
use crate::problem::{Code, PROBLEM_JSON, Problem};

pub(crate) fn router() -> Router<Shared> {
    Router::new().route("/migration/mode/{mode}", post(set_mode)).route("/migration/rollback", post(roll_back))
}

#[derive(Debug, Deserialize)]
struct Why {
    reason: Option<String>,
}

async fn set_mode(
    State(shared): State<Shared>,
    holder: Result<Operator, Problem>,
    PathPart(asked): PathPart<String>,
    Query(why): Query<Why>,
) -> Response {
    let changed = async {
        let Holder(actor) = holder?;
        let migration = default(&shared)?;
        let ask = match mode(&asked, &migration.labels)? {
            Mode::EmergencyRollback => Ask::RollBack,
            mode @ (Mode::LegacyOnly | Mode::Parallel | Mode::Gradual | Mode::NewOnly) => Ask::Mode(mode),
        };
        carry_out(&shared, &migration, ask, actor, why.reason.as_deref().unwrap_or("Manual change")).await
    };
    answer(changed.await, json!({ "new_mode": asked }))
}

async fn roll_back(
    State(shared): State<Shared>,
    holder: Result<Operator, Problem>,
    Query(why): Query<Why>,
) -> Response {
    let changed = async {
        let Holder(actor) = holder?;
        let migration = default(&shared)?;
        carry_out(&shared, &migration, Ask::RollBack, actor, why.reason.as_deref().unwrap_or("Manual rollback")).await
    };
    let mode = Mode::EmergencyRollback.name();
    answer(changed.await, json!({ "mode": mode, "new_mode": mode }))
}

/// The migration that the story is about.
pub(crate) fn default(shared: &Shared) -> Result<Migration, Problem> {
    let snapshot = shared.watch.current();
    let found = snapshot.definitions().default_migration().map(|at| snapshot.migration(at).clone());
    found.ok_or_else(|| {
        let detail = "no migration is marked `default: true` in the file, which the routes under /migration/ act on; mark one, or use /api/v1/migrations";
        Problem::new(Code::UnknownMigration, detail)
    })
}

async fn carry_out(
    shared: &Shared,
    migration: &Migration,
    ask: Ask,
    actor: String,
    reason: &str,
) -> Result<StatusCode, Problem> {
    let asked = Asked::new(actor, Some(reason), false, IfMatch::Anything, &ChangeParams::default())?;
    Ok(change(shared, &migration.id, ask, asked).await?.status())
}

/// A mode by our name or by the story's.
fn mode(text: &str, labels: &Labels) -> Result<Mode, Problem> {
    if let Ok(mode) = text.parse() {
        return Ok(mode);
    }
    let (legacy, new) = (only(&labels.legacy), only(&labels.new));
    match text.to_ascii_lowercase() {
        same if legacy == new && same == legacy => {}
        asked if asked == legacy => return Ok(Mode::LegacyOnly),
        asked if asked == new => return Ok(Mode::NewOnly),
        _ => {}
    }
    let shown: String = text.chars().take(80).collect();
    let detail = format!(
        "\"{}\" is not a mode: use legacy_only (or {legacy}), new_only (or {new}), parallel, gradual or emergency_rollback",
        shown.escape_debug()
    );
    Err(Problem::new(Code::InvalidValue, detail))
}

/// The story's answer; a failure is also a problem.
fn answer(changed: Result<StatusCode, Problem>, members: Value) -> Response {
    let mut body = Map::from_iter([("success".to_owned(), changed.is_ok().into())]);
    let extend = |body: &mut Map<String, Value>, value: Value| {
        if let Value::Object(members) = value {
            body.extend(members);
        }
    };
    extend(&mut body, members);
    match changed {
        Ok(status) => (status, Json(body)).into_response(),
        Err(problem) => {
            extend(&mut body, problem.to_value());
            let mut response = (problem.code().status(), problem.headers(), Json(body)).into_response();
            response.headers_mut().insert(CONTENT_TYPE, PROBLEM_JSON);
            response
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, legacy: &str, new: &str, expected: Option<Mode>) {
        let labels = Labels { legacy: legacy.into(), new: new.into() };
        assert_eq!(mode(text, &labels).ok(), expected, "{text:?} with {legacy:?} and {new:?}");
    }

    #[test]
    fn modes_are_known_by_label_too() {
        for mode in Mode::ALL {
            check(mode.name(), "TypeScript", "Python", Some(mode));
        }
        check("typescript_only", "TypeScript", "Python", Some(Mode::LegacyOnly));
        check("python_only", "TypeScript", "Python", Some(Mode::NewOnly));
        check("Python_Only", "TypeScript", "Python", Some(Mode::NewOnly));
        check("rust_only", "TypeScript", "Python", None);
        check("old_monolith_v1_only", "Old monolith (v1)", "New", Some(Mode::LegacyOnly));
        check("same_only", "Same", "same", None);
        check("new_only", "New", "Old", Some(Mode::NewOnly));
        check("", "", "", None);
    }
}
