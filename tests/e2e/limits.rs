//! Every time-out and every limit of the file: what happens at it, and what it must never touch.
//!
//! The short times here only say which time-out must fire, never how fast; whatever must *not* fire is given many times
//! the pause that it has to survive.

use std::time::Duration;

use harness::backend::{FullBacklog, response};
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

/// An answer that is made of the request, piece by piece, can only stop where the request does.
#[tokio::test]
async fn a_caller_whose_body_stops_behind_the_start_of_an_answer_does_not_speak_against_the_side() {
    let world = World::with(|setup| setup.with_top("timeouts: {body_idle: 300ms}\nlog: {format: json}")).await;
    let begun = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf";
    world.legacy.on("/echo", [Step::ReadSome(4), Step::send(begun), Step::AwaitClose]);
    let mut client = world.router.connect().await;
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nhalf").await;
    assert!(!client.answer().await.whole);
    wait_until("the upstream is let go", || world.legacy.open() == 0).await;
    wait_for_failure(&world, "aborted_by_client").await;
    assert!(failures(&world, "timeout").await < 1.0, "legacy did nothing wrong");
    wait_until("it is logged", || world.router.printed().contains("\"error\":\"body_timeout\"")).await;
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
        upload.drip(&dripped, PAUSE).await;
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
    assert!(client.discard_slowly(BODY, 1 << 15, Duration::from_millis(12)).await, "it was cut");
    assert_eq!(client.get("/").await.text(), "legacy");
}

#[tokio::test]
async fn a_request_on_a_fresh_connection_is_answered_even_while_the_router_drains() {
    let mut world = World::start().await;
    world.legacy.on("/hang", [Step::ReadBody, Step::AwaitRelease]);
    let mut open = world.router.connect().await;
    open.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n").await;
    world.legacy.only("/hang").await;
    let mut idle = world.router.connect().await;
    assert_eq!(idle.get("/").await.text(), "legacy");
    let mut fresh = Vec::new();
    for _ in 0..20 {
        fresh.push(world.router.connect().await);
    }
    world.router.signal("TERM").await;
    assert!(idle.closes().await, "it drains");
    for client in &mut fresh {
        let answer = client.get("/").await;
        assert_eq!((answer.text().as_str(), answer.value("connection").as_deref()), ("legacy", Some("close")));
    }
    drop(open);
    assert_eq!(world.router.ended().await.code(), Some(0));
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_room() {
    let world = World::with(|setup| setup.with_top("limits: {connections: 2}")).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = world.router.connect().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        clients.push(client);
    }
    wait_until("somebody is served", || world.legacy.count() > 0).await;
    let open = world.router.metric("crossfade_connections", "").await;
    assert!(open.is_some_and(|open| open <= 2.0) && world.legacy.count() <= 2, "{open:?}");

    let everything = Setup::new(world.legacy.address, world.new.address).with_top("limits: {connections: 100}");
    world.router.reload(&everything.file(world.router.directory())).await;
    for client in &mut clients {
        assert_eq!(client.answer().await.text(), "legacy", "a higher limit lets in who waits");
    }
    let back = Setup::new(world.legacy.address, world.new.address).with_top("limits: {connections: 2}");
    world.router.reload(&back.file(world.router.directory())).await;
    clients.clear();
    assert_eq!(world.get("/").await.text(), "legacy", "room is taken up again");
}

#[tokio::test]
async fn the_time_in_the_queue_is_not_taken_from_the_time_to_answer() {
    let limits = "in_flight: 1, queue: 9, queue_timeout: 20s, timeout: 900ms";
    let world = World::with(|setup| setup.with_upstreams(limits)).await;
    world
        .legacy
        .on("/slow", [Step::ReadBody, Step::Wait(Duration::from_millis(300)), Step::send(response("200 OK", "done"))]);
    let mut clients = Vec::new();
    for _ in 0..6 {
        let mut client = world.router.connect().await;
        client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
        clients.push(client);
    }
    // The last of them waits longer than an answer may take.
    for mut client in clients {
        assert_eq!(client.answer().await.text(), "done");
    }
}

