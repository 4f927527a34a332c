//! OpenFeature clients: the four flags of a migration, and every answer against the protocol's own schema.

use std::path::Path;

use axum::body::Body;
use axum::http::Request;
use flags::control::Ask;
use flags::{BasisPoints, HashKind, Mode, Side};
use serde_json::{Value, json};

use crate::schema::violation;
use crate::world::{Answer, World, request};

const ONE: &str = "/ofrep/v1/evaluate/flags/{key}";
const ALL: &str = "/ofrep/v1/evaluate/flags";

/// The protocol, where it lies beside the repository.
fn protocol() -> Option<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/suites/ofrep-protocol/service/openapi.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("SKIPPED: the schema of OFREP is not at {}", path.display());
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

/// Asserts that an answer is what the protocol says for its path and status.
#[track_caller]
fn conforms(path: &str, answer: &Answer) {
    let Some(protocol) = protocol() else { return };
    let status = answer.status.as_u16().to_string();
    let response = &protocol["paths"][path]["post"]["responses"][&status];
    assert!(response.is_object(), "the protocol does not know {status} for {path}: {answer:?}");
    if let Some(schema) = response.pointer("/content/application~1json/schema") {
        assert_eq!(answer.header("content-type"), "application/json", "{answer:?}");
        assert_eq!(violation(&protocol, schema, &answer.json()), None, "{answer:?}");
    }
}

async fn evaluate(world: &World, key: &str, context: &Value) -> Answer {
    let body = json!({ "context": context }).to_string();
    let answer = world.call("viewer", "POST", &format!("{ALL}/{key}"), &body).await;
    conforms(ONE, &answer);
    answer
}

#[test]
fn the_validator_of_these_tests_can_say_no() {
    let Some(protocol) = protocol() else { return };
    let schema = &protocol["components"]["schemas"]["serverEvaluationSuccess"];
    let good = json!({ "key": "k", "value": true, "reason": "STATIC", "variant": "on", "metadata": { "a": 1 } });
    assert_eq!(violation(&protocol, schema, &good), None);
    for (member, value) in
        [("reason", json!("BECAUSE")), ("key", json!(5)), ("metadata", json!({ "a": {} })), ("variant", json!(null))]
    {
        let mut bad = good.clone();
        bad[member] = value;
        assert!(violation(&protocol, schema, &bad).is_some(), "{bad}");
    }
}

#[tokio::test]
async fn a_key_is_where_traffic_would_put_it() {
    let world = World::new().await;
    world.given(Ask::Mode(Mode::Gradual)).await;
    world.given(Ask::Rollout(BasisPoints::new(5_000).unwrap())).await;
    world.given(Ask::Pin { key: "pinned".into(), side: Side::New, until: None }).await;
    for number in 0..50 {
        let key = format!("user-{number}");
        let bucket = HashKind::Bucket.place("agents", key.as_bytes()).unwrap().get();
        let side = if bucket < 5_000 { "new" } else { "legacy" };
        let body = evaluate(&world, "agents", &json!({ "targetingKey": key })).await.json();
        assert_eq!(
            body["value"],
            json!({ "system": side, "mode": "gradual", "percent": 50.0, "revision": 3, "bucket": bucket })
        );
        assert_eq!((&body["variant"], &body["reason"]), (&json!(side), &json!("SPLIT")));
    }
    let pinned = evaluate(&world, "agents.system", &json!({ "targetingKey": "pinned" })).await.json();
    assert_eq!((&pinned["value"], &pinned["reason"]), (&json!("new"), &json!("TARGETING_MATCH")), "{pinned}");
    assert_eq!(pinned["metadata"]["why"], "pin");
    let boolean = evaluate(&world, "agents.use_new", &json!({ "targetingKey": "pinned" })).await.json();
    assert_eq!((&boolean["value"], &boolean["variant"]), (&json!(true), &json!("new")));
    let mode = evaluate(&world, "agents.mode", &json!({})).await.json();
    assert_eq!(
        (&mode["value"], &mode["variant"], &mode["reason"]),
        (&json!("gradual"), &json!("gradual"), &json!("STATIC"))
    );
}

#[tokio::test]
async fn the_rest_of_a_context_stands_for_a_request() {
    let world = World::new().await;
    world.given(Ask::Mode(Mode::Gradual)).await;
    world.given(Ask::Pin { key: "u1".into(), side: Side::New, until: None }).await;
    for context in [
        json!({ "headers": { "X-User-Id": "u1" } }),
        json!({ "headers.x-user-id": "u1", "plan": "free", "age": 5, "nested": {} }),
        json!({ "path": "/agents/u1/x", "method": "POST", "ip": "10.0.0.7", "host": "h" }),
        json!({ "path": "/agents/other/x?account=y", "headers": { "x-user-id": "u1", "odd": [] } }),
    ] {
        let body = evaluate(&world, "agents.system", &context).await.json();
        assert_eq!(body["value"], "new", "{context}: {body}");
    }
    let nobody = evaluate(&world, "agents.system", &json!({})).await.json();
    assert_eq!((&nobody["value"], &nobody["reason"]), (&json!("legacy"), &json!("STATIC")), "{nobody}");
}

