//! Evidence, the lease to judge and the history by the minute, in the file of one router.
//!
//! The counts and the lease live in memory: they need not outlive the one process that has them.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use jiff::Timestamp;
use redb::{ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use super::{Embedded, File, findings, outcomes};
use crate::migration::MigrationId;
use crate::store::StoreError;
use crate::store::records::outcome::{Cohort, OUTCOMES_REPLICA, Outcome, Recorded};
use crate::store::records::{
    FindingsWrite, Judged, JudgedStatus, JudgedWrite, MINUTES_MAX, MINUTES_PER_DAY, Minute, RecordError, Records,
    check_findings, check_judged, check_lease, check_minutes, newest_of, read_judged, read_status, versioned,
};
use crate::tally::{Slot, SlotCounts};

/// What a judge goes on from, by migration: a version and a text.
pub(super) const EVIDENCE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("evidence");
/// What is shown of it, under the same version.
pub(super) const JUDGED: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("judged");
/// By day, migration and minute, so that what is too old is at the beginning.
pub(super) const MINUTES: TableDefinition<'_, (u64, &str, u64), &[u8]> = TableDefinition::new("minutes");

/// Days before the present one of which minutes are kept.
const DAYS_KEPT: u64 = MINUTES_MAX / MINUTES_PER_DAY;

#[async_trait]
impl Records for Embedded {
    async fn counts_of(
        &self,
        migrations: &[MigrationId],
        slots: RangeInclusive<Slot>,
    ) -> Result<Vec<(MigrationId, Vec<SlotCounts>)>, StoreError> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |migration: &MigrationId| (migration.clone(), counts.get(migration, slots.clone()));
        Ok(migrations.iter().map(of).filter(|(_, counts)| !counts.is_empty()).collect())
    }

    async fn lease(&self, holder: &str, for_ms: u64) -> Result<bool, RecordError> {
        check_lease(holder, for_ms)?;
        let mut lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(lease.take(holder, for_ms, Instant::now()))
    }

    async fn release(&self, holder: &str) -> Result<(), StoreError> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner).release(holder);
        Ok(())
    }

    async fn judged(&self) -> Result<BTreeMap<MigrationId, Judged>, StoreError> {
        self.run(File::judged).await
    }

    async fn judged_status(&self) -> Result<BTreeMap<MigrationId, JudgedStatus>, StoreError> {
        self.run(File::judged_status).await
    }

    async fn put_judged(&self, writes: Vec<JudgedWrite>) -> Result<Vec<bool>, RecordError> {
        check_judged(&writes)?;
        Ok(self.run(move |file| file.put_judged(&writes)).await?)
    }

    async fn put_minutes(&self, minutes: Vec<Minute>) -> Result<(), RecordError> {
        check_minutes(&minutes)?;
        Ok(self.run(move |file| file.put_minutes(&minutes, now_minute())).await?)
    }

    async fn minutes(
        &self,
        migration: &MigrationId,
        minutes: RangeInclusive<u64>,
    ) -> Result<Vec<(u64, String)>, StoreError> {
        let migration = migration.clone();
        self.run(move |file| file.minutes(&migration, &minutes, now_minute())).await
    }

    async fn put_findings(&self, write: FindingsWrite) -> Result<bool, RecordError> {
        check_findings(&write)?;
        Ok(self.run(move |file| file.put_findings(&write, now_s())).await?)
    }

    async fn findings(&self, migration: &MigrationId) -> Result<BTreeMap<String, String>, StoreError> {
        let migration = migration.clone();
        self.run(move |file| file.findings(&migration, now_s())).await
    }

    async fn record_outcome(&self, migration: &MigrationId, outcome: Outcome) -> Result<Recorded, RecordError> {
        outcome.check()?;
        let counts = Arc::clone(&self.counts);
        let migration = migration.clone();
        // Counted where it is remembered, so that a caller who gives up waiting does not lose it.
        let recorded = move |file: &File| match file.record(&migration, &outcome, now_s()) {
            Ok(parts) => {
                if let Some(work) = outcome.work.as_ref().filter(|_| parts.work) {
                    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
                    counts.add(OUTCOMES_REPLICA, Slot::of(Timestamp::now()), &migration, outcome.side, work);
                }
                Ok(Ok(parts.into()))
            }
            Err(RecordError::Store(error)) => Err(error),
            Err(refused) => Ok(Err(refused)),
        };
        self.run(recorded).await?
    }

    async fn cohorts(&self, migration: &MigrationId) -> Result<Vec<Cohort>, StoreError> {
        let migration = migration.clone();
        self.run(move |file| file.cohorts(&migration, now_s())).await
    }
}

