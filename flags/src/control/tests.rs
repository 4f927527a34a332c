mod freezes;
mod rules;

use std::sync::atomic::AtomicBool;

use jiff::SignedDuration;

use super::*;
use crate::Side;
use crate::bucket::HashKind;
use crate::mode::Refused;
use crate::state::{PIN_KEY_BYTES_MAX, PINS_MAX, broken_link};
use crate::store::fake::Fake;
use crate::store::records::outcome::{Outcome, OutcomeId, Quality, Recorded};
use crate::store::records::{JudgedWrite, Minute};
use crate::watch::tests::{Rig, id, migration, share, until};

async fn rig() -> Rig {
    Rig::start(Arc::default(), vec![migration("m"), migration("n")]).await
}

fn change(ask: Ask) -> Change {
    Change::new(ask, "ann", "because")
}

fn pin(key: &str, side: Side) -> Ask {
    Ask::Pin { key: key.into(), side, until: None }
}

fn unpin(key: &str) -> Ask {
    Ask::Unpin { key: key.into() }
}

fn down(store: &Fake) -> &AtomicBool {
    &store.down
}

impl Rig {
    async fn ask(&self, ask: Ask) -> Result<Applied, ControlError> {
        self.control.apply(&id("m"), change(ask)).await
    }

    /// Puts `m` into a mode and at a share, from wherever it is.
    async fn put(&self, mode: Mode, bp: u16) {
        let from = self.effective("m").0;
        if from == Mode::EmergencyRollback {
            self.ask(Ask::Acknowledge(Mode::LegacyOnly)).await.unwrap();
        }
        self.ask(Ask::Rollout(share(bp))).await.unwrap();
        if mode == Mode::EmergencyRollback {
            self.ask(Ask::RollBack).await.unwrap();
        } else {
            self.ask(Ask::Mode(mode)).await.unwrap();
        }
    }

    async fn entries(&self) -> Vec<HistoryEntry> {
        let page = Page { before: None, limit: 1_000 };
        let mut entries = self.control.history(&id("m"), page).await.unwrap();
        entries.reverse();
        entries
    }

    /// Makes a replica say that it serves `revision`.
    async fn other_says(&self, replica: &str, revision: u64, age: SignedDuration) {
        let beat = Heartbeat {
            replica: replica.into(),
            revision: Revision(revision),
            config_hash: String::new(),
            version: String::new(),
            time: Timestamp::now() - age,
            draining: false,
        };
        self.store.beat(&beat, &[]).await.unwrap();
    }
}

/// One change from one position; the expected one is `None` where it is refused.
async fn check(rig: &Rig, from: (Mode, u16), ask: Ask, expected: Option<(Mode, u16)>) {
    rig.put(from.0, from.1).await;
    let before = rig.store.state().loaded.revision;
    let result = rig.ask(ask.clone()).await;
    match expected {
        Some(expected) => {
            let applied = result.unwrap_or_else(|error| panic!("{from:?} {ask:?}: {error}"));
            assert_eq!((applied.before.mode, applied.before.share.get()), from, "{ask:?}");
            assert_eq!((applied.after.mode, applied.after.share.get()), expected, "{from:?} {ask:?}");
            assert_eq!(rig.effective("m"), expected, "{from:?} {ask:?} is not served");
            assert_eq!(applied.changed, from != expected, "{from:?} {ask:?}");
            let written = rig.store.state().loaded.revision != before;
            assert_eq!(written, applied.changed, "{from:?} {ask:?}");
        }
        None => {
            assert!(matches!(result, Err(ControlError::Refused(_))), "{from:?} {ask:?}: {result:?}");
            assert_eq!(rig.store.state().loaded.revision, before, "{from:?} {ask:?} wrote");
        }
    }
}

