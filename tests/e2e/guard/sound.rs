//! What a sound system must survive: never a rollback, a hold at most, and nobody moved.

use std::time::Duration;

use harness::backend::{answers, response};
use harness::{Backend, Client, RedisServer, Setup, Step, wait_until};

use super::load::{Load, Manner};
use super::{evidence, gradual, is_as_it_was, judges, reaches, slow};
use crate::world::World;

const MIGRATION: &str = "key: [header:x-user-id]\nfallback: {when: []}";

#[tokio::test]
async fn a_rolling_restart_of_one_of_two_endpoints_moves_nobody() {
    let mut other = Backend::start("new").await;
    let address = other.address;
    let world = World::with(|setup| setup.with_new_endpoint(address).with_migration(MIGRATION)).await;
    world.router.rollout(50.0).await;
    world.router.mode("gradual").await;
    let load = Load::start(&world.router);
    for _ in 0..2 {
        load.more(300).await;
        other.stop().await;
        load.more(300).await;
        other.restart().await;
    }
    load.more(200).await;
    is_as_it_was(&world.router.migration().await, "gradual", 50.0);
    // What was on its way when the endpoint went is lost, and what came after it is not.
    let failed = load.stop().await;
    assert!(failed <= 24, "{failed} failed");
}

#[tokio::test]
async fn reloads_and_changes_of_the_percentage_under_load_are_no_evidence() {
    let world = gradual("", 25.0).await;
    let load = Load::start(&world.router);
    load.more(200).await;
    let file = std::fs::read_to_string(world.router.file()).unwrap();
    for (round, percent) in [50.0, 5.0, 100.0, 1.0, 40.0].into_iter().enumerate() {
        let pause = if round.is_multiple_of(2) { "31s" } else { "32s" };
        world
            .router
            .reload(&file.replacen("workers:", &format!("timeouts: {{body_idle: {pause}}}\nworkers:"), 1))
            .await;
        world.router.rollout(percent).await;
        load.more(150).await;
    }
    world.router.roll_back().await;
    load.more(100).await;
    world.router.acknowledge("legacy_only").await;
    world.router.rollout(30.0).await;
    world.router.mode("gradual").await;
    load.more(400).await;
    let seen = world.router.migration().await;
    is_as_it_was(&seen, "gradual", 30.0);
    assert_eq!(seen["state"], "running", "{seen}");
    assert_eq!(load.stop().await, 0);
}

#[tokio::test]
async fn a_router_that_stood_still_for_longer_than_its_time_outs_blames_nobody() {
    for mode in ["gradual", "new_only"] {
        let Some(redis) = RedisServer::start().await else { return };
        let (legacy, new) = (Backend::start("legacy").await, Backend::start("new").await);
        [&legacy, &new].into_iter().for_each(|side| side.on_all(Some(slow(Duration::from_millis(30)))));
        let setup = Setup::new(legacy.address, new.address)
            .with_redis(&redis.url())
            .with_upstreams("timeout: 1s")
            .with_migration(MIGRATION);
        let stopped = setup.start().await;
        stopped.rollout(50.0).await;
        stopped.mode("gradual").await;
        let other = stopped.beside().await;
        let (load, beside) = (Load::start(&stopped), Load::start(&other));
        load.more(300).await;
        stopped.mode(mode).await;
        load.more(300).await;
        stopped.pause().await;
        beside.more(1_200).await;
        stopped.resume().await;
        load.more(600).await;
        is_as_it_was(&other.migration().await, mode, 50.0);
        is_as_it_was(&stopped.migration().await, mode, 50.0);
        load.stop().await;
        assert_eq!(beside.stop().await, 0);
    }
}

#[tokio::test]
async fn a_router_that_dies_under_load_is_missed_by_nobody() {
    let Some(redis) = RedisServer::start().await else { return };
    let (legacy, new) = (Backend::start("legacy").await, Backend::start("new").await);
    let setup = Setup::new(legacy.address, new.address).with_redis(&redis.url()).with_migration(MIGRATION);
    let first = setup.start().await;
    first.rollout(25.0).await;
    first.mode("gradual").await;
    let (mut second, third) = (first.beside().await, first.beside().await);
    let loads = [Load::start(&first), Load::start(&third)];
    let lost = Load::start(&second);
    lost.more(300).await;
    second.kill().await;
    loads[1].more(600).await;
    // And with it perhaps who judged.
    first.signal("TERM").await;
    loads[1].more(900).await;
    judges(&third).await;
    let seen = third.migration().await;
    assert_eq!(seen["state"], "running", "{seen}");
    is_as_it_was(&seen, "gradual", 25.0);
    let [gone, load] = loads;
    assert_eq!(load.stop().await, 0);
    gone.stop().await;
    lost.stop().await;
}

#[tokio::test]
async fn callers_who_give_up_on_new_only_say_nothing_against_it() {
    let world = gradual("", 25.0).await;
    // A fifth of what they ask for takes long, on either side.
    [&world.legacy, &world.new].into_iter().for_each(|side| side.on("/long", slow(Duration::from_millis(400))));
    for user in 0..40 {
        world.router.pin(&format!("impatient-{user}"), "new").await;
    }
    let path = |nth: usize| if nth.is_multiple_of(5) { "/long" } else { "/" };
    let load = Load::with(&world.router, Manner { path, ..Manner::default() });
    load.more(700).await;
    let before = world.new.seen_at("/long").len();
    for round in 0..200 {
        let mut client = world.router.connect().await;
        let user = round % 40;
        client.send(format!("GET /long HTTP/1.1\r\nHost: a\r\nX-User-Id: impatient-{user}\r\n\r\n")).await;
        wait_until("new is asked", || world.new.seen_at("/long").len() > before + round).await;
        drop(client);
    }
    load.more(500).await;
    let seen = world.router.migration().await;
    is_as_it_was(&seen, "gradual", 25.0);
    assert_eq!(load.stop().await, 0);
}

