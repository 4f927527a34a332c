//! Rows 35 to 40: callers that leave, upstreams that are gone, flips and drains, as far as no other file has them.

use harness::backend::{answers, refused_address, response};
use harness::ports::FullBacklog;
use harness::{Backend, Client, Router, Setup, Step, wait_for, wait_until};
use tempfile::TempDir;

use super::local_answer;
use crate::world::World;

/// Row 35: however the caller leaves, what it asked for ends, and its upstream's connection serves nobody else.
#[tokio::test]
async fn a_caller_that_leaves_cancels_its_request_at_the_upstream() {
    let world = World::with(|setup| setup.with_top("log: {format: json}")).await;
    world.legacy.on("/wait", [Step::ReadBody, Step::AwaitClose]);
    world.legacy.on(
        "/begun",
        [Step::ReadBody, Step::send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), Step::AwaitClose],
    );
    let requests = [
        "GET /wait HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        "POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
        "POST /wait HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n",
        "GET /begun HTTP/1.1\r\nHost: a\r\n\r\n",
    ];
    for request in requests {
        world.legacy.forget();
        let mut client = world.router.connect().await;
        client.send(request).await;
        wait_until("it has gone on", || world.legacy.count() == 1).await;
        if request.contains("/begun") {
            client.until(b"abc").await;
        }
        drop(client);
        wait_until("the upstream's connection is closed", || world.legacy.seen().iter().all(|seen| seen.closed)).await;
    }
    let told = || world.router.printed().matches("\"error\":\"client_closed_request\"").count();
    wait_until("each is told in the log", || told() >= requests.len()).await;
    assert_eq!(told(), requests.len());
    let counted = world.router.metric("crossfade_refused_requests_total", "code=\"client_closed_request\"").await;
    assert_eq!(counted, Some(requests.len() as f64), "each is counted, also when an answer had begun");
}

/// Row 35: who leaves while it waits for its turn, or for a connection to be made, asks for nothing any more.
#[tokio::test]
async fn a_caller_that_leaves_before_its_request_is_sent_is_not_sent_on() {
    let limits = "in_flight: 1, queue: 2, queue_timeout: 20s";
    let world = World::with(|setup| setup.with_upstreams(limits).with_top("log: {format: json}")).await;
    let told = |router: &Router| router.printed().matches("\"error\":\"client_closed_request\"").count();
    world.legacy.on("/slow", [Step::ReadBody, Step::AwaitRelease, Step::send(response("200 OK", "slow"))]);
    let mut first = world.router.connect().await;
    first.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    world.legacy.only("/slow").await;
    for left in 1..=3 {
        let mut client = world.router.connect().await;
        client.send("POST /paid HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc").await;
        drop(client);
        wait_until("it is told in the log", || told(&world.router) == left).await;
    }
    // Three who left would have filled the queue.
    let mut stays = world.router.connect().await;
    stays.send("POST /stays HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc").await;
    world.legacy.release();
    assert_eq!((first.answer().await.text().as_str(), stays.answer().await.text().as_str()), ("slow", "legacy"));
    assert_eq!(world.legacy.only("/stays").await.text(), "abc");
    assert_eq!(world.legacy.count(), 2, "{:?}", world.legacy.seen());

    let full = FullBacklog::start().await;
    let router =
        Setup::new(full.address, full.address).with_upstreams("connect_timeout: 20s").with_top("log: {format: json}");
    let router = router.start().await;
    let mut client = router.connect().await;
    client.send("POST /paid HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc").await;
    drop(client);
    wait_until("it is told in the log", || told(&router) == 1).await;
}

/// Row 37: where nobody answers, the caller is told whose turn it is, and keeps its connection.
#[tokio::test]
async fn an_upstream_that_is_not_there_costs_the_caller_nothing_but_an_answer() {
    let router = Setup::new(refused_address(), refused_address()).start().await;
    let mut client = router.connect().await;
    for _ in 0..3 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        local_answer(&mut client, "GET", (502, "upstream_unreachable"), "GET").await;
        client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        local_answer(&mut client, "HEAD", (502, "upstream_unreachable"), "HEAD").await;
    }
}

