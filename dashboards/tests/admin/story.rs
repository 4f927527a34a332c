//! The routes of the issue-agents story, as its scripts call them.

use flags::store::Page;
use flags::{MigrationId, Mode};
use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn modes_are_set_by_the_words_of_the_story() {
    let world = World::new().await;
    for (word, mode) in [
        ("python_3_only", Mode::NewOnly),
        ("gradual", Mode::Gradual),
        ("parallel", Mode::Parallel),
        ("typescript_only", Mode::LegacyOnly),
        ("new_only", Mode::NewOnly),
        ("emergency_rollback", Mode::EmergencyRollback),
    ] {
        let answer = world.call("operator", "POST", &format!("/migration/mode/{word}"), "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json(), json!({ "success": true, "new_mode": word }));
        assert_eq!(world.mode().await, mode);
    }
}

#[tokio::test]
async fn reasons_have_the_story_s_defaults() {
    let world = World::new().await;
    world.call("operator", "POST", "/migration/mode/gradual", "").await;
    world.call("operator", "POST", "/migration/mode/parallel?reason=a%20reason", "").await;
    let answer = world.call("operator", "POST", "/migration/rollback", "").await;
    let mode = "emergency_rollback";
    assert_eq!(answer.json(), json!({ "success": true, "mode": mode, "new_mode": mode }));
    let agents = MigrationId::new("agents").unwrap();
    let history = world.control.history(&agents, Page { before: None, limit: 9 }).await.unwrap();
    let reasons: Vec<&str> = history.iter().map(|entry| entry.reason.as_str()).collect();
    assert_eq!(reasons, ["Manual rollback", "a reason", "Manual change"]);
}

#[tokio::test]
async fn a_failure_says_so_and_writes_nothing() {
    let world = World::new().await;
    for (role, path, status, code) in [
        ("operator", "/migration/mode/java_only", 422, "invalid_value"),
        ("operator", "/migration/mode/gradual?reason=%20", 400, "reason_required"),
        ("viewer", "/migration/mode/gradual", 403, "forbidden"),
        ("", "/migration/mode/gradual", 401, "unauthorized"),
        ("", "/migration/rollback", 401, "unauthorized"),
    ] {
        let answer = world.call(role, "POST", path, "").await;
        answer.is_problem(status, code);
        assert_eq!(answer.json()["success"], false, "{answer:?}");
        assert!(answer.json()["new_mode"].is_string(), "{answer:?}");
    }
    assert_eq!(world.stored().await.revision.0, 0);
    world.call("operator", "POST", "/migration/rollback", "").await;
    let latched = world.call("operator", "POST", "/migration/mode/typescript_only", "").await;
    latched.is_problem(409, "refused");
    assert_eq!(latched.json()["new_mode"], "typescript_only");
}
