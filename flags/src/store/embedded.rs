//! The store of a single router: one file on its own disk.
//!
//! # Why an embedded store
//!
//! A first rollout should not need a second service. One process holds the file, so an announcement
//! is a value in memory; everything else is promised and tested as it is for a shared store.
//!
//! Deliberately not supported: two routers on one file. The second is told who is in its way.

mod findings;
mod freezes;
mod ledger;
mod outcomes;
mod records;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::ledger::Duty;
use super::records::Lease;
use super::{
    Ledger, Loaded, PAGE_MAX, Page, Pulse, REPLICA_FORGOTTEN_AFTER, Restored, Store, StoreError, Write, readable,
};
use crate::freeze::FreezeEntry;
use crate::migration::MigrationId;
use crate::state::{Heartbeat, HistoryEntry, Revision};
use crate::tally::{Kept, Row, Slot, SlotCounts};

/// The ordinal of the whole, under the one key `revision`.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const DOCUMENTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("documents");
/// By migration and key.
const PINS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("pins");
/// By migration and revision.
const HISTORY: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("history");

const REVISION: &str = "revision";

/// State in one `redb` file.
pub struct Embedded {
    file: Arc<File>,
    revision: watch::Sender<Revision>,
    /// One process, so what replicas say of themselves need not outlive it.
    replicas: Mutex<BTreeMap<String, Heartbeat>>,
    counts: Arc<Mutex<Kept>>,
    lease: Mutex<Lease>,
    /// By migration; the file is one router's, so these keep its own tasks apart and no more.
    duties: Mutex<BTreeMap<(MigrationId, Duty), Lease>>,
    desk: Arc<ledger::Desk>,
    /// The time of the ledger in a test that has its own; 0 is this machine's.
    #[cfg(test)]
    pub(super) ledger_now: std::sync::atomic::AtomicU64,
}

struct File {
    path: PathBuf,
    database: Database,
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedded").field("path", &self.file.path).finish_non_exhaustive()
    }
}

impl Embedded {
    /// Opens the file, or makes it. A file that cannot be used is left as it is.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        let opened = path.clone();
        let (file, revision) = blocking(&path, move || open(opened)).await?;
        Ok(Self::of(file, revision))
    }

    fn of(file: File, revision: Revision) -> Self {
        let (revision, _) = watch::channel(revision);
        let (replicas, counts, lease, duties, desk) = Default::default();
        Self {
            file: Arc::new(file),
            revision,
            replicas,
            counts,
            lease,
            duties,
            desk,
            #[cfg(test)]
            ledger_now: std::sync::atomic::AtomicU64::new(0),
        }
    }

    /// One that ends with its process.
    #[cfg(test)]
    pub(super) fn in_memory() -> Self {
        let backend = redb::backends::InMemoryBackend::new();
        let database = Database::builder().create_with_backend(backend).unwrap();
        let file = File { path: "memory".into(), database };
        file.make().unwrap();
        Self::of(file, Revision::ZERO)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&File) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let file = Arc::clone(&self.file);
        blocking(&self.file.path, move || work(&file)).await
    }
}

#[async_trait]
impl Store for Embedded {
    fn ledger(&self) -> &dyn Ledger {
        self
    }

    async fn load(&self) -> Result<Loaded, StoreError> {
        self.run(File::load).await
    }

    async fn replace(&self, expected: Revision, write: Write) -> Result<Revision, StoreError> {
        let revision = self.revision.clone();
        // Announced where it is written, so that a caller who gives up waiting does not hide it.
        self.run(move |file| {
            let next = file.replace(expected, &write)?;
            revision.send_replace(next);
            Ok(next)
        })
        .await
    }

    async fn restore(
        &self,
        expected: Revision,
        restored: Vec<Restored>,
        freeze: Option<FreezeEntry>,
    ) -> Result<Revision, StoreError> {
        let revision = self.revision.clone();
        self.run(move |file| {
            let newest = file.restore(expected, &restored, freeze.as_ref())?;
            revision.send_replace(newest);
            Ok(newest)
        })
        .await
    }