fn now_s() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap_or_default()
}

fn now_minute() -> u64 {
    now_s() / 60
}

/// Makes the tables, so that readers need not tell a new file from a damaged one.
pub(super) fn make(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(EVIDENCE)?;
    transaction.open_table(JUDGED)?;
    transaction.open_table(MINUTES)?;
    findings::make(transaction)?;
    outcomes::make(transaction)
}

#[cfg(test)]
impl Embedded {
    pub(crate) fn damage(&self, record: crate::store::conformance::records::Record, text: &str) {
        use crate::store::conformance::records::Record;
        use crate::store::records::outcome;
        let transaction = self.file.database.begin_write().unwrap();
        match record {
            Record::Evidence(id) => {
                drop(transaction.open_table(EVIDENCE).unwrap().insert(id, text.as_bytes()).unwrap())
            }
            Record::Judged(id) => drop(transaction.open_table(JUDGED).unwrap().insert(id, text.as_bytes()).unwrap()),
            Record::Minute(id, minute) => {
                let key = (minute / MINUTES_PER_DAY, id, minute);
                drop(transaction.open_table(MINUTES).unwrap().insert(key, text.as_bytes()).unwrap());
            }
            Record::Outcome(id, job) => {
                drop(transaction.open_table(outcomes::OUTCOMES).unwrap().insert((id, job), text.as_bytes()).unwrap());
            }
            Record::Cohort(id, from, side) => {
                let key = (from / outcome::DAY_S, id, from, side.name());
                drop(transaction.open_table(outcomes::COHORTS).unwrap().insert(key, text.as_bytes()).unwrap());
            }
            Record::Freeze => super::freezes::damage(&transaction, text),
            Record::Remembered(id, day) => {
                let count: u64 = text.parse().unwrap();
                drop(transaction.open_table(outcomes::REMEMBERED_COUNT).unwrap().insert((day, id), count).unwrap());
            }
        }
        transaction.commit().unwrap();
    }
}

impl File {
    fn judged(&self) -> Result<BTreeMap<MigrationId, Judged>, StoreError> {
        let read = self.database.begin_read().map_err(|error| self.failed(error))?;
        let engines = read.open_table(EVIDENCE).map_err(|error| self.failed(error))?;
        let statuses = read.open_table(JUDGED).map_err(|error| self.failed(error))?;
        let mut judged = BTreeMap::new();
        for row in engines.iter().map_err(|error| self.failed(error))? {
            let (id, engine) = row.map_err(|error| self.failed(error))?;
            let status = statuses.get(id.value()).map_err(|error| self.failed(error))?;
            let one = status.and_then(|status| read_judged(engine.value(), status.value()));
            if let (Ok(migration), Some(one)) = (MigrationId::new(id.value()), one) {
                judged.insert(migration, one);
            }
        }
        Ok(judged)
    }

    fn judged_status(&self) -> Result<BTreeMap<MigrationId, JudgedStatus>, StoreError> {
        let read = self.database.begin_read().map_err(|error| self.failed(error))?;
        let statuses = read.open_table(JUDGED).map_err(|error| self.failed(error))?;
        let mut judged = BTreeMap::new();
        for row in statuses.iter().map_err(|error| self.failed(error))? {
            let (id, status) = row.map_err(|error| self.failed(error))?;
            if let (Ok(migration), Some(one)) = (MigrationId::new(id.value()), read_status(status.value())) {
                judged.insert(migration, one);
            }
        }
        Ok(judged)
    }

