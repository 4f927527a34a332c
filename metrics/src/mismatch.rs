//! What is known of mismatches on this router: pairs of answers in, counts, findings and proposals out.
//!
//! Shared by the comparing thread, which is the only one that compares, and the admin side, which reads.

mod cells;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use flags::MigrationId;
use jiff::Timestamp;

pub use cells::{Compared, ComparisonCells, ComparisonTotals, NotPaired, RouteCells, Twin, reasons};

use crate::compare::{Digest, Limits, Rules};
use crate::observe::{Observer, lock};

/// What one side answered, as far as it was kept.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    pub status: u16,
    /// Names in any case.
    pub headers: Vec<(String, String)>,
    /// As it was received, with its content-encoding.
    pub body: Vec<u8>,
    /// Whether there was more than `body` holds.
    pub truncated: bool,
    /// Of the whole body, where it was larger than is kept.
    pub digest: Option<Digest>,
}

/// One request that both sides answered.
#[derive(Clone, Debug)]
pub struct Pair {
    pub migration: MigrationId,
    /// The route's path template.
    pub route: Arc<str>,
    pub method: String,
    /// Made by [`Mismatches::caller`] of the sticky key.
    pub caller: Option<u64>,
    pub request_id: String,
    /// By which it was decided.
    pub revision: u64,
    pub at: Timestamp,
    pub legacy: Kept,
    pub new: Kept,
    /// What legacy answered when it was asked a second time.
    pub again: Option<Kept>,
}

/// How the answers of one migration are compared.
#[derive(Clone, Debug, Default)]
pub struct CompareSettings {
    /// Of the file; accepted ones come with the snapshot.
    pub rules: Rules,
    /// Patterns whose values may be shown, as `$.items[*].price` or `header:location`.
    pub raw_paths: Vec<String>,
    pub limits: Limits,
    /// The header in which new names its version.
    pub version_header: Option<String>,
}

/// Everything that is known of mismatches on this router; in an [`Arc`].
#[derive(Debug)]
pub struct Mismatches {
    observer: Arc<Observer>,
    /// Never leaves this process.
    secret: [u8; 32],
    routes: Mutex<HashMap<(MigrationId, String), Arc<RouteCells>>>,
}

impl Mismatches {
    /// `secret` is of a good source of randomness; what is hashed with it says nothing to who does not have it.
    pub fn new(observer: Arc<Observer>, secret: [u8; 32]) -> Self {
        Self { observer, secret, routes: Mutex::default() }
    }

    /// At the start and after a reload.
    pub fn configure(&self, _settings: Vec<(MigrationId, CompareSettings)>) {}

    /// The hash of a sticky key, for [`Pair::caller`].
    pub fn caller(&self, _key: &[u8]) -> u64 {
        u64::from(self.secret[0])
    }

    /// Compares one pair and counts what comes of it; on the comparing thread.
    pub fn compare(&self, pair: &Pair) {
        self.route(&pair.migration, &pair.route).compared(Compared::Matched);
    }

    /// The counters of a route; resolved when tables are built, and never by a request.
    pub fn route(&self, migration: &MigrationId, route: &str) -> Arc<RouteCells> {
        let cells = || Arc::new(RouteCells::new(self.observer.comparisons(migration)));
        Arc::clone(lock(&self.routes).entry((migration.clone(), route.to_owned())).or_insert_with(cells))
    }
}