#[tokio::test]
async fn every_legal_step_is_served_at_once_and_every_other_writes_nothing() {
    use Mode::{EmergencyRollback, Gradual, LegacyOnly, NewOnly, Parallel};
    let rig = rig().await;
    for from in [LegacyOnly, Parallel, Gradual, NewOnly] {
        for to in [LegacyOnly, Parallel, Gradual, NewOnly] {
            check(&rig, (from, 2_500), Ask::Mode(to), Some((to, 2_500))).await;
        }
        check(&rig, (from, 2_500), Ask::Rollout(share(7_550)), Some((from, 7_550))).await;
        check(&rig, (from, 2_500), Ask::Rollout(share(0)), Some((from, 0))).await;
        check(&rig, (from, 2_500), Ask::Rollout(share(2_500)), Some((from, 2_500))).await;
        check(&rig, (from, 2_500), Ask::RollBack, Some((EmergencyRollback, 2_500))).await;
        check(&rig, (from, 2_500), Ask::Acknowledge(LegacyOnly), None).await;
        check(&rig, (from, 2_500), Ask::Mode(EmergencyRollback), None).await;
    }
    let latched = (EmergencyRollback, 2_500);
    for to in [LegacyOnly, Parallel, Gradual, NewOnly, EmergencyRollback] {
        check(&rig, latched, Ask::Mode(to), None).await;
    }
    check(&rig, latched, Ask::Rollout(share(2_501)), None).await;
    check(&rig, latched, Ask::Rollout(share(1_000)), Some((EmergencyRollback, 1_000))).await;
    check(&rig, latched, Ask::RollBack, Some(latched)).await;
    check(&rig, latched, Ask::Acknowledge(LegacyOnly), Some((LegacyOnly, 2_500))).await;
    check(&rig, latched, Ask::Acknowledge(Parallel), Some((Parallel, 2_500))).await;
    check(&rig, latched, Ask::Acknowledge(Gradual), None).await;
    check(&rig, latched, Ask::Undo, None).await;
    assert_eq!(broken_link(&rig.entries().await), None);
}

#[tokio::test]
async fn every_change_leaves_one_entry_that_says_who_and_why() {
    let rig = rig().await;
    let evidence = Some(serde_json::json!({"seen": 3}));
    let first = Change { evidence: evidence.clone(), ..change(Ask::Mode(Mode::NewOnly)) };
    let applied = rig.control.apply(&id("m"), first).await.unwrap();
    assert_eq!(applied.revision, Revision(1));
    rig.control.apply(&id("n"), change(Ask::Mode(Mode::NewOnly))).await.unwrap();
    rig.ask(Ask::RollBack).await.unwrap();
    let entries = rig.entries().await;
    assert_eq!(entries.iter().map(|entry| entry.revision.0).collect::<Vec<_>>(), [1, 3]);
    assert_eq!((entries[0].actor.as_str(), entries[0].reason.as_str()), ("ann", "because"));
    assert_eq!((entries[0].kind, &entries[0].evidence), (ChangeKind::Mode, &evidence));
    assert_eq!(entries[1].kind, ChangeKind::Rollback);
    assert_eq!(broken_link(&entries), None);
}

#[tokio::test]
async fn a_change_without_a_good_reason_is_refused() {
    let rig = rig().await;
    for (reason, expected) in [
        (String::new(), InvalidReason::Blank),
        (" \u{2003}".into(), InvalidReason::Blank),
        ("a\nb".into(), InvalidReason::ControlCharacter),
        ("\u{7f}".into(), InvalidReason::ControlCharacter),
        ("ä".repeat(501), InvalidReason::TooLong(1_002)),
    ] {
        for ask in [Ask::Mode(Mode::NewOnly), Ask::RollBack, Ask::Undo] {
            let refused = rig.control.apply(&id("m"), Change::new(ask, "ann", reason.clone())).await.unwrap_err();
            assert!(matches!(refused, ControlError::InvalidReason(found) if found == expected), "{refused}");
        }
    }
    assert_eq!(rig.store.state().loaded.revision, Revision::ZERO);
    let longest = Change::new(Ask::RollBack, "ann", "ä".repeat(500));
    rig.control.apply(&id("m"), longest).await.unwrap();
}

