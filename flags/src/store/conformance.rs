//! What every store promises, as one suite that each implementation's tests run.

mod freezes;
pub(crate) mod ledger;
mod outcomes;
pub(crate) mod records;

use std::future::Future;
use std::pin::Pin as Pinned;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{Loaded, Page, Restored, Store, StoreError, Stored, Write};
use crate::accepted::{AcceptedRule, RuleChange};
use crate::bucket::BasisPoints;
use crate::migration::{Migration, MigrationId, Side};
use crate::mode::Mode;
use crate::state::{ChangeKind, Document, Heartbeat, HistoryEntry, Pin, Revision, broken_link};
use crate::tally::{Row, Slot, SlotCounts, Tally};

/// How long anything that must happen may take.
const PATIENCE: Duration = Duration::from_secs(20);

type Done = Pinned<Box<dyn Future<Output = ()> + Send>>;

/// One store without any state, and a way behind its back.
pub(crate) struct Subject {
    pub(crate) store: Arc<dyn Store>,
    /// Overwrites the stored document of a migration.
    pub(crate) damage: Box<dyn Fn(MigrationId, &'static str) -> Done + Send + Sync>,
    /// Overwrites what a record holds.
    pub(crate) damage_record: Box<dyn Fn(records::Record, String) -> Done + Send + Sync>,
    /// What must live as long as the store does.
    pub(crate) _keeps: Box<dyn std::any::Any + Send + Sync>,
}

/// Runs every case on a store of its own.
pub(crate) async fn run<F: Future<Output = Subject>>(empty: impl Fn() -> F) {
    an_empty_store_is_at_revision_zero(&empty().await).await;
    a_write_at_the_expected_revision_is_stored_whole(&empty().await).await;
    a_conflict_leaves_nothing(&empty().await).await;
    history_is_newest_first_in_pages_and_chained(&empty().await).await;
    pins_come_and_go_with_their_document(&empty().await).await;
    an_unreadable_document_is_refused_alone(&empty().await).await;
    what_is_restored_replaces_what_is_there(&empty().await).await;
    a_change_wakes_and_is_not_slept_through(&empty().await).await;
    replicas_are_known_by_their_last_word(&empty().await).await;
    counts_are_summed_and_written_twice_they_are_the_same(&empty().await).await;
    concurrent_writers_make_one_line(&empty().await).await;
    freezes::run(&empty).await;
    records::run(&empty).await;
    outcomes::run(empty).await;
}

pub(crate) fn id(text: &str) -> MigrationId {
    MigrationId::new(text).unwrap()
}

/// The next change of `migration` as a writer would make it from `loaded`.
pub(crate) fn next_write(loaded: &Loaded, migration: &MigrationId, share: u16) -> Write {
    let document = match loaded.migrations.get(migration) {
        Some(Stored::State { document, .. }) => document.clone(),
        Some(Stored::Unreadable(_)) | None => Document::initial(&Migration::new(migration.clone(), "a", "b")),
    };
    let before = document.position();
    let revision = loaded.revision.next();
    let share = BasisPoints::new(share).unwrap();
    let time = "2026-05-04T03:02:01.5Z".parse::<Timestamp>().unwrap();
    let rule = accepted_rule();
    let rules = vec![rule.clone()];
    let mut document = Document { mode: Mode::Gradual, share, rules, revision, actor: "ann".into(), time, ..document };
    let entry = HistoryEntry {
        revision,
        migration: migration.clone(),
        time,
        actor: "ann".into(),
        reason: "weil \"ä\"".into(),
        kind: ChangeKind::Rollout,
        before,
        after: document.position(),
        pin: None,
        rule: Some(RuleChange { before: None, after: Some(rule.clone()) }),
        evidence: Some(serde_json::json!({"e": 1000.5, "side": "new"})),
        previous_hash: document.chain.clone(),
        hash: String::new(),
    }
    .sealed();
    document.previous = std::mem::replace(&mut document.chain, entry.hash.clone());
    Write { migration: migration.clone(), document, pin: None, entry }
}

/// One as people accept it, with what JSON has to escape.
fn accepted_rule() -> AcceptedRule {
    let (path, kind) = ("$.\"ä\"".to_owned(), r#"{"tolerance":{"absolute":0.01}}"#.to_owned());
    let (owner, reason) = ("ann".to_owned(), "weil \"ä\"".to_owned());
    let (id, expires) = (AcceptedRule::id_of(None, &path, &kind), jiff::civil::date(2026, 6, 4));
    AcceptedRule { id, path, kind, route: None, owner, reason, expires, accepted: Timestamp::UNIX_EPOCH }
}

async fn change(store: &dyn Store, migration: &MigrationId, share: u16) -> Write {
    let loaded = store.load().await.unwrap();
    let write = next_write(&loaded, migration, share);
    assert_eq!(store.replace(loaded.revision, write.clone()).await.unwrap(), loaded.revision.next());
    write
}

fn page(before: Option<u64>, limit: usize) -> Page {
    Page { before: before.map(Revision), limit }
}

/// Waits for a future that must end.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {PATIENCE:?}: {what}"),
    }
}

