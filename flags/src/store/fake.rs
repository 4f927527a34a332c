//! A store in memory that fails on demand. Tests only; it passes the suite of the real ones.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::watch;

use super::embedded::Embedded;
use super::records::outcome::{Cohort, Outcome, Recorded};
use super::records::{FindingsWrite, Judged, JudgedStatus, JudgedWrite, Minute, RecordError, Records};
use super::{Ledger, Loaded, Page, Pulse, Restored, Store, StoreError, Stored, Write};
use crate::freeze::{FREEZES_MAX, FreezeEntry};
use crate::migration::MigrationId;
use crate::state::{Heartbeat, HistoryEntry, Revision};
use crate::tally::{Row, Slot, SlotCounts};

#[derive(Debug)]
pub(crate) struct Fake {
    state: Mutex<State>,
    pub(crate) revision: watch::Sender<Revision>,
    /// Every call fails, as if the network were gone.
    pub(crate) down: AtomicBool,
    /// Every call is answered with a no, as to a wrong password.
    pub(crate) refusing: AtomicBool,
    /// Every write finds that somebody else was faster.
    pub(crate) contended: AtomicBool,
    /// Announcements are lost.
    pub(crate) mute: AtomicBool,
    /// Reads so far, those that failed too.
    pub(crate) reads: AtomicU64,
    /// Counts and records are kept as the embedded store keeps them; made at the first use.
    records: OnceLock<Arc<Embedded>>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) loaded: Loaded,
    pub(crate) history: BTreeMap<MigrationId, Vec<HistoryEntry>>,
    pub(crate) replicas: BTreeMap<String, Heartbeat>,
    /// Newest first.
    pub(crate) freezes: Vec<FreezeEntry>,
}

impl State {
    fn freeze(&mut self, entry: FreezeEntry) {
        self.loaded.revision = entry.revision;
        self.loaded.freeze = Some(entry.clone());
        self.freezes.insert(0, entry);
        self.freezes.truncate(FREEZES_MAX);
    }
}

impl Default for Fake {
    fn default() -> Self {
        let (revision, _) = watch::channel(Revision::ZERO);
        let (down, refusing, contended, mute, reads) = Default::default();
        Self { state: Mutex::default(), revision, down, refusing, contended, mute, reads, records: OnceLock::new() }
    }
}

impl Fake {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn set(&self, switch: impl Fn(&Self) -> &AtomicBool, on: bool) {
        switch(self).store(on, Ordering::SeqCst);
    }

    pub(crate) fn records(&self) -> Result<Arc<Embedded>, StoreError> {
        drop(self.reach()?);
        Ok(Arc::clone(self.records.get_or_init(|| Arc::new(Embedded::in_memory()))))
    }

    fn reach(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(StoreError::unavailable("the test took it away"));
        }
        if self.refusing.load(Ordering::SeqCst) {
            return Err(StoreError::refused("the test does not let it in"));
        }
        Ok(self.state())
    }
}

#[async_trait]
impl Store for Fake {
    fn ledger(&self) -> &dyn Ledger {
        self.records.get_or_init(|| Arc::new(Embedded::in_memory())).as_ref()
    }

