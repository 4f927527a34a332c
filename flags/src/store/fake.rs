//! A store in memory that fails on demand. Tests only; it passes the suite of the real ones.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::watch;

use super::{Loaded, Page, Pulse, Restored, Store, StoreError, Stored, Write};
use crate::migration::MigrationId;
use crate::state::{Heartbeat, HistoryEntry, Revision};
use crate::tally::{Kept, Row, Slot, SlotCounts};

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
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) loaded: Loaded,
    pub(crate) history: BTreeMap<MigrationId, Vec<HistoryEntry>>,
    pub(crate) replicas: BTreeMap<String, Heartbeat>,
    pub(crate) counts: Kept,
}

impl Default for Fake {
    fn default() -> Self {
        let (revision, _) = watch::channel(Revision::ZERO);
        let (down, refusing, contended, mute, reads) = Default::default();
        Self { state: Mutex::default(), revision, down, refusing, contended, mute, reads }
    }
}

impl Fake {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn set(&self, switch: impl Fn(&Self) -> &AtomicBool, on: bool) {
        switch(self).store(on, Ordering::SeqCst);
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

    async fn restore(&self, expected: Revision, restored: Vec<Restored>) -> Result<Revision, StoreError> {
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
        self.revision.send_replace(state.loaded.revision);
        Ok(state.loaded.revision)
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
        let time = Timestamp::now();
        let mut state = self.reach()?;
        state.replicas.insert(heartbeat.replica.clone(), heartbeat.clone());
        state.counts.put(&heartbeat.replica, counted, Slot::of(time));
        Ok(Pulse { revision: Some(state.loaded.revision), time, problem: None })
    }

    async fn counts(
        &self,
        migration: &MigrationId,
        slots: RangeInclusive<Slot>,
    ) -> Result<Vec<SlotCounts>, StoreError> {
        Ok(self.reach()?.counts.get(migration, slots))
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fake_does_what_every_store_does() {
    use super::conformance::{Subject, run};
    use std::sync::Arc;
    run(async || {
        let store = Arc::new(Fake::default());
        let damaged = Arc::clone(&store);
        let damage = move |migration: MigrationId, text: &'static str| {
            let stored = super::readable(text.as_bytes(), Ok(Vec::new()));
            damaged.state().loaded.migrations.insert(migration, stored);
            Box::pin(async {}) as _
        };
        Subject { store, damage: Box::new(damage), _keeps: Box::new(()) }
    })
    .await;
}
