//! What every store promises of outcomes that are reported later, and of the cohorts that they make up.

use super::records::Record;
use super::*;
use crate::store::records::RecordError;
use crate::store::records::outcome::{
    Known, Outcome, OutcomeId, Parts, Quality, REMEMBERED_MAX, Recorded, fold, moved,
};

pub(super) async fn run<F: Future<Output = Subject>>(empty: impl Fn() -> F) {
    an_outcome_counts_once_for_ever(&empty().await).await;
    an_outcome_has_one_side(&empty().await).await;
    cohorts_move_with_what_is_told(&empty().await).await;
    damaged_outcomes_and_cohorts_begin_anew(&empty().await).await;
    a_day_remembers_so_many_jobs(&empty().await).await;
    of_reports_at_the_same_time_one_counts(&empty().await).await;
    any_reports_are_computed_alike(&empty().await).await;
}

fn report(job: &str, side: Side, routed_at: u64, work: Option<&str>, measures: [Option<u16>; 3]) -> Outcome {
    let [pr, build, score_milli] = measures;
    let (pr_accepted, build_passed) = (pr.map(|milli| milli > 0), build.map(|milli| milli > 0));
    let quality = Quality { pr_accepted, build_passed, score_milli };
    Outcome { id: OutcomeId::new(job).unwrap(), side, routed_at, work: work.map(Tally::parse), quality }
}

const NOTHING: [Option<u16>; 3] = [None; 3];

/// Seconds since 1970, not so near to a horizon or a cohort's end that the time a test takes could matter.
fn now_s() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap()
}

async fn an_outcome_counts_once_for_ever(subject: &Subject) {
    let store = subject.store.as_ref();
    let routed = now_s() - 100;
    let first = Slot::of(Timestamp::now());
    let record = async |outcome: Outcome| store.record_outcome(&id("m"), outcome).await.unwrap();
    let new = |job, work, pr_accepted, build_passed, score| {
        Recorded::New(Parts { job, work, pr_accepted, build_passed, score })
    };
    let ended = report("job 1", Side::New, routed, Some("work_ok=1 w7=1"), NOTHING);
    assert_eq!(record(ended.clone()).await, new(true, true, false, false, false));
    assert_eq!(record(ended).await, Recorded::Known);
    let again = report("job 1", Side::New, routed + 50, Some("work_bad=1"), [Some(1_000), None, None]);
    assert_eq!(record(again.clone()).await, new(false, false, true, false, false));
    assert_eq!(record(again).await, Recorded::Known);
    let all = [Some(0), Some(0), Some(700)];
    assert_eq!(record(report("job 1", Side::New, routed, None, all)).await, new(false, false, false, true, true));
    // The same id of another migration, and ids of any bytes.
    let other = report("job 1", Side::Legacy, routed, Some("work_ok=1"), NOTHING);
    assert_eq!(store.record_outcome(&id("m.x"), other).await.unwrap(), new(true, true, false, false, false));
    for job in ["ä ö", "a:b", "{x}", "*", "\u{0}", "job 1 ", &"ä".repeat(64)] {
        let outcome = report(job, Side::New, routed, Some("work_ok=1"), NOTHING);
        assert_eq!(record(outcome.clone()).await, new(true, true, false, false, false), "{job:?}");
        assert_eq!(record(outcome).await, Recorded::Known, "{job:?}");
    }
    let ended = report("job 3", Side::Legacy, routed, Some(""), NOTHING);
    assert_eq!(record(ended).await, new(true, true, false, false, false), "it has ended and nobody counts it");
    let known = report("job 2", Side::Legacy, routed, None, NOTHING);
    assert_eq!(record(known.clone()).await, new(true, false, false, false, false), "it is known and has not ended");
    assert_eq!(record(known).await, Recorded::Known);

    // The ends are counted in the slots that ran, beside what routers count.
    let slot = Slot::of(Timestamp::now());
    let row = Row { migration: id("m"), slot, side: Side::New, tally: Tally::parse("2xx=3") };
    store.beat(&word("r", 1), &[row]).await.unwrap();
    let counted = store.counts(&id("m"), first.minus(1)..=slot.plus(1)).await.unwrap();
    let mut sum = SlotCounts::default();
    for counts in &counted {
        Side::ALL.into_iter().for_each(|side| sum.add(side, counts.side(side)));
    }
    assert_eq!((sum.new.to_text().as_str(), sum.legacy.is_empty()), ("2xx=3 w7=1 work_ok=8", true));
}