#[tokio::test]
async fn an_undefined_migration_is_named() {
    let rig = rig().await;
    for ask in [Ask::Mode(Mode::NewOnly), Ask::RollBack] {
        let refused = rig.control.apply(&id("absent"), change(ask)).await.unwrap_err();
        assert!(matches!(&refused, ControlError::Unknown(named) if *named == id("absent")), "{refused}");
    }
    let refused = rig.control.history(&id("absent"), Page { before: None, limit: 1 }).await.unwrap_err();
    assert!(matches!(refused, ControlError::Unknown(_)), "{refused}");
}

#[tokio::test]
async fn a_stale_revision_is_told_who_was_faster_and_does_not_stop_a_rollback() {
    let rig = rig().await;
    let with = |ask: Ask, revision: u64| Change { if_revision: Some(Revision(revision)), ..change(ask) };
    rig.control.apply(&id("m"), with(Ask::Mode(Mode::Gradual), 0)).await.unwrap();
    // Another migration's change moves the ordinal of the whole, not that of this one.
    rig.control.apply(&id("n"), change(Ask::Mode(Mode::Gradual))).await.unwrap();
    rig.control.apply(&id("m"), with(Ask::Rollout(share(100)), 1)).await.unwrap();
    for stale in [0, 1, 2, 4] {
        let refused = rig.control.apply(&id("m"), with(Ask::Rollout(share(200)), stale)).await.unwrap_err();
        let ControlError::Stale { expected, actual, actor, .. } = &refused else { panic!("{refused}") };
        assert_eq!((expected.0, actual.0, actor.as_str()), (stale, 3, "ann"));
    }
    rig.control.apply(&id("m"), with(Ask::RollBack, 1)).await.unwrap();
    assert_eq!(rig.effective("m").0, Mode::EmergencyRollback);
}

#[tokio::test]
async fn a_dry_run_answers_and_writes_nothing() {
    let rig = rig().await;
    rig.put(Mode::Gradual, 2_500).await;
    let before = rig.store.state().loaded.clone();
    for ask in [Ask::Mode(Mode::NewOnly), Ask::Rollout(share(0)), Ask::RollBack, pin("k", Side::New), Ask::Undo] {
        let dry = Change { dry_run: true, ..change(ask.clone()) };
        let applied = rig.control.apply(&id("m"), dry).await.unwrap();
        assert!(applied.dry_run && applied.changed, "{ask:?}: {applied:?}");
        assert_eq!(applied.revision, before.revision, "{ask:?}");
    }
    assert_eq!(rig.store.state().loaded, before);
    assert_eq!(rig.effective("m"), (Mode::Gradual, 2_500));
}

#[tokio::test]
async fn the_modulo_hash_knows_whole_percents_and_the_running_rollout_keeps_its_hash() {
    let modulo = || crate::Migration { hash: HashKind::Modulo, ..migration("m") };
    let rig = Rig::start(Arc::default(), vec![modulo()]).await;
    let refused = rig.ask(Ask::Rollout(share(1_250))).await.unwrap_err();
    assert!(matches!(refused, ControlError::NotWholePercent(_)) && refused.to_string().starts_with("12.5 %"));
    rig.ask(Ask::Rollout(share(1_200))).await.unwrap();

    // The file now says bucket, but keys are on the move.
    let rig = rig.restart(vec![migration("m")]).await;
    let hash = |rig: &Rig| {
        let snapshot = rig.watch.current();
        snapshot.placed(snapshot.find(&id("m")).unwrap()).document.hash
    };
    rig.ask(Ask::Rollout(share(2_000))).await.unwrap();
    assert_eq!(hash(&rig), HashKind::Modulo);
    assert!(matches!(rig.ask(Ask::Rollout(share(2_050))).await, Err(ControlError::NotWholePercent(_))));
    rig.ask(Ask::Rollout(share(10_000))).await.unwrap();
    assert_eq!(hash(&rig), HashKind::Bucket);
    rig.ask(Ask::Rollout(share(9_999))).await.unwrap();
}

