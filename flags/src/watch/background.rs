//! What keeps a snapshot current: start, poll, save, heartbeat, and the rollbacks still to be stored.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::adopt::Adoption;
use super::health::{Counters, Health};
use super::losses::Losses;
use super::rollbacks::Pending;
use super::{Joined, Watch, WatchOptions};
use crate::control::Control;
use crate::migration::MigrationId;
use crate::saved::Saved;
use crate::snapshot::{Definitions, Local, Snapshot};
use crate::state::{Heartbeat, Revision};
use crate::store::{Loaded, Pulse, Store, StoreError, Stored};
use crate::tally::Row;

/// How often a router says that it lives and hears the revision, and by how much that varies, so
/// that a fleet does not speak in step.
const POLL: Duration = Duration::from_secs(1);
const POLL_JITTER_PERCENT: u32 = 20;

/// How long a store is left alone that woke its reader and had nothing new to say.
const WOKEN_FOR_NOTHING: Duration = Duration::from_millis(50);

/// How long to wait after a failed read during the start.
const START_RETRY: Duration = Duration::from_millis(100);

/// The least time between heartbeats that take counts along: so much less than a slot that one which was late does not
/// make the next one so, and enough that a clock which is set does not make them many.
const COUNTED_GAP: Duration = Duration::from_millis(250);

/// How long a heartbeat may take; longer than the store's own time-outs, which also give up a
/// connection that is dead.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(5);

