//! What a freeze refuses, what it leaves alone, and who hears of it.

use super::*;
use crate::freeze::{FREEZE_MAX, FREEZE_MIN, FreezeEntry, FreezeKind};

fn freeze(reason: &str) -> Freeze {
    let (actor, reason) = ("ann".into(), reason.into());
    Freeze { kind: FreezeKind::Freeze, lasts: None, actor, reason, dry_run: false }
}

fn thaw(reason: &str) -> Freeze {
    Freeze { kind: FreezeKind::Thaw, ..freeze(reason) }
}

fn serving_new() -> crate::Migration {
    let mut migration = migration("m");
    migration.parallel.serve = Side::New;
    migration
}

/// One change of a frozen environment: refused while frozen, and always made by force.
async fn check_frozen(rig: &Rig, from: (Mode, u16), ask: Ask, is_refused: bool) {
    rig.control.freeze(&thaw("set up")).await.unwrap();
    rig.put(from.0, from.1).await;
    rig.ask(pin("on legacy", Side::Legacy)).await.unwrap();
    rig.control.freeze(&freeze("release day")).await.unwrap();
    let before = rig.store.state().loaded.revision;
    for dry_run in [true, false] {
        let result = rig.control.apply(&id("m"), Change { dry_run, ..change(ask.clone()) }).await;
        match (&result, is_refused) {
            (Err(ControlError::Frozen(freeze)), true) => assert_eq!(freeze.reason, "release day"),
            (Ok(_), false) => {}
            _ => panic!("{from:?} {ask:?}, dry run {dry_run}: {result:?}"),
        }
    }
    let after = rig.store.state().loaded.revision;
    assert!(!is_refused || after == before, "{from:?} {ask:?} wrote");
    if is_refused {
        let forced = Change { force: true, ..change(ask.clone()) };
        rig.control.apply(&id("m"), forced).await.unwrap_or_else(|error| panic!("{from:?} {ask:?}: {error}"));
    }
}

#[tokio::test]
async fn what_goes_toward_new_is_refused_and_nothing_else_is() {
    use Mode::{EmergencyRollback, Gradual, LegacyOnly, NewOnly, Parallel};
    let rig = rig().await;
    for (from, ask, is_refused) in [
        ((LegacyOnly, 0), Ask::Mode(Parallel), true),
        ((LegacyOnly, 2_500), Ask::Mode(Gradual), true),
        ((Gradual, 2_500), Ask::Mode(NewOnly), true),
        ((Gradual, 2_500), Ask::Rollout(share(2_501)), true),
        ((Gradual, 2_500), pin("k", Side::New), true),
        ((Gradual, 2_500), pin("on legacy", Side::New), true),
        ((Gradual, 2_500), unpin("on legacy"), true),
        // The inverse of the pin that every one of these begins with.
        ((Gradual, 2_500), Ask::Undo, true),
        ((Gradual, 2_500), Ask::Rollout(share(2_500)), false),
        ((Gradual, 2_500), Ask::Rollout(share(2_499)), false),
        ((Gradual, 2_500), pin("k", Side::Legacy), false),
        ((NewOnly, 2_500), Ask::Mode(Gradual), false),
        ((NewOnly, 2_500), Ask::Mode(LegacyOnly), false),
        ((NewOnly, 2_500), Ask::RollBack, false),
        ((EmergencyRollback, 2_500), Ask::Acknowledge(LegacyOnly), false),
        ((EmergencyRollback, 2_500), Ask::Acknowledge(Parallel), false),
    ] {
        check_frozen(&rig, from, ask, is_refused).await;
    }
    // Where new serves in parallel mode, acknowledging to it moves everybody to new.
    let rig = Rig::start(Arc::default(), vec![serving_new()]).await;
    check_frozen(&rig, (EmergencyRollback, 0), Ask::Acknowledge(Parallel), true).await;
    check_frozen(&rig, (EmergencyRollback, 0), Ask::Acknowledge(LegacyOnly), false).await;
}

#[tokio::test]
async fn the_refusal_says_who_why_until_when_and_what_to_do() {
    let rig = rig().await;
    let hours = Duration::from_secs(2 * 60 * 60);
    let before = Timestamp::now();
    let frozen = rig.control.freeze(&Freeze { lasts: Some(hours), ..freeze("release\"") }).await.unwrap();
    let held = frozen.freeze.unwrap();
    let lasts = held.until.unwrap().duration_since(held.time);
    assert_eq!((frozen.changed, lasts), (true, SignedDuration::from_hours(2)));
    assert!(held.time.duration_since(before).abs() < SignedDuration::from_secs(30));
    let refused = rig.ask(Ask::Mode(Mode::NewOnly)).await.unwrap_err().to_string();
    let (time, until) = (format!("{:.0}", held.time), format!("{:.0}", held.until.unwrap()));
    for part in ["by \"ann\"", &time, &until, "release\\\"", "crossfade thaw", "force"] {
        assert!(refused.contains(part), "{part:?} in {refused}");
    }
}