#[tokio::test]
async fn what_fails_fails_in_the_protocol_s_words() {
    let world = World::new().await;
    for (key, body, status, code) in [
        ("unknown", "{}", 404, "FLAG_NOT_FOUND"),
        ("agents.colour", "{}", 404, "FLAG_NOT_FOUND"),
        (".system", "{}", 404, "FLAG_NOT_FOUND"),
        ("AGENTS", "{}", 404, "FLAG_NOT_FOUND"),
        ("agents", "{", 400, "PARSE_ERROR"),
        ("agents", "[]", 400, "INVALID_CONTEXT"),
        ("agents", r#"{"context":5}"#, 400, "INVALID_CONTEXT"),
        ("agents", r#"{"context":{"targetingKey":{}}}"#, 400, "INVALID_CONTEXT"),
        ("agents", r#"{"context":{"ip":"here"}}"#, 400, "INVALID_CONTEXT"),
    ] {
        let answer = world.call("viewer", "POST", &format!("{ALL}/{key}"), body).await;
        assert_eq!(answer.status, status, "{answer:?}");
        conforms(ONE, &answer);
        let failure = answer.json();
        assert_eq!((&failure["key"], &failure["errorCode"]), (&json!(key), &json!(code)), "{failure}");
        assert!(failure["errorDetails"].as_str().unwrap().len() > 10, "{failure}");
    }
    let bulk = world.call("viewer", "POST", ALL, "nonsense").await;
    conforms(ALL, &bulk);
    assert_eq!((bulk.status.as_u16(), &bulk.json()["errorCode"]), (400, &json!("PARSE_ERROR")));
}

#[tokio::test]
async fn clients_that_leave_things_out_are_understood() {
    let world = World::new().await;
    for (path, body) in [
        ("/ofrep/v1/evaluate/flags/agents", ""),
        ("/ofrep/v1/evaluate/flags/agents/", "{}"),
        ("/ofrep/v1/evaluate/flags/agents.system?flagConfigEtag=x", r#"{"context":null}"#),
        ("/ofrep/v1/evaluate/flags/", "{}"),
        ("/ofrep/v1/evaluate/flags", r#"{"context":{}}"#),
    ] {
        assert_eq!(world.call("viewer", "POST", path, body).await.status, 200, "{path} {body}");
    }
}

#[tokio::test]
async fn a_token_is_needed_by_either_field() {
    let world = World::new().await;
    for path in [ALL, "/ofrep/v1/evaluate/flags/agents"] {
        let answer = world.call("", "POST", path, "{}").await;
        answer.is_problem(401, "unauthorized");
        assert_eq!(answer.json()["errorCode"], "GENERAL");
        assert!(answer.json()["errorDetails"].is_string(), "{answer:?}");
    }
    for (key, status) in [("viewer", 200), ("wrong", 401)] {
        let request = Request::post(ALL).header("x-api-key", key).body(Body::from("{}")).unwrap();
        assert_eq!(world.send(request).await.status, status, "{key}");
    }
    world.call("viewer", "GET", ALL, "").await.is_problem(405, "method_not_allowed");
}

#[tokio::test]
async fn all_flags_come_at_once_and_again_only_when_they_differ() {
    let world = World::new().await;
    world.given(Ask::Pin { key: "pinned".into(), side: Side::New, until: None }).await;
    let send = async |key: &str, tag: &str| {
        let body = json!({ "context": { "targetingKey": key } }).to_string();
        let request = request("viewer", "POST", ALL, &body).header("if-none-match", tag);
        let answer = world.send(request.body(Body::from(body)).unwrap()).await;
        conforms(ALL, &answer);
        answer
    };
    let first = send("u1", "").await;
    let body = first.json();
    assert_eq!(body.get("eventStreams"), None);
    let keys: Vec<&str> = body["flags"].as_array().unwrap().iter().map(|flag| flag["key"].as_str().unwrap()).collect();
    assert_eq!(keys.len(), 8);
    assert_eq!(keys[..4], ["agents.system", "agents.use_new", "agents.mode", "agents"]);
    let tag = first.header("etag").to_owned();
    assert_eq!(send("u1", &tag).await.status, 304);
    assert_eq!(send("pinned", &tag).await.status, 200, "another context is another answer");
    world.given(Ask::Mode(Mode::NewOnly)).await;
    assert_eq!(send("u1", &tag).await.status, 200);
}
