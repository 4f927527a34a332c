//! Every code that a caller can provoke over HTTP/1: its answer, its counter and its one line in the log.

use std::collections::BTreeSet;

use harness::backend::{FullBacklog, refused_address, response};
use harness::{Client, Router, Setup, Step, wait_for, wait_until};
use serde_json::Value;

use super::local_answer;
use crate::world::World;

/// What is provoked over one world; the others need a world of their own.
const BY_REQUEST: &[(u16, &str, &str)] = &[
    (400, "bad_request_line", "GET\r\n\r\n"),
    (505, "bad_version", "GET / HTTP/3.0\r\nHost: a\r\n\r\n"),
    (400, "bad_line_end", "GET / HTTP/1.1\nHost: a\n\n"),
    (400, "bad_field_name", "GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n"),
    (400, "disguised_field", "GET / HTTP/1.1\r\nHost: a\r\nTransfer--Encoding: chunked\r\n\r\n"),
    (400, "bad_field_value", "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n"),
    (400, "host_missing", "GET / HTTP/1.1\r\n\r\n"),
    (400, "host_duplicate", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    (400, "host_invalid", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    (400, "host_mismatch", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "bad_target", "GET x HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "bad_target_character", "GET /# HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, "path_ambiguous", "GET /x/../admin/y HTTP/1.1\r\nHost: a\r\n\r\n"),
    (
        400,
        "length_and_encoding",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    (400, "length_invalid", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na"),
    (400, "length_differs", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
    (400, "encoding_invalid", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    (501, "encoding_unknown", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"),
    (400, "encoding_in_http10", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    (400, "encoding_misplaced", "POST / HTTP/1.1\r\nHost: a\r\nContent-Encoding: chunked\r\n\r\n"),
    (400, "bad_connection_option", "GET / HTTP/1.1\r\nHost: a\r\nConnection: host\r\n\r\n"),
    (400, "unexpected_body", "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na"),
    (405, "method_not_allowed", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (417, "expectation_failed", "POST / HTTP/1.1\r\nHost: a\r\nExpect: more\r\nContent-Length: 1\r\n\r\na"),
    (400, "bad_chunk", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"),
    (400, "bad_trailer", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX : 1\r\n\r\n"),
    (413, "body_too_large", "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n01234567890"),
    (404, "no_route", "GET / HTTP/1.1\r\nHost: nowhere.test\r\n\r\n"),
    (408, "head_timeout", "GET / HTTP/1.1\r\nHost:"),
    (408, "body_timeout", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"),
    (504, "upstream_timeout", "GET /silent HTTP/1.1\r\nHost: a\r\n\r\n"),
    (502, "upstream_reset", "GET /reset HTTP/1.1\r\nHost: a\r\n\r\n"),
    (502, "upstream_bad_answer", "GET /bad HTTP/1.1\r\nHost: a\r\n\r\n"),
];

const ROUTES: &str = "- {migration: shop, path: /**, host: a}\n- {upstream: fresh, path: /admin/**, host: a}\n\
                      - {migration: shop, path: /small, host: a, body_max: 10B}";

/// The events of the access log with this code, once one is there.
async fn lines_with(router: &Router, code: &str) -> Vec<Value> {
    wait_for(&format!("a line says {code}"), || async {
        let printed = router.printed();
        let events = printed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let lines: Vec<Value> = events.filter(|event| event["error"] == code).collect();
        (!lines.is_empty()).then_some(lines)
    })
    .await
}

async fn counted(router: &Router, code: &str) -> f64 {
    router.metric("crossfade_refused_requests_total", &format!("code=\"{code}\"")).await.unwrap_or(f64::NAN)
}

/// The one line and the one count of a code that was provoked once.
async fn check_told_once(router: &Router, status: u16, code: &str) {
    let lines = lines_with(router, code).await;
    assert_eq!(lines.len(), 1, "{code}: {lines:?}");
    assert_eq!(lines[0]["status"], status, "{code}: {lines:?}");
    assert_eq!((&lines[0]["level"], &lines[0]["client"]), (&"INFO".into(), &"127.0.0.1".into()), "{code}: {lines:?}");
    wait_for(&format!("{code} is counted"), || async { (counted(router, code).await > 0.0).then_some(()) }).await;
    assert!((counted(router, code).await - 1.0).abs() < f64::EPSILON, "{code} is counted once");
}

fn log_json(setup: Setup) -> Setup {
    setup.with_top("log: {format: json, access: {sample: 0%}}")
}

/// Sends this on a new connection, which must get this answer; gives the connection back.
async fn provoke(router: &Router, (status, code): (u16, &str), request: &str) -> Client {
    let mut client = router.connect().await;
    client.send(request).await;
    let method = if request.starts_with("HEAD ") { "HEAD" } else { "GET" };
    local_answer(&mut client, method, (status, code), code).await;
    client
}

async fn those_of_one_world() -> Vec<&'static str> {
    let world = World::with(|setup| {
        let top = "timeouts: {head: 300ms, body_idle: 300ms}\nlimits: {target_size: 100B, head_size: 1KiB}";
        log_json(setup).with_top(top).with_upstreams("timeout: 300ms").with_routes(ROUTES)
    })
    .await;
    world.legacy.on("/silent", [Step::ReadBody, Step::AwaitClose]);
    world.legacy.on("/reset", [Step::ReadBody, Step::Close]);
    world.legacy.on("/bad", [Step::ReadBody, Step::send("nonsense\r\n\r\n")]);
    let mut provoked = Vec::new();
    for (status, code, request) in BY_REQUEST {
        provoke(&world.router, (*status, code), request).await;
        check_told_once(&world.router, *status, code).await;
        provoked.push(*code);
    }
    let long = [
        (414, "target_too_long", format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(101))),
        (431, "head_too_large", format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(1_024))),
    ];
    for (status, code, request) in long {
        provoke(&world.router, (status, code), &request).await;
        check_told_once(&world.router, status, code).await;
        provoked.push(code);
    }
    provoked
}

async fn those_of_upstreams() -> Vec<&'static str> {
    let dead = refused_address();
    let router = log_json(Setup::new(dead, dead)).start().await;
    provoke(&router, (502, "upstream_unreachable"), "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    check_told_once(&router, 502, "upstream_unreachable").await;

    let full = FullBacklog::start().await;
    let setup = log_json(Setup::new(full.address, full.address)).with_upstreams("connect_timeout: 300ms");
    let router = setup.start().await;
    provoke(&router, (504, "upstream_connect_timeout"), "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    check_told_once(&router, 504, "upstream_connect_timeout").await;

    let limits = "in_flight: 1, queue: 0, health: {path: /health, interval: 100ms, timeout: 1s, fall: 1, rise: 1}";
    let world = World::with(|setup| log_json(setup).with_upstreams(limits)).await;
    world.legacy.on("/hang", [Step::ReadBody, Step::AwaitRelease, Step::send(response("200 OK", "late"))]);
    let mut first = world.router.connect().await;
    first.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n").await;
    world.legacy.only("/hang").await;
    provoke(&world.router, (503, "upstream_busy"), "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    check_told_once(&world.router, 503, "upstream_busy").await;
    world.legacy.release();
    assert_eq!(first.answer().await.text(), "late");
    world.legacy.on("/health", [Step::ReadBody, Step::send(response("500 Ill", ""))]);
    let up = || world.router.metric("crossfade_upstream_up", "upstream=\"old\"");
    wait_for("the check has taken it out", || async { (up().await == Some(0.0)).then_some(()) }).await;
    provoke(&world.router, (503, "no_endpoint"), "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    check_told_once(&world.router, 503, "no_endpoint").await;

    let world = World::with(|setup| log_json(setup).with_top("limits: {tunnels: 1}")).await;
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    world.legacy.on("/ws", [Step::send(switch), Step::Echo]);
    let ask = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n";
    let mut open = world.router.connect().await;
    open.send(ask).await;
    assert_eq!(open.head().await.unwrap().status(), 101);
    provoke(&world.router, (503, "tunnel_limit"), ask).await;
    check_told_once(&world.router, 503, "tunnel_limit").await;

    world.legacy.on("/gone", [Step::ReadBody, Step::AwaitClose]);
    let mut client = world.router.connect().await;
    client.send("GET /gone HTTP/1.1\r\nHost: a\r\n\r\n").await;
    world.legacy.only("/gone").await;
    drop(client);
    check_told_once(&world.router, 499, "client_closed_request").await;
    vec![
        "client_closed_request",
        "upstream_unreachable",
        "upstream_connect_timeout",
        "upstream_busy",
        "no_endpoint",
        "tunnel_limit",
    ]
}

/// A webhook that nobody signs, with these lines and this body.
fn webhook(lines: &str, body: &str) -> String {
    format!("POST /hooks HTTP/1.1\r\nHost: a\r\n{lines}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn hooks(setup: Setup, members: &str) -> Setup {
    let route = format!("- {{path: /hooks, issues: {{migration: shop, {members}}}}}");
    log_json(setup).with_migration("key: json:/issue/number\nhash: modulo").with_routes(&route)
}

async fn those_of_webhooks() -> Vec<&'static str> {
    let open = "signature: {scheme: none_the_network_is_trusted}, body_max: 100MB";
    let world = World::with(|setup| hooks(setup, "secret: 0123456789")).await;
    let id = "X-GitHub-Delivery: d-1\r\n";
    let issue = |number: &str| format!(r#"{{"repository":{{"full_name":"a/b"}},"issue":{{"number":{number}}}}}"#);
    let mut provoked = Vec::new();
    for (status, code, request) in [
        (401, "webhook_unsigned", webhook(id, &issue("1"))),
        (405, "webhook_only_post", "GET /hooks HTTP/1.1\r\nHost: a\r\n\r\n".into()),
    ] {
        provoke(&world.router, (status, code), &request).await;
        check_told_once(&world.router, status, code).await;
        provoked.push(code);
    }
    let world = World::with(|setup| hooks(setup, open)).await;
    assert_eq!(world.router.exchange(webhook(id, &issue("1"))).await.status(), 202);
    for (status, code, request) in [
        (422, "webhook_not_json", webhook(id, "{")),
        (422, "webhook_without_id", webhook("", &issue("1"))),
        (422, "webhook_without_issue", webhook(id, "{}")),
        (422, "webhook_without_number", webhook(id, &issue("\"a\""))),
        (409, "webhook_conflict", webhook(id, &issue("2"))),
    ] {
        provoke(&world.router, (status, code), &request).await;
        check_told_once(&world.router, status, code).await;
        provoked.push(code);
    }
    let large = "POST /hooks HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n";
    let mut readers = Vec::new();
    for _ in 0..2 {
        let mut reader = world.router.connect().await;
        reader.send(large).await;
        assert_eq!(reader.head().await.unwrap().status(), 100);
        readers.push(reader);
    }
    provoke(&world.router, (503, "webhook_no_room"), large).await;
    check_told_once(&world.router, 503, "webhook_no_room").await;

    let world = World::with(|setup| hooks(setup, &format!("{open}, rate: {{per_source: 1/h, burst: 1}}"))).await;
    assert_eq!(world.router.exchange(webhook(id, &issue("1"))).await.status(), 202);
    provoke(&world.router, (429, "webhook_too_fast"), &webhook(id, &issue("1"))).await;
    check_told_once(&world.router, 429, "webhook_too_fast").await;

    let nobody = format!("redis://{}", refused_address());
    let world = World::with(|setup| hooks(setup, &format!("{open}, journal_max: 1MiB")).with_redis(&nobody)).await;
    let long = format!("{}{}", issue("1"), " ".repeat(1_100_000));
    provoke(&world.router, (503, "webhook_not_kept"), &webhook(id, &long)).await;
    check_told_once(&world.router, 503, "webhook_not_kept").await;
    provoked.extend(["webhook_no_room", "webhook_too_fast", "webhook_not_kept"]);
    provoked
}

#[tokio::test]
async fn every_code_has_its_answer_its_count_and_its_line() {
    let (one, upstreams, webhooks) = tokio::join!(those_of_one_world(), those_of_upstreams(), those_of_webhooks());
    let provoked: BTreeSet<&str> = one.into_iter().chain(upstreams).chain(webhooks).collect();
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors.md")).unwrap();
    let documented = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | ").map(|(code, _)| code));
    let missing: Vec<&str> = documented.filter(|code| !provoked.contains(code)).collect();
    assert!(missing.is_empty(), "add a request that provokes {missing:?}");
}

/// Refusals come as fast as somebody sends them; the log must not.
#[tokio::test]
async fn a_flood_of_refusals_is_counted_and_not_all_logged() {
    const FLOOD: usize = 5_000;
    let world = World::with(|setup| log_json(setup).with_routes("- {migration: shop, path: /shop/**}")).await;
    let mut client = world.router.connect().await;
    let request = "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n";
    for _ in 0..FLOOD / 50 {
        client.send(request.repeat(50)).await;
        for _ in 0..50 {
            assert_eq!(client.answer().await.status(), 404);
        }
    }
    assert!((counted(&world.router, "no_route").await - 5_000.0).abs() < f64::EPSILON);
    let dropped = world.router.metric("crossfade_access_log_dropped_total", "").await.unwrap_or(0.0);
    assert!(dropped > 0.0, "nothing was left out");
    let lines = || world.router.printed().matches("no_route").count();
    #[allow(clippy::cast_precision_loss, reason = "a few thousand")]
    wait_until("each was either logged or counted as left out", || lines() as f64 + dropped >= 5_000.0).await;
    assert!(lines() < FLOOD, "{} lines", lines());
}
