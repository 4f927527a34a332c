//! The ledger of issues in the file of one router.
//!
//! # Why calls share a transaction
//!
//! A commit waits for the disk, and one that waits for every event alone takes a hundred of them a second. So a call
//! queues what it wants, and whoever gets to the file first does the work of all that wait, commits once, and tells
//! them. Nobody is told before the commit.
//!
//! What a call does is [`crate::ledger::book`]; the tables are in `shelf`.

mod shelf;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use redb::WriteTransaction;
use tokio::sync::oneshot;

use self::shelf::{Shelf, Tables};
use super::{Embedded, File};
use crate::ledger::book::{Batch, Book, Counted, Shelf as _};
use crate::ledger::past::{Again, RESENT_MAX};
use crate::ledger::view::{
    Choice, DeadLetter, EVENTS_SHOWN_MAX, Event, Filter, Listed, PAGE_MAX, Page, Quarantined, Shown, ShownLane, Totals,
    Touched,
};
use crate::ledger::{
    Accepted, Answer, Claim, Delivery, DeliveryId, Handed, IssueId, IssueLane, Lane, Placement, Report, Reported,
    Settled, Standing, Why,
};
use crate::migration::{MigrationId, Side};
use crate::mode::Mode;
use crate::store::StoreError;
use crate::store::ledger::{
    CLAIM_BYTES_MAX, CLAIMS_MAX, DUTY_MS_MAX, Durability, Duty, EVENTS_MAX, LOOKED_MAX, Ledger, Person, Policy,
    Preflight, STEP_MAX, Step, Taking,
};

pub(super) use self::shelf::make;

/// Calls that wait for the file.
const QUEUE_MAX: usize = 4_096;

/// Calls of one transaction.
const BATCH_MAX: usize = 256;

/// What one call wants; answers how to tell it of the commit, or that it failed and was told so.
type Job = Box<dyn FnOnce(&File, &mut Tables<'_>, u64) -> Result<Tell, String> + Send>;

/// Told with none once all is committed, and otherwise with why it is not.
type Tell = Box<dyn FnOnce(Option<&str>) + Send>;

/// Calls that wait for the file.
#[derive(Default)]
pub(super) struct Desk {
    jobs: Mutex<VecDeque<Job>>,
}

impl Desk {
    fn push(&self, job: Job) -> Result<(), StoreError> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if jobs.len() >= QUEUE_MAX {
            return Err(StoreError::unavailable("as many calls wait for the file of the store as may"));
        }
        jobs.push_back(job);
        Ok(())
    }

    fn take(&self) -> Vec<Job> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let many = jobs.len().min(BATCH_MAX);
        jobs.drain(..many).collect()
    }
}

impl File {
    /// Does what waits, in one transaction. What another call has done meanwhile is no longer there.
    fn work_off(&self, desk: &Desk, now_ms: u64) -> Result<(), StoreError> {
        let transaction = self.database.begin_write().map_err(|error| self.failed(error))?;
        let jobs = desk.take();
        if jobs.is_empty() {
            return Ok(());
        }
        let mut told = Vec::with_capacity(jobs.len());
        let result = self.work(&transaction, jobs, &mut told, now_ms);
        let result = result.and_then(|is_changed| {
            let ended = if is_changed {
                transaction.commit().map_err(redb::Error::from)
            } else {
                transaction.abort().map_err(redb::Error::from)
            };
            ended.map_err(|error| self.failed(error).to_string())
        });
        for tell in told {
            tell(result.as_ref().err().map(String::as_str));
        }
        Ok(())
    }

    fn work(
        &self,
        transaction: &WriteTransaction,
        jobs: Vec<Job>,
        told: &mut Vec<Tell>,
        now_ms: u64,
    ) -> Result<bool, String> {
        let mut tables = Tables::open(transaction).map_err(|error| self.failed(error).to_string())?;
        for job in jobs {
            told.push(job(self, &mut tables, now_ms)?);
        }
        Ok(tables.is_changed)
    }
}

impl Embedded {
    async fn on_ledger<T: Send + 'static>(
        &self,
        migration: &MigrationId,
        work: impl FnOnce(&mut Book<'_, Shelf<'_, '_>>) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.on_shelf(migration, move |shelf, now_ms| work(&mut Book { shelf, now_ms })).await
    }

    async fn on_shelf<T: Send + 'static>(
        &self,
        migration: &MigrationId,
        work: impl FnOnce(&mut Shelf<'_, '_>, u64) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (tell, told) = oneshot::channel::<Result<T, StoreError>>();
        let migration = migration.clone();
        let job: Job = Box::new(move |file, tables, now_ms| {
            let done = work(&mut tables.of(migration.as_str()), now_ms);
            match done {
                Ok(value) => Ok(Box::new(move |failed| {
                    // Who no longer waits has given up waiting, which is no failure.
                    let _: Result<(), _> = tell.send(match failed {
                        None => Ok(value),
                        Some(why) => Err(StoreError::unavailable(why)),
                    });
                })),
                Err(error) => {
                    let why = error.to_string();
                    let _: Result<(), _> = tell.send(Err(file.failed(error)));
                    Err(why)
                }
            }
        });
        self.desk.push(job)?;
        let (desk, now_ms) = (Arc::clone(&self.desk), self.ledger_time());
        self.run(move |file| file.work_off(&desk, now_ms)).await?;
        told.await.unwrap_or_else(|_| Err(StoreError::unavailable("the file of the store was given up on")))
    }

    fn ledger_time(&self) -> u64 {
        #[cfg(test)]
        if let now @ 1.. = self.ledger_now.load(std::sync::atomic::Ordering::SeqCst) {
            return now;
        }
        u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default()
    }
}

