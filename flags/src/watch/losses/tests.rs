use std::sync::Arc;

use crate::control::{Applied, Ask, Change, ControlError, Reseed};
use crate::mode::Mode;
use crate::state::{ChangeKind, Heartbeat, Revision, broken_link};
use crate::store::fake::Fake;
use crate::store::{Page, Store as _};
use crate::watch::tests::{Rig, id, migration, share, until};
use crate::{BasisPoints, Side};

fn reseed() -> Reseed {
    Reseed { actor: "ann".into(), reason: "flushed".into(), dry_run: false, force: false }
}

/// What a fail-over to a lagging replica leaves: the store as it was before `after`.
async fn lose(rig: &Rig, after: impl AsyncFnOnce()) {
    let (loaded, history) = {
        let state = rig.store.state();
        (state.loaded.clone(), state.history.clone())
    };
    after().await;
    let mut state = rig.store.state();
    state.loaded = loaded;
    state.history = history;
    let revision = state.loaded.revision;
    drop(state);
    rig.store.revision.send_replace(revision);
}

/// A write of somebody who knows nothing of what was lost.
async fn another_writes(rig: &Rig, migration: &str, share: u16) {
    let loaded = rig.store.load().await.unwrap();
    let write = crate::store::conformance::next_write(&loaded, &id(migration), share);
    rig.store.replace(loaded.revision, write).await.unwrap();
}

async fn two() -> (Rig, Rig) {
    let store = Arc::<Fake>::default();
    let migrations = || vec![migration("m"), migration("n")];
    (Rig::start(Arc::clone(&store), migrations()).await, Rig::start(store, migrations()).await)
}

fn lost(rig: &Rig) -> Vec<(String, u64, String)> {
    let told = |loss: super::LostChange| (loss.migration.to_string(), loss.revision.0, loss.actor);
    let losses = rig.watch.store_health().losses;
    losses.into_iter().filter(|loss| !loss.superseded).map(told).collect()
}

async fn reseeded(rig: &Rig) -> Vec<Applied> {
    rig.control.reseed(&reseed()).await.unwrap()
}

#[tokio::test]
async fn a_flushed_store_is_written_back_for_everybody() {
    let (rig, other) = two().await;
    rig.apply(Ask::Mode(Mode::Gradual)).await;
    rig.apply(Ask::Rollout(share(2_500))).await;
    rig.apply(Ask::Pin { key: "k".into(), side: Side::New, until: None }).await;
    until("the other has it", || other.watch.current().revision() == Revision(3)).await;
    let nothing = rig.control.reseed(&reseed()).await.unwrap_err();
    assert!(matches!(nothing, ControlError::NothingLost), "{nothing}");

    std::mem::take(&mut *rig.store.state());
    rig.store.revision.send_replace(Revision::ZERO);
    for router in [&rig, &other] {
        until("the loss is named", || lost(router) == [("m".into(), 3, "ann".into())]).await;
        assert_eq!(router.watch.counts().writes_lost, 1);
        assert_eq!(router.effective("m"), (Mode::Gradual, 2_500));
    }
    let preview = rig.control.reseed(&Reseed { dry_run: true, ..reseed() }).await.unwrap();
    assert_eq!((preview.len(), rig.store.state().loaded.revision), (1, Revision::ZERO));

    let applied = reseeded(&rig).await;
    assert_eq!((applied[0].revision, applied[0].kind), (Revision(4), ChangeKind::Reseed));
    for router in [&rig, &other] {
        until("it follows", || router.watch.current().revision() == Revision(4)).await;
        until("nothing is lost any more", || lost(router).is_empty()).await;
        assert!(!router.watch.store_health().revision_went_back);
        let snapshot = router.watch.current();
        assert!(snapshot.placed(snapshot.find(&id("m")).unwrap()).pins.contains_key(&b"k"[..]));
        assert_eq!((router.effective("m"), router.watch.counts().writes_lost), ((Mode::Gradual, 2_500), 1));
    }
    rig.apply(Ask::Rollout(share(5_000))).await;
    let history = rig.store.history(&id("m"), Page { before: None, limit: 9 }).await.unwrap();
    assert_eq!(history.iter().map(|entry| entry.kind).collect::<Vec<_>>(), [ChangeKind::Rollout, ChangeKind::Reseed]);
    assert!(!history[1].previous_hash.is_empty(), "it names the entry that was lost");
    assert_eq!(broken_link(&history.into_iter().rev().collect::<Vec<_>>()), None);
    let nothing = rig.control.reseed(&reseed()).await.unwrap_err();
    assert!(matches!(nothing, ControlError::NothingLost), "{nothing}");
}

