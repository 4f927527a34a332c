//! What is asked of a migration, and what came of it.

use jiff::Timestamp;

use crate::accepted::{AcceptedRule, RuleChange};
use crate::bucket::BasisPoints;
use crate::migration::{MigrationId, Side};
use crate::mode::Mode;
use crate::state::{ChangeKind, PinChange, Position, Revision};

/// What somebody asks of one migration, and why.
#[derive(Clone, Debug)]
pub struct Change {
    pub ask: Ask,
    /// The token's name, `guard` or `plan`.
    pub actor: String,
    pub reason: String,
    /// The revision of the migration that the asker has seen; a rollback ignores it.
    pub if_revision: Option<Revision>,
    /// Answer what would happen and write nothing.
    pub dry_run: bool,
    /// Go ahead although routers have not applied the previous change, the guard has stopped progress or the environment
    /// is frozen.
    pub force: bool,
    pub evidence: Option<serde_json::Value>,
    /// Why new should get no more traffic now; refused then without `force`.
    pub held: Option<String>,
}

impl Change {
    pub fn new(ask: Ask, actor: impl Into<String>, reason: impl Into<String>) -> Self {
        let (actor, reason) = (actor.into(), reason.into());
        Self { ask, actor, reason, if_revision: None, dry_run: false, force: false, evidence: None, held: None }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    Mode(Mode),
    Rollout(BasisPoints),
    RollBack,
    /// Leave `emergency_rollback` to this mode.
    Acknowledge(Mode),
    Pin {
        key: String,
        side: Side,
        until: Option<Timestamp>,
    },
    Unpin {
        key: String,
    },
    /// Let a difference pass; what it means was checked by who asks. Its reason is that of the change.
    AcceptRule(AcceptedRule),
    RemoveRule {
        id: String,
    },
    /// The inverse of the newest change.
    Undo,
}

/// What a change did, with what it takes to print its inverse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    pub migration: MigrationId,
    /// The migration's revision after the change; without one, its present revision.
    pub revision: Revision,
    pub kind: ChangeKind,
    pub before: Position,
    pub after: Position,
    pub pin: Option<PinChange>,
    pub rule: Option<RuleChange>,
    pub dry_run: bool,
    /// False: the state already was as asked, and nothing was written.
    pub changed: bool,
    /// True: acts on this router only, until the store is back.
    pub here_only: bool,
}
