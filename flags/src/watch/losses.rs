//! Changes that the store acknowledged, this router served, and the store has no more.
//!
//! # Why documents are compared, and not revisions alone
//!
//! A flushed store stands at a lower revision than was served, and is not believed at all. After a
//! fail-over to a lagging replica others may have written until the revision is as high as before:
//! the line has forked. So each document that replaces a served one must descend from it. In the
//! usual case it says so itself ([`Document::previous`]); where steps were missed, the history is
//! asked, and only then.
//!
//! # Who is followed where the line has forked
//!
//! The stored line, because every router agrees on it and later changes were decided on it. What it
//! lacks is reported by name for a day, or until it is written back. Once somebody has changed the
//! migration again it is only reported: a reseed must not undo what was decided since. A lost
//! rollback is not only reported: it holds here at once and is stored again.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::LocalRollback;
use crate::freeze::FreezeEntry;
use crate::migration::MigrationId;
use crate::mode::Mode;
use crate::snapshot::{PinIndex, Placed, Snapshot};
use crate::state::{ChangeKind, Document, HistoryEntry, Position, Revision};
use crate::store::{Loaded, Page, Store, StoreError, Stored};

/// Histories that one read of the store asks; what is beyond is asked by the next.
const ASKED_MAX: usize = 64;

/// Newest entries among which a reseed is looked for.
const ENTRIES_MAX: usize = 200;

/// How long a loss is reported that can no longer be written back.
const REPORTED_FOR: SignedDuration = SignedDuration::from_hours(24);

/// A change that the store acknowledged and has lost, for an operator to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostChange {
    pub migration: MigrationId,
    pub revision: Revision,
    pub actor: String,
    pub reason: String,
    /// When it was made.
    pub time: Timestamp,
    /// Where the migration stood by it.
    pub position: Position,
    pub noticed: Timestamp,
    /// Whether the migration was changed since, so that a reseed leaves it alone.
    pub superseded: bool,
}

/// What is missing of each migration, with what it takes to write it back.
#[derive(Debug, Default)]
pub(super) struct Losses(BTreeMap<MigrationId, Loss>);

#[derive(Clone, Debug)]
pub(super) struct Loss {
    pub(super) document: Document,
    pub(super) pins: Arc<PinIndex>,
    noticed: Timestamp,
    /// The store's revision then; a document beyond it was written by somebody who could know.
    store_at: Revision,
    superseded: bool,
}

impl Losses {
    /// What a reseed would write back.
    pub(super) fn get(&self, migration: &MigrationId) -> Option<&Loss> {
        self.0.get(migration).filter(|loss| !loss.superseded)
    }

    pub(super) fn report(&self) -> Vec<LostChange> {
        let told = |(migration, loss): (&MigrationId, &Loss)| LostChange {
            migration: migration.clone(),
            revision: loss.document.revision,
            actor: loss.document.actor.clone(),
            reason: loss.document.reason.clone(),
            time: loss.document.time,
            position: loss.document.position(),
            noticed: loss.noticed,
            superseded: loss.superseded,
        };
        self.0.iter().map(told).collect()
    }

    /// Notes what `served` has and a store that is not believed has not; answers how much of it is new.
    pub(super) fn went_back(&mut self, served: &Snapshot, loaded: &Loaded) -> u64 {
        let has = |placed: &Placed, stored: Option<&Stored>| match stored {
            Some(Stored::State { document, .. }) => document.chain == placed.document.chain,
            Some(Stored::Unreadable(_)) | None => false,
        };
        let missing = served.iter().filter(|(_, definition, placed)| {
            is_acknowledged(placed) && !has(placed, loaded.migrations.get(&definition.id))
        });
        missing.map(|(_, definition, placed)| u64::from(self.note(&definition.id, placed, loaded.revision))).sum()
    }

    /// Notes the migrations whose line has forked or whose document is gone, and forgets what is
    /// there again or was reported for long enough; answers how much of it is new.
    pub(super) fn forked(&mut self, served: &Snapshot, loaded: &Loaded, lost: &[MigrationId]) -> u64 {
        let mut new = 0;
        for (_, definition, placed) in served.iter() {
            let is_gone = loaded.incomplete.is_none() && !loaded.migrations.contains_key(&definition.id);
            if is_acknowledged(placed) && (is_gone || lost.contains(&definition.id)) {
                new += u64::from(self.note(&definition.id, placed, loaded.revision));
            }
        }
        let now = Timestamp::now();
        self.0.retain(|migration, loss| match loaded.migrations.get(migration) {
            Some(Stored::State { document, .. }) => {
                loss.superseded |= document.revision > loss.store_at;
                let is_back = [&document.chain, &document.previous].contains(&&loss.document.chain);
                let is_old = now.duration_since(loss.noticed) > REPORTED_FOR;
                !is_back && (!loss.superseded || !is_old)
            }
            Some(Stored::Unreadable(_)) | None => served.find(migration).is_some(),
        });
        new
    }