    async fn freeze(&self, expected: Revision, entry: FreezeEntry) -> Result<Revision, StoreError> {
        let revision = self.revision.clone();
        self.run(move |file| {
            let next = file.freeze(expected, &entry)?;
            revision.send_replace(next);
            Ok(next)
        })
        .await
    }

    async fn freezes(&self) -> Result<Vec<FreezeEntry>, StoreError> {
        self.run(File::freezes).await
    }

    async fn changed(&self, seen: Revision) -> Result<(), StoreError> {
        let mut revision = self.revision.subscribe();
        let waited = revision.wait_for(|current| *current != seen).await;
        waited.map(|_| ()).map_err(StoreError::unavailable)
    }

    async fn history(&self, migration: &MigrationId, page: Page) -> Result<Vec<HistoryEntry>, StoreError> {
        let migration = migration.clone();
        self.run(move |file| file.history(&migration, page)).await
    }

    async fn beat(&self, heartbeat: &Heartbeat, counted: &[Row]) -> Result<Pulse, StoreError> {
        let time = Timestamp::now();
        {
            let mut replicas = self.replicas.lock().unwrap_or_else(PoisonError::into_inner);
            replicas.retain(|_, beat| is_remembered(beat, heartbeat.time));
            replicas.insert(heartbeat.replica.clone(), heartbeat.clone());
        }
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.put(&heartbeat.replica, counted, Slot::of(time));
        Ok(Pulse { revision: Some(*self.revision.borrow()), time, problem: None })
    }

    async fn counts(
        &self,
        migration: &MigrationId,
        slots: RangeInclusive<Slot>,
    ) -> Result<Vec<SlotCounts>, StoreError> {
        Ok(self.counts.lock().unwrap_or_else(PoisonError::into_inner).get(migration, slots))
    }

    async fn leave(&self, replica: &str) -> Result<(), StoreError> {
        self.replicas.lock().unwrap_or_else(PoisonError::into_inner).remove(replica);
        Ok(())
    }

    async fn replicas(&self) -> Result<Vec<Heartbeat>, StoreError> {
        let now = Timestamp::now();
        let mut replicas = self.replicas.lock().unwrap_or_else(PoisonError::into_inner);
        replicas.retain(|_, beat| is_remembered(beat, now));
        Ok(replicas.values().cloned().collect())
    }
}

fn is_remembered(beat: &Heartbeat, now: Timestamp) -> bool {
    now.duration_since(beat.time) < REPLICA_FORGOTTEN_AFTER
}

impl File {
    fn load(&self) -> Result<Loaded, StoreError> {
        let read = self.database.begin_read().map_err(|error| self.failed(error))?;
        let meta = read.open_table(META).map_err(|error| self.failed(error))?;
        let revision = meta.get(REVISION).map_err(|error| self.failed(error))?.map_or(0, |value| value.value());
        let documents = read.open_table(DOCUMENTS).map_err(|error| self.failed(error))?;
        let pins = read.open_table(PINS).map_err(|error| self.failed(error))?;
        let mut migrations = BTreeMap::new();
        for row in documents.iter().map_err(|error| self.failed(error))? {
            let (id, document) = row.map_err(|error| self.failed(error))?;
            let Ok(migration) = MigrationId::new(id.value()) else { continue };
            let mut of_migration = Vec::new();
            for pin in pins.range((id.value(), "")..).map_err(|error| self.failed(error))? {
                let (key, pin) = pin.map_err(|error| self.failed(error))?;
                if key.value().0 != id.value() {
                    break;
                }
                of_migration.push((key.value().1.as_bytes().to_vec(), pin.value().to_vec()));
            }
            migrations.insert(migration, readable(document.value(), Ok(of_migration)));
        }
        let freeze = freezes::newest(&read).map_err(|error| self.failed(error))?;
        Ok(Loaded { revision: Revision(revision), migrations, freeze, incomplete: None, problem: None })
    }

