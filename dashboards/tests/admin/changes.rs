//! Changes that are made: what they answer, what is stored, who is waited for.

use axum::body::Body;
use flags::control::Ask;
use flags::{BasisPoints, Mode};
use serde_json::json;

use crate::world::{World, request};

const REASON: &str = r#"{"reason":"because"}"#;

#[tokio::test]
async fn a_change_answers_what_it_did_and_how_to_take_it_back() {
    let world = World::new().await;
    let answer =
        world.call("operator", "PUT", "/api/v1/migrations/agents/mode", r#"{"mode":"new_only","reason":" go "}"#).await;
    assert_eq!((answer.status.as_u16(), answer.header("etag")), (200, "\"1\""), "{answer:?}");
    let body = answer.json();
    assert_eq!(body["revision"], 1);
    assert_eq!(body["kind"], "mode");
    assert_eq!(body["before"], json!({ "mode": "legacy_only", "percent": 0.0 }));
    assert_eq!(body["after"], json!({ "mode": "new_only", "percent": 0.0 }));
    assert_eq!(body["moves"], json!({ "direction": "toward_new", "percent": 100.0, "requests_per_second": 0.07 }));
    assert_eq!(
        body["undo"],
        json!({
            "command": "crossfade undo agents --reason TEXT",
            "method": "POST",
            "path": "/api/v1/migrations/agents/undo",
        })
    );
    assert_eq!(body["changed"], true);
    assert_eq!(body["applied_by"], json!(["router-1"]));
    assert_eq!(world.mode().await, Mode::NewOnly);
    let shown = world.get("/api/v1/migrations/agents").await.json();
    assert_eq!(shown["mode"], "new_only");
    assert_eq!(shown["last_change"]["actor"], "operator");
    assert_eq!(shown["last_change"]["reason"], "go");
}

#[tokio::test]
async fn the_whole_way_there_and_back() {
    let world = World::new().await;
    let steps = [
        ("PUT", "mode", r#"{"mode":"gradual","reason":"r"}"#, "gradual", 0.0),
        ("PUT", "rollout", r#"{"percent":12.5,"reason":"r"}"#, "gradual", 12.5),
        ("PUT", "rollout", r#"{"percent":100,"reason":"r"}"#, "gradual", 100.0),
        ("POST", "undo", REASON, "gradual", 12.5),
        ("POST", "rollback", REASON, "emergency_rollback", 12.5),
        ("POST", "acknowledge", r#"{"to":"parallel","reason":"r"}"#, "parallel", 12.5),
    ];
    for (at, (method, verb, body, mode, percent)) in steps.into_iter().enumerate() {
        let path = format!("/api/v1/migrations/agents/{verb}");
        let answer = world.call("admin", method, &path, body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json()["after"], json!({ "mode": mode, "percent": percent }), "{verb}");
        assert_eq!(answer.json()["revision"], at + 1);
    }
}

#[tokio::test]
async fn a_dry_run_tells_and_writes_nothing() {
    let world = World::new().await;
    world.given(Ask::Mode(Mode::Gradual)).await;
    let before = world.stored().await;
    let path = "/api/v1/migrations/agents/rollout?dry_run=true&wait=10s";
    let answer = world.call("operator", "PUT", path, r#"{"percent":30,"reason":"r"}"#).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    assert_eq!((&body["dry_run"], &body["changed"]), (&true.into(), &true.into()), "{body}");
    assert_eq!(body["moves"], json!({ "direction": "toward_new", "percent": 30.0, "requests_per_second": 0.02 }));
    assert_eq!(body.get("undo"), None);
    let all = world.call("operator", "POST", "/api/v1/rollback?dry_run=true", REASON).await;
    assert_eq!(all.json()["changes"][0]["after"]["mode"], "emergency_rollback", "{all:?}");
    assert_eq!(world.stored().await, before);
}

#[tokio::test]
async fn what_already_is_so_is_not_written_again() {
    let world = World::new().await;
    world.given(Ask::Mode(Mode::Gradual)).await;
    let before = world.stored().await;
    let path = "/api/v1/migrations/agents/mode?wait=10s";
    let answer = world.call("operator", "PUT", path, r#"{"mode":"gradual","reason":"r"}"#).await;
    let body = answer.json();
    assert_eq!((&body["changed"], &body["revision"], body.get("undo")), (&false.into(), &1.into(), None), "{body}");
    assert_eq!(world.stored().await, before);
}

#[tokio::test]
async fn a_condition_that_does_not_hold_stops_the_change() {
    let world = World::new().await;
    world.given(Ask::Mode(Mode::Gradual)).await;
    let send = async |tag: &str, percent: u8| {
        let body = format!(r#"{{"percent":{percent},"reason":"r"}}"#);
        let request = request("operator", "PUT", "/api/v1/migrations/agents/rollout", &body).header("if-match", tag);
        world.send(request.body(Body::from(body)).unwrap()).await
    };
    for tag in ["\"0\"", "\"2\"", "W/\"1\"", "\"x\""] {
        send(tag, 5).await.is_problem(412, "stale_revision");
    }
    let stale = send("\"0\"", 5).await.json();
    assert_eq!((&stale["actual"], &stale["actor"]), (&1.into(), &"given".into()), "{stale}");
    assert!(stale["time"].as_str().is_some(), "{stale}");
    send("1", 5).await.is_problem(400, "bad_if_match");
    assert_eq!(world.stored().await.revision.0, 1);
    assert_eq!(send("\"1\"", 5).await.status, 200);
    assert_eq!(send("*", 6).await.status, 200);
    assert_eq!(send("\"1\", \"3\"", 7).await.status, 200);
}

#[tokio::test]
async fn a_rollback_of_everything_rolls_back_everything() {
    let world = World::new().await;
    let answer = world.call("operator", "POST", "/api/v1/rollback", REASON).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let changes = answer.json()["changes"].as_array().unwrap().clone();
    assert_eq!(changes.len(), 2);
    for change in changes {
        assert_eq!(change["after"]["mode"], "emergency_rollback");
        assert!(change["undo"]["command"].as_str().unwrap().contains("acknowledge"), "{change}");
    }
    assert_eq!(world.mode().await, Mode::EmergencyRollback);
}

#[tokio::test]
async fn an_answer_waits_for_replicas_and_names_those_that_are_late() {
    let world = World::new().await;
    world.another_router_is_at(0).await;
    let path = "/api/v1/migrations/agents/mode?wait=200ms";
    let answer = world.call("operator", "PUT", path, r#"{"mode":"parallel","reason":"r"}"#).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    assert_eq!((&body["converged"], &body["pending"]), (&false.into(), &json!(["router-2"])), "{body}");

    let further = r#"{"mode":"new_only","reason":"r"}"#;
    let refused = world.call("operator", "PUT", "/api/v1/migrations/agents/mode", further).await;
    refused.is_problem(409, "not_converged");
    assert_eq!(refused.json()["replicas"], json!(["router-2"]));
    let back = r#"{"mode":"legacy_only","reason":"r"}"#;
    assert_eq!(world.call("operator", "PUT", "/api/v1/migrations/agents/mode", back).await.status, 200);

    let forced = r#"{"mode":"new_only","reason":"r","force":true}"#;
    assert_eq!(world.call("operator", "PUT", "/api/v1/migrations/agents/mode", forced).await.status, 200);
    world.another_router_is_at(100).await;
    let again = world.call("operator", "PUT", "/api/v1/migrations/agents/mode?wait=10s", further).await.json();
    assert_eq!(
        (&again["converged"], &again["applied_by"]),
        (&true.into(), &json!(["router-1", "router-2"])),
        "{again}"
    );
}

#[tokio::test]
async fn keys_are_pinned_by_their_decoded_name() {
    let world = World::new().await;
    let path = "/api/v1/migrations/agents/pins/acme%2Feu%20%C3%A4";
    let pinned = world.call("operator", "PUT", path, r#"{"side":"new","reason":"pilot","for":"7d"}"#).await;
    assert_eq!(pinned.status, 200, "{pinned:?}");
    assert_eq!(pinned.json()["pin"]["after"]["key"], "acme/eu ä");
    let pins = world.get("/api/v1/migrations/agents/pins").await.json();
    let pin = &pins["pins"][0];
    assert_eq!((&pin["key"], &pin["side"], &pin["reason"]), (&"acme/eu ä".into(), &"new".into(), &"pilot".into()));
    assert_eq!((&pin["actor"], &pin["expired"], &pins["total"]), (&"operator".into(), &false.into(), &1.into()));
    assert!(pin["until"].as_str().is_some(), "{pin}");
    assert_eq!(world.get("/api/v1/migrations/agents").await.json()["pins"], 1);

    let removed = world.call("operator", "DELETE", &format!("{path}?reason=done"), "").await;
    assert_eq!(removed.status, 200, "{removed:?}");
    assert_eq!(removed.json()["pin"]["after"], json!(null));
    assert_eq!(world.get("/api/v1/migrations/agents/pins").await.json()["pins"], json!([]));
    let history = world.get("/api/v1/migrations/agents/history").await.json();
    assert_eq!((&history["history"][0]["kind"], &history["history"][0]["reason"]), (&"unpin".into(), &"done".into()));
}

#[tokio::test]
async fn pins_are_listed_by_pages() {
    let world = World::new().await;
    for key in ["c", "a/1", "b"] {
        world.given(Ask::Pin { key: key.into(), side: flags::Side::New, until: None }).await;
    }
    let mut next = "/api/v1/migrations/agents/pins?limit=2".to_owned();
    let mut keys = Vec::new();
    for _ in 0..2 {
        let page = world.get(&next).await.json();
        keys.extend(page["pins"].as_array().unwrap().iter().map(|pin| pin["key"].as_str().unwrap().to_owned()));
        next = page["next"].as_str().unwrap_or_default().into();
    }
    assert_eq!((keys.join(" "), next.as_str()), ("a/1 b c".to_owned(), ""));
}

#[tokio::test]
async fn a_share_keeps_two_decimals() {
    let world = World::new().await;
    let body = r#"{"percent":33.33,"reason":"r"}"#;
    assert_eq!(world.call("operator", "PUT", "/api/v1/migrations/agents/rollout", body).await.status, 200);
    let snapshot = world.watch.current();
    let (_, _, placed) = snapshot.iter().next().unwrap();
    assert_eq!(placed.document.share, BasisPoints::new(3_333).unwrap());
    assert_eq!(world.get("/api/v1/migrations/agents").await.json()["percent"], 33.33);
}