/// Row 39: the keep-alive part; tests of tunnels have the other.
#[tokio::test]
async fn a_flip_moves_the_next_request_and_leaves_the_current_one() {
    let world = World::start().await;
    let late = [Step::ReadBody, Step::AwaitRelease, Step::send(response("200 OK", "late"))];
    world.legacy.on("/slow", late.clone());
    let (mut idle, mut busy) = (world.router.connect().await, world.router.connect().await);
    assert_eq!(idle.get("/").await.text(), "legacy");
    // The second of these is read by the router only when the first is answered.
    busy.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n").await;
    world.legacy.only("/slow").await;
    let mut upload = world.router.connect().await;
    upload.send("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc").await;
    world.legacy.only("/upload").await;
    world.router.mode("new_only").await;
    assert_eq!(idle.get("/").await.text(), "new");
    upload.send("def").await;
    assert_eq!((upload.answer().await.text().as_str(), upload.get("/").await.text().as_str()), ("legacy", "new"));
    assert_eq!(world.legacy.only("/upload").await.text(), "abcdef");
    world.legacy.release();
    assert_eq!((busy.answer().await.text().as_str(), busy.answer().await.text().as_str()), ("late", "new"));
    assert_eq!((world.legacy.seen_at("/next").len(), world.new.seen_at("/next").len()), (0, 1));
    world.router.roll_back().await;
    for client in [&mut idle, &mut busy, &mut upload] {
        assert_eq!(client.get("/").await.text(), "legacy");
    }
}

/// Row 40: a replica that drains is not ready, serves all the same, and says that each answer is the last.
#[tokio::test]
async fn a_draining_router_is_unready_and_serves_with_close() {
    let (legacy, new) = (Backend::start("legacy").await, Backend::start("new").await);
    let directory = TempDir::new().unwrap();
    let file = Setup::new(legacy.address, new.address).file(directory.path()).replace("delay: 0s", "delay: 20s");
    let router = Router::start(directory, &file, &[]).await;
    let mut kept = router.connect().await;
    assert_eq!(kept.get("/").await.value("connection"), None);
    router.signal("TERM").await;
    wait_for("it is unready", || async { (router.readiness().await == 503).then_some(()) }).await;
    for _ in 0..5 {
        let mut client: Client = router.connect().await;
        let answer = client.get("/").await;
        assert_eq!((answer.text().as_str(), answer.value("connection").as_deref()), ("legacy", Some("close")));
        assert!(client.closes_cleanly().await);
    }
    let refused = router.exchange("GET /# HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(refused.status(), 400);
    drop(kept);
}

/// Row 40: a mirror that fails or is silent changes nothing, and nobody is told of it but the metrics.
#[tokio::test]
async fn a_mirror_is_never_seen_and_gets_only_what_is_safe() {
    let world = World::with(|setup| setup.with_migration("key: [header:x-user-id]\ninitial: {mode: parallel}")).await;
    for broken in [
        vec![Step::ReadBody, Step::AwaitClose],
        vec![Step::Reset],
        answers("nonsense\r\n\r\n"),
        answers(response("500 No", "mirror")),
    ] {
        world.new.on("/m", broken);
        for method in ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "PURGE", "get"] {
            let body = if matches!(method, "POST" | "PUT" | "PATCH") { "a=1" } else { "" };
            let mut client = world.router.connect().await;
            let answer = client.request(method, "/m", "", body).await;
            assert_eq!((answer.status(), answer.error_code(), answer.whole), (200, None, true), "{method}: {answer:?}");
            assert!(!answer.text().contains("mirror"), "{method}");
        }
    }
    wait_until("copies were made", || world.new.count() > 0).await;
    for seen in world.new.seen() {
        assert!(["GET", "HEAD", "OPTIONS"].contains(&seen.head.method().as_str()), "{seen:?}");
        assert_eq!(seen.head.values("crossfade-mirror"), ["1"], "{seen:?}");
    }
}