async fn an_outcome_has_one_side(subject: &Subject) {
    let store = subject.store.as_ref();
    let routed = now_s() - 100;
    let record = async |outcome: Outcome| store.record_outcome(&id("m"), outcome).await;
    record(report("a", Side::New, routed, Some("work_ok=1"), NOTHING)).await.unwrap();
    let refused = record(report("a", Side::Legacy, routed, None, [Some(1_000), None, None])).await.unwrap_err();
    assert!(matches!(refused, RecordError::SideDiffers { before: Side::New, reported: Side::Legacy }), "{refused}");
    let too_good = report("b", Side::New, routed, None, [None, None, Some(1_001)]);
    assert!(matches!(record(too_good).await, Err(RecordError::Invalid(_))));
    let cohorts = store.cohorts(&id("m")).await.unwrap();
    assert_eq!(cohorts.iter().map(|cohort| (cohort.side, cohort.sums.jobs)).collect::<Vec<_>>(), [(Side::New, 1)]);
}

/// The cohorts of `m`: how many seconds ago each began, its side and its sums.
async fn cohorts(store: &dyn Store, now: u64) -> Vec<(u64, Side, String)> {
    let cohorts = store.cohorts(&id("m")).await.unwrap();
    cohorts.iter().map(|cohort| (now - cohort.from, cohort.side, cohort.sums.to_text())).collect()
}

async fn cohorts_move_with_what_is_told(subject: &Subject) {
    let store = subject.store.as_ref();
    // The middle of a cohort, so that a few seconds more or less are the same cohort.
    let now = now_s() / 300 * 300 + 150;
    let record = async |job: &str, side: Side, ago: u64, measures: [Option<u16>; 3]| {
        store.record_outcome(&id("m"), report(job, side, now - ago, None, measures)).await.unwrap();
    };
    assert_eq!(cohorts(store, now).await, []);
    record("now", Side::New, 600, [Some(1_000), None, None]).await;
    record("now", Side::New, 600, [None, Some(0), Some(701)]).await;
    record("five minutes ago", Side::New, 300, NOTHING).await;
    record("now on legacy", Side::Legacy, 600, [None, None, Some(1)]).await;
    record("two hours ago", Side::New, 7_200, [Some(1_000), None, None]).await;
    record("two days ago", Side::New, 172_800, [Some(1_000), None, None]).await;
    record("four days ago", Side::New, 345_600, [Some(1_000), None, None]).await;
    record("six days ago", Side::New, 518_400, [Some(1_000), None, None]).await;
    record("of a clock that is ahead", Side::New, 0, NOTHING).await;
    let expected = [
        (345_750, Side::New, "1 0 0 0 0 0 0"),
        (172_950, Side::New, "1 0 0 1 0 0 1000"),
        (7_350, Side::New, "1 0 1 1 0 1000 1000"),
        (750, Side::Legacy, "1 1 1 1 1 1 1"),
        (750, Side::New, "1 1 1 1 567 567 567"),
        (450, Side::New, "1 0 0 0 0 0 0"),
        (150, Side::New, "1 0 0 0 0 0 0"),
    ];
    let found = cohorts(store, now).await;
    let found: Vec<_> = found.iter().map(|(ago, side, sums)| (*ago, *side, sums.as_str())).collect();
    assert_eq!(found, expected);
}

async fn damaged_outcomes_and_cohorts_begin_anew(subject: &Subject) {
    let store = subject.store.as_ref();
    let routed = now_s() - 600;
    let record = async |migration: &str, job: &str| {
        let outcome = report(job, Side::New, routed, None, [Some(1_000), None, None]);
        store.record_outcome(&id(migration), outcome).await.unwrap()
    };
    let all = Recorded::New(Parts { job: true, pr_accepted: true, ..Parts::default() });
    assert_eq!((record("m", "a").await, record("n", "a").await), (all, all));
    for damage in ["", "garbage", "new 1 1 1 - - 1001:0", "old 1 1 1 - - -", "new 1 1 1 - - - ", "new x 1 1 - - -"] {
        (subject.damage_record)(Record::Outcome("m", "a"), damage.into()).await;
        assert_eq!((record("m", "a").await, record("m", "a").await), (all, Recorded::Known), "{damage:?}");
    }
    assert_eq!(record("n", "a").await, Recorded::Known, "others are as they were");
    let from = routed / 300 * 300;
    let sums = async |migration: &str| {
        let cohorts = store.cohorts(&id(migration)).await.unwrap();
        cohorts.iter().map(|cohort| cohort.sums.to_text()).collect::<Vec<_>>()
    };
    assert_eq!(
        (sums("m").await, sums("n").await),
        (vec!["7 7 7 7 7000 7000 7000".into()], vec!["1 1 1 1 1000 1000 1000".into()])
    );
    for damage in
        ["", "1 2 3 4 5 6", "1 2 3 4 5 6 7 8", "1  2 3 4 5 6 7", "1 2 3 4 5 6 x", "1 2 3 4 5 6 1000000000000000"]
    {
        (subject.damage_record)(Record::Cohort("m", from, Side::New), damage.into()).await;
        assert_eq!(sums("m").await, Vec::<String>::new(), "{damage:?}");
        record("m", &format!("job {damage}")).await;
        assert_eq!(sums("m").await, ["1 1 1 1 1000 1000 1000"], "{damage:?}");
    }
    // What a damaged sum would bring below 0 stays there.
    (subject.damage_record)(Record::Cohort("m", from, Side::New), "0 0 0 0 0 0 0".into()).await;
    let worse = report("a", Side::New, routed, None, [None, Some(0), None]);
    store.record_outcome(&id("m"), worse).await.unwrap();
    assert_eq!(sums("m").await, ["0 0 0 0 0 0 0"]);
    assert_eq!(sums("n").await, ["1 1 1 1 1000 1000 1000"]);
}