#[tokio::test]
async fn a_change_that_was_lost_is_told_although_others_wrote_on() {
    for writes in [1, 3] {
        let (rig, other) = two().await;
        rig.apply(Ask::Mode(Mode::Gradual)).await;
        lose(&rig, async || {
            rig.apply(Ask::Rollout(share(2_500))).await;
            until("the other has it", || other.watch.current().revision() == Revision(2)).await;
        })
        .await;
        for share in 1..=writes {
            another_writes(&rig, "m", share).await;
        }
        let stored = Revision(1 + u64::from(writes));
        for router in [&rig, &other] {
            until("the store is followed", || router.effective("m") == (Mode::Gradual, writes)).await;
            assert_eq!(router.watch.current().revision(), stored);
            assert_eq!(lost(router), [("m".into(), 2, "ann".into())], "after {writes} writes");
            assert_eq!(router.watch.counts().writes_lost, 1);
        }
        // Somebody who decides on what is there now has seen it.
        rig.apply(Ask::Rollout(share(7_500))).await;
        for router in [&rig, &other] {
            until("it is not written back any more", || lost(router).is_empty()).await;
            assert_eq!(router.watch.store_health().losses.len(), 1, "and still told");
            let nothing = router.control.reseed(&reseed()).await.unwrap_err();
            assert!(matches!(nothing, ControlError::NothingLost), "{nothing}");
        }
    }
}

#[tokio::test]
async fn what_another_line_has_lost_can_be_written_back() {
    let (rig, _other) = two().await;
    rig.apply(Ask::Mode(Mode::Gradual)).await;
    lose(&rig, async || rig.apply(Ask::Rollout(share(2_500))).await).await;
    another_writes(&rig, "n", 1).await;
    until("the loss is named", || lost(&rig) == [("m".into(), 2, "ann".into())]).await;
    assert_eq!(rig.effective("m"), (Mode::Gradual, 0), "the stored line serves");
    assert_eq!(reseeded(&rig).await.len(), 1, "only what was lost");
    assert_eq!((rig.effective("m"), rig.effective("n")), ((Mode::Gradual, 2_500), (Mode::Gradual, 1)));
    assert!(lost(&rig).is_empty());
    let history = rig.store.history(&id("m"), Page { before: None, limit: 9 }).await.unwrap();
    assert_eq!(broken_link(&history.into_iter().rev().collect::<Vec<_>>()), None);
}

#[tokio::test]
async fn writing_back_leaves_no_rollback() {
    let (rig, _other) = two().await;
    rig.apply(Ask::Mode(Mode::Gradual)).await;
    lose(&rig, async || rig.apply(Ask::Rollout(share(2_500))).await).await;
    let loaded = rig.store.load().await.unwrap();
    let mut write = crate::store::conformance::next_write(&loaded, &id("m"), 1);
    write.document.mode = Mode::EmergencyRollback;
    rig.store.replace(loaded.revision, write).await.unwrap();
    until("the loss is named", || lost(&rig) == [("m".into(), 2, "ann".into())]).await;
    assert_eq!(rig.effective("m").0, Mode::EmergencyRollback);
    reseeded(&rig).await;
    assert_eq!(rig.effective("m"), (Mode::EmergencyRollback, 2_500), "what was lost is there, and the rollback holds");
}

