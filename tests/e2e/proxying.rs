//! What a request and its answer look like on the other side: fields, framing, errors of the network.

use harness::backend::{BlackHole, answers, refused_address, response};
use harness::{Backend, Setup, Step, wait_for, wait_until};

use crate::world::World;

#[tokio::test]
async fn an_upstream_learns_who_asked_and_why_it_serves() {
    let world = World::start().await;
    let mut client = world.router.connect().await;
    let lines = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 7.7.7.7\r\nForwarded: for=6.6.6.6\r\nX-Forwarded-Proto: https\r\n\
                 Crossfade-Side: new\r\nCrossfade-Anything: x\r\nCrossfade-Mirror: 1\r\n";
    assert_eq!(client.get_with("/who", lines).await.status(), 200);
    let head = world.legacy.only("/who").await.head;
    assert_eq!(head.values("host"), ["shop.test"]);
    assert_eq!(head.values("x-forwarded-for"), ["127.0.0.1"], "an untrusted client says nothing about itself");
    assert_eq!(head.values("x-forwarded-proto"), ["http"]);
    assert_eq!(head.values("x-forwarded-host"), ["shop.test"]);
    let forwarded = head.values("forwarded");
    assert_eq!(forwarded.len(), 1, "{head:?}");
    assert!(forwarded[0].contains("for=127.0.0.1") && !forwarded[0].contains("6.6.6.6"), "{forwarded:?}");
    assert_eq!(head.values("crossfade-migration"), ["shop"]);
    assert_eq!(head.values("crossfade-side"), ["legacy"]);
    assert_eq!(head.values("crossfade-revision").len(), 1);
    assert_eq!(head.values("crossfade-anything").len() + head.values("crossfade-mirror").len(), 0, "{head:?}");
    assert_eq!(head.values("x-request-id").len(), 1);
    let trace = head.values("traceparent");
    assert!(trace.len() == 1 && trace[0].len() == 55 && trace[0].starts_with("00-"), "{trace:?}");

    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    client.get_with("/kept", &format!("X-Request-Id: abc-1\r\nTraceparent: {trace}\r\n")).await;
    let head = world.legacy.only("/kept").await.head;
    assert_eq!(head.values("x-request-id"), ["abc-1"]);
    assert_eq!(head.values("traceparent"), [trace]);
}

#[tokio::test]
async fn a_trusted_proxy_is_believed_and_added_to() {
    let world = World::with(|setup| setup.with_top("trusted_proxies: [127.0.0.0/8]")).await;
    let mut client = world.router.connect().await;
    client
        .get_with("/", "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2\r\nX-Forwarded-Proto: https\r\n")
        .await;
    let head = world.legacy.only("/").await.head;
    assert_eq!(head.values("x-forwarded-for"), ["192.0.2.1, 192.0.2.2, 127.0.0.1"]);
    assert_eq!(head.values("x-forwarded-proto"), ["https"]);
}

#[tokio::test]
async fn a_head_goes_on_as_it_came_but_for_hop_by_hop_fields() {
    let world = World::start().await;
    let mut client = world.router.connect().await;
    let target = "/a%2Fb/%7e/caf%C3%A9;p=1?x=1&&y=%20+#".trim_end_matches('#');
    let lines = "X-One: 1\r\nx-TWO: 2\r\nX-Three: a  b\r\nX-Empty:\r\nX-A: secret\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\n\
                 TE: trailers\r\nConnection: keep-alive, X-A, X-Forwarded-For, Crossfade-Side\r\nX-Bytes: \u{e4}\r\n";
    assert_eq!(client.get_with(target, lines).await.status(), 200);
    let head = world.legacy.only("/a").await.head;
    assert_eq!(head.target(), target);
    let names: Vec<String> = head.fields().into_iter().map(|(name, _)| name).collect();
    let kept: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| name.to_ascii_lowercase().starts_with("x-t") || *name == "X-One")
        .collect();
    assert_eq!(kept, ["X-One", "x-TWO", "X-Three"], "names keep their case and order");
    assert_eq!(head.values("x-three"), ["a  b"]);
    assert_eq!(head.values("x-empty"), [""]);
    assert_eq!(head.values("x-bytes"), ["\u{e4}"]);
    for gone in ["x-a", "keep-alive", "proxy-connection"] {
        assert_eq!(head.value(gone), None, "{gone} is for one hop");
    }
    assert_eq!(head.values("x-forwarded-for"), ["127.0.0.1"], "ours are set after theirs are removed");
    assert_eq!(head.values("crossfade-side"), ["legacy"]);

    let answer = "HTTP/1.1 200 Fine By Me\r\nX-B: 1\r\nx-kept: 2\r\nConnection: X-B\r\nKeep-Alive: timeout=5\r\nContent-Length: 0\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n";
    world.legacy.on("/back", answers(answer));
    let answer = client.get("/back").await;
    assert_eq!((answer.value("x-b"), answer.value("keep-alive")), (None, None), "{answer:?}");
    assert_eq!(answer.head.values("set-cookie"), ["a", "b"]);
    assert!(answer.head.text().contains("\r\nx-kept: 2"), "{answer:?}");
    assert_eq!(answer.value("crossfade-side"), None, "nothing is told unless `expose` says so");
    assert_eq!(client.get("/again").await.text(), "legacy");
}

