//! What was answered with success outlives routers, stores and disks that fail.

use std::sync::atomic::{AtomicU64, Ordering};

use harness::redis_server::Role;
use harness::{Backend, RedisServer, wait_for, wait_until};
use serde_json::{Value, json};

use super::hook::Hook;
use super::{Hooks, setup};

async fn status_of(hooks: &Hooks, hook: &Hook) -> (u16, Value) {
    let answer = hooks.send(hook).await;
    (answer.status(), serde_json::from_str(&answer.text()).unwrap())
}

#[tokio::test]
async fn what_was_kept_is_sent_after_a_crash_of_the_router() {
    let mut hooks = Hooks::start().await;
    hooks.legacy.stop().await;
    for number in 1..=5 {
        hooks.route(&Hook::new(&format!("d-{number}"), "opened", number)).await;
    }
    // What is under way when a router dies is taken up only after its claim; here all five wait for their next try.
    let tried_twice = || hooks.router.printed().matches("attempt=2").count() >= 5;
    wait_until("each was tried twice", tried_twice).await;
    hooks.router.kill().await;
    hooks.legacy.restart().await;
    hooks.router = hooks.router.start_again().await;
    wait_until("all five arrive", || Hooks::got(&hooks.legacy).len() >= 5).await;
    let mut ids = Hooks::got(&hooks.legacy);
    ids.sort();
    ids.dedup();
    assert_eq!(ids, ["d-1", "d-2", "d-3", "d-4", "d-5"]);
}