#[tokio::test]
async fn a_freeze_ends_by_itself_by_a_thaw_and_by_the_next_one() {
    let rig = rig().await;
    let long = Freeze { lasts: Some(FREEZE_MAX), ..freeze("long") };
    rig.control.freeze(&long).await.unwrap();
    rig.control.freeze(&Freeze { lasts: Some(FREEZE_MIN), ..freeze("short") }).await.unwrap();
    assert_eq!(rig.watch.freeze().map(|freeze| freeze.reason).as_deref(), Some("short"), "the newest holds");
    // A minute passes.
    let past = |entry: &mut FreezeEntry| entry.until = Some(Timestamp::now());
    rig.store.state().loaded.freeze.as_mut().map(past).unwrap();
    rig.ask(Ask::Mode(Mode::Gradual)).await.unwrap();
    assert_eq!(rig.watch.freeze(), None);
    let nothing = rig.control.freeze(&thaw("is over")).await.unwrap();
    assert_eq!(nothing, Frozen { freeze: None, changed: false });

    rig.control.freeze(&freeze("again")).await.unwrap();
    assert!(rig.control.freeze(&thaw("done")).await.unwrap().changed);
    rig.ask(Ask::Rollout(share(100))).await.unwrap();
    let (holds, entries) = rig.control.freezes().await.unwrap();
    let told: Vec<_> = entries.iter().map(|entry| (entry.kind.name(), entry.reason.as_str())).collect();
    let expected = [("thaw", "done"), ("freeze", "again"), ("freeze", "short"), ("freeze", "long")];
    assert_eq!((holds, &told[..]), (None, &expected[..]));
}

#[tokio::test]
async fn a_bad_freeze_and_a_dry_run_write_nothing() {
    let rig = rig().await;
    let second = Duration::from_secs(1);
    for lasts in [Duration::ZERO, FREEZE_MIN - second, FREEZE_MAX + second, Duration::MAX] {
        let refused = rig.control.freeze(&Freeze { lasts: Some(lasts), ..freeze("r") }).await.unwrap_err();
        assert!(matches!(refused, ControlError::InvalidFreeze), "{lasts:?}: {refused}");
    }
    for ask in [freeze(" "), thaw(""), freeze("a\nb")] {
        let refused = rig.control.freeze(&ask).await.unwrap_err();
        assert!(matches!(refused, ControlError::InvalidReason(_)), "{refused}");
    }
    let dry = rig.control.freeze(&Freeze { dry_run: true, ..freeze("what if") }).await.unwrap();
    assert!(dry.changed && dry.freeze.is_some());
    assert_eq!((rig.store.state().loaded.revision, rig.watch.freeze()), (Revision::ZERO, None));
}

#[tokio::test]
async fn a_freeze_that_this_router_has_not_heard_of_is_asked_for() {
    let store = Arc::<Fake>::default();
    store.set(|store| &store.mute, true);
    let deaf = Rig::start(Arc::clone(&store), vec![migration("m")]).await;
    let other = Rig::start(store, vec![migration("m")]).await;
    other.control.freeze(&freeze("now")).await.unwrap();
    let refused = deaf.ask(Ask::Mode(Mode::NewOnly)).await.unwrap_err();
    assert!(matches!(refused, ControlError::Frozen(_)), "{refused}");
    until("the poll brings it", || deaf.watch.freeze().is_some()).await;
    assert_eq!(deaf.watch.current().revision(), Revision(1));
}

#[tokio::test]
async fn a_freeze_outlives_a_restart_and_shows_without_the_store() {
    let rig = rig().await;
    rig.control.freeze(&freeze("holidays")).await.unwrap();
    let rig = rig.restart(vec![migration("m")]).await;
    assert!(matches!(rig.ask(Ask::Mode(Mode::NewOnly)).await, Err(ControlError::Frozen(_))));
    rig.store.set(down, true);
    let rig = rig.restart(vec![migration("m")]).await;
    assert_eq!(rig.watch.freeze().map(|freeze| freeze.reason).as_deref(), Some("holidays"));
    for refused in [rig.control.freeze(&freeze("r")).await, rig.control.freeze(&thaw("r")).await] {
        assert!(matches!(refused, Err(ControlError::Store(_))), "{refused:?}");
    }
    assert!(matches!(rig.ask(Ask::Mode(Mode::NewOnly)).await, Err(ControlError::Store(_))));
    assert!(rig.ask(Ask::RollBack).await.unwrap().here_only, "the way to legacy is open");
}

#[tokio::test]
async fn a_reseed_writes_a_lost_freeze_back_also_alone() {
    for moved in [true, false] {
        let rig = rig().await;
        if moved {
            rig.ask(Ask::Mode(Mode::NewOnly)).await.unwrap();
        }
        rig.control.freeze(&freeze("holidays")).await.unwrap();
        std::mem::take(&mut *rig.store.state());
        let refused = rig.control.freeze(&thaw("r")).await.unwrap_err();
        assert!(refused.to_string().contains("crossfade reseed"), "{refused}");
        let reseed = Reseed { actor: "bob".into(), reason: "flushed".into(), dry_run: false, force: false };
        assert_eq!(rig.control.reseed(&reseed).await.unwrap().len(), usize::from(moved));
        let (holds, entries) = rig.control.freezes().await.unwrap();
        let holds = holds.unwrap();
        assert_eq!((holds.actor.as_str(), holds.reason.as_str(), entries.len()), ("ann", "holidays", 1));
        assert_eq!(rig.store.state().loaded.revision, holds.revision);
        assert_eq!(rig.watch.freeze(), Some(holds));
        rig.control.freeze(&thaw("r")).await.unwrap();
    }
}

#[tokio::test]
async fn a_freeze_that_was_lost_while_others_wrote_on_is_counted() {
    let rig = rig().await;
    rig.control.freeze(&freeze("holidays")).await.unwrap();
    {
        let mut state = rig.store.state();
        state.loaded.freeze = None;
        state.loaded.revision = Revision(2);
    }
    rig.watch.refresh().await;
    assert_eq!((rig.watch.freeze(), rig.watch.counts().writes_lost), (None, 1));
}
