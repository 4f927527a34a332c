//! Rollbacks that hold on this router and wait for the store.
//!
//! # Why the audit is read first
//!
//! A rollback waits also when only the answer to it was lost. Stored a second time it would undo what a person
//! has acknowledged in between, so the audit is asked whether it is there already.

use super::{Applied, Ask, Change, Control};
use crate::state::{ChangeKind, HistoryEntry, Revision};
use crate::store::{Page, StoreError};
use crate::watch::LocalRollback;

/// Newest entries of the audit among which a rollback is looked for before it is stored again.
const ENTRIES_SINCE_MAX: usize = 100;

impl Control {
    /// Writes what this router rolled back alone. Called by the watcher when the store answers.
    pub(crate) async fn store_local_rollbacks(&self) {
        for pending in self.watch.unclaimed_rollbacks() {
            // Stored by somebody else meanwhile, it must not be made again.
            let Some(claim) = self.watch.claim_waiting(&pending.migration) else { continue };
            match self.stored_before(&pending).await {
                Ok(Some(revision)) => {
                    self.watch.refresh().await;
                    claim.is_stored(revision);
                    continue;
                }
                Ok(None) => {}
                Err(error) if error.is_transient() => return,
                // A history that does not read must not keep a rollback from the store.
                Err(_) => {}
            }
            let LocalRollback { migration, actor, reason, evidence, .. } = pending;
            let change = Change { evidence, ..Change::new(Ask::RollBack, actor, reason) };
            match self.store_rollback(&migration, &change, claim.is_new(), true).await {
                Ok(Applied { here_only: true, .. }) => return,
                Ok(_) => tracing::info!(%migration, "a rollback of this router is stored now"),
                Err(error) => tracing::error!(%migration, %error, "a rollback of this router cannot be stored"),
            }
        }
    }

    /// The revision by which a try stored this rollback whose answer was lost. A person may have acknowledged it since,
    /// and then it must not come back.
    async fn stored_before(&self, rollback: &LocalRollback) -> Result<Option<Revision>, StoreError> {
        let page = Page { before: None, limit: ENTRIES_SINCE_MAX };
        let newest = self.store.history(&rollback.migration, page).await?;
        let is_it = |entry: &&HistoryEntry| {
            let is_same = entry.actor == rollback.actor && entry.reason == rollback.reason;
            is_same && entry.kind == ChangeKind::Rollback && entry.time >= rollback.time
        };
        Ok(newest.iter().find(is_it).map(|entry| entry.revision))
    }
}
