//! The only write path: load, decide, store with its audit entry, or say why not.
//!
//! # Why one path
//!
//! An operator, a plan and a guard change the same thing. Here every change meets the same rules:
//! it has a reason, it is a legal step of the state machine, it was decided on the state that it
//! changes, it leaves one audit entry, and it does not run ahead of routers that have not applied
//! the change before it.
//!
//! # Why a rollback is different
//!
//! Sending everybody to legacy must work when little else does. A rollback therefore holds on this
//! router first and in the store second; it needs no revision, waits for nobody, and is remembered
//! and stored later when the store is away.
//!
//! Not here: who may ask (`dashboards::auth`), and whether now is a good time (gates, approvals).

mod adopt;
mod change;
mod error;
mod freeze;
mod ledger;
mod next;
mod records;
mod reseed;
#[cfg(test)]
mod tests;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

pub use change::{Applied, Ask, Change};
pub use error::{ControlError, InvalidPin, InvalidReason};
pub use freeze::{Freeze, Frozen};
pub use reseed::Reseed;

use self::next::{Next, Standing, next};
use crate::migration::{Migration, MigrationId};
use crate::mode::Mode;
use crate::snapshot::{Snapshot, unusable};
use crate::state::{
    ChangeKind, Document, Heartbeat, HistoryEntry, Pin, Pins, Position, REASON_BYTES_MAX, Revision, SCHEMA,
};
use crate::store::{Loaded, Page, Store, StoreError, Stored, Write};
use crate::tally::{KEPT_SECONDS, Slot, SlotCounts};
use crate::watch::{LocalRollback, Watch};

/// Times a change is decided anew because somebody else wrote first.
const TRIES_MAX: usize = 32;

/// How long routers may take to apply the change before this one, until this one is refused.
const CONVERGENCE_WAIT: Duration = Duration::from_secs(1);

/// How often the routers are asked meanwhile.
const CONVERGENCE_POLL: Duration = Duration::from_millis(50);

/// Changes migrations and reads their audit.
#[derive(Clone)]
pub struct Control {
    store: Arc<dyn Store>,
    watch: Arc<Watch>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

impl Control {
    pub fn new(watch: Arc<Watch>) -> Self {
        Self { store: Arc::clone(watch.store()), watch }
    }

    /// Makes one change of one migration.
    pub async fn apply(&self, migration: &MigrationId, change: Change) -> Result<Applied, ControlError> {
        check_reason(&change.reason)?;
        self.check_known([migration])?;
        if change.ask == Ask::RollBack && !change.dry_run {
            return self.roll_back(migration, &change).await;
        }
        // What this router rolled back while the store was away comes first, whatever is asked now.
        if !change.dry_run && self.watch.is_rolled_back_here(migration) {
            self.store_local_rollbacks().await;
        }
        self.write(migration, &change).await
    }

    /// Rolls back every migration of the file. One that fails does not keep the others.
    pub async fn roll_back_all(
        &self,
        actor: &str,
        reason: &str,
    ) -> Result<Vec<(MigrationId, Result<Applied, ControlError>)>, InvalidReason> {
        check_reason(reason)?;
        let snapshot = self.watch.current();
        let ids: Vec<_> = snapshot.iter().map(|(_, definition, _)| definition.id.clone()).collect();
        let change = Change::new(Ask::RollBack, actor, reason);
        // All of them here first, in one swap; the store may take its time.
        let claims: Vec<_> = ids.iter().map(|id| self.watch.claim_rollback(local_rollback(id, &change))).collect();
        let mut results = Vec::with_capacity(ids.len());
        let mut store_answers = true;
        for (id, claim) in ids.into_iter().zip(claims) {
            let result = self.store_rollback(&id, &change, claim.is_new(), store_answers).await;
            drop(claim);
            store_answers &= !result.as_ref().is_ok_and(|applied| applied.here_only);
            results.push((id, result));
        }
        Ok(results)
    }

