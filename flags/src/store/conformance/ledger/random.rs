//! Random calls, of which a store must answer each as the model in memory does.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::Handle;

use super::{START, Subject, delivery, issue_id, person, placement};
use crate::ledger::book::memory::Memory;
use crate::ledger::book::{Batch, Book, By};
use crate::ledger::rules::Parked;
use crate::ledger::view::{Choice, Filter, PAGE_MAX};
use crate::ledger::{Answer, Claim, DeliveryId, Lane, Placed, Placement, Report, Why, Word};
use crate::migration::{MigrationId, Side};
use crate::mode::Mode;
use crate::store::ledger::{CLAIM_BYTES_MAX, Ledger, Policy, STEP_MAX, Taking};

const CASES: u32 = 64;

/// One call, and how long after the one before.
type Timed = (u64, Call);

#[derive(Clone, Debug)]
enum Call {
    Accept {
        event: u8,
        body: u8,
        issue: u8,
        to: u8,
        revision: u64,
    },
    Claim {
        side: Side,
        limit: usize,
    },
    /// The answer to one of the claims so far, perhaps long outdated.
    Settle {
        claim: usize,
        answer: Answer,
    },
    Report {
        issue: u8,
        side: Side,
        epoch: u64,
        word: Word,
        event: Option<u8>,
    },
    HandOver {
        issue: u8,
        epoch: u64,
        to: Side,
        by_person: bool,
        why: Why,
    },
    Sweep,
    RollBack {
        revision: u64,
    },
    Replay {
        issue: Option<u8>,
        dry_run: bool,
    },
    Resend {
        event: u8,
        revision: u64,
        dry_run: bool,
    },
    Discard {
        issue: Option<u8>,
        kind: Option<Parked>,
        dry_run: bool,
    },
    Trim {
        idle_s: u64,
        ended_s: u64,
    },
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Legacy), Just(Side::New)]
}

fn word() -> impl Strategy<Value = Word> {
    prop_oneof![
        prop::option::of(0..200_000u64).prop_map(|max_ms| Word::Heartbeat { max_ms }),
        prop::option::of(any::<bool>()).prop_map(|success| Word::Ended { success }),
    ]
}

fn call() -> impl Strategy<Value = Call> {
    let issue = 0..3u8;
    prop_oneof![
        6 => (any::<u8>(), 0..40u8, issue.clone(), 0..5u8, 9..13u64)
            .prop_map(|(event, body, issue, to, revision)| Call::Accept { event: event % 40, body, issue, to, revision }),
        8 => (side(), 1..4usize).prop_map(|(side, limit)| Call::Claim { side, limit }),
        8 => (0..3usize, prop::sample::select(Answer::ALL.to_vec()))
            .prop_map(|(claim, answer)| Call::Settle { claim, answer }),
        5 => (issue.clone(), side(), 1..4u64, word(), prop::option::of(0..40u8))
            .prop_map(|(issue, side, epoch, word, event)| Call::Report { issue, side, epoch, word, event }),
        3 => (issue.clone(), 1..4u64, side(), any::<bool>(), prop_oneof![Just(Why::Safe), Just(Why::Operator)])
            .prop_map(|(issue, epoch, to, by_person, why)| Call::HandOver { issue, epoch, to, by_person, why }),
        2 => Just(Call::Sweep),
        1 => (10..13u64).prop_map(|revision| Call::RollBack { revision }),
        2 => (prop::option::of(issue.clone()), any::<bool>())
            .prop_map(|(issue, dry_run)| Call::Replay { issue, dry_run }),
        4 => (0..40u8, 9..13u64, any::<bool>())
            .prop_map(|(event, revision, dry_run)| Call::Resend { event, revision, dry_run }),
        1 => (prop::option::of(issue), prop::option::of(prop::sample::select(Parked::ALL.to_vec())), any::<bool>())
            .prop_map(|(issue, kind, dry_run)| Call::Discard { issue, kind, dry_run }),
        1 => (prop_oneof![Just(0u64), Just(100), Just(1_000_000)], prop_oneof![Just(0u64), Just(1_000_000)])
            .prop_map(|(idle_s, ended_s)| Call::Trim { idle_s, ended_s }),
    ]
}

fn timed() -> impl Strategy<Value = Timed> {
    let wait = prop_oneof![4 => Just(0u64), 4 => 1..3_000u64, 3 => 3_000..80_000u64, 1 => 80_000..400_000_000u64];
    (wait, call())
}