#[tokio::test]
async fn a_quick_script_against_one_router_is_never_told_to_wait() {
    let rig = rig().await;
    rig.ask(Ask::Mode(Mode::Gradual)).await.unwrap();
    for percent in 1..=50 {
        rig.ask(Ask::Rollout(share(percent * 100))).await.unwrap();
        assert_eq!(rig.effective("m").1, percent * 100);
    }
}

#[tokio::test]
async fn moves_toward_new_wait_for_the_fleet_and_no_other_moves_do() {
    let rig = rig().await;
    rig.put(Mode::Gradual, 2_500).await;
    rig.ask(pin("old", Side::Legacy)).await.unwrap();
    let revision = rig.store.state().loaded.revision.0;
    rig.other_says("behind", revision - 1, SignedDuration::ZERO).await;
    rig.other_says("gone", revision - 1, SignedDuration::from_secs(6)).await;
    rig.other_says("level", revision, SignedDuration::ZERO).await;
    for ask in
        [Ask::Mode(Mode::NewOnly), Ask::Rollout(share(2_501)), pin("k", Side::New), pin("old", Side::New), unpin("old")]
    {
        rig.other_says("behind", revision - 1, SignedDuration::ZERO).await;
        let refused = rig.ask(ask.clone()).await.unwrap_err();
        let ControlError::NotConverged { replicas, .. } = &refused else { panic!("{ask:?}: {refused}") };
        assert_eq!(replicas, &["behind"], "{ask:?}");
    }
    assert_eq!(rig.store.state().loaded.revision.0, revision);
    // Each of these is behind the one before it on purpose.
    for ask in [Ask::Rollout(share(1_000)), pin("k", Side::Legacy), Ask::Mode(Mode::LegacyOnly), Ask::RollBack] {
        rig.other_says("behind", revision - 1, SignedDuration::ZERO).await;
        rig.ask(ask).await.unwrap();
    }
    rig.other_says("behind", revision - 1, SignedDuration::ZERO).await;
    let forced = Change { force: true, ..change(Ask::Acknowledge(Mode::Parallel)) };
    rig.control.apply(&id("m"), forced).await.unwrap();
}

#[tokio::test]
async fn a_router_that_catches_up_in_time_lets_the_change_through() {
    let rig = rig().await;
    rig.put(Mode::Gradual, 2_500).await;
    rig.other_says("slow", 0, SignedDuration::ZERO).await;
    let (raised, ()) = tokio::join!(rig.ask(Ask::Rollout(share(5_000))), async {
        // The first look has been taken when the change waits for its next.
        tokio::task::yield_now().await;
        rig.other_says("slow", 2, SignedDuration::ZERO).await;
    });
    raised.unwrap();
}

#[tokio::test]
async fn a_rollback_without_the_store_holds_here_and_is_stored_when_it_is_back() {
    let rig = rig().await;
    rig.ask(Ask::Mode(Mode::NewOnly)).await.unwrap();
    rig.store.set(down, true);
    let applied = rig.ask(Ask::RollBack).await.unwrap();
    assert!(applied.here_only && applied.changed, "{applied:?}");
    assert_eq!((applied.before.mode, applied.after.mode), (Mode::NewOnly, Mode::EmergencyRollback));
    assert_eq!(rig.effective("m").0, Mode::EmergencyRollback);
    let again = rig.ask(Ask::RollBack).await.unwrap();
    assert!(again.here_only && !again.changed, "{again:?}");
    assert!(matches!(rig.ask(Ask::Rollout(share(1))).await, Err(ControlError::Store(_))));

    // Somebody with access to the store moved on meanwhile: the latch of this router is not lost.
    {
        let mut state = rig.store.state();
        let Some(Stored::State { document, .. }) = state.loaded.migrations.get_mut(&id("m")) else { panic!() };
        (document.mode, document.revision) = (Mode::Gradual, Revision(2));
        state.loaded.revision = Revision(2);
    }
    let mut swapped = rig.watch.subscribe();
    rig.store.set(down, false);
    while rig.watch.is_rolled_back_here(&id("m")) {
        assert_eq!(rig.effective("m").0, Mode::EmergencyRollback);
        tokio::time::timeout(std::time::Duration::from_secs(20), swapped.changed()).await.unwrap().unwrap();
    }
    assert_eq!(rig.effective("m").0, Mode::EmergencyRollback);
    let entries = rig.entries().await;
    let last = entries.last().unwrap();
    assert_eq!((last.kind, last.before.mode, last.revision), (ChangeKind::Rollback, Mode::Gradual, Revision(3)));
    rig.ask(Ask::Acknowledge(Mode::LegacyOnly)).await.unwrap();
    assert_eq!(rig.effective("m").0, Mode::LegacyOnly);
}

