//! What only the router that receives webhooks knows: whose signatures were not good, and what waits in its journal.
//!
//! Migrations are those with a route that receives issues, reasons are a closed set; nothing of a webhook is a label.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use flags::MigrationId;

use super::lock;

/// Why a webhook is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsigned {
    Missing,
    Malformed,
    Wrong,
    /// Signed, but too long ago or in the future: it may be a recording.
    Stale,
}

const REASONS: usize = 4;

impl Unsigned {
    pub const ALL: [Self; REASONS] = [Self::Missing, Self::Malformed, Self::Wrong, Self::Stale];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Wrong => "wrong",
            Self::Stale => "stale",
        }
    }
}

/// What came of asking a sender for what never arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconciled {
    /// A delivery was asked for again.
    AskedFor,
    /// An issue is not in the ledger.
    Unknown,
    /// The sender wanted to hear nothing for a while.
    Silenced,
    /// It could not be asked.
    Failed,
}

const RECONCILED: usize = 4;

impl Reconciled {
    pub const ALL: [Self; RECONCILED] = [Self::AskedFor, Self::Unknown, Self::Silenced, Self::Failed];

    pub const fn name(self) -> &'static str {
        match self {
            Self::AskedFor => "asked_for",
            Self::Unknown => "unknown",
            Self::Silenced => "silenced",
            Self::Failed => "failed",
        }
    }
}

/// The counts of one migration on this router.
#[derive(Debug, Default)]
pub struct WebhookCells {
    unsigned: [AtomicU64; REASONS],
    reconciled: [AtomicU64; RECONCILED],
    journal_failures: AtomicU64,
    journal_bytes: AtomicU64,
    alone: AtomicBool,
    held: AtomicBool,
}

impl WebhookCells {
    pub fn unsigned(&self, why: Unsigned) {
        self.unsigned[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// What the journal holds, and whether all webhooks go there alone.
    pub fn journal(&self, bytes: u64, alone: bool) {
        self.journal_bytes.store(bytes, Ordering::Relaxed);
        self.alone.store(alone, Ordering::Relaxed);
    }

    /// Whether all webhooks go to the journal alone, from now on.
    pub fn alone(&self, alone: bool) {
        self.alone.store(alone, Ordering::Relaxed);
    }

    /// Whether nothing is sent because no replica of the store follows, from now on.
    pub fn held(&self, held: bool) {
        self.held.store(held, Ordering::Relaxed);
    }

    pub fn journal_failed(&self) {
        self.journal_failures.fetch_add(1, Ordering::Relaxed);
    }

    pub fn reconciled(&self, what: Reconciled) {
        self.reconciled[what as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn journal_failures(&self) -> u64 {
        self.journal_failures.load(Ordering::Relaxed)
    }

    pub(super) fn of(&self, what: Reconciled) -> u64 {
        self.reconciled[what as usize].load(Ordering::Relaxed)
    }

    pub(super) fn get(&self, why: Unsigned) -> u64 {
        self.unsigned[why as usize].load(Ordering::Relaxed)
    }

    pub(super) fn journal_bytes(&self) -> u64 {
        self.journal_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    pub(super) fn is_alone(&self) -> bool {
        self.alone.load(Ordering::Relaxed)
    }
}

/// The counts of all migrations that receive issues.
#[derive(Debug, Default)]
pub(super) struct Webhooks(Mutex<BTreeMap<MigrationId, Arc<WebhookCells>>>);

impl Webhooks {
    /// The series of a migration exist from now on, at 0.
    pub(super) fn declare(&self, migration: &MigrationId) -> Arc<WebhookCells> {
        Arc::clone(lock(&self.0).entry(migration.clone()).or_default())
    }

    pub(super) fn all(&self) -> BTreeMap<MigrationId, Arc<WebhookCells>> {
        lock(&self.0).clone()
    }
}