fn step(counted: Counted, next: Option<String>) -> Step {
    let Counted { moved, waiting, parked } = counted;
    Step { moved, waiting, parked, next }
}

fn listed(shelf: &mut Shelf<'_, '_>, at: IssueLane) -> Result<Option<Listed>, redb::Error> {
    let Some(record) = shelf.record(&at)? else { return Ok(None) };
    let oldest_ms = shelf.oldest(&at)?;
    Ok(Some(Listed { at, record, oldest_ms }))
}

fn list(shelf: &mut Shelf<'_, '_>, filter: &Filter) -> Result<Page, redb::Error> {
    let Filter { state, owner, prefix, after, limit } = filter;
    let limit = (*limit).clamp(1, PAGE_MAX);
    let mut page = Page::default();
    let lanes = shelf.active(after.as_deref().unwrap_or_default(), LOOKED_MAX)?;
    let is_all = lanes.len() < LOOKED_MAX;
    for at in lanes {
        page.next = Some(at.to_text());
        if !at.issue.as_str().starts_with(prefix) {
            continue;
        }
        let Some(listed) = listed(shelf, at)? else { continue };
        let record = &listed.record;
        if state.is_none_or(|state| state == record.state()) && owner.is_none_or(|owner| owner == record.owner) {
            page.records.push(listed);
            if page.records.len() == limit {
                return Ok(page);
            }
        }
    }
    page.next = page.next.filter(|_| !is_all);
    Ok(page)
}

fn show(shelf: &mut Shelf<'_, '_>, issue: &IssueId, now_ms: u64) -> Result<Option<Shown>, redb::Error> {
    let generation = shelf.generation(now_ms)?;
    let mut records = Vec::new();
    for lane in Lane::ALL {
        let at = IssueLane { issue: issue.clone(), lane };
        let waiting = shelf.queue(&at, EVENTS_SHOWN_MAX)?;
        if let Some(listed) = listed(shelf, at)? {
            records.push(ShownLane { listed, waiting });
        }
    }
    let mut events = shelf.events(false, LOOKED_MAX)?;
    events.retain(|event| event.issue.as_ref() == Some(issue));
    events.truncate(EVENTS_SHOWN_MAX);
    Ok((!records.is_empty()).then_some(Shown { generation, now_ms, records, events }))
}

#[async_trait]
impl Ledger for Embedded {
    async fn preflight(&self) -> Result<Preflight, StoreError> {
        Ok(Preflight { durability: Durability::Synced, ..Preflight::default() })
    }

    async fn confirm(&self) -> Result<Durability, StoreError> {
        Ok(Durability::Synced)
    }

    async fn accept(
        &self,
        migration: &MigrationId,
        delivery: &Delivery,
        placement: &Placement,
    ) -> Result<Accepted, StoreError> {
        let (delivery, placement) = (delivery.clone(), *placement);
        self.on_ledger(migration, move |book| book.accept(&delivery, &placement)).await
    }

    async fn claim(
        &self,
        migration: &MigrationId,
        revision: u64,
        side: Side,
        limit: usize,
    ) -> Result<Taking, StoreError> {
        let actual = self.revision.borrow().0;
        if actual > revision {
            return Ok(Taking::Stale { actual });
        }
        let limit = limit.min(CLAIMS_MAX);
        let Batch { claims, parked, moved } =
            self.on_ledger(migration, move |book| book.claim(side, limit, CLAIM_BYTES_MAX)).await?;
        Ok(Taking::Taken { claims, parked, moved })
    }

    async fn settle(
        &self,
        migration: &MigrationId,
        claim: &Claim,
        answer: Answer,
        detail: &str,
    ) -> Result<Settled, StoreError> {
        let (claim, detail) = (claim.clone(), detail.to_owned());
        self.on_ledger(migration, move |book| book.settle(&claim, answer, &detail)).await
    }

    async fn report(&self, migration: &MigrationId, report: &Report) -> Result<Reported, StoreError> {
        let report = report.clone();
        self.on_ledger(migration, move |book| book.report(&report)).await
    }

    async fn hand_over(
        &self,
        migration: &MigrationId,
        issue: &IssueId,
        epoch: u64,
        to: Side,
        person: Option<&Person>,
        why: Why,
    ) -> Result<Handed, StoreError> {
        let (issue, person) = (issue.clone(), person.cloned());
        self.on_ledger(migration, move |book| {
            let by = person.as_ref().map(|person| (person.actor.as_str(), person.reason.as_str()));
            book.hand_over(&issue, epoch, to, by, why)
        })
        .await
    }

