//! The way to the ledger of issues, for migrations of the file only.
//!
//! What the ledger promises is told in [`crate::store::ledger`]; whoever changes something by hand needs a reason, as for
//! every change.

use super::{Control, ControlError, check_reason};
use crate::migration::MigrationId;
use crate::store::Ledger;
use crate::store::ledger::Person;

impl Control {
    /// The ledger that has the issues of this migration.
    pub fn ledger(&self, migration: &MigrationId) -> Result<&dyn Ledger, ControlError> {
        self.check_known([migration])?;
        Ok(self.store.ledger())
    }

    /// Who changes something by hand, and why.
    pub fn person(actor: &str, reason: &str) -> Result<Person, ControlError> {
        check_reason(reason)?;
        Ok(Person { actor: actor.to_owned(), reason: reason.to_owned() })
    }
}
