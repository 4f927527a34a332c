//! A store that fails hides nothing that is broken, and makes nothing look so.

use harness::{Backend, RedisServer, Router, Setup};

use super::load::Load;
use super::{failing, is_as_it_was, judges, newest, reaches, rolled_back};

struct Pair {
    redis: RedisServer,
    new: Backend,
    one: Router,
    other: Router,
    _legacy: Backend,
}

/// Two routers on one Redis, half of the callers on new.
async fn pair(guard: &str) -> Option<Pair> {
    let redis = RedisServer::start().await?;
    let (legacy, new) = (Backend::start("legacy").await, Backend::start("new").await);
    let migration = format!("key: [header:x-user-id]\nguard: {{{guard}}}");
    let setup = Setup::new(legacy.address, new.address).with_redis(&redis.url()).with_migration(&migration);
    let one = setup.start().await;
    let other = one.beside().await;
    one.rollout(50.0).await;
    one.mode("gradual").await;
    reaches(&other, "the mode", |seen| seen["mode"] == "gradual").await;
    Some(Pair { redis, new, one, other, _legacy: legacy })
}

#[tokio::test]
async fn a_store_that_is_paused_killed_and_emptied_is_no_evidence_and_judging_goes_on() {
    let Some(mut pair) = pair("").await else { return };
    let loads = [Load::start(&pair.one), Load::start(&pair.other)];
    loads[0].more(300).await;
    pair.redis.pause().await;
    loads[0].more(500).await;
    pair.redis.resume().await;
    judges(&pair.one).await;
    pair.redis.kill().await;
    loads[1].more(500).await;
    pair.redis.restart().await;
    judges(&pair.other).await;
    for router in [&pair.one, &pair.other] {
        is_as_it_was(&router.migration().await, "gradual", 50.0);
    }
    pair.redis.flush().await;
    loads[0].more(500).await;
    for router in [&pair.one, &pair.other] {
        assert_eq!(router.migration().await["mode"], "gradual");
        let rollbacks = router.metric("crossfade_rollbacks_total", "").await;
        assert_eq!(rollbacks.unwrap_or_default(), 0.0);
    }
    for load in loads {
        assert_eq!(load.stop().await, 0);
    }
}

#[tokio::test]
async fn without_the_store_each_router_leaves_by_itself_and_the_fleet_follows_when_it_is_back() {
    let Some(mut pair) = pair("").await else { return };
    // Only one of them has callers.
    let load = Load::start(&pair.one);
    load.more(400).await;
    pair.redis.kill().await;
    pair.new.on_all(Some(failing()));
    harness::wait_for("the router leaves alone", || async {
        (pair.one.metric("crossfade_guard_actions_total", "action=\"fast_rollback\"").await >= Some(1.0)).then_some(())
    })
    .await;
    load.more(100).await;
    assert_eq!(load.stop().await, 0);
    assert_eq!(pair.other.migration().await["mode"], "gradual", "it cannot know");
    pair.redis.restart().await;
    reaches(&pair.other, "the other router follows", rolled_back).await;
    let entry = newest(&pair.other).await;
    assert_eq!((entry["actor"].as_str(), entry["kind"].as_str()), (Some("guard"), Some("rollback")));
}

/// Whatever somebody writes under the keys of a guard, it is no evidence, and what is broken is found all the same.
#[tokio::test]
async fn garbage_in_the_judged_state_is_no_evidence_and_judging_goes_on() {
    let Some(pair) = pair("fast_path: false").await else { return };
    let load = Load::start(&pair.one);
    load.more(300).await;
    judges(&pair.one).await;
    let keys = pair.redis.command("EVAL \"return table.concat(redis.call('KEYS','*'),' ')\" 0").await;
    let named = |name: &str| {
        let key = keys.split(' ').find(|key| key.ends_with(name));
        key.unwrap_or_else(|| panic!("no key ends with {name}: {keys}")).to_owned()
    };
    let (engine, status, lease) = (named(":evidence"), named(":judged"), named(":judge"));
    let both = |version: &str, text: &str| {
        let script = "local s = string.gsub(redis.call('HGET', KEYS[2], 'shop'), '^%d+ ', '', 1) \
                      redis.call('HSET', KEYS[1], 'shop', ARGV[1]..' '..ARGV[2]) \
                      return redis.call('HSET', KEYS[2], 'shop', ARGV[1]..' '..s)";
        format!("EVAL \"{script}\" 2 {engine} {status} {version} \"{}\"", text.replace('"', "\\\""))
    };
    let replaced =
        |key: &str| format!("EVAL \"redis.call('DEL',KEYS[1]) return redis.call('SET',KEYS[1],'x')\" 1 {key}");
    let future = format!("{{\"slot\":{0},\"new_last\":{0},\"legacy_last\":{0},\"exposed\":{0}}}", u64::MAX);
    for damage in [
        format!("HSET {engine} shop rubbish"),
        format!("HSET {status} shop rubbish"),
        both("900", &future),
        both("900", "{\"streams\":[]}"),
        both("900", "{\"streams\":{\"requests\":{\"past\":[1,9,1,9]}}}"),
        replaced(&engine),
        replaced(&status),
        format!("SET {lease} nobody"),
        both("999999999999998", "{}"),
    ] {
        let whole =
            || async { pair.redis.command(&format!("HGET {status} shop")).await.contains("judged").then_some(()) };
        harness::wait_for("the judgement is stored again", whole).await;
        let answer = pair.redis.command(&damage).await;
        assert!(!answer.starts_with('-'), "{damage}: {answer}");
        judges(&pair.one).await;
        is_as_it_was(&pair.other.migration().await, "gradual", 50.0);
    }
    pair.new.on_all(Some(failing()));
    reaches(&pair.other, "the rollback", rolled_back).await;
    assert_eq!(load.stop().await, 0);
}