/// The tasks of a [`Watch`]; dropped, they end at once.
#[derive(Debug)]
pub struct Background {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Background {
    /// Ends the tasks, after the state was saved once more.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        for task in std::mem::take(&mut self.tasks) {
            // A task that panicked has nothing left to end.
            let _ = task.await;
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

pub(super) async fn start(
    store: Arc<dyn Store>,
    definitions: Definitions,
    options: WatchOptions,
) -> (Arc<Watch>, Background) {
    let saved = read_saved(&options).await;
    let unstored = from_saved(&definitions, &saved);
    let watch = Arc::new(unread(store, definitions, options, saved));
    watch.store.mirror(watch.current().definitions().mirrored());
    let mut adoption = Adoption::default();
    let is_read = read_first(&watch).await;
    let (stop, stopped) = watch::channel(false);
    if watch.unusable_store().is_some() {
        // Nothing is served, and nothing saved that the next start would take for a state.
        return (watch, Background { stop, tasks: Vec::new() });
    }
    if is_read {
        // Before a request is served: the code before this has served it where its keys say.
        let patience = watch.options.store_patience;
        let _ = tokio::time::timeout(patience, adoption.settle(&watch)).await;
    } else {
        tell_unread(watch.current().revision());
        watch.serve_unread(unstored);
    }
    let tasks = vec![
        tokio::spawn(until(stopped.clone(), poll(Arc::clone(&watch)))),
        tokio::spawn(until(stopped.clone(), store_rollbacks(Arc::clone(&watch)))),
        tokio::spawn(live(Arc::clone(&watch), stopped.clone())),
        tokio::spawn(until(stopped.clone(), adopt(Arc::clone(&watch), adoption))),
        tokio::spawn(save(Arc::clone(&watch), stopped)),
    ];
    (watch, Background { stop, tasks })
}

async fn read_saved(options: &WatchOptions) -> Saved {
    let path = options.saved.clone();
    let read = tokio::task::spawn_blocking(move || Saved::read(&path)).await;
    let error = match read {
        Ok(Ok(saved)) => return saved.unwrap_or_default(),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    tracing::error!(%error, "starting without the saved snapshot");
    Saved::default()
}

/// A watcher that knows what was saved and has not asked the store yet.
///
/// States that were the file's and never stored are left out, so that they are taken from the file
/// of today once the store has answered that it has none.
fn unread(store: Arc<dyn Store>, definitions: Definitions, options: WatchOptions, mut saved: Saved) -> Watch {
    let definitions = Arc::new(definitions);
    let was_saved = !saved.migrations.is_empty();
    saved.migrations.retain(|_, known| known.document.revision > Revision::ZERO);
    let loaded = from_saved(&definitions, &saved);
    let is_defined = |id: &MigrationId| definitions.find(id).is_some();
    let rollbacks: Vec<_> = saved
        .local_rollbacks
        .into_iter()
        .filter(|rollback| is_defined(&rollback.migration))
        .map(|rollback| Pending { rollback, claims: 0 })
        .collect();
    let rolled_back = rollbacks.iter().map(|pending| pending.rollback.migration.clone()).collect();
    let local = Local { killed: false, rolled_back };
    let snapshot = Snapshot::build(Arc::clone(&definitions), &loaded, local, None);
    let (swapped, _) = watch::channel(snapshot.revision());
    Watch {
        store,
        options,
        snapshots: Arc::new(ArcSwap::from_pointee(snapshot)),
        swapped,
        joined: Mutex::new(Joined { definitions, loaded, killed: false, rollbacks, losses: Losses::default() }),
        reading: tokio::sync::Mutex::default(),
        read_last: AtomicU64::new(0),
        health: Health::starting(),
        counters: Counters::default(),
        rollbacks_wait: Notify::new(),
        draining: AtomicBool::new(false),
        was_saved,
        news: Notify::new(),
        told: Notify::new(),
        counted: Notify::new(),
        clock: Mutex::default(),
        tallies: OnceLock::new(),
    }
}

/// The saved state as if it were loaded. What it does not know stays on legacy, whatever the file's
/// initial state is, because the store may know that it has moved.
fn from_saved(definitions: &Definitions, saved: &Saved) -> Loaded {
    let migrations: BTreeMap<MigrationId, Stored> = definitions
        .migrations()
        .iter()
        .map(|definition| {
            let stored = match saved.migrations.get(&definition.id) {
                Some(known) => Stored::State { document: known.document.clone(), pins: known.pins.clone() },
                None => Stored::Unreadable("the store has not answered yet and no saved snapshot knows it".into()),
            };
            (definition.id.clone(), stored)
        })
        .collect();
    Loaded { revision: saved.revision, migrations, freeze: saved.freeze.clone(), ..Loaded::default() }
}

impl Watch {
    /// Why this router should not serve: its store refuses it, and it knows no state from before.
    ///
    /// A store that is merely away is no such reason, because it comes back by itself.
    pub fn unusable_store(&self) -> Option<String> {
        let health = self.health.report(Vec::new(), Vec::new());
        health.last_error.filter(|_| health.refused && health.from_saved && !self.was_saved)
    }
}

/// Whether the store answered in time.
async fn read_first(watch: &Watch) -> bool {
    let give_up = Instant::now() + watch.options.store_patience;
    loop {
        let read = tokio::time::timeout_at(give_up, watch.try_refresh()).await;
        match read {
            Ok(Ok(())) => return true,
            // It has answered, and the next answer would be the same.
            Ok(Err(StoreError::Refused(_))) => return false,
            Ok(Err(_)) if Instant::now() + START_RETRY < give_up => tokio::time::sleep(START_RETRY).await,
            Ok(Err(_)) | Err(_) => return false,
        }
    }
}

fn tell_unread(revision: Revision) {
    if revision == Revision::ZERO {
        tracing::error!(
            "starting without the store, and nothing that it held was saved here: legacy serves everything until it answers"
        );
    } else {
        tracing::error!(
            revision = revision.0,
            "starting without the store: the state saved here serves until it answers"
        );
    }
}

/// Runs `task` until it is stopped; a task is only ever stopped where it waits.
async fn until(mut stopped: watch::Receiver<bool>, task: impl Future<Output = ()>) {
    tokio::select! {
        _ = stopped.wait_for(|stop| *stop) => {}
        () = task => {}
    }
}

async fn poll(watch: Arc<Watch>) {
    let mut pace = Pace::default();
    loop {
        // What the store told last, not what is served: a store that is not believed has not changed.
        let seen = Revision(watch.read_last.load(Ordering::Relaxed));
        let resync = jittered(watch.options.resync);
        let woken = tokio::select! {
            changed = watch.store.changed(seen) => Some(changed),
            () = watch.told.notified() => None,
            () = tokio::time::sleep(resync) => None,
        };
        let begun = Instant::now();
        let read = watch.try_refresh().await;
        if read.is_err() || matches!(woken, Some(Err(_))) {
            // The store says why where it is read; asking again at once would not help it.
            tokio::time::sleep(jittered(POLL)).await;
            continue;
        }
        pace.answered(begun.elapsed());
        if woken.is_some() && watch.read_last.load(Ordering::Relaxed) == seen.0 {
            tokio::time::sleep(WOKEN_FOR_NOTHING).await;
        } else {
            // However often it changes, reading leaves as much time as it takes.
            tokio::time::sleep(pace.read_takes()).await;
        }
    }
}

/// How long reads take that are answered.
///
/// The shorter of the last two, because one alone may have met a store in trouble, and that is when a router must
/// look again soon; a large state makes every read slow.
#[derive(Debug, Default)]
struct Pace([Duration; 2]);

impl Pace {
    fn answered(&mut self, took: Duration) {
        self.0 = [self.0[1], took];
    }

    fn read_takes(&self) -> Duration {
        self.0[0].min(self.0[1])
    }
}

/// Looks at the plain keys of migrations whose first start was not settled when this router started.
async fn adopt(watch: Arc<Watch>, mut adoption: Adoption) {
    let mut swapped = watch.subscribe();
    loop {
        swapped.mark_unchanged();
        if adoption.settle(&watch).await {
            let _ = swapped.changed().await;
        } else {
            tokio::time::sleep(jittered(POLL)).await;
        }
    }
}

/// Stores what was rolled back here alone: when it happens, and again at the poll's pace.
async fn store_rollbacks(watch: Arc<Watch>) {
    let control = Control::new(Arc::clone(&watch));
    loop {
        control.store_local_rollbacks().await;
        // Ends early when a rollback is made.
        let _ = tokio::time::timeout(jittered(POLL), watch.rollbacks_wait.notified()).await;
    }
}

/// Beats until it is stopped, then says goodbye: nobody has to wait until this router is missed.
async fn live(watch: Arc<Watch>, stopped: watch::Receiver<bool>) {
    until(stopped, beat(Arc::clone(&watch))).await;
    // Not heard, it is missed like one that crashed.
    let _ = tokio::time::timeout(HEARTBEAT_TIMEOUT, watch.store.leave(&watch.options.replica)).await;
}

async fn beat(watch: Arc<Watch>) {
    let mut swapped = watch.subscribe();
    let mut counted_at = None;
    loop {
        swapped.mark_unchanged();
        let snapshot = watch.current();
        let heartbeat = Heartbeat {
            replica: watch.options.replica.clone(),
            revision: snapshot.revision(),
            config_hash: snapshot.definitions().config_hash.clone(),
            version: watch.options.version.clone(),
            time: Timestamp::now(),
            draining: watch.draining.load(Ordering::Relaxed),
        };
        let counted = watch.due();
        if !counted.is_empty() {
            counted_at = Some(Instant::now());
        }
        let asked = Timestamp::now();
        let said = tokio::time::timeout(HEARTBEAT_TIMEOUT, watch.store.beat(&heartbeat, &counted)).await;
        match said {
            Ok(Ok(pulse)) => watch.heard(&pulse, asked, &counted),
            // What is wrong shows where the store is read.
            Ok(Err(_)) | Err(_) => watch.unheard(),
        }
        tokio::select! {
            () = news(&watch, &mut swapped) => {}
            () = counted_since(&watch, counted_at) => {}
            () = tokio::time::sleep(jittered(POLL)) => {}
        }
    }
}

/// Resolves when there is something to say that should not wait.
async fn news(watch: &Watch, swapped: &mut watch::Receiver<Revision>) {
    tokio::select! {
        _ = swapped.changed() => {}
        () = watch.news.notified() => {}
    }
}

/// Resolves when a slot has ended that left something to store.
async fn counted_since(watch: &Watch, last: Option<Instant>) {
    loop {
        watch.counted.notified().await;
        if watch.tallies.get().is_some_and(|tallies| tallies.is_any_due()) {
            if let Some(last) = last {
                tokio::time::sleep_until(last + COUNTED_GAP).await;
            }
            return;
        }
    }
}

impl Watch {
    fn due(&self) -> Vec<Row> {
        self.tallies.get().map(|tallies| tallies.due()).unwrap_or_default()
    }

    /// Takes what a heartbeat was answered.
    fn heard(&self, pulse: &Pulse, asked: Timestamp, counted: &[Row]) {
        if let Some(tallies) = self.tallies.get() {
            tallies.stored(counted);
        }
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        clock.heard(asked, pulse.time, Timestamp::now());
        drop(clock);
        let read_last = Revision(self.read_last.load(Ordering::Relaxed));
        let is_news = pulse.revision.is_some_and(|revision| revision != read_last);
        if self.health.beaten(pulse.problem.as_deref(), pulse.revision.is_some()) || is_news {
            self.told.notify_one();
        }
    }

    /// The store did not answer a heartbeat: reading it tells why, unless that is known.
    fn unheard(&self) {
        if self.health.is_reachable() {
            self.told.notify_one();
        }
    }
}

/// Saves after each swap, many swaps at once if the disk is slow, and once more at the end.
async fn save(watch: Arc<Watch>, mut stopped: watch::Receiver<bool>) {
    let mut swapped = watch.subscribe();
    let mut failed_before = false;
    loop {
        let last = *stopped.borrow();
        swapped.mark_unchanged();
        let error = save_once(&watch).await;
        match &error {
            Some(error) => {
                watch.counters.save_failed();
                if !failed_before {
                    tracing::error!(%error, "the state cannot be saved for a start without the store");
                }
            }
            None if failed_before => tracing::info!("the state is saved again"),
            None => {}
        }
        failed_before = error.is_some();
        if last {
            return;
        }
        tokio::select! {
            _ = swapped.changed() => {}
            _ = stopped.wait_for(|stop| *stop) => {}
        }
    }
}

async fn save_once(watch: &Watch) -> Option<String> {
    let (saved, path) = (watch.to_save(), watch.options.saved.clone());
    match tokio::task::spawn_blocking(move || saved.write(&path)).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(error) => Some(error.to_string()),
    }
}

fn jittered(base: Duration) -> Duration {
    let mut random = [0; 4];
    // Without randomness the fleet reads in step, which is no reason not to read.
    let _ = getrandom::fill(&mut random);
    let span = 2 * POLL_JITTER_PERCENT + 1;
    base * (100 - POLL_JITTER_PERCENT + u32::from_ne_bytes(random) % span) / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(reads_ms: &[u64], takes_ms: u64) {
        let mut pace = Pace::default();
        reads_ms.iter().for_each(|took| pace.answered(Duration::from_millis(*took)));
        assert_eq!(pace.read_takes(), Duration::from_millis(takes_ms), "after {reads_ms:?}");
    }

    #[test]
    fn a_large_state_is_read_less_often_and_a_slow_answer_changes_nothing() {
        check(&[], 0);
        check(&[10, 10], 10);
        check(&[200, 200], 200);
        check(&[10, 1_900], 10);
        check(&[10, 1_900, 10], 10);
        check(&[1_900, 1_900], 1_900);
    }
}