async fn a_day_remembers_so_many_jobs(subject: &Subject) {
    let store = subject.store.as_ref();
    let routed = now_s() - 100;
    let record = async |migration: &str, job: &str, score: Option<u16>| {
        let outcome = report(job, Side::New, routed, None, [None, None, score]);
        store.record_outcome(&id(migration), outcome).await
    };
    record("m", "known", None).await.unwrap();
    // Near midnight the day may be another by now.
    for day in [now_s() / 86_400, now_s() / 86_400 + 1] {
        (subject.damage_record)(Record::Remembered("m", day), (REMEMBERED_MAX - 1).to_string()).await;
    }
    record("m", "the last", None).await.unwrap();
    let refused = record("m", "one more", None).await.unwrap_err();
    assert!(matches!(&refused, RecordError::Full { max: REMEMBERED_MAX, .. }), "{refused}");
    assert!(refused.to_string().contains("tomorrow"), "{refused}");
    let more = record("m", "known", Some(5)).await.unwrap();
    assert_eq!(more, Recorded::New(Parts { score: true, ..Parts::default() }), "what is known goes on");
    record("n", "one more", None).await.unwrap();
}

async fn of_reports_at_the_same_time_one_counts(subject: &Subject) {
    const REPORTERS: usize = 8;
    let routed = now_s() - 100;
    for job in ["a", "b", "c"] {
        let reporters = (0..REPORTERS).map(|_| {
            let store = Arc::clone(&subject.store);
            tokio::spawn(async move {
                let outcome = report(job, Side::New, routed, Some("work_ok=1"), [Some(1_000), None, None]);
                store.record_outcome(&id("m"), outcome).await.unwrap()
            })
        });
        let mut new = 0;
        for reporter in reporters.collect::<Vec<_>>() {
            new += usize::from(reporter.await.unwrap() != Recorded::Known);
        }
        assert_eq!(new, 1, "of {job}");
    }
    let cohorts = subject.store.cohorts(&id("m")).await.unwrap();
    assert_eq!(cohorts.iter().map(|cohort| cohort.sums.jobs).sum::<u64>(), 3);
}

/// The script of Redis and the code of the others answer the same, whatever is reported in whatever order.
async fn any_reports_are_computed_alike(subject: &Subject) {
    let store = subject.store.as_ref();
    let now = now_s() / 300 * 300 + 150;
    let (mut known, mut sums) = (std::collections::BTreeMap::new(), std::collections::BTreeMap::new());
    // A fixed sequence that looks like none: each report of one of 12 jobs, some of other sides.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut roll = |sides: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % sides
    };
    for _ in 0..300 {
        let job = roll(12);
        let ago = [600, 3_900, 7_200, 100_000, 200_000, 300_000][usize::try_from(job / 2).unwrap()];
        let side = if roll(8) == 0 { Side::Legacy } else { Side::New };
        let measures = [0, 1, 2].map(|_| (roll(3) == 0).then_some(()));
        let [pr, build, score] = measures;
        let milli = u16::try_from(roll(1_001)).unwrap();
        let measures = [pr.map(|()| milli / 501 * 1_000), build.map(|()| milli % 2 * 1_000), score.map(|()| milli)];
        let work = (roll(4) == 0).then_some("work_ok=1");
        let outcome = report(&job.to_string(), side, now - ago, work, measures);
        let before: Option<Known> = known.get(&job).copied();
        match fold(before.as_ref(), &outcome, now) {
            Ok((next, parts)) => {
                let key = (next.cohort(), next.side);
                sums.insert(key, moved(sums.get(&key).copied(), before.as_ref(), &next));
                known.insert(job, next);
                assert_eq!(store.record_outcome(&id("m"), outcome).await.unwrap(), Recorded::from(parts));
            }
            Err(_) => {
                let refused = store.record_outcome(&id("m"), outcome).await.unwrap_err();
                assert!(matches!(refused, RecordError::SideDiffers { .. }), "{refused}");
            }
        }
    }
    let found = store.cohorts(&id("m")).await.unwrap();
    let found: Vec<_> = found.iter().map(|cohort| ((cohort.from, cohort.side), cohort.sums)).collect();
    assert_eq!(found, sums.into_iter().collect::<Vec<_>>());
}
