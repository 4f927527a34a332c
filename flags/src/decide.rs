//! Decides which side serves a request and which one merely sees it.
//!
//! # Why a pure function
//!
//! The decision is the one thing operators must be able to replay: given a snapshot and the facts
//! of a request, every router on every day answers the same. So nothing here awaits, reads a clock,
//! rolls a die or touches the store. It does not allocate either, but for what a source must decode.
//!
//! # Order of precedence
//!
//! 1. The kill file of this router: legacy.
//! 2. `emergency_rollback`: legacy, for pinned keys too unless the file says otherwise.
//! 3. A prerequisite that does not have this key on its new side: legacy.
//! 4. A pin of the key.
//! 5. A rule of the file.
//! 6. Mode and percentage; 0 % is nobody and 100 % everybody, also without a key.
//! 7. A missing key: as the file says.
//!
//! The first that applies is recorded as the [`Reason`]; a request is never routed without one.
//! `decide` cannot fail: what could be wrong was refused when the [`Snapshot`] was built.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::bucket::Bucket;
use crate::key::{Claims, Request};
use crate::migration::{Migration, OnMissingKey, Side, UnsafeMethods};
use crate::mode::Mode;
use crate::snapshot::{MigrationIndex, Placed, Snapshot};
use crate::state::Revision;

/// What one request offers to a decision.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    pub migration: MigrationIndex,
    pub request: &'a dyn Request,
    /// The sticky key, extracted by [`crate::key::extract`] from the migration's sources.
    pub key: Option<&'a [u8]>,
    /// Seconds since the Unix epoch; judges pins and tokens.
    pub now: i64,
    /// An even random number, used only where the file asks for chance.
    pub chance: u32,
}

impl std::fmt::Debug for Facts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { migration, request: _, key, now, chance } = self;
        f.debug_struct("Facts")
            .field("migration", migration)
            .field("key", key)
            .field("now", now)
            .field("chance", chance)
            .finish()
    }
}

/// The precedence rule that decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    KillFile,
    EmergencyRollback,
    Prerequisite,
    Pin,
    Rule,
    Mode,
    Percent,
    MissingKey,
}

impl Reason {
    pub const ALL: [Self; 8] = [
        Self::KillFile,
        Self::EmergencyRollback,
        Self::Prerequisite,
        Self::Pin,
        Self::Rule,
        Self::Mode,
        Self::Percent,
        Self::MissingKey,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::KillFile => "kill_file",
            Self::EmergencyRollback => "emergency_rollback",
            Self::Prerequisite => "prerequisite",
            Self::Pin => "pin",
            Self::Rule => "rule",
            Self::Mode => "mode",
            Self::Percent => "percent",
            Self::MissingKey => "missing_key",
        }
    }
}

/// Who serves, who is mirrored to, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub serve: Side,
    pub mirror: Option<Side>,
    pub reason: Reason,
    /// Where the key stands, when there is one that the hash can place: by [`explain`] always, by [`decide`] in a mode that asks
    /// for it.
    pub bucket: Option<Bucket>,
    pub revision: Revision,
}

/// Decides one request of one migration.
pub fn decide(snapshot: &Snapshot, facts: &Facts<'_>) -> Decision {
    let placed = snapshot.placed(facts.migration);
    decide_at(snapshot, facts, if asks_for_bucket(placed) { bucket_of(placed, facts) } else { None })
}

/// The same decision with the bucket also where the mode does not ask for it: for whoever explains it, or counts by it.
pub fn explain(snapshot: &Snapshot, facts: &Facts<'_>) -> Decision {
    decide_at(snapshot, facts, bucket_of(snapshot.placed(facts.migration), facts))
}

fn decide_at(snapshot: &Snapshot, facts: &Facts<'_>, bucket: Option<Bucket>) -> Decision {
    let definition = snapshot.migration(facts.migration);
    let placed = snapshot.placed(facts.migration);
    let (serve, reason) = serve(snapshot, facts, bucket);
    let mirror = mirrors(definition, placed, facts, bucket, reason).then(|| serve.other());
    Decision { serve, mirror, reason, bucket, revision: placed.document.revision }
}

/// Hashing is most of what a decision costs, and a fixed mode does not need it.
const fn asks_for_bucket(placed: &Placed) -> bool {
    match placed.document.mode {
        Mode::Gradual | Mode::Parallel => true,
        Mode::LegacyOnly | Mode::NewOnly | Mode::EmergencyRollback => false,
    }
}

