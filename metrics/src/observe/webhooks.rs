//! What became of webhooks about issues, by migration: when they came, and when they were sent on.
//!
//! Migrations are those with a route that receives issues, results are a closed set; nothing of a webhook is a label.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use flags::ledger::Answer;
use flags::{MigrationId, Side};

use super::lock;

/// What became of a webhook when it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Webhook {
    /// Kept, to be sent on.
    Accepted,
    /// Kept in the journal of this router, because the store is away.
    Journalled,
    /// The delivery was kept before.
    Duplicate,
    /// Another delivery had the same body: somebody may have recorded it.
    SameBody,
    /// The id was another body's.
    Conflict,
    /// Its action does not count here.
    Ignored,
    /// It could not be read.
    Quarantined,
    SignatureMissing,
    SignatureMalformed,
    SignatureWrong,
    SignatureStale,
    TooFast,
    NoRoom,
    /// Neither the store nor the journal could keep it.
    NotKept,
}

const WEBHOOKS: usize = 14;

impl Webhook {
    pub const ALL: [Self; WEBHOOKS] = [
        Self::Accepted,
        Self::Journalled,
        Self::Duplicate,
        Self::SameBody,
        Self::Conflict,
        Self::Ignored,
        Self::Quarantined,
        Self::SignatureMissing,
        Self::SignatureMalformed,
        Self::SignatureWrong,
        Self::SignatureStale,
        Self::TooFast,
        Self::NoRoom,
        Self::NotKept,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Journalled => "journalled",
            Self::Duplicate => "duplicate",
            Self::SameBody => "same_body",
            Self::Conflict => "conflict",
            Self::Ignored => "ignored",
            Self::Quarantined => "quarantined",
            Self::SignatureMissing => "signature_missing",
            Self::SignatureMalformed => "signature_malformed",
            Self::SignatureWrong => "signature_wrong",
            Self::SignatureStale => "signature_stale",
            Self::TooFast => "too_fast",
            Self::NoRoom => "no_room",
            Self::NotKept => "not_kept",
        }
    }
}

/// The counts of one migration on this router.
#[derive(Debug, Default)]
pub struct WebhookCells {
    came: [AtomicU64; WEBHOOKS],
    tried: [[AtomicU64; Answer::ALL.len()]; 2],
    journal_bytes: AtomicU64,
    away: AtomicBool,
}

impl WebhookCells {
    pub fn came(&self, what: Webhook) {
        self.came[what as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// One try at a system.
    pub fn tried(&self, side: Side, answer: Answer) {
        self.tried[side as usize][answer as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// What the journal holds, and whether all webhooks go there.
    pub fn journal(&self, bytes: u64, away: bool) {
        self.journal_bytes.store(bytes, Ordering::Relaxed);
        self.away.store(away, Ordering::Relaxed);
    }

    pub(super) fn get(&self, what: Webhook) -> u64 {
        self.came[what as usize].load(Ordering::Relaxed)
    }

    pub(super) fn tries(&self, side: Side, answer: Answer) -> u64 {
        self.tried[side as usize][answer as usize].load(Ordering::Relaxed)
    }

    pub(super) fn journal_bytes(&self) -> u64 {
        self.journal_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
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
