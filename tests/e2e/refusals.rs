//! What is refused at the door: the bytes a client gets, and that no upstream gets any.

use harness::wait_for;

use crate::world::World;

/// One request on one new connection: it must be refused with one of these statuses, the connection
/// must close, and nothing may reach an upstream.
async fn check(world: &World, name: &str, request: &[u8], statuses: &[u16]) {
    let mut client = world.router.connect().await;
    client.send(request).await;
    let Some(head) = client.head().await else { panic!("{name}: the connection closed without an answer") };
    let status = head.status();
    assert!(statuses.contains(&status), "{name}: {status} instead of {statuses:?}");
    assert!(head.value("crossfade-error").is_some(), "{name}: {head:?}");
    assert!(head.content_length().is_some(), "{name}: {head:?}");
    assert_eq!(head.value("connection").as_deref(), Some("close"), "{name}: {head:?}");
    let rest = client.rest().await;
    let body = usize::try_from(head.content_length().unwrap_or(0)).unwrap();
    assert_eq!(rest.len(), body, "{name}: one answer and no more: {:?}", String::from_utf8_lossy(&rest));
    assert!(world.untouched(), "{name}: an upstream got {:?}", String::from_utf8_lossy(&world.legacy.bytes()));
}

async fn check_all(cases: &[(&str, &str, u16)]) {
    let world = World::start().await;
    for (name, request, status) in cases {
        check(&world, name, request.as_bytes(), &[*status]).await;
    }
    assert_eq!(world.get("/").await.text(), "legacy", "and others are served all the while");
}

