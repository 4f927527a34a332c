//! How deliveries reach their systems: in order, once at a time, and elsewhere only when that is certain to be right.

use harness::backend::{answers, response};
use harness::{Step, wait_for, wait_until};
use serde_json::json;

use super::hook::Hook;
use super::{Hooks, PATH};

const DECLINED: &str = "HTTP/1.1 503 Busy\r\nCrossfade-Not-Accepted: 1\r\nContent-Length: 0\r\n\r\n";

#[tokio::test]
async fn the_events_of_one_issue_come_one_at_a_time_in_their_order() {
    let hooks = Hooks::start().await;
    hooks.legacy.on(PATH, [Step::ReadBody, Step::AwaitRelease, Step::send(response("200 OK", ""))]);
    for (delivery, action) in [("d-1", "opened"), ("d-2", "labeled"), ("d-3", "assigned")] {
        hooks.route(&Hook::new(delivery, action, 7)).await;
    }
    hooks.route(&Hook::new("d-8", "opened", 8)).await;
    // Another issue does not wait for this one.
    wait_until("one of each issue is under way", || hooks.legacy.count() == 2).await;
    let mut ids = Hooks::got(&hooks.legacy);
    ids.sort();
    assert_eq!(ids, ["d-1", "d-8"]);
    for expected in 2..=4 {
        assert!(hooks.legacy.count() <= expected);
        hooks.legacy.release();
        hooks.legacy.release();
        wait_until("the next follows", || hooks.legacy.count() >= expected).await;
    }
    let ids: Vec<String> = Hooks::got(&hooks.legacy).into_iter().filter(|id| id != "d-8").collect();
    assert_eq!(ids, ["d-1", "d-2", "d-3"]);
}

#[tokio::test]
async fn an_issue_stays_where_it_was_placed_when_the_share_changes() {
    let hooks = Hooks::start().await;
    hooks.router.rollout(25.0).await;
    hooks.router.mode("gradual").await;
    hooks.route(&Hook::new("d-1", "opened", 30)).await;
    hooks.router.rollout(50.0).await;
    assert_eq!(hooks.route(&Hook::new("d-2", "edited", 30)).await["systems"], json!(["typescript"]));
    assert_eq!(hooks.route(&Hook::new("d-3", "opened", 31)).await["systems"], json!(["python"]));
    hooks.router.rollout(10.0).await;
    assert_eq!(hooks.route(&Hook::new("d-4", "edited", 31)).await["systems"], json!(["python"]));
    Hooks::arrives(&hooks.legacy, &["d-1", "d-2"]).await;
    Hooks::arrives(&hooks.new, &["d-3", "d-4"]).await;
}

#[tokio::test]
async fn what_new_certainly_does_not_take_goes_to_legacy_after_three_tries() {
    let hooks = Hooks::with(", rollback_after: 0", |setup| setup).await;
    hooks.router.mode("new_only").await;
    hooks.new.on(PATH, answers(DECLINED));
    hooks.route(&Hook::new("d-1", "opened", 1)).await;
    let seen = hooks.legacy.only(PATH).await;
    assert_eq!(Hooks::got(&hooks.new), ["d-1", "d-1", "d-1"]);
    let epochs = |fence: Option<String>| fence.and_then(|own| own.split_once('.').map(|(_, epoch)| epoch.to_owned()));
    assert_eq!(epochs(seen.head.value("crossfade-fence")).as_deref(), Some("2"));
    let first = &hooks.new.seen_at(PATH)[0];
    assert_eq!(epochs(first.head.value("crossfade-fence")).as_deref(), Some("1"));
    assert_eq!(hooks.router.migration().await["mode"], "new_only");
}

#[tokio::test]
async fn a_time_out_of_new_never_goes_to_legacy() {
    let hooks = Hooks::with(", new: {timeout: 500ms}, rollback_after: 1", |setup| setup).await;
    hooks.router.mode("new_only").await;
    let doubts = [
        vec![Step::ReadBody, Step::AwaitClose],
        vec![Step::ReadBody, Step::Reset],
        vec![Step::ReadBody, Step::send(response("500 Broken", ""))],
    ];
    let mut tried = Vec::new();
    for (number, steps) in (1..).zip(doubts) {
        // One after the other: the second try may come before another issue's first.
        hooks.new.once(PATH, steps);
        hooks.route(&Hook::new(&format!("d-{number}"), "opened", number)).await;
        tried.extend([format!("d-{number}"), format!("d-{number}")]);
        wait_until("it was tried again at the same system", || hooks.new.count() >= tried.len()).await;
    }
    assert_eq!(Hooks::got(&hooks.new), tried);
    assert!(hooks.legacy.bytes().is_empty());
    assert_eq!(hooks.router.migration().await["mode"], "new_only");
}

