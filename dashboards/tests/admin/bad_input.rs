//! Every bad request: the right status and code, and nothing written.

use axum::body::Body;
use flags::control::Ask;
use flags::{Mode, Side};

use crate::world::{World, request};

struct Case {
    role: &'static str,
    method: &'static str,
    path: &'static str,
    body: &'static str,
    status: u16,
    code: &'static str,
}

const fn case(
    role: &'static str,
    call: (&'static str, &'static str),
    body: &'static str,
    status: u16,
    code: &'static str,
) -> Case {
    Case { role, method: call.0, path: call.1, body, status, code }
}

const MODE: (&str, &str) = ("PUT", "/api/v1/migrations/agents/mode");
const ROLLOUT: (&str, &str) = ("PUT", "/api/v1/migrations/agents/rollout");
const ROLLBACK: (&str, &str) = ("POST", "/api/v1/migrations/agents/rollback");
const ALL: (&str, &str) = ("POST", "/api/v1/rollback");
const ACKNOWLEDGE: (&str, &str) = ("POST", "/api/v1/migrations/agents/acknowledge");
const UNDO: (&str, &str) = ("POST", "/api/v1/migrations/agents/undo");
const PIN: (&str, &str) = ("PUT", "/api/v1/migrations/agents/pins/k");
const UNPIN: (&str, &str) = ("DELETE", "/api/v1/migrations/agents/pins/absent");
const REASON: &str = r#"{"reason":"r"}"#;

/// Sends every case to one world, whose state must be the same after each.
async fn check(world: &World, cases: &[Case]) {
    let before = world.stored().await;
    for Case { role, method, path, body, status, code } in cases {
        let answer = world.call(role, method, path, body).await;
        println!("{method} {path} {body}");
        answer.is_problem(*status, code);
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(world.stored().await, before, "{method} {path} {body} wrote something");
    }
}