    async fn load(&self) -> Result<Loaded, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        Ok(self.reach()?.loaded.clone())
    }

    async fn replace(&self, expected: Revision, write: Write) -> Result<Revision, StoreError> {
        let mut state = self.reach()?;
        let actual = state.loaded.revision;
        if actual != expected || self.contended.load(Ordering::SeqCst) {
            return Err(StoreError::Conflict { expected, actual });
        }
        let next = expected.next();
        state.loaded.revision = next;
        let mut pins = match state.loaded.migrations.remove(&write.migration) {
            Some(Stored::State { pins, .. }) => pins,
            Some(Stored::Unreadable(_)) | None => Default::default(),
        };
        match write.pin {
            Some((key, Some(pin))) => drop(pins.insert(key, pin)),
            Some((key, None)) => drop(pins.remove(&key)),
            None => {}
        }
        state.history.entry(write.migration.clone()).or_default().push(write.entry);
        state.loaded.migrations.insert(write.migration, Stored::State { document: write.document, pins });
        if !self.mute.load(Ordering::SeqCst) {
            self.revision.send_replace(next);
        }
        Ok(next)
    }

    async fn restore(
        &self,
        expected: Revision,
        restored: Vec<Restored>,
        freeze: Option<FreezeEntry>,
    ) -> Result<Revision, StoreError> {
        let mut state = self.reach()?;
        let actual = state.loaded.revision;
        if actual != expected {
            return Err(StoreError::Conflict { expected, actual });
        }
        for Restored { migration, document, pins, entry } in restored {
            state.loaded.revision = document.revision;
            state.history.entry(migration.clone()).or_default().push(entry);
            state.loaded.migrations.insert(migration, Stored::State { document, pins });
        }
        freeze.into_iter().for_each(|freeze| state.freeze(freeze));
        self.revision.send_replace(state.loaded.revision);
        Ok(state.loaded.revision)
    }

    async fn freeze(&self, expected: Revision, entry: FreezeEntry) -> Result<Revision, StoreError> {
        let mut state = self.reach()?;
        let actual = state.loaded.revision;
        if actual != expected || self.contended.load(Ordering::SeqCst) {
            return Err(StoreError::Conflict { expected, actual });
        }
        state.freeze(entry);
        if !self.mute.load(Ordering::SeqCst) {
            self.revision.send_replace(state.loaded.revision);
        }
        Ok(state.loaded.revision)
    }

    async fn freezes(&self) -> Result<Vec<FreezeEntry>, StoreError> {
        Ok(self.reach()?.freezes.clone())
    }

    async fn changed(&self, seen: Revision) -> Result<(), StoreError> {
        drop(self.reach()?);
        let mut revision = self.revision.subscribe();
        if self.mute.load(Ordering::SeqCst) {
            return std::future::pending().await;
        }
        revision.wait_for(|current| *current != seen).await.map(|_| ()).map_err(StoreError::unavailable)
    }

    async fn history(&self, migration: &MigrationId, page: Page) -> Result<Vec<HistoryEntry>, StoreError> {
        let state = self.reach()?;
        let entries = state.history.get(migration).into_iter().flatten().rev();
        let older = entries.filter(|entry| page.before.is_none_or(|before| entry.revision < before));
        Ok(older.take(page.limit).cloned().collect())
    }

    async fn beat(&self, heartbeat: &Heartbeat, counted: &[Row]) -> Result<Pulse, StoreError> {
        let revision = {
            let mut state = self.reach()?;
            state.replicas.insert(heartbeat.replica.clone(), heartbeat.clone());
            state.loaded.revision
        };
        if !counted.is_empty() {
            self.records()?.beat(heartbeat, counted).await?;
        }
        Ok(Pulse { revision: Some(revision), time: Timestamp::now(), problem: None })
    }

    async fn counts(
        &self,
        migration: &MigrationId,
        slots: RangeInclusive<Slot>,
    ) -> Result<Vec<SlotCounts>, StoreError> {
        self.records()?.counts(migration, slots).await
    }

    async fn leave(&self, replica: &str) -> Result<(), StoreError> {
        self.reach()?.replicas.remove(replica);
        Ok(())
    }

    async fn replicas(&self) -> Result<Vec<Heartbeat>, StoreError> {
        let now = Timestamp::now();
        let mut state = self.reach()?;
        state.replicas.retain(|_, beat| now.duration_since(beat.time) < super::REPLICA_FORGOTTEN_AFTER);
        Ok(state.replicas.values().cloned().collect())
    }
}

#[async_trait]
impl Records for Fake {
    async fn counts_of(
        &self,
        migrations: &[MigrationId],
        slots: RangeInclusive<Slot>,
    ) -> Result<Vec<(MigrationId, Vec<SlotCounts>)>, StoreError> {
        self.records()?.counts_of(migrations, slots).await
    }

    async fn lease(&self, holder: &str, for_ms: u64) -> Result<bool, RecordError> {
        self.records()?.lease(holder, for_ms).await
    }

    async fn release(&self, holder: &str) -> Result<(), StoreError> {
        self.records()?.release(holder).await
    }

    async fn judged(&self) -> Result<BTreeMap<MigrationId, Judged>, StoreError> {
        self.records()?.judged().await
    }

    async fn judged_status(&self) -> Result<BTreeMap<MigrationId, JudgedStatus>, StoreError> {
        self.records()?.judged_status().await
    }

    async fn put_judged(&self, writes: Vec<JudgedWrite>) -> Result<Vec<bool>, RecordError> {
        self.records()?.put_judged(writes).await
    }

    async fn put_minutes(&self, minutes: Vec<Minute>) -> Result<(), RecordError> {
        self.records()?.put_minutes(minutes).await
    }

    async fn minutes(
        &self,
        migration: &MigrationId,
        minutes: RangeInclusive<u64>,
    ) -> Result<Vec<(u64, String)>, StoreError> {
        self.records()?.minutes(migration, minutes).await
    }

    async fn put_findings(&self, write: FindingsWrite) -> Result<bool, RecordError> {
        self.records()?.put_findings(write).await
    }

    async fn findings(&self, migration: &MigrationId) -> Result<BTreeMap<String, String>, StoreError> {
        self.records()?.findings(migration).await
    }

    async fn record_outcome(&self, migration: &MigrationId, outcome: Outcome) -> Result<Recorded, RecordError> {
        self.records()?.record_outcome(migration, outcome).await
    }

    async fn cohorts(&self, migration: &MigrationId) -> Result<Vec<Cohort>, StoreError> {
        self.records()?.cohorts(migration).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fake_does_what_every_store_does() {
    use super::conformance::records::Record;
    use super::conformance::{Subject, run};
    run(async || {
        let store = Arc::new(Fake::default());
        let damaged = Arc::clone(&store);
        let damage = move |migration: MigrationId, text: &'static str| {
            let stored = super::readable(text.as_bytes(), Ok(Vec::new()));
            damaged.state().loaded.migrations.insert(migration, stored);
            Box::pin(async {}) as _
        };
        let (records, frozen) = (store.records().unwrap(), Arc::clone(&store));
        let damage_record = move |record: Record, text: String| {
            if let Record::Freeze = record {
                let mut state = frozen.state();
                state.freezes[0] = FreezeEntry::read(text.as_bytes());
                state.loaded.freeze = state.freezes.first().cloned();
            } else {
                records.damage(record, &text);
            }
            Box::pin(async {}) as _
        };
        Subject { store, damage: Box::new(damage), damage_record: Box::new(damage_record), _keeps: Box::new(()) }
    })
    .await;
}
