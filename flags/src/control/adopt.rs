//! The first state of a migration, where something else than the file tells it.

use jiff::Timestamp;

use super::next::Next;
use super::{Ask, Change, Control, ControlError, TRIES_MAX, to_write, went_back};
use crate::migration::Migration;
use crate::state::{ChangeKind, Document, Position};
use crate::store::StoreError;

impl Control {
    /// Stores `position` as the first state of a migration; false where it has one already.
    pub(crate) async fn adopt(
        &self,
        definition: &Migration,
        position: Position,
        actor: &str,
        reason: &str,
    ) -> Result<bool, ControlError> {
        let change = Change::new(Ask::Mode(position.mode), actor, reason);
        for _ in 0..TRIES_MAX {
            let served = self.watch.current().revision();
            let loaded = self.store.load().await?;
            if loaded.revision < served {
                return Err(went_back(loaded.revision, served).into());
            }
            if loaded.migrations.contains_key(&definition.id) {
                return Ok(false);
            }
            if let Some(why) = &loaded.incomplete {
                // It may have one that was not read.
                return Err(StoreError::corrupt(why.clone()).into());
            }
            let document = Document::initial(definition);
            let (hash, salt) = (document.hash, document.salt.clone());
            let (kind, before) = (ChangeKind::Adopt, document.position());
            let next = Next { kind, before, after: position, pin: None, rule: None, hash, salt };
            let write = to_write(&definition.id, document, next, &change, loaded.revision, Timestamp::now());
            match self.store.replace(loaded.revision, write).await {
                Ok(_) => {
                    self.watch.refresh().await;
                    return Ok(true);
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ControlError::Busy(TRIES_MAX))
    }
}
