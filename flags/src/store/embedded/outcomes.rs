//! Outcomes of work that ends later, in the file of one router.

use redb::{ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use super::File;
use crate::migration::{MigrationId, Side};
use crate::store::StoreError;
use crate::store::records::RecordError;
use crate::store::records::outcome::{
    COHORTS_KEPT_S, Cohort, CohortSums, DAY_S, Known, Outcome, Parts, REMEMBERED_MAX, REMEMBERED_S, fold, full,
    is_kept, moved,
};

/// What is known of a job, by migration and id.
pub(super) const OUTCOMES: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("outcomes");
/// By the day on which a job was first heard of, migration and id, so that what is too old is at the beginning.
pub(super) const REMEMBERED: TableDefinition<'_, (u64, &str, &str), ()> = TableDefinition::new("remembered");
/// How many those of a day and migration are.
pub(super) const REMEMBERED_COUNT: TableDefinition<'_, (u64, &str), u64> = TableDefinition::new("remembered_count");
/// By day, migration, first second and side.
pub(super) const COHORTS: TableDefinition<'_, (u64, &str, u64, &str), &[u8]> = TableDefinition::new("cohorts");

/// Jobs that are forgotten with one report at most: more than come, so that all go in the end.
const FORGOTTEN_MAX: usize = 64;

pub(super) fn make(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(OUTCOMES)?;
    transaction.open_table(REMEMBERED)?;
    transaction.open_table(REMEMBERED_COUNT)?;
    transaction.open_table(COHORTS)?;
    Ok(())
}

impl File {
    /// Remembers what is new of a report and moves its cohort; the caller counts.
    pub(super) fn record(&self, migration: &MigrationId, outcome: &Outcome, now: u64) -> Result<Parts, RecordError> {
        let transaction = self.database.begin_write().map_err(|error| self.failed(error))?;
        let parts = self.record_in(&transaction, migration, outcome, now)?;
        if parts != Parts::default() {
            transaction.commit().map_err(|error| self.failed(error))?;
        }
        Ok(parts)
    }

    fn record_in(
        &self,
        transaction: &WriteTransaction,
        migration: &MigrationId,
        outcome: &Outcome,
        now: u64,
    ) -> Result<Parts, RecordError> {
        let (id, job) = (migration.as_str(), outcome.id.as_str());
        let mut outcomes = transaction.open_table(OUTCOMES).map_err(|error| self.failed(error))?;
        let stored = outcomes.get((id, job)).map_err(|error| self.failed(error))?;
        let stored = stored.and_then(|stored| Known::parse(stored.value()));
        let known = stored.filter(|known| known.seen_at + REMEMBERED_S > now);
        let (next, parts) = fold(known.as_ref(), outcome, now)?;
        if parts == Parts::default() {
            return Ok(parts);
        }
        if parts.job {
            let before = stored.map(|stored| stored.seen_at / DAY_S);
            self.remember(transaction, migration, job, before, now / DAY_S)?;
        }
        outcomes.insert((id, job), next.to_text().as_bytes()).map_err(|error| self.failed(error))?;
        drop(outcomes);
        self.forget(transaction, now)?;
        if is_kept(next.cohort(), now) {
            let mut cohorts = transaction.open_table(COHORTS).map_err(|error| self.failed(error))?;
            let key = (next.cohort() / DAY_S, id, next.cohort(), next.side.name());
            let sums = cohorts.get(key).map_err(|error| self.failed(error))?;
            let sums = sums.and_then(|sums| CohortSums::parse(sums.value()));
            let sums = moved(sums, known.as_ref(), &next).to_text();
            cohorts.insert(key, sums.as_bytes()).map_err(|error| self.failed(error))?;
        }
        Ok(parts)
    }

    /// Notes when a job is to be forgotten, if there is room for another of its day.
    fn remember(
        &self,
        transaction: &WriteTransaction,
        migration: &MigrationId,
        job: &str,
        before: Option<u64>,
        day: u64,
    ) -> Result<(), RecordError> {
        let id = migration.as_str();
        let mut counts = transaction.open_table(REMEMBERED_COUNT).map_err(|error| self.failed(error))?;
        let count = counts.get((day, id)).map_err(|error| self.failed(error))?.map_or(0, |count| count.value());
        if count >= REMEMBERED_MAX {
            return Err(full(migration));
        }
        counts.insert((day, id), count + 1).map_err(|error| self.failed(error))?;
        let mut remembered = transaction.open_table(REMEMBERED).map_err(|error| self.failed(error))?;
        if let Some(before) = before {
            remembered.remove((before, id, job)).map_err(|error| self.failed(error))?;
        }
        remembered.insert((day, id, job), ()).map_err(|error| self.failed(error))?;
        Ok(())
    }

    /// Drops what is too old, a little at a time.
    fn forget(&self, transaction: &WriteTransaction, now: u64) -> Result<(), StoreError> {
        let oldest = now.saturating_sub(REMEMBERED_S) / DAY_S;
        let mut remembered = transaction.open_table(REMEMBERED).map_err(|error| self.failed(error))?;
        let mut outcomes = transaction.open_table(OUTCOMES).map_err(|error| self.failed(error))?;
        for _ in 0..FORGOTTEN_MAX {
            let first = remembered.first().map_err(|error| self.failed(error))?;
            let Some((day, id, job)) = first.map(|(key, _)| {
                let (day, id, job) = key.value();
                (day, id.to_owned(), job.to_owned())
            }) else {
                break;
            };
            if day >= oldest {
                break;
            }
            remembered.remove((day, id.as_str(), job.as_str())).map_err(|error| self.failed(error))?;
            outcomes.remove((id.as_str(), job.as_str())).map_err(|error| self.failed(error))?;
        }
        let mut counts = transaction.open_table(REMEMBERED_COUNT).map_err(|error| self.failed(error))?;
        counts.retain_in((0, "")..(oldest, ""), |_, _| false).map_err(|error| self.failed(error))?;
        let oldest = now.saturating_sub(COHORTS_KEPT_S) / DAY_S;
        let mut cohorts = transaction.open_table(COHORTS).map_err(|error| self.failed(error))?;
        cohorts.retain_in((0, "", 0, "")..(oldest, "", 0, ""), |_, _| false).map_err(|error| self.failed(error))
    }

    pub(super) fn cohorts(&self, migration: &MigrationId, now: u64) -> Result<Vec<Cohort>, StoreError> {
        let read = self.database.begin_read().map_err(|error| self.failed(error))?;
        let table = read.open_table(COHORTS).map_err(|error| self.failed(error))?;
        let id = migration.as_str();
        let mut cohorts = Vec::new();
        for day in now.saturating_sub(COHORTS_KEPT_S) / DAY_S..=now / DAY_S {
            for row in table.range((day, id, 0, "")..=(day, id, now, "~")).map_err(|error| self.failed(error))? {
                let (key, sums) = row.map_err(|error| self.failed(error))?;
                let (_, _, from, side) = key.value();
                let side = Side::ALL.into_iter().find(|known| known.name() == side);
                if let (true, Some(side), Some(sums)) = (is_kept(from, now), side, CohortSums::parse(sums.value())) {
                    cohorts.push(Cohort { from, side, sums });
                }
            }
        }
        Ok(cohorts)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::conformance::id;
    use super::super::Embedded;
    use super::*;
    use crate::store::records::outcome::{OutcomeId, Quality};

    fn report(job: &str, routed_at: u64) -> Outcome {
        let (id, quality) = (OutcomeId::new(job).unwrap(), Quality::default());
        Outcome { id, side: Side::New, routed_at, work: None, quality }
    }

    fn rows(store: &Embedded) -> (u64, u64, u64, u64) {
        use redb::ReadableTableMetadata as _;
        let read = store.file.database.begin_read().unwrap();
        (
            read.open_table(OUTCOMES).unwrap().len().unwrap(),
            read.open_table(REMEMBERED).unwrap().len().unwrap(),
            read.open_table(REMEMBERED_COUNT).unwrap().len().unwrap(),
            read.open_table(COHORTS).unwrap().len().unwrap(),
        )
    }

    #[test]
    fn a_job_is_remembered_for_thirty_days_and_everything_is_forgotten_in_the_end() {
        const NOW: u64 = 20_000 * DAY_S;
        let store = Embedded::in_memory();
        let is_new = |job: &str, at: u64| store.file.record(&id("m"), &report(job, NOW), at).unwrap().job;
        assert!(is_new("a", NOW) && !is_new("a", NOW + 1));
        assert!(!is_new("a", NOW + REMEMBERED_S - 1));
        assert!(is_new("a", NOW + REMEMBERED_S), "after 30 days it is another job");
        assert_eq!(rows(&store).0, 1);
        // What was new again is not forgotten with what it was before.
        assert!(is_new("b", NOW + REMEMBERED_S + DAY_S) && !is_new("a", NOW + REMEMBERED_S + DAY_S));
        for job in 0..200 {
            assert!(is_new(&job.to_string(), NOW + REMEMBERED_S + DAY_S));
        }
        let later = NOW + 3 * REMEMBERED_S;
        for job in 0..4 {
            assert!(is_new(&format!("later {job}"), later));
        }
        assert_eq!(rows(&store), (4, 4, 1, 0), "the jobs were routed too long ago for a cohort");
    }

    #[test]
    fn cohorts_end_after_five_days() {
        const NOW: u64 = 20_000 * DAY_S;
        let store = Embedded::in_memory();
        store.file.record(&id("m"), &report("a", NOW), NOW + 7).unwrap();
        let known = |at: u64| store.file.cohorts(&id("m"), at).unwrap().len();
        assert_eq!((known(NOW), known(NOW + COHORTS_KEPT_S), known(NOW + COHORTS_KEPT_S + 1)), (1, 1, 0));
        let later = NOW + COHORTS_KEPT_S + 2 * DAY_S;
        store.file.record(&id("m"), &report("b", later), later).unwrap();
        assert_eq!(rows(&store).3, 1);
    }
}
