//! Where the desired state lives. The only I/O in this crate, and never on the path of a request.
//!
//! # Why one compare-and-set on one ordinal
//!
//! Two operators, a plan and a guard may act within the same second, on several routers. Each write
//! names the revision it was decided on and is refused if anybody has written since; the writer
//! then decides again on what is there now. So every change is decided on the state it changes, and
//! the history is one line.
//!
//! Implementations differ in where they write, not in what they promise: `conformance` runs the
//! same cases against each of them.

#[cfg(test)]
pub(crate) mod conformance;
pub mod embedded;
#[cfg(test)]
pub(crate) mod fake;
pub mod ledger;
pub mod records;
pub mod redis;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use async_trait::async_trait;
use jiff::Timestamp;
use thiserror::Error;

pub use self::ledger::Ledger;
pub use self::records::Records;

use crate::freeze::FreezeEntry;
use crate::migration::MigrationId;
use crate::mirror::{MirrorKeys, Mirrored, PlainKeys};
use crate::mode::Mode;
use crate::state::{Document, Heartbeat, HistoryEntry, Pin, Pins, Revision, SCHEMA};
use crate::tally::{Row, Slot, SlotCounts};

/// The most entries of a history that one call answers.
pub const PAGE_MAX: usize = 1_000;

/// How long the last word of a replica is kept.
pub const REPLICA_FORGOTTEN_AFTER: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why the store did not answer. A variant exists only where a caller reacts differently.
#[derive(Debug, Error)]
pub enum StoreError {
    #[error("state is at revision {actual}, not {expected}")]
    Conflict { expected: Revision, actual: Revision },

    #[error("the store is unavailable: {0}")]
    Unavailable(#[source] Source),

    /// The store answers and says no, and will until somebody mends the configuration.
    #[error("the store refuses this router: {0}")]
    Refused(#[source] Source),

    /// A call was sent and its answer did not come: a write may have been made all the same, or may still be.
    #[error("the store did not answer: {0}")]
    Unanswered(#[source] Source),

    #[error("the stored state is unreadable: {0}")]
    Corrupt(#[source] Source),
}

impl StoreError {
    pub fn unavailable(source: impl Into<Source>) -> Self {
        Self::Unavailable(source.into())
    }

    pub fn refused(source: impl Into<Source>) -> Self {
        Self::Refused(source.into())
    }

    pub fn corrupt(source: impl Into<Source>) -> Self {
        Self::Corrupt(source.into())
    }

    /// The same of a call that had been sent when the store went away.
    #[must_use]
    pub(crate) fn once_sent(self) -> Self {
        match self {
            Self::Unavailable(source) => Self::Unanswered(source),
            Self::Conflict { .. } | Self::Refused(_) | Self::Unanswered(_) | Self::Corrupt(_) => self,
        }
    }

    /// Whether the same call may succeed later. Routing goes on from the last snapshot in every
    /// case.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Refused(_) | Self::Unanswered(_) => true,
            Self::Conflict { .. } | Self::Corrupt(_) => false,
        }
    }
}

/// What the store holds for one migration. A document that does not read is refused alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    State {
        document: Document,
        pins: Pins,
    },
    /// Why the document or one of its pins does not read, in words for an operator.
    Unreadable(String),
}

/// Everything at one revision, never a mix of two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    pub revision: Revision,
    pub migrations: BTreeMap<MigrationId, Stored>,
    /// The newest word on a freeze of the environment, in force or not.
    pub freeze: Option<FreezeEntry>,
    /// Why a migration that is not among these may be stored all the same.
    pub incomplete: Option<String>,
    /// What of the store as a whole does not read, in words for an operator.
    pub problem: Option<String>,
}

/// One change of one migration with its audit entry. All of it is stored, or nothing.
#[derive(Clone, Debug)]
pub struct Write {
    pub migration: MigrationId,
    pub document: Document,
    /// At most one pin is set (`Some`) or removed (`None`) by a change.
    pub pin: Option<(String, Option<Pin>)>,
    pub entry: HistoryEntry,
}

/// What a store says of itself to whoever beats, so that nobody has to poll it besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// None where it does not read; a full read says why.
    pub revision: Option<Revision>,
    /// The clock by which slots are told.
    pub time: Timestamp,
    /// What could not be written, in words for an operator.
    pub problem: Option<String>,
}

/// One migration as it was, to be written back to a store that has lost it.
#[derive(Clone, Debug)]
pub struct Restored {
    pub migration: MigrationId,
    /// At the revision that it gets; those of one call ascend.
    pub document: Document,
    /// All of them; whatever else is pinned is removed.
    pub pins: Pins,
    pub entry: HistoryEntry,
}

/// Which part of a history is read: newest first.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Only entries older than this revision.
    pub before: Option<Revision>,
    pub limit: usize,
}

