//! What every store promises of the ledger of issues: told cases, and random calls held to the model in memory.

mod again;
mod moves;
mod random;

use std::future::Future;
use std::sync::Arc;

use super::id;
use crate::bucket::{BasisPoints, Bucket};
use crate::ledger::rules::{BACKOFF_MS, CLAIM_MS, GRACE_MS, LEASE_MS, Parked, State};
use crate::ledger::view::{Choice, Filter, Quarantined, What};
use crate::ledger::{
    Accepted, Answer, Claimed, Delivery, DeliveryId, Handed, IssueId, Lane, Placed, Placement, Report, Reported,
    Settled, Why, Word,
};
use crate::migration::Side;
use crate::mode::Mode;
use crate::store::Store;
use crate::store::ledger::{DUTY_MS_MAX, Duty, Ledger, Person, Policy, Taking};

/// The first moment of every test.
const START: u64 = 1_760_000_000_000;

/// A store without any issue, and its clock.
pub(crate) struct Subject {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) set_time: Box<dyn Fn(u64) + Send + Sync>,
    /// What must live as long as the store does.
    pub(crate) _keeps: Box<dyn std::any::Any + Send + Sync>,
}

impl Subject {
    fn at(&self, after_ms: u64) -> &dyn Ledger {
        (self.set_time)(START + after_ms);
        self.store.ledger()
    }

    /// For both sides, and what goes to the other side meanwhile.
    async fn claim(&self, after_ms: u64) -> Vec<Claimed> {
        let mut all = Vec::new();
        for side in [Side::Legacy, Side::New, Side::Legacy] {
            match self.at(after_ms).claim(&id("m"), 100, side, 10).await.unwrap() {
                Taking::Taken { claims, .. } => all.extend(claims),
                Taking::Stale { actual } => panic!("revision {actual}"),
            }
        }
        all
    }

    async fn one(&self, after_ms: u64) -> Claimed {
        let mut claims = self.claim(after_ms).await;
        assert_eq!(claims.len(), 1, "{claims:?}");
        claims.remove(0)
    }

    async fn settle(&self, after_ms: u64, claimed: &Claimed, answer: Answer) -> Settled {
        self.at(after_ms).settle(&id("m"), &claimed.claim, answer, "d").await.unwrap()
    }

    async fn report(&self, after_ms: u64, issue: &str, side: Side, epoch: u64, word: Word) -> Reported {
        let report = Report { issue: issue_id(issue), side, epoch, word, delivery: None, workflow: Some("wf".into()) };
        self.at(after_ms).report(&id("m"), &report).await.unwrap()
    }

    async fn accept(&self, after_ms: u64, event: &str, issue: &str, to: Placed) -> Accepted {
        self.at(after_ms).accept(&id("m"), &delivery(event, issue, event), &placement(to)).await.unwrap()
    }

    async fn state(&self, after_ms: u64, issue: &str) -> (State, Side, u64) {
        let shown = self.at(after_ms).show(&id("m"), &issue_id(issue)).await.unwrap().unwrap();
        let record = &shown.records[0].listed.record;
        (record.state(), record.owner, record.epoch)
    }
}

pub(crate) async fn run<F: Future<Output = Subject>>(empty: impl Fn() -> F) {
    an_event_is_told_apart_and_given_an_owner_in_one_step(&empty().await).await;
    events_of_an_issue_go_one_at_a_time_in_order(&empty().await).await;
    a_claim_that_goes_silent_comes_back_and_its_late_answer_changes_nothing(&empty().await).await;
    what_is_certainly_refused_goes_to_legacy_and_a_time_out_does_not(&empty().await).await;
    a_dead_letter_holds_its_issue_and_no_other(&empty().await).await;
    moves::work_ends_and_moves_wait_for_it(&empty().await).await;
    moves::a_rollback_moves_what_may_be_moved(&empty().await).await;
    moves::parallel_records_do_not_know_each_other(&empty().await).await;
    again::what_was_delivered_is_sent_once_more_to_whoever_had_it(&empty().await).await;
    again::what_may_not_be_sent_once_more_says_why(&empty().await).await;
    a_stale_router_takes_nothing(&empty().await).await;
    what_has_ended_is_short_and_is_trimmed(&empty().await).await;
    what_is_no_delivery_is_kept_with_its_reason(&empty().await).await;
    what_people_do_is_told(&empty().await).await;
    bodies_and_headers_come_back_byte_for_byte(&empty().await).await;
    racing_routers_take_each_event_once(&empty().await).await;
    one_router_does_what_one_does_for_all(&empty().await).await;
    random::run(&empty().await).await;
}

