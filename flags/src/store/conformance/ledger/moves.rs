//! Issues that change sides, and those that may not.

use super::*;

pub(super) async fn work_ends_and_moves_wait_for_it(subject: &Subject) {
    subject.accept(0, "d", "i", NEW).await;
    let claimed = subject.one(0).await;
    let busy = subject.at(1).hand_over(&id("m"), &issue_id("i"), 1, Side::Legacy, None, Why::Safe).await.unwrap();
    assert_eq!(busy, Handed::Busy { until_ms: START + CLAIM_MS });
    subject.settle(1, &claimed, Answer::Accepted).await;
    let beat = Word::Heartbeat { max_ms: None };
    assert_eq!(
        subject.report(10_000, "i", Side::New, 1, beat).await,
        Reported::Renewed { until_ms: START + 10_000 + LEASE_MS }
    );
    let waiting =
        subject.at(20_000).hand_over(&id("m"), &issue_id("i"), 1, Side::Legacy, None, Why::Safe).await.unwrap();
    assert_eq!(waiting, Handed::Waiting { lease_until_ms: START + 10_000 + LEASE_MS });
    subject.accept(20_000, "e", "i", NEW).await;
    assert_eq!(subject.claim(20_001).await, [], "nothing more goes to an owner that is to lose it");
    let ended = Word::Ended { success: Some(true) };
    assert_eq!(
        subject.report(20_002, "i", Side::New, 1, ended).await,
        Reported::HandedOver { to: Side::Legacy, epoch: 2 }
    );
    let fenced = Reported::Fenced { owner: Side::Legacy, epoch: 2, split_brain: true };
    assert_eq!(subject.report(20_003, "i", Side::New, 1, beat).await, fenced);
    let claimed = subject.one(20_004).await;
    assert_eq!((claimed.owner, claimed.fence.epoch), (Side::Legacy, 2));
    subject.settle(20_004, &claimed, Answer::Accepted).await;

    // A lease that runs out lets it move too, and so does a person at any time.
    let m = id("m");
    let waiting = subject.at(20_005).hand_over(&m, &issue_id("i"), 2, Side::New, None, Why::Safe).await.unwrap();
    assert!(matches!(waiting, Handed::Waiting { .. }), "{waiting:?}");
    let out = 20_004 + LEASE_MS + GRACE_MS;
    assert_eq!(subject.at(out - 1).sweep(&m).await.unwrap().moved, 0);
    assert_eq!(subject.at(out).sweep(&m).await.unwrap().moved, 1);
    assert_eq!(subject.state(out, "i").await, (State::Idle, Side::New, 3));
    let stale =
        subject.at(out).hand_over(&m, &issue_id("i"), 2, Side::Legacy, Some(&person()), Why::Operator).await.unwrap();
    assert_eq!(stale, Handed::Fenced { epoch: 3 });
    let over =
        subject.at(out).hand_over(&m, &issue_id("i"), 3, Side::Legacy, Some(&person()), Why::Operator).await.unwrap();
    assert_eq!(over, Handed::Over { epoch: 4 });
    assert_eq!(subject.report(out, "unheard", Side::New, 1, beat).await, Reported::Unknown);
}

pub(super) async fn a_rollback_moves_what_may_be_moved(subject: &Subject) {
    for issue in ["running", "unsent", "ended", "of-legacy"] {
        subject.accept(0, issue, issue, if issue == "of-legacy" { LEGACY } else { NEW }).await;
    }
    for claimed in subject.claim(0).await {
        match claimed.delivery.id.as_str() {
            "unsent" => subject.settle(0, &claimed, Answer::NotAccepted).await,
            _ => subject.settle(0, &claimed, Answer::Accepted).await,
        };
    }
    subject.report(1, "ended", Side::New, 1, Word::Ended { success: None }).await;
    let step = subject.at(2).roll_back(&id("m"), 20, None).await.unwrap();
    assert_eq!((step.moved, step.waiting, step.parked, step.next), (1, 1, 0, None));
    assert_eq!(subject.state(2, "unsent").await, (State::Waiting, Side::Legacy, 2));
    assert_eq!(subject.state(2, "running").await, (State::Moving, Side::New, 1));
    assert_eq!(subject.state(2, "ended").await, (State::Ended, Side::New, 1));
    // Its next event moves what has ended; and what was decided before the rollback does not reach new.
    subject.accept(3, "late", "ended", NEW).await;
    assert_eq!(subject.state(3, "ended").await, (State::Waiting, Side::Legacy, 2));
    subject.accept(3, "stale", "other", NEW).await;
    assert_eq!(subject.state(3, "other").await.1, Side::Legacy);
    let fresh = Placement { revision: 20, ..placement(NEW) };
    subject.at(3).accept(&id("m"), &delivery("fresh", "fresh", "fresh"), &fresh).await.unwrap();
    assert_eq!(subject.state(3, "fresh").await.1, Side::New);
    let moved = subject.at(LEASE_MS + GRACE_MS).sweep(&id("m")).await.unwrap();
    assert_eq!(moved.moved, 1);
    assert_eq!(subject.state(LEASE_MS + GRACE_MS, "running").await, (State::Idle, Side::Legacy, 2));
}

pub(super) async fn parallel_records_do_not_know_each_other(subject: &Subject) {
    let Accepted::New(owners) = subject.accept(0, "d", "i", Placed::Both).await else { panic!("it is new") };
    assert_eq!(owners.iter().map(|one| one.lane).collect::<Vec<_>>(), [Lane::Legacy, Lane::New]);
    let both = subject.claim(0).await;
    assert_eq!(both.iter().map(|one| one.owner).collect::<Vec<_>>(), [Side::New, Side::Legacy].map(Side::other));
    for claimed in &both {
        let answer = if claimed.owner == Side::New { Answer::NotAccepted } else { Answer::Accepted };
        subject.settle(0, claimed, answer).await;
    }
    let handed = subject
        .at(0)
        .hand_over(&id("m"), &issue_id("i"), 1, Side::Legacy, Some(&person()), Why::Operator)
        .await
        .unwrap();
    assert_eq!(handed, Handed::Parallel);
    // It stays parallel while any of it is at work, and is decided anew afterwards.
    let Accepted::New(owners) = subject.accept(1, "e", "i", NEW).await else { panic!("it is new") };
    assert_eq!(owners.len(), 2);
    let step = subject.at(2).roll_back(&id("m"), 20, None).await.unwrap();
    assert_eq!((step.moved, step.parked), (0, 1));
    let dropped = subject.at(3).discard(&id("m"), &Choice::All(Some(Parked::RolledBack)), &person(), false).await;
    assert_eq!(dropped.unwrap().letters[0].delivery.as_str(), "d");
    let claimed = subject.claim(4).await;
    assert_eq!(claimed.len(), 2);
    for claimed in &claimed {
        subject.settle(4, claimed, Answer::Accepted).await;
    }
    for side in Side::ALL {
        assert_eq!(subject.report(5, "i", side, 1, Word::Ended { success: None }).await, Reported::Ended);
    }
    let alone = Placement { revision: 30, ..placement(NEW) };
    let accepted = subject.at(6).accept(&id("m"), &delivery("f", "i", "f"), &alone).await.unwrap();
    assert!(matches!(&accepted, Accepted::New(owners) if owners.len() == 1 && owners[0].epoch == 2), "{accepted:?}");
}
