//! What is broken is left, however it is broken, and callers hardly notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use harness::backend::{answers, response};
use harness::{Backend, Client, Step, wait_for, wait_until};
use tokio::task::JoinSet;

use super::load::{Load, Manner};
use super::{evidence, failing, gradual, newest, reaches, rolled_back, slow};
use crate::world::World;

/// How a test stands before new breaks.
#[derive(Clone, Copy)]
enum Stand {
    Gradual,
    NewOnly,
    ParallelServedByNew,
}

async fn stands(stand: Stand) -> World {
    let serve = if matches!(stand, Stand::ParallelServedByNew) { "\nparallel: {serve: new}" } else { "" };
    let migration = format!("key: [header:x-user-id]{serve}");
    let world = World::with(|setup| setup.with_upstreams("timeout: 2s").with_migration(&migration)).await;
    world.router.rollout(50.0).await;
    world.router.mode("gradual").await;
    world
}

/// Breaks new after a calm while; answers how many callers met it, and the rollback's record.
async fn breaks(stand: Stand, break_new: impl FnOnce(&mut Backend)) -> (usize, serde_json::Value) {
    let mut world = stands(stand).await;
    let load = Load::start(&world.router);
    load.more(300).await;
    match stand {
        Stand::Gradual => {}
        Stand::NewOnly => drop(world.router.mode("new_only").await),
        Stand::ParallelServedByNew => drop(world.router.mode("parallel").await),
    }
    load.more(400).await;
    assert_eq!(evidence(&world.router).await["state"], "running");
    break_new(&mut world.new);
    reaches(&world.router, "the rollback", rolled_back).await;
    load.more(100).await;
    (load.stop().await, newest(&world.router).await["evidence"].clone())
}

fn truncated() -> Vec<Step> {
    vec![Step::ReadBody, Step::send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), Step::Close]
}

#[tokio::test]
async fn a_new_that_refuses_connections_or_resets_them_is_left_and_no_caller_meets_it() {
    assert_eq!(breaks(Stand::Gradual, |new| drop(new.begin_to_stop())).await.0, 0);
    let resets = |new: &mut Backend| new.on_all(Some(vec![Step::ReadBody, Step::Reset]));
    assert_eq!(breaks(Stand::Gradual, resets).await.0, 0);
}

#[tokio::test]
async fn a_new_that_says_503_is_left_wherever_it_serves_and_no_caller_meets_it() {
    for stand in [Stand::Gradual, Stand::NewOnly, Stand::ParallelServedByNew] {
        let says = |new: &mut Backend| new.on_all(Some(answers(response("503 Service Unavailable", "no"))));
        assert_eq!(breaks(stand, says).await.0, 0);
    }
}

#[tokio::test]
async fn a_new_that_hangs_is_left_by_its_age_and_no_caller_meets_it() {
    for stand in [Stand::Gradual, Stand::NewOnly] {
        let hangs = |new: &mut Backend| new.on_all(Some(vec![Step::ReadBody, Step::AwaitClose]));
        assert_eq!(breaks(stand, hangs).await.0, 0);
    }
}

#[tokio::test]
async fn a_new_that_cuts_its_answers_short_is_left() {
    let (met, _) = breaks(Stand::Gradual, |new| new.on_all(Some(truncated()))).await;
    // What has begun cannot be taken back, so that callers meet some.
    assert!((1..=60).contains(&met), "{met}");
}

#[tokio::test]
async fn a_new_that_knows_nothing_of_what_legacy_knows_is_left() {
    let says = |new: &mut Backend| new.on_all(Some(answers(response("404 Not Found", "what?"))));
    let (_, record) = breaks(Stand::Gradual, says).await;
    assert_eq!(record["measure"], "refusals", "{record}");
}

#[tokio::test]
async fn a_new_that_fails_three_in_ten_is_left_and_no_caller_meets_it() {
    let world = stands(Stand::Gradual).await;
    let path = |nth: usize| if nth % 10 < 3 { "/often" } else { "/" };
    let load = Load::with(&world.router, Manner { path, ..Manner::default() });
    load.more(500).await;
    world.new.on("/often", failing());
    reaches(&world.router, "the rollback", rolled_back).await;
    assert_eq!(load.stop().await, 0);
}

