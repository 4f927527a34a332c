//! What every store promises of its records.

use super::*;
use crate::store::records::{
    ENGINE_BYTES_MAX, FINDERS_MAX, FINDINGS_BYTES_MAX, FindingsWrite, Judged, JudgedWrite, LEASE_MS_MAX, Minute,
    RecordError, STATUS_BYTES_MAX,
};

/// What a test overwrites behind the back of a store.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Record {
    Evidence(&'static str),
    Judged(&'static str),
    Minute(&'static str, u64),
    /// A migration and a job.
    Outcome(&'static str, &'static str),
    /// A migration, when the cohort begins, and its side.
    Cohort(&'static str, u64, Side),
    /// How many jobs of a migration were new on a day.
    Remembered(&'static str, u64),
    /// The newest word on a freeze.
    Freeze,
}

pub(super) async fn run<F: Future<Output = Subject>>(empty: impl Fn() -> F) {
    counts_of_many_are_read_at_once(&empty().await).await;
    one_holds_the_lease(&empty().await).await;
    a_judgement_follows_the_one_that_was_read(&empty().await).await;
    of_judges_at_the_same_time_one_is_first(&empty().await).await;
    a_damaged_judgement_is_as_good_as_none(&empty().await).await;
    minutes_are_remembered_and_replaced(&empty().await).await;
    what_is_too_large_is_refused(&empty().await).await;
    many_large_records_are_read_whole(&empty().await).await;
    findings_are_of_a_run_until_another_adopts_them(&empty().await).await;
    findings_are_bounded(&empty().await).await;
}

async fn counts_of_many_are_read_at_once(subject: &Subject) {
    let store = subject.store.as_ref();
    let now = Slot::of(Timestamp::now());
    let row = |migration: &str, slot: Slot, side: Side, text: &str| Row {
        migration: id(migration),
        slot,
        side,
        tally: Tally::parse(text),
    };
    for (replica, rows) in [
        ("a", vec![row("m", now.minus(2), Side::New, "h57=1"), row("n", now.minus(1), Side::Legacy, "2xx=5")]),
        ("b", vec![row("m", now.minus(2), Side::New, "h57=2"), row("m", now.minus(1), Side::New, "h58=1")]),
        ("b", vec![row("far", now.minus(100), Side::New, "2xx=1")]),
    ] {
        assert_eq!(store.beat(&word(replica, 1), &rows).await.unwrap().problem, None);
    }
    let read = async |migrations: &[&str], slots: std::ops::RangeInclusive<Slot>| {
        let ids: Vec<_> = migrations.iter().map(|migration| id(migration)).collect();
        let of = |counts: SlotCounts| (now.0 - counts.slot.0, counts.legacy.to_text(), counts.new.to_text());
        let counted = store.counts_of(&ids, slots).await.unwrap().into_iter();
        counted.map(|(id, slots)| (id.to_string(), slots.into_iter().map(of).collect())).collect::<Vec<(_, Vec<_>)>>()
    };
    let none = String::new;
    let m = ("m".to_owned(), vec![(2, none(), "h57=3".to_owned()), (1, none(), "h58=1".to_owned())]);
    let n = ("n".to_owned(), vec![(1, "2xx=5".to_owned(), none())]);
    assert_eq!(read(&["n", "none", "m", "far"], now.minus(9)..=now).await, [n, m.clone()]);
    assert_eq!(read(&["m"], now.minus(9)..=now).await, [m]);
    assert_eq!(read(&[], now.minus(9)..=now).await, []);
    assert_eq!(read(&["m", "n"], now..=now.minus(1)).await, []);
}

async fn one_holds_the_lease(subject: &Subject) {
    let store = subject.store.as_ref();
    let long = LEASE_MS_MAX;
    assert!(store.lease("a", long).await.unwrap());
    assert!(store.lease("a", long).await.unwrap(), "its holder keeps it");
    assert!(!store.lease("b", long).await.unwrap());
    store.release("b").await.unwrap();
    assert!(!store.lease("b", long).await.unwrap(), "nobody gives back what is another's");
    store.release("a").await.unwrap();
    assert!(store.lease("b", 1).await.unwrap());
    let ended = async {
        while !store.lease("a", long).await.unwrap() {
            tokio::task::yield_now().await;
        }
    };
    soon("a lease that is not kept ends", ended).await;
    for (holder, for_ms) in [("", 1), ("a", 0), ("a", long + 1), (&*"a".repeat(257), 1)] {
        let refused = store.lease(holder, for_ms).await.unwrap_err();
        assert!(matches!(refused, RecordError::Invalid(_) | RecordError::TooLarge { .. }), "{refused}");
    }
}

fn judgement(migration: &str, expected: u64, text: &str) -> JudgedWrite {
    let (engine, status) = (format!("engine {text}"), format!("ä {text}"));
    JudgedWrite { migration: id(migration), expected, engine, status }
}

/// All judgements, after it was made sure that both ways to read them agree.
async fn judged(store: &dyn Store) -> Vec<(String, u64, String)> {
    let judged = store.judged().await.unwrap();
    let statuses = store.judged_status().await.unwrap();
    for (id, Judged { version, engine, status }) in &judged {
        let of = statuses.get(id).unwrap_or_else(|| panic!("{id} has no status"));
        assert_eq!((of.version, &of.status), (*version, status), "{id}");
        assert_eq!(engine.replacen("engine", "ä", 1), *status, "{id}");
    }
    judged.into_iter().map(|(id, judged)| (id.to_string(), judged.version, judged.engine)).collect()
}

async fn a_judgement_follows_the_one_that_was_read(subject: &Subject) {
    let store = subject.store.as_ref();
    let put = async |writes: Vec<JudgedWrite>| store.put_judged(writes).await.unwrap();
    let of = |id: &str, version, text: &str| (id.to_owned(), version, format!("engine {text}"));
    assert_eq!((judged(store).await, put(vec![]).await), (vec![], vec![]));
    assert_eq!(put(vec![judgement("m", 0, "1"), judgement("n", 1, "1")]).await, [true, false]);
    assert_eq!(judged(store).await, [of("m", 1, "1")]);
    // Said again, as after a time-out: it is stored already.
    assert_eq!(put(vec![judgement("m", 0, "1")]).await, [false]);
    let three = vec![judgement("m", 1, "2"), judgement("n", 0, ""), judgement("m", 2, "3"), judgement("m", 2, "4")];
    assert_eq!(put(three).await, [true, true, true, false]);
    assert_eq!(judged(store).await, [of("m", 3, "3"), of("n", 1, "")]);
}

async fn of_judges_at_the_same_time_one_is_first(subject: &Subject) {
    const JUDGES: usize = 6;
    for version in 0..4 {
        let judges = (0..JUDGES).map(|judge| {
            let store = Arc::clone(&subject.store);
            tokio::spawn(
                async move { store.put_judged(vec![judgement("m", version, &judge.to_string())]).await.unwrap() },
            )
        });
        let mut stored = 0;
        for judge in judges.collect::<Vec<_>>() {
            stored += usize::from(judge.await.unwrap() == [true]);
        }
        assert_eq!(stored, 1, "of version {version}");
    }
}

async fn a_damaged_judgement_is_as_good_as_none(subject: &Subject) {
    let store = subject.store.as_ref();
    let of = |id: &str, version, text: &str| (id.to_owned(), version, format!("engine {text}"));
    store.put_judged(vec![judgement("m", 0, "1"), judgement("n", 0, "1")]).await.unwrap();
    for (record, text) in [
        (Record::Evidence("m"), "garbage"),
        (Record::Evidence("m"), "01 engine 1"),
        (Record::Evidence("m"), "0 engine 1"),
        (Record::Evidence("m"), "2 engine 1"),
        (Record::Evidence("m"), "1000000000000000 engine 1"),
        (Record::Judged("m"), ""),
        (Record::Judged("m"), "2 text"),
    ] {
        (subject.damage_record)(record, text.into()).await;
        assert_eq!(judged(store).await, [of("n", 1, "1")], "{record:?} {text:?}");
        assert_eq!(store.put_judged(vec![judgement("m", 1, "2")]).await.unwrap(), [false], "{record:?} {text:?}");
        assert_eq!(store.put_judged(vec![judgement("m", 0, "1")]).await.unwrap(), [true], "{record:?} {text:?}");
        assert_eq!(judged(store).await, [of("m", 1, "1"), of("n", 1, "1")], "{record:?} {text:?}");
    }
    for (record, bytes) in [(Record::Evidence("m"), ENGINE_BYTES_MAX), (Record::Judged("m"), STATUS_BYTES_MAX)] {
        (subject.damage_record)(record, format!("1 {}", "x".repeat(bytes + 1))).await;
        assert_eq!(judged(store).await, [of("n", 1, "1")]);
        assert_eq!(store.put_judged(vec![judgement("m", 0, "1")]).await.unwrap(), [true]);
    }
}

async fn minutes_are_remembered_and_replaced(subject: &Subject) {
    let store = subject.store.as_ref();
    let now = u64::try_from(Timestamp::now().as_second()).unwrap() / 60;
    let minute = |migration: &str, ago: u64, text: &str| Minute {
        migration: id(migration),
        minute: now - ago,
        text: text.into(),
    };
    let read = async |migration: &str, from: u64, to: u64| {
        let minutes = store.minutes(&id(migration), now - from..=now - to).await.unwrap();
        minutes.into_iter().map(|(minute, text)| (now - minute, text)).collect::<Vec<_>>()
    };
    let some = |all: &[(u64, &str)]| all.iter().map(|(ago, text)| (*ago, (*text).to_owned())).collect::<Vec<_>>();
    assert_eq!(read("m", 100, 0).await, []);
    // Over a day's end and of two migrations.
    let first = vec![minute("m", 3_000, "ä"), minute("m", 1_500, "b"), minute("n", 1, "n"), minute("m", 0, "now")];
    store.put_minutes(first).await.unwrap();
    store.put_minutes(vec![minute("m", 1_500, "replaced"), minute("m", 1, "")]).await.unwrap();
    let all = some(&[(3_000, "ä"), (1_500, "replaced"), (1, ""), (0, "now")]);
    assert_eq!(read("m", 40_000, 0).await, all);
    assert_eq!(read("m", 1_500, 1).await, all[1..3]);
    assert_eq!((read("n", 1, 1).await, read("n", 0, 0).await), (some(&[(1, "n")]), vec![]));
    assert_eq!(store.minutes(&id("m"), 0..=u64::MAX).await.unwrap().len(), 4, "a range may be as wide as it likes");
    (subject.damage_record)(Record::Minute("m", now - 1_500), "other".into()).await;
    assert_eq!(read("m", 1_500, 1_500).await, some(&[(1_500, "other")]), "a text is whatever it is");
}

async fn what_is_too_large_is_refused(subject: &Subject) {
    let store = subject.store.as_ref();
    let now = u64::try_from(Timestamp::now().as_second()).unwrap() / 60;
    let write = |engine: usize, status: usize| JudgedWrite {
        migration: id("m"),
        expected: 0,
        engine: "x".repeat(engine),
        status: "x".repeat(status),
    };
    for (engine, status) in [(ENGINE_BYTES_MAX + 1, 0), (0, STATUS_BYTES_MAX + 1)] {
        let refused = store.put_judged(vec![judgement("n", 0, ""), write(engine, status)]).await.unwrap_err();
        assert!(matches!(refused, RecordError::TooLarge { .. }), "{refused}");
    }
    let minute = |bytes: usize| Minute { migration: id("m"), minute: now, text: "x".repeat(bytes) };
    let refused = store.put_minutes(vec![minute(1), minute(STATUS_BYTES_MAX + 1)]).await.unwrap_err();
    assert!(matches!(refused, RecordError::TooLarge { bytes: 4_097, max: 4_096, .. }), "{refused}");
    assert_eq!((judged(store).await, store.minutes(&id("m"), now..=now).await.unwrap()), (vec![], vec![]));
    assert_eq!(store.put_judged(vec![write(ENGINE_BYTES_MAX, STATUS_BYTES_MAX)]).await.unwrap(), [true]);
    assert_eq!(store.judged().await.unwrap()[&id("m")].engine.len(), ENGINE_BYTES_MAX);
    store.put_minutes(vec![minute(STATUS_BYTES_MAX)]).await.unwrap();
    assert_eq!(store.minutes(&id("m"), now..=now).await.unwrap()[0].1.len(), STATUS_BYTES_MAX);
}

/// More than one answer holds: nothing is left out where it is cut.
async fn many_large_records_are_read_whole(subject: &Subject) {
    const MIGRATIONS: usize = 300;
    let store = subject.store.as_ref();
    let text = "x".repeat(ENGINE_BYTES_MAX);
    let names: Vec<_> = (0..MIGRATIONS).map(|at| id(&format!("m{at}"))).collect();
    let write = |migration: &MigrationId| JudgedWrite {
        migration: migration.clone(),
        expected: 0,
        engine: text.clone(),
        status: migration.to_string(),
    };
    assert_eq!(store.put_judged(names.iter().map(write).collect()).await.unwrap(), [true; MIGRATIONS]);
    let read = store.judged().await.unwrap();
    assert_eq!(read.len(), MIGRATIONS);
    assert!(read.iter().all(|(id, judged)| judged.status == id.as_str() && judged.engine == text));
    let now = u64::try_from(Timestamp::now().as_second()).unwrap() / 60;
    let minute = |at: u64| Minute { migration: id("m"), minute: now - at, text: "x".repeat(STATUS_BYTES_MAX) };
    store.put_minutes((0..2_900).map(minute).collect()).await.unwrap();
    let read = store.minutes(&id("m"), 0..=now).await.unwrap();
    assert!(read.iter().map(|(minute, _)| *minute).eq(now - 2_899..=now), "{}", read.len());
}

fn found(migration: &str, finder: &str, text: &str, adopted: &[&str]) -> FindingsWrite {
    let adopted = adopted.iter().map(|name| (*name).to_owned()).collect();
    FindingsWrite { migration: id(migration), finder: finder.into(), text: text.into(), adopted }
}

async fn findings_are_of_a_run_until_another_adopts_them(subject: &Subject) {
    let store = subject.store.as_ref();
    let put = async |write| store.put_findings(write).await.unwrap();
    let read = async |migration: &str| {
        let found = store.findings(&id(migration)).await.unwrap().into_iter();
        found.map(|(finder, text)| format!("{finder}={text}")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(read("m").await, "");
    assert!(put(found("m", "a-1", "ä", &[])).await && put(found("n", "a-1", "n", &[])).await);
    assert!(put(found("m", "b-1", "b", &[])).await && put(found("m", "a-1", "a", &[])).await);
    assert_eq!((read("m").await, read("n").await), ("a-1=a b-1=b".to_owned(), "a-1=n".to_owned()));
    assert!(put(found("m", "c-1", "c+a", &["a-1"])).await);
    assert_eq!(read("m").await, "b-1=b c-1=c+a");
    // What somebody else has adopted is not counted twice, and of a write that is refused nothing is done.
    assert!(!put(found("m", "d-1", "d+a+b", &["b-1", "a-1"])).await);
    assert_eq!(read("m").await, "b-1=b c-1=c+a");
    assert_eq!(read("n").await, "a-1=n", "of another migration");
}

async fn findings_are_bounded(subject: &Subject) {
    let store = subject.store.as_ref();
    let largest = "x".repeat(FINDINGS_BYTES_MAX);
    for write in [
        found("m", "a", &format!("{largest}x"), &[]),
        found("m", "", "t", &[]),
        found("m", "a", "t", &[""]),
        found("m", "a", "t", &["a"]),
        found("m", &"a".repeat(257), "t", &[]),
    ] {
        let refused = store.put_findings(write).await.unwrap_err();
        assert!(matches!(refused, RecordError::Invalid(_) | RecordError::TooLarge { .. }), "{refused}");
    }
    for at in 0..FINDERS_MAX + 3 {
        assert!(store.put_findings(found("m", &format!("r{at:03}"), &largest, &[])).await.unwrap());
    }
    let kept = store.findings(&id("m")).await.unwrap();
    assert!(kept.len() == FINDERS_MAX && kept.values().all(|text| *text == largest), "{}", kept.len());
    assert!(kept.contains_key(&format!("r{:03}", FINDERS_MAX + 2)), "who has just spoken is kept");
}
