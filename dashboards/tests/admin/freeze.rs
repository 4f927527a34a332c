//! A freeze by the API: what it says, whom it refuses, and what it leaves alone.

use flags::Mode;
use flags::control::Ask;
use serde_json::{Value, json};

use crate::world::{Answer, World};

const FREEZE: &str = "/api/v1/freeze";
const MODE: &str = "/api/v1/migrations/agents/mode";
const TO_NEW: &str = r#"{"mode":"new_only","reason":"r"}"#;

async fn frozen(world: &World, body: &str) -> Value {
    let answer = world.call("operator", "PUT", FREEZE, body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn to_new(world: &World) -> Answer {
    world.call("operator", "PUT", MODE, TO_NEW).await
}

#[tokio::test]
async fn a_freeze_is_told_everywhere_and_ends_with_a_thaw() {
    let world = World::new().await;
    let fresh = world.get(FREEZE).await.json();
    assert_eq!(fresh, json!({ "frozen": false, "history": [] }));
    assert_eq!(world.get("/api/v1/migrations").await.json()["freeze"], json!(null));

    let change = frozen(&world, r#"{"reason":" release day ","for":"2h"}"#).await;
    assert_eq!(
        (&change["frozen"], &change["changed"], &change["dry_run"]),
        (&json!(true), &json!(true), &json!(false))
    );
    let seen = world.get(FREEZE).await.json();
    let (actor, reason) = (&json!("operator"), &json!("release day"));
    assert_eq!((&seen["frozen"], &seen["actor"], &seen["reason"]), (&json!(true), actor, reason));
    let shown = &world.get("/api/v1/migrations").await.json()["freeze"];
    for member in ["actor", "reason", "time", "until"] {
        assert_eq!(shown[member], seen[member], "{member}");
        assert!(seen[member].is_string() && change[member] == seen[member], "{member} of {seen}");
    }

    frozen(&world, r#"{"reason":"longer than that"}"#).await;
    let thawed = world.call("operator", "DELETE", FREEZE, r#"{"reason":"done"}"#).await.json();
    assert_eq!(thawed, json!({ "frozen": false, "changed": true, "dry_run": false }));
    let again = world.call("operator", "DELETE", &format!("{FREEZE}?reason=done"), "").await.json();
    assert_eq!(again, json!({ "frozen": false, "changed": false, "dry_run": false }));
    let seen = world.get(FREEZE).await.json();
    let told: Vec<_> =
        seen["history"].as_array().unwrap().iter().map(|entry| (&entry["kind"], &entry["reason"])).collect();
    let kinds = [("thaw", "done"), ("freeze", "longer than that"), ("freeze", "release day")];
    assert_eq!(
        told,
        kinds.map(|(kind, reason)| (json!(kind), json!(reason))).iter().map(|(k, r)| (k, r)).collect::<Vec<_>>()
    );
    assert_eq!(to_new(&world).await.status, 200);
}

#[tokio::test]
async fn a_move_toward_new_is_refused_with_who_why_and_what_to_do() {
    let world = World::new().await;
    frozen(&world, r#"{"reason":"release day","for":"1d"}"#).await;
    let refused = to_new(&world).await;
    refused.is_problem(409, "frozen");
    let problem = refused.json();
    let detail = problem["detail"].as_str().unwrap();
    for part in ["\"operator\"", "release day", "until", "crossfade thaw", "force"] {
        assert!(detail.contains(part), "{part:?} in {detail}");
    }
    for member in ["actor", "reason", "time", "until"] {
        assert!(problem[member].is_string(), "{member} of {problem}");
    }
    world.call("operator", "PUT", &format!("{MODE}?dry_run=true"), TO_NEW).await.is_problem(409, "frozen");
    let story = world.call("operator", "POST", "/migration/mode/new_only?reason=r", "").await;
    assert_eq!((story.status.as_u16(), &story.json()["success"]), (409, &json!(false)), "{story:?}");
    assert_eq!(world.call("operator", "PUT", MODE, r#"{"mode":"legacy_only","reason":"r"}"#).await.status, 200);

    let forced = r#"{"mode":"new_only","reason":"r","force":true}"#;
    for path in [format!("{MODE}?dry_run=true"), MODE.to_owned()] {
        let answer = world.call("operator", "PUT", &path, forced).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let warnings = answer.json()["warnings"].clone();
        assert!(warnings[0].as_str().unwrap().contains("is frozen by \"operator\""), "{warnings}");
    }
    // Whatever leads away from new is open.
    for (role, method, path, body) in [
        ("operator", "PUT", "/api/v1/migrations/agents/pins/k", r#"{"side":"legacy","reason":"r"}"#),
        ("operator", "POST", "/api/v1/migrations/agents/rollback", r#"{"reason":"r"}"#),
        ("admin", "POST", "/api/v1/migrations/agents/acknowledge", r#"{"to":"parallel","reason":"r"}"#),
        ("operator", "POST", "/api/v1/rollback", r#"{"reason":"r"}"#),
    ] {
        let answer = world.call(role, method, path, body).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert!(!answer.text.contains("is frozen"), "toward legacy nothing is in the way: {answer:?}");
    }
    assert_eq!(world.mode().await, Mode::EmergencyRollback);
}

#[tokio::test]
async fn a_bad_freeze_is_a_problem_and_writes_nothing() {
    let world = World::new().await;
    let before = world.stored().await;
    for (role, method, path, body, status, code) in [
        ("operator", "PUT", FREEZE, r#"{"reason":"  "}"#, 400, "reason_required"),
        ("operator", "PUT", FREEZE, "{}", 400, "reason_required"),
        ("operator", "PUT", FREEZE, r#"{"reason":"a\nb"}"#, 422, "invalid_value"),
        ("operator", "PUT", FREEZE, r#"{"reason":"r","for":"59s"}"#, 422, "invalid_value"),
        ("operator", "PUT", FREEZE, r#"{"reason":"r","for":"31d"}"#, 422, "invalid_value"),
        ("operator", "PUT", FREEZE, r#"{"reason":"r","for":"18446744073709551615ms"}"#, 422, "invalid_value"),
        ("operator", "PUT", FREEZE, r#"{"reason":"r","for":"soon"}"#, 422, "invalid_value"),
        ("operator", "PUT", FREEZE, r#"{"reason":"r","for":2}"#, 400, "invalid_json"),
        ("operator", "PUT", FREEZE, r#"{"reason":"r","until":"2h"}"#, 400, "invalid_json"),
        ("operator", "PUT", "/api/v1/freeze?wait=1s", r#"{"reason":"r"}"#, 400, "bad_query"),
        ("operator", "DELETE", FREEZE, "", 400, "reason_required"),
        ("operator", "DELETE", FREEZE, r#"{"reason":" "}"#, 400, "reason_required"),
        ("reporter", "PUT", FREEZE, r#"{"reason":"r"}"#, 403, "forbidden"),
        ("viewer", "DELETE", FREEZE, r#"{"reason":"r"}"#, 403, "forbidden"),
        ("", "GET", FREEZE, "", 401, "unauthorized"),
        ("operator", "POST", FREEZE, r#"{"reason":"r"}"#, 405, "method_not_allowed"),
    ] {
        println!("{method} {path} {body}");
        world.call(role, method, path, body).await.is_problem(status, code);
        assert_eq!(world.stored().await, before);
    }
    let dry = world.call("operator", "PUT", "/api/v1/freeze?dry_run=true", r#"{"reason":"r","for":"1m"}"#).await.json();
    assert_eq!((&dry["frozen"], &dry["dry_run"]), (&json!(true), &json!(true)));
    assert_eq!(world.stored().await, before);
}

#[tokio::test]
async fn without_the_store_nobody_freezes_and_the_last_known_freeze_shows() {
    let world = World::new().await;
    world.given(Ask::Mode(Mode::Gradual)).await;
    frozen(&world, r#"{"reason":"release day"}"#).await;
    world.take_the_store_away();
    for (method, body) in [("PUT", r#"{"reason":"r"}"#), ("DELETE", r#"{"reason":"r"}"#), ("GET", "")] {
        world.call("operator", method, FREEZE, body).await.is_problem(503, "store_unavailable");
    }
    to_new(&world).await.is_problem(503, "store_unavailable");
    assert_eq!(world.get("/api/v1/migrations").await.json()["freeze"]["reason"], json!("release day"));
}
