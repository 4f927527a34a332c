mod explore;

use proptest::prelude::*;

use super::*;
use crate::bucket::{BasisPoints, Bucket};
use crate::mode::Mode;

fn pinned(owner: Side) -> Record {
    let pin = (Mode::Gradual, BasisPoints::new(2_500).unwrap(), Some(Bucket::from_hash(0)), 7);
    Record::pinned(owner, 1, pin, 1_000)
}

fn event() -> DeliveryId {
    DeliveryId::new("event").unwrap()
}

fn report(side: Side, epoch: u64, word: Word) -> Report {
    let issue = crate::ledger::IssueId::new("i").unwrap();
    Report { issue, side, epoch, word, delivery: None, workflow: None }
}

/// What follows from the answers to the first event of an issue of one side, each given as soon as it is tried.
#[track_caller]
fn check(owner: Side, answers: &[Answer], expected: Settled, state: State) {
    let (mut record, mut now) = (pinned(owner), 1_000);
    record.enqueue(now);
    let mut last = Settled::Fenced;
    for answer in answers {
        now = now.max(record.due_ms);
        let Taken::Send { token, .. } = record.claim(Lane::Only, &event(), now) else { panic!("{record:?}") };
        last = record.settle(Lane::Only, token, *answer, now).0;
    }
    assert_eq!((last, record.state()), (expected, state), "{answers:?}: {record:?}");
}

#[test]
fn each_class_of_answers_has_its_consequence() {
    use Answer::{Accepted, Ambiguous, InProgress, NotAccepted, Rejected};
    for side in Side::ALL {
        check(side, &[Accepted], Settled::Delivered, State::Running);
        check(side, &[InProgress], Settled::Delivered, State::Running);
        check(side, &[Rejected], Settled::Parked, State::Parked);
        check(side, &[Ambiguous], Settled::Again { at_ms: 1_000 }, State::Waiting);
        check(side, &[Ambiguous, Ambiguous], Settled::Again { at_ms: 3_000 }, State::Waiting);
        check(side, &[Ambiguous; 9], Settled::Dead, State::Parked);
    }
    let moved = Settled::Reassigned { to: Side::Legacy, epoch: 2 };
    check(Side::New, &[NotAccepted; 3], moved, State::Waiting);
    check(Side::Legacy, &[NotAccepted; 3], Settled::Again { at_ms: 13_000 }, State::Waiting);
    check(
        Side::New,
        &[Ambiguous, NotAccepted, NotAccepted, NotAccepted],
        Settled::Again { at_ms: 73_000 },
        State::Waiting,
    );
}

#[test]
fn work_that_ends_before_its_answer_has_ended() {
    let mut record = pinned(Side::New);
    record.enqueue(1_000);
    let Taken::Send { token, .. } = record.claim(Lane::Only, &event(), 1_000) else { panic!("{record:?}") };
    let ended = Word::Ended { success: Some(true) };
    assert_eq!(record.report(Lane::Only, &report(Side::New, 1, ended), 1_001), Reported::Ended);
    assert_eq!(record.settle(Lane::Only, token, Answer::Accepted, 1_002), (Settled::Delivered, true));
    assert_eq!((record.state(), record.success), (State::Ended, Some(true)));
}

#[test]
fn the_end_of_an_earlier_event_is_no_news() {
    let mut record = pinned(Side::New);
    record.enqueue(1_000);
    let Taken::Send { token, .. } = record.claim(Lane::Only, &event(), 1_000) else { panic!("{record:?}") };
    record.settle(Lane::Only, token, Answer::Accepted, 1_000);
    let ended = Word::Ended { success: None };
    let of = |name: &str| Report { delivery: Some(DeliveryId::new(name).unwrap()), ..report(Side::New, 1, ended) };
    let before = record.clone();
    assert_eq!(record.report(Lane::Only, &of("earlier"), 2_000), Reported::Ended);
    assert_eq!(record, before);
    assert_eq!(record.report(Lane::Only, &of("event"), 2_000), Reported::Ended);
    assert_eq!(record.state(), State::Ended);
}

#[test]
fn a_declared_silence_is_a_longer_lease_within_bounds() {
    let mut record = pinned(Side::New);
    for (max_ms, until_ms) in [
        (None, 1_000 + LEASE_MS),
        (Some(600_000), 601_000),
        (None, 601_000),
        (Some(1), 1_000 + LEASE_MS),
        (Some(u64::MAX), 1_000 + SILENT_MS_MAX),
    ] {
        let beat = Word::Heartbeat { max_ms };
        assert_eq!(record.report(Lane::Only, &report(Side::New, 1, beat), 1_000), Reported::Renewed { until_ms });
    }
}

#[test]
fn only_the_owner_at_its_epoch_is_heard() {
    let mut record = pinned(Side::New);
    let before = record.clone();
    for (side, epoch, split_brain) in [(Side::Legacy, 1, true), (Side::New, 2, false), (Side::Legacy, 2, true)] {
        let fenced = Reported::Fenced { owner: Side::New, epoch: 1, split_brain };
        assert_eq!(record.report(Lane::Only, &report(side, epoch, Word::Ended { success: None }), 2_000), fenced);
    }
    assert_eq!(record, before);
}

#[test]
fn what_a_router_did_not_write_is_no_short_record() {
    let good = "n 3 12 1760000000000 y g 2500 17 1200";
    assert_eq!(Record::from_short(good).unwrap().to_short(), good);
    for bad in [
        "",
        "n",
        "new 3 12 1 y g 2500 17 1200",
        "x 3 12 1 y g 2500 17 1200",
        "n 3 12 1 ? g 2500 17 1200",
        "n 3 12 1 y x 2500 17 1200",
        "n 3 12 1 y g 10001 17 1200",
        "n 3 12 1 y g 2500 17",
        "n 3 12 1 y g 2500 17 1200 1",
        "n -3 12 1 y g 2500 17 1200",
    ] {
        assert_eq!(Record::from_short(bad), None, "{bad}");
    }
}

proptest! {
    /// What is kept of an issue that has ended is what decides of its next event.
    #[test]
    fn a_short_record_keeps_what_matters(
        new: bool, epoch in 1..1_000u64, token in 0..1_000u64, at in 0..2_000_000_000_000u64,
        success: Option<bool>, share in 0..=10_000u16, bucket in prop::option::of(0..10_000u16), revision: u32,
    ) {
        let owner = if new { Side::New } else { Side::Legacy };
        for mode in Mode::ALL {
            let pin = (mode, BasisPoints::new(share).unwrap(), None, revision.into());
            let mut record = Record::pinned(owner, epoch, pin, at);
            (record.run, record.token, record.success, record.bucket) = (Run::Ended, token, success, bucket);
            let short = record.to_short();
            prop_assert_eq!(Record::from_short(&short), Some(record));
        }
    }

    /// The stored form reads back.
    #[test]
    fn a_stored_record_reads_back(waiting in 0..5u32, claim in 0..5u64, lease in 0..5u64, parked: bool) {
        let mut record = pinned(Side::New);
        (record.waiting, record.claim_ms, record.lease_ms) = (waiting, claim, lease);
        record.parked = parked.then_some(Parked::Dead);
        let text = serde_json::to_string(&record).unwrap();
        prop_assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    }
}