fn issue_id(text: &str) -> IssueId {
    IssueId::new(text).unwrap()
}

fn delivery(event: &str, issue: &str, body: &str) -> Delivery {
    let mut body_sha256 = [0; 32];
    for (to, from) in body_sha256.iter_mut().zip(body.bytes()) {
        *to = from;
    }
    Delivery {
        id: DeliveryId::new(event).unwrap(),
        issue: issue_id(issue),
        action: "opened".into(),
        body_sha256,
        headers: vec![("x-github-event".into(), "issues".into())],
        body: body.as_bytes().to_vec(),
    }
}

fn placement(to: Placed) -> Placement {
    let mode = if to == Placed::Both { Mode::Parallel } else { Mode::Gradual };
    let share = BasisPoints::new(2_500).unwrap();
    Placement { to, mode, share, bucket: Some(Bucket::from_hash(77)), revision: 10 }
}

const NEW: Placed = Placed::One(Side::New);
const LEGACY: Placed = Placed::One(Side::Legacy);

fn person() -> Person {
    Person { actor: "ann".into(), reason: "weil \"ä\"".into() }
}

async fn an_event_is_told_apart_and_given_an_owner_in_one_step(subject: &Subject) {
    let Accepted::New(owners) = subject.accept(0, "d1", "o/r#1", NEW).await else { panic!("it is new") };
    assert_eq!((owners[0].lane, owners[0].owner, owners[0].epoch), (Lane::Only, Side::New, 1));
    // Its owner stands, whatever is decided later.
    let Accepted::New(again) = subject.accept(1, "d2", "o/r#1", LEGACY).await else { panic!("it is new") };
    assert_eq!(again, owners);
    assert_eq!(subject.accept(2, "d1", "o/r#1", LEGACY).await, Accepted::Duplicate(owners.clone()));
    let ledger = subject.at(3);
    let other = ledger.accept(&id("m"), &delivery("d1", "o/r#1", "x"), &placement(NEW)).await.unwrap();
    assert_eq!(other, Accepted::Conflict);
    let other = ledger.accept(&id("m"), &delivery("d3", "o/r#1", "d1"), &placement(NEW)).await.unwrap();
    assert_eq!(other, Accepted::SameBody);
    // Another migration knows nothing of it.
    let other = ledger.accept(&id("n"), &delivery("d1", "o/r#1", "d1"), &placement(LEGACY)).await.unwrap();
    assert!(matches!(other, Accepted::New(owners) if owners[0].owner == Side::Legacy));
    let totals = ledger.totals(&id("m")).await.unwrap();
    assert_eq!((totals.waiting, totals.oldest_ms), (2, Some(START)));
    // Known for eight days at least, and not for ever.
    const DAY: u64 = 24 * 60 * 60 * 1_000;
    assert!(matches!(subject.accept(8 * DAY, "d1", "o/r#1", NEW).await, Accepted::Duplicate(_)));
    assert!(matches!(subject.accept(13 * DAY, "d1", "o/r#1", NEW).await, Accepted::New(_)));
}

async fn events_of_an_issue_go_one_at_a_time_in_order(subject: &Subject) {
    for (event, issue) in [("a1", "a"), ("a2", "a"), ("b1", "b"), ("a3", "a")] {
        subject.accept(0, event, issue, NEW).await;
    }
    let both = subject.claim(1).await;
    assert_eq!(both.iter().map(|one| one.delivery.id.as_str()).collect::<Vec<_>>(), ["a1", "b1"]);
    assert_eq!((both[0].attempt, both[0].fence.epoch, both[0].received_ms), (1, 1, START));
    assert_eq!(subject.claim(2).await, []);
    assert_eq!(subject.settle(3, &both[0], Answer::Accepted).await, Settled::Delivered);
    let second = subject.one(4).await;
    assert_eq!(second.delivery.id.as_str(), "a2");
    assert_eq!(second.fence.generation, both[0].fence.generation);
    assert_eq!(subject.settle(5, &second, Answer::InProgress).await, Settled::Delivered);
    assert_eq!(subject.one(6).await.delivery.id.as_str(), "a3");
    assert_eq!(subject.settle(7, &second, Answer::Accepted).await, Settled::Fenced);
}

