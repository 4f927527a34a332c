//! Writes the last good state of this router back to a store that has lost it.
//!
//! # Why a command and not a repair by itself
//!
//! Whoever restores a backup, empties a store on purpose or fails over must not race a fleet that
//! writes its own memory back. So routers keep serving what was last good, tell, and wait for a
//! person. What is written gets revisions beyond any that a live router serves, so that every one
//! of them takes it for news, and the audit says what happened.
//!
//! Not supported: writing histories back. They are not kept outside the store; the chain of what is
//! written shows where entries are missing.

use jiff::Timestamp;
use serde_json::json;

use super::{Applied, Control, ControlError, TRIES_MAX, check_reason};
use crate::freeze::FreezeEntry;
use crate::migration::MigrationId;
use crate::mode::Mode;
use crate::state::{ChangeKind, Document, Heartbeat, HistoryEntry, Pins, Revision, SCHEMA};
use crate::store::{Loaded, Page, Restored, StoreError, Stored};
use crate::watch::losses::RESTORED;

/// What somebody asks of the store as a whole, and why.
#[derive(Clone, Debug)]
pub struct Reseed {
    pub actor: String,
    pub reason: String,
    /// Answer what would be written and write nothing.
    pub dry_run: bool,
    /// Also when another live router serves a newer state than this one.
    pub force: bool,
}

impl Control {
    /// Writes back what the store has lost; refused where it has lost nothing.
    pub async fn reseed(&self, reseed: &Reseed) -> Result<Vec<Applied>, ControlError> {
        check_reason(&reseed.reason)?;
        for _ in 0..TRIES_MAX {
            // What is lost is judged by what the store holds now.
            self.watch.try_refresh().await?;
            let loaded = self.store.load().await?;
            let lost = self.watch.lost(&loaded);
            let freeze = self.watch.lost_freeze(&loaded);
            if lost.is_empty() && freeze.is_none() {
                return Err(ControlError::NothingLost);
            }
            let replicas = self.store.replicas().await.unwrap_or_default();
            if !reseed.force {
                self.check_newest(&replicas)?;
            }
            let (restored, applied, newest) = self.restored(&loaded, lost, &replicas, reseed).await?;
            // As it was said, but for its place: it is no new word of whoever writes it back.
            let freeze = freeze.map(|freeze| FreezeEntry { revision: newest.next(), ..freeze });
            if reseed.dry_run {
                return Ok(applied);
            }
            match self.store.restore(loaded.revision, restored, freeze).await {
                Ok(_) => {
                    self.watch.refresh().await;
                    return Ok(applied);
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ControlError::Busy(TRIES_MAX))
    }

    /// A router that serves a newer state has changes that this one does not know.
    fn check_newest(&self, replicas: &[Heartbeat]) -> Result<(), ControlError> {
        let (now, own) = (Timestamp::now(), self.watch.current().revision());
        let newer = replicas.iter().filter(|beat| beat.is_live(now) && beat.revision > own);
        let names: Vec<_> = newer.map(|beat| beat.replica.clone()).collect();
        if names.is_empty() { Ok(()) } else { Err(ControlError::NotTheNewest { revision: own, replicas: names }) }
    }

    async fn restored(
        &self,
        loaded: &Loaded,
        lost: Vec<(MigrationId, Document, Pins)>,
        replicas: &[Heartbeat],
        reseed: &Reseed,
    ) -> Result<(Vec<Restored>, Vec<Applied>, Revision), ControlError> {
        let mut newest = Vec::with_capacity(lost.len());
        for (migration, ..) in &lost {
            let page = Page { before: None, limit: 1 };
            newest.push(self.store.history(migration, page).await?.into_iter().next());
        }
        let served = [loaded.revision, self.watch.current().revision()].into_iter();
        let heard = replicas.iter().map(|beat| beat.revision);
        let written = newest.iter().flatten().map(|entry| entry.revision);
        let mut revision = served.chain(heard).chain(written).max().unwrap_or_default();
        let (mut restored, mut applied) = (Vec::new(), Vec::new());
        let current = self.watch.current();
        for ((migration, mut document, pins), newest) in lost.into_iter().zip(newest) {
            revision = revision.next();
            // Only a person who acknowledges it leaves a rollback, and this is about something else.
            if current.find(&migration).is_some_and(|at| current.placed(at).rolled_back()) {
                document.mode = Mode::EmergencyRollback;
            }
            let one = restore(loaded, migration, document, pins, newest, revision, reseed);
            applied.push(Applied {
                migration: one.migration.clone(),
                revision,
                kind: ChangeKind::Reseed,
                before: one.entry.before,
                after: one.entry.after,
                pin: None,
                rule: None,
                dry_run: reseed.dry_run,
                changed: true,
                here_only: false,
            });
            restored.push(one);
        }
        Ok((restored, applied, revision))
    }
}

/// One migration as it is written back, chained to what its history ends with.
fn restore(
    loaded: &Loaded,
    migration: MigrationId,
    document: Document,
    pins: Pins,
    newest: Option<HistoryEntry>,
    revision: Revision,
    reseed: &Reseed,
) -> Restored {
    let before = match loaded.migrations.get(&migration) {
        Some(Stored::State { document: stored, .. }) => stored.position(),
        // The store says nothing of where it stands, so that it has not moved.
        Some(Stored::Unreadable(_)) | None => document.position(),
    };
    let time = Timestamp::now();
    let entry = HistoryEntry {
        revision,
        migration: migration.clone(),
        time,
        actor: reseed.actor.clone(),
        reason: reseed.reason.clone(),
        kind: ChangeKind::Reseed,
        before,
        after: document.position(),
        pin: None,
        rule: None,
        evidence: Some(json!({ RESTORED: document.revision })),
        previous_hash: newest.map_or_else(|| document.chain.clone(), |entry| entry.hash),
        hash: String::new(),
    }
    .sealed();
    let document = Document {
        schema: SCHEMA,
        revision,
        actor: reseed.actor.clone(),
        reason: reseed.reason.clone(),
        time,
        chain: entry.hash.clone(),
        // Whoever serves what is written back has lost nothing.
        previous: document.chain,
        ..document
    };
    Restored { migration, document, pins, entry }
}