pub(super) async fn run(subject: &Subject) {
    let handle = Handle::current();
    tokio::task::block_in_place(|| {
        let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
        let number = std::cell::Cell::new(0);
        let result = runner.run(&vec(timed(), 1..60), |calls| {
            number.set(number.get() + 1);
            let migration = MigrationId::new(&format!("random-{}", number.get())).unwrap();
            handle.block_on(compare(subject, &migration, calls));
            Ok(())
        });
        if let Err(error) = result {
            panic!("{error}");
        }
    });
}

struct Pair<'a> {
    ledger: &'a dyn Ledger,
    migration: &'a MigrationId,
    model: Memory,
    /// What was claimed so far, the newest last.
    claims: Vec<Claim>,
}

async fn compare(subject: &Subject, migration: &MigrationId, calls: Vec<Timed>) {
    let ledger = subject.store.ledger();
    let mut pair = Pair { ledger, migration, model: Memory::default(), claims: Vec::new() };
    let mut now = START;
    for (wait, call) in calls {
        now += wait;
        (subject.set_time)(now);
        let told = format!("{call:?} at {}", now - START);
        pair.call(call, now, &told).await;
        pair.look(now, &told).await;
    }
}

fn issue(number: u8) -> crate::ledger::IssueId {
    issue_id(["o/r#1", "o/r#2", "key"][usize::from(number)])
}

fn placed(to: u8, revision: u64) -> Placement {
    let (to, mode) = match to {
        0 | 1 => (Placed::One(Side::New), Mode::Gradual),
        2 => (Placed::One(Side::Legacy), Mode::LegacyOnly),
        3 => (Placed::Both, Mode::Parallel),
        _ => (Placed::One(Side::Legacy), Mode::EmergencyRollback),
    };
    Placement { mode, revision, ..placement(to) }
}

