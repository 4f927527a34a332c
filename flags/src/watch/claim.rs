//! Who stores a rollback that holds on this router: somebody who asked for it, or else the watcher.

use super::{Joined, Watch};
use crate::migration::MigrationId;
use crate::state::Revision;

/// The promise to store a rollback; dropped, also by a caller who went away, the watcher does it.
#[derive(Debug)]
pub(crate) struct RollbackClaim<'a> {
    pub(super) watch: &'a Watch,
    pub(super) migration: MigrationId,
    pub(super) is_new: bool,
    /// Whether the watcher is told, so that it does what the caller has left undone.
    pub(super) wakes: bool,
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
