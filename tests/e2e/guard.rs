//! What happens by itself when new degrades, and what does not happen when it is sound.

mod broken;
mod load;
mod one_caller;
mod sound;
mod store;

use std::time::Duration;

use harness::backend::{answers, response};
use harness::{Backend, RedisServer, Router, Setup, Step, wait_for};
use serde_json::{Value, json};

pub(crate) use self::load::Load;
use crate::world::World;

pub(crate) async fn gradual(guard: &str, percent: f64) -> World {
    let world = World::with(|setup| {
        setup.with_migration(&format!("key: [header:x-user-id]\nfallback: {{when: []}}\nguard: {{{guard}}}"))
    })
    .await;
    world.router.rollout(percent).await;
    world.router.mode("gradual").await;
    world
}

async fn evidence(router: &Router) -> Value {
    let answer = router.api("GET", "/migrations/shop/evidence", None).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    answer.json()
}

/// Waits until a newer half second has been judged than what this router knows of.
pub(crate) async fn judges(router: &Router) {
    let before = evidence(router).await["judged"].clone();
    let is_newer = |found: &Value| found["judged"].is_string() && found["judged"] != before;
    wait_for("it is judged again", || async { is_newer(&evidence(router).await).then_some(()) }).await;
}

pub(crate) async fn reaches(router: &Router, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    wait_for(what, || async { Some(router.migration().await).filter(|seen| is_so(seen)) }).await
}

pub(crate) fn rolled_back(seen: &Value) -> bool {
    seen["mode"] == "emergency_rollback"
}

/// The newest history entry.
pub(crate) async fn newest(router: &Router) -> Value {
    router.api("GET", "/migrations/shop/history", None).await.json()["history"][0].clone()
}

/// Nobody was moved, and nothing was taken from new.
#[track_caller]
fn is_as_it_was(seen: &Value, mode: &str, percent: f64) {
    assert_eq!((&seen["mode"], &seen["percent"]), (&json!(mode), &json!(percent)), "{seen}");
}

pub(crate) fn failing() -> Vec<Step> {
    answers(response("500 Internal Server Error", "new"))
}

fn slow(pause: Duration) -> Vec<Step> {
    vec![Step::ReadBody, Step::Wait(pause), Step::send(response("200 OK", "slow"))]
}

#[tokio::test]
async fn a_router_alone_goes_back_at_once_when_new_is_plainly_gone() {
    let world = gradual("", 25.0).await;
    let load = Load::start(&world.router);
    load.more(600).await;
    assert_eq!(evidence(&world.router).await["state"], "running");
    world.new.on_all(Some(failing()));
    reaches(&world.router, "the rollback", rolled_back).await;
    let entry = newest(&world.router).await;
    assert_eq!((&entry["actor"], &entry["kind"]), (&json!("guard"), &json!("rollback")));
    let record = &entry["evidence"];
    assert!(
        record["failing_keys"].as_u64().unwrap() >= 3 && record["evidence"].as_f64().unwrap() >= 10_000.0,
        "{record}"
    );
    assert_eq!(world.router.metric("crossfade_guard_actions_total", "action=\"fast_rollback\"").await, Some(1.0));
    let failed = load.stop().await;
    assert!((1..=60).contains(&failed), "{failed} callers met what new did");
}

#[tokio::test]
async fn with_a_fallback_no_caller_notices() {
    let world = World::with(|setup| setup.with_migration("key: [header:x-user-id]")).await;
    world.router.rollout(25.0).await;
    world.router.mode("gradual").await;
    let load = Load::start(&world.router);
    load.more(400).await;
    world.new.on_all(Some(failing()));
    reaches(&world.router, "the rollback", rolled_back).await;
    load.more(100).await;
    assert_eq!(load.stop().await, 0);
    let answered = world.router.metric("crossfade_fallbacks_total", "result=\"answered\"").await;
    assert!(answered >= Some(1.0), "{answered:?}");
}

#[tokio::test]
async fn the_fleet_s_test_brakes_and_rolls_back() {
    let world = gradual("fast_path: false", 25.0).await;
    let load = Load::start(&world.router);
    load.more(600).await;
    world.new.on_all(Some(failing()));
    reaches(&world.router, "the rollback", rolled_back).await;
    load.stop().await;
    let history = world.router.api("GET", "/migrations/shop/history", None).await.json();
    let by_guard: Vec<_> =
        history["history"].as_array().unwrap().iter().filter(|entry| entry["actor"] == "guard").collect();
    assert_eq!(by_guard[0]["kind"], "rollback");
    let record = &by_guard[0]["evidence"];
    assert!(record["evidence"].as_f64().unwrap() >= 1_000.0, "{record}");
    assert!(record["why"].as_str().unwrap().contains("on new"), "{record}");
    wait_for("the rollback is remembered", || async {
        (evidence(&world.router).await["rollbacks"].as_array()?.len() == 1).then_some(())
    })
    .await;
    assert_eq!(world.router.metric("crossfade_rollbacks_total", "").await, Some(1.0));
}

