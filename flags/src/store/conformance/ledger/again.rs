//! Events that were delivered and are sent once more.

use super::{LEGACY, NEW, START, Subject, issue_id, person};
use crate::ledger::past::{Again, Past, Resent};
use crate::ledger::rules::{GRACE_MS, LEASE_MS};
use crate::ledger::view::{Choice, What};
use crate::ledger::{Answer, DeliveryId, Placed, Settled, Why, Word};
use crate::migration::Side;
use crate::mode::Mode;
use crate::store::conformance::id;
use crate::store::ledger::BODY_KEPT_S;

const GRADUAL: (Mode, u64) = (Mode::Gradual, 100);

async fn deliver(subject: &Subject, after_ms: u64, event: &str, issue: &str, to: Placed) {
    subject.accept(after_ms, event, issue, to).await;
    for claimed in subject.claim(after_ms).await {
        assert_eq!(subject.settle(after_ms, &claimed, Answer::Accepted).await, Settled::Delivered);
    }
}

async fn resend(subject: &Subject, after_ms: u64, events: &[&str], as_of: (Mode, u64), dry_run: bool) -> Vec<Again> {
    let events: Vec<_> = events.iter().map(|event| DeliveryId::new(event).unwrap()).collect();
    subject.at(after_ms).resend(&id("m"), &events, as_of, &person(), dry_run).await.unwrap()
}

async fn resent(subject: &Subject, after_ms: u64, event: &str) -> Vec<Resent> {
    let dry = resend(subject, after_ms, &[event], GRADUAL, true).await;
    let told = resend(subject, after_ms, &[event], GRADUAL, false).await;
    assert_eq!(dry, told, "a dry run tells the same");
    told.iter().map(|again| again.resent).collect()
}

pub(super) async fn what_was_delivered_is_sent_once_more_to_whoever_had_it(subject: &Subject) {
    deliver(subject, 0, "d1", "a", NEW).await;
    deliver(subject, 1, "d2", "a", NEW).await;
    deliver(subject, 2, "e1", "b", LEGACY).await;
    let past = |issue: Option<&str>, since: u64, until: u64| Past {
        issue: issue.map(issue_id),
        since_ms: START + since,
        until_ms: START + until,
    };
    let ledger = subject.at(3);
    let found = ledger.delivered(&id("m"), &past(Some("a"), 0, 10)).await.unwrap();
    assert_eq!(found.events.iter().map(DeliveryId::as_str).collect::<Vec<_>>(), ["d1", "d2"]);
    assert_eq!(ledger.delivered(&id("m"), &past(None, 1, 2)).await.unwrap().events[0].as_str(), "d2");

    let dry = resend(subject, 4, &["d2", "d1", "e1"], GRADUAL, true).await;
    assert_eq!(dry.iter().map(|again| again.resent).collect::<Vec<_>>(), [Resent::Again; 3]);
    assert_eq!(dry[0].had.as_ref().map(|(at, side)| (at.issue.as_str(), *side)), Some(("a", Side::New)));
    assert!(subject.claim(4).await.is_empty(), "a dry run does nothing");
    assert_eq!(resend(subject, 5, &["d2", "d1", "e1"], GRADUAL, false).await, dry);
    // Behind what waits, one at a time, under the id that it had and the fence of today.
    subject.accept(6, "d3", "a", NEW).await;
    for (event, also) in [("d2", Some("e1")), ("d1", None), ("d3", None)] {
        let claims = subject.claim(7).await;
        let ids: Vec<_> = claims.iter().map(|claimed| claimed.delivery.id.as_str()).collect();
        let mut expected: Vec<_> = also.into_iter().chain([event]).collect();
        expected.sort_unstable_by_key(|id| ids.iter().position(|own| own == id));
        assert_eq!(ids, expected);
        for claimed in claims {
            assert_eq!((claimed.fence.epoch, claimed.attempt), (1, 1));
            subject.settle(7, &claimed, Answer::Accepted).await;
        }
    }
    let audit = subject.at(8).events(&id("m"), true, 10).await.unwrap();
    let told: Vec<_> = audit.iter().map(|event| (event.what, event.detail.as_str())).collect();
    assert_eq!(told, [(What::Resent, "e1"), (What::Resent, "d1"), (What::Resent, "d2")]);
    // As often as somebody wants.
    assert_eq!(resent(subject, 9, "d1").await, [Resent::Again]);
}

pub(super) async fn what_may_not_be_sent_once_more_says_why(subject: &Subject) {
    assert_eq!(resent(subject, 0, "none").await, [Resent::Unknown]);
    subject.accept(0, "d", "a", NEW).await;
    assert_eq!(resent(subject, 0, "d").await, [Resent::Waits]);
    let claimed = subject.one(1).await;
    subject.settle(1, &claimed, Answer::Rejected).await;
    subject.at(2).discard(&id("m"), &Choice::Issue(issue_id("a")), &person(), false).await.unwrap();
    assert_eq!(resent(subject, 3, "d").await, [Resent::NotDelivered]);

    // Nobody gets again what the other one has done.
    deliver(subject, 4, "f", "b", NEW).await;
    let m = id("m");
    subject.at(5).hand_over(&m, &issue_id("b"), 1, Side::Legacy, None, Why::Safe).await.unwrap();
    assert_eq!(resent(subject, 6, "f").await, [Resent::Moved], "it is going there");
    subject.report(7, "b", Side::New, 1, Word::Ended { success: None }).await;
    assert_eq!(resent(subject, 8, "f").await, [Resent::Moved]);

    // Also when the issue goes while the event waits: it is passed over, and the next one is sent.
    deliver(subject, 9, "g", "c", NEW).await;
    assert_eq!(resent(subject, 10, "g").await, [Resent::Again]);
    subject.accept(11, "h", "c", NEW).await;
    subject.at(12).hand_over(&m, &issue_id("c"), 1, Side::Legacy, Some(&person()), Why::Operator).await.unwrap();
    let claims = [subject.claim(13).await, subject.claim(13).await].concat();
    let told: Vec<_> = claims.iter().map(|own| (own.delivery.id.as_str(), own.owner)).collect();
    assert_eq!(told, [("h", Side::Legacy)]);
    subject.settle(13, &claims[0], Answer::Accepted).await;
    let shown = subject.at(14).show(&m, &issue_id("c")).await.unwrap().unwrap();
    assert!(shown.events.iter().any(|event| event.what == What::PassedOver && event.detail == "g"));
    assert_eq!(subject.at(14).totals(&m).await.unwrap().waiting, 0);

    // What a rollback took from new is not given to it again.
    deliver(subject, 15, "i", "e", NEW).await;
    let rolled = resend(subject, 16, &["i"], (Mode::EmergencyRollback, 100), false).await;
    assert_eq!(rolled[0].resent, Resent::RolledBack);
    let later = 17 + LEASE_MS + GRACE_MS;
    assert_eq!(resent(subject, later, "i").await, [Resent::Again]);
    for claimed in subject.claim(later).await {
        subject.settle(later, &claimed, Answer::Accepted).await;
    }
    // Bodies are kept for a day after their last delivery.
    assert_eq!(resend(subject, later + BODY_KEPT_S * 1_000 - 1, &["i"], GRADUAL, true).await[0].resent, Resent::Again);
    assert_eq!(resent(subject, later + BODY_KEPT_S * 1_000, "i").await, [Resent::Gone]);
}
