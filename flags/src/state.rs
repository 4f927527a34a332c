//! Where a migration stands: the document in the store, its pins, its history and its replicas.
//!
//! # Why the document carries its own chain
//!
//! Every write appends to the migration's history, and every entry holds the SHA-256 of the entry
//! before it. The document keeps the newest hash, so that a writer extends the chain without
//! reading the history, and an edited or missing entry shows when the chain is walked.
//!
//! Canonical form: JSON without white space, members in the order in which they are declared here,
//! maps sorted by key. Nothing here reads a clock; times are passed in.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::accepted::{AcceptedRule, RuleChange};
use crate::bucket::{BasisPoints, HashKind};
use crate::migration::{Migration, MigrationId, Side};
use crate::mode::Mode;

/// The version of the stored form that this code writes and reads.
pub const SCHEMA: u16 = 1;

/// The longest key that can be pinned, in bytes.
pub const PIN_KEY_BYTES_MAX: usize = 512;

/// Pins one migration may hold; beyond it a rule or a share is the right tool.
pub const PINS_MAX: usize = 100_000;

/// The longest reason that is recorded, in bytes.
pub const REASON_BYTES_MAX: usize = 1_000;

/// A router that has said nothing for this long is taken for gone.
const LIVE_FOR: jiff::SignedDuration = jiff::SignedDuration::from_secs(5);

/// The actor of a document that nobody wrote.
pub(crate) const GUESS: &str = "router";

/// The ordinal of the store's state: one more for each write in the environment.
///
/// A document carries the revision of its own last change; the store as a whole that of the last
/// change of any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl Revision {
    pub const ZERO: Self = Self(0);

    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What of a migration's state moves traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    pub mode: Mode,
    #[serde(rename = "percent_bp")]
    pub share: BasisPoints,
}

/// The stored state of one migration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    pub schema: u16,
    pub mode: Mode,
    #[serde(rename = "percent_bp")]
    pub share: BasisPoints,
    /// Frozen here while the share is neither 0 nor 100 %, whatever the file says meanwhile.
    pub hash: HashKind,
    pub salt: String,
    /// The revision of this document's last change.
    pub revision: Revision,
    pub actor: String,
    pub reason: String,
    pub time: Timestamp,
    /// The hash of the newest history entry, in hexadecimal; empty before the first.
    pub chain: String,
    /// The `chain` of the document that this one was decided on, so that a reader who has that one
    /// knows without the history that nothing between was lost.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub previous: String,
    /// What people accepted that may differ; absent in documents of older versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<AcceptedRule>,
}

impl Document {
    /// The state of a migration that the store knows nothing about.
    pub fn initial(migration: &Migration) -> Self {
        Self {
            schema: SCHEMA,
            mode: migration.initial.mode,
            share: migration.initial.share,
            hash: migration.hash,
            salt: migration.salt().into(),
            revision: Revision::ZERO,
            actor: "file".into(),
            reason: "initial state of the file".into(),
            time: Timestamp::UNIX_EPOCH,
            chain: String::new(),
            previous: String::new(),
            rules: Vec::new(),
        }
    }

    /// The state of a migration whose stored document cannot be read: legacy, whatever the file's
    /// initial state is, because the migration may have moved since.
    pub fn unreadable(migration: &Migration) -> Self {
        let mut document = Self::initial(migration);
        document.mode = Mode::LegacyOnly;
        document.share = BasisPoints::ZERO;
        document.actor = GUESS.into();
        document.reason = "the stored state is unreadable".into();
        document
    }

    pub const fn position(&self) -> Position {
        Position { mode: self.mode, share: self.share }
    }
}

/// An explicit, possibly expiring, placement of one key on a side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    pub side: Side,
    pub reason: String,
    pub actor: String,
    /// The first instant at which the pin no longer applies.
    pub until: Option<Timestamp>,
}

impl Pin {
    pub fn applies_at(&self, now_seconds: i64) -> bool {
        self.until.is_none_or(|until| now_seconds < until.as_second())
    }
}

/// The pins of one migration by key.
pub type Pins = BTreeMap<String, Pin>;

/// What kind of change a history entry records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    Mode,
    Rollout,
    Rollback,
    Acknowledge,
    Pin,
    Unpin,
    /// A rule of the comparison was accepted, or taken back.
    AcceptRule,
    RemoveRule,
    Undo,
    /// The last good state, written back to a store that had lost it.
    Reseed,
    /// The first state, where something else than the file told it.
    Adopt,
}

/// A pin before and after a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinChange {
    pub key: String,
    pub before: Option<Pin>,
    pub after: Option<Pin>,
}

/// One change of one migration, as the audit keeps it for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    pub revision: Revision,
    pub migration: MigrationId,
    pub time: Timestamp,
    /// The token's name, `guard` or `plan`.
    pub actor: String,
    pub reason: String,
    pub kind: ChangeKind,
    pub before: Position,
    pub after: Position,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<PinChange>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleChange>,
    /// What a guard saw; free form, because guards differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<serde_json::Value>,
    /// The hash of the entry before this one of the same migration; empty for the first.
    pub previous_hash: String,
    /// SHA-256 in hexadecimal over the canonical form with this member empty.
    pub hash: String,
}

