//! What is known of the store, told once per change of condition.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::losses::LostChange;
use crate::migration::MigrationId;
use crate::snapshot::Snapshot;
use crate::state::Revision;
use crate::store::StoreError;

/// How the store does, as an operator should see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreHealth {
    /// Whether the last read was answered.
    pub reachable: bool,
    pub last_success: Option<Timestamp>,
    /// What it said when it was last read, believed or not.
    pub revision: Revision,
    /// Why the last read failed; none after a read that did not.
    pub last_error: Option<String>,
    /// The store answered the last read and said no: its configuration is to be mended.
    pub refused: bool,
    /// The state served comes from the saved snapshot, or from none, and not from the store.
    pub from_saved: bool,
    /// The store answers with an older state than is served: it lost data and is not believed.
    pub revision_went_back: bool,
    /// What of the store as a whole does not read, although it answers.
    pub problem: Option<String>,
    /// What of the last heartbeat the store did not take.
    pub beat_problem: Option<String>,
    /// Rolled back here and not stored yet.
    pub rollbacks_waiting: Vec<MigrationId>,
    /// Changes that the store acknowledged and has lost, the newest of each migration.
    pub losses: Vec<LostChange>,
}

/// What happened since the start. Each only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub snapshots_built: u64,
    /// Times that a stored document became unusable.
    pub documents_refused: u64,
    pub store_errors: u64,
    pub saves_failed: u64,
    /// Lost changes noticed, the newest of each migration.
    pub writes_lost: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    snapshots_built: AtomicU64,
    documents_refused: AtomicU64,
    store_errors: AtomicU64,
    saves_failed: AtomicU64,
    writes_lost: AtomicU64,
}

impl Counters {
    pub(super) fn built(&self) {
        self.snapshots_built.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn document_refused(&self) {
        self.documents_refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn store_error(&self) {
        self.store_errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn save_failed(&self) {
        self.saves_failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn writes_lost(&self, more: u64) {
        self.writes_lost.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Counts {
        Counts {
            snapshots_built: self.snapshots_built.load(Ordering::Relaxed),
            documents_refused: self.documents_refused.load(Ordering::Relaxed),
            store_errors: self.store_errors.load(Ordering::Relaxed),
            saves_failed: self.saves_failed.load(Ordering::Relaxed),
            writes_lost: self.writes_lost.load(Ordering::Relaxed),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Health(Mutex<StoreHealth>);

impl Health {
    pub(super) fn starting() -> Self {
        Self(Mutex::new(StoreHealth { from_saved: true, ..StoreHealth::default() }))
    }

    pub(super) fn report(&self, rollbacks_waiting: Vec<MigrationId>, losses: Vec<LostChange>) -> StoreHealth {
        StoreHealth { rollbacks_waiting, losses, ..self.lock().clone() }
    }

    pub(super) fn is_from_saved(&self) -> bool {
        self.lock().from_saved
    }

    pub(super) fn no_longer_from_saved(&self) {
        self.lock().from_saved = false;
    }

    pub(super) fn failed(&self, error: &StoreError) {
        let mut health = self.lock();
        let text = error.to_string();
        if health.last_error.as_ref() != Some(&text) {
            tracing::error!(error = %text, "the store cannot be read; traffic goes on by the last known state, and of changes only rollbacks are taken");
        }
        health.reachable = false;
        health.refused = matches!(error, StoreError::Refused(_));
        health.last_error = Some(text);
    }

    /// Notes what an answer could not read.
    pub(super) fn read_with(&self, problem: Option<&str>) {
        let mut health = self.lock();
        if health.problem.as_deref() == problem {
            return;
        }
        match problem {
            Some(problem) => tracing::error!(
                problem,
                "a key of the store does not read; the last good state of what it holds goes on serving"
            ),
            None => tracing::info!("every key of the store reads again"),
        }
        health.problem = problem.map(str::to_owned);
    }

    /// Notes the answer to a heartbeat; true if it says that the store should be read.
    pub(super) fn beaten(&self, problem: Option<&str>, revision_reads: bool) -> bool {
        let mut health = self.lock();
        health.last_success = Some(Timestamp::now());
        let problem = problem.filter(|_| revision_reads);
        if health.beat_problem.as_deref() != problem {
            if let Some(problem) = problem {
                tracing::error!(problem, "the store takes this router's heartbeats only in part");
            }
            health.beat_problem = problem.map(str::to_owned);
        }
        // A damage that is known may be repaired at any time; one that is not known is read about.
        !health.reachable || health.problem.is_some() == revision_reads
    }

    pub(super) fn is_reachable(&self) -> bool {
        self.lock().reachable
    }

    /// Notes an answer; false if it is older than what is served.
    pub(super) fn answered(&self, stored: Revision, served: Revision) -> bool {
        let mut health = self.lock();
        if health.last_error.take().is_some() {
            tracing::info!(revision = stored.0, "the store can be read again");
        }
        health.reachable = true;
        health.refused = false;
        health.last_success = Some(Timestamp::now());
        health.revision = stored;
        let went_back = stored < served;
        if went_back && !health.revision_went_back {
            tracing::error!(
                stored = stored.0,
                served = served.0,
                "the store has lost its state and is not believed: crossfade reseed --reason TEXT writes the last good state back, or restore the store from its backup"
            );
        } else if !went_back && health.revision_went_back {
            tracing::info!(revision = stored.0, "the store has its state again");
        }
        health.revision_went_back = went_back;
        !went_back
    }

    fn lock(&self) -> MutexGuard<'_, StoreHealth> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells and counts what became wrong or right with a migration's stored state.
pub(super) fn log_problems(before: &Snapshot, after: &Snapshot, counters: &Counters) {
    for (_, definition, placed) in after.iter() {
        let known = before.find(&definition.id).map(|at| before.placed(at));
        // That nothing was read yet is no condition of the store.
        let known = known.filter(|placed| !placed.is_a_guess()).and_then(|placed| placed.problem.as_ref());
        match (known, &placed.problem) {
            (known, Some(problem)) if known != Some(problem) => {
                tracing::error!(migration = %definition.id, %problem, "the stored state of a migration cannot be used as it is");
                counters.document_refused();
            }
            (Some(_), None) => tracing::info!(migration = %definition.id, "the stored state of a migration is usable"),
            _ => {}
        }
    }
}