async fn an_empty_store_is_at_revision_zero(subject: &Subject) {
    let store = &subject.store;
    assert_eq!(store.load().await.unwrap(), Loaded::default());
    assert_eq!(store.history(&id("m"), page(None, 10)).await.unwrap(), []);
    assert_eq!(store.replicas().await.unwrap(), []);
}

async fn a_write_at_the_expected_revision_is_stored_whole(subject: &Subject) {
    let store = subject.store.as_ref();
    let first = change(store, &id("m"), 100).await;
    let second = change(store, &id("n"), 200).await;
    let loaded = store.load().await.unwrap();
    assert_eq!(loaded.revision, Revision(2));
    let stored = |write: Write| Stored::State { document: write.document, pins: Default::default() };
    assert_eq!(
        loaded.migrations,
        [(id("m"), stored(first.clone())), (id("n"), stored(second.clone()))].into_iter().collect()
    );
    assert_eq!(store.history(&id("m"), page(None, 10)).await.unwrap(), [first.entry]);
    assert_eq!(store.history(&id("n"), page(None, 10)).await.unwrap(), [second.entry]);
}

async fn a_conflict_leaves_nothing(subject: &Subject) {
    let store = subject.store.as_ref();
    change(store, &id("m"), 100).await;
    let before = store.load().await.unwrap();
    for expected in [0, 2, 7] {
        let mut write = next_write(&before, &id("m"), 300);
        let pin = Pin { side: Side::New, reason: "r".into(), actor: "a".into(), until: None };
        write.pin = Some(("k".into(), Some(pin)));
        let refused = store.replace(Revision(expected), write).await.unwrap_err();
        let StoreError::Conflict { expected: named, actual } = refused else { panic!("{refused}") };
        assert_eq!((named, actual), (Revision(expected), Revision(1)));
    }
    assert_eq!(store.load().await.unwrap(), before);
    assert_eq!(store.history(&id("m"), page(None, 10)).await.unwrap().len(), 1);
}

async fn history_is_newest_first_in_pages_and_chained(subject: &Subject) {
    let store = subject.store.as_ref();
    for share in 1..=5 {
        change(store, &id("m"), share).await;
        change(store, &id("m.other"), share).await;
    }
    let all = store.history(&id("m"), page(None, 100)).await.unwrap();
    let revisions = |entries: &[HistoryEntry]| entries.iter().map(|entry| entry.revision.0).collect::<Vec<_>>();
    assert_eq!(revisions(&all), [9, 7, 5, 3, 1]);
    for (before, limit, expected) in [
        (None, 2, vec![9, 7]),
        (Some(7), 2, vec![5, 3]),
        (Some(8), 1, vec![7]),
        (Some(3), 10, vec![1]),
        (Some(1), 10, vec![]),
        (Some(0), 10, vec![]),
        (None, 0, vec![]),
    ] {
        let part = store.history(&id("m"), page(before, limit)).await.unwrap();
        assert_eq!(revisions(&part), expected, "before {before:?}, {limit} at most");
    }
    let oldest_first: Vec<_> = all.into_iter().rev().collect();
    assert_eq!(broken_link(&oldest_first), None);
}

async fn pins_come_and_go_with_their_document(subject: &Subject) {
    let store = subject.store.as_ref();
    let until = "2030-01-01T00:00:00Z".parse().unwrap();
    let pin = Pin { side: Side::New, reason: "tester".into(), actor: "ann".into(), until: Some(until) };
    let set = async |key: &str, pin: Option<Pin>| {
        let loaded = store.load().await.unwrap();
        let mut write = next_write(&loaded, &id("m"), 100);
        write.pin = Some((key.into(), pin));
        store.replace(loaded.revision, write).await.unwrap();
    };
    let pins = async || {
        let loaded = store.load().await.unwrap();
        let Some(Stored::State { document, pins }) = loaded.migrations.get(&id("m")) else { panic!("{loaded:?}") };
        assert_eq!(document.revision, loaded.revision, "pins without their document");
        pins.clone()
    };
    change(store, &id("m.other"), 1).await;
    // Keys are bytes of callers: none of them may be taken for something else.
    let keys = ["user-1", "", "a:b", "ä ö", "*", "{x}", "\u{7f}"];
    for key in keys {
        set(key, Some(pin.clone())).await;
    }
    let expected = keys.iter().map(|key| ((*key).to_owned(), pin.clone())).collect();
    assert_eq!(pins().await, expected);
    let moved = Pin { side: Side::Legacy, ..pin.clone() };
    set("user-1", Some(moved.clone())).await;
    assert_eq!(pins().await.get("user-1"), Some(&moved));
    for key in keys {
        set(key, None).await;
    }
    set("never there", None).await;
    assert!(pins().await.is_empty());
}