#[tokio::test]
async fn requests_beyond_in_flight_wait_and_beyond_the_queue_get_503() {
    let limits = "in_flight: 1, queue: 1, queue_timeout: 300ms";
    let world = World::with(|setup| setup.with_upstreams(limits)).await;
    world.legacy.on("/hang", [Step::ReadBody, Step::AwaitRelease, Step::send(response("200 OK", "late"))]);
    let mut first = world.router.connect().await;
    first.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n").await;
    world.legacy.only("/hang").await;
    // One of these waits until its time is up, the others do not wait at all.
    for answer in [world.get("/"), world.get("/")] {
        let answer = answer.await;
        assert_eq!(code(&answer), (503, "upstream_busy".into()));
        assert_eq!(answer.value("retry-after").as_deref(), Some("1"));
    }
    let busy = || world.router.metric("crossfade_refused_requests_total", "code=\"upstream_busy\"");
    wait_for("both are counted", || async { (busy().await == Some(2.0)).then_some(()) }).await;
    assert_eq!(world.router.metric("crossfade_upstream_shed_total", "upstream=\"old\"").await, Some(2.0));
    world.legacy.release();
    assert_eq!(first.answer().await.text(), "late");
    assert_eq!(world.get("/").await.text(), "legacy", "the place is free again");
    assert_eq!(world.legacy.seen_at("/").len(), 2, "what was refused never reached the upstream");
}