#[tokio::test]
async fn values_that_cannot_be_are_refused() {
    let cases = [
        case("operator", MODE, r#"{"mode":"canary","reason":"r"}"#, 422, "invalid_value"),
        case("operator", MODE, r#"{"mode":"GRADUAL","reason":"r"}"#, 422, "invalid_value"),
        case("operator", MODE, r#"{"mode":"emergency_rollback","reason":"r"}"#, 409, "refused"),
        case("operator", ROLLOUT, r#"{"percent":101,"reason":"r"}"#, 422, "invalid_value"),
        case("operator", ROLLOUT, r#"{"percent":-1,"reason":"r"}"#, 422, "invalid_value"),
        case("operator", ROLLOUT, r#"{"percent":0.001,"reason":"r"}"#, 422, "invalid_value"),
        case("operator", ROLLOUT, r#"{"percent":1e300,"reason":"r"}"#, 422, "invalid_value"),
        case(
            "operator",
            ("PUT", "/api/v1/migrations/reports/rollout"),
            r#"{"percent":12.5,"reason":"r"}"#,
            422,
            "invalid_value",
        ),
        case("operator", PIN, r#"{"side":"left","reason":"r"}"#, 422, "invalid_value"),
        case("operator", PIN, r#"{"side":"new","for":"soon","reason":"r"}"#, 422, "invalid_value"),
        case("operator", PIN, r#"{"side":"new","for":"0s","reason":"r"}"#, 422, "invalid_value"),
        case("operator", PIN, r#"{"side":"new","for":"9999999d","reason":"r"}"#, 422, "invalid_value"),
        case("admin", ACKNOWLEDGE, r#"{"to":"nowhere","reason":"r"}"#, 422, "invalid_value"),
        case(
            "operator",
            ("PUT", "/api/v1/migrations/agents/mode?wait=2h"),
            r#"{"mode":"gradual","reason":"r"}"#,
            422,
            "invalid_value",
        ),
        case("operator", MODE, r#"{"mode":"gradual","reason":"line\nbreak"}"#, 422, "invalid_value"),
        case("viewer", ("GET", "/api/v1/migrations/agents/history?limit=0"), "", 422, "invalid_value"),
        case("viewer", ("GET", "/api/v1/migrations/agents/pins?limit=100000"), "", 422, "invalid_value"),
    ];
    check(&World::new().await, &cases).await;
}

#[tokio::test]
async fn every_change_needs_a_reason() {
    let world = World::new().await;
    world.given(Ask::Pin { key: "k".into(), side: Side::New, until: None }).await;
    let pinned = ("DELETE", "/api/v1/migrations/agents/pins/k");
    let cases = [
        case("operator", MODE, r#"{"mode":"gradual"}"#, 400, "reason_required"),
        case("operator", MODE, r#"{"mode":"gradual","reason":null}"#, 400, "reason_required"),
        case("operator", MODE, r#"{"mode":"gradual","reason":"  \t "}"#, 400, "reason_required"),
        case("operator", ROLLOUT, r#"{"percent":1}"#, 400, "reason_required"),
        case("operator", ROLLBACK, "{}", 400, "reason_required"),
        case("operator", ALL, r#"{"reason":""}"#, 400, "reason_required"),
        case("operator", UNDO, "{}", 400, "reason_required"),
        case("operator", PIN, r#"{"side":"new"}"#, 400, "reason_required"),
        case("operator", pinned, "", 400, "reason_required"),
        case("operator", pinned, "{}", 400, "reason_required"),
        case("admin", ACKNOWLEDGE, r#"{"to":"legacy_only"}"#, 400, "reason_required"),
    ];
    check(&world, &cases).await;
}

#[tokio::test]
async fn bodies_that_are_not_understood_are_refused() {
    let cases = [
        case("operator", MODE, "{", 400, "invalid_json"),
        case("operator", MODE, "[]", 400, "invalid_json"),
        case("operator", MODE, "null", 400, "invalid_json"),
        case("operator", MODE, r#"{"reason":"r"}"#, 400, "invalid_json"),
        case("operator", MODE, r#"{"mode":5,"reason":"r"}"#, 400, "invalid_json"),
        case("operator", MODE, r#"{"mode":"gradual","reason":"r","percent":5}"#, 400, "invalid_json"),
        case("operator", MODE, r#"{"mode":"gradual","mode":"new_only","reason":"r"}"#, 400, "invalid_json"),
        case("operator", ROLLOUT, r#"{"percent":"25","reason":"r"}"#, 400, "invalid_json"),
        case("operator", ROLLOUT, r#"{"percent":NaN,"reason":"r"}"#, 400, "invalid_json"),
        case("operator", ROLLOUT, r#"{"percent":1e999,"reason":"r"}"#, 400, "invalid_json"),
        case("operator", ROLLBACK, r#"{"reason":"r"} trailing"#, 400, "invalid_json"),
        case("operator", ROLLBACK, r#"{"reason":5}"#, 400, "invalid_json"),
        case("operator", ("PUT", "/api/v1/migrations/agents/mode?dryrun=true"), REASON, 400, "bad_query"),
        case("operator", ("PUT", "/api/v1/migrations/agents/mode?dry_run=maybe"), REASON, 400, "bad_query"),
        case("viewer", ("GET", "/api/v1/migrations/agents/history?before=x"), "", 400, "bad_query"),
        case("viewer", ("GET", "/api/v1/migrations/agents/decision?path=no-slash"), "", 400, "bad_query"),
        case("viewer", ("GET", "/api/v1/migrations/agents/decision?header=nocolon"), "", 400, "bad_query"),
        case("viewer", ("GET", "/api/v1/migrations/agents/decision?ip=here"), "", 400, "bad_query"),
        case("viewer", ("GET", "/api/v1/migrations/agents/decision?colour=red"), "", 400, "bad_query"),
    ];
    check(&World::new().await, &cases).await;
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let mode = r#"{"mode":"gradual","reason":"r"}"#;
    let cases = [
        case("viewer", ("GET", "/api/v1/migrations/unknown"), "", 404, "unknown_migration"),
        case("viewer", ("GET", "/api/v1/migrations/UPPER%0Acase"), "", 404, "unknown_migration"),
        case("operator", ("PUT", "/api/v1/migrations/unknown/mode"), mode, 404, "unknown_migration"),
        case("operator", ("POST", "/api/v1/migrations/unknown/rollback"), REASON, 404, "unknown_migration"),
        case("operator", UNPIN, REASON, 404, "unknown_pin"),
        case("viewer", ("GET", "/api/v1/migrations/%ff"), "", 404, "not_found"),
        case("viewer", ("GET", "/api/v1"), "", 404, "not_found"),
        case("viewer", ("GET", "/nothing/here"), "", 404, "not_found"),
        case("viewer", ("GET", "/ui/nothing.js"), "", 404, "not_found"),
        case("viewer", ("GET", "/ui/../Cargo.toml"), "", 404, "not_found"),
        // It is there, and of a kind that is served.
        case("viewer", ("GET", "/ui/%2e%2e/%2e%2e/tests/browser/access.test.js"), "", 404, "not_found"),
        case("viewer", ("GET", "/ui//tests/browser/access.test.js"), "", 404, "not_found"),
        case("admin", ("DELETE", "/api/v1/sessions/unknown"), "", 404, "not_found"),
        case("operator", ("POST", "/api/v1/migrations/agents/pause"), REASON, 404, "not_found"),
        case("operator", ("POST", "/api/v1/migrations/agents/promote"), REASON, 404, "not_found"),
        case("viewer", ("GET", "/api/v1/migrations/agents/nothing"), "", 404, "not_found"),
        case("operator", MODE_GET, "", 405, "method_not_allowed"),
        case("operator", ("DELETE", "/api/v1/migrations/agents"), "", 405, "method_not_allowed"),
        case("operator", ("POST", "/metrics"), "", 405, "method_not_allowed"),
    ];
    let world = World::new().await;
    check(&world, &cases).await;
    assert_eq!(world.call("operator", "GET", MODE.1, "").await.header("allow"), "PUT");
    let allowed = world.call("operator", "POST", "/api/v1/migrations/agents/pins/k", "").await;
    assert_eq!(allowed.header("allow"), "PUT,DELETE");
}

const MODE_GET: (&str, &str) = ("GET", MODE.1);

#[tokio::test]
async fn transitions_that_are_not_legal_are_refused() {
    let world = World::new().await;
    let nothing = [
        case("operator", UNDO, REASON, 409, "nothing_to_undo"),
        case("admin", ACKNOWLEDGE, r#"{"to":"legacy_only","reason":"r"}"#, 409, "refused"),
    ];
    check(&world, &nothing).await;
    world.given(Ask::RollBack).await;
    let latched = [
        case("operator", MODE, r#"{"mode":"gradual","reason":"r"}"#, 409, "refused"),
        case("admin", MODE, r#"{"mode":"legacy_only","reason":"r","force":true}"#, 409, "refused"),
        case("operator", UNDO, REASON, 409, "refused"),
        case("admin", ACKNOWLEDGE, r#"{"to":"new_only","reason":"r"}"#, 409, "refused"),
    ];
    check(&world, &latched).await;
}

#[tokio::test]
async fn a_role_may_do_what_it_may_and_no_more() {
    let mode = r#"{"mode":"gradual","reason":"r"}"#;
    let cases = [
        case("", ("GET", "/api/v1/migrations"), "", 401, "unauthorized"),
        case("", ("GET", "/api/v1/migrations/unknown"), "", 401, "unauthorized"),
        case("", MODE, mode, 401, "unauthorized"),
        case("nobody", MODE, mode, 401, "unauthorized"),
        case("viewer", MODE, mode, 403, "forbidden"),
        case("reporter", MODE, mode, 403, "forbidden"),
        case("viewer", ROLLBACK, REASON, 403, "forbidden"),
        case("viewer", ALL, REASON, 403, "forbidden"),
        case("viewer", PIN, r#"{"side":"new","reason":"r"}"#, 403, "forbidden"),
        case("viewer", UNPIN, REASON, 403, "forbidden"),
        case("viewer", UNDO, REASON, 403, "forbidden"),
        case("operator", ACKNOWLEDGE, r#"{"to":"legacy_only","reason":"r"}"#, 403, "forbidden"),
    ];
    let world = World::new().await;
    check(&world, &cases).await;
    let answer = world.call("", "GET", "/api/v1/replicas", "").await;
    assert!(answer.header("www-authenticate").starts_with("Bearer"), "{answer:?}");
    for role in ["viewer", "reporter", "operator", "admin"] {
        assert_eq!(world.call(role, "GET", "/api/v1/migrations", "").await.status, 200, "{role}");
    }
}

#[tokio::test]
async fn guessing_tokens_is_slowed_down() {
    let world = World::new().await;
    let mut limited = None;
    for _ in 0..500 {
        let answer = world.call("guess", "GET", "/api/v1/migrations", "").await;
        if answer.status == 429 {
            limited = Some(answer);
            break;
        }
    }
    let limited = limited.unwrap();
    limited.is_problem(429, "too_many_attempts");
    assert!(limited.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(world.get("/api/v1/migrations").await.status, 200);
}

#[tokio::test]
async fn bodies_of_another_kind_or_size_are_refused() {
    let world = World::new().await;
    let send = async |content_type: &str, body: String| {
        let request = request("operator", MODE.0, MODE.1, "").header("content-type", content_type);
        world.send(request.body(Body::from(body)).unwrap()).await
    };
    let small = r#"{"mode":"gradual","reason":"r"}"#.to_owned();
    send("text/plain", small.clone()).await.is_problem(415, "unsupported_media_type");
    send("application/x-www-form-urlencoded", "mode=gradual&reason=r".into())
        .await
        .is_problem(415, "unsupported_media_type");
    let large = format!(r#"{{"mode":"gradual","reason":"{}"}}"#, "x".repeat(70_000));
    send("application/json", large.clone()).await.is_problem(413, "body_too_large");
    let announced = world.call("operator", MODE.0, MODE.1, &large).await;
    announced.is_problem(413, "body_too_large");
    send("application/json", String::new()).await.is_problem(400, "invalid_json");
    assert_eq!(world.stored().await.revision.0, 0);
    assert_eq!(send("application/json; charset=utf-8", small).await.status, 200);
    assert_eq!(world.mode().await, Mode::Gradual);
}

#[tokio::test]
async fn other_sites_and_other_names_are_refused() {
    let world = World::new().await;
    let body = || Body::from(r#"{"mode":"gradual","reason":"r"}"#);
    let request = |name: &'static str, value: &'static str| {
        request("operator", MODE.0, MODE.1, "").header("content-type", "application/json").header(name, value)
    };
    world.send(request("sec-fetch-site", "cross-site").body(body()).unwrap()).await.is_problem(403, "cross_site");
    world.send(request("host", "evil.example").body(body()).unwrap()).await.is_problem(403, "host_not_allowed");
    assert_eq!(world.stored().await.revision.0, 0);
    for (name, value) in [
        ("sec-fetch-site", "same-origin"),
        ("host", "localhost:9900"),
        ("host", "127.0.0.1:9900"),
        ("host", "crossfade.example.org"),
    ] {
        assert_eq!(world.send(request(name, value).body(body()).unwrap()).await.status, 200, "{name}: {value}");
    }
}

#[tokio::test]
async fn a_store_that_is_gone_changes_nothing_but_a_rollback() {
    let world = World::new().await;
    world.given(Ask::Mode(Mode::NewOnly)).await;
    world.take_the_store_away();
    let cases = [
        case("operator", MODE, r#"{"mode":"gradual","reason":"r"}"#, 503, "store_unavailable"),
        case("operator", ROLLOUT, r#"{"percent":1,"reason":"r"}"#, 503, "store_unavailable"),
        case("operator", PIN, r#"{"side":"new","reason":"r"}"#, 503, "store_unavailable"),
        case("operator", UNDO, REASON, 503, "store_unavailable"),
        case("viewer", ("GET", "/api/v1/migrations/agents/history"), "", 503, "store_unavailable"),
        case("viewer", ("GET", "/api/v1/replicas"), "", 503, "store_unavailable"),
    ];
    check(&world, &cases).await;
    let answer = world.call("operator", MODE.0, MODE.1, r#"{"mode":"gradual","reason":"r"}"#).await;
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(world.get("/api/v1/migrations/agents").await.json()["mode"], "new_only");

    let answer = world.call("operator", ROLLBACK.0, ROLLBACK.1, REASON).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let body = answer.json();
    assert_eq!((&body["here_only"], &body["converged"]), (&true.into(), &false.into()), "{body}");
    assert_eq!(body["applied_by"], serde_json::json!(["router-1"]));
    let shown = world.get("/api/v1/migrations/agents").await.json();
    assert_eq!((&shown["mode"], &shown["effective_mode"]), (&"new_only".into(), &"emergency_rollback".into()));
}