async fn an_unreadable_document_is_refused_alone(subject: &Subject) {
    let store = subject.store.as_ref();
    for migration in ["bad", "good", "worse"] {
        change(store, &id(migration), 100).await;
    }
    (subject.damage)(id("bad"), "{\"mode\":").await;
    (subject.damage)(id("worse"), "[1]").await;
    let loaded = store.load().await.unwrap();
    assert_eq!(loaded.revision, Revision(3));
    assert!(matches!(loaded.migrations.get(&id("good")), Some(Stored::State { .. })), "{loaded:?}");
    for migration in ["bad", "worse"] {
        assert!(matches!(loaded.migrations.get(&id(migration)), Some(Stored::Unreadable(_))), "{loaded:?}");
    }
    change(store, &id("bad"), 200).await;
    let repaired = store.load().await.unwrap();
    assert!(matches!(repaired.migrations.get(&id("bad")), Some(Stored::State { .. })), "{repaired:?}");
}

async fn what_is_restored_replaces_what_is_there(subject: &Subject) {
    let store = subject.store.as_ref();
    change(store, &id("m"), 100).await;
    change(store, &id("n"), 100).await;
    let pin = |reason: &str| Pin { side: Side::New, reason: reason.into(), actor: "ann".into(), until: None };
    let loaded = store.load().await.unwrap();
    let mut write = next_write(&loaded, &id("m"), 200);
    write.pin = Some(("gone".into(), Some(pin("before"))));
    store.replace(loaded.revision, write).await.unwrap();
    (subject.damage)(id("n"), "{").await;

    let loaded = store.load().await.unwrap();
    let restored = |migration: &str, revision: u64| {
        let mut write = next_write(&loaded, &id(migration), 300);
        write.document.revision = Revision(revision);
        write.entry.revision = Revision(revision);
        write.entry = write.entry.sealed();
        write.document.chain = write.entry.hash.clone();
        let pins = [("a\u{0}b\"".to_owned(), pin("ä")), ("k".to_owned(), pin("r"))].into();
        Restored { migration: write.migration, document: write.document, pins, entry: write.entry }
    };
    let both = vec![restored("m", 40), restored("n", 41)];
    let refused = store.restore(Revision(2), both.clone(), None).await.unwrap_err();
    assert!(matches!(refused, StoreError::Conflict { actual: Revision(3), .. }), "{refused}");
    assert_eq!(store.load().await.unwrap(), loaded);

    assert_eq!(store.restore(Revision(3), both.clone(), None).await.unwrap(), Revision(41));
    soon("a restored state is a change", store.changed(Revision(3))).await.unwrap();
    let now = store.load().await.unwrap();
    assert_eq!(now.revision, Revision(41));
    for one in both {
        let stored = Stored::State { document: one.document, pins: one.pins };
        assert_eq!(now.migrations.get(&one.migration), Some(&stored));
        assert_eq!(store.history(&one.migration, page(None, 1)).await.unwrap(), [one.entry]);
    }
    change(store, &id("m"), 400).await;
}

async fn a_change_wakes_and_is_not_slept_through(subject: &Subject) {
    let store = &subject.store;
    // One that was before the wait began.
    change(store.as_ref(), &id("m"), 1).await;
    soon("a change before the wait", store.changed(Revision(0))).await.unwrap();
    // One that comes while somebody waits, whatever wakes for nothing before it.
    for revision in 1..=5 {
        let waiter = Arc::clone(store);
        let waiting = tokio::spawn(async move {
            while waiter.load().await.unwrap().revision == Revision(revision) {
                waiter.changed(Revision(revision)).await.unwrap();
            }
        });
        tokio::task::yield_now().await;
        change(store.as_ref(), &id("m"), 2).await;
        soon("a change during the wait", waiting).await.unwrap();
    }
}