#[tokio::test]
async fn a_host_that_is_missing_doubled_or_odd() {
    check_all(&[
        ("none", "GET / HTTP/1.1\r\n\r\n", 400),
        ("two", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("two equal", "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", 400),
        ("a list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
        ("empty", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
        ("userinfo", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
        ("a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("another than the target's", "GET http://a/x HTTP/1.1\r\nHost: b\r\n\r\n", 400),
    ])
    .await;
}

#[tokio::test]
async fn methods_and_targets_that_a_proxy_does_not_take() {
    check_all(&[
        ("CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405),
        ("GET *", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("no slash", "GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("raw bytes", "GET /caf\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("escaped NUL", "GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("a space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("a method that is no token", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ])
    .await;
}

#[tokio::test]
async fn versions_other_than_1_0_and_1_1() {
    let world = World::start().await;
    for version in ["HTTP/1.2", "HTTP/2.0", "HTTP/9.9", "http/1.1", "HTTP/1", "HTTP/1.10", "HTPP/1.1"] {
        let request = format!("GET / {version}\r\nHost: a\r\n\r\n");
        check(&world, version, request.as_bytes(), &[400, 505]).await;
    }
    check(&world, "HTTP/0.9", b"GET /\r\n\r\n", &[400, 505]).await;
}

#[tokio::test]
async fn framing_that_two_readers_could_read_two_ways() {
    let world = World::start().await;
    let post = |lines: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n0\r\n\r\n");
    for (lines, statuses) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", &[400][..]),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", &[400]),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", &[400]),
        ("Content-Length: 5, 5\r\n", &[400]),
        ("Content-Length: +5\r\n", &[400]),
        ("Content-Length: -5\r\n", &[400]),
        ("Content-Length: 0x5\r\n", &[400]),
        ("Content-Length: 5_0\r\n", &[400]),
        ("Content-Length: 1e1\r\n", &[400]),
        ("Content-Length:\r\n", &[400]),
        ("Content-Length: 9223372036854775809\r\n", &[400]),
        ("Content-Length: 99999999999999999999\r\n", &[400]),
        ("Transfer-Encoding: gzip, chunked\r\n", &[400, 501]),
        ("Transfer-Encoding: chunked, chunked\r\n", &[400]),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", &[400]),
        ("Transfer-Encoding: identity\r\n", &[400, 501]),
        ("Transfer-Encoding: xchunked\r\n", &[400, 501]),
        ("Transfer-Encoding: chunked;a=1\r\n", &[400, 501]),
        ("Transfer-Encoding:\r\n", &[400, 501]),
        ("Transfer-Encoding: chunk\u{b}ed\r\n", &[400, 501]),
        ("Transfer-Encoding : chunked\r\n", &[400]),
        ("Transfer-Encoding:\r\n chunked\r\n", &[400]),
    ] {
        check(&world, lines, post(lines).as_bytes(), statuses).await;
    }
    check(
        &world,
        "1.0 and chunked",
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &[400],
    )
    .await;
}

#[tokio::test]
async fn fields_that_are_malformed() {
    check_all(&[
        ("folding", "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n 2\r\n\r\n", 400),
        ("a space before the colon", "GET / HTTP/1.1\r\nHost: a\r\nX-A : 1\r\n\r\n", 400),
        ("a leading space", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
        ("an empty name", "GET / HTTP/1.1\r\nHost: a\r\n: 1\r\n\r\n", 400),
        ("a name that is no token", "GET / HTTP/1.1\r\nHost: a\r\nX(A: 1\r\n\r\n", 400),
        ("no colon", "GET / HTTP/1.1\r\nHost: a\r\nX-A\r\n\r\n", 400),
        ("NUL", "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\x002\r\n\r\n", 400),
        ("a control character", "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\u{1}\r\n\r\n", 400),
        ("a bare CR", "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r2\r\n\r\n", 400),
        ("a bare LF after a field", "GET / HTTP/1.1\r\nHost: a\nX-A: 1\r\n\r\n", 400),
        ("bare LF everywhere", "GET / HTTP/1.1\nHost: a\n\n", 400),
    ])
    .await;
}

#[tokio::test]
async fn heads_that_are_too_large() {
    let world = World::start().await;
    let target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(9_000));
    check(&world, "target", target.as_bytes(), &[414]).await;
    let value = format!("GET / HTTP/1.1\r\nHost: a\r\nX-A: {}\r\n\r\n", "x".repeat(70_000));
    check(&world, "value", value.as_bytes(), &[431]).await;
    let many: String = (0..150).map(|n| format!("X-{n}: 1\r\n")).collect();
    check(&world, "fields", format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n").as_bytes(), &[431]).await;
    // A head that never ends is refused when it is too large, not when it is complete.
    let endless = format!("GET / HTTP/1.1\r\nHost: a\r\nX-A: {}", "x".repeat(80_000));
    check(&world, "endless", endless.as_bytes(), &[431]).await;
}

#[tokio::test]
async fn trace_is_not_forwarded() {
    let world = World::start().await;
    let mut client = world.router.connect().await;
    let answer = client.request("TRACE", "/", "", "").await;
    assert_eq!(answer.status(), 405);
    assert!(answer.value("allow").is_some(), "{answer:?}");
    assert!(world.untouched());
}

#[tokio::test]
async fn what_looks_odd_and_is_allowed_goes_on() {
    let world = World::start().await;
    let mut client = world.router.connect().await;
    for (name, request, line, field) in [
        ("absolute form", "GET http://a/abs HTTP/1.1\r\nHost: a\r\n\r\n", "GET /abs HTTP/1.1", ("host", "a")),
        (
            "absolute form without a path",
            "GET http://a?q HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /?q HTTP/1.1",
            ("host", "a"),
        ),
        ("OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * HTTP/1.1", ("host", "a")),
        ("PURGE", "PURGE /p HTTP/1.1\r\nHost: a\r\n\r\n", "PURGE /p HTTP/1.1", ("host", "a")),
        ("lower case method", "get /l HTTP/1.1\r\nHost: a\r\n\r\n", "get /l HTTP/1.1", ("host", "a")),
        (
            "leading zeros",
            "POST /z HTTP/1.1\r\nHost: a\r\nContent-Length: 005\r\n\r\nhello",
            "POST /z HTTP/1.1",
            ("content-length", "5"),
        ),
        (
            "equal lengths",
            "POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
            "POST /e HTTP/1.1",
            ("content-length", "5"),
        ),
        (
            "dots and slashes",
            "GET /a/../b//c%2fd HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /a/../b//c%2fd HTTP/1.1",
            ("host", "a"),
        ),
        (
            "tabs and spaces around a value",
            "GET /t HTTP/1.1\r\nHost: \t a \t\r\n\r\n",
            "GET /t HTTP/1.1",
            ("host", "a"),
        ),
        ("an empty line before", "\r\nGET /crlf HTTP/1.1\r\nHost: a\r\n\r\n", "GET /crlf HTTP/1.1", ("host", "a")),
        (
            "an underscore that shadows",
            "GET /u HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\n\r\n",
            "GET /u HTTP/1.1",
            ("host", "a"),
        ),
    ] {
        world.legacy.forget();
        client.send(request).await;
        let answer = client.answer().await;
        assert_eq!(answer.status(), 200, "{name}: {answer:?}");
        let seen = wait_for("the upstream sees it", || std::future::ready(world.legacy.seen().pop())).await;
        assert_eq!(seen.head.first_line(), line, "{name}");
        assert_eq!(seen.head.values(field.0), [field.1], "{name}");
        assert_eq!(seen.head.value("content_length"), None, "{name}");
        assert!(seen.whole, "{name}");
    }
}

#[tokio::test]
async fn a_path_that_two_routes_could_claim_is_refused() {
    let world = World::with(|setup| {
        setup.with_routes("- {migration: shop, path: /api/**}\n- {upstream: fresh, path: /admin/**}")
    })
    .await;
    for target in ["/api/../admin/x", "/api%2f..%2fadmin/x", "/%61dmin/x", "//admin/x"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = world.router.exchange(&request).await;
        assert_eq!(answer.status(), 400, "{target}: {answer:?}");
    }
    assert!(world.untouched());
}

#[tokio::test]
async fn a_refused_request_with_a_body_poisons_nobody() {
    let world = World::start().await;
    for request in [
        "TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 38\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\nabcd",
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: nothing\r\nContent-Length: 34\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /a#b HTTP/1.1\r\nHost: a\r\nContent-Length: 34\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let mut client = world.router.connect().await;
        client.send(request).await;
        assert!(client.answer().await.status() >= 400);
        client.send("GET /after HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        client.rest().await;
        assert_eq!(world.legacy.seen_at("/smuggled").len(), 0, "{request:?}");
    }
}
