//! What belongs to the process and to no worker: its snapshot, its store, its file.
//!
//! # Why ordinary atomics and a lock here
//!
//! These change a few times a minute and from any thread, so the plain cells of a worker would
//! lose counts and buy nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use flags::guard::GuardAction;
use flags::watch::Counts;
use flags::{BasisPoints, MigrationId, Mode, Revision, Snapshot};

use super::lock;
use crate::events::{GuardActed, LogLimit, SignInLimit};
use crate::guard::Thresholds;

/// What became of a report about work that ended later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutcomeResult {
    Success,
    Failure,
    /// All of it was known.
    Duplicate,
    /// It could not be counted.
    Refused,
}

impl OutcomeResult {
    pub const ALL: [Self; 4] = [Self::Success, Self::Failure, Self::Duplicate, Self::Refused];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Duplicate => "duplicate",
            Self::Refused => "refused",
        }
    }
}

const OUTCOMES: usize = OutcomeResult::ALL.len();
const GUARD_ACTIONS: usize = GuardActed::ACTIONS.len();
const SIGN_IN_LIMITS: usize = SignInLimit::ALL.len();

/// Where one migration stands in the snapshot that this router serves from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Standing {
    pub(super) mode: Mode,
    pub(super) share: BasisPoints,
    pub(super) problem: bool,
    /// Its guard is not off.
    pub(super) is_guarded: bool,
    /// Evidence at which the guard holds, brakes and rolls back.
    pub(super) thresholds: [f64; 3],
}

/// State and counts of the process.
#[derive(Debug)]
pub struct ProcessCells {
    standings: Mutex<BTreeMap<MigrationId, Standing>>,
    rollbacks: Mutex<BTreeMap<MigrationId, u64>>,
    /// What guards have done, by action.
    guard_acts: Mutex<BTreeMap<MigrationId, [u64; GUARD_ACTIONS]>>,
    outcomes: Mutex<BTreeMap<MigrationId, [u64; OUTCOMES]>>,
    replica_revision: AtomicU64,
    killed: AtomicBool,
    draining: AtomicBool,
    store_revision: AtomicU64,
    store_up: AtomicBool,
    store_seen: Mutex<Instant>,
    store_errors: AtomicU64,
    writes_lost: AtomicU64,
    counts_lost: AtomicU64,
    documents_refused: AtomicU64,
    store_disbelieved: AtomicBool,
    revision_went_back: AtomicU64,
    reloads: [AtomicU64; 2],
    reloaded_seconds: AtomicU64,
    config_hash: Mutex<String>,
    streams_refused: AtomicU64,
    sessions_evicted: AtomicU64,
    sign_ins_dropped: [AtomicU64; SIGN_IN_LIMITS],
    guard_failures: AtomicU64,
    pub(crate) guard_log: LogLimit,
}