/// What a replica says of itself.
fn word(replica: &str, revision: u64) -> Heartbeat {
    Heartbeat {
        replica: replica.into(),
        revision: Revision(revision),
        config_hash: "c".into(),
        version: "0.1.0".into(),
        time: Timestamp::now(),
        draining: false,
    }
}

async fn replicas_are_known_by_their_last_word(subject: &Subject) {
    let store = subject.store.as_ref();
    for (replica, revision) in [("b", 1), ("a", 1), ("b", 2)] {
        let pulse = store.beat(&word(replica, revision), &[]).await.unwrap();
        assert_eq!((pulse.revision, pulse.problem), (Some(Revision::ZERO), None));
    }
    change(store, &id("m"), 1).await;
    let pulse = store.beat(&word("b", 2), &[]).await.unwrap();
    assert_eq!(pulse.revision, Some(Revision(1)), "a heartbeat is told the revision");
    assert!(Timestamp::now().duration_since(pulse.time).abs() < jiff::SignedDuration::from_secs(30));
    let known = store.replicas().await.unwrap();
    let known: Vec<_> = known.iter().map(|beat| (beat.replica.as_str(), beat.revision.0)).collect();
    assert_eq!(known, [("a", 1), ("b", 2)]);
    store.leave("b").await.unwrap();
    store.leave("never there").await.unwrap();
    let known = store.replicas().await.unwrap();
    assert_eq!(known.iter().map(|beat| beat.replica.as_str()).collect::<Vec<_>>(), ["a"]);
}

async fn counts_are_summed_and_written_twice_they_are_the_same(subject: &Subject) {
    let store = subject.store.as_ref();
    let now = Slot::of(Timestamp::now());
    let last = now.minus(1);
    let row = |migration: &str, slot: Slot, side: Side, text: &str| Row {
        migration: id(migration),
        slot,
        side,
        tally: Tally::parse(text),
    };
    for (replica, rows) in [
        ("a:1", vec![row("m", last, Side::New, "2xx=3"), row("m", last, Side::Legacy, "2xx=1")]),
        // After a time-out, and when the slot has grown.
        ("a:1", vec![row("m", last, Side::New, "2xx=3")]),
        ("a:1", vec![row("m", last, Side::New, "2xx=5 timeout=1"), row("m", now, Side::New, "2xx=7")]),
        ("b", vec![row("m", last, Side::New, "2xx=10"), row("m.other", last, Side::New, "2xx=100")]),
    ] {
        assert_eq!(store.beat(&word(replica, 1), &rows).await.unwrap().problem, None);
    }
    let sums = async |migration: &str, first: Slot, last: Slot| {
        let slots = store.counts(&id(migration), first..=last).await.unwrap();
        let of = |counts: &SlotCounts| (counts.slot, counts.legacy.to_text(), counts.new.to_text());
        slots.iter().map(of).collect::<Vec<_>>()
    };
    let before = (last, "2xx=1".to_owned(), "2xx=15 timeout=1".to_owned());
    assert_eq!(sums("m", now.minus(120), now).await, [before.clone(), (now, String::new(), "2xx=7".to_owned())]);
    assert_eq!(sums("m", now.minus(120), last).await, [before]);
    assert_eq!(sums("m.other", last, last).await.len(), 1);
    assert_eq!((sums("n", Slot(0), now).await.len(), sums("m", now, last).await.len()), (0, 0));
}

async fn concurrent_writers_make_one_line(subject: &Subject) {
    const WRITERS: u64 = 6;
    const WRITES: u64 = 8;
    let writers = (0..WRITERS).map(|writer| {
        let store = Arc::clone(&subject.store);
        tokio::spawn(async move {
            // Two writers each on three migrations.
            let migration = id(&format!("m{}", writer % 3));
            let mut written = 0;
            while written < WRITES {
                let loaded = store.load().await.unwrap();
                let write = next_write(&loaded, &migration, 100);
                match store.replace(loaded.revision, write).await {
                    Ok(revision) => {
                        assert_eq!(revision, loaded.revision.next());
                        written += 1;
                    }
                    Err(StoreError::Conflict { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        soon("a writer", writer).await.unwrap();
    }
    assert_eq!(subject.store.load().await.unwrap().revision, Revision(WRITERS * WRITES));
    for migration in ["m0", "m1", "m2"] {
        let mut entries = subject.store.history(&id(migration), page(None, 1_000)).await.unwrap();
        assert_eq!(entries.len() as u64, 2 * WRITES);
        entries.reverse();
        assert_eq!(broken_link(&entries), None);
    }
}