    /// The audit of one migration, newest first.
    pub async fn history(&self, migration: &MigrationId, page: Page) -> Result<Vec<HistoryEntry>, ControlError> {
        self.check_known([migration])?;
        Ok(self.store.history(migration, page).await?)
    }

    /// What the fleet counted in each slot of the last so many whole seconds, by the store's clock.
    ///
    /// The newest may still grow, for the few milliseconds until every router's heartbeat is stored.
    pub async fn counts(&self, migration: &MigrationId, window_seconds: u64) -> Result<Vec<SlotCounts>, ControlError> {
        self.check_known([migration])?;
        // The first slot of this second is in no whole one yet.
        let now = Slot::of_second(self.watch.store_slot().second());
        let window = Slot::of_second(window_seconds.min(KEPT_SECONDS));
        Ok(self.store.counts(migration, now.minus(window.0)..=now.minus(1)).await?)
    }

    /// The last word of each replica of the last minute.
    pub async fn replicas(&self) -> Result<Vec<Heartbeat>, ControlError> {
        Ok(self.store.replicas().await?)
    }

    async fn roll_back(&self, migration: &MigrationId, change: &Change) -> Result<Applied, ControlError> {
        // Held until the store has answered; dropped early, the watcher takes over.
        let claim = self.watch.claim_rollback(local_rollback(migration, change));
        self.store_rollback(migration, change, claim.is_new(), true).await
    }

    async fn store_rollback(
        &self,
        migration: &MigrationId,
        change: &Change,
        is_new_here: bool,
        store_answers: bool,
    ) -> Result<Applied, ControlError> {
        let written = if store_answers { self.write(migration, change).await } else { Err(away().into()) };
        match written {
            Ok(applied) => Ok(applied),
            // A rollback that was made all the same is found to be, when it is stored again.
            Err(ControlError::Store(error) | ControlError::Unconfirmed(error)) => {
                // Once, and not with every try to store it.
                if is_new_here {
                    tracing::warn!(%migration, %error, "rolled back on this router only, until the store is back");
                }
                self.here_only(migration, is_new_here)
            }
            Err(ControlError::Busy(_)) => self.here_only(migration, is_new_here),
            Err(error) => Err(error),
        }
    }

    fn here_only(&self, migration: &MigrationId, changed: bool) -> Result<Applied, ControlError> {
        let snapshot = self.watch.current();
        let at = snapshot.find(migration).ok_or_else(|| ControlError::Unknown(migration.clone()))?;
        let before = snapshot.placed(at).document.position();
        Ok(Applied {
            migration: migration.clone(),
            revision: snapshot.placed(at).document.revision,
            kind: ChangeKind::Rollback,
            before,
            after: Position { mode: Mode::EmergencyRollback, ..before },
            pin: None,
            rule: None,
            dry_run: false,
            changed,
            here_only: true,
        })
    }

    async fn write(&self, migration: &MigrationId, change: &Change) -> Result<Applied, ControlError> {
        let patience = Instant::now() + CONVERGENCE_WAIT;
        for _ in 0..TRIES_MAX {
            // In this order, so that what is served can only be older than what is loaded.
            let snapshot = self.watch.current();
            let loaded = self.store.load().await?;
            let found = self.find(&snapshot, &loaded, migration, change).await?;
            let Found { definition, document, pins, .. } = &found;
            check_revision(document, change)?;
            let newest = found.newest.as_ref();
            let now = Timestamp::now();
            let standing = Standing { definition, document, pins, newest, now };
            let next = next(standing, &change.ask, &change.actor, &change.reason)?;
            let mut applied = applied(migration, document.revision, &next, change.dry_run);
            if !applied.changed {
                self.watch.refresh().await;
                return Ok(applied);
            }
            self.check_thawed(&loaded, &next, definition, change)?;
            if next.is_toward_new(definition, now) && !change.force {
                if let Some(why) = &change.held {
                    return Err(ControlError::Held(why.clone()));
                }
                self.await_convergence(document.revision, patience).await?;
            }
            if change.dry_run {
                return Ok(applied);
            }
            let write = to_write(migration, found.document, next, change, loaded.revision, now);
            match self.store.replace(loaded.revision, write).await {
                Ok(revision) => {
                    applied.revision = revision;
                    self.watch.refresh().await;
                    return Ok(applied);
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error @ StoreError::Unanswered(_)) => return Err(ControlError::Unconfirmed(error)),
                Err(error) => return Err(error.into()),
            }
        }
        Err(ControlError::Busy(TRIES_MAX))
    }