async fn a_claim_that_goes_silent_comes_back_and_its_late_answer_changes_nothing(subject: &Subject) {
    subject.accept(0, "d", "i", NEW).await;
    let first = subject.one(0).await;
    assert_eq!(subject.claim(CLAIM_MS - 1).await, []);
    let again = subject.one(CLAIM_MS).await;
    assert_eq!((again.delivery.id.as_str(), again.attempt, again.owner), ("d", 2, Side::New));
    assert_eq!(subject.settle(CLAIM_MS + 1, &first, Answer::Accepted).await, Settled::Fenced);
    assert_eq!(subject.settle(CLAIM_MS + 2, &again, Answer::Accepted).await, Settled::Delivered);
    assert_eq!(subject.state(CLAIM_MS + 3, "i").await, (State::Running, Side::New, 1));
}

async fn what_is_certainly_refused_goes_to_legacy_and_a_time_out_does_not(subject: &Subject) {
    subject.accept(0, "d", "refused", NEW).await;
    let mut now = 0;
    for wait in [0, 2_000] {
        let claimed = subject.one(now).await;
        let settled = subject.settle(now, &claimed, Answer::NotAccepted).await;
        assert_eq!(settled, Settled::Again { at_ms: START + now + wait });
        now += wait;
    }
    let claimed = subject.one(now).await;
    let settled = subject.settle(now, &claimed, Answer::NotAccepted).await;
    assert_eq!(settled, Settled::Reassigned { to: Side::Legacy, epoch: 2 });
    let claimed = subject.one(now).await;
    assert_eq!((claimed.owner, claimed.fence.epoch, claimed.attempt), (Side::Legacy, 2, 1));
    assert_eq!(subject.settle(now, &claimed, Answer::Accepted).await, Settled::Delivered);

    subject.accept(now, "e", "ambiguous", NEW).await;
    let claimed = subject.one(now).await;
    assert!(matches!(subject.settle(now, &claimed, Answer::Ambiguous).await, Settled::Again { .. }));
    for (answer, wait) in [(Answer::NotAccepted, 0), (Answer::NotAccepted, 2_000), (Answer::NotAccepted, 10_000)] {
        now += wait;
        let claimed = subject.one(now).await;
        assert_eq!(claimed.owner, Side::New);
        assert!(matches!(subject.settle(now, &claimed, answer).await, Settled::Again { .. }), "it may be at work");
    }
}

async fn a_dead_letter_holds_its_issue_and_no_other(subject: &Subject) {
    subject.accept(0, "d1", "bad", LEGACY).await;
    subject.accept(0, "d2", "bad", LEGACY).await;
    let mut now = 0;
    for wait in BACKOFF_MS {
        let claimed = subject.one(now).await;
        let settled = subject.settle(now, &claimed, Answer::Ambiguous).await;
        assert_eq!(settled, Settled::Again { at_ms: START + now + wait });
        now += wait;
        assert!(wait == 0 || subject.claim(now - 1).await.is_empty());
    }
    let claimed = subject.one(now).await;
    assert_eq!(subject.settle(now, &claimed, Answer::NotAccepted).await, Settled::Dead);
    subject.accept(now, "r", "refused", LEGACY).await;
    let claimed = subject.one(now).await;
    assert_eq!(subject.settle(now + 1, &claimed, Answer::Rejected).await, Settled::Parked);
    let letters = subject.at(now).dead_letters(&id("m"), 10).await.unwrap();
    let told: Vec<_> = letters.iter().map(|letter| (letter.delivery.as_str(), letter.why)).collect();
    assert_eq!(told, [("d1", Parked::Dead), ("r", Parked::Rejected)]);
    assert_eq!(subject.claim(now + 1_000_000_000).await, []);

    let (ledger, m) = (subject.at(now + 2), id("m"));
    let dry = ledger.replay(&m, &Choice::All(None), &person(), true).await.unwrap();
    assert_eq!(dry.letters, letters);
    assert_eq!(ledger.totals(&m).await.unwrap().dead, 2, "a dry run does nothing");
    let one = ledger.replay(&m, &Choice::All(Some(Parked::Dead)), &person(), false).await.unwrap();
    assert_eq!(one.letters, letters[..1]);
    let claimed = subject.one(now + 3).await;
    assert_eq!((claimed.delivery.id.as_str(), claimed.attempt), ("d1", 1));
    subject.settle(now + 3, &claimed, Answer::Accepted).await;
    assert_eq!(subject.one(now + 3).await.delivery.id.as_str(), "d2");
    let ledger = subject.at(now + 4);
    let gone = ledger.discard(&m, &Choice::Issue(issue_id("refused")), &person(), false).await.unwrap();
    assert_eq!(gone.letters, letters[1..]);
    let totals = ledger.totals(&m).await.unwrap();
    assert_eq!((totals.dead, totals.waiting), (0, 1));
}