#[tokio::test]
async fn tunnels_beyond_the_limit_get_503_and_the_upstream_is_let_go() {
    let world = World::with(|setup| setup.with_top("limits: {tunnels: 2}")).await;
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    world.legacy.on("/ws", [Step::send(switch), Step::Echo]);
    let (mut open, mut refused) = (Vec::new(), 0);
    for _ in 0..12 {
        let mut client = world.router.connect().await;
        client.send("GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n").await;
        let answer = client.answer().await;
        if answer.status() == 101 {
            open.push(client);
        } else {
            assert_eq!(code(&answer), (503, "tunnel_limit".into()));
            refused += 1;
        }
    }
    assert_eq!((open.len(), refused), (2, 10), "a limit is reached and not passed, whichever worker has the tunnels");
    wait_until("only open tunnels hold the upstream", || world.legacy.open() == open.len()).await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_and_the_upstream_never_takes_it_for_whole() {
    let world = World::with(|setup| setup.with_routes("- {migration: shop, path: /**, body_max: 1KB}")).await;
    let mut client = world.router.connect().await;
    client.send("PUT /announced HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n").await;
    assert_eq!(code(&client.answer().await), (413, "body_too_large".into()));
    assert!(client.closes().await && world.untouched());

    let mut client = world.router.connect().await;
    client.send("PUT /chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n").await;
    world.legacy.only("/chunks").await;
    client.send(format!("800\r\n{}\r\n0\r\n\r\n", "x".repeat(0x800))).await;
    assert_eq!(code(&client.answer().await), (413, "body_too_large".into()));
    wait_until("the upstream sees it broken off", || world.legacy.open() == 0).await;
    assert!(!world.legacy.only("/chunks").await.whole);
}

#[tokio::test]
async fn a_body_too_long_to_hold_a_key_arrives_whole() {
    let migration = "key: [json:/user]\ninitial: {mode: gradual, percent: 99.9}\non_missing_key: legacy";
    let world = World::with(|setup| setup.with_migration(migration)).await;
    for (length, side) in [(100, "new"), (60_000, "new"), (70_000, "legacy"), (300_000, "legacy")] {
        let body = format!("{{\"user\":\"ann\",\"filler\":\"{}\"}}", "x".repeat(length));
        let mut client = world.router.connect().await;
        let answer = client.request("POST", &format!("/b{length}"), "", &body).await;
        assert_eq!(answer.text(), side, "{length}");
        let backend = if side == "new" { &world.new } else { &world.legacy };
        assert_eq!(backend.only(&format!("/b{length}")).await.text(), body);
    }
}

#[tokio::test]
async fn an_endpoint_that_a_check_took_out_is_back_when_nobody_checks_any_more() {
    let health = "health: {path: /health, interval: 100ms, timeout: 100ms, fall: 1, rise: 1}";
    let world = World::with(|setup| setup.with_upstreams(health)).await;
    world.legacy.on("/health", [Step::ReadBody, Step::send(response("500 Ill", ""))]);
    wait_for("the check has taken it out", || async { (world.get("/").await.status() == 503).then_some(()) }).await;
    assert_eq!(code(&world.get("/").await), (503, "no_endpoint".into()));
    let unchecked = Setup::new(world.legacy.address, world.new.address);
    world.router.reload(&unchecked.file(world.router.directory())).await;
    wait_for("it serves again", || async { (world.get("/").await.text() == "legacy").then_some(()) }).await;
}

#[tokio::test]
async fn a_reload_says_what_takes_a_restart() {
    let world = World::start().await;
    let file = Setup::new(world.legacy.address, world.new.address).file(world.router.directory());
    world.router.reload(&file).await;
    world.router.wait_until_printed("generation=2").await;
    assert!(!world.router.printed().contains("restart"), "nothing of the kind has changed");
    let other = file.replace("workers: 2", "workers: 3").replace("name: ann", "name: bob");
    world.router.reload(&other).await;
    world.router.wait_until_printed("generation=3").await;
    for key in ["`workers` has changed", "`admin.tokens` has changed"] {
        world.router.wait_until_printed(key).await;
    }
    let printed = world.router.printed();
    assert_eq!(printed.matches("restart").count(), 2, "only what has changed is named");
}

#[tokio::test]
async fn a_drain_closes_tunnels_in_time_and_cuts_what_does_not_end() {
    let mut world = World::start().await;
    let short = Setup::new(world.legacy.address, world.new.address).file(world.router.directory());
    world.router.reload(&short.replace("timeout: 20s", "timeout: 1s")).await;
    world.router.wait_until_printed("generation=2").await;
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    world.legacy.on("/ws", [Step::send(switch), Step::Echo]);
    world.legacy.on("/hang", [Step::ReadBody, Step::AwaitClose]);
    let mut tunnels = Vec::new();
    for _ in 0..10 {
        let mut client = world.router.connect().await;
        client.send("GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n").await;
        assert_eq!(client.head().await.unwrap().status(), 101);
        tunnels.push(client);
    }
    let mut hanging = world.router.connect().await;
    hanging.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n").await;
    world.legacy.only("/hang").await;
    world.router.signal("TERM").await;
    for tunnel in &mut tunnels {
        assert!(tunnel.closes().await);
    }
    assert!(hanging.closes().await);
    assert_eq!(world.router.ended().await.code(), Some(0), "the new drain.timeout holds, and cutting is no failure");
    world.router.wait_until_printed("connections that are still open are cut").await;
}

#[tokio::test]
async fn a_limit_of_connections_is_reached_and_not_passed_whichever_worker_has_them() {
    for limit in [1, 8] {
        let limits = format!("limits: {{connections: {limit}}}");
        let world = World::with(|setup| setup.with_workers(4).with_top(&limits)).await;
        let (mut clients, mut waiting) = (Vec::new(), Vec::new());
        for _ in 0..limit {
            let mut client = world.router.connect().await;
            assert_eq!(client.get("/").await.text(), "legacy", "there is room");
            clients.push(client);
        }
        for _ in 0..10 {
            let mut client = world.router.connect().await;
            client.send("GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
            waiting.push(client);
        }
        for _ in 0..10 {
            assert_eq!(world.router.metric("crossfade_connections", "").await, Some(f64::from(limit)));
        }
        assert!(world.legacy.seen_at("/next").is_empty(), "beyond the limit they wait");
        clients.pop();
        // Each leaves when it has its answer, in whatever order they are let in.
        let served: Vec<_> =
            waiting.into_iter().map(|mut own| tokio::spawn(async move { own.answer().await })).collect();
        for answer in served {
            assert_eq!(answer.await.unwrap().text(), "legacy", "they are served as there is room");
        }
    }
}