    /// Goes to another revision, if nobody has written since `expected`.
    fn advance(&self, transaction: &WriteTransaction, expected: Revision, to: Revision) -> Result<(), StoreError> {
        let mut meta = transaction.open_table(META).map_err(|error| self.failed(error))?;
        let actual = meta.get(REVISION).map_err(|error| self.failed(error))?.map_or(0, |value| value.value());
        if actual != expected.0 {
            return Err(StoreError::Conflict { expected, actual: Revision(actual) });
        }
        meta.insert(REVISION, to.0).map_err(|error| self.failed(error))?;
        Ok(())
    }

    fn replace(&self, expected: Revision, write: &Write) -> Result<Revision, StoreError> {
        let transaction = self.database.begin_write().map_err(|error| self.failed(error))?;
        let next = expected.next();
        self.advance(&transaction, expected, next)?;
        {
            let id = write.migration.as_str();
            let mut documents = transaction.open_table(DOCUMENTS).map_err(|error| self.failed(error))?;
            documents.insert(id, encode(&write.document)?.as_slice()).map_err(|error| self.failed(error))?;
            let mut pins = transaction.open_table(PINS).map_err(|error| self.failed(error))?;
            match &write.pin {
                Some((key, Some(pin))) => {
                    let pin = encode(pin)?;
                    pins.insert((id, key.as_str()), pin.as_slice()).map_err(|error| self.failed(error))?;
                }
                Some((key, None)) => {
                    pins.remove((id, key.as_str())).map_err(|error| self.failed(error))?;
                }
                None => {}
            }
            let mut history = transaction.open_table(HISTORY).map_err(|error| self.failed(error))?;
            let entry = encode(&write.entry)?;
            history.insert((id, next.0), entry.as_slice()).map_err(|error| self.failed(error))?;
        }
        transaction.commit().map_err(|error| self.failed(error))?;
        Ok(next)
    }

    fn restore(
        &self,
        expected: Revision,
        restored: &[Restored],
        freeze: Option<&FreezeEntry>,
    ) -> Result<Revision, StoreError> {
        let transaction = self.database.begin_write().map_err(|error| self.failed(error))?;
        let last = freeze.map(|freeze| freeze.revision);
        let newest = last.or(restored.last().map(|last| last.document.revision)).unwrap_or(expected);
        self.advance(&transaction, expected, newest)?;
        {
            let mut documents = transaction.open_table(DOCUMENTS).map_err(|error| self.failed(error))?;
            let mut pins = transaction.open_table(PINS).map_err(|error| self.failed(error))?;
            let mut history = transaction.open_table(HISTORY).map_err(|error| self.failed(error))?;
            for one in restored {
                let id = one.migration.as_str();
                documents.insert(id, encode(&one.document)?.as_slice()).map_err(|error| self.failed(error))?;
                let mut known = Vec::new();
                for pin in pins.range((id, "")..).map_err(|error| self.failed(error))? {
                    let (key, _) = pin.map_err(|error| self.failed(error))?;
                    if key.value().0 != id {
                        break;
                    }
                    known.push(key.value().1.to_owned());
                }
                for key in known {
                    pins.remove((id, key.as_str())).map_err(|error| self.failed(error))?;
                }
                for (key, pin) in &one.pins {
                    pins.insert((id, key.as_str()), encode(pin)?.as_slice()).map_err(|error| self.failed(error))?;
                }
                let entry = encode(&one.entry)?;
                history.insert((id, one.document.revision.0), entry.as_slice()).map_err(|error| self.failed(error))?;
            }
        }
        if let Some(freeze) = freeze {
            let entry = encode(freeze)?;
            freezes::put(&transaction, freeze.revision, &entry).map_err(|error| self.failed(error))?;
        }
        transaction.commit().map_err(|error| self.failed(error))?;
        Ok(newest)
    }

    fn history(&self, migration: &MigrationId, page: Page) -> Result<Vec<HistoryEntry>, StoreError> {
        let read = self.database.begin_read().map_err(|error| self.failed(error))?;
        let history = read.open_table(HISTORY).map_err(|error| self.failed(error))?;
        let end = page.before.map_or(u64::MAX, |before| before.0);
        let id = migration.as_str();
        let rows = history.range((id, 0)..(id, end)).map_err(|error| self.failed(error))?;
        rows.rev()
            .take(page.limit.min(PAGE_MAX))
            .map(|row| {
                let (_, entry) = row.map_err(|error| self.failed(error))?;
                decode(entry.value())
            })
            .collect()
    }