#[tokio::test]
async fn a_burst_that_hits_both_sides_is_no_fault_of_new() {
    let world = gradual("", 25.0).await;
    [&world.legacy, &world.new].into_iter().for_each(|side| side.on_all(Some(slow(Duration::from_millis(3)))));
    let load = Load::start(&world.router);
    load.more(500).await;
    let burst = Load::with(&world.router, Manner { callers: 60, pace: Duration::from_millis(1), ..Manner::default() });
    burst.more(4_000).await;
    assert_eq!(burst.stop().await, 0);
    load.more(300).await;
    is_as_it_was(&world.router.migration().await, "gradual", 25.0);
    assert_eq!(load.stop().await, 0);
}

#[tokio::test]
async fn a_new_that_closes_its_connections_after_each_answer_is_no_worse() {
    for method in ["GET", "POST"] {
        let world = gradual("", 50.0).await;
        let closes = vec![Step::ReadBody, Step::send(response("200 OK", "new")), Step::Close];
        world.new.on_all(Some(closes));
        let body = if method == "POST" { "a=1" } else { "" };
        let load = Load::with(&world.router, Manner { method, body, ..Manner::default() });
        load.more(1_000).await;
        is_as_it_was(&world.router.migration().await, "gradual", 50.0);
        let failed = load.stop().await;
        assert!(failed <= 5, "{failed} {method}s met a connection that was being closed");
    }
}

#[tokio::test]
async fn what_lives_long_on_new_is_neither_slow_nor_failed() {
    let world = gradual("", 50.0).await;
    let stream =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhi\n\r\n";
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    for side in [&world.legacy, &world.new] {
        side.on("/events", vec![Step::send(stream), Step::AwaitClose]);
        side.on("/socket", vec![Step::send(switch), Step::Echo]);
        side.on("/poll", slow(Duration::from_millis(900)));
    }
    let load = Load::start(&world.router);
    load.more(500).await;
    let mut open = Vec::new();
    for user in 0..60 {
        world.router.pin(&format!("reader-{user}"), "new").await;
        let upgrade = if user % 2 == 0 { "" } else { "Upgrade: websocket\r\nConnection: upgrade\r\n" };
        let path = if user % 2 == 0 { "/events" } else { "/socket" };
        let mut client = world.router.connect().await;
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-User-Id: reader-{user}\r\n{upgrade}\r\n")).await;
        let head = client.head().await.unwrap();
        assert!(matches!(head.status(), 200 | 101));
        open.push(client);
    }
    // Long polls of all users, as long on either side.
    let polls = Load::with(&world.router, Manner { path: |_| "/poll", ..Manner::default() });
    load.more(1_200).await;
    // Everybody leaves at once.
    drop(open);
    load.more(500).await;
    is_as_it_was(&world.router.migration().await, "gradual", 50.0);
    let found = evidence(&world.router).await;
    assert_eq!(found["state"], "running", "{found}");
    assert_eq!((load.stop().await, polls.stop().await), (0, 0));
}

#[tokio::test]
async fn answers_without_a_body_and_uploads_of_slow_callers_are_sound() {
    let world = gradual("", 50.0).await;
    for side in [&world.legacy, &world.new] {
        side.on("/none", answers("HTTP/1.1 204 No Content\r\n\r\n"));
        side.on("/same", answers("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n"));
    }
    let path = |nth: usize| ["/none", "/same", "/"][nth % 3];
    let load = Load::with(&world.router, Manner { path, ..Manner::default() });
    let heads = Load::with(&world.router, Manner { method: "HEAD", ..Manner::default() });
    load.more(400).await;
    let mut uploads = tokio::task::JoinSet::new();
    for user in 0..24 {
        world.router.pin(&format!("uploader-{user}"), "new").await;
        let mut client = Client::connect(world.router.data).await;
        uploads.spawn(async move {
            let length = 100;
            let head = format!(
                "POST /up HTTP/1.1\r\nHost: a\r\nX-User-Id: uploader-{user}\r\nContent-Length: {length}\r\n\r\n"
            );
            client.send(head).await;
            client.drip(&[b'x'; 100], Duration::from_millis(15)).await;
            client.answer().await.status()
        });
    }
    while let Some(status) = uploads.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    load.more(300).await;
    let seen = world.router.migration().await;
    is_as_it_was(&seen, "gradual", 50.0);
    assert_eq!(seen["state"], "running", "{seen}");
    assert_eq!((load.stop().await, heads.stop().await), (0, 0));
}

#[tokio::test]
async fn a_failure_among_the_handful_of_requests_of_a_canary_is_not_enough() {
    let world = gradual("", 1.0).await;
    let load = Load::start(&world.router);
    load.more(500).await;
    world.new.once("/", super::failing());
    load.more(500).await;
    is_as_it_was(&world.router.migration().await, "gradual", 1.0);
    assert_eq!(load.stop().await, 1);
}

#[tokio::test]
async fn copies_that_new_fails_are_told_and_change_nothing_for_callers() {
    let world = World::with(|setup| setup.with_migration(MIGRATION)).await;
    world.router.mode("parallel").await;
    let load = Load::start(&world.router);
    load.more(300).await;
    world.new.on_all(Some(super::failing()));
    let seen = reaches(&world.router, "people are told", |seen| seen["state"] == "held").await;
    assert_eq!(seen["mode"], "parallel");
    load.more(300).await;
    assert_eq!(world.router.migration().await["mode"], "parallel");
    assert_eq!(load.stop().await, 0);
}
