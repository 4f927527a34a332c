//! The faults that a fleet is promised to survive, one sentence each.

use harness::fleet::Finished;
use harness::history::{Ask, Mode, Side, Told};
use harness::operator::Errand;
use harness::plan::Act;
use harness::{Fault, Fleet, Flow, TcpProxy};

/// Requests of the load that make sure a fault is met: half a second.
const SOME: usize = 100;

/// Longer than it takes to give a connection up on which nothing comes back.
const MANY: usize = 800;

#[track_caller]
fn expect_good(finished: &Finished) {
    let Finished { violations, history, .. } = finished;
    assert!(violations.is_empty(), "{violations:#?}\n{:#?}\n{:#?}", history.changes, history.line);
    assert!(history.requests.len() > SOME, "there was no load");
}

/// A good end, in this mode by this many changes.
#[track_caller]
fn expect_end(finished: &Finished, mode: Mode, changes: usize) {
    expect_good(finished);
    let entries = &finished.history.line.entries;
    assert_eq!(entries.last().map(|entry| entry.after.mode), Some(mode), "{entries:#?}");
    assert_eq!(entries.len(), changes, "{entries:#?}");
}

/// A fleet of which half the keys are on new, by two changes.
async fn half_way() -> Option<Fleet> {
    let mut fleet = Fleet::start().await?;
    assert_eq!(fleet.ask(0, Ask::Mode(Mode::Gradual)).await, Told::Made(1));
    assert_eq!(fleet.ask(1, Ask::Rollout(5_000)).await, Told::Made(2));
    fleet.settled().await;
    Some(fleet)
}

#[track_caller]
fn expect_refused(told: &Told, code: &str) {
    assert!(matches!(told, Told::Refused(why) if why.contains(code)), "{told:?} is no {code}");
}

#[tokio::test]
async fn redis_is_killed_and_comes_back() {
    let Some(mut fleet) = half_way().await else { return };
    fleet.perform(Act::Kill).await;
    fleet.load.more(SOME).await;
    expect_refused(&fleet.ask(1, Ask::Mode(Mode::NewOnly)).await, "store_unavailable");
    fleet.perform(Act::Restart).await;
    assert_eq!(fleet.ask_until_made(1, Ask::Mode(Mode::NewOnly)).await, 3);
    expect_end(&fleet.finish().await, Mode::NewOnly, 3);
}

#[tokio::test]
async fn redis_is_paused_and_a_rollback_meanwhile_is_not_lost() {
    let Some(mut fleet) = half_way().await else { return };
    fleet.perform(Act::Pause).await;
    fleet.load.more(SOME).await;
    assert_eq!(fleet.ask(3, Ask::RollBack).await, Told::HereOnly);
    expect_refused(&fleet.ask(1, Ask::Rollout(6_000)).await, "store_unavailable");
    fleet.perform(Act::Resume).await;
    expect_end(&fleet.finish().await, Mode::EmergencyRollback, 3);
}

#[tokio::test]
async fn a_minority_that_is_cut_off_serves_on_and_follows_later() {
    let Some(mut fleet) = half_way().await else { return };
    for cut_off in [3, 4] {
        fleet.wires[cut_off].set(Fault::both(Flow::Swallow));
    }
    fleet.load.more(SOME).await;
    assert_eq!(fleet.ask(0, Ask::Rollout(2_500)).await, Told::Made(3), "toward legacy nobody is waited for");
    expect_refused(&fleet.ask(1, Ask::Mode(Mode::NewOnly)).await, "not_converged");
    expect_refused(&fleet.ask(3, Ask::Rollout(9_000)).await, "store_unavailable");
    fleet.load.more(MANY).await;
    fleet.heal();
    assert_eq!(fleet.ask_until_made(4, Ask::Mode(Mode::NewOnly)).await, 4);
    expect_end(&fleet.finish().await, Mode::NewOnly, 4);
}