    async fn sweep(&self, migration: &MigrationId) -> Result<Step, StoreError> {
        Ok(step(self.on_ledger(migration, |book| book.sweep(STEP_MAX)).await?, None))
    }

    async fn roll_back(&self, migration: &MigrationId, revision: u64, after: Option<&str>) -> Result<Step, StoreError> {
        let after = after.unwrap_or_default().to_owned();
        let rolled = self.on_ledger(migration, move |book| book.roll_back(revision, &after, STEP_MAX)).await?;
        Ok(step(rolled.0, rolled.1))
    }

    async fn standing(&self, migration: &MigrationId, issue: &IssueId) -> Result<Vec<Standing>, StoreError> {
        let issue = issue.clone();
        self.on_ledger(migration, move |book| book.standing(&issue)).await
    }

    async fn list(&self, migration: &MigrationId, filter: &Filter) -> Result<Page, StoreError> {
        let filter = filter.clone();
        self.on_shelf(migration, move |shelf, _| list(shelf, &filter)).await
    }

    async fn show(&self, migration: &MigrationId, issue: &IssueId) -> Result<Option<Shown>, StoreError> {
        let issue = issue.clone();
        self.on_shelf(migration, move |shelf, now_ms| show(shelf, &issue, now_ms)).await
    }

    async fn totals(&self, migration: &MigrationId) -> Result<Totals, StoreError> {
        self.on_shelf(migration, |shelf, now_ms| shelf.totals(now_ms)).await
    }

    async fn dead_letters(&self, migration: &MigrationId, limit: usize) -> Result<Vec<DeadLetter>, StoreError> {
        let limit = limit.clamp(1, PAGE_MAX);
        self.on_ledger(migration, move |book| {
            let mut letters = Vec::new();
            for at in book.shelf.parked(limit)? {
                if let Some(record) = book.shelf.record(&at)? {
                    letters.extend(book.letter(&at, &record)?);
                }
            }
            Ok(letters)
        })
        .await
    }

    async fn replay(
        &self,
        migration: &MigrationId,
        choice: &Choice,
        person: &Person,
        dry_run: bool,
    ) -> Result<Touched, StoreError> {
        let (choice, Person { actor, reason }) = (choice.clone(), person.clone());
        self.on_ledger(migration, move |book| book.replay(&choice, Some((&actor, &reason)), dry_run)).await
    }

    async fn resend(
        &self,
        migration: &MigrationId,
        deliveries: &[DeliveryId],
        as_of: (Mode, u64),
        person: &Person,
        dry_run: bool,
    ) -> Result<Vec<Again>, StoreError> {
        let deliveries = deliveries[..deliveries.len().min(RESENT_MAX)].to_vec();
        let Person { actor, reason } = person.clone();
        self.on_ledger(migration, move |book| book.resend(&deliveries, as_of, Some((&actor, &reason)), dry_run)).await
    }

    async fn discard(
        &self,
        migration: &MigrationId,
        choice: &Choice,
        person: &Person,
        dry_run: bool,
    ) -> Result<Touched, StoreError> {
        let (choice, Person { actor, reason }) = (choice.clone(), person.clone());
        self.on_ledger(migration, move |book| book.discard(&choice, Some((&actor, &reason)), dry_run)).await
    }

    async fn quarantine(&self, migration: &MigrationId, what: &Quarantined) -> Result<(), StoreError> {
        let what = what.clone();
        self.on_shelf(migration, move |shelf, now_ms| shelf.quarantine(what, now_ms)).await
    }

    async fn quarantined(&self, migration: &MigrationId, limit: usize) -> Result<Vec<Quarantined>, StoreError> {
        self.on_shelf(migration, move |shelf, _| shelf.quarantined(limit)).await
    }

    async fn events(&self, migration: &MigrationId, by_people: bool, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.on_shelf(migration, move |shelf, _| shelf.events(by_people, limit.min(EVENTS_MAX))).await
    }

    async fn take_duty(
        &self,
        migration: &MigrationId,
        duty: Duty,
        holder: &str,
        for_ms: u64,
    ) -> Result<bool, StoreError> {
        let mut duties = self.duties.lock().unwrap_or_else(PoisonError::into_inner);
        let lease = duties.entry((migration.clone(), duty)).or_default();
        Ok(lease.take(holder, for_ms.clamp(1, DUTY_MS_MAX), Instant::now()))
    }

    async fn leave_duty(&self, migration: &MigrationId, duty: Duty, holder: &str) -> Result<(), StoreError> {
        let mut duties = self.duties.lock().unwrap_or_else(PoisonError::into_inner);
        duties.entry((migration.clone(), duty)).or_default().release(holder);
        Ok(())
    }

    async fn trim(
        &self,
        migration: &MigrationId,
        policy: &Policy,
        after: Option<&str>,
    ) -> Result<(u64, Option<String>), StoreError> {
        let (policy, after) = (*policy, after.unwrap_or_default().to_owned());
        self.on_shelf(migration, move |shelf, now_ms| shelf.trim(&policy, &after, now_ms)).await
    }
}