    /// Whether this loss was not known yet.
    fn note(&mut self, migration: &MigrationId, placed: &Placed, store_at: Revision) -> bool {
        if let Some(known) = self.0.get_mut(migration)
            && known.document.chain == placed.document.chain
        {
            known.store_at = store_at;
            known.superseded = false;
            return false;
        }
        let Document { revision, actor, reason, .. } = &placed.document;
        tracing::error!(
            %migration, revision = revision.0, actor = %actor.escape_debug(), reason = %reason.escape_debug(),
            "the store has lost a change that it had acknowledged: crossfade reseed --reason TEXT writes it back, unless the migration is changed otherwise before"
        );
        let loss = Loss {
            document: placed.document.clone(),
            pins: Arc::clone(&placed.pins),
            noticed: Timestamp::now(),
            store_at,
            superseded: false,
        };
        self.0.insert(migration.clone(), loss);
        true
    }
}

/// 1 if the store has lost its newest word on a freeze: words only get newer. A freeze is not made again by itself, because
/// who writes on may have meant to do without.
pub(super) fn freeze_lost(known: Option<&FreezeEntry>, stored: Option<&FreezeEntry>) -> u64 {
    let Some(known) = known.filter(|known| !known.is_a_guess()) else { return 0 };
    let is_lost = stored.is_none_or(|stored| !stored.is_a_guess() && stored.revision < known.revision);
    if is_lost {
        let FreezeEntry { revision, kind, actor, reason, .. } = known;
        tracing::error!(
            revision = revision.0, kind = kind.name(), actor = %actor.escape_debug(), reason = %reason.escape_debug(),
            "the store has lost a freeze or a thaw that it had acknowledged: look at crossfade status, and freeze or thaw again"
        );
    }
    u64::from(is_lost)
}

/// Rollbacks among the lost changes that the store does not say any more.
pub(super) fn rollbacks_to_repeat(served: &Snapshot, loaded: &Loaded, lost: &[MigrationId]) -> Vec<LocalRollback> {
    let repeated = |(_, definition, placed): (_, &crate::Migration, &Placed)| {
        let document = &placed.document;
        let is_lost = lost.contains(&definition.id) && document.mode == Mode::EmergencyRollback;
        (is_lost && !super::says_rolled_back(loaded, &definition.id)).then(|| LocalRollback {
            migration: definition.id.clone(),
            actor: document.actor.clone(),
            reason: document.reason.clone(),
            evidence: Some(serde_json::json!({ "lost_revision": document.revision })),
            time: document.time,
        })
    };
    served.iter().filter_map(repeated).collect()
}

/// The migrations whose stored document does not descend from the one that is served.
pub(super) async fn forked(
    store: &dyn Store,
    served: &Snapshot,
    loaded: &Loaded,
) -> Result<Vec<MigrationId>, StoreError> {
    let suspects = served.iter().filter_map(|(_, definition, placed)| match loaded.migrations.get(&definition.id) {
        Some(Stored::State { document, .. }) if is_acknowledged(placed) && !follows(&placed.document, document) => {
            Some((&definition.id, &placed.document))
        }
        _ => None,
    });
    let mut lost = Vec::new();
    for (migration, document) in suspects.take(ASKED_MAX) {
        if !descends(store, migration, document).await? {
            lost.push(migration.clone());
        }
    }
    Ok(lost)
}

/// Whether what is served was once acknowledged by a store.
fn is_acknowledged(placed: &Placed) -> bool {
    placed.document.revision > Revision::ZERO && !placed.document.chain.is_empty()
}

/// Whether `stored` is the served document or the next of its line, by its own word.
fn follows(served: &Document, stored: &Document) -> bool {
    stored.chain == served.chain || (stored.revision > served.revision && stored.previous == served.chain)
}

/// Whether the history still has the change that is served, or a later state of it was written back.
async fn descends(store: &dyn Store, migration: &MigrationId, served: &Document) -> Result<bool, StoreError> {
    let page = Page { before: Some(served.revision.next()), limit: 1 };
    let at = match store.history(migration, page).await {
        // Nothing is known to be lost then; that the history is damaged shows where it is read.
        Err(StoreError::Corrupt(_)) => return Ok(true),
        answer => answer?,
    };
    if at.first().is_some_and(|entry| entry.revision == served.revision && entry.hash == served.chain) {
        return Ok(true);
    }
    let newest = store.history(migration, Page { before: None, limit: ENTRIES_MAX }).await?;
    Ok(newest.iter().any(|entry| restores(entry, served.revision)))
}

fn restores(entry: &HistoryEntry, served: Revision) -> bool {
    entry.kind == ChangeKind::Reseed && restored_revision(entry).is_some_and(|restored| restored >= served)
}

/// The member of a reseed's evidence that says which state was written back.
pub(crate) const RESTORED: &str = "restored_revision";

fn restored_revision(entry: &HistoryEntry) -> Option<Revision> {
    entry.evidence.as_ref()?.get(RESTORED)?.as_u64().map(Revision)
}
