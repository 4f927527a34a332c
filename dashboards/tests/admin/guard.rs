//! What the guard has found, and what it keeps people from.

use flags::MigrationId;
use jiff::{SignedDuration, Timestamp};
use metrics::status::{Attempts, State, Status};
use serde_json::json;

use crate::world::World;

fn agents() -> MigrationId {
    MigrationId::new("agents").unwrap()
}

fn held() -> Status {
    Status {
        state: State::Held,
        since: Some(Timestamp::UNIX_EPOCH),
        why: "new fails 4 % of its requests, legacy 1 %".into(),
        judged: Some(Timestamp::UNIX_EPOCH),
        evidence: [("success".to_owned(), 50.0), ("all".to_owned(), 21.0)].into(),
        legacy: Attempts { total: 900.0, failed: 9.0 },
        new: Attempts { total: 100.0, failed: 4.0 },
        ..Status::default()
    }
}

#[tokio::test]
async fn evidence_is_1_before_anything_was_judged() {
    let world = World::new().await;
    let seen = world.call("viewer", "GET", "/api/v1/migrations/agents/evidence", "").await.json();
    assert_eq!(
        (&seen["state"], &seen["evidence"], &seen["action"]),
        (&json!("running"), &json!(1.0), &json!("rollback"))
    );
    assert_eq!(seen["thresholds"], json!({ "hold": 20.0, "brake": 100.0, "rollback": 1000.0 }));
    assert_eq!(seen["record"], json!(null));
}

#[tokio::test]
async fn evidence_is_told_by_measure() {
    let world = World::new().await;
    world.board.put(&agents(), held());
    let seen = world.call("viewer", "GET", "/api/v1/migrations/agents/evidence", "").await.json();
    assert_eq!((&seen["state"], &seen["evidence"]), (&json!("held"), &json!(21.0)));
    assert_eq!(
        (&seen["measures"], &seen["new"]),
        (&json!({ "success": 50.0 }), &json!({ "total": 100.0, "failed": 4.0 }))
    );
    let migration = world.call("viewer", "GET", "/api/v1/migrations/agents", "").await.json();
    assert_eq!((&migration["state"], &migration["evidence"]), (&json!("held"), &json!(21.0)));
    world.call("viewer", "GET", "/api/v1/migrations/none/evidence", "").await.is_problem(404, "unknown_migration");
}

#[tokio::test]
async fn a_held_migration_gets_no_more_traffic_without_force() {
    let world = World::new().await;
    world.board.put(&agents(), held());
    let ask = |body: &'static str, what: &'static str| {
        let world = &world;
        async move { world.call("operator", "PUT", &format!("/api/v1/migrations/agents/{what}"), body).await }
    };
    let refused = ask(r#"{"mode":"new_only","reason":"r"}"#, "mode").await;
    refused.is_problem(409, "held");
    assert!(refused.json()["detail"].as_str().unwrap().contains("new fails 4 %"), "{refused:?}");
    let forced = ask(r#"{"mode":"new_only","reason":"r","force":true}"#, "mode").await;
    assert_eq!(forced.status, 200);
    assert_eq!(forced.json()["warnings"].as_array().unwrap().len(), 1, "{forced:?}");
    let back = ask(r#"{"mode":"legacy_only","reason":"r"}"#, "mode").await;
    assert_eq!(
        (back.status.as_u16(), &back.json()["warnings"]),
        (200, &json!(null)),
        "toward legacy nothing is in the way"
    );
}

#[tokio::test]
async fn after_a_rollback_people_are_warned_for_a_while() {
    let world = World::new().await;
    let now = Timestamp::now();
    let ago = |minutes| now.checked_sub(SignedDuration::from_mins(minutes)).unwrap();
    let status = Status { rollbacks: vec![ago(5)], acknowledged: Some(ago(1)), ..Status::default() };
    world.board.put(&agents(), status);
    let body = r#"{"mode":"parallel","reason":"r"}"#;
    let dry = world.call("operator", "PUT", "/api/v1/migrations/agents/mode?dry_run=true", body).await.json();
    assert_eq!(dry["warnings"], json!(null), "copies move nobody");
    let body = r#"{"mode":"new_only","reason":"r"}"#;
    let dry = world.call("operator", "PUT", "/api/v1/migrations/agents/mode?dry_run=true", body).await.json();
    assert!(dry["warnings"][0].as_str().unwrap().contains("rolled back once within 7 days"), "{dry}");
    let migration = world.call("viewer", "GET", "/api/v1/migrations/agents", "").await.json();
    assert!(migration["cooldown_until"].is_string(), "{migration}");
}