#[tokio::test]
async fn a_rollback_on_a_router_that_is_cut_off_holds_there_and_reaches_all() {
    let Some(mut fleet) = half_way().await else { return };
    fleet.wires[2].refuse();
    fleet.load.more(SOME).await;
    assert_eq!(fleet.ask(2, Ask::RollBack).await, Told::HereOnly);
    assert_eq!(fleet.ask(0, Ask::Rollout(4_000)).await, Told::Made(3), "the others do not know of it");
    fleet.load.more(SOME).await;
    fleet.heal();
    expect_end(&fleet.finish().await, Mode::EmergencyRollback, 4);
}

#[tokio::test]
async fn routers_that_hear_no_announcement_follow_all_the_same() {
    let Some(mut fleet) = half_way().await else { return };
    for wire in &fleet.wires {
        wire.set(Fault { announcements: Flow::Swallow, ..Fault::NONE });
    }
    assert_eq!(fleet.ask(0, Ask::Rollout(2_500)).await, Told::Made(3));
    fleet.settled().await;
    assert_eq!(fleet.ask(1, Ask::Rollout(1_250)).await, Told::Made(4));
    fleet.settled().await;
    expect_end(&fleet.finish().await, Mode::Gradual, 4);
}

#[tokio::test]
async fn connections_that_are_cut_are_made_again() {
    let Some(mut fleet) = half_way().await else { return };
    for share in [2_500, 1_250, 600] {
        let before: Vec<usize> = fleet.wires.iter().map(TcpProxy::accepted).collect();
        fleet.wires.iter().for_each(TcpProxy::cut);
        harness::wait_until("every router has both of its connections again", || {
            fleet.wires.iter().zip(&before).all(|(wire, before)| wire.accepted() >= before + 2)
        })
        .await;
        assert!(matches!(fleet.ask(2, Ask::Rollout(share)).await, Told::Made(_)));
    }
    expect_end(&fleet.finish().await, Mode::Gradual, 5);
}

#[tokio::test]
async fn a_change_whose_answer_is_lost_is_not_called_unwritten() {
    let Some(mut fleet) = half_way().await else { return };
    fleet.wires[2].set(Fault { answers_to_changes: Flow::Swallow, ..Fault::NONE });
    let told = fleet.ask(2, Ask::Rollout(7_500)).await;
    assert!(matches!(told, Told::Unknown(_)), "the change was written, and the router cannot know: {told:?}");
    fleet.heal();
    expect_end(&fleet.finish().await, Mode::Gradual, 3);
}

#[tokio::test]
async fn a_rollback_whose_answer_is_lost_holds_and_is_written_once() {
    let Some(mut fleet) = half_way().await else { return };
    fleet.wires[2].set(Fault { answers_to_changes: Flow::Stall, ..Fault::NONE });
    assert_eq!(fleet.ask(2, Ask::RollBack).await, Told::HereOnly);
    fleet.load.more(SOME).await;
    fleet.heal();
    expect_end(&fleet.finish().await, Mode::EmergencyRollback, 3);
}

#[tokio::test]
async fn a_rollback_that_a_person_has_acknowledged_does_not_come_back() {
    let Some(mut fleet) = half_way().await else { return };
    fleet.wires[2].set(Fault { answers_to_changes: Flow::Swallow, ..Fault::NONE });
    let reason = "its answer is lost".to_owned();
    fleet.begin(Errand { router: 2, ask: Ask::RollBack, force: false, reason });
    harness::wait_for("the rollback is written", || async {
        (fleet.routers[0].migration().await["mode"] == "emergency_rollback").then_some(())
    })
    .await;
    // Router 2 still waits for the answer, and knows nothing of this.
    assert_eq!(fleet.ask(0, Ask::Acknowledge(Mode::LegacyOnly)).await, Told::Made(4));
    fleet.answered().await;
    fleet.heal();
    fleet.settled().await;
    fleet.load.more(SOME).await;
    expect_end(&fleet.finish().await, Mode::LegacyOnly, 4);
}

