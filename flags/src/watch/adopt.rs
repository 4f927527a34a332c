//! The first start of a migration that has plain keys: what they say becomes its state.
//!
//! # Why once
//!
//! A migration that begins under Crossfade continues where the code before it stood, so its first
//! state is the one that code has left behind. From then on the router writes the keys, and reading
//! them again would only bring back what somebody else wrote past the audit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Watch;
use crate::control::Control;
use crate::migration::{Migration, MigrationId};
use crate::mirror::Mirrored;
use crate::state::{Document, Revision};
use crate::store::StoreError;

/// Who has made a change that came from plain keys, in the audit.
const ACTOR: &str = "mirror_keys";

/// Which migrations were looked at by this process.
#[derive(Debug, Default)]
pub(super) struct Adoption {
    settled: BTreeSet<MigrationId>,
    /// What was told of those that could not be looked at yet.
    told: BTreeMap<MigrationId, String>,
}

impl Adoption {
    /// Looks at what is new; false if something is to be tried again because the store was away.
    pub(super) async fn settle(&mut self, watch: &Arc<Watch>) -> bool {
        if watch.health.is_from_saved() {
            // Whether this is the first start only the store knows.
            return true;
        }
        let mut all = true;
        let snapshot = watch.current();
        for (_, definition, placed) in snapshot.iter() {
            let Some(mirrored) = Mirrored::of(definition) else { continue };
            if self.settled.contains(&definition.id) {
                continue;
            }
            if placed.problem.is_some() {
                // Whether it has a state is known once it reads.
                continue;
            }
            let is_first = placed.document.revision == Revision::ZERO;
            if is_first && let Err(error) = adopt(watch, definition, &mirrored).await {
                if self.told.get(&definition.id) != Some(&error) {
                    tracing::error!(migration = %definition.id, %error, "the first state of a migration cannot be taken from its plain keys now");
                    self.told.insert(definition.id.clone(), error);
                }
                all = false;
                continue;
            }
            self.settled.insert(definition.id.clone());
        }
        all
    }
}

async fn adopt(watch: &Arc<Watch>, definition: &Migration, mirrored: &Mirrored) -> Result<(), String> {
    let (id, keys) = (&definition.id, &mirrored.keys);
    let held = match watch.store.plain_keys(keys).await {
        Ok(held) => held,
        Err(StoreError::Corrupt(error)) => {
            refuse(id, &error.to_string());
            return Ok(());
        }
        Err(error) => return Err(error.to_string()),
    };
    let (position, reason) = match mirrored.read(&held) {
        Ok(Some(position)) => (position, format!("first state, as {} and {} tell it", keys.mode, keys.percent)),
        Ok(None) => {
            let reason = format!("initial state of the file, because {} and {} are not there", keys.mode, keys.percent);
            (Document::initial(definition).position(), reason)
        }
        Err(problem) => {
            refuse(id, &problem.to_string());
            return Ok(());
        }
    };
    let control = Control::new(Arc::clone(watch));
    match control.adopt(definition, position, ACTOR, &reason).await {
        Ok(true) => {
            tracing::info!(migration = %id, mode = %position.mode, percent = %position.share, %reason, "a migration has its first state");
            Ok(())
        }
        Ok(false) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// What cannot be read is left as it is until the first change: it may be somebody else's.
fn refuse(migration: &MigrationId, problem: &str) {
    tracing::error!(
        %migration,
        problem,
        "the plain keys of a migration tell no state, so that the file's initial state holds; correct `mirror_keys`, or make a change, which writes them"
    );
}
