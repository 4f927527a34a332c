//! Why a change was not made, by what its caller does about it.

use jiff::Timestamp;
use thiserror::Error;

use crate::accepted::InvalidRule;
use crate::bucket::BasisPoints;
use crate::freeze::FreezeEntry;
use crate::migration::MigrationId;
use crate::mode;
use crate::state::{PIN_KEY_BYTES_MAX, PINS_MAX, REASON_BYTES_MAX, Revision};
use crate::store::StoreError;
use crate::store::records::RecordError;

#[derive(Debug, Error)]
pub enum ControlError {
    #[error("migration \"{0}\" is not defined: look at `crossfade status` for the names in the file")]
    Unknown(MigrationId),
    #[error(transparent)]
    InvalidReason(#[from] InvalidReason),
    #[error(transparent)]
    InvalidPin(#[from] InvalidPin),
    #[error(transparent)]
    InvalidRule(#[from] InvalidRule),
    #[error(
        "{0} % is not a whole percentage, and this migration's hash is `modulo`, which splits by whole percents only"
    )]
    NotWholePercent(BasisPoints),
    #[error(transparent)]
    Refused(#[from] mode::Refused),
    #[error(
        "revision {expected} is not the latest: \"{}\" changed this migration at {time} and it is at revision {actual} now; look at it again, then repeat the change with that revision",
        .actor.escape_debug()
    )]
    Stale { expected: Revision, actual: Revision, actor: String, time: Timestamp },
    #[error(
        "the previous change (revision {revision}) has not reached every live router, missing: {}; wait for them, or repeat the change with force",
        escaped(.replicas)
    )]
    NotConverged { revision: Revision, replicas: Vec<String> },
    #[error(
        "{0}, so that new gets no more traffic now: look at its evidence, then wait, or repeat the change with force"
    )]
    Held(String),
    #[error(
        "the environment is frozen {0}, so that nothing moves toward new: wait for its end, end it with `crossfade thaw` (DELETE /api/v1/freeze), or repeat the change with force"
    )]
    Frozen(FreezeEntry),
    #[error("a freeze lasts 1 minute to 30 days; without \"for\" (--for) it lasts until somebody thaws it")]
    InvalidFreeze,
    #[error("migration \"{0}\" has no change that could be undone")]
    NothingToUndo(MigrationId),
    #[error("the store has lost nothing that this router served, so there is nothing to write back")]
    NothingLost,
    #[error(
        "this router serves revision {revision} and others a newer one: {}; write their state back (ask one of them), or repeat with force and lose what they have more",
        escaped(.replicas)
    )]
    NotTheNewest { revision: Revision, replicas: Vec<String> },
    #[error("others kept changing the state while this change was tried {0} times; nothing was written, repeat it")]
    Busy(usize),
    #[error(
        "the store did not answer whether it wrote the change, so that it may be in force now or soon: look at `crossfade history` (of a freeze `crossfade status`) before you repeat it"
    )]
    Unconfirmed(#[source] StoreError),
    #[error(transparent)]
    NotRecorded(RecordError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is wrong with the words that every change carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidReason {
    #[error("a change needs a reason, so that the audit can say why: pass one (--reason TEXT)")]
    Blank,
    #[error("the reason is {0} bytes long; {REASON_BYTES_MAX} are recorded at most")]
    TooLong(usize),
    #[error("the reason contains a control character such as a line break; write it on one line")]
    ControlCharacter,
}

/// Why a key cannot be pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidPin {
    #[error("the key to pin is empty")]
    EmptyKey,
    #[error("the key to pin is {0} bytes long; {PIN_KEY_BYTES_MAX} are allowed")]
    KeyTooLong(usize),
    #[error("the pin would end at {0}, which is past")]
    AlreadyOver(Timestamp),
    #[error("this migration has {PINS_MAX} pins already; use a rule or a share for that many keys")]
    TooMany,
}

fn escaped(names: &[String]) -> String {
    names.iter().map(|name| format!("\"{}\"", name.escape_debug())).collect::<Vec<_>>().join(", ")
}