/// Callers who give up say nothing of how an answer would have ended; that none had come is seen all the same.
#[tokio::test]
async fn a_new_that_hangs_is_left_though_every_caller_gives_up_first() {
    const CALLERS: usize = 24;
    let world = gradual("", 50.0).await;
    [&world.legacy, &world.new].into_iter().for_each(|side| side.on_all(Some(slow(Duration::from_millis(2)))));
    let mut impatient = JoinSet::new();
    let made = Arc::<AtomicUsize>::default();
    for caller in 0..CALLERS {
        let (address, made) = (world.router.data, Arc::clone(&made));
        impatient.spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_millis(25));
            for nth in 0_usize.. {
                pace.tick().await;
                let mut client = Client::connect(address).await;
                let user = (caller + nth * CALLERS) % 600;
                client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX-User-Id: user-{user}\r\n\r\n")).await;
                let _ = tokio::time::timeout(Duration::from_millis(350), client.answer_or_end("GET")).await;
                made.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    wait_until("there is a past", || made.load(Ordering::SeqCst) >= 800).await;
    world.new.on_all(Some(vec![Step::ReadBody, Step::AwaitClose]));
    reaches(&world.router, "the rollback", rolled_back).await;
    impatient.shutdown().await;
    let record = newest(&world.router).await["evidence"].clone();
    assert!(record["measure"].as_str().unwrap().starts_with("latency"), "{record}");
}

#[tokio::test]
async fn a_second_rollback_doubles_the_cooldown() {
    let world = gradual("", 50.0).await;
    let load = Load::start(&world.router);
    let mut cooldowns = Vec::new();
    for round in 1..=2 {
        load.more(300).await;
        world.new.on_all(Some(failing()));
        reaches(&world.router, "the rollback", rolled_back).await;
        world.new.on_all(None);
        world.router.acknowledge("legacy_only").await;
        let found = wait_for("the rollback and the cooldown are remembered", || async {
            let found = evidence(&world.router).await;
            let rollbacks = found["rollbacks"].as_array()?.len();
            (rollbacks == round && found["cooldown_until"].is_string()).then_some(found)
        })
        .await;
        cooldowns.push(world.router.migration().await["cooldown_until"].clone());
        assert_eq!(found["state"], "running", "{found}");
        world.router.mode("gradual").await;
    }
    // 15 minutes, then 30, whenever they were acknowledged.
    let minutes = |time: &serde_json::Value| {
        let text = time.as_str().unwrap_or_default();
        let part = |range: std::ops::Range<usize>| text.get(range).and_then(|digits| digits.parse::<i64>().ok());
        part(11..13).zip(part(14..16)).map(|(hours, minutes)| hours * 60 + minutes)
    };
    let [first, second] = [&cooldowns[0], &cooldowns[1]].map(|time| minutes(time).expect("a time"));
    let longer = (second - first).rem_euclid(24 * 60);
    assert!((14..=17).contains(&longer), "{cooldowns:?}");
    load.stop().await;
}

#[tokio::test]
async fn a_guard_that_is_off_or_may_only_hold_moves_nobody_and_callers_are_spared_all_the_same() {
    for action in ["off", "hold"] {
        let migration = format!("key: [header:x-user-id]\nguard: {{action: {action}}}");
        let world = World::with(|setup| setup.with_migration(&migration)).await;
        world.router.rollout(50.0).await;
        world.router.mode("gradual").await;
        let load = Load::start(&world.router);
        load.more(300).await;
        world.new.on_all(Some(failing()));
        if action == "hold" {
            reaches(&world.router, "the hold", |seen| seen["state"] == "held").await;
        }
        load.more(900).await;
        super::is_as_it_was(&world.router.migration().await, "gradual", 50.0);
        assert_eq!(load.stop().await, 0);
    }
}