    /// Makes the tables at once, so that readers need not tell a new file from a damaged one.
    fn make(&self) -> Result<(), StoreError> {
        let transaction = self.database.begin_write().map_err(|error| self.failed(error))?;
        transaction.open_table(META).map_err(|error| self.failed(error))?;
        transaction.open_table(DOCUMENTS).map_err(|error| self.failed(error))?;
        transaction.open_table(PINS).map_err(|error| self.failed(error))?;
        transaction.open_table(HISTORY).map_err(|error| self.failed(error))?;
        ledger::make(&transaction).map_err(|error| self.failed(error))?;
        records::make(&transaction).map_err(|error| self.failed(error))?;
        freezes::make(&transaction).map_err(|error| self.failed(error))?;
        transaction.commit().map_err(|error| self.failed(error))
    }

    fn failed(&self, error: impl Into<redb::Error>) -> StoreError {
        explain(&self.path, error.into())
    }
}

fn open(path: PathBuf) -> Result<(File, Revision), StoreError> {
    let database = Database::create(&path).map_err(|error| explain(&path, error.into()))?;
    let file = File { path, database };
    file.make()?;
    let revision = file.load()?.revision;
    Ok((file, revision))
}

async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        // The database panics on some damaged files instead of refusing them.
        Err(error) if error.is_panic() => Err(damaged(path, "its reader gave up on it")),
        Err(error) => Err(StoreError::unavailable(error)),
    }
}

fn explain(path: &Path, error: redb::Error) -> StoreError {
    let shown = path.display();
    match error {
        redb::Error::DatabaseAlreadyOpen => StoreError::unavailable(format!(
            "the embedded store {shown} is in use by another router; stop that one, or give each router its own file, or share state through Redis (store.redis)"
        )),
        redb::Error::Corrupted(detail) => damaged(path, &detail),
        redb::Error::UpgradeRequired(version) => {
            damaged(path, &format!("its format is version {version}, which this router does not read"))
        }
        redb::Error::TableTypeMismatch { .. } | redb::Error::TableIsMultimap(_) => {
            damaged(path, "it is a database of another program")
        }
        redb::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => damaged(path, &error.to_string()),
        redb::Error::Io(error) => StoreError::unavailable(format!("the embedded store {shown}: {error}")),
        error => StoreError::unavailable(format!("the embedded store {shown}: {error}")),
    }
}

fn damaged(path: &Path, detail: &str) -> StoreError {
    let shown = path.display();
    StoreError::corrupt(format!(
        "the file {shown} is not a usable embedded store ({detail}); nothing was changed in it. Restore it from a backup, \
         or move it aside (mv {shown} {shown}.damaged) and start again: the router then serves its saved snapshot"
    ))
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(StoreError::corrupt)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(StoreError::corrupt)
}

#[cfg(test)]
mod tests {
    use super::super::conformance::records::Record;
    use super::super::conformance::{self, Subject, id, next_write};
    use super::*;

    async fn subject() -> Subject {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(Embedded::open(directory.path().join("state.redb")).await.unwrap());
        let (file, records) = (Arc::clone(&store.file), Arc::clone(&store));
        let damage = move |migration: MigrationId, text: &'static str| {
            let file = Arc::clone(&file);
            let overwrite = move || {
                let transaction = file.database.begin_write().unwrap();
                transaction.open_table(DOCUMENTS).unwrap().insert(migration.as_str(), text.as_bytes()).unwrap();
                transaction.commit().unwrap();
            };
            Box::pin(async move { tokio::task::spawn_blocking(overwrite).await.unwrap() }) as _
        };
        let damage_record = move |record: Record, text: String| {
            records.damage(record, &text);
            Box::pin(async {}) as _
        };
        let damage_record = Box::new(damage_record);
        Subject { store, damage: Box::new(damage), damage_record, _keeps: Box::new(directory) }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn it_does_what_every_store_does() {
        conformance::run(subject).await;
    }