impl Pair<'_> {
    async fn call(&mut self, call: Call, now_ms: u64, told: &str) {
        let (ledger, migration) = (self.ledger, self.migration);
        let mut book = Book { shelf: &mut self.model, now_ms };
        let person = person();
        let by: By<'_> = Some((&person.actor, &person.reason));
        match call {
            Call::Accept { event, body, issue: of, to, revision } => {
                let delivery = delivery(&format!("event-{event}"), issue(of).as_str(), &format!("body-{body}"));
                let expected = book.accept(&delivery, &placed(to, revision)).unwrap();
                let found = ledger.accept(migration, &delivery, &placed(to, revision)).await.unwrap();
                assert_eq!(found, expected, "{told}");
            }
            Call::Claim { side, limit } => {
                let Batch { claims, parked, moved } = book.claim(side, limit, CLAIM_BYTES_MAX).unwrap();
                self.claims.extend(claims.iter().map(|claimed| claimed.claim.clone()));
                let found = ledger.claim(migration, 1_000, side, limit).await.unwrap();
                assert_eq!(found, Taking::Taken { claims, parked, moved }, "{told}");
            }
            Call::Settle { claim, answer } => {
                let Some(claim) = self.claims.iter().rev().nth(claim) else { return };
                let expected = book.settle(claim, answer, "why").unwrap();
                assert_eq!(ledger.settle(migration, claim, answer, "why").await.unwrap(), expected, "{told}");
            }
            Call::Report { issue: of, side, epoch, word, event } => {
                let delivery = event.map(|event| DeliveryId::new(&format!("event-{event}")).unwrap());
                let report = Report { issue: issue(of), side, epoch, word, delivery, workflow: Some("w".into()) };
                let expected = book.report(&report).unwrap();
                assert_eq!(ledger.report(migration, &report).await.unwrap(), expected, "{told}");
            }
            Call::HandOver { issue: of, epoch, to, by_person, why } => {
                let expected = book.hand_over(&issue(of), epoch, to, by.filter(|_| by_person), why).unwrap();
                let person = Some(&person).filter(|_| by_person);
                let found = ledger.hand_over(migration, &issue(of), epoch, to, person, why).await.unwrap();
                assert_eq!(found, expected, "{told}");
            }
            Call::Sweep => {
                let expected = book.sweep(STEP_MAX).unwrap();
                let found = ledger.sweep(migration).await.unwrap();
                assert_eq!((found.moved, found.waiting), (expected.moved, expected.waiting), "{told}");
            }
            Call::RollBack { revision } => {
                let (expected, next) = book.roll_back(revision, "", STEP_MAX).unwrap();
                let found = ledger.roll_back(migration, revision, None).await.unwrap();
                let counted = (found.moved, found.waiting, found.parked, found.next);
                assert_eq!(counted, (expected.moved, expected.waiting, expected.parked, next), "{told}");
            }
            call @ (Call::Replay { .. } | Call::Resend { .. } | Call::Discard { .. }) => {
                self.call_by_a_person(call, now_ms, told).await;
            }
            Call::Trim { idle_s, ended_s } => {
                let policy = Policy { ended_s, ended_max: 1_000, idle_s };
                self.model.trim(&policy, now_ms);
                let mut after = None;
                loop {
                    (_, after) = ledger.trim(migration, &policy, after.as_deref()).await.unwrap();
                    if after.is_none() {
                        break;
                    }
                }
            }
        }
    }

    async fn call_by_a_person(&mut self, call: Call, now_ms: u64, told: &str) {
        let (ledger, migration) = (self.ledger, self.migration);
        let mut book = Book { shelf: &mut self.model, now_ms };
        let person = person();
        let by: By<'_> = Some((&person.actor, &person.reason));
        match call {
            Call::Replay { issue: of, dry_run } => {
                let choice = of.map_or(Choice::All(None), |of| Choice::Issue(issue(of)));
                let expected = book.replay(&choice, by, dry_run).unwrap();
                assert_eq!(ledger.replay(migration, &choice, &person, dry_run).await.unwrap(), expected, "{told}");
            }
            Call::Resend { event, revision, dry_run } => {
                let ids: Vec<_> = [event, (event + 1) % 40].map(|event| format!("event-{event}")).into();
                let ids: Vec<_> = ids.iter().map(|id| DeliveryId::new(id).unwrap()).collect();
                let as_of = (Mode::Gradual, revision);
                let expected = book.resend(&ids, as_of, by, dry_run).unwrap();
                let found = ledger.resend(migration, &ids, as_of, &person, dry_run).await.unwrap();
                assert_eq!(found, expected, "{told}");
            }
            Call::Discard { issue: of, kind, dry_run } => {
                let choice = of.map_or(Choice::All(kind), |of| Choice::Issue(issue(of)));
                let expected = book.discard(&choice, by, dry_run).unwrap();
                assert_eq!(ledger.discard(migration, &choice, &person, dry_run).await.unwrap(), expected, "{told}");
            }
            _ => unreachable!("no call of a person: {told}"),
        }
    }

    /// Everything that a store shows is as in the model.
    async fn look(&mut self, now_ms: u64, told: &str) {
        let (ledger, migration) = (self.ledger, self.migration);
        assert_eq!(ledger.totals(migration).await.unwrap(), self.model.totals(now_ms), "after {told}");
        let filter = Filter { limit: PAGE_MAX, ..Filter::default() };
        assert_eq!(ledger.list(migration, &filter).await.unwrap().records, self.model.listed(), "after {told}");
        for issue in (0..3).map(issue) {
            let standing = ledger.standing(migration, &issue).await.unwrap();
            let expected = Book { shelf: &mut self.model, now_ms }.standing(&issue).unwrap();
            assert_eq!(standing, expected, "after {told}");
            let shown = ledger.show(migration, &issue).await.unwrap();
            let shown = shown.map(|shown| shown.records).unwrap_or_default();
            let lanes = Lane::ALL.into_iter().map(|lane| crate::ledger::IssueLane { issue: issue.clone(), lane });
            let expected: Vec<_> = lanes.filter_map(|at| self.model.records.get(&at.to_text())).collect();
            assert_eq!(shown.iter().map(|one| &one.listed.record).collect::<Vec<_>>(), expected, "after {told}");
            for one in shown {
                let queue = self.model.queues.get(&one.listed.at.to_text()).into_iter().flatten();
                let queue: Vec<_> = queue.map(|(id, _)| id.clone()).collect();
                assert_eq!(one.waiting, queue, "after {told}");
            }
        }
        let events = ledger.events(migration, false, 1_000).await.unwrap();
        assert!(events.iter().eq(self.model.events.iter().rev()), "after {told}: {events:#?}");
        let audit = ledger.events(migration, true, 1_000).await.unwrap();
        assert!(audit.iter().eq(self.model.events.iter().rev().filter(|event| event.actor.is_some())), "after {told}");
    }
}
