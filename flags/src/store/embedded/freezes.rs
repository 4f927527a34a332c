//! Words on the freeze of the environment, in the file of one router.

use redb::{
    ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction,
};

use super::{File, encode};
use crate::freeze::{FREEZES_MAX, FreezeEntry};
use crate::state::Revision;
use crate::store::StoreError;

/// By revision: the last one holds.
const FREEZES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("freezes");

/// Makes the table, so that readers need not tell a new file from a damaged one.
pub(super) fn make(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(FREEZES)?;
    Ok(())
}

pub(super) fn newest(read: &ReadTransaction) -> Result<Option<FreezeEntry>, redb::Error> {
    let freezes = read.open_table(FREEZES)?;
    Ok(freezes.last()?.map(|(_, entry)| FreezeEntry::read(entry.value())))
}

/// Adds a word as the newest, and forgets the oldest.
pub(super) fn put(transaction: &WriteTransaction, revision: Revision, entry: &[u8]) -> Result<(), redb::Error> {
    let mut freezes = transaction.open_table(FREEZES)?;
    // Only by hand can there be any; they would hide this one.
    freezes.retain_in(revision.0.., |_, _| false)?;
    freezes.insert(revision.0, entry)?;
    while freezes.len()? > FREEZES_MAX as u64 {
        freezes.pop_first()?;
    }
    Ok(())
}

impl File {
    pub(super) fn freeze(&self, expected: Revision, entry: &FreezeEntry) -> Result<Revision, StoreError> {
        let transaction = self.database.begin_write().map_err(|error| self.failed(error))?;
        let next = expected.next();
        self.advance(&transaction, expected, next)?;
        put(&transaction, next, &encode(entry)?).map_err(|error| self.failed(error))?;
        transaction.commit().map_err(|error| self.failed(error))?;
        Ok(next)
    }

    pub(super) fn freezes(&self) -> Result<Vec<FreezeEntry>, StoreError> {
        let read = self.database.begin_read().map_err(|error| self.failed(error))?;
        let freezes = read.open_table(FREEZES).map_err(|error| self.failed(error))?;
        let mut entries = Vec::new();
        for row in freezes.iter().map_err(|error| self.failed(error))?.rev().take(FREEZES_MAX) {
            let (_, entry) = row.map_err(|error| self.failed(error))?;
            entries.push(FreezeEntry::read(entry.value()));
        }
        Ok(entries)
    }
}

/// Overwrites the newest word.
#[cfg(test)]
pub(super) fn damage(transaction: &WriteTransaction, text: &str) {
    let mut freezes = transaction.open_table(FREEZES).unwrap();
    let newest = freezes.last().unwrap().map_or(0, |(revision, _)| revision.value());
    freezes.insert(newest, text.as_bytes()).unwrap();
}