#[tokio::test]
async fn a_new_system_that_is_only_slower_is_caught() {
    let world = gradual("", 50.0).await;
    world.legacy.on_all(Some(slow(Duration::from_millis(8))));
    world.new.on_all(Some(slow(Duration::from_millis(8))));
    let load = Load::start(&world.router);
    load.more(900).await;
    world.new.on_all(Some(slow(Duration::from_millis(40))));
    reaches(&world.router, "the rollback", rolled_back).await;
    assert_eq!(load.stop().await, 0, "nothing ever failed");
    let record = newest(&world.router).await["evidence"].clone();
    assert!(record["measure"].as_str().unwrap().starts_with("latency"), "{record}");
}

#[tokio::test]
async fn what_both_sides_suffer_from_is_not_blamed_on_new() {
    let world = gradual("", 50.0).await;
    world.legacy.on_all(Some(slow(Duration::from_millis(5))));
    world.new.on_all(Some(slow(Duration::from_millis(5))));
    let load = Load::start(&world.router);
    load.more(900).await;
    // A slow shared database.
    world.legacy.on_all(Some(slow(Duration::from_millis(30))));
    world.new.on_all(Some(slow(Duration::from_millis(30))));
    load.more(900).await;
    // And then one that is gone.
    world.legacy.on_all(Some(failing()));
    world.new.on_all(Some(failing()));
    load.more(900).await;
    let seen = world.router.migration().await;
    assert_eq!((&seen["mode"], &seen["percent"]), (&json!("gradual"), &json!(50.0)), "{seen}");
    reaches(&world.router, "people are told", |seen| seen["state"] == "held").await;
    let found = evidence(&world.router).await;
    assert!(found["why"].as_str().unwrap().contains("both systems"), "{found}");
    load.stop().await;
}

#[tokio::test]
async fn where_the_way_back_is_closed_people_are_told_and_nothing_moves() {
    let world = World::with(|setup| setup.with_migration("key: [header:x-user-id]\nreversible: false")).await;
    world.router.rollout(50.0).await;
    world.router.mode("gradual").await;
    let load = Load::start(&world.router);
    load.more(300).await;
    world.new.on_all(Some(failing()));
    let held = reaches(&world.router, "the hold", |seen| {
        seen["state"] == "held" && seen["evidence"].as_f64() >= Some(1_000.0)
    })
    .await;
    assert_eq!((&held["mode"], &held["percent"]), (&json!("gradual"), &json!(50.0)));
    let body = json!({"percent": 75.0, "reason": "on we go"});
    let refused = world.router.api("PUT", "/migrations/shop/rollout", Some(body)).await;
    assert_eq!((refused.status(), &refused.json()["code"]), (409, &json!("held")), "{refused:?}");
    load.stop().await;
}

#[tokio::test]
async fn evidence_survives_the_router_that_judges_and_another_goes_on() {
    let Some(redis) = RedisServer::start().await else { return };
    let (legacy, new) = (Backend::start("legacy").await, Backend::start("new").await);
    let setup = Setup::new(legacy.address, new.address)
        .with_redis(&redis.url())
        .with_migration("key: [header:x-user-id]\nfallback: {when: []}\nguard: {fast_path: false}");
    let mut first = setup.start().await;
    let second = first.beside().await;
    first.rollout(25.0).await;
    first.mode("gradual").await;
    let load = Load::start(&second);
    load.more(400).await;
    let judged = |seen: &Value| seen["judged"].is_string();
    wait_for("both know what was judged", || async {
        let (one, other) = (evidence(&first).await, evidence(&second).await);
        (judged(&one) && judged(&other)).then_some(())
    })
    .await;
    first.kill().await;
    new.on_all(Some(failing()));
    reaches(&second, "the rollback", rolled_back).await;
    load.stop().await;
}

#[tokio::test]
async fn whoever_starts_again_at_once_is_not_held_to_what_was_mended() {
    let world = gradual("fast_path: false", 25.0).await;
    let load = Load::start(&world.router);
    load.more(600).await;
    world.new.on_all(Some(failing()));
    reaches(&world.router, "the rollback", rolled_back).await;
    world.new.on_all(None);
    world.router.acknowledge("legacy_only").await;
    // Until the judge has followed, the hold of before still stands.
    for (path, mut body) in [("rollout", json!({"percent": 30.0})), ("mode", json!({"mode": "gradual"}))] {
        (body["reason"], body["force"]) = (json!("it is mended"), json!(true));
        let answer = world.router.api("PUT", &format!("/migrations/shop/{path}"), Some(body)).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
    }
    load.more(1_500).await;
    load.stop().await;
    let seen = world.router.migration().await;
    assert_eq!((&seen["mode"], &seen["percent"]), (&json!("gradual"), &json!(30.0)), "{seen}");
    let remembered = evidence(&world.router).await["rollbacks"].as_array().map(Vec::len);
    assert_eq!(remembered, Some(1), "the rollback is remembered all the same");
}
