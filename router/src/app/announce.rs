//! Logs, counts and tells the swaps and changes of migrations that this router sees, whoever made them.
//!
//! What was changed and changed back between two looks, as while the store was away, is in the history alone.
//!
//! # Who tells
//!
//! Every router of a fleet sees every change. Receivers that know a notice by its id hear it from all of them, so that the
//! death of one router silences nothing. For the others one router speaks, chosen by the notice among those that live; when
//! the store does not say who lives, each speaks, because twice is better than never.

use std::sync::Arc;
use std::time::Duration;

use flags::control::Control;
use flags::store::Page;
use jiff::Timestamp;
use metrics::events;
use metrics::notice::Notice;
use metrics::rollback;
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, watch};

use super::Shared;
use crate::notify::Notifier;

/// How long the store may take to say which routers live.
const ROLL_CALL_MAX: Duration = Duration::from_secs(1);

/// Notices that wait for the store to say who speaks; beyond them this router speaks without asking.
const WAITING_MAX: usize = 64;

pub(super) async fn announce(shared: Arc<Shared>, telling: mpsc::Sender<Notice>) {
    let mut swapped: watch::Receiver<_> = shared.watch.subscribe();
    let mut before = shared.watch.current();
    shared.observer.snapshot_swapped(&before);
    while swapped.changed().await.is_ok() {
        let now = shared.watch.current();
        for (at, migration, placed) in now.iter() {
            let Some(was) = before.find(&migration.id).map(|at| before.placed(at)) else { continue };
            let (from, to) = (was.document.position(), placed.document.position());
            if from != to {
                let (actor, reason) = (&placed.document.actor, &placed.document.reason);
                let revision = placed.document.revision;
                let change = events::MigrationChanged { migration: &migration.id, from, to, revision, actor, reason };
                let notice = Notice::of_change(&change, placed.document.time);
                change.emit(&shared.observer);
                if let Err(unasked) = telling.try_send(notice) {
                    shared.notifier.tell(unasked.into_inner(), true);
                }
            }
            if let Some(problem) = placed.problem.as_deref().filter(|own| was.problem.as_deref() != Some(*own)) {
                events::DocumentRefused { migration: &now.migration(at).id, problem }.emit();
            }
        }
        events::SnapshotSwapped { from: before.revision(), to: &now }.emit(&shared.observer);
        before = now;
    }
}

/// The queue between [`announce`] and [`tell`].
pub(super) fn queue() -> (mpsc::Sender<Notice>, mpsc::Receiver<Notice>) {
    mpsc::channel(WAITING_MAX)
}

/// Tells what is announced, and asks the store before who is to speak where that matters.
pub(super) async fn tell(
    notifier: Notifier,
    control: Arc<Control>,
    replica: String,
    mut announced: mpsc::Receiver<Notice>,
) {
    while let Some(mut notice) = announced.recv().await {
        if notice.actor == rollback::ACTOR {
            notice.record = recorded(&control, &notice).await.unwrap_or(notice.record);
        }
        let speaks = !notifier.needs_a_speaker() || is_speaker(&control, &replica, &notice.id).await;
        notifier.tell(notice, speaks);
    }
}

/// What a guard decided on, which only the history has.
async fn recorded(control: &Control, notice: &Notice) -> Option<serde_json::Value> {
    let page = Page { before: Some(notice.revision.next()), limit: 1 };
    let history = tokio::time::timeout(ROLL_CALL_MAX, control.history(&notice.migration, page)).await.ok()?;
    let entry = history.ok()?.into_iter().next().filter(|entry| entry.revision == notice.revision)?;
    entry.evidence
}

async fn is_speaker(control: &Control, replica: &str, id: &str) -> bool {
    match tokio::time::timeout(ROLL_CALL_MAX, control.replicas()).await {
        Ok(Ok(heartbeats)) => {
            let now = Timestamp::now();
            let live = heartbeats.iter().filter(|own| own.is_live(now) && !own.draining);
            speaks(id, replica, live.map(|own| own.replica.as_str()))
        }
        Ok(Err(_)) | Err(_) => true,
    }
}

/// Whether this router is the one that speaks; every router answers this alike for the same others.
fn speaks<'a>(id: &str, own: &str, live: impl Iterator<Item = &'a str>) -> bool {
    let turn = |replica: &str| Sha256::digest(format!("{id} {replica}"));
    let mine = turn(own);
    live.filter(|other| *other != own).all(|other| turn(other) > mine)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLEET: [&str; 5] = ["a-1", "a-2", "b-1", "b-2", "c-1"];

    #[test]
    fn one_router_of_a_fleet_speaks_and_not_always_the_same() {
        let mut spoke = [0; FLEET.len()];
        for revision in 0..200 {
            let id = format!("shop/rollback/{revision}");
            let speakers: Vec<usize> =
                (0..FLEET.len()).filter(|at| speaks(&id, FLEET[*at], FLEET.into_iter())).collect();
            assert_eq!(speakers.len(), 1, "{id}");
            spoke[speakers[0]] += 1;
        }
        assert!(spoke.iter().all(|times| *times > 10), "{spoke:?}");
    }

    #[test]
    fn who_is_alone_or_not_listed_yet_may_speak() {
        assert!(speaks("id", "a", std::iter::empty()));
        assert!(speaks("id", "a", ["a"].into_iter()));
        let listed = ["b"].into_iter();
        assert!(speaks("id", "a", listed.clone()) || speaks("id", "b", listed));
    }
}