    fn put_judged(&self, writes: &[JudgedWrite]) -> Result<Vec<bool>, StoreError> {
        let transaction = self.database.begin_write().map_err(|error| self.failed(error))?;
        let mut stored = Vec::with_capacity(writes.len());
        {
            let mut engines = transaction.open_table(EVIDENCE).map_err(|error| self.failed(error))?;
            let mut statuses = transaction.open_table(JUDGED).map_err(|error| self.failed(error))?;
            for JudgedWrite { migration, expected, engine, status } in writes {
                let id = migration.as_str();
                let known = {
                    let engine = engines.get(id).map_err(|error| self.failed(error))?;
                    let status = statuses.get(id).map_err(|error| self.failed(error))?;
                    engine.zip(status).and_then(|(engine, status)| read_judged(engine.value(), status.value()))
                };
                let is_expected = known.map_or(0, |judged| judged.version) == *expected;
                if is_expected {
                    let (engine, status) = (versioned(expected + 1, engine), versioned(expected + 1, status));
                    engines.insert(id, engine.as_bytes()).map_err(|error| self.failed(error))?;
                    statuses.insert(id, status.as_bytes()).map_err(|error| self.failed(error))?;
                }
                stored.push(is_expected);
            }
        }
        transaction.commit().map_err(|error| self.failed(error))?;
        Ok(stored)
    }

    fn put_minutes(&self, minutes: &[Minute], now: u64) -> Result<(), StoreError> {
        let oldest = (now / MINUTES_PER_DAY).saturating_sub(DAYS_KEPT);
        let transaction = self.database.begin_write().map_err(|error| self.failed(error))?;
        {
            let mut table = transaction.open_table(MINUTES).map_err(|error| self.failed(error))?;
            for Minute { migration, minute, text } in minutes {
                let key = (minute / MINUTES_PER_DAY, migration.as_str(), *minute);
                table.insert(key, text.as_bytes()).map_err(|error| self.failed(error))?;
            }
            table.retain_in((0, "", 0)..(oldest, "", 0), |_, _| false).map_err(|error| self.failed(error))?;
        }
        transaction.commit().map_err(|error| self.failed(error))
    }

    fn minutes(
        &self,
        migration: &MigrationId,
        minutes: &RangeInclusive<u64>,
        now: u64,
    ) -> Result<Vec<(u64, String)>, StoreError> {
        let Some((first, last)) = newest_of(minutes, now) else { return Ok(Vec::new()) };
        let read = self.database.begin_read().map_err(|error| self.failed(error))?;
        let table = read.open_table(MINUTES).map_err(|error| self.failed(error))?;
        let id = migration.as_str();
        let mut found = Vec::new();
        for day in first / MINUTES_PER_DAY..=last / MINUTES_PER_DAY {
            for row in table.range((day, id, first)..=(day, id, last)).map_err(|error| self.failed(error))? {
                let (key, text) = row.map_err(|error| self.failed(error))?;
                found.push((key.value().2, String::from_utf8_lossy(text.value()).into_owned()));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::conformance::id;
    use super::*;

    #[tokio::test]
    async fn minutes_are_forgotten_after_thirty_days_and_not_before() {
        let store = Embedded::in_memory();
        let put = |minute: u64| vec![Minute { migration: id("m"), minute, text: minute.to_string() }];
        let first = 20_000 * MINUTES_PER_DAY;
        for later in [0, 1, MINUTES_PER_DAY, MINUTES_MAX] {
            store.file.put_minutes(&put(first + later), first + later).unwrap();
        }
        let now = first + MINUTES_MAX;
        let known = |now: u64| store.file.minutes(&id("m"), &(0..=now), now).unwrap().len();
        assert_eq!(known(now - 1), 3);
        store.file.put_minutes(&[], now + MINUTES_PER_DAY).unwrap();
        let all = store.file.minutes(&id("m"), &(first..=now), now).unwrap();
        assert_eq!(all.iter().map(|(minute, _)| minute - first).collect::<Vec<_>>(), [MINUTES_PER_DAY, MINUTES_MAX]);
    }
}