#[tokio::test]
async fn while_the_store_is_away_webhooks_are_journalled_and_nothing_is_sent() {
    let Some(mut redis) = RedisServer::start().await else { return };
    let hooks = Hooks::on(&redis, "").await;
    hooks.route(&Hook::new("d-0", "opened", 1)).await;
    Hooks::arrives(&hooks.legacy, &["d-0"]).await;
    redis.kill().await;
    for number in 1..=20 {
        let (status, body) = status_of(&hooks, &Hook::new(&format!("d-{number}"), "edited", 1)).await;
        assert_eq!((status, &body["status"], &body["systems"]), (202, &json!("journalled"), &json!([])));
    }
    assert_eq!(Hooks::got(&hooks.legacy), ["d-0"]);
    redis.restart().await;
    let ids: Vec<String> = (0..=20).map(|number| format!("d-{number}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    Hooks::arrives(&hooks.legacy, &ids).await;
    let back =
        || async { (status_of(&hooks, &Hook::new("d-99", "edited", 1)).await.1["status"] == "routed").then_some(()) };
    let again = || async {
        (status_of(&hooks, &Hook::new("d-98", "edited", 1)).await.1["status"] != "journalled").then_some(())
    };
    wait_for("webhooks go to the store again", again).await;
    wait_for("and say whose they are", back).await;
}

#[tokio::test]
async fn a_journal_outlives_the_router_and_goes_first() {
    let Some(mut redis) = RedisServer::start().await else { return };
    let mut hooks = Hooks::on(&redis, "").await;
    redis.kill().await;
    for number in 1..=10 {
        assert_eq!(status_of(&hooks, &Hook::new(&format!("d-{number}"), "edited", 1)).await.0, 202);
    }
    hooks.router.kill().await;
    hooks.router = hooks.router.start_again().await;
    assert_eq!(status_of(&hooks, &Hook::new("d-11", "edited", 1)).await.1["status"], "journalled");
    redis.restart().await;
    let ids: Vec<String> = (1..=11).map(|number| format!("d-{number}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    Hooks::arrives(&hooks.legacy, &ids).await;
}

#[tokio::test]
async fn with_store_and_journal_gone_nothing_is_promised() {
    let Some(mut redis) = RedisServer::start().await else { return };
    let hooks = Hooks::on(&redis, ", journal_max: 1MiB, body_max: 2MB").await;
    redis.kill().await;
    let large = |number: u64| {
        let mut body: Value = serde_json::from_slice(&Hook::new("x", "opened", number).body).unwrap();
        body["issue"]["body"] = json!("x".repeat(600_000));
        Hook::of(&format!("d-{number}"), body.to_string())
    };
    assert_eq!(status_of(&hooks, &large(1)).await.0, 202);
    let answer = hooks.send(&large(2)).await;
    assert_eq!((answer.status(), answer.error_code().as_deref()), (503, Some("webhook_not_kept")));
    assert!(answer.value("retry-after").is_some());
    hooks.router.wait_until_printed("a webhook could be kept nowhere").await;
    redis.restart().await;
    Hooks::arrives(&hooks.legacy, &["d-1"]).await;
}

#[tokio::test]
async fn a_store_that_forgets_by_itself_is_refused_at_the_start() {
    let Some(redis) = RedisServer::start().await else { return };
    redis.command("CONFIG SET maxmemory-policy allkeys-lru").await;
    let (legacy, new) = (Backend::start("legacy").await, Backend::start("new").await);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("crossfade.yaml");
    std::fs::write(&path, setup(&legacy, &new, "").with_redis(&redis.url()).file(directory.path())).unwrap();
    let ended = harness::router::crossfade(&["serve", "-c", path.to_str().unwrap()]).await;
    assert_ne!(ended.code, Some(0));
    assert!(ended.stderr.contains("maxmemory-policy"), "{}", ended.stderr);
}

#[tokio::test]
async fn two_routers_share_one_ledger_and_one_takes_over() {
    let Some(redis) = RedisServer::start().await else { return };
    let mut hooks = Hooks::on(&redis, "").await;
    let other = setup(&hooks.legacy, &hooks.new, "").with_redis(&redis.url()).start().await;
    let hook = |number: u64| Hook::new(&format!("d-{number}"), "edited", 3);
    for number in 1..=10 {
        let router = if number % 2 == 0 { &other } else { &hooks.router };
        assert_eq!(router.exchange(hook(number).request()).await.status(), 202);
    }
    let again = other.exchange(hook(1).request()).await;
    assert_eq!(again.status(), 200, "a duplicate is known to both");
    let ids: Vec<String> = (1..=10).map(|number| format!("d-{number}")).collect();
    Hooks::arrives(&hooks.legacy, &ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    // What a router has sent and not yet settled when it dies is its own until its claim ends.
    let settled = || async {
        let mut answers = 0.0;
        for router in [&hooks.router, &other] {
            answers += router.metric("crossfade_issues_answers_total", "shop").await.unwrap_or_default();
        }
        (answers >= 10.0).then_some(())
    };
    wait_for("all ten are settled", settled).await;
    hooks.router.kill().await;
    assert_eq!(other.exchange(hook(11).request()).await.status(), 202);
    wait_until("the other one sends it", || Hooks::got(&hooks.legacy).len() == 11).await;
}

#[tokio::test]
async fn what_the_store_loses_before_it_is_on_its_disk_is_given_to_it_again() {
    let Some(mut redis) = RedisServer::start().await else { return };
    redis.command("CONFIG SET appendfsync everysec").await;
    let mut hooks = Hooks::on(&redis, "").await;
    hooks.legacy.stop().await;
    for number in 1..=5 {
        assert_eq!(hooks.route(&Hook::new(&format!("d-{number}"), "opened", number)).await["status"], "routed");
    }
    // A replica that takes over may know nothing of the last writes; an empty server knows less.
    redis.kill().await;
    redis.restart_empty().await;
    hooks.legacy.restart().await;
    wait_until("all five arrive", || Hooks::got(&hooks.legacy).len() >= 5).await;
    let mut ids = Hooks::got(&hooks.legacy);
    ids.sort();
    ids.dedup();
    assert_eq!(ids, ["d-1", "d-2", "d-3", "d-4", "d-5"]);
}

#[tokio::test]
async fn what_another_primary_lacks_is_given_to_it_although_no_call_has_failed() {
    let Some(first) = RedisServer::start().await else { return };
    let Some(second) = RedisServer::start_as(Role::ReplicaOf(first.address)).await else { return };
    let Some(sentinel) = RedisServer::start_as(Role::SentinelOf(first.address)).await else { return };
    let url = format!("redis+sentinel://{}/main", sentinel.address);
    let mut hooks = Hooks::with("", |setup| setup.with_redis(&url)).await;
    hooks.legacy.stop().await;
    let synced = || async { second.info("replication").await.contains("master_link_status:up").then_some(()) };
    wait_for("the replica has everything", synced).await;
    // From here on it lags behind, and is the primary all the same.
    second.command("REPLICAOF NO ONE").await;
    for number in 1..=5 {
        assert_eq!(hooks.route(&Hook::new(&format!("d-{number}"), "opened", number)).await["status"], "routed");
    }
    sentinel.command("SENTINEL REMOVE main").await;
    sentinel.command(&format!("SENTINEL MONITOR main 127.0.0.1 {} 1", second.address.port())).await;
    hooks.router.wait_until_printed("its connection is another one").await;
    hooks.legacy.restart().await;
    wait_until("all five arrive", || Hooks::got(&hooks.legacy).len() >= 5).await;
    let mut ids = Hooks::got(&hooks.legacy);
    ids.sort();
    ids.dedup();
    assert_eq!(ids, ["d-1", "d-2", "d-3", "d-4", "d-5"]);
}

#[tokio::test]
async fn nothing_is_sent_that_a_replica_which_takes_over_would_not_know_of() {
    let Some(redis) = RedisServer::start().await else { return };
    let Some(replica) = RedisServer::start_as(Role::ReplicaOf(redis.address)).await else { return };
    let follows = || async { redis.info("replication").await.contains("state=online").then_some(()) };
    wait_for("the replica follows", follows).await;
    let hooks = Hooks::on(&redis, "").await;
    hooks.route(&Hook::new("d-0", "opened", 1)).await;
    Hooks::arrives(&hooks.legacy, &["d-0"]).await;
    replica.pause().await;
    let (status, body) = status_of(&hooks, &Hook::new("d-1", "edited", 1)).await;
    assert_eq!((status, &body["status"]), (202, &json!("routed")), "what comes in is kept all the same");
    let held = |expected: f64| {
        let router = &hooks.router;
        async move { (router.metric("crossfade_issues_held", "shop").await == Some(expected)).then_some(()) }
    };
    wait_for("the router says why nothing is sent", || held(1.0)).await;
    assert_eq!(Hooks::got(&hooks.legacy), ["d-0"]);
    replica.resume().await;
    wait_for("and that it goes on", || held(0.0)).await;
    // What was claimed in vain is claimed again when that claim has run out; what comes now is not held up by it.
    hooks.route(&Hook::new("d-2", "opened", 2)).await;
    Hooks::arrives(&hooks.legacy, &["d-0", "d-2"]).await;
    hooks.router.wait_until_printed("webhooks are sent on again").await;
}

#[tokio::test]
async fn a_replica_that_comes_later_makes_the_journal_answer_too() {
    let Some(redis) = RedisServer::start().await else { return };
    let hooks = Hooks::on(&redis, "").await;
    let sent = AtomicU64::new(0);
    let is_journalled = |expected: bool| {
        let (hooks, number) = (&hooks, sent.fetch_add(1, Ordering::Relaxed));
        async move {
            hooks.route(&Hook::new(&format!("d-{number}"), "opened", number)).await;
            let bytes = hooks.router.metric("crossfade_issues_journal_bytes", "shop").await;
            (bytes.is_some_and(|bytes| (bytes > 0.0) == expected)).then_some(())
        }
    };
    wait_for("a store that is alone and syncs each write needs no journal", || is_journalled(false)).await;
    let Some(_replica) = RedisServer::start_as(Role::ReplicaOf(redis.address)).await else { return };
    wait_for("one with a replica does", || is_journalled(true)).await;
}