#[tokio::test]
async fn what_is_asked_after_a_local_rollback_comes_after_it() {
    let rig = rig().await;
    rig.ask(Ask::Mode(Mode::NewOnly)).await.unwrap();
    rig.store.set(down, true);
    rig.ask(Ask::RollBack).await.unwrap();
    rig.store.set(down, false);
    rig.ask(Ask::Acknowledge(Mode::LegacyOnly)).await.unwrap();
    let kinds: Vec<_> = rig.entries().await.iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [ChangeKind::Mode, ChangeKind::Rollback, ChangeKind::Acknowledge]);
    assert_eq!(rig.effective("m").0, Mode::LegacyOnly);
}

#[tokio::test]
async fn a_rollback_whose_caller_went_away_is_stored_all_the_same() {
    let rig = rig().await;
    rig.ask(Ask::Mode(Mode::NewOnly)).await.unwrap();
    // The claim is what a call holds while it waits for the store.
    drop(rig.watch.claim_rollback(local_rollback(&id("m"), &change(Ask::RollBack))));
    until("it is stored", || rig.store.state().loaded.revision == Revision(2)).await;
}

#[tokio::test]
async fn everything_is_rolled_back_with_the_store_and_without() {
    let rig = rig().await;
    rig.ask(Ask::Mode(Mode::NewOnly)).await.unwrap();
    let results = rig.control.roll_back_all("ann", "all of it").await.unwrap();
    let changed: Vec<_> = results.iter().map(|(id, result)| (id.as_str(), result.as_ref().unwrap().changed)).collect();
    assert_eq!(changed, [("m", true), ("n", true)]);
    assert_eq!((rig.effective("m").0, rig.effective("n").0), (Mode::EmergencyRollback, Mode::EmergencyRollback));
    for name in ["m", "n"] {
        let back = change(Ask::Acknowledge(Mode::LegacyOnly));
        rig.control.apply(&id(name), back).await.unwrap();
    }
    rig.store.set(down, true);
    let results = rig.control.roll_back_all("ann", "again").await.unwrap();
    assert!(results.iter().all(|(_, result)| result.as_ref().unwrap().here_only), "{results:?}");
    assert_eq!((rig.effective("m").0, rig.effective("n").0), (Mode::EmergencyRollback, Mode::EmergencyRollback));
    rig.store.set(down, false);
    until("both are stored", || rig.watch.store_health().rollbacks_waiting.is_empty()).await;
    assert!(rig.control.roll_back_all("ann", "").await.is_err());
}

