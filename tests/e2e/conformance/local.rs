//! What the router answers itself drains the request or closes the connection, always (Pingora CVE-2025-4366).

use harness::backend::{answers, refused_address, response};
use harness::{Backend, Setup, Step};

use crate::world::World;

/// A body that is a request, for whoever does not read it as a body.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// Fields and what is sent of the body at once.
fn bodies() -> Vec<(String, String)> {
    let length = format!("Content-Length: {}\r\n", SMUGGLED.len());
    let longer = format!("Content-Length: {}\r\n", SMUGGLED.len() + 1_000);
    let chunked = "Transfer-Encoding: chunked\r\n".to_owned();
    let chunk = format!("{:x}\r\n{SMUGGLED}\r\n", SMUGGLED.len());
    let expect = "Expect: 100-continue\r\n";
    vec![
        (String::new(), String::new()),
        (length.clone(), SMUGGLED.into()),
        (longer.clone(), SMUGGLED.into()),
        (length.clone(), String::new()),
        (chunked.clone(), format!("{chunk}0\r\n\r\n")),
        (chunked.clone(), chunk.clone()),
        (chunked.clone(), format!("{:x}\r\n{SMUGGLED}", SMUGGLED.len() + 1_000)),
        (chunked.clone(), String::new()),
        (format!("{expect}{length}"), String::new()),
        (format!("{expect}{length}"), SMUGGLED.into()),
        (format!("{expect}{longer}"), SMUGGLED.into()),
        (format!("{expect}{chunked}"), format!("{chunk}0\r\n\r\n")),
        (format!("{expect}{chunked}"), String::new()),
    ]
}

/// Sends this request with every body and a GET behind it: one local answer with one of these statuses, then the answer of
/// the GET or the end, and nobody ever sees the body as a request.
async fn check(world: &World, request_line: &str, more: &str, statuses: &[u16]) {
    for (fields, body) in bodies() {
        let request = format!("{request_line}\r\nHost: a\r\n{more}{fields}\r\n{body}");
        let mut client = world.router.connect().await;
        client.send(&request).await;
        client.send("GET /after HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = client.answer().await;
        assert!(statuses.contains(&answer.status()) && answer.whole, "{request:?}: {answer:?}");
        let closes = answer.value("connection").as_deref() == Some("close");
        match client.answer_or_end("GET").await {
            Some(after) => {
                assert_eq!((after.status(), after.text().as_str()), (200, "after"), "{request:?}: {after:?}");
                assert!(!closes, "{request:?}: an answer behind a close");
            }
            None => assert!(closes, "{request:?}: a close that was not announced: {answer:?}"),
        }
        for backend in [&world.legacy, &world.new] {
            assert_eq!(backend.seen_at("/smuggled").len(), 0, "{request:?}");
        }
    }
}

const TOP: &str = "timeouts: {head: 400ms, body_idle: 400ms}";

const ROUTES: &str = "- {migration: shop, path: /**}\n- {upstream: fresh, path: /after}\n\
    - {path: /gone, respond: {status: 410, body: gone}}\n- {path: /empty, respond: {status: 204}}\n\
    - {path: /moved, respond: {status: 308, location: /x}}\n- {upstream: fresh, path: /admin/**}\n\
    - {migration: shop, path: /small, body_max: 10B}\n- {migration: shop, path: /other, methods: [GET]}\n\
    - {path: /down, respond: {status: 503, body: down}}";

async fn world() -> World {
    let world = World::with(|setup| setup.with_top(TOP).with_routes(ROUTES).with_upstreams("timeout: 400ms")).await;
    world.new.on("/after", answers(response("200 OK", "after")));
    world
}

#[tokio::test]
async fn what_is_answered_before_the_body_leaves_nothing_of_it_behind() {
    let world = world().await;
    for (line, statuses) in [
        ("POST /gone HTTP/1.1", &[410][..]),
        ("POST /empty HTTP/1.1", &[204]),
        ("PUT /moved HTTP/1.1", &[308]),
        ("GET /down HTTP/1.1", &[503]),
        ("POST /x/../admin/y HTTP/1.1", &[400]),
        ("POST /# HTTP/1.1", &[400]),
        ("POST x HTTP/1.1", &[400]),
        ("TRACE / HTTP/1.1", &[405]),
        ("CONNECT / HTTP/1.1", &[405]),
        ("POST / HTTP/3.0", &[505]),
    ] {
        check(&world, line, "", statuses).await;
    }
    for (more, statuses) in [
        ("X : 1\r\n", &[400][..]),
        ("X: \0\r\n", &[400]),
        ("Host: a\r\n", &[400]),
        ("Content-Length: x\r\n", &[400]),
        ("Transfer-Encoding: gzip\r\n", &[400, 501]),
        ("Expect: more\r\n", &[417]),
    ] {
        check(&world, "POST /p HTTP/1.1", more, statuses).await;
    }
    let none = World::with(|setup| {
        setup.with_top(TOP).with_routes("- {migration: shop, path: /shop/**}\n- {upstream: fresh, path: /after}")
    })
    .await;
    none.new.on("/after", answers(response("200 OK", "after")));
    check(&none, "POST /nowhere HTTP/1.1", "", &[404]).await;
}

/// A body that is too large, or that the upstream never gets, is no request either.
#[tokio::test]
async fn what_is_answered_for_an_upstream_leaves_nothing_of_the_body_behind() {
    let world = world().await;
    world.legacy.on("/silent", [Step::ReadSome(1), Step::AwaitClose]);
    world.legacy.on("/reset", [Step::ReadSome(1), Step::Reset]);
    world.legacy.on("/bad", [Step::ReadSome(1), Step::send("nonsense\r\n\r\n"), Step::AwaitClose]);
    world.legacy.on("/switch", [Step::send("HTTP/1.1 101 Switching Protocols\r\n\r\n"), Step::AwaitClose]);
    check(&world, "POST /small HTTP/1.1", "", &[200, 400, 408, 413]).await;
    check(&world, "POST /silent HTTP/1.1", "", &[400, 408, 504]).await;
    check(&world, "POST /reset HTTP/1.1", "", &[400, 408, 502]).await;
    check(&world, "POST /bad HTTP/1.1", "", &[400, 408, 502]).await;
    check(&world, "POST /switch HTTP/1.1", "", &[400, 408, 502]).await;

    let (legacy, new) = (Backend::start("legacy").await, Backend::start("new").await);
    new.on("/after", answers(response("200 OK", "after")));
    let router = Setup::new(refused_address(), new.address).with_top(TOP).with_routes(ROUTES).start().await;
    let dead = World { legacy, new, router };
    check(&dead, "POST /p HTTP/1.1", "", &[502, 503]).await;
}

/// What waits for 100 gets none where nobody will read.
#[tokio::test]
async fn no_local_answer_is_preceded_by_100() {
    let world = world().await;
    for line in ["POST /gone HTTP/1.1", "POST /x/../admin/y HTTP/1.1", "TRACE / HTTP/1.1", "POST /small HTTP/1.1"] {
        let mut client = world.router.connect().await;
        client.send(format!("{line}\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n")).await;
        let answer = client.answer().await;
        assert!(answer.interim.is_empty() && answer.status() >= 400, "{line}: {answer:?}");
        assert_eq!(answer.value("connection").as_deref(), Some("close"), "{line}: {answer:?}");
        assert!(client.closes_cleanly().await, "{line}");
    }
    assert!(world.untouched());
}