#[tokio::test]
async fn exposed_responses_tell_the_side_and_the_reason() {
    let world = World::with(|setup| setup.with_top("expose: true")).await;
    let answer = world.get("/").await;
    assert_eq!(answer.value("crossfade-side").as_deref(), Some("legacy"));
    assert_eq!(answer.value("crossfade-reason").as_deref(), Some("mode"));
}

#[tokio::test]
async fn a_connection_is_used_again_on_both_sides_and_pipelining_keeps_the_order() {
    let world = World::start().await;
    let mut client = world.router.connect().await;
    for _ in 0..20 {
        assert_eq!(client.get("/").await.text(), "legacy");
    }
    assert_eq!(world.legacy.accepted(), 1, "one caller needs one connection to the upstream");
    for path in ["/p1", "/p2", "/p3"] {
        world.legacy.on(path, answers(response("200 OK", path)));
    }
    client.send("GET /p1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /p2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /p3 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    for path in ["/p1", "/p2", "/p3"] {
        assert_eq!(client.answer().await.text(), path);
    }
    assert_eq!(world.legacy.only("/p2").await.text(), "abc");
    client.send("GET /bye HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!(client.answer().await.value("connection").as_deref(), Some("close"));
    assert!(client.closes().await);
}

#[tokio::test]
async fn an_http_1_0_client_gets_an_unchunked_answer_and_a_close() {
    let world = World::with(|setup| setup.with_top("default_host: shop.example")).await;
    world.legacy.on("/c", answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"));
    let mut client = world.router.connect().await;
    client.send("GET /c HTTP/1.0\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.text().as_str(), answer.value("transfer-encoding")), ("abc", None));
    assert!(client.closes().await);
    let head = world.legacy.only("/c").await.head;
    assert_eq!((head.first_line().as_str(), head.value("host").as_deref()), ("GET /c HTTP/1.1", Some("shop.example")));
}

#[tokio::test]
async fn an_http_1_0_request_without_a_host_takes_the_route_of_the_default_host() {
    let world = World::with(|setup| {
        let routes = "- {migration: shop, path: /**}\n- {upstream: fresh, host: shop.example, path: /**}";
        setup.with_top("default_host: shop.example").with_routes(routes)
    })
    .await;
    for (request, side) in [
        ("GET / HTTP/1.0\r\n\r\n", "new"),
        ("GET http://other.example/ HTTP/1.0\r\n\r\n", "legacy"),
        ("GET / HTTP/1.0\r\nHost: other.example\r\n\r\n", "legacy"),
    ] {
        assert_eq!(world.router.exchange(request).await.text(), side, "{request:?}");
    }
}

#[tokio::test]
async fn answers_without_a_body_leave_the_connection_in_step() {
    let world = World::start().await;
    world.legacy.on("/head", answers("HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n"));
    world.legacy.on("/204", answers("HTTP/1.1 204 No Content\r\n\r\n"));
    world.legacy.on("/304", answers("HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nContent-Length: 9\r\n\r\n"));
    let mut client = world.router.connect().await;
    let head = client.request("HEAD", "/head", "", "").await;
    assert_eq!((head.status(), head.value("content-length").as_deref()), (200, Some("42")));
    assert_eq!(client.get("/a").await.text(), "legacy");
    let answer = client.get("/204").await;
    assert_eq!((answer.status(), answer.value("content-length")), (204, None));
    assert_eq!(client.get("/b").await.text(), "legacy");
    assert_eq!(client.get("/304").await.status(), 304);
    assert_eq!(client.get("/c").await.text(), "legacy");
}

#[tokio::test]
async fn routes_answer_by_themselves_or_lead_past_the_migration() {
    let world = World::with(|setup| {
        setup.with_routes(
            "- {path: /api/**, migration: shop}\n- {path: /old/**, respond: {status: 410, sunset: 2026-12-31, body: gone}}\n\
             - {path: /static/**, upstream: fresh}\n- {path: /api/put, methods: [PUT], upstream: fresh, body_max: 10B}\n\
             - {host: new.test, path: /**, upstream: fresh}",
        )
    })
    .await;
    let mut client = world.router.connect().await;
    assert_eq!(client.get("/api/x").await.text(), "legacy");
    assert_eq!(client.get("/static/x").await.text(), "new");
    let gone = client.get("/old/x").await;
    assert_eq!((gone.status(), gone.text().as_str()), (410, "gone"));
    assert!(gone.value("sunset").is_some_and(|date| date.contains("31 Dec 2026")), "{gone:?}");
    let nothing = client.get("/else").await;
    assert_eq!((nothing.status(), nothing.json()["status"].as_u64()), (404, Some(404)));
    assert!(nothing.error_code().is_some(), "{nothing:?}");
    assert_eq!(nothing.value("content-type").as_deref(), Some("application/problem+json"));
    assert_eq!(client.request("PUT", "/api/put", "", "0123456789").await.text(), "new");
    client.send("GET / HTTP/1.1\r\nHost: NEW.test:8080\r\n\r\n").await;
    assert_eq!(client.answer().await.text(), "new");

    let too_large = client.request("PUT", "/api/put", "", "0123456789a").await;
    assert_eq!(too_large.status(), 413, "{too_large:?}");
    let mut client = world.router.connect().await;
    client
        .send("PUT /api/put HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n0123456789a\r\n0\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.status(), 413);
    let whole = world.new.seen_at("/api/put").iter().filter(|seen| seen.whole).count();
    assert_eq!(whole, 1, "what was too large never arrives whole");
}

#[tokio::test]
async fn a_stale_connection_costs_a_get_nothing_and_a_post_is_never_repeated() {
    let world = World::start().await;
    let mut client = world.router.connect().await;
    for (method, path, status, sent) in [("GET", "/get", 200, 2), ("POST", "/post", 502, 1)] {
        assert_eq!(client.get("/warm").await.status(), 200);
        world.legacy.once(path, [Step::ReadBody, Step::Close]);
        let body = if method == "POST" { "x=1" } else { "" };
        let answer = client.request(method, path, "", body).await;
        assert_eq!(answer.status(), status, "{method}: {answer:?}");
        assert_eq!(world.legacy.seen_at(path).len(), sent, "{method}");
    }
    // On a fresh connection nothing is stale: the upstream saw the request and gave up.
    let world = World::start().await;
    world.legacy.on("/fresh", [Step::Close]);
    let answer = world.get("/fresh").await;
    assert_eq!(answer.status(), 502, "{answer:?}");
    assert_eq!(world.legacy.seen_at("/fresh").len(), 1);
}

#[tokio::test]
async fn an_idle_connection_that_the_upstream_closed_is_not_used() {
    let world = World::start().await;
    world.legacy.on("/last", [Step::ReadBody, Step::send(response("200 OK", "bye")), Step::Close]);
    let mut client = world.router.connect().await;
    for round in 0..10 {
        assert_eq!(client.get("/last").await.text(), "bye", "round {round}");
        wait_until("the upstream has closed", || world.legacy.open() == 0).await;
        assert_eq!(client.request("POST", "/next", "", "x").await.status(), 200, "round {round}");
        wait_until("the requests were seen", || world.legacy.count() == 2 * (round + 1)).await;
    }
}

#[tokio::test]
async fn a_broken_upstream_is_told_apart_from_a_slow_one() {
    let (dead, hole) = (refused_address(), BlackHole::new());
    let setup = Setup::new(dead, hole.address).with_migration("fallback: {when: []}");
    let router = setup.with_upstreams("timeout: 300ms").start().await;
    let refused = router.connect().await.get("/").await;
    assert_eq!(refused.status(), 502, "{refused:?}");
    assert_eq!(refused.value("content-type").as_deref(), Some("application/problem+json"));
    assert_eq!(refused.error_code().as_deref(), refused.json()["code"].as_str());
    router.mode("new_only").await;
    let slow = router.connect().await.get("/").await;
    assert_eq!(slow.status(), 504, "{slow:?}");
    assert_ne!(slow.error_code(), refused.error_code());
    assert_eq!(slow.error_code().as_deref(), slow.json()["code"].as_str());
}

#[tokio::test]
async fn a_malformed_answer_becomes_a_502_and_its_connection_is_closed() {
    let world = World::start().await;
    for (name, bytes) in [
        ("no status line", "garbage\r\n\r\n"),
        ("folding", "HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\nContent-Length: 0\r\n\r\n"),
        ("NUL", "HTTP/1.1 200 OK\r\nX-A: \0\r\nContent-Length: 0\r\n\r\n"),
        ("bad length", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello"),
        ("differing lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
        ("doubled chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
        ("gzip", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello"),
        ("1.0 and chunked", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("unsolicited 101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
    ] {
        world.legacy.once("/bad", answers(bytes));
        let answer = world.get("/bad").await;
        assert_eq!(answer.status(), 502, "{name}: {answer:?}");
        wait_until(&format!("the connection is closed after {name}"), || world.legacy.open() == 0).await;
    }
    let long = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\nContent-Length: 0\r\n\r\n", "x".repeat(70_000));
    world.legacy.once("/bad", answers(long));
    assert_eq!(world.get("/bad").await.status(), 502);

    world.legacy.once("/two", answers("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello"));
    let answer = world.get("/two").await;
    assert_eq!((answer.text().as_str(), answer.head.values("content-length")), ("hello", vec!["5".to_owned()]));
}

#[tokio::test]
async fn an_answer_with_both_framings_is_read_as_chunks_and_trusted_no_further() {
    let world = World::start().await;
    world.legacy.on(
        "/both",
        answers("HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    );
    let mut client = world.router.connect().await;
    client.send("GET /both HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.text().as_str(), answer.value("content-length")), ("abc", None));
    assert!(client.closes().await, "the client's connection is not used again");
    wait_until("nor is the upstream's", || world.legacy.open() == 0).await;
}

#[tokio::test]
async fn endpoints_share_the_load_and_a_dead_one_is_left_out() {
    let mut second = Backend::start("legacy").await;
    let address = second.address;
    let world = World::with(|setup| setup.with_legacy_endpoint(address)).await;
    for _ in 0..60 {
        assert_eq!(world.get("/").await.text(), "legacy");
    }
    assert!(world.legacy.count() > 5 && second.count() > 5, "{} and {}", world.legacy.count(), second.count());
    second.stop().await;
    let mut failed = 0;
    for _ in 0..100 {
        failed += u32::from(world.get("/").await.status() != 200);
    }
    assert_eq!(failed, 0, "a refused connection costs nobody a request while another endpoint is up");
}

#[tokio::test]
async fn an_endpoint_whose_check_fails_gets_no_traffic() {
    let second = Backend::start("legacy").await;
    second.on("/health", answers(response("503 Service Unavailable", "")));
    let address = second.address;
    let world = World::with(|setup| {
        setup.with_legacy_endpoint(address).with_upstreams("health: {path: /health, interval: 100ms, fall: 2, rise: 2}")
    })
    .await;
    wait_for("the endpoint is left out", || async {
        let before = second.seen_at("/x").len();
        for _ in 0..10 {
            world.get("/x").await;
        }
        (second.seen_at("/x").len() == before).then_some(())
    })
    .await;
    second.on("/health", answers(response("200 OK", "")));
    second.forget();
    wait_for("the endpoint is back", || async {
        world.get("/y").await;
        (!second.seen_at("/y").is_empty()).then_some(())
    })
    .await;
}