    /// The state a change is decided on.
    ///
    /// Where the stored state cannot be used, only a rollback goes on, from what was last good.
    async fn find(
        &self,
        snapshot: &Snapshot,
        loaded: &Loaded,
        migration: &MigrationId,
        change: &Change,
    ) -> Result<Found, ControlError> {
        let at = snapshot.find(migration).ok_or_else(|| ControlError::Unknown(migration.clone()))?;
        let definition = snapshot.migration(at).clone();
        if loaded.revision < snapshot.revision() {
            return Err(went_back(loaded.revision, snapshot.revision()).into());
        }
        let served = &snapshot.placed(at).document;
        let problem = match loaded.migrations.get(migration) {
            Some(Stored::State { document, pins }) => match unusable(document, loaded.revision) {
                None => {
                    let document = document.clone();
                    let newest = if change.ask == Ask::Undo { self.newest(&document, migration).await? } else { None };
                    return Ok(Found { definition, document, pins: pins.clone(), newest });
                }
                Some(problem) => problem,
            },
            None if served.revision == Revision::ZERO && loaded.incomplete.is_none() => {
                let document = Document::initial(&definition);
                return Ok(Found { definition, document, pins: Pins::new(), newest: None });
            }
            None => loaded.incomplete.clone().unwrap_or_else(|| "it is gone from the store".to_owned()),
            Some(Stored::Unreadable(problem)) => problem.clone(),
        };
        if change.ask != Ask::RollBack {
            return Err(StoreError::corrupt(format!(
                "the state of migration \"{migration}\" cannot be changed because {problem}; `crossfade reseed` writes its last good state back, and a rollback writes it anew"
            ))
            .into());
        }
        let mut document = served.clone();
        let page = Page { before: None, limit: 1 };
        let newest = self.store.history(migration, page).await.ok().and_then(|entries| entries.into_iter().next());
        document.chain = newest.map(|entry| entry.hash).unwrap_or_default();
        Ok(Found { definition, document, pins: Pins::new(), newest: None })
    }

    /// The entry that an undo inverts: the one that made the document what it is.
    async fn newest(&self, document: &Document, migration: &MigrationId) -> Result<Option<HistoryEntry>, ControlError> {
        // Entries that others appended since the load are newer; the write would conflict anyway.
        let page = Page { before: Some(document.revision.next()), limit: 1 };
        let newest = self.store.history(migration, page).await?.into_iter().next();
        match newest {
            Some(entry) if entry.revision != document.revision => Err(StoreError::corrupt(format!(
                "the history of migration \"{migration}\" ends at revision {}, its state is at {}, so that it is not known what an undo would do",
                entry.revision, document.revision
            ))
            .into()),
            other => Ok(other),
        }
    }

    /// Waits a moment for the live routers to apply `revision`, then names those that have not.
    async fn await_convergence(&self, revision: Revision, patience: Instant) -> Result<(), ControlError> {
        loop {
            if self.watch.current().revision() < revision {
                self.watch.refresh().await;
            }
            let replicas = self.behind(revision).await?;
            if replicas.is_empty() {
                return Ok(());
            }
            if Instant::now() >= patience {
                return Err(ControlError::NotConverged { revision, replicas });
            }
            tokio::time::sleep(CONVERGENCE_POLL).await;
        }
    }