#[tokio::test]
async fn an_undo_inverts_the_newest_change_as_a_new_one() {
    use Mode::{EmergencyRollback, Gradual, LegacyOnly, NewOnly};
    let rig = rig().await;
    assert!(matches!(rig.ask(Ask::Undo).await, Err(ControlError::NothingToUndo(_))));

    rig.ask(Ask::Mode(Gradual)).await.unwrap();
    rig.ask(Ask::Rollout(share(2_500))).await.unwrap();
    let undone = rig.ask(Ask::Undo).await.unwrap();
    assert_eq!((undone.kind, rig.effective("m")), (ChangeKind::Undo, (Gradual, 0)));
    rig.ask(Ask::Undo).await.unwrap();
    assert_eq!(rig.effective("m"), (Gradual, 2_500), "the undo of an undo does it again");

    rig.ask(pin("k", Side::New)).await.unwrap();
    rig.ask(pin("k", Side::Legacy)).await.unwrap();
    let pinned = |rig: &Rig| {
        let snapshot = rig.watch.current();
        snapshot.placed(snapshot.find(&id("m")).unwrap()).pins.get(&b"k"[..]).map(|pin| pin.side)
    };
    rig.ask(Ask::Undo).await.unwrap();
    assert_eq!(pinned(&rig), Some(Side::New));
    rig.ask(unpin("k")).await.unwrap();
    rig.ask(Ask::Undo).await.unwrap();
    assert_eq!(pinned(&rig), Some(Side::New));

    rig.ask(Ask::Mode(NewOnly)).await.unwrap();
    rig.ask(Ask::RollBack).await.unwrap();
    let refused = rig.ask(Ask::Undo).await.unwrap_err();
    assert!(matches!(refused, ControlError::Refused(Refused::NeedsAcknowledgement)), "{refused}");
    rig.ask(Ask::Acknowledge(LegacyOnly)).await.unwrap();
    rig.ask(Ask::Undo).await.unwrap();
    assert_eq!(rig.effective("m").0, EmergencyRollback);
    assert_eq!(broken_link(&rig.entries().await), None);
}

