//! What every store promises of the freeze of its environment.

use super::*;
use crate::freeze::{FREEZE_BYTES_MAX, FREEZES_MAX, FreezeEntry, FreezeKind};
use crate::state::REASON_BYTES_MAX;

pub(super) async fn run<F: Future<Output = Subject>>(empty: impl Fn() -> F) {
    the_newest_word_is_part_of_the_state(&empty().await).await;
    a_word_and_a_change_are_in_one_line(&empty().await).await;
    so_many_words_are_kept(&empty().await).await;
    a_word_that_does_not_read_holds_and_is_written_over(&empty().await).await;
    a_word_is_written_back_with_what_was_lost(&empty().await).await;
}

fn word(revision: u64, kind: FreezeKind, reason: &str) -> FreezeEntry {
    let time = "2026-05-04T03:02:01.5Z".parse::<Timestamp>().unwrap();
    let until = (kind == FreezeKind::Freeze).then(|| "2030-01-01T00:00:00Z".parse().unwrap());
    FreezeEntry { revision: Revision(revision), kind, actor: "ann \"a\"".into(), reason: reason.into(), time, until }
}

async fn say(store: &dyn Store, kind: FreezeKind, reason: &str) -> FreezeEntry {
    let expected = store.load().await.unwrap().revision;
    let word = word(expected.0 + 1, kind, reason);
    assert_eq!(store.freeze(expected, word.clone()).await.unwrap(), expected.next());
    word
}

async fn the_newest_word_is_part_of_the_state(subject: &Subject) {
    let store = subject.store.as_ref();
    assert_eq!(store.freezes().await.unwrap(), []);
    // As long as a reason may be, and twice that as it is stored.
    let first = say(store, FreezeKind::Freeze, &"\"".repeat(REASON_BYTES_MAX)).await;
    let loaded = store.load().await.unwrap();
    assert_eq!(loaded, Loaded { revision: Revision(1), freeze: Some(first.clone()), ..Loaded::default() });
    let second = say(store, FreezeKind::Thaw, "weil \u{e4}").await;
    assert_eq!(store.load().await.unwrap().freeze.as_ref(), Some(&second));
    assert_eq!(store.freezes().await.unwrap(), [second, first]);
    soon("a freeze is a change", store.changed(Revision(1))).await.unwrap();
}

async fn a_word_and_a_change_are_in_one_line(subject: &Subject) {
    let store = subject.store.as_ref();
    change(store, &id("m"), 100).await;
    let before = store.load().await.unwrap();
    let frozen = say(store, FreezeKind::Freeze, "r").await;
    // What was decided before the freeze is decided again.
    let refused = store.replace(before.revision, next_write(&before, &id("m"), 200)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Conflict { actual: Revision(2), .. }), "{refused}");
    change(store, &id("m"), 200).await;
    let after = store.load().await.unwrap();
    assert_eq!((after.revision, after.freeze), (Revision(3), Some(frozen.clone())), "a change leaves it alone");
    for expected in [0, 2, 4] {
        let late = word(expected + 1, FreezeKind::Thaw, "late");
        let refused = store.freeze(Revision(expected), late).await.unwrap_err();
        let StoreError::Conflict { expected: named, actual } = refused else { panic!("{refused}") };
        assert_eq!((named, actual), (Revision(expected), Revision(3)));
    }
    assert_eq!(store.freezes().await.unwrap(), [frozen]);
    assert_eq!(store.history(&id("m"), page(None, 10)).await.unwrap().len(), 2);
}

async fn so_many_words_are_kept(subject: &Subject) {
    let store = subject.store.as_ref();
    for at in 0..FREEZES_MAX + 2 {
        say(store, FreezeKind::Freeze, &at.to_string()).await;
    }
    let reasons: Vec<_> = store.freezes().await.unwrap().into_iter().map(|word| word.reason).collect();
    assert!(reasons.iter().eq((2..FREEZES_MAX + 2).rev().map(|at| at.to_string()).collect::<Vec<_>>().iter()));
}

async fn a_word_that_does_not_read_holds_and_is_written_over(subject: &Subject) {
    let store = subject.store.as_ref();
    change(store, &id("m"), 100).await;
    let first = say(store, FreezeKind::Freeze, "first").await;
    say(store, FreezeKind::Thaw, "second").await;
    for damaged in ["{", "", "{\"kind\":\"thaw\"}", &"x".repeat(FREEZE_BYTES_MAX + 1)] {
        (subject.damage_record)(records::Record::Freeze, damaged.into()).await;
        let loaded = store.load().await.unwrap();
        let freeze = loaded.freeze.as_ref().unwrap();
        assert!(
            freeze.holds_at(Timestamp::now()) && freeze.reason.contains("does not read"),
            "{damaged:?}: {freeze:?}"
        );
        assert!(matches!(loaded.migrations[&id("m")], Stored::State { .. }), "what is beside it reads: {loaded:?}");
        let entries = store.freezes().await.unwrap();
        assert!(entries[0].reason.contains("does not read") && entries[1] == first, "{entries:?}");
    }
    let third = say(store, FreezeKind::Thaw, "third").await;
    assert_eq!(store.load().await.unwrap().freeze, Some(third));
}

async fn a_word_is_written_back_with_what_was_lost(subject: &Subject) {
    let store = subject.store.as_ref();
    change(store, &id("m"), 100).await;
    let loaded = store.load().await.unwrap();
    let mut write = next_write(&loaded, &id("m"), 300);
    write.document.revision = Revision(40);
    let restored = vec![Restored {
        migration: write.migration,
        document: write.document,
        pins: Default::default(),
        entry: write.entry,
    }];
    let freeze = word(41, FreezeKind::Freeze, "before the loss");
    let both = store.restore(Revision(1), restored, Some(freeze.clone())).await.unwrap();
    let loaded = store.load().await.unwrap();
    assert_eq!((both, loaded.revision, loaded.freeze), (Revision(41), Revision(41), Some(freeze.clone())));
    // A freeze alone, where nothing was asked of a migration.
    let again = FreezeEntry { revision: Revision(50), ..freeze.clone() };
    assert_eq!(store.restore(Revision(41), Vec::new(), Some(again.clone())).await.unwrap(), Revision(50));
    assert_eq!(store.freezes().await.unwrap(), [again, freeze]);
    change(store, &id("m"), 400).await;
}
