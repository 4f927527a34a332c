//! What a side did with each request is counted once, whatever its caller met.

use harness::backend::{answers, response};
use harness::{Step, wait_for};

use crate::world::World;

/// Attempts at a side so far: ok, refused, failed.
async fn attempts(world: &World, side: &str) -> [u64; 3] {
    let mut counts = [0; 3];
    for (at, result) in ["ok", "refused", "failed"].into_iter().enumerate() {
        let labels = format!("side=\"{side}\",result=\"{result}\"");
        let value = world.router.metric("crossfade_attempts_total", &labels).await.unwrap();
        counts[at] = format!("{value:.0}").parse().unwrap();
    }
    counts
}

/// Waits until so many attempts are counted, because an answer may be read before it is counted.
async fn check(world: &World, side: &str, expected: [u64; 3]) {
    let what = format!("{side} has {expected:?} attempts");
    wait_for(&what, || async { (attempts(world, side).await == expected).then_some(()) }).await;
}

#[tokio::test]
async fn every_request_is_one_attempt_by_what_the_side_did() {
    let mut world = World::with(|setup| setup.with_upstreams("timeout: 300ms")).await;
    world.legacy.on("/ok", answers(response("200 OK", "fine")));
    world.legacy.on("/moved", answers("HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n"));
    world.legacy.on("/no", answers(response("403 Forbidden", "no")));
    world.legacy.on("/broken", answers(response("500 Internal Server Error", "broken")));
    world.legacy.on(
        "/cut",
        answers("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")
            .into_iter()
            .chain([Step::Close])
            .collect::<Vec<_>>(),
    );
    world.legacy.on("/reset", [Step::ReadBody, Step::Reset]);
    world.legacy.on("/silent", [Step::ReadBody, Step::AwaitClose]);
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    world.legacy.on("/ws", [Step::send(switch), Step::Close]);
    for path in ["/ok", "/moved", "/no", "/broken", "/reset", "/silent"] {
        world.get(path).await;
    }
    assert!(!world.get("/cut").await.whole);
    let mut tunnel = world.router.connect().await;
    tunnel.send("GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n").await;
    assert_eq!(tunnel.head().await.unwrap().status(), 101);
    check(&world, "legacy", [3, 1, 4]).await;
    world.legacy.stop().await;
    assert_eq!(world.get("/ok").await.status(), 502);
    check(&world, "legacy", [3, 1, 5]).await;
    check(&world, "new", [0; 3]).await;
}

#[tokio::test]
async fn a_caller_that_leaves_says_nothing_about_the_side() {
    let world = World::start().await;
    world.legacy.on("/hang", [Step::ReadBody, Step::AwaitClose]);
    let mut client = world.router.connect().await;
    client.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n").await;
    world.legacy.only("/hang").await;
    drop(client);
    wait_for("the caller's leaving is counted", || async {
        let labels = "side=\"legacy\",failure=\"aborted_by_client\"";
        let aborted = world.router.metric("crossfade_failures_total", labels).await;
        aborted.filter(|count| *count > 0.0)
    })
    .await;
    // One of a request that follows, so that one of the first would be there too.
    world.get("/").await;
    check(&world, "legacy", [1, 0, 0]).await;
}

#[tokio::test]
async fn a_copy_is_an_attempt_of_its_side() {
    let mut world = World::start().await;
    world.router.mode("parallel").await;
    let mut client = world.router.connect().await;
    client.get("/").await;
    check(&world, "legacy", [1, 0, 0]).await;
    check(&world, "new", [1, 0, 0]).await;
    world.new.on_all(Some(answers(response("500 Internal Server Error", "broken"))));
    client.get("/").await;
    check(&world, "new", [1, 0, 1]).await;
    // A copy that meets a connection which new has closed meanwhile is sent again, and is no failure.
    world.new.on_all(None);
    world.new.stop().await;
    world.new.restart().await;
    client.get("/").await;
    check(&world, "new", [2, 0, 1]).await;
    world.new.stop().await;
    client.get("/").await;
    check(&world, "new", [2, 0, 2]).await;
    check(&world, "legacy", [4, 0, 0]).await;
}
