//! Every reason for which a copy is given up, provoked: each is counted under its name, and no caller notices.

use harness::backend::{answers, response};
use harness::{Step, wait_for, wait_until};

use crate::world::{World, patient};

async fn in_parallel(parallel: &str, upstreams: &str, workers: usize) -> World {
    let parallel = patient(&format!("noise: 0%, {parallel}"));
    let world = World::with(|setup| {
        let setup = setup.with_migration(&format!("key: [header:x-user-id]\nparallel: {{{parallel}}}"));
        let setup = setup.with_workers(workers);
        if upstreams.is_empty() { setup } else { setup.with_upstreams(upstreams) }
    })
    .await;
    world.router.mode("parallel").await;
    world
}

async fn dropped(world: &World, reason: &str) -> f64 {
    let labels = format!("reason=\"{reason}\"");
    world.router.metric("crossfade_mirrors_dropped_total", &labels).await.unwrap_or(0.0)
}

async fn not_made(world: &World, reason: &str) -> f64 {
    let labels = format!("reason=\"{reason}\"");
    world.router.metric("crossfade_comparisons_not_made_total", &labels).await.unwrap_or(0.0)
}

/// Both counters say this of a reason.
async fn wait_for_both(world: &World, reason: &str, expected: f64) {
    wait_for(&format!("{expected} for {reason}"), || async {
        (dropped(world, reason).await == expected && not_made(world, reason).await == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn memory_is_what_the_budget_has_no_room_for() {
    let world = in_parallel("timeout: 20s, budget: {memory: 1MiB}", "", 1).await;
    let long = response("200 OK", &"x".repeat(600 << 10));
    world.legacy.on_all(Some(answers(long.clone())));
    world.new.on_all(Some(vec![Step::ReadBody, Step::AwaitRelease, Step::Send(long)]));
    let mut client = world.router.connect().await;
    for _ in 0..3 {
        // The first answer is kept until that of its copy comes, and has taken all there is.
        let answer = client.get("/").await;
        assert!(answer.whole && answer.body.len() == 600 << 10, "{}", answer.body.len());
    }
    wait_until("the copies are there", || world.new.count() == 3).await;
    wait_for_both(&world, "memory", 2.0).await;
    // Their own answers have no room either; the first pair is lost to its second half.
    (0..3).for_each(|_| world.new.release());
    world.new.on_all(None);
    world.legacy.on_all(None);
    wait_for("there is room again", || async {
        let mut client = world.router.connect().await;
        assert_eq!(client.get("/").await.text(), "legacy");
        (world.router.metric("crossfade_comparisons_total", "result=\"mismatched\"").await > Some(0.0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn age_is_a_router_that_has_too_much_to_do() {
    let world = in_parallel("budget: {age: 1ms, in_flight: 10000}", "", 1).await;
    // What one worker is told to begin at once takes it longer than a copy may wait.
    wait_for("one copy is too old", || async {
        let mut clients = Vec::new();
        for _ in 0..100 {
            clients.push(world.router.connect().await);
        }
        for client in &mut clients {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(8)).await;
        }
        for client in &mut clients {
            for _ in 0..8 {
                assert_eq!(client.answer().await.text(), "legacy");
            }
        }
        (dropped(&world, "age").await > 0.0).then_some(())
    })
    .await;
    assert!(not_made(&world, "age").await > 0.0);
}

#[tokio::test]
async fn no_endpoint_is_a_side_that_is_down() {
    let health = "health: {path: /health, interval: 100ms, timeout: 1s, fall: 1, rise: 1}";
    let world = in_parallel("timeout: 2s", health, 1).await;
    world.new.on("/health", answers(response("500 Ill", "")));
    wait_for("new counts as down", || async {
        assert_eq!(world.get("/").await.text(), "legacy");
        (dropped(&world, "no_endpoint").await > 0.0).then_some(())
    })
    .await;
    assert!(not_made(&world, "no_endpoint").await > 0.0);
    assert_eq!(dropped(&world, "breaker").await, 0.0, "what was not sent says nothing of the side");
}

#[tokio::test]
async fn draining_is_a_router_that_goes_down() {
    let world = in_parallel("timeout: 2s", "", 1).await;
    world.legacy.on("/held", [Step::ReadBody, Step::AwaitRelease, Step::send(response("200 OK", "held"))]);
    let mut held = world.router.connect().await;
    held.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n").await;
    world.legacy.only("/held").await;
    let mut begun = world.router.connect().await;
    begun.send("GET /begun HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab").await;
    wait_until("legacy has the beginning", || !world.legacy.seen_at("/begun").is_empty()).await;
    world.router.signal("TERM").await;
    wait_for("the router drains", || async { (world.router.readiness().await == 503).then_some(()) }).await;
    begun.send("c").await;
    assert_eq!(begun.answer().await.text(), "legacy", "a request that has begun is finished");
    wait_for_both(&world, "draining", 1.0).await;
    assert!(world.new.seen_at("/begun").is_empty());
    world.legacy.release();
    assert_eq!(held.answer().await.text(), "held");
}

#[tokio::test]
async fn comparer_busy_is_more_pairs_than_are_compared() {
    let world = in_parallel("timeout: 20s", "", 2).await;
    // Every element is another's: aligning them takes longer than to send them.
    let numbers: Vec<String> = (0..6_000).map(|n| n.to_string()).collect();
    let page = |numbers: Vec<String>| {
        let body = format!("[{}]", numbers.join(","));
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        answers(head + &body)
    };
    world.legacy.on_all(Some(page(numbers.clone())));
    world.new.on_all(Some(page(numbers.into_iter().rev().collect())));
    let caller = async || {
        let mut client = world.router.connect().await;
        for _ in 0..60 {
            assert!(client.get("/").await.whole);
        }
    };
    wait_for("more pairs than are compared", || async {
        tokio::join!(caller(), caller(), caller(), caller());
        (dropped(&world, "comparer_busy").await > 0.0).then_some(())
    })
    .await;
    assert!(not_made(&world, "comparer_busy").await > 0.0);
}