#[tokio::test]
async fn a_store_that_lost_everything_is_not_believed() {
    let Some(mut fleet) = half_way().await else { return };
    fleet.redis.flush().await;
    harness::wait_for("every router has noticed", || async {
        for router in &fleet.routers {
            let health = router.call("", "GET", "/readyz", "", None).await.text();
            if !health.contains("lost its state") {
                return None;
            }
        }
        Some(())
    })
    .await;
    expect_refused(&fleet.ask(1, Ask::Rollout(6_000)).await, "state_unreadable");
    fleet.load.more(SOME).await;
    for router in &fleet.routers {
        assert_eq!(router.migration().await["revision"], 2, "the last good state serves on");
    }
}

#[tokio::test]
async fn a_store_that_lost_everything_gets_it_back_from_a_router() {
    let Some(mut fleet) = half_way().await else { return };
    if !fleet.means().await.can_reseed {
        eprintln!("SKIPPED: this version has no way to write a lost state back");
        return;
    }
    assert_eq!(fleet.ask(3, Ask::Pin("user-3".into(), Side::New)).await, Told::Made(3));
    fleet.perform(Act::FlushAndReseed(4)).await;
    assert!(matches!(fleet.ask(2, Ask::Rollout(7_500)).await, Told::Made(_)));
    fleet.load.more(SOME).await;
    expect_end(&fleet.finish().await, Mode::Gradual, 2);
}

/// A fleet behind a sentinel, half way, whose replica has all of it.
async fn replicated() -> Option<Fleet> {
    let mut fleet = Fleet::start_behind_sentinels().await?;
    assert_eq!(fleet.ask(0, Ask::Mode(Mode::Gradual)).await, Told::Made(1));
    assert_eq!(fleet.ask(1, Ask::Rollout(5_000)).await, Told::Made(2));
    fleet.replica_has(2).await;
    Some(fleet)
}

#[tokio::test]
async fn the_primary_dies_and_its_replica_takes_over() {
    let Some(mut fleet) = replicated().await else { return };
    fleet.redis.kill().await;
    expect_refused(&fleet.ask(2, Ask::Rollout(6_000)).await, "store_unavailable");
    fleet.replica_is_primary().await;
    assert_eq!(fleet.ask_until_made(2, Ask::Rollout(7_500)).await, 3);
    // The old one comes back, and what it held is not taken for news.
    fleet.redis.restart().await;
    fleet.load.more(SOME).await;
    assert_eq!(fleet.ask_until_made(3, Ask::Rollout(8_000)).await, 4);
    expect_end(&fleet.finish().await, Mode::Gradual, 4);
}

#[tokio::test]
async fn a_planned_fail_over_loses_nothing() {
    let Some(mut fleet) = replicated().await else { return };
    fleet.fail_over().await;
    assert_eq!(fleet.ask_until_made(2, Ask::Rollout(7_500)).await, 3);
    fleet.load.more(SOME).await;
    expect_end(&fleet.finish().await, Mode::Gradual, 3);
}

#[tokio::test]
async fn a_fail_over_that_loses_a_change_is_told() {
    let Some(mut fleet) = replicated().await else { return };
    if !fleet.means().await.can_reseed {
        eprintln!("SKIPPED: this version does not name the changes that a store lost");
        return;
    }
    fleet.replica_falls_behind().await;
    assert_eq!(fleet.ask(2, Ask::Rollout(7_500)).await, Told::Made(3));
    fleet.settled().await;
    fleet.note_loss().await;
    fleet.redis.kill().await;
    fleet.replica_goes_on().await;
    fleet.replica_is_primary().await;
    fleet.reseed(1).await;
    fleet.ask_until_made(3, Ask::Rollout(8_000)).await;
    let finished = fleet.finish().await;
    expect_good(&finished);
    assert!(finished.history.reported.contains(&3), "{:?}", finished.history.reported);
}
