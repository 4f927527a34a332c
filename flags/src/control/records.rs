//! What a guard keeps beside the state and asks of the audit: read and written for migrations of the file only.
//!
//! Thin on purpose: what a record means is the matter of who judges, and what a store promises of it is told in
//! [`crate::store::records`].

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use jiff::Timestamp;

use super::{Control, ControlError};
use crate::migration::MigrationId;
use crate::mode::Mode;
use crate::state::{ChangeKind, HistoryEntry, Position};
use crate::store::Page;
use crate::store::records::outcome::{Cohort, Outcome, Recorded};
use crate::store::records::{FindingsWrite, Judged, JudgedStatus, JudgedWrite, Minute, RecordError};
use crate::tally::{Slot, SlotCounts};

/// Newest entries of the audit among which rollbacks are counted.
const ENTRIES_COUNTED_MAX: usize = 200;

impl From<RecordError> for ControlError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Store(error) => Self::Store(error),
            refused => Self::NotRecorded(refused),
        }
    }
}

impl Control {
    /// What the fleet counted of these migrations in these slots, those without counts left out.
    pub async fn counts_of(
        &self,
        migrations: &[MigrationId],
        slots: RangeInclusive<Slot>,
    ) -> Result<Vec<(MigrationId, Vec<SlotCounts>)>, ControlError> {
        self.check_known(migrations)?;
        Ok(self.store.counts_of(migrations, slots).await?)
    }

    /// Takes the lease to judge for this router, or keeps it; false while another router has it.
    pub async fn lease(&self, for_ms: u64) -> Result<bool, ControlError> {
        Ok(self.store.lease(self.watch.replica(), for_ms).await?)
    }

    /// Gives the lease of this router back.
    pub async fn release(&self) -> Result<(), ControlError> {
        Ok(self.store.release(self.watch.replica()).await?)
    }

    /// All judgements that read, those of migrations that the file no longer names too.
    pub async fn judged(&self) -> Result<BTreeMap<MigrationId, Judged>, ControlError> {
        Ok(self.store.judged().await?)
    }

    /// The same without what only a judge needs.
    pub async fn judged_status(&self) -> Result<BTreeMap<MigrationId, JudgedStatus>, ControlError> {
        Ok(self.store.judged_status().await?)
    }

    /// Stores judgements; false for each that does not follow the stored one.
    pub async fn put_judged(&self, writes: Vec<JudgedWrite>) -> Result<Vec<bool>, ControlError> {
        self.check_known(writes.iter().map(|write| &write.migration))?;
        Ok(self.store.put_judged(writes).await?)
    }

    pub async fn put_minutes(&self, minutes: Vec<Minute>) -> Result<(), ControlError> {
        self.check_known(minutes.iter().map(|minute| &minute.migration))?;
        Ok(self.store.put_minutes(minutes).await?)
    }

    /// The history of one migration by the minute, oldest first.
    pub async fn minutes(
        &self,
        migration: &MigrationId,
        minutes: RangeInclusive<u64>,
    ) -> Result<Vec<(u64, String)>, ControlError> {
        self.check_known([migration])?;
        Ok(self.store.minutes(migration, minutes).await?)
    }

    /// Keeps what a run of this router has found; false where what it adopts is gone.
    pub async fn put_findings(&self, write: FindingsWrite) -> Result<bool, ControlError> {
        self.check_known([&write.migration])?;
        Ok(self.store.put_findings(write).await?)
    }

    /// What every run of a router has found in one migration.
    pub async fn findings(&self, migration: &MigrationId) -> Result<BTreeMap<String, String>, ControlError> {
        self.check_known([migration])?;
        Ok(self.store.findings(migration).await?)
    }

    /// Counts what is new of an outcome that a system reports.
    pub async fn record_outcome(&self, migration: &MigrationId, outcome: Outcome) -> Result<Recorded, ControlError> {
        self.check_known([migration])?;
        Ok(self.store.record_outcome(migration, outcome).await?)
    }

    /// What the jobs of one migration add up to, by the 5 minutes in which they were routed.
    pub async fn cohorts(&self, migration: &MigrationId) -> Result<Vec<Cohort>, ControlError> {
        self.check_known([migration])?;
        Ok(self.store.cohorts(migration).await?)
    }

    /// When one migration was rolled back since a time, newest first, by whoever it was.
    ///
    /// Looks at the newest `ENTRIES_COUNTED_MAX` entries of the audit; where more were made since, older ones are not
    /// told.
    pub async fn rollbacks_since(
        &self,
        migration: &MigrationId,
        since: Timestamp,
    ) -> Result<Vec<Timestamp>, ControlError> {
        let entries = self.history(migration, Page { before: None, limit: ENTRIES_COUNTED_MAX }).await?;
        let is_rolled_back = |position: Position| position.mode == Mode::EmergencyRollback;
        // An undo may roll back too; a reseed repeats what was counted when it happened.
        let is_one = |entry: &&HistoryEntry| {
            entry.kind != ChangeKind::Reseed && is_rolled_back(entry.after) && !is_rolled_back(entry.before)
        };
        let newer = entries.iter().take_while(|entry| entry.time >= since);
        Ok(newer.filter(is_one).map(|entry| entry.time).collect())
    }

    pub(super) fn check_known<'a>(
        &self,
        migrations: impl IntoIterator<Item = &'a MigrationId>,
    ) -> Result<(), ControlError> {
        let snapshot = self.watch.current();
        let unknown = migrations.into_iter().find(|id| snapshot.find(id).is_none());
        unknown.map_or(Ok(()), |id| Err(ControlError::Unknown(id.clone())))
    }
}