#[tokio::test]
async fn a_system_that_hangs_holds_up_none_but_itself() {
    let hooks = Hooks::with(", rollback_after: 0, new: {timeout: 20s}", |setup| setup).await;
    hooks.router.rollout(50.0).await;
    hooks.router.mode("gradual").await;
    hooks.new.on(PATH, [Step::ReadBody, Step::AwaitClose]);
    // Of each hundred the first half is new's: more than may be under way at once.
    for number in (0..700).filter(|number| number % 100 < 50) {
        let systems = hooks.route(&Hook::new(&format!("d-{number}"), "opened", number)).await["systems"].clone();
        assert_eq!(systems, json!(["python"]), "{number}");
    }
    wait_until("new has as much as it may", || hooks.new.count() >= 256).await;
    let ids: Vec<String> = (50..80).map(|number| format!("d-{number}")).collect();
    for (id, number) in ids.iter().zip(50..) {
        hooks.route(&Hook::new(id, "opened", number)).await;
    }
    wait_until("what is legacy's is delivered meanwhile", || Hooks::got(&hooks.legacy).len() == ids.len()).await;
    assert_eq!(hooks.new.count(), 256);
    assert!(!hooks.router.printed().contains("did not answer in time"), "new hangs all the while");
}

#[tokio::test]
async fn a_rejected_event_waits_for_a_person_and_holds_up_its_issue_alone() {
    let hooks = Hooks::start().await;
    hooks.legacy.once(PATH, answers(response("422 No", "")));
    hooks.route(&Hook::new("d-1", "opened", 1)).await;
    hooks.router.wait_until_printed("event parked").await;
    hooks.route(&Hook::new("d-2", "edited", 1)).await;
    hooks.route(&Hook::new("d-3", "opened", 2)).await;
    Hooks::arrives(&hooks.legacy, &["d-1", "d-3"]).await;
}

#[tokio::test]
async fn new_alone_that_accepts_nothing_is_rolled_back_as_the_story_does_it() {
    let hooks = Hooks::with(", rollback_after: 1", |setup| setup).await;
    hooks.router.mode("new_only").await;
    hooks.new.on(PATH, answers(DECLINED));
    hooks.route(&Hook::new("d-1", "opened", 1)).await;
    let rolled_back = || async { (hooks.router.migration().await["mode"] == "emergency_rollback").then_some(()) };
    wait_for("the rollback", rolled_back).await;
    // It was never accepted, so legacy has it.
    Hooks::arrives(&hooks.legacy, &["d-1"]).await;
    assert_eq!(hooks.route(&Hook::new("d-2", "opened", 2)).await["systems"], json!(["typescript"]));
    let history = hooks.router.api("GET", "/migrations/shop/history", None).await.text();
    assert!(history.contains("deliveries were not accepted within a minute"), "{history}");
}

#[tokio::test]
async fn after_a_rollback_what_new_works_on_stays_there_until_it_has_ended() {
    let hooks = Hooks::start().await;
    hooks.router.mode("new_only").await;
    hooks.route(&Hook::new("d-1", "opened", 1)).await;
    Hooks::arrives(&hooks.new, &["d-1"]).await;
    hooks.router.roll_back().await;
    hooks.route(&Hook::new("d-2", "edited", 1)).await;
    assert_eq!(hooks.route(&Hook::new("d-3", "opened", 2)).await["systems"], json!(["typescript"]));
    // The second event of the running issue waits for its lease; the other issue goes on.
    Hooks::arrives(&hooks.legacy, &["d-3"]).await;
    assert_eq!(Hooks::got(&hooks.new), ["d-1"]);
}

#[tokio::test]
async fn in_parallel_both_have_it_only_where_one_merely_watches() {
    let hooks = Hooks::with(", new: {dry_run: true}", |setup| setup).await;
    hooks.router.mode("parallel").await;
    assert_eq!(hooks.route(&Hook::new("d-1", "opened", 1)).await["systems"], json!(["typescript", "python"]));
    Hooks::arrives(&hooks.legacy, &["d-1"]).await;
    Hooks::arrives(&hooks.new, &["d-1"]).await;
    assert_eq!(hooks.new.only(PATH).await.head.value("crossfade-shadow").as_deref(), Some("1"));
    assert_eq!(hooks.legacy.only(PATH).await.head.value("crossfade-shadow"), None);
    // One that is slow holds up nobody but itself.
    hooks.new.on(PATH, answers(response("500 Broken", "")));
    hooks.route(&Hook::new("d-2", "edited", 1)).await;
    hooks.route(&Hook::new("d-3", "labeled", 1)).await;
    Hooks::arrives(&hooks.legacy, &["d-1", "d-2", "d-3"]).await;

    let alone = Hooks::start().await;
    alone.router.mode("parallel").await;
    assert_eq!(alone.route(&Hook::new("d-1", "opened", 1)).await["systems"], json!(["typescript"]));
    Hooks::arrives(&alone.legacy, &["d-1"]).await;
    assert!(alone.new.bytes().is_empty());
}

#[tokio::test]
async fn either_side_may_take_its_deliveries_elsewhere() {
    let hooks = Hooks::with(", legacy: {path: /agents/hook}", |setup| setup).await;
    hooks.route(&Hook::new("d-1", "opened", 1)).await;
    hooks.legacy.only("/agents/hook").await;
}
