//! Freezes an environment, thaws it, and refuses what a freeze is there to refuse.
//!
//! # Why in the one line of revisions
//!
//! A word on a freeze is written like any change: at the revision it was decided on. A move toward new that was decided
//! before the freeze then meets a conflict and is decided again, so that of the two one is first and nobody slips through.
//! What is asked is the store and never the watch, which may be a moment behind.
//!
//! Not held up: whatever goes toward legacy, rollbacks, guards, acknowledgements after which legacy serves on, and what
//! writes a state back or takes a first one over, because nobody is moved by that.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::next::Next;
use super::{Change, Control, ControlError, TRIES_MAX, check_reason, went_back};
use crate::freeze::{FREEZE_MAX, FREEZE_MIN, FreezeEntry, FreezeKind};
use crate::migration::Migration;
use crate::store::{Loaded, StoreError};

/// What somebody asks of the environment as a whole, and why.
#[derive(Clone, Debug)]
pub struct Freeze {
    pub kind: FreezeKind,
    /// How long a freeze holds; until somebody thaws where none is said.
    pub lasts: Option<Duration>,
    pub actor: String,
    pub reason: String,
    /// Answer what would be written and write nothing.
    pub dry_run: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// The freeze that holds afterwards.
    pub freeze: Option<FreezeEntry>,
    /// False: there was nothing to thaw, and nothing was written.
    pub changed: bool,
}

impl Control {
    /// Freezes or thaws. A freeze takes the place of one that holds.
    pub async fn freeze(&self, ask: &Freeze) -> Result<Frozen, ControlError> {
        check_reason(&ask.reason)?;
        if ask.lasts.is_some_and(|lasts| !(FREEZE_MIN..=FREEZE_MAX).contains(&lasts)) {
            return Err(ControlError::InvalidFreeze);
        }
        for _ in 0..TRIES_MAX {
            let served = self.watch.current().revision();
            let loaded = self.store.load().await?;
            if loaded.revision < served {
                return Err(went_back(loaded.revision, served).into());
            }
            let now = self.watch.store_time();
            if ask.kind == FreezeKind::Thaw && holding(&loaded, now).is_none() {
                self.watch.refresh().await;
                return Ok(Frozen { freeze: None, changed: false });
            }
            let entry = FreezeEntry {
                revision: loaded.revision.next(),
                kind: ask.kind,
                actor: ask.actor.clone(),
                reason: ask.reason.clone(),
                time: now,
                until: ask.lasts.map(|lasts| end(now, lasts)),
            };
            let freeze = (ask.kind == FreezeKind::Freeze).then(|| entry.clone());
            if ask.dry_run {
                return Ok(Frozen { freeze, changed: true });
            }
            match self.store.freeze(loaded.revision, entry.clone()).await {
                Ok(_) => {
                    tell(&entry);
                    self.watch.refresh().await;
                    return Ok(Frozen { freeze, changed: true });
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error @ StoreError::Unanswered(_)) => return Err(ControlError::Unconfirmed(error)),
                Err(error) => return Err(error.into()),
            }
        }
        Err(ControlError::Busy(TRIES_MAX))
    }

    /// The words on freezes that are kept, newest first, and the one that holds.
    pub async fn freezes(&self) -> Result<(Option<FreezeEntry>, Vec<FreezeEntry>), ControlError> {
        let entries = self.store.freezes().await?;
        let now = self.watch.store_time();
        Ok((entries.first().filter(|newest| newest.holds_at(now)).cloned(), entries))
    }

    /// Refuses what a freeze that `loaded` tells of refuses.
    pub(super) fn check_thawed(
        &self,
        loaded: &Loaded,
        next: &Next,
        definition: &Migration,
        change: &Change,
    ) -> Result<(), ControlError> {
        let now = self.watch.store_time();
        match holding(loaded, now) {
            Some(freeze) if !change.force && next.is_refused_by_a_freeze(definition, now) => {
                Err(ControlError::Frozen(freeze.clone()))
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn holding(loaded: &Loaded, now: Timestamp) -> Option<&FreezeEntry> {
    loaded.freeze.as_ref().filter(|freeze| freeze.holds_at(now))
}

fn end(now: Timestamp, lasts: Duration) -> Timestamp {
    let lasts = SignedDuration::try_from(lasts).unwrap_or(SignedDuration::MAX);
    now.saturating_add(lasts).unwrap_or(Timestamp::MAX)
}

fn tell(entry: &FreezeEntry) {
    let FreezeEntry { revision, kind, actor, reason, until, .. } = entry;
    let (revision, actor, reason) = (revision.0, actor.escape_debug(), reason.escape_debug());
    match kind {
        FreezeKind::Freeze => {
            let until = until.map_or_else(|| "somebody thaws it".to_owned(), |until| until.to_string());
            tracing::warn!(revision, %actor, %reason, until, "the environment is frozen: nothing moves toward new");
        }
        FreezeKind::Thaw => tracing::warn!(revision, %actor, %reason, "the environment is thawed"),
    }
}
