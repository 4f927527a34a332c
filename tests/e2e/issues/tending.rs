//! What a router does for the ledger by itself: moves that wait are made, and what is old is forgotten.
//!
//! Both wait for times that no test has, a minute and half a year. So a test writes into Redis that they have passed.

use harness::{RedisServer, wait_for};
use serde_json::json;

use super::Hooks;
use super::hook::Hook;

const KEY: &str = "crossfade:{test}:issues:shop";
const ISSUE: &str = "/issues/octo-org%2Fhello-world%231";

/// An issue that legacy works on.
async fn running(redis: &RedisServer) -> Hooks {
    let hooks = Hooks::on(redis, "").await;
    hooks.route(&Hook::new("d-1", "opened", 1)).await;
    let is_running = || async { (record(&hooks).await["state"] == "running").then_some(()) };
    wait_for("legacy works on it", is_running).await;
    hooks
}

async fn record(hooks: &Hooks) -> serde_json::Value {
    let shown = hooks.router.api("GET", ISSUE, None).await;
    let shown: serde_json::Value = serde_json::from_str(&shown.text()).unwrap();
    shown["records"][0].clone()
}

#[tokio::test]
async fn a_move_that_waits_is_made_when_the_lease_has_run_out() {
    let Some(redis) = RedisServer::start().await else { return };
    let hooks = running(&redis).await;
    let asked = json!({ "to": "new", "epoch": 1, "reason": "new knows it" });
    let told = hooks.router.api("POST", &format!("{ISSUE}/handoff"), Some(asked)).await.text();
    assert!(told.contains("\"status\":\"waiting\""), "{told}");
    // As if a minute had passed: the lease in the record, and the index of moves that follows from it.
    let at = "o:octo-org/hello-world#1";
    let script = "local r = cjson.decode(redis.call('GET', KEYS[1])) r.lease_ms = 1 redis.call('SET', KEYS[1], cjson.encode(r)) redis.call('ZADD', KEYS[2], 5001, ARGV[1]) return 'done'";
    let told = redis.command(&format!("EVAL \"{script}\" 2 {KEY}:i:{at} {KEY}:move {at}")).await;
    assert_eq!(told, "done");
    let moved = || async {
        let record = record(&hooks).await;
        (record["owner"] == "new" && record["epoch"] == 2).then_some(())
    };
    wait_for("it is new's, without any event", moved).await;
}

#[tokio::test]
async fn what_ended_long_ago_is_forgotten() {
    let Some(redis) = RedisServer::start().await else { return };
    let mut hooks = running(&redis).await;
    let fence = record(&hooks).await["fence"].clone();
    let end = json!({ "side": "legacy", "fence": fence, "success": true });
    let told = hooks.router.api("POST", &format!("{ISSUE}/finish"), Some(end)).await;
    assert_eq!(told.status(), 200, "{}", told.text());
    assert_eq!(record(&hooks).await["state"], "ended");
    // As if it were long ago: the words that are kept of it, in whichever hash they are.
    let script = "for _, key in ipairs(redis.call('KEYS', ARGV[1])) do local all = redis.call('HGETALL', key) redis.call('HSET', key, all[1], (string.gsub(all[2], '%d%d%d%d%d%d%d%d%d%d%d%d%d', '1000', 1))) end return 'done'";
    let told = redis.command(&format!("EVAL \"{script}\" 0 {KEY}:f:*")).await;
    assert_eq!(told, "done");
    // Who has trimmed lets the others be for ten minutes.
    redis.command(&format!("DEL {KEY}:duty:trim")).await;
    hooks.router.kill().await;
    hooks.router = hooks.router.start_again().await;
    let gone = || async { (hooks.router.api("GET", ISSUE, None).await.status() == 404).then_some(()) };
    wait_for("it is forgotten", gone).await;
}
