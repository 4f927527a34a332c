//! How a router meets its Redis: what keeps it from starting, and what does not.

use harness::router::{Finished, crossfade_in};
use harness::{RedisServer, Router, Setup, wait_for, wait_until};
use serde_json::json;

use crate::world::World;

/// A start that is expected to fail, as a supervisor sees it.
async fn failed_start(store: &str) -> Finished {
    let directory = tempfile::TempDir::new().unwrap();
    let dead = harness::backend::refused_address();
    let file = Setup::new(dead, dead).with_redis(store).file(directory.path());
    std::fs::write(directory.path().join("crossfade.yaml"), file).unwrap();
    // A second try learns nothing from the first.
    let first = crossfade_in(directory.path(), &["serve", "-c", "crossfade.yaml"], &[]).await;
    let second = crossfade_in(directory.path(), &["serve", "-c", "crossfade.yaml"], &[]).await;
    assert_eq!(first.code, second.code, "{first:?} {second:?}");
    assert!(!first.stderr.contains("s3cret") && !first.stdout.contains("ready"), "{first:?}");
    second
}

#[tokio::test]
async fn a_store_that_refuses_is_a_clear_error_and_no_start() {
    let Some(redis) = RedisServer::start().await else { return };
    let place = redis.address;
    for (store, words) in [
        (format!("redis://:s3cret@{place}"), "without any password configured"),
        (format!("rediss://{place}"), "does not speak TLS"),
        (format!("redis://{place}/9999"), "has no database 9999"),
        (format!("redis+cluster://{place}"), "is not part of a Cluster"),
        (format!("redis+sentinel://{place}/main"), "is Redis and not its Sentinel"),
    ] {
        let finished = failed_start(&store).await;
        assert_eq!(finished.code, Some(4), "{finished:?}");
        assert!(finished.stderr.contains(words) && finished.stderr.contains("store.redis"), "{finished:?}");
        assert!(!finished.stderr.contains("panicked"), "{finished:?}");
    }
}

async fn set_password(redis: &RedisServer, before: &str, password: &str) {
    let mut raw = harness::Client::connect(redis.address).await;
    let auth = if before.is_empty() { String::new() } else { format!("AUTH {before}\r\n") };
    raw.send(&format!("{auth}CONFIG SET requirepass \"{password}\"\r\n")).await;
    raw.until(b"+OK\r\n").await;
    // Who is connected stays so; the routers are to meet the new password.
    raw.send("CLIENT KILL TYPE normal SKIPME yes\r\nPING\r\n").await;
    raw.until(b"PONG").await;
}

async fn is_saved(router: &Router, words: &str) {
    let saved = router.directory().join("crossfade.snapshot");
    wait_until("the state is saved", || std::fs::read_to_string(&saved).is_ok_and(|text| text.contains(words))).await;
}

#[tokio::test]
async fn a_refused_password_does_not_keep_back_a_router_that_knows_the_state() {
    let Some(redis) = RedisServer::start().await else { return };
    let mut world = World::with(|setup| setup.with_redis(&redis.url())).await;
    world.router.mode("new_only").await;
    is_saved(&world.router, "new_only").await;
    set_password(&redis, "", "s3cret").await;
    world.router = world.router.start_again().await;
    assert_eq!(world.get("/").await.text(), "new", "the saved state serves");
    assert_eq!(world.router.readiness().await, 200);
    let refused =
        world.router.api("PUT", "/migrations/shop/mode", Some(json!({"mode": "parallel", "reason": "x"}))).await;
    assert_eq!(refused.status(), 503, "{refused:?}");
    assert!(refused.text().contains("store.redis") && !refused.text().contains("s3cret"), "{refused:?}");

    set_password(&redis, "s3cret", "").await;
    wait_for("changes are taken again", || async {
        let body = json!({"mode": "legacy_only", "reason": "back", "force": true});
        let answer = world.router.api("PUT", "/migrations/shop/mode?wait=10s", Some(body)).await;
        (answer.status() == 200).then_some(())
    })
    .await;
    assert_eq!(world.get("/").await.text(), "legacy");
}