impl HistoryEntry {
    /// The hash this entry should carry.
    pub fn computed_hash(&self) -> String {
        let unhashed = Self { hash: String::new(), ..self.clone() };
        let canonical = serde_json::to_vec(&unhashed).unwrap_or_default();
        hex(&Sha256::digest(canonical))
    }

    #[must_use]
    pub fn sealed(mut self) -> Self {
        self.hash = self.computed_hash();
        self
    }
}

/// Where a history was tampered with: the revision of the first entry that does not fit.
///
/// `entries` are of one migration, oldest first, and may start anywhere in its history.
pub fn broken_link(entries: &[HistoryEntry]) -> Option<Revision> {
    let mut previous: Option<&str> = None;
    entries
        .iter()
        .find(|entry| {
            let fits = previous.is_none_or(|hash| hash == entry.previous_hash);
            previous = Some(&entry.hash);
            !fits || entry.hash != entry.computed_hash()
        })
        .map(|entry| entry.revision)
}

/// What one router says of itself, about twice a second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    pub replica: String,
    /// The revision of the snapshot that it serves from.
    pub revision: Revision,
    /// Tells replicas that run different files apart.
    pub config_hash: String,
    pub version: String,
    pub time: Timestamp,
    /// Whether it finishes what is open and accepts nothing new.
    #[serde(default)]
    pub draining: bool,
}

impl Heartbeat {
    /// Whether it is waited for: who has said nothing for 5 s is taken for gone.
    pub fn is_live(&self, now: Timestamp) -> bool {
        now.duration_since(self.time) < LIVE_FOR
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(revision: u64, previous_hash: &str) -> HistoryEntry {
        let position = Position { mode: Mode::LegacyOnly, share: BasisPoints::ZERO };
        HistoryEntry {
            revision: Revision(revision),
            migration: MigrationId::new("m").unwrap(),
            time: Timestamp::UNIX_EPOCH,
            actor: "ann".into(),
            reason: "because".into(),
            kind: ChangeKind::Mode,
            before: position,
            after: position,
            pin: None,
            rule: None,
            evidence: None,
            previous_hash: previous_hash.into(),
            hash: String::new(),
        }
        .sealed()
    }

    fn chain() -> Vec<HistoryEntry> {
        let first = entry(1, "");
        let second = entry(2, &first.hash);
        let third = entry(5, &second.hash);
        vec![first, second, third]
    }

    #[test]
    fn an_untouched_chain_holds_from_any_start() {
        assert_eq!(broken_link(&chain()), None);
        assert_eq!(broken_link(&chain()[1..]), None);
    }

    #[test]
    fn an_edit_a_gap_and_a_resealed_edit_show() {
        let mut edited = chain();
        edited[1].reason = "another".into();
        assert_eq!(broken_link(&edited), Some(Revision(2)));

        let mut gap = chain();
        gap.remove(1);
        assert_eq!(broken_link(&gap), Some(Revision(5)));

        let mut resealed = chain();
        resealed[1].reason = "another".into();
        resealed[1] = resealed[1].clone().sealed();
        assert_eq!(broken_link(&resealed), Some(Revision(5)));
    }

    proptest! {
        /// What a guard saw holds numbers, which must be the same when they are read, or the chain would look edited.
        #[test]
        fn numbers_of_evidence_do_not_break_the_chain(numbers in proptest::collection::vec(-1e30..1e30_f64, 1..8)) {
            let evidence = Some(serde_json::json!({ "evidence": numbers, "share": 0.1 + 0.2 }));
            let written = HistoryEntry { evidence, ..entry(1, "") }.sealed();
            let read: HistoryEntry = serde_json::from_str(&serde_json::to_string(&written).unwrap()).unwrap();
            prop_assert_eq!(read.computed_hash(), written.hash);
        }
    }

    #[test]
    fn the_canonical_form_is_pinned() {
        let migration = Migration::new(MigrationId::new("m").unwrap(), "a", "b");
        let text = serde_json::to_string(&Document::initial(&migration)).unwrap();
        assert_eq!(
            text,
            r#"{"schema":1,"mode":"legacy_only","percent_bp":0,"hash":"bucket","salt":"m","revision":0,"actor":"file","reason":"initial state of the file","time":"1970-01-01T00:00:00Z","chain":""}"#
        );
    }

    #[test]
    fn a_share_out_of_range_is_no_document() {
        let text = r#"{"schema":1,"mode":"gradual","percent_bp":10001,"hash":"bucket","salt":"m","revision":0,"actor":"a","reason":"r","time":"1970-01-01T00:00:00Z","chain":""}"#;
        assert!(serde_json::from_str::<Document>(text).is_err());
    }
}