#[tokio::test]
async fn a_lost_rollback_is_made_again() {
    let (rig, other) = two().await;
    rig.apply(Ask::Mode(Mode::NewOnly)).await;
    lose(&rig, async || {
        rig.apply(Ask::RollBack).await;
        until("the other has it", || other.effective("m").0 == Mode::EmergencyRollback).await;
    })
    .await;
    let mut swaps = other.watch.subscribe();
    another_writes(&rig, "m", 9_000).await;
    another_writes(&rig, "m", 9_500).await;
    until("it is stored again", || rig.store.state().loaded.revision >= Revision(4)).await;
    until("everybody has it", || swaps.borrow_and_update().0 >= 4).await;
    for router in [&rig, &other] {
        assert_eq!(router.effective("m").0, Mode::EmergencyRollback);
        assert_eq!(router.watch.counts().writes_lost, 1);
    }
    let newest = rig.store.history(&id("m"), Page { before: None, limit: 1 }).await.unwrap().remove(0);
    assert_eq!((newest.kind, newest.actor.as_str()), (ChangeKind::Rollback, "ann"));
    assert_eq!(newest.evidence.unwrap()["lost_revision"], 2);
}

#[tokio::test]
async fn a_restart_does_not_forget_what_was_acknowledged() {
    let (rig, _other) = two().await;
    rig.apply(Ask::Mode(Mode::Gradual)).await;
    let store = Arc::clone(&rig.store);
    let (loaded, history) = {
        let state = store.state();
        (state.loaded.clone(), state.history.clone())
    };
    rig.apply(Ask::Rollout(share(2_500))).await;
    let Rig { background, directory, .. } = rig;
    background.shutdown().await;
    store.state().loaded = loaded;
    store.state().history = history;
    let loaded = store.load().await.unwrap();
    store.replace(loaded.revision, crate::store::conformance::next_write(&loaded, &id("n"), 1)).await.unwrap();
    let rig = Rig::start_in(directory, store, vec![migration("m"), migration("n")]).await;
    assert_eq!(lost(&rig), [("m".into(), 2, "ann".into())]);
}

#[tokio::test]
async fn steps_that_were_missed_are_no_loss() {
    let (rig, other) = two().await;
    rig.apply(Ask::Mode(Mode::Gradual)).await;
    until("the other has it", || other.watch.current().revision() == Revision(1)).await;
    rig.store.set(|store| &store.mute, true);
    for share in 1..=5 {
        another_writes(&rig, "m", share).await;
        another_writes(&rig, "n", share).await;
    }
    for router in [&rig, &other] {
        until("everything has arrived", || router.watch.current().revision() == Revision(11)).await;
        assert_eq!((lost(router), router.watch.counts().writes_lost), (vec![], 0));
    }
    assert_eq!(rig.effective("n"), (Mode::Gradual, BasisPoints::new(5).unwrap().get()));
}

#[tokio::test]
async fn the_router_that_knows_most_is_asked_to_write_back() {
    let (rig, _other) = two().await;
    rig.apply(Ask::Mode(Mode::Gradual)).await;
    std::mem::take(&mut *rig.store.state());
    until("the loss is noticed", || rig.watch.store_health().revision_went_back).await;
    let beat = Heartbeat {
        replica: "newer".into(),
        revision: Revision(7),
        config_hash: String::new(),
        version: String::new(),
        time: jiff::Timestamp::now(),
        draining: false,
    };
    rig.store.beat(&beat, &[]).await.unwrap();
    let refused = rig.control.reseed(&reseed()).await.unwrap_err();
    assert!(refused.to_string().contains("\"newer\""), "{refused}");
    rig.control.reseed(&Reseed { force: true, ..reseed() }).await.unwrap();
    assert_eq!(rig.watch.current().revision(), Revision(8), "beyond what anybody serves");
    let blank = rig.control.reseed(&Reseed { reason: " ".into(), ..reseed() }).await.unwrap_err();
    assert!(matches!(blank, ControlError::InvalidReason(_)), "{blank}");
    let _ = rig.control.apply(&id("m"), Change::new(Ask::Mode(Mode::Parallel), "ann", "r")).await.unwrap();
}
