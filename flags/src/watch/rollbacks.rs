//! Rollbacks that hold on this router before the store has them, and who stores them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Joined, Watch};
use crate::migration::MigrationId;
use crate::state::Revision;

/// A rollback that holds on this router and is not stored yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalRollback {
    pub migration: MigrationId,
    pub actor: String,
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<serde_json::Value>,
    pub time: Timestamp,
}

pub(super) struct Pending {
    pub(super) rollback: LocalRollback,
    /// Writers that are about to store it.
    pub(super) claims: usize,
}

impl Watch {
    /// Rolls a migration back on this router at once. It is stored for the fleet as soon as the
    /// store takes it, and holds here until the store says the same.
    pub fn roll_back_here(&self, rollback: LocalRollback) {
        drop(self.claim_rollback(rollback));
    }

    /// Whether a rollback of this migration waits to be stored.
    pub fn is_rolled_back_here(&self, migration: &MigrationId) -> bool {
        self.lock().rollbacks.iter().any(|pending| pending.rollback.migration == *migration)
    }

    /// Rolls back here, and leaves storing it to the caller until the claim is dropped.
    pub(crate) fn claim_rollback(&self, rollback: LocalRollback) -> RollbackClaim<'_> {
        let migration = rollback.migration.clone();
        let mut joined = self.lock();
        let known = joined.rollbacks.iter_mut().find(|pending| pending.rollback.migration == migration);
        let is_new = if let Some(pending) = known {
            pending.claims += 1;
            false
        } else if joined.definitions.find(&migration).is_some() {
            joined.rollbacks.push(Pending { rollback, claims: 1 });
            let current = self.current();
            let rolled_back = current.find(&migration).is_some_and(|at| current.placed(at).rolled_back());
            self.swap(&joined);
            !rolled_back
        } else {
            false
        };
        RollbackClaim { watch: self, migration, is_new, wakes: true }
    }

    /// Leaves storing a rollback that waits to the caller, who is the one to try again.
    pub(crate) fn claim_waiting(&self, migration: &MigrationId) -> Option<RollbackClaim<'_>> {
        let mut joined = self.lock();
        let pending = joined.rollbacks.iter_mut().find(|pending| pending.rollback.migration == *migration)?;
        pending.claims += 1;
        Some(RollbackClaim { watch: self, migration: migration.clone(), is_new: false, wakes: false })
    }

    pub(crate) fn unclaimed_rollbacks(&self) -> Vec<LocalRollback> {
        let joined = self.lock();
        let unclaimed = joined.rollbacks.iter().filter(|pending| pending.claims == 0);
        unclaimed.map(|pending| pending.rollback.clone()).collect()
    }
}

/// The promise to store a rollback; dropped, also by a caller who went away, the watcher does it.
#[derive(Debug)]
pub(crate) struct RollbackClaim<'a> {
    watch: &'a Watch,
    migration: MigrationId,
    is_new: bool,
    /// Whether the watcher is told, so that it does what the caller has left undone.
    wakes: bool,
}

impl RollbackClaim<'_> {
    /// The store has had the rollback since this revision: what is loaded says whether it still holds. Somebody who rolls
    /// back meanwhile means a new one, and so does a store that is not believed.
    pub(crate) fn is_stored(&self, revision: Revision) {
        let mut joined = self.watch.lock();
        let Joined { loaded, rollbacks, .. } = &mut *joined;
        let waiting = rollbacks.len();
        let is_known = loaded.revision >= revision;
        rollbacks.retain(|pending| !is_known || pending.claims > 1 || pending.rollback.migration != self.migration);
        if rollbacks.len() != waiting {
            self.watch.swap(&joined);
        }
    }

    /// Whether the claim is what rolled the migration back here.
    pub(crate) const fn is_new(&self) -> bool {
        self.is_new
    }
}

impl Drop for RollbackClaim<'_> {
    fn drop(&mut self) {
        let mut joined = self.watch.lock();
        let pending = joined.rollbacks.iter_mut().find(|pending| pending.rollback.migration == self.migration);
        if let Some(pending) = pending {
            pending.claims = pending.claims.saturating_sub(1);
            if self.wakes {
                self.watch.rollbacks_wait.notify_one();
            }
        }
    }
}