#[tokio::test]
async fn pins_have_limits_and_the_same_pin_is_no_change() {
    let rig = rig().await;
    let past = Timestamp::now() - SignedDuration::from_secs(1);
    let expired = Ask::Pin { key: "k".into(), side: Side::New, until: Some(past) };
    for (ask, expected) in [
        (pin("", Side::New), InvalidPin::EmptyKey),
        (unpin(""), InvalidPin::EmptyKey),
        (pin(&"k".repeat(PIN_KEY_BYTES_MAX + 1), Side::New), InvalidPin::KeyTooLong(PIN_KEY_BYTES_MAX + 1)),
        (expired, InvalidPin::AlreadyOver(past)),
    ] {
        let refused = rig.ask(ask).await.unwrap_err();
        assert!(matches!(&refused, ControlError::InvalidPin(found) if *found == expected), "{refused}");
    }
    let longest = "k".repeat(PIN_KEY_BYTES_MAX);
    assert!(rig.ask(pin(&longest, Side::New)).await.unwrap().changed);
    assert!(!rig.ask(pin(&longest, Side::New)).await.unwrap().changed);
    assert!(!rig.ask(unpin("other")).await.unwrap().changed);
    let removed = rig.ask(unpin(&longest)).await.unwrap();
    let before = removed.pin.and_then(|change| change.before).unwrap();
    assert_eq!((before.side, before.actor.as_str()), (Side::New, "ann"));

    {
        let mut state = rig.store.state();
        let Some(Stored::State { pins, .. }) = state.loaded.migrations.get_mut(&id("m")) else { panic!() };
        pins.extend((0..PINS_MAX).map(|at| (at.to_string(), before.clone())));
    }
    let refused = rig.ask(pin("one more", Side::New)).await.unwrap_err();
    assert!(matches!(refused, ControlError::InvalidPin(InvalidPin::TooMany)), "{refused}");
    rig.ask(pin("7", Side::Legacy)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_at_the_same_time_are_put_in_a_line() {
    const WRITERS: u16 = 8;
    let rig = rig().await;
    let writers = (1..=WRITERS).map(|writer| {
        let control = rig.control.clone();
        tokio::spawn(async move {
            let name = if writer % 2 == 0 { "m" } else { "n" };
            // Toward legacy never waits for anybody; what counts is that nobody is lost.
            let ask = pin(&format!("k{writer}"), Side::Legacy);
            control.apply(&id(name), change(ask)).await.unwrap();
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(rig.store.state().loaded.revision, Revision(WRITERS.into()));
    assert_eq!(broken_link(&rig.entries().await), None);
}

#[tokio::test]
async fn endless_contention_ends_in_words_and_a_rollback_holds_here() {
    let rig = rig().await;
    rig.ask(Ask::Mode(Mode::NewOnly)).await.unwrap();
    rig.store.set(|store| &store.contended, true);
    let refused = rig.ask(Ask::Rollout(share(1))).await.unwrap_err();
    assert!(matches!(refused, ControlError::Busy(TRIES_MAX)), "{refused}");
    assert!(rig.ask(Ask::RollBack).await.unwrap().here_only);
    assert_eq!(rig.effective("m").0, Mode::EmergencyRollback);
    rig.store.set(|store| &store.contended, false);
    until("it is stored", || !rig.watch.is_rolled_back_here(&id("m"))).await;
}

#[tokio::test]
async fn an_unusable_document_is_left_alone_by_everything_but_a_rollback() {
    let rig = rig().await;
    rig.ask(Ask::Mode(Mode::NewOnly)).await.unwrap();
    let damages: [fn(&mut Stored); 2] = [
        |stored| *stored = Stored::Unreadable("it is no JSON".into()),
        |stored| {
            let Stored::State { document, .. } = stored else { panic!() };
            document.schema = 99;
        },
    ];
    for damage in damages {
        rig.store.state().loaded.migrations.get_mut(&id("m")).map(damage).unwrap();
        let refused = rig.ask(Ask::Rollout(share(1))).await.unwrap_err();
        assert!(matches!(&refused, ControlError::Store(StoreError::Corrupt(_))), "{refused}");
        assert!(refused.to_string().contains("a rollback writes it anew"), "{refused}");

        let applied = rig.ask(Ask::RollBack).await.unwrap();
        assert!(applied.changed && !applied.here_only, "{applied:?}");
        assert_eq!((applied.before.mode, rig.effective("m").0), (Mode::NewOnly, Mode::EmergencyRollback));
        assert_eq!(broken_link(&rig.entries().await), None, "the chain goes on");
        rig.ask(Ask::Acknowledge(Mode::LegacyOnly)).await.unwrap();
        rig.ask(Ask::Mode(Mode::NewOnly)).await.unwrap();
    }
}

#[tokio::test]
async fn a_rollback_over_a_store_that_lost_its_state_holds_here() {
    let rig = rig().await;
    rig.ask(Ask::Mode(Mode::NewOnly)).await.unwrap();
    rig.store.state().loaded = Loaded::default();
    assert!(rig.ask(Ask::RollBack).await.unwrap().here_only);
    assert_eq!(rig.effective("m").0, Mode::EmergencyRollback);
}

#[tokio::test]
async fn what_a_guard_saw_is_in_the_audit_of_its_rollback() {
    let rig = rig().await;
    rig.ask(Ask::Mode(Mode::NewOnly)).await.unwrap();
    let evidence = Some(serde_json::json!({"measure": "success", "e": 1024.5}));
    let by_guard = Change { evidence: evidence.clone(), ..Change::new(Ask::RollBack, "guard", "new fails") };
    rig.control.apply(&id("m"), by_guard.clone()).await.unwrap();
    let newest = rig.entries().await.pop().unwrap();
    assert_eq!((newest.actor.as_str(), newest.kind, &newest.evidence), ("guard", ChangeKind::Rollback, &evidence));

    // With the store away too, once it is back.
    rig.ask(Ask::Acknowledge(Mode::LegacyOnly)).await.unwrap();
    rig.ask(Ask::Mode(Mode::NewOnly)).await.unwrap();
    rig.store.set(down, true);
    assert!(rig.control.apply(&id("m"), by_guard).await.unwrap().here_only);
    rig.store.set(down, false);
    until("it is stored", || rig.watch.store_health().rollbacks_waiting.is_empty()).await;
    let newest = rig.entries().await.pop().unwrap();
    assert_eq!((newest.actor.as_str(), newest.kind, &newest.evidence), ("guard", ChangeKind::Rollback, &evidence));
}

/// A brake must not wait for a router that is slow to take the change before it.
#[tokio::test]
async fn a_guard_goes_toward_legacy_without_waiting_for_anybody() {
    let rig = rig().await;
    rig.put(Mode::Gradual, 5_000).await;
    rig.other_says("slow", 0, SignedDuration::ZERO).await;
    let by_guard = |bp| Change::new(Ask::Rollout(share(bp)), "guard", "evidence is 100");
    let refused = rig.control.apply(&id("m"), by_guard(5_001)).await.unwrap_err();
    assert!(matches!(refused, ControlError::NotConverged { .. }), "{refused}");
    rig.other_says("slow", 0, SignedDuration::ZERO).await;
    assert!(rig.control.apply(&id("m"), by_guard(2_500)).await.unwrap().changed);
    assert_eq!(rig.effective("m"), (Mode::Gradual, 2_500));
}

#[tokio::test]
async fn rollbacks_of_late_are_counted_whoever_made_them() {
    let rig = rig().await;
    let since = Timestamp::now();
    assert_eq!(rig.control.rollbacks_since(&id("m"), since).await.unwrap(), []);
    rig.ask(Ask::Mode(Mode::NewOnly)).await.unwrap();
    rig.ask(Ask::RollBack).await.unwrap();
    rig.ask(Ask::Rollout(share(0))).await.unwrap();
    rig.ask(Ask::Acknowledge(Mode::LegacyOnly)).await.unwrap();
    // An undo rolls back as well.
    rig.ask(Ask::Undo).await.unwrap();
    let entries = rig.entries().await;
    let times: Vec<_> = entries.iter().map(|entry| entry.time).collect();
    assert_eq!(rig.control.rollbacks_since(&id("m"), since).await.unwrap(), [times[times.len() - 1], times[1]]);
    assert_eq!(rig.control.rollbacks_since(&id("m"), times[times.len() - 1]).await.unwrap().len(), 1);
    assert_eq!(rig.control.rollbacks_since(&id("n"), since).await.unwrap(), []);
}

#[tokio::test]
async fn records_are_kept_of_migrations_of_the_file_only() {
    let rig = rig().await;
    let other = id("other");
    let outcome = || Outcome {
        id: OutcomeId::new("a").unwrap(),
        side: Side::New,
        routed_at: 0,
        work: None,
        quality: Quality::default(),
    };
    let write = |migration: &str| {
        vec![JudgedWrite { migration: id(migration), expected: 0, engine: "e".into(), status: "s".into() }]
    };
    let now = u64::try_from(Timestamp::now().as_second()).unwrap() / 60;
    let minute = |migration: &str| vec![Minute { migration: id(migration), minute: now, text: "t".into() }];
    let slots = Slot(0)..=Slot(1);
    #[track_caller]
    fn check<T>(result: Result<T, ControlError>) {
        let refused = result.err().expect("it is refused");
        assert!(matches!(&refused, ControlError::Unknown(migration) if migration.as_str() == "other"), "{refused}");
    }
    check(rig.control.counts_of(&[id("m"), other.clone()], slots.clone()).await);
    check(rig.control.put_judged(write("other")).await);
    check(rig.control.put_minutes(minute("other")).await);
    check(rig.control.minutes(&other, 0..=1).await);
    check(rig.control.record_outcome(&other, outcome()).await);
    check(rig.control.cohorts(&other).await);
    check(rig.control.rollbacks_since(&other, Timestamp::UNIX_EPOCH).await);

    assert_eq!(rig.control.counts_of(&[id("m")], slots).await.unwrap(), []);
    assert!(rig.control.lease(1_000).await.unwrap());
    rig.control.release().await.unwrap();
    assert_eq!(rig.control.put_judged(write("m")).await.unwrap(), [true]);
    assert_eq!(rig.control.judged().await.unwrap()[&id("m")].engine, "e");
    assert_eq!(rig.control.judged_status().await.unwrap()[&id("m")].status, "s");
    rig.control.put_minutes(minute("m")).await.unwrap();
    assert_eq!(rig.control.minutes(&id("m"), now..=now).await.unwrap(), [(now, "t".to_owned())]);
    assert!(matches!(rig.control.record_outcome(&id("m"), outcome()).await.unwrap(), Recorded::New(_)));
    assert_eq!(rig.control.cohorts(&id("m")).await.unwrap(), [], "it was routed too long ago");
}