impl ProcessCells {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            standings: Mutex::default(),
            rollbacks: Mutex::default(),
            guard_acts: Mutex::default(),
            outcomes: Mutex::default(),
            replica_revision: AtomicU64::new(0),
            killed: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            store_revision: AtomicU64::new(0),
            store_up: AtomicBool::new(false),
            store_seen: Mutex::new(now),
            store_errors: AtomicU64::new(0),
            writes_lost: AtomicU64::new(0),
            counts_lost: AtomicU64::new(0),
            documents_refused: AtomicU64::new(0),
            store_disbelieved: AtomicBool::new(false),
            revision_went_back: AtomicU64::new(0),
            reloads: Default::default(),
            reloaded_seconds: AtomicU64::new(0),
            config_hash: Mutex::default(),
            streams_refused: AtomicU64::new(0),
            sessions_evicted: AtomicU64::new(0),
            sign_ins_dropped: Default::default(),
            guard_failures: AtomicU64::new(0),
            guard_log: LogLimit::default(),
        }
    }

    /// The router serves from this snapshot now.
    pub(super) fn snapshot_swapped(&self, snapshot: &Snapshot) {
        let standings = snapshot
            .iter()
            .map(|(at, migration, placed)| {
                let mode = snapshot.effective_mode(at);
                let thresholds = thresholds(migration.guard.alpha);
                let (share, problem) = (placed.document.share, placed.problem.is_some());
                let is_guarded = migration.guard.action != GuardAction::Off;
                let standing = Standing { mode, share, problem, is_guarded, thresholds };
                (migration.id.clone(), standing)
            })
            .collect();
        *lock(&self.standings) = standings;
        self.replica_revision.store(snapshot.revision().0, Ordering::Relaxed);
        self.killed.store(snapshot.killed(), Ordering::Relaxed);
    }

    /// The store answered, and stood at this revision.
    pub fn store_answered(&self, revision: Revision, now: Instant) {
        self.store_revision.store(revision.0, Ordering::Relaxed);
        self.store_up.store(true, Ordering::Relaxed);
        *lock(&self.store_seen) = now;
    }

    /// The last call of the store failed.
    pub fn store_failed(&self) {
        self.store_up.store(false, Ordering::Relaxed);
    }

    /// What the watcher has counted since the start.
    pub fn store_counts(&self, counts: Counts) {
        let set = |cell: &AtomicU64, total| cell.store(total, Ordering::Relaxed);
        set(&self.store_errors, counts.store_errors);
        set(&self.writes_lost, counts.writes_lost);
        set(&self.documents_refused, counts.documents_refused);
    }

    /// Requests that the fleet's counts lack so far.
    pub fn counts_lost(&self, total: u64) {
        self.counts_lost.store(total, Ordering::Relaxed);
    }

    /// Whether the store's state is taken, or older than what is served.
    pub fn store_believed(&self, believed: bool) {
        self.store_disbelieved.store(!believed, Ordering::Relaxed);
    }

    /// The store was found older than what this router serves from.
    pub fn revision_went_back(&self) {
        self.revision_went_back.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn rolled_back(&self, id: &MigrationId) {
        if let Some(count) = lock(&self.rollbacks).get_mut(id) {
            *count += 1;
        }
    }

    /// A system reported how a piece of work went.
    pub fn outcome(&self, id: &MigrationId, result: OutcomeResult) {
        if let Some(counts) = lock(&self.outcomes).get_mut(id) {
            counts[result as usize] += 1;
        }
    }

    pub(crate) fn guard_acted(&self, id: &MigrationId, action: &str) {
        let at = GuardActed::ACTIONS.iter().position(|own| *own == action);
        if let (Some(counts), Some(at)) = (lock(&self.guard_acts).get_mut(id), at) {
            counts[at] += 1;
        }
    }

    pub(crate) fn draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// A file was taken; `config_hash` is that of the effective file.
    pub(crate) fn config_loaded(&self, config_hash: &str) {
        self.reloads[0].fetch_add(1, Ordering::Relaxed);
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.reloaded_seconds.store(since_epoch.as_secs(), Ordering::Relaxed);
        config_hash.clone_into(&mut lock(&self.config_hash));
    }

    /// A file was refused.
    pub(crate) fn config_refused(&self) {
        self.reloads[1].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn stream_refused(&self) {
        self.streams_refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn session_evicted(&self) {
        self.sessions_evicted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn sign_in_dropped(&self, limit: SignInLimit) {
        self.sign_ins_dropped[limit as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn guard_failed(&self) {
        self.guard_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts rollbacks of these from now on, and of no others.
    pub(super) fn declare_migrations(&self, named: &BTreeSet<&MigrationId>) {
        let mut rollbacks = lock(&self.rollbacks);
        rollbacks.retain(|id, _| named.contains(id));
        for id in named {
            rollbacks.entry((*id).clone()).or_default();
        }
        let mut acts = lock(&self.guard_acts);
        acts.retain(|id, _| named.contains(id));
        for id in named {
            acts.entry((*id).clone()).or_default();
        }
        let mut outcomes = lock(&self.outcomes);
        outcomes.retain(|id, _| named.contains(id));
        for id in named {
            outcomes.entry((*id).clone()).or_default();
        }
    }

    pub(super) fn read(&self, now: Instant) -> ProcessTotals {
        let load = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        ProcessTotals {
            standings: lock(&self.standings).clone(),
            rollbacks: lock(&self.rollbacks).clone(),
            guard_acts: lock(&self.guard_acts).clone(),
            outcomes: lock(&self.outcomes).clone(),
            replica_revision: load(&self.replica_revision),
            killed: self.killed.load(Ordering::Relaxed),
            draining: self.draining.load(Ordering::Relaxed),
            store_revision: load(&self.store_revision),
            store_up: self.store_up.load(Ordering::Relaxed),
            store_staleness: now.saturating_duration_since(*lock(&self.store_seen)),
            store_errors: load(&self.store_errors),
            writes_lost: load(&self.writes_lost),
            counts_lost: load(&self.counts_lost),
            documents_refused: load(&self.documents_refused),
            store_disbelieved: self.store_disbelieved.load(Ordering::Relaxed),
            revision_went_back: load(&self.revision_went_back),
            reloads: [load(&self.reloads[0]), load(&self.reloads[1])],
            reloaded_seconds: load(&self.reloaded_seconds),
            config_hash: lock(&self.config_hash).clone(),
            streams_refused: load(&self.streams_refused),
            sessions_evicted: load(&self.sessions_evicted),
            sign_ins_dropped: self.sign_ins_dropped.each_ref().map(load),
            guard_failures: load(&self.guard_failures),
        }
    }
}

fn thresholds(alpha: BasisPoints) -> [f64; 3] {
    let Thresholds { hold, brake, rollback, .. } = Thresholds::of(f64::from(alpha.get()) / 10_000.0);
    [hold, brake, rollback]
}

/// The cells at one instant.
#[derive(Debug)]
pub(super) struct ProcessTotals {
    pub(super) standings: BTreeMap<MigrationId, Standing>,
    pub(super) rollbacks: BTreeMap<MigrationId, u64>,
    pub(super) guard_acts: BTreeMap<MigrationId, [u64; GUARD_ACTIONS]>,
    pub(super) outcomes: BTreeMap<MigrationId, [u64; OUTCOMES]>,
    pub(super) replica_revision: u64,
    pub(super) killed: bool,
    pub(super) draining: bool,
    pub(super) store_revision: u64,
    pub(super) store_up: bool,
    pub(super) store_staleness: Duration,
    pub(super) store_errors: u64,
    pub(super) writes_lost: u64,
    pub(super) counts_lost: u64,
    pub(super) documents_refused: u64,
    pub(super) store_disbelieved: bool,
    pub(super) revision_went_back: u64,
    /// Taken, refused.
    pub(super) reloads: [u64; 2],
    pub(super) reloaded_seconds: u64,
    pub(super) config_hash: String,
    pub(super) streams_refused: u64,
    pub(super) sessions_evicted: u64,
    pub(super) sign_ins_dropped: [u64; SIGN_IN_LIMITS],
    pub(super) guard_failures: u64,
}