    async fn behind(&self, revision: Revision) -> Result<Vec<String>, StoreError> {
        let now = Timestamp::now();
        let own = self.watch.replica();
        let own_is_behind = self.watch.current().revision() < revision;
        let others = self
            .store
            .replicas()
            .await?
            .into_iter()
            .filter(|beat| beat.replica != own && beat.is_live(now) && beat.revision < revision);
        Ok(own_is_behind.then(|| own.to_owned()).into_iter().chain(others.map(|beat| beat.replica)).collect())
    }
}

/// One migration's state as a change finds it.
struct Found {
    definition: Migration,
    document: Document,
    pins: Pins,
    newest: Option<HistoryEntry>,
}

fn check_reason(reason: &str) -> Result<(), InvalidReason> {
    if reason.trim().is_empty() {
        return Err(InvalidReason::Blank);
    }
    if reason.len() > REASON_BYTES_MAX {
        return Err(InvalidReason::TooLong(reason.len()));
    }
    if reason.chars().any(char::is_control) {
        return Err(InvalidReason::ControlCharacter);
    }
    Ok(())
}

fn check_revision(document: &Document, change: &Change) -> Result<(), ControlError> {
    let actual = document.revision;
    match change.if_revision {
        // The last writer toward legacy wins, whatever it has seen.
        Some(expected) if expected != actual && change.ask != Ask::RollBack => {
            Err(ControlError::Stale { expected, actual, actor: document.actor.clone(), time: document.time })
        }
        _ => Ok(()),
    }
}

fn applied(migration: &MigrationId, revision: Revision, next: &Next, dry_run: bool) -> Applied {
    Applied {
        migration: migration.clone(),
        revision,
        kind: next.kind,
        before: next.before,
        after: next.after,
        pin: next.pin.clone(),
        rule: next.rule.as_ref().map(|(change, _)| change.clone()),
        dry_run,
        changed: next.changes(),
        here_only: false,
    }
}

fn to_write(
    migration: &MigrationId,
    document: Document,
    next: Next,
    change: &Change,
    expected: Revision,
    time: Timestamp,
) -> Write {
    let revision = expected.next();
    let entry = HistoryEntry {
        revision,
        migration: migration.clone(),
        time,
        actor: change.actor.clone(),
        reason: change.reason.clone(),
        kind: next.kind,
        before: next.before,
        after: next.after,
        pin: next.pin.clone(),
        rule: next.rule.as_ref().map(|(change, _)| change.clone()),
        evidence: change.evidence.clone(),
        previous_hash: document.chain.clone(),
        hash: String::new(),
    }
    .sealed();
    let document = Document {
        schema: SCHEMA,
        mode: next.after.mode,
        share: next.after.share,
        hash: next.hash,
        salt: next.salt,
        revision,
        actor: change.actor.clone(),
        reason: change.reason.clone(),
        time,
        chain: entry.hash.clone(),
        previous: document.chain,
        rules: next.rule.map_or(document.rules, |(_, rules)| rules),
    };
    let pin: Option<(String, Option<Pin>)> = next.pin.map(|change| (change.key, change.after));
    Write { migration: migration.clone(), document, pin, entry }
}

fn local_rollback(migration: &MigrationId, change: &Change) -> LocalRollback {
    LocalRollback {
        migration: migration.clone(),
        actor: change.actor.clone(),
        reason: change.reason.clone(),
        evidence: change.evidence.clone(),
        time: Timestamp::now(),
    }
}

fn away() -> StoreError {
    StoreError::unavailable("it did not answer the rollback of another migration just now")
}

fn went_back(stored: Revision, served: Revision) -> StoreError {
    StoreError::corrupt(format!(
        "the store is at revision {stored}, this router serves revision {served}, so that the store has lost its state; \
         `crossfade reseed` writes the last good state back (or restore the store from its backup)"
    ))
}