async fn a_stale_router_takes_nothing(subject: &Subject) {
    let loaded = subject.store.load().await.unwrap();
    subject.store.replace(loaded.revision, super::next_write(&loaded, &id("m"), 100)).await.unwrap();
    subject.accept(0, "d", "i", NEW).await;
    let taking = subject.at(0).claim(&id("m"), 0, Side::New, 10).await.unwrap();
    assert_eq!(taking, Taking::Stale { actual: 1 });
    let Taking::Taken { claims, .. } = subject.at(0).claim(&id("m"), 1, Side::New, 10).await.unwrap() else {
        panic!("current")
    };
    assert_eq!(claims.len(), 1);
}

async fn trim(subject: &Subject, after_ms: u64, policy: Policy) -> u64 {
    let (mut gone, mut after) = (0, None);
    loop {
        let (some, next) = subject.at(after_ms).trim(&id("m"), &policy, after.as_deref()).await.unwrap();
        gone += some;
        after = next;
        if after.is_none() {
            return gone;
        }
    }
}

async fn what_has_ended_is_short_and_is_trimmed(subject: &Subject) {
    for number in 0..20 {
        let issue = format!("o/r#{number}");
        subject.accept(number, &issue, &issue, NEW).await;
        let claimed = subject.one(number).await;
        subject.settle(number, &claimed, Answer::Accepted).await;
        if number != 7 {
            let ended = Word::Ended { success: Some(number % 2 == 0) };
            assert_eq!(subject.report(number, &issue, Side::New, 1, ended).await, Reported::Ended);
        }
    }
    let listed = subject.at(30).list(&id("m"), &Filter { limit: 10, ..Filter::default() }).await.unwrap();
    assert_eq!(listed.records.iter().map(|one| one.at.issue.as_str()).collect::<Vec<_>>(), ["o/r#7"]);
    let shown = subject.at(30).show(&id("m"), &issue_id("o/r#3")).await.unwrap().unwrap();
    let record = &shown.records[0].listed.record;
    assert_eq!((record.success, record.bucket, record.changed_ms), (Some(false), Some(0), START + 3));
    assert_eq!(
        shown.events.iter().map(|event| event.what).collect::<Vec<_>>(),
        [What::Ended, What::Delivered, What::Received, What::Pinned]
    );
    let never = Policy { ended_s: 1_000_000, ended_max: 1_000, idle_s: 1_000_000 };
    assert_eq!(trim(subject, 100, never).await, 0);
    assert_eq!(trim(subject, 200_000, Policy { idle_s: 100, ..never }).await, 1);
    let totals = subject.at(200_000).totals(&id("m")).await.unwrap();
    assert_eq!(totals.records, [(State::Ended, Side::New, 20)]);
    assert!(trim(subject, 200_000, Policy { ended_max: 5, ..never }).await >= 15);
    trim(subject, 400_000_000, Policy { ended_s: 10, ..never }).await;
    assert_eq!(subject.at(400_000_000).totals(&id("m")).await.unwrap().records, []);
    assert_eq!(subject.at(400_000_000).show(&id("m"), &issue_id("o/r#3")).await.unwrap(), None);
}

async fn what_is_no_delivery_is_kept_with_its_reason(subject: &Subject) {
    for number in 0..3 {
        let what = Quarantined {
            id: String::new(),
            at_ms: 0,
            reason: "not_json".into(),
            detail: format!("number {number}"),
            delivery: None,
            headers: vec![("a".into(), "b".into())],
            body: "{".into(),
            body_bytes: 1,
        };
        subject.at(number).quarantine(&id("m"), &what).await.unwrap();
    }
    let found = subject.at(9).quarantined(&id("m"), 2).await.unwrap();
    let details: Vec<_> = found.iter().map(|what| what.detail.as_str()).collect();
    assert_eq!(details, ["number 2", "number 1"]);
    assert!(found.iter().all(|what| !what.id.is_empty() && what.at_ms > 0));
    assert_eq!(subject.at(9).totals(&id("m")).await.unwrap().quarantined, 3);
}

