//! What a migration is: its identity, its two sides and everything the file says about it.
//!
//! # Why a definition is separate from its state
//!
//! The file says what a migration *is* (this module); the store says where it *stands*
//! ([`crate::state`]). A definition changes by a reviewed file and a reload, a state by an audited
//! change. Mixing the two would let a reload move traffic.
//!
//! Not here: upstream addresses, time-outs and other matters of the data plane.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::bucket::{BasisPoints, HashKind};
use crate::fallback::Fallback;
use crate::guard::Guard;
use crate::key::KeySource;
use crate::mirror::MirrorKeys;
use crate::mode::Mode;
use crate::route::PathTemplate;
use crate::rule::Rule;

/// The longest identifier: one leading character and 62 more, so that it fits a DNS label.
const ID_LENGTH_MAX: usize = 63;

/// The stable name of one migration: `^[a-z0-9][a-z0-9._-]{0,62}$`.
///
/// The alphabet needs no escaping in a URL, a Redis key, a metric label or a shell, because clients of all four exist.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MigrationId(Arc<str>);

/// A name that cannot be a [`MigrationId`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "\"{}\" is not a migration id: use 1 to 63 characters of a-z, 0-9, '.', '_' and '-', starting with a letter or digit",
    .0.escape_debug()
)]
pub struct InvalidId(String);

impl MigrationId {
    pub fn new(text: &str) -> Result<Self, InvalidId> {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-');
        let first = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let valid = text.len() <= ID_LENGTH_MAX && text.bytes().next().is_some_and(first) && text.bytes().all(inner);
        if valid { Ok(Self(text.into())) } else { Err(InvalidId(text.chars().take(80).collect())) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for MigrationId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

impl From<MigrationId> for String {
    fn from(id: MigrationId) -> Self {
        id.0.as_ref().into()
    }
}

impl fmt::Display for MigrationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One of the two systems of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Legacy,
    New,
}

impl Side {
    pub const ALL: [Self; 2] = [Self::Legacy, Self::New];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::New => "new",
        }
    }

    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Legacy => Self::New,
            Self::New => Self::Legacy,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a request goes whose key sources are all absent, while a share is neither 0 nor 100 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnMissingKey {
    #[default]
    Legacy,
    New,
    /// By chance at the configured share; the caller is not sticky.
    Random,
}

/// What `gradual` does with methods that may change something (everything but GET, HEAD, OPTIONS).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnsafeMethods {
    /// They go where the key goes.
    #[default]
    Follow,
    /// They stay on legacy until the mode is `new_only`, so that there is one writer.
    LegacyUntilNewOnly,
}

/// How `parallel` serves and what it copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parallel {
    pub serve: Side,
    /// The share of eligible requests that is mirrored.
    pub share: BasisPoints,
    /// Methods that may be mirrored, upper case as on the wire; none of them changes anything.
    pub methods: Vec<String>,
    /// What may be mirrored although it changes something.
    pub writes: Vec<Write>,
}

/// An opt-in to mirror what changes something, of one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// That of the route, to the letter.
    pub path: PathTemplate,
    pub methods: Vec<String>,
    pub excuse: Excuse,
}

/// Why a write may be done a second time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Excuse {
    /// The other side says that it changes nothing for a copy.
    DryRun,
    /// An operator's own reason.
    Override(String),
}

impl Parallel {
    /// Whether the other side may see a copy of such a request.
    pub fn copies(&self, method: &[u8], route: Option<&PathTemplate>) -> bool {
        let named = |methods: &[String]| methods.iter().any(|own| own.as_bytes() == method);
        named(&self.methods) || self.writes.iter().any(|own| Some(&own.path) == route && named(&own.methods))
    }
}

impl Default for Parallel {
    fn default() -> Self {
        let methods = ["GET", "HEAD", "OPTIONS"].map(String::from).to_vec();
        Self { serve: Side::Legacy, share: BasisPoints::ALL, methods, writes: Vec::new() }
    }
}

/// The state a migration gets when the store has none for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Initial {
    pub mode: Mode,
    pub share: BasisPoints,
}

/// The names an operator gave the sides (TypeScript, Python); shown, and accepted by the story routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    pub legacy: String,
    pub new: String,
}

impl Labels {
    pub fn of(&self, side: Side) -> &str {
        match side {
            Side::Legacy => &self.legacy,
            Side::New => &self.new,
        }
    }
}

/// Everything the file says about one migration that a decision or an operator needs.
#[derive(Clone, Debug)]
pub struct Migration {
    pub id: MigrationId,
    pub labels: Labels,
    /// The names of the upstreams behind the sides; resolved by the data plane.
    pub legacy: String,
    pub new: String,
    /// Shared by the migrations that have the same one, as most of a file have.
    pub key: Arc<[KeySource]>,
    pub on_missing_key: OnMissingKey,
    pub hash: HashKind,
    /// Migrations of one program share a salt, so that a key is on the same side in all of them.
    pub program: Option<String>,
    pub initial: Initial,
    pub rules: Vec<Rule>,
    /// Migrations on whose new side a key must be before it may be on this one's.
    pub requires: Vec<MigrationId>,
    pub unsafe_methods: UnsafeMethods,
    pub parallel: Parallel,
    pub guard: Guard,
    pub fallback: Fallback,
    /// Plain keys of Redis that tell mode and percentage to code that knows no migrations.
    pub mirror_keys: Option<MirrorKeys>,
    /// The migration that the story routes (`/migration/…`) act on.
    pub default: bool,
    pub reversible: bool,
    /// Whether `emergency_rollback` also overrides pins to new; true unless the file says otherwise.
    pub override_pins: bool,
}

impl Migration {
    /// A migration with the defaults of the file format.
    pub fn new(id: MigrationId, legacy: impl Into<String>, new: impl Into<String>) -> Self {
        let (legacy, new) = (legacy.into(), new.into());
        Self {
            id,
            labels: Labels { legacy: legacy.clone(), new: new.clone() },
            legacy,
            new,
            key: Arc::default(),
            on_missing_key: OnMissingKey::default(),
            hash: HashKind::default(),
            program: None,
            initial: Initial { mode: Mode::LegacyOnly, share: BasisPoints::ZERO },
            rules: Vec::new(),
            requires: Vec::new(),
            unsafe_methods: UnsafeMethods::default(),
            parallel: Parallel::default(),
            guard: Guard::default(),
            fallback: Fallback::default(),
            mirror_keys: None,
            default: false,
            reversible: true,
            override_pins: true,
        }
    }

    /// The salt a new state document starts with. It is frozen in the document from then on.
    pub fn salt(&self) -> &str {
        self.program.as_deref().unwrap_or(self.id.as_str())
    }

    pub fn upstream(&self, side: Side) -> &str {
        match side {
            Side::Legacy => &self.legacy,
            Side::New => &self.new,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, valid: bool) {
        assert_eq!(MigrationId::new(text).is_ok(), valid, "{text:?}");
    }

    #[test]
    fn ids_are_url_and_label_safe() {
        for text in ["a", "0", "sessions", "a.b_c-d", &"x".repeat(63)] {
            check(text, true);
        }
        for text in ["", "-a", ".a", "_a", "A", "a/b", "a b", "ä", "a\n", &"x".repeat(64)] {
            check(text, false);
        }
    }

    #[test]
    fn a_refused_id_cannot_forge_a_log_line() {
        let error = MigrationId::new("a\nINFO forged").unwrap_err().to_string();
        assert!(!error.contains('\n'), "{error}");
    }
}
