//! Every time-out and every limit of the file: what happens at it, and what it must never touch.
//!
//! The short times here only say which time-out must fire, never how fast; whatever must *not* fire is given many times
//! the pause that it has to survive.

use std::time::Duration;

use harness::backend::FullBacklog;
use harness::{Answer, Setup, Step, wait_for, wait_until};

use crate::world::World;

/// More than the sockets and the router between them hold, so that whoever stops reading stops the sender.
const LARGE: u64 = 64 << 20;

fn code(answer: &Answer) -> (u16, String) {
    (answer.status(), answer.value("crossfade-error").unwrap_or_default())
}

async fn failures(world: &World, failure: &str) -> f64 {
    let labels = format!("side=\"legacy\",failure=\"{failure}\"");
    world.router.metric("crossfade_failures_total", &labels).await.unwrap_or(0.0)
}

async fn wait_for_failure(world: &World, failure: &str) {
    wait_for(&format!("a failure of the kind {failure} is counted"), || async {
        (failures(world, failure).await > 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_request_body_that_stops_gets_408_and_speaks_against_nobody() {
    let world = World::with(|setup| setup.with_top("timeouts: {body_idle: 300ms}")).await;
    for framing in ["Content-Length: 10\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n5\r\nabc"] {
        let mut client = world.router.connect().await;
        client.send(format!("POST /up HTTP/1.1\r\nHost: a\r\n{framing}")).await;
        assert_eq!(code(&client.answer().await), (408, "body_timeout".into()));
        assert!(client.closes().await);
        wait_until("the upstream sees it broken off", || world.legacy.open() == 0).await;
    }
    assert!(world.legacy.seen_at("/up").iter().all(|seen| !seen.whole));
    for failure in ["timeout", "reset", "truncated", "aborted_by_client"] {
        assert!(failures(&world, failure).await < 1.0, "{failure} is not legacy's");
    }
}

#[tokio::test]
async fn an_answer_that_stops_is_cut_and_counted_against_its_side() {
    let world = World::with(|setup| setup.with_top("timeouts: {body_idle: 300ms}")).await;
    for head in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let start = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n5\r\nab");
        world.legacy.on("/stop", [Step::ReadBody, Step::send(start), Step::AwaitClose]);
        let mut client = world.router.connect().await;
        client.send("GET /stop HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.whole), (200, false), "{answer:?}");
        wait_until("the upstream's connection is not kept", || world.legacy.open() == 0).await;
    }
    wait_for_failure(&world, "timeout").await;
}

#[tokio::test]
async fn a_caller_that_stops_reading_does_not_speak_against_the_side() {
    let world = World::with(|setup| setup.with_top("timeouts: {body_idle: 300ms}")).await;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
    world.legacy.on("/down", [Step::ReadBody, Step::send(head), Step::SendFiller(LARGE)]);
    let mut client = world.router.connect().await;
    client.send("GET /down HTTP/1.1\r\nHost: a\r\n\r\n").await;
    world.legacy.only("/down").await;
    wait_until("the upstream is let go", || world.legacy.open() == 0).await;
    assert!(!client.answer().await.whole);
    wait_for_failure(&world, "aborted_by_client").await;
    assert!(failures(&world, "timeout").await < 1.0, "legacy did nothing wrong");
}

#[tokio::test]
async fn an_upstream_that_stops_reading_gets_the_blame_and_not_the_caller() {
    let world = World::with(|setup| setup.with_top("timeouts: {body_idle: 300ms}")).await;
    world.legacy.on("/up", [Step::ReadSome(1), Step::AwaitRelease]);
    let mut client = world.router.connect().await;
    client.send(format!("PUT /up HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n")).await;
    client.send_until_answered(&vec![b'u'; 1 << 20], LARGE >> 20).await;
    assert_eq!(code(&client.answer().await), (504, "upstream_timeout".into()));
    assert!(client.closes().await);
    wait_for_failure(&world, "timeout").await;
    world.legacy.release();
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_or_accept_gets_504() {
    let world = World::with(|setup| setup.with_upstreams("timeout: 300ms, connect_timeout: 300ms")).await;
    world.legacy.on("/silent", [Step::ReadBody, Step::AwaitClose]);
    let mut client = world.router.connect().await;
    assert_eq!(code(&client.get("/silent").await), (504, "upstream_timeout".into()));
    assert_eq!(client.get("/").await.text(), "legacy", "the caller's connection stays in step");
    wait_for_failure(&world, "timeout").await;

    let hole = FullBacklog::start().await;
    let router = Setup::new(hole.address, hole.address).with_upstreams("connect_timeout: 300ms").start().await;
    let answer = router.connect().await.get("/").await;
    assert_eq!(code(&answer), (504, "upstream_connect_timeout".into()));
    assert!(!answer.text().contains("127.0.0.1"), "callers are strangers: {}", answer.text());
}

/// All of them much shorter than what follows takes as a whole, and much longer than each of its pauses.
const SHORT: &str =
    "timeouts: {head: 500ms, body_idle: 500ms, tunnel_idle: 500ms, keep_alive: 500ms, connection_age: 500ms}";
const PAUSE: Duration = Duration::from_millis(25);
const DRIPS: usize = 60;

#[tokio::test]
async fn no_timeout_breaks_an_exchange_that_moves() {
    let world = World::with(|setup| setup.with_top(SHORT).with_upstreams("timeout: 500ms")).await;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let dripped = [b'x'; DRIPS];
    let drip = Step::Drip([b"3c\r\n", &dripped[..], b"\r\n0\r\n\r\n"].concat(), PAUSE);
    world.legacy.on("/events", [Step::ReadBody, Step::send(head), drip]);
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    world.legacy.on("/ws", [Step::send(switch), Step::Drip(dripped.to_vec(), PAUSE), Step::send("end"), Step::Close]);

    let mut events = world.router.connect().await;
    let mut tunnel = world.router.connect().await;
    let mut upload = world.router.connect().await;
    let downloading = async { events.get("/events").await };
    let tunnelling = async {
        tunnel.send("GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n").await;
        tunnel.until(b"end").await
    };
    let uploading = async {
        upload.send(format!("PUT /up HTTP/1.1\r\nHost: a\r\nContent-Length: {DRIPS}\r\n\r\n")).await;
        for byte in dripped {
            upload.send([byte]).await;
            tokio::time::sleep(PAUSE).await;
        }
        upload.answer().await
    };
    let (events, tunnelled, uploaded) = tokio::join!(downloading, tunnelling, uploading);
    assert_eq!((events.body.as_slice(), events.whole), (&dripped[..], true));
    assert!(tunnelled.ends_with(&[&dripped[..], b"end"].concat()));
    assert_eq!((uploaded.status(), world.legacy.only("/up").await.whole), (200, true));
}

#[tokio::test]
async fn a_tunnel_in_which_nothing_moves_is_closed() {
    let world = World::with(|setup| setup.with_top("timeouts: {tunnel_idle: 300ms}")).await;
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    world.legacy.on("/ws", [Step::send(switch), Step::Echo]);
    let mut client = world.router.connect().await;
    client.send("GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n").await;
    assert_eq!(client.head().await.unwrap().status(), 101);
    client.send("still there?").await;
    client.until(b"still there?").await;
    assert!(client.closes().await);
    wait_until("the upstream's end is closed too", || world.legacy.open() == 0).await;
}

#[tokio::test]
async fn an_old_connection_is_told_to_close_and_never_just_closed() {
    let world = World::with(|setup| setup.with_top("timeouts: {connection_age: 200ms}")).await;
    let mut client = world.router.connect().await;
    // The connection is never closed under a request: every answer until the last one is whole.
    let mut answer = client.get("/").await;
    while answer.value("connection").as_deref() != Some("close") {
        tokio::time::sleep(PAUSE).await;
        answer = client.get("/").await;
    }
    assert_eq!(answer.text(), "legacy");
    assert!(client.closes().await);
}

#[tokio::test]
async fn a_body_that_ends_with_its_connection_is_reset_when_it_is_cut() {
    let world = World::with(|setup| setup.with_top("timeouts: {body_idle: 300ms}")).await;
    world.legacy.on("/old", [Step::ReadBody, Step::send("HTTP/1.0 200 OK\r\n\r\n"), Step::SendFiller(LARGE)]);
    let mut client = world.router.connect().await;
    client.send("GET /old HTTP/1.0\r\nHost: a\r\n\r\n").await;
    world.legacy.only("/old").await;
    wait_until("the upstream is let go", || world.legacy.open() == 0).await;
    assert!(!client.ends_cleanly().await, "a cut body must not look like a whole one");
}

/// The kernel holds megabytes of either direction; a reader that empties them steadily must not look like one that stopped.
#[tokio::test]
async fn a_slow_but_steady_reader_gets_everything() {
    const BODY: u64 = 8 << 20;
    let world = World::with(|setup| setup.with_top("timeouts: {body_idle: 500ms}")).await;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n");
    world.legacy.on("/down", [Step::ReadBody, Step::send(head), Step::SendFiller(BODY)]);
    let mut client = world.router.connect().await;
    client.send("GET /down HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.head().await.unwrap();
    for _ in 0..BODY >> 15 {
        assert!(client.discard(1 << 15).await, "it was cut");
        tokio::time::sleep(Duration::from_millis(12)).await;
    }
    assert_eq!(client.get("/").await.text(), "legacy");
}