/// Keys and values as they are stored.
type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Reads the stored form of one migration, or says what is wrong with it.
///
/// A rolled-back migration is read without the pins that do not read: a damaged pin must not keep a
/// rollback from taking effect.
fn readable(document: &[u8], pins: Result<Pairs, String>) -> Stored {
    let document: Document = match serde_json::from_slice(document) {
        Ok(document) => document,
        Err(error) => return Stored::Unreadable(misread(document, &error)),
    };
    let is_rolled_back = document.mode == Mode::EmergencyRollback;
    let pins = match pins {
        Ok(pins) => pins,
        Err(_) if is_rolled_back => Vec::new(),
        Err(problem) => return Stored::Unreadable(format!("its pins do not read: {problem}")),
    };
    let mut of_migration = Pins::new();
    for (key, pin) in pins {
        let read = String::from_utf8(key).map_err(|error| (error.to_string(), error.into_bytes()));
        let read = read.and_then(|key| match serde_json::from_slice(&pin) {
            Ok(pin) => Ok((key, pin)),
            Err(error) => Err((error.to_string(), key.into_bytes())),
        });
        match read {
            Ok((key, pin)) => drop(of_migration.insert(key, pin)),
            Err(_) if is_rolled_back => {}
            Err((error, key)) => {
                return Stored::Unreadable(format!("its pin of \"{}\" does not read: {error}", key.escape_ascii()));
            }
        }
    }
    Stored::State { document, pins: of_migration }
}

/// Why a document does not read: first of all whether it is of another version.
fn misread(document: &[u8], error: &serde_json::Error) -> String {
    #[derive(serde::Deserialize)]
    struct Versioned {
        schema: u64,
    }
    match serde_json::from_slice(document) {
        Ok(Versioned { schema }) if schema != u64::from(SCHEMA) => {
            format!("its schema is {schema}, this version reads {SCHEMA}")
        }
        _ => format!("its document does not read: {error}"),
    }
}

#[async_trait]
pub trait Store: Records {
    /// Where issues are kept.
    fn ledger(&self) -> &dyn Ledger;

    /// Reads everything at one revision.
    async fn load(&self) -> Result<Loaded, StoreError>;

    /// Stores `write` as the revision after `expected` if nobody has written since `expected`.
    ///
    /// Otherwise answers [`StoreError::Conflict`]: load, decide again, retry.
    async fn replace(&self, expected: Revision, write: Write) -> Result<Revision, StoreError>;

    /// Stores all of these at the revisions that they name, if nobody has written since `expected`; the newest, which is
    /// the freeze where there is one, becomes the revision of the whole. What is damaged is overwritten, but for histories.
    async fn restore(
        &self,
        expected: Revision,
        restored: Vec<Restored>,
        freeze: Option<FreezeEntry>,
    ) -> Result<Revision, StoreError>;

    /// Stores a word on the freeze of the environment as the revision after `expected`, like [`Store::replace`]; what is
    /// damaged is overwritten.
    async fn freeze(&self, expected: Revision, entry: FreezeEntry) -> Result<Revision, StoreError>;

    /// The newest [`FREEZES_MAX`](crate::freeze::FREEZES_MAX) words on freezes, newest first.
    async fn freezes(&self) -> Result<Vec<FreezeEntry>, StoreError>;

    /// Resolves once the state may be newer than `seen`.
    ///
    /// May wake for nothing; must not sleep through a change.
    async fn changed(&self, seen: Revision) -> Result<(), StoreError>;

    /// The audit of one migration, newest first.
    async fn history(&self, migration: &MigrationId, page: Page) -> Result<Vec<HistoryEntry>, StoreError>;

    /// Says that a replica lives and what it has counted; an old word is forgotten after a minute.
    ///
    /// A row is the whole of its slot so far, so that the same beat may be said twice.
    async fn beat(&self, heartbeat: &Heartbeat, counted: &[Row]) -> Result<Pulse, StoreError>;

    /// What the fleet counted in these slots, oldest first; a slot without counts is left out.
    async fn counts(&self, migration: &MigrationId, slots: RangeInclusive<Slot>)
    -> Result<Vec<SlotCounts>, StoreError>;

    /// Forgets a replica that ends in order, so that nobody waits for its next word.
    async fn leave(&self, replica: &str) -> Result<(), StoreError>;

    /// The last word of each replica, by its name.
    async fn replicas(&self) -> Result<Vec<Heartbeat>, StoreError>;

    /// Keeps the plain keys of these migrations, and of no others, as their state is from now on.
    ///
    /// A store that others cannot read has none.
    fn mirror(&self, _mirrored: Vec<Mirrored>) {}

    /// What the plain keys of a migration hold.
    async fn plain_keys(&self, _keys: &MirrorKeys) -> Result<PlainKeys, StoreError> {
        Ok(PlainKeys::default())
    }
}
