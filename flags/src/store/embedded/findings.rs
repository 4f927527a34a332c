//! What runs of this router have found, in its file.

use std::collections::BTreeMap;

use redb::{ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use super::File;
use crate::migration::MigrationId;
use crate::store::StoreError;
use crate::store::records::{FINDERS_MAX, FINDINGS_BYTES_MAX, FINDINGS_KEPT_S, FindingsWrite};

/// By migration and run: when it spoke last, in seconds since 1970, and its text.
pub(super) const FINDINGS: TableDefinition<'_, (&str, &str), (u64, &[u8])> = TableDefinition::new("findings");

pub(super) fn make(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(FINDINGS)?;
    Ok(())
}

impl File {
    pub(super) fn put_findings(&self, write: &FindingsWrite, now: u64) -> Result<bool, StoreError> {
        let transaction = self.database.begin_write().map_err(|error| self.failed(error))?;
        {
            let id = write.migration.as_str();
            let mut table = transaction.open_table(FINDINGS).map_err(|error| self.failed(error))?;
            for adopted in &write.adopted {
                if table.remove((id, adopted.as_str())).map_err(|error| self.failed(error))?.is_none() {
                    // Not committed, so that nothing of it was removed.
                    return Ok(false);
                }
            }
            let value = (now, write.text.as_bytes());
            table.insert((id, write.finder.as_str()), value).map_err(|error| self.failed(error))?;
            let mut known = Vec::new();
            for row in table.range((id, "")..).map_err(|error| self.failed(error))? {
                let (key, value) = row.map_err(|error| self.failed(error))?;
                if key.value().0 != id {
                    break;
                }
                known.push((value.value().0, key.value().1.to_owned()));
            }
            known.sort_unstable();
            let beyond = known.len().saturating_sub(FINDERS_MAX);
            for (at, (spoke, name)) in known.into_iter().enumerate() {
                if at < beyond || spoke + FINDINGS_KEPT_S < now {
                    table.remove((id, name.as_str())).map_err(|error| self.failed(error))?;
                }
            }
        }
        transaction.commit().map_err(|error| self.failed(error))?;
        Ok(true)
    }

    pub(super) fn findings(&self, migration: &MigrationId, now: u64) -> Result<BTreeMap<String, String>, StoreError> {
        let read = self.database.begin_read().map_err(|error| self.failed(error))?;
        let table = read.open_table(FINDINGS).map_err(|error| self.failed(error))?;
        let id = migration.as_str();
        let mut found = BTreeMap::new();
        for row in table.range((id, "")..).map_err(|error| self.failed(error))? {
            let (key, value) = row.map_err(|error| self.failed(error))?;
            if key.value().0 != id || found.len() >= FINDERS_MAX {
                break;
            }
            let (spoke, text) = value.value();
            if text.len() <= FINDINGS_BYTES_MAX && spoke + FINDINGS_KEPT_S >= now {
                found.insert(key.value().1.to_owned(), String::from_utf8_lossy(text).into_owned());
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::conformance::id;
    use super::super::Embedded;
    use super::*;

    #[tokio::test]
    async fn what_was_silent_for_a_week_or_is_beyond_the_limit_is_forgotten() {
        let store = Embedded::in_memory();
        let put = |finder: String, now: u64| {
            let write = FindingsWrite { migration: id("m"), finder, text: "t".into(), adopted: Vec::new() };
            assert!(store.file.put_findings(&write, now).unwrap());
        };
        let known = |now: u64| store.file.findings(&id("m"), now).unwrap().into_keys().collect::<Vec<_>>();
        put("old".into(), 1_000);
        put("new".into(), 2_000);
        assert_eq!(known(1_000 + FINDINGS_KEPT_S), ["new", "old"]);
        assert_eq!(known(1_001 + FINDINGS_KEPT_S), ["new"]);
        for at in 0..FINDERS_MAX as u64 {
            put(format!("r{at:02}"), 3_000 + at);
        }
        let names = known(3_100);
        assert!(names.len() == FINDERS_MAX && !names.contains(&"new".to_owned()), "{names:?}");
    }
}