async fn what_people_do_is_told(subject: &Subject) {
    subject.accept(0, "d", "i", NEW).await;
    let claimed = subject.one(0).await;
    subject.settle(1, &claimed, Answer::Rejected).await;
    let choice = Choice::Issue(issue_id("i"));
    subject.at(2).replay(&id("m"), &choice, &person(), false).await.unwrap();
    let claimed = subject.one(3).await;
    subject.settle(3, &claimed, Answer::Rejected).await;
    subject.at(4).discard(&id("m"), &choice, &person(), true).await.unwrap();
    subject.at(5).discard(&id("m"), &choice, &person(), false).await.unwrap();
    subject.at(6).hand_over(&id("m"), &issue_id("i"), 1, Side::Legacy, Some(&person()), Why::Operator).await.unwrap();
    let audit = subject.at(7).events(&id("m"), true, 10).await.unwrap();
    let told: Vec<_> = audit.iter().map(|event| (event.what, event.at_ms - START)).collect();
    assert_eq!(told, [(What::HandedOver, 6), (What::Discarded, 5), (What::Replayed, 2)]);
    for event in audit {
        assert_eq!((event.actor, event.reason), (Some("ann".into()), Some("weil \"ä\"".into())));
    }
}

async fn bodies_and_headers_come_back_byte_for_byte(subject: &Subject) {
    let body: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let headers = vec![("x-hub-signature-256".to_owned(), "sha256=ä\"".to_owned()), ("empty".into(), String::new())];
    let event = Delivery { headers, body, ..delivery("d | 1", "ä ö/r: {x}*#1", "b") };
    subject.at(0).accept(&id("m"), &event, &placement(NEW)).await.unwrap();
    assert_eq!(subject.one(0).await.delivery, event);
}

/// Events of as many issues at once; each is there when its call returns, and opened again too.
pub(crate) async fn accept_many(ledger: &dyn Ledger, count: usize) {
    let accepts = (0..count).map(|number| async move {
        let name = format!("many-{number}");
        let accepted = ledger.accept(&id("m"), &delivery(&name, &name, &name), &placement(NEW)).await.unwrap();
        assert!(matches!(accepted, Accepted::New(_)), "{accepted:?}");
    });
    futures_util::future::join_all(accepts).await;
    assert_eq!(ledger.totals(&id("m")).await.unwrap().waiting, u64::try_from(count).unwrap());
}

async fn racing_routers_take_each_event_once(subject: &Subject) {
    const ISSUES: usize = 40;
    for number in 0..ISSUES {
        let name = format!("i{number}");
        subject.accept(0, &name, &name, NEW).await;
    }
    let mut routers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let store = Arc::clone(&subject.store);
        routers.spawn(async move {
            let mut taken = Vec::new();
            for _ in 0..ISSUES {
                let Taking::Taken { claims, .. } = store.ledger().claim(&id("m"), 0, Side::New, 3).await.unwrap()
                else {
                    panic!("current")
                };
                for claimed in claims {
                    store.ledger().settle(&id("m"), &claimed.claim, Answer::Accepted, "").await.unwrap();
                    taken.push(claimed.delivery.id);
                }
            }
            taken
        });
    }
    let mut all = Vec::new();
    while let Some(taken) = routers.join_next().await {
        all.extend(taken.unwrap());
    }
    all.sort_unstable();
    let before = all.len();
    all.dedup();
    assert_eq!((before, all.len()), (ISSUES, ISSUES));
}

async fn one_router_does_what_one_does_for_all(subject: &Subject) {
    let (ledger, m) = (subject.store.ledger(), id("m"));
    let take = |holder: &'static str, for_ms| ledger.take_duty(&m, Duty::Reconcile, holder, for_ms);
    assert!(take("a", DUTY_MS_MAX).await.unwrap());
    assert!(take("a", DUTY_MS_MAX).await.unwrap(), "its holder keeps it");
    assert!(!take("b", 1).await.unwrap());
    assert!(ledger.take_duty(&m, Duty::Trim, "b", 1_000).await.unwrap(), "each duty is one of its own");
    assert!(ledger.take_duty(&id("n"), Duty::Reconcile, "b", 1_000).await.unwrap(), "and each migration's");
    ledger.leave_duty(&m, Duty::Reconcile, "b").await.unwrap();
    assert!(!take("b", 1).await.unwrap(), "nobody gives back what is another's");
    ledger.leave_duty(&m, Duty::Reconcile, "a").await.unwrap();
    assert!(take("b", 1).await.unwrap());
    let ended = async {
        while !take("a", DUTY_MS_MAX).await.unwrap() {
            tokio::task::yield_now().await;
        }
    };
    super::soon("a duty that is not kept ends", ended).await;
}