fn bucket_of(placed: &Placed, facts: &Facts<'_>) -> Option<Bucket> {
    facts.key.and_then(|key| placed.document.hash.place(&placed.document.salt, key))
}

fn serve(snapshot: &Snapshot, facts: &Facts<'_>, bucket: Option<Bucket>) -> (Side, Reason) {
    if snapshot.killed() {
        return (Side::Legacy, Reason::KillFile);
    }
    let (side, reason) = own_side(snapshot, facts, bucket);
    if reason == Reason::EmergencyRollback {
        return (side, reason);
    }
    let unmet = |required: &MigrationIndex| {
        let facts = Facts { migration: *required, ..*facts };
        let placed = snapshot.placed(*required);
        let bucket = if asks_for_bucket(placed) { bucket_of(placed, &facts) } else { None };
        own_side(snapshot, &facts, bucket).0 == Side::Legacy
    };
    if snapshot.prerequisites(facts.migration).iter().any(unmet) {
        return (Side::Legacy, Reason::Prerequisite);
    }
    (side, reason)
}

/// Where the migration itself puts the request, before prerequisites.
fn own_side(snapshot: &Snapshot, facts: &Facts<'_>, bucket: Option<Bucket>) -> (Side, Reason) {
    let definition = snapshot.migration(facts.migration);
    let placed = snapshot.placed(facts.migration);
    let pin = facts.key.and_then(|key| placed.pins.get(key)).filter(|pin| pin.applies_at(facts.now));
    if placed.rolled_back() {
        return match pin {
            Some(pin) if pin.side == Side::New && !definition.override_pins => (Side::New, Reason::Pin),
            _ => (Side::Legacy, Reason::EmergencyRollback),
        };
    }
    if let Some(pin) = pin {
        return (pin.side, Reason::Pin);
    }
    let claims = Claims { verifier: snapshot.verifier(), now: facts.now };
    if let Some(rule) = definition.rules.iter().find(|rule| rule.holds(facts.request, claims)) {
        return (rule.serve, Reason::Rule);
    }
    by_mode(definition, placed, facts, bucket)
}

fn by_mode(definition: &Migration, placed: &Placed, facts: &Facts<'_>, bucket: Option<Bucket>) -> (Side, Reason) {
    match placed.document.mode {
        Mode::LegacyOnly => (Side::Legacy, Reason::Mode),
        Mode::NewOnly => (Side::New, Reason::Mode),
        Mode::Parallel => (definition.parallel.serve, Reason::Mode),
        Mode::EmergencyRollback => (Side::Legacy, Reason::EmergencyRollback),
        Mode::Gradual => gradual(definition, placed, facts, bucket),
    }
}

fn gradual(definition: &Migration, placed: &Placed, facts: &Facts<'_>, bucket: Option<Bucket>) -> (Side, Reason) {
    let share = placed.document.share;
    if definition.unsafe_methods == UnsafeMethods::LegacyUntilNewOnly && !is_safe(facts.request.method()) {
        return (Side::Legacy, Reason::Mode);
    }
    let side = |admitted: bool| if admitted { Side::New } else { Side::Legacy };
    if share.is_an_end() {
        return (side(share.get() > 0), Reason::Percent);
    }
    match (bucket, definition.on_missing_key) {
        (Some(bucket), _) => (side(share.admits(bucket)), Reason::Percent),
        (None, OnMissingKey::Legacy) => (Side::Legacy, Reason::MissingKey),
        (None, OnMissingKey::New) => (Side::New, Reason::MissingKey),
        (None, OnMissingKey::Random) => (side(share.admits(Bucket::from_hash(facts.chance))), Reason::MissingKey),
    }
}

/// Whether the other side sees a copy. Never where this router must spare new or new is not ready.
fn mirrors(definition: &Migration, placed: &Placed, facts: &Facts<'_>, bucket: Option<Bucket>, reason: Reason) -> bool {
    let eligible_reason = match reason {
        Reason::KillFile | Reason::EmergencyRollback | Reason::Prerequisite => false,
        Reason::Pin | Reason::Rule | Reason::Mode | Reason::Percent | Reason::MissingKey => true,
    };
    let parallel = &definition.parallel;
    placed.document.mode == Mode::Parallel
        && eligible_reason
        && parallel.copies(facts.request.method(), facts.request.template())
        && parallel.share.admits(bucket.unwrap_or_else(|| Bucket::from_hash(facts.chance)))
}

/// RFC 9110 section 9.2.1, without TRACE, which is never forwarded.
pub fn is_safe(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD" | b"OPTIONS")
}
