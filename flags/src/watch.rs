//! The only swapper: whatever changes what this router serves arrives here and becomes a snapshot.
//!
//! # Why one place
//!
//! A snapshot is joined from four things that change on their own: the store's state, the
//! operator's file, the kill file and rollbacks made on this router alone. Joined in one place,
//! under one lock that no request takes, they cannot overtake each other.
//!
//! # Why a poll beside the announcements
//!
//! An announcement is fast and may be lost without a trace, so it only shortens the wait. The
//! heartbeat, about every second or after each slot in which anything was counted, is answered with the store's revision, and that makes a change
//! certain to arrive. Everything is read again after each reconnect, and now and then for what was
//! changed by hand without a revision.
//!
//! # What happens without the store
//!
//! The last snapshot serves for as long as it takes. At a start without the store the saved
//! snapshot serves, and without that legacy does. A store that answers with an older state than
//! was served has lost data (a flush, a fail-over to a lagging replica): it is not believed.

mod adopt;
mod background;
mod clock;
mod health;
pub(crate) mod losses;
mod rollbacks;
#[cfg(test)]
pub(crate) mod tests;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::{Notify, watch};

pub use background::Background;
pub use health::{Counts, StoreHealth};
pub use losses::LostChange;
pub use rollbacks::LocalRollback;

use self::clock::StoreClock;
use self::health::{Counters, Health};
use self::losses::Losses;
use self::rollbacks::Pending;
use crate::freeze::FreezeEntry;
use crate::migration::MigrationId;
use crate::mode::Mode;
use crate::saved::{self, Saved};
use crate::snapshot::{Definitions, Local, Snapshot, unusable};
use crate::state::{Document, Pins, Revision};
use crate::store::{Loaded, Store, StoreError, Stored};
use crate::tally::{Slot, Tallies};

/// How long one read of the store may take.
const LOAD_TIMEOUT: Duration = Duration::from_secs(5);

/// The usual [`WatchOptions::resync`].
const RESYNC: Duration = Duration::from_secs(30);

/// What a watcher must be told about its router.
#[derive(Clone, Debug)]
pub struct WatchOptions {
    /// The name of this router among its fleet.
    pub replica: String,
    /// The version of this program, for the heartbeat.
    pub version: String,
    /// Where the last good state is kept.
    pub saved: PathBuf,
    /// How long a start waits for the store before it goes on without.
    pub store_patience: Duration,
    /// How often everything is read although nothing has changed, for what was changed by hand.
    pub resync: Duration,
}

impl WatchOptions {
    pub fn new(replica: impl Into<String>, saved: impl Into<PathBuf>) -> Self {
        let (replica, saved, version) = (replica.into(), saved.into(), env!("CARGO_PKG_VERSION").into());
        Self { replica, version, saved, store_patience: Duration::from_secs(3), resync: RESYNC }
    }
}

/// Why a new file was not taken; what served goes on serving.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReloadError {
    #[error(
        "the hash or the salt of {} would change while {} rollout is neither 0 nor 100 %, which would move callers to the other side; keep `hash` and `program`, or finish the rollout first",
        named(.0),
        if .0.len() == 1 { "its" } else { "their" }
    )]
    WouldMoveCallers(Vec<MigrationId>),
}

fn named(ids: &[MigrationId]) -> String {
    ids.iter().map(|id| format!("migration \"{id}\"")).collect::<Vec<_>>().join(", ")
}

/// Serves snapshots and swaps them.
pub struct Watch {
    store: Arc<dyn Store>,
    options: WatchOptions,
    snapshots: Arc<ArcSwap<Snapshot>>,
    swapped: watch::Sender<Revision>,
    joined: Mutex<Joined>,
    /// Reads of the store one after the other, so that an older one cannot be taken for a loss.
    reading: tokio::sync::Mutex<()>,
    /// The revision that the store last told, believed or not.
    read_last: AtomicU64,
    health: Health,
    counters: Counters,
    /// There is a rollback to be stored.
    rollbacks_wait: Notify,
    draining: AtomicBool,
    /// Whether an earlier run has left its state here.
    was_saved: bool,
    /// There is something new to say in a heartbeat besides a revision.
    news: Notify,
    /// A heartbeat was told something that the last read does not know.
    told: Notify,
    /// What was counted until the end of a slot is due.
    counted: Notify,
    clock: Mutex<StoreClock>,
    tallies: OnceLock<Arc<dyn Tallies>>,
}

/// What a snapshot is joined from. Locked for moments and never across an await.
struct Joined {
    definitions: Arc<Definitions>,
    loaded: Loaded,
    killed: bool,
    rollbacks: Vec<Pending>,
    losses: Losses,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("replica", &self.options.replica).finish_non_exhaustive()
    }
}

impl Watch {
    /// Loads a first snapshot and keeps it current until the [`Background`] is shut down.
    ///
    /// Never fails: without the store the saved snapshot serves, and without that legacy.
    pub async fn start(
        store: Arc<dyn Store>,
        definitions: Definitions,
        options: WatchOptions,
    ) -> (Arc<Self>, Background) {
        background::start(store, definitions, options).await
    }

