//! What guards do by themselves, and what keeps them from it.

use std::error::Error;

use flags::MigrationId;
use tracing::{error, warn};

use super::{Untrusted, second};
use crate::observe::ProcessCells;

/// A guard has acted on its own.
#[derive(Debug)]
pub enum GuardActed<'a> {
    /// Progress has stopped.
    Held {
        migration: &'a MigrationId,
        why: &'a str,
    },
    /// New got less, as a brake or as a slice of a rollback.
    Lowered {
        migration: &'a MigrationId,
        why: &'a str,
    },
    RolledBack {
        migration: &'a MigrationId,
        why: &'a str,
    },
    /// By this router alone, in a fraction of a second.
    RolledBackFast {
        migration: &'a MigrationId,
        why: &'a str,
    },
}

impl GuardActed<'_> {
    /// The names of the counter's label `action`.
    pub const ACTIONS: [&'static str; 4] = ["hold", "brake", "rollback", "fast_rollback"];

    pub fn emit(self, process: &ProcessCells) {
        let [held, lowered, rolled_back, fast] = Self::ACTIONS;
        let (action, migration, why) = match self {
            Self::Held { migration, why } => (held, migration, why),
            Self::Lowered { migration, why } => (lowered, migration, why),
            Self::RolledBack { migration, why } => (rolled_back, migration, why),
            Self::RolledBackFast { migration, why } => (fast, migration, why),
        };
        warn!(%migration, action, why = %Untrusted(why), "the guard acts");
        process.guard_acted(migration, action);
    }
}

/// What a guard decided could not be done. It is decided again with the next half second, for as long as it should be done.
#[derive(Debug)]
pub struct GuardFailed<'a> {
    pub migration: &'a MigrationId,
    pub error: &'a (dyn Error + 'static),
}

impl GuardFailed<'_> {
    pub fn emit(self, process: &ProcessCells) {
        let Self { migration, error } = self;
        process.guard_failed();
        if let Some(more) = process.guard_log.admit(second()) {
            error!(
                %migration, error = %error, more,
                "what the guard decided could not be done, and is tried again; if this repeats, look at new and run `crossfade rollback {migration} --reason TEXT`"
            );
        }
    }
}

/// What an earlier judge has stored of a migration cannot be read, and begins anew.
#[derive(Debug)]
pub struct EvidenceUnreadable<'a> {
    pub migration: &'a MigrationId,
    pub error: &'a (dyn Error + 'static),
}

impl EvidenceUnreadable<'_> {
    pub fn emit(self, process: &ProcessCells) {
        let Self { migration, error } = self;
        process.guard_failed();
        if let Some(more) = process.guard_log.admit(second()) {
            warn!(
                %migration, %error, more,
                "the stored evidence cannot be read and begins anew; if this repeats, look what else writes to this store"
            );
        }
    }
}
