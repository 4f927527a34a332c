//! The life of connections: how they are spread over workers, limited, half closed, kept, and what ends them.

use harness::backend::response;
use harness::{Client, Setup, Step, wait_for, wait_until};

use crate::world::World;

/// Of the router, by worker.
async fn by_worker(world: &World, workers: usize) -> Vec<f64> {
    let mut open = Vec::new();
    for worker in 0..workers {
        let labels = format!("worker=\"{worker}\"");
        open.push(world.router.metric("crossfade_worker_connections", &labels).await.unwrap_or(f64::NAN));
    }
    open
}

/// Connections on which one request was answered, and which stay.
async fn kept_alive(world: &World, connections: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        let mut client = world.router.connect().await;
        assert_eq!(client.get("/").await.text(), "legacy");
        clients.push(client);
    }
    clients
}

/// The hash of the kernel alone leaves 64 connections even over 4 workers about once in a thousand times.
#[tokio::test]
async fn long_lived_connections_are_spread_evenly_over_the_workers() {
    let world = World::with(|setup| setup.with_workers(4)).await;
    let mut clients = kept_alive(&world, 64).await;
    let open = by_worker(&world, 4).await;
    assert!(open.iter().all(|own| *own <= 18.0), "a share of 16 and a tolerance of 2: {open:?}");
    assert!((open.iter().sum::<f64>() - 64.0).abs() < 0.5, "{open:?}");
    let handed = world.router.metric("crossfade_connections_handed_over_total", "").await;
    assert!(handed.is_some_and(|handed| handed > 0.0), "{handed:?}");

    let file = Setup::new(world.legacy.address, world.new.address).with_workers(4).file(world.router.directory());
    world.router.reload(&file).await;
    world.router.wait_until_printed("generation=2").await;
    for client in &mut clients {
        assert_eq!(client.get("/").await.text(), "legacy", "a connection that was handed over is one like any other");
    }
    clients.truncate(10);
    wait_for("the others are let go", || async {
        let open: f64 = by_worker(&world, 4).await.iter().sum();
        ((open - 10.0).abs() < 0.5).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_drain_ends_connections_that_were_handed_over() {
    let mut world = World::with(|setup| setup.with_workers(4)).await;
    let mut clients = kept_alive(&world, 32).await;
    world.router.signal("TERM").await;
    for client in &mut clients {
        assert!(client.closes().await);
    }
    assert_eq!(world.router.ended().await.code(), Some(0));
}

/// What an attacker would like to be taken for the answer to somebody else's request.
const POISON: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";

#[tokio::test]
async fn a_body_that_comes_late_and_must_not_come_at_all_is_nobodys_answer() {
    let world = World::start().await;
    let length = POISON.len();
    for (method, head) in [
        ("HEAD", format!("200 OK\r\nContent-Length: {length}")),
        ("HEAD", "200 OK\r\nTransfer-Encoding: chunked".to_owned()),
        ("GET", format!("304 Not Modified\r\nContent-Length: {length}")),
        ("GET", format!("204 No Content\r\nContent-Length: {length}")),
        ("GET", "204 No Content\r\nTransfer-Encoding: chunked".to_owned()),
    ] {
        let late = [
            Step::ReadBody,
            Step::send(format!("HTTP/1.1 {head}\r\n\r\n")),
            Step::AwaitRelease,
            Step::send(POISON),
            Step::AwaitClose,
        ];
        world.legacy.once("/late", late);
        let mut client = world.router.connect().await;
        let answer = client.request(method, "/late", "", "").await;
        assert!(matches!(answer.status(), 200 | 204 | 304) && answer.body.is_empty(), "{head}: {answer:?}");
        assert_eq!(client.get("/").await.text(), "legacy", "{head}: the connection is not used at once");
        world.legacy.release();
        for _ in 0..10 {
            assert_eq!(client.get("/").await.text(), "legacy", "{head}");
        }
        wait_until("the connection is closed", || world.legacy.seen_at("/late").iter().all(|seen| seen.closed)).await;
    }
}

#[tokio::test]
async fn a_connection_that_stayed_clean_after_head_is_used_again() {
    let world = World::start().await;
    wait_for("a HEAD goes out on the connection of another one", || async {
        world.router.connect().await.request("HEAD", "/", "", "").await;
        let connections: Vec<usize> = world.legacy.seen().iter().map(|seen| seen.connection).collect();
        let distinct: std::collections::BTreeSet<_> = connections.iter().collect();
        (distinct.len() < connections.len()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_arrives_on_an_idle_connection_is_nobodys_answer() {
    let world = World::start().await;
    let extra = [Step::ReadBody, Step::send(response("200 OK", "ok")), Step::AwaitRelease, Step::send(POISON)];
    world.legacy.once("/extra", extra.to_vec());
    let mut client = world.router.connect().await;
    assert_eq!(client.get("/extra").await.text(), "ok");
    world.legacy.release();
    wait_until("the connection is closed", || world.legacy.open() == 0).await;
    assert_eq!(client.get("/").await.text(), "legacy");
}

#[tokio::test]
async fn a_408_that_was_meant_for_silence_is_not_the_answer_to_a_request_that_may_be_repeated() {
    let world = World::start().await;
    let late = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let mut client = world.router.connect().await;
    for (method, status, times) in [("GET", 200, 2), ("POST", 408, 1)] {
        assert_eq!(client.get("/").await.status(), 200);
        let path = format!("/late-{method}");
        world.legacy.once(&path, [Step::ReadBody, Step::send(late), Step::Close]);
        let answer = client.request(method, &path, "", if method == "POST" { "x" } else { "" }).await;
        assert_eq!((answer.status(), world.legacy.seen_at(&path).len()), (status, times), "{method}");
    }
}

#[tokio::test]
async fn a_caller_that_ends_its_direction_is_gone_unless_the_route_says_otherwise() {
    let routes = "- {migration: shop, path: /**}\n- {migration: shop, path: /old/**, half_close: true}";
    let world = World::with(|setup| setup.with_routes(routes)).await;
    world.legacy.on("/hang", [Step::ReadBody, Step::AwaitClose]);
    world.legacy.on("/old/hang", [Step::ReadBody, Step::AwaitRelease, Step::send(response("200 OK", "late"))]);
    let request =
        |path: &str| format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody");
    let mut gone = world.router.connect().await;
    gone.send(request("/hang")).await;
    world.legacy.only("/hang").await;
    gone.shut_down_writing().await;
    assert!(gone.closes().await);
    wait_until("its request is aborted", || world.legacy.open() == 0).await;

    let mut listening = world.router.connect().await;
    listening.send(request("/old/hang")).await;
    listening.shut_down_writing().await;
    assert_eq!(world.legacy.only("/old/hang").await.text(), "body");
    world.legacy.release();
    assert_eq!(listening.answer().await.text(), "late");
    assert!(listening.closes().await);
}

/// Attackers that send their head byte by byte, and attackers that stop in the middle of a body.
const SLOW_HEADS: usize = 400;
const SLOW_BODIES: usize = 100;

/// What the attack may cost: a buffer each, and as much again for what goes with it.
const ATTACK_KIB_MAX: u64 = 24 * 1024;

#[tokio::test]
async fn hundreds_of_slow_callers_cost_little_and_disturb_nobody() {
    let world = World::with(|setup| setup.with_top("timeouts: {head: 1s, body_idle: 1s}")).await;
    assert_eq!(world.get("/").await.status(), 200);
    let before = world.router.peak_memory_kib();
    let mut attackers = tokio::task::JoinSet::new();
    for number in 0..SLOW_HEADS + SLOW_BODIES {
        let mut client = world.router.connect().await;
        attackers.spawn(async move {
            if number < SLOW_HEADS {
                client.send("GET /slow HTTP/1.1\r\nHost: a\r\nX-Slow: ").await;
                client.drip(&[b'x'; 30], std::time::Duration::from_millis(50)).await;
            } else {
                client.send("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc").await;
            }
            // An attacker that goes on sending may see a reset before the answer.
            client.answer_or_end("GET").await.is_none_or(|answer| answer.status() == 408)
        });
    }
    for _ in 0..200 {
        assert_eq!(world.get("/").await.text(), "legacy", "honest callers are served meanwhile");
    }
    assert!(attackers.join_all().await.into_iter().all(|refused| refused));
    for (code, times) in [("head_timeout", SLOW_HEADS), ("body_timeout", SLOW_BODIES)] {
        let counted = world.router.metric("crossfade_refused_requests_total", &format!("code=\"{code}\"")).await;
        assert_eq!(counted, Some(times as f64), "{code}");
    }
    assert_eq!(world.legacy.seen_at("/slow").len(), SLOW_BODIES, "a head that is not whole reaches nobody");
    let grown = world.router.peak_memory_kib().saturating_sub(before);
    assert!(grown < ATTACK_KIB_MAX, "memory grew by {grown} KiB");
    assert_eq!(world.get("/").await.text(), "legacy");
}

#[tokio::test]
async fn who_waits_behind_slow_callers_is_served_when_their_time_is_up() {
    let world = World::with(|setup| setup.with_top("timeouts: {head: 500ms}\nlimits: {connections: 10}")).await;
    let mut attackers = Vec::new();
    for _ in 0..10 {
        let mut client = world.router.connect().await;
        client.send("GET /slow HTTP/1.1\r\n").await;
        attackers.push(client);
    }
    wait_for("they have all places", || async {
        (world.router.metric("crossfade_connections", "").await == Some(10.0)).then_some(())
    })
    .await;
    let mut honest = Vec::new();
    for _ in 0..30 {
        let mut client = world.router.connect().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        honest.push(tokio::spawn(async move { client.answer().await }));
    }
    for answer in honest {
        assert_eq!(answer.await.unwrap().text(), "legacy");
    }
    let reached = world.router.metric("crossfade_connection_limit_reached_total", "").await;
    assert!(reached.is_some_and(|reached| reached > 0.0), "{reached:?}");
    world.router.wait_until_printed("`limits.connections` are open").await;
}