    pub fn current(&self) -> Arc<Snapshot> {
        self.snapshots.load_full()
    }

    /// For workers, which keep an [`arc_swap::Cache`] of it.
    pub const fn snapshots(&self) -> &Arc<ArcSwap<Snapshot>> {
        &self.snapshots
    }

    /// The revision of the current snapshot, sent after each swap, the same one again included.
    pub fn subscribe(&self) -> watch::Receiver<Revision> {
        self.swapped.subscribe()
    }

    pub const fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The name of this router among its fleet.
    pub fn replica(&self) -> &str {
        &self.options.replica
    }

    pub fn store_health(&self) -> StoreHealth {
        let joined = self.lock();
        let waiting = joined.rollbacks.iter().map(|pending| pending.rollback.migration.clone()).collect();
        self.health.report(waiting, joined.losses.report())
    }

    /// The freeze that holds now, by what this router has read.
    ///
    /// For those who look; a change asks the store, which may know a newer one.
    pub fn freeze(&self) -> Option<FreezeEntry> {
        let now = self.store_time();
        self.lock().loaded.freeze.clone().filter(|freeze| freeze.holds_at(now))
    }

    /// What happened since the start, for counters.
    pub fn counts(&self) -> Counts {
        self.counters.read()
    }

    /// Takes a new file. Migrations that it keeps keep their state.
    pub fn reload(&self, definitions: Definitions) -> Result<(), ReloadError> {
        let mut joined = self.lock();
        let current = self.current();
        let moved: Vec<_> = current
            .iter()
            .filter(|(_, before, placed)| {
                let Some(at) = definitions.find(&before.id) else { return false };
                let after = &definitions.migrations()[at.0];
                let same_file = after.hash == before.hash && after.salt() == before.salt();
                let document = &placed.document;
                let same_split = after.hash == document.hash && after.salt() == document.salt;
                !same_file && !same_split && !document.share.is_an_end()
            })
            .map(|(_, migration, _)| migration.id.clone())
            .collect();
        if !moved.is_empty() {
            return Err(ReloadError::WouldMoveCallers(moved));
        }
        let generation = joined.definitions.generation + 1;
        joined.definitions = Arc::new(definitions.with_generation(generation));
        let definitions = Arc::clone(&joined.definitions);
        joined.rollbacks.retain(|pending| definitions.find(&pending.rollback.migration).is_some());
        self.swap(&joined);
        self.store.mirror(definitions.mirrored());
        Ok(())
    }

    /// Names where the counts come from that heartbeats take along; the first to be named stays.
    pub fn set_tallies(&self, tallies: Arc<dyn Tallies>) {
        let _ = self.tallies.set(tallies);
    }