    async fn ledger_subject() -> conformance::ledger::Subject {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(Embedded::open(directory.path().join("state.redb")).await.unwrap());
        let clock = Arc::clone(&store);
        let set_time = move |now| clock.ledger_now.store(now, std::sync::atomic::Ordering::SeqCst);
        conformance::ledger::Subject { store, set_time: Box::new(set_time), _keeps: Box::new(directory) }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn its_ledger_does_what_every_ledger_does() {
        conformance::ledger::run(ledger_subject).await;
    }

    #[tokio::test]
    async fn issues_that_were_accepted_together_are_there_when_it_is_opened_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.redb");
        let store = Embedded::open(&path).await.unwrap();
        conformance::ledger::accept_many(&store, 300).await;
        drop(store);
        let store = Embedded::open(&path).await.unwrap();
        let totals = store.ledger().totals(&id("m")).await.unwrap();
        assert_eq!((totals.waiting, totals.records.len()), (300, 1));
    }

    #[tokio::test]
    async fn opened_again_it_has_everything_and_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.redb");
        let store = Embedded::open(&path).await.unwrap();
        let loaded = store.load().await.unwrap();
        store.replace(loaded.revision, next_write(&loaded, &id("m"), 100)).await.unwrap();
        let before = store.load().await.unwrap();
        let page = Page { before: None, limit: 10 };
        let history = store.history(&id("m"), page).await.unwrap();
        drop(store);

        let store = Embedded::open(&path).await.unwrap();
        assert_eq!(store.load().await.unwrap(), before);
        assert_eq!(store.history(&id("m"), page).await.unwrap(), history);
        store.changed(Revision(0)).await.unwrap();
        store.replace(Revision(1), next_write(&before, &id("m"), 200)).await.unwrap();
    }

    #[tokio::test]
    async fn a_second_router_is_told_which_file_is_in_use() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.redb");
        let _first = Embedded::open(&path).await.unwrap();
        let refused = Embedded::open(&path).await.unwrap_err();
        assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
        let text = refused.to_string();
        assert!(text.contains("state.redb") && text.contains("in use by another router"), "{text}");
    }

    /// A file that is no store of ours is refused with what to do, and left as it is.
    async fn check_damaged(bytes: &[u8]) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.redb");
        std::fs::write(&path, bytes).unwrap();
        let refused = Embedded::open(&path).await.unwrap_err();
        assert!(matches!(refused, StoreError::Corrupt(_)), "{refused}");
        let text = refused.to_string();
        assert!(text.contains("state.redb") && text.contains("move it aside"), "{text}");
        assert!(std::fs::read(&path).unwrap() == bytes, "the file was changed");
    }

    #[tokio::test]
    async fn a_damaged_or_foreign_file_says_what_to_do() {
        check_damaged(b"this is a letter, not a database").await;
        check_damaged(&[0; 8192]).await;
        check_damaged(&[0xff; 100_000]).await;

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.redb");
        drop(Embedded::open(&path).await.unwrap());
        let good = std::fs::read(&path).unwrap();
        check_damaged(&good[..good.len() / 2]).await;
        let mut overwritten = good;
        overwritten[9..400].fill(0xa5);
        check_damaged(&overwritten).await;
    }

    #[tokio::test]
    async fn a_directory_that_does_not_exist_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let refused = Embedded::open(directory.path().join("nowhere/state.redb")).await.unwrap_err();
        assert!(refused.to_string().contains("nowhere/state.redb"), "{refused}");
    }

    #[tokio::test]
    async fn a_replica_silent_for_a_minute_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let store = Embedded::open(directory.path().join("state.redb")).await.unwrap();
        let time = Timestamp::now() - REPLICA_FORGOTTEN_AFTER;
        let (config_hash, version) = (String::new(), String::new());
        let beat =
            Heartbeat { replica: "old".into(), revision: Revision(1), config_hash, version, time, draining: false };
        store.beat(&beat, &[]).await.unwrap();
        assert_eq!(store.replicas().await.unwrap(), []);
    }
}
