//! Where the state lives, and what happens when that place is gone.

use harness::router::crossfade_in;
use harness::{RedisServer, Setup, wait_for, wait_until};
use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn a_crash_loses_nothing_of_the_embedded_store() {
    let mut world = World::start().await;
    world.router.mode("gradual").await;
    world.router.rollout(25.5).await;
    world.router.pin("ann", "new").await;
    let before = world.router.migration().await;
    for _ in 0..3 {
        world.router = world.router.start_again().await;
        let after = world.router.migration().await;
        assert_eq!(
            (&after["mode"], &after["percent"], &after["revision"]),
            (&before["mode"], &before["percent"], &before["revision"])
        );
        assert_eq!(world.side_of("ann").await, "new");
    }
    let history = world.router.api("GET", "/migrations/shop/history", None).await.json();
    assert_eq!(history["history"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn a_corrupt_embedded_file_is_a_clear_error_and_no_start() {
    let directory = tempfile::TempDir::new().unwrap();
    let dead = harness::backend::refused_address();
    let file = Setup::new(dead, dead).file(directory.path());
    std::fs::write(directory.path().join("crossfade.yaml"), file).unwrap();
    std::fs::write(directory.path().join("crossfade.redb"), vec![b'x'; 10_000]).unwrap();
    let finished = crossfade_in(directory.path(), &["serve", "-c", "crossfade.yaml"], &[]).await;
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("crossfade.redb"), "the message names the file: {finished:?}");
    assert!(!finished.stderr.contains("panicked"), "{finished:?}");
}

#[tokio::test]
async fn two_routers_of_one_redis_agree() {
    let Some(redis) = RedisServer::start().await else { return };
    let world = World::with(|setup| setup.with_redis(&redis.url())).await;
    let second = Setup::new(world.legacy.address, world.new.address).with_redis(&redis.url()).start().await;
    for mode in ["new_only", "legacy_only", "new_only"] {
        let change = world.router.mode(mode).await;
        assert_eq!(change["converged"], true, "{change}");
        let side = if mode == "new_only" { "new" } else { "legacy" };
        assert_eq!(second.connect().await.get("/").await.text(), side, "the change has arrived at both");
    }
    second.pin("ann", "legacy").await;
    assert_eq!(world.side_of("ann").await, "legacy");
    let replicas = world.router.api("GET", "/replicas", None).await.json();
    assert_eq!(replicas["replicas"].as_array().map(Vec::len), Some(2), "{replicas}");
    second.roll_back().await;
    assert_eq!(world.get("/").await.text(), "legacy");
    assert_eq!(world.router.migration().await["mode"], "emergency_rollback");
}

#[tokio::test]
async fn without_redis_traffic_goes_on_and_only_a_rollback_is_taken() {
    let Some(mut redis) = RedisServer::start().await else { return };
    let world = World::with(|setup| setup.with_redis(&redis.url())).await;
    world.router.mode("new_only").await;
    redis.kill().await;
    for _ in 0..20 {
        assert_eq!(world.get("/").await.text(), "new", "the last state serves on");
    }
    assert_eq!(world.router.readiness().await, 200);
    let change =
        world.router.api("PUT", "/migrations/shop/mode", Some(json!({"mode": "parallel", "reason": "x"}))).await;
    assert_eq!(change.status(), 503, "{change:?}");
    assert_eq!(world.get("/").await.text(), "new");

    let rollback = world.router.api("POST", "/migrations/shop/rollback", Some(json!({"reason": "fire"}))).await;
    assert_eq!(rollback.status(), 202, "{rollback:?}");
    assert_eq!(world.get("/").await.text(), "legacy", "it acts here at once");
    redis.restart().await;
    wait_for("the rollback has reached the store", || async {
        let migration = world.router.migration().await;
        (migration["mode"] == "emergency_rollback").then_some(())
    })
    .await;
    let second = Setup::new(world.legacy.address, world.new.address).with_redis(&redis.url()).start().await;
    assert_eq!(second.migration().await["mode"], "emergency_rollback", "another router learns of it from the store");
    assert_eq!(second.connect().await.get("/").await.text(), "legacy");
}

#[tokio::test]
async fn a_router_that_starts_without_redis_serves_from_what_it_saved() {
    let Some(mut redis) = RedisServer::start().await else { return };
    let mut world = World::with(|setup| setup.with_redis(&redis.url())).await;
    world.router.mode("new_only").await;
    let saved = world.router.directory().join("crossfade.snapshot");
    let is_saved = || std::fs::read_to_string(&saved).is_ok_and(|text| text.contains("new_only"));
    wait_until("the state is saved", is_saved).await;
    redis.kill().await;
    world.router = world.router.start_again().await;
    assert_eq!(world.get("/").await.text(), "new", "the saved state serves");
    assert_eq!(world.router.readiness().await, 200);
    redis.restart().await;
    wait_for("changes are taken again", || async {
        let body = json!({"mode": "legacy_only", "reason": "back", "force": true});
        let answer = world.router.api("PUT", "/migrations/shop/mode?wait=10s", Some(body)).await;
        (answer.status() == 200).then_some(())
    })
    .await;
    assert_eq!(world.get("/").await.text(), "legacy");

    redis.kill().await;
    std::fs::remove_file(&saved).unwrap();
    world.router = world.router.start_again().await;
    assert_eq!(world.get("/").await.text(), "legacy", "without anything known, legacy");
}

#[tokio::test]
async fn a_corrupt_document_is_refused_alone() {
    let Some(redis) = RedisServer::start().await else { return };
    let world = World::with(|setup| setup.with_redis(&redis.url())).await;
    world.router.mode("new_only").await;
    let mut raw = harness::Client::connect(redis.address).await;
    raw.send("HSET crossfade:{test}:migrations shop {broken\r\nINCR crossfade:{test}:revision\r\n").await;
    raw.until(b"\r\n").await;
    wait_for("the router has seen it", || async {
        world.router.migration().await["problem"].is_string().then_some(())
    })
    .await;
    assert_eq!(world.get("/").await.text(), "new", "the last good state serves on");
    assert_eq!(world.router.readiness().await, 200);
}