    /// The time by the store's clock, which the routers of a fleet share.
    pub fn store_time(&self) -> Timestamp {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner).time(Timestamp::now())
    }

    /// The slot that runs by the store's clock.
    pub fn store_slot(&self) -> Slot {
        Slot::of(self.store_time())
    }

    /// The counts of the slot that has just ended are due: the next heartbeat need not wait.
    pub fn counted(&self) {
        self.counted.notify_one();
    }

    /// Everything to legacy on this router while `killed`, whatever the store says.
    pub fn set_killed(&self, killed: bool) {
        let mut joined = self.lock();
        if joined.killed == killed {
            return;
        }
        joined.killed = killed;
        if killed {
            tracing::warn!("the kill file exists: every migration is served by legacy on this router");
        } else {
            tracing::warn!("the kill file is gone: the stored modes hold again on this router");
        }
        self.swap(&joined);
    }

    /// This router finishes what is open and takes nothing new, as its next heartbeat says.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.news.notify_one();
    }

    /// Reads the store and swaps if it says something new. An error is noted and otherwise nothing.
    pub async fn refresh(&self) {
        // An error is in the health already, for those who look.
        let _ = self.try_refresh().await;
    }

    pub(crate) async fn try_refresh(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.reading.lock().await;
        let read = tokio::time::timeout(LOAD_TIMEOUT, self.store.load()).await;
        let read = read.unwrap_or_else(|_| Err(StoreError::unavailable("it did not answer in time")));
        match read {
            Ok(loaded) => {
                let read = loaded.revision.0;
                let forked = self.forked(&loaded).await.inspect_err(|error| self.not_read(error))?;
                self.read_last.store(read, Ordering::Relaxed);
                self.accept(loaded, &forked);
                Ok(())
            }
            Err(error) => {
                self.not_read(&error);
                Err(error)
            }
        }
    }

    fn not_read(&self, error: &StoreError) {
        self.counters.store_error();
        self.health.failed(error);
    }

    /// The migrations whose stored line does not contain what is served.
    async fn forked(&self, loaded: &Loaded) -> Result<Vec<MigrationId>, StoreError> {
        let served = self.current();
        if loaded.revision < served.revision() {
            return Ok(Vec::new());
        }
        let asked = losses::forked(self.store.as_ref(), &served, loaded);
        let asked = tokio::time::timeout(LOAD_TIMEOUT, asked).await;
        asked.unwrap_or_else(|_| Err(StoreError::unavailable("it did not answer in time")))
    }

    fn accept(&self, loaded: Loaded, forked: &[MigrationId]) {
        let mut joined = self.lock();
        let served = self.current();
        self.health.read_with(loaded.problem.as_deref());
        if !self.health.answered(loaded.revision, joined.loaded.revision) {
            self.counters.writes_lost(joined.losses.went_back(&served, &loaded));
            return;
        }
        self.counters.writes_lost(joined.losses.forked(&served, &loaded, forked));
        self.counters.writes_lost(losses::freeze_lost(joined.loaded.freeze.as_ref(), loaded.freeze.as_ref()));
        for rollback in losses::rollbacks_to_repeat(&served, &loaded, forked) {
            if !joined.rollbacks.iter().any(|pending| pending.rollback.migration == rollback.migration) {
                joined.rollbacks.push(Pending { rollback, claims: 0 });
                self.rollbacks_wait.notify_one();
            }
        }
        let waiting = joined.rollbacks.len();
        joined.rollbacks.retain(|pending| !says_rolled_back(&loaded, &pending.rollback.migration));
        if joined.loaded == loaded && joined.rollbacks.len() == waiting && !self.health.is_from_saved() {
            return;
        }
        joined.loaded = loaded;
        self.health.no_longer_from_saved();
        self.swap(&joined);
    }

    /// What a reseed would write back to a store that holds `loaded`; nothing where nothing was lost.
    pub(crate) fn lost(&self, loaded: &Loaded) -> Vec<(MigrationId, Document, Pins)> {
        let joined = self.lock();
        let served = self.current();
        let went_back = loaded.revision < served.revision();
        let mut lost = Vec::new();
        for (_, definition, placed) in served.iter() {
            let id = &definition.id;
            if let Some(loss) = joined.losses.get(id) {
                lost.push((id.clone(), loss.document.clone(), saved::pins(&loss.pins)));
            } else if placed.document.revision > Revision::ZERO && (went_back || !is_usable(loaded, id)) {
                lost.push((id.clone(), placed.document.clone(), saved::pins(&placed.pins)));
            }
        }
        // Migrations of other files are not served here, but this router has read them.
        for (id, stored) in &joined.loaded.migrations {
            if let (true, None, Stored::State { document, pins }) = (went_back, served.find(id), stored) {
                lost.push((id.clone(), document.clone(), pins.clone()));
            }
        }
        lost
    }

    /// The word on a freeze that a reseed would write back to a store that holds `loaded`.
    pub(crate) fn lost_freeze(&self, loaded: &Loaded) -> Option<FreezeEntry> {
        let known = self.lock().loaded.freeze.clone();
        let went_back = loaded.revision < self.current().revision();
        known.filter(|freeze| went_back && !freeze.is_a_guess() && loaded.freeze.as_ref() != Some(freeze))
    }

    /// Serves what was saved whole, because the store does not answer at the start.
    fn serve_unread(&self, saved: Loaded) {
        let mut joined = self.lock();
        joined.loaded = saved;
        self.swap(&joined);
    }

    /// Builds and publishes; the caller holds the lock, so that swaps are in order.
    fn swap(&self, joined: &Joined) {
        let previous = self.current();
        let rolled_back = joined.rollbacks.iter().map(|pending| pending.rollback.migration.clone()).collect();
        let local = Local { killed: joined.killed, rolled_back };
        let definitions = Arc::clone(&joined.definitions);
        let snapshot = Snapshot::build(definitions, &joined.loaded, local, Some(&previous));
        health::log_problems(&previous, &snapshot, &self.counters);
        let revision = snapshot.revision();
        self.snapshots.store(Arc::new(snapshot));
        self.counters.built();
        self.swapped.send_replace(revision);
    }

    /// What a start without the store needs.
    fn to_save(&self) -> Saved {
        let joined = self.lock();
        let rollbacks = joined.rollbacks.iter().map(|pending| pending.rollback.clone()).collect();
        Saved { freeze: joined.loaded.freeze.clone(), ..Saved::of(&self.current(), rollbacks) }
    }

    fn lock(&self) -> MutexGuard<'_, Joined> {
        self.joined.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_usable(loaded: &Loaded, migration: &MigrationId) -> bool {
    match loaded.migrations.get(migration) {
        Some(Stored::State { document, .. }) => unusable(document, loaded.revision).is_none(),
        Some(Stored::Unreadable(_)) | None => false,
    }
}

fn says_rolled_back(loaded: &Loaded, migration: &MigrationId) -> bool {
    match loaded.migrations.get(migration) {
        Some(Stored::State { document, .. }) => {
            document.mode == Mode::EmergencyRollback && unusable(document, loaded.revision).is_none()
        }
        Some(Stored::Unreadable(_)) | None => false,
    }
}
