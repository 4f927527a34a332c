//! Issues that arrive as webhooks: what they are called, and what is said of them.
//!
//! # Why a ledger
//!
//! Whoever sends a webhook waits seconds for an answer and does not send again. So an event that was answered with
//! success must be kept until it has been delivered, and an issue must have one owner however many routers deliver: both
//! are matters of one durable record for each issue, and of rules that every store keeps alike.
//!
//! - [`rules`] says what becomes of one record, [`book`] what a call does to all of them: pure, and the same in every
//!   store;
//! - [`crate::store::ledger`] keeps the records, and is the only way to them.
//!
//! Deliberately not supported: an order between issues, and delivery exactly once. A system gets an event at least
//! once, each time with the same [`DeliveryId`].

pub mod book;
mod names;
pub mod past;
pub mod rules;
pub mod view;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bucket::{BasisPoints, Bucket};
use crate::migration::Side;
use crate::mode::Mode;

pub use self::names::{DeliveryId, InvalidName, IssueId, IssueLane, Lane};

/// The longest name of an issue, in bytes.
pub const ISSUE_BYTES_MAX: usize = 256;

/// The longest name of a delivery, in bytes.
pub const DELIVERY_BYTES_MAX: usize = 128;

/// The largest body of an event, in bytes.
pub const BODY_BYTES_MAX: usize = 25 * 1024 * 1024;

/// All headers of an event together, in bytes.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;

/// Events of one issue that wait at the same time.
pub const QUEUE_MAX: u32 = 1_000;

/// Events of one migration that wait at the same time.
pub const WAITING_MAX: u64 = 1_000_000;

/// How long a delivery is known, so that a second one is told apart, in seconds: 8 days.
pub const DELIVERY_KNOWN_S: u64 = 8 * 24 * 60 * 60;

/// One event as it came, signature checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Delivery {
    pub id: DeliveryId,
    pub issue: IssueId,
    /// What happened, as the sender says (`opened`); no more than a word for screens.
    pub action: String,
    pub body_sha256: [u8; 32],
    /// Those that go on to the system: signature, event, content type.
    pub headers: Vec<(String, String)>,
    /// Byte for byte.
    pub body: Vec<u8>,
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, issue, action, body, .. } = self;
        write!(f, "Delivery({id} of {issue}, {action:?}, {} bytes)", body.len())
    }
}

/// Who is to get an issue that nobody owns yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    One(Side),
    /// Parallel mode: each side has a record of its own.
    Both,
}

/// What was decided about an issue, and on what; it holds only where the issue has no owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    pub to: Placed,
    pub mode: Mode,
    pub share: BasisPoints,
    pub bucket: Option<Bucket>,
    /// Of the snapshot it was decided on. One from before a rollback is placed on legacy.
    pub revision: u64,
}

/// Whose an issue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Ownership {
    pub lane: Lane,
    pub owner: Side,
    pub epoch: u64,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is kept, and goes to these.
    New(Vec<Ownership>),
    /// The same event was kept before; nothing is done.
    Duplicate(Vec<Ownership>),
    /// Another delivery had the same body, and ids are not signed; nothing is done. To be counted.
    SameBody,
    /// The id was used for another body; nothing is done. To be quarantined.
    Conflict,
    /// As much waits as may; nothing is done, and the sender is to try again.
    Full(&'static str),
}

/// What a system answered, or what happened instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// 2xx: the system has it.
    Accepted,
    /// 409: the system has it already and works on it; the outcome is awaited.
    InProgress,
    /// Certainly not: nothing was sent, or 503 or 429 with `Crossfade-Not-Accepted: 1`.
    NotAccepted,
    /// Another 4xx: it will never take this.
    Rejected,
    /// A time-out, a reset after something was sent, another 5xx: it may have it.
    Ambiguous,
}

impl Answer {
    pub const ALL: [Self; 5] = [Self::Accepted, Self::InProgress, Self::NotAccepted, Self::Rejected, Self::Ambiguous];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::InProgress => "in_progress",
            Self::NotAccepted => "not_accepted",
            Self::Rejected => "rejected",
            Self::Ambiguous => "ambiguous",
        }
    }
}

/// `Crossfade-Fence: <generation>.<epoch>`: by it a system tells an order of its own from one that was taken away.
///
/// The generation is the ledger's: a ledger that was lost and begun anew has a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence {
    pub generation: u64,
    pub epoch: u64,
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.generation, self.epoch)
    }
}

impl Fence {
    pub fn parse(text: &str) -> Option<Self> {
        let (generation, epoch) = text.split_once('.')?;
        let number = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit()).then(|| word.parse().ok()).flatten();
        Some(Self { generation: number(generation)?, epoch: number(epoch)? })
    }
}

/// What a router holds while it sends one event: nobody else sends one of this issue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    pub at: IssueLane,
    /// Each claim of an issue has its own; an answer under an older one changes nothing.
    pub token: u64,
}

/// An event to be sent now, before [`rules::CLAIM_MS`] are over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    pub claim: Claim,
    pub owner: Side,
    pub fence: Fence,
    /// The first is 1.
    pub attempt: u32,
    pub delivery: Delivery,
    /// Since 1970.
    pub received_ms: u64,
}

/// What followed from an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Settled {
    Delivered,
    /// The same again, to the same system, no earlier than then.
    Again {
        at_ms: u64,
    },
    /// It was certainly not accepted, and the issue is this side's now: after three tries, or because a move waited.
    Reassigned {
        to: Side,
        epoch: u64,
    },
    /// Tried as often as it is: it and its issue wait for a person.
    Dead,
    /// The system refused it: it and its issue wait for a person.
    Parked,
    /// The claim is no longer the newest; nothing was changed.
    Fenced,
}

/// What a system says about an issue of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub issue: IssueId,
    /// Who says it.
    pub side: Side,
    pub epoch: u64,
    pub word: Word,
    /// The event that it is about; without it a report that comes late or twice may be taken for news of a later event.
    pub delivery: Option<DeliveryId>,
    /// The name of its work, for screens.
    pub workflow: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Word {
    /// It works on; `max_ms` is the longest that it will be silent for, where it says so.
    Heartbeat { max_ms: Option<u64> },
    /// It has ended, well or not, and does nothing more until it gets another event.
    Ended { success: Option<bool> },
}

/// What a report did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reported {
    /// The lease holds until then.
    Renewed {
        until_ms: u64,
    },
    Ended,
    /// It has ended, and a move that waited for it is made.
    HandedOver {
        to: Side,
        epoch: u64,
    },
    /// The reporter does not own the issue. Another side is a split brain: two systems may work on one issue.
    Fenced {
        owner: Side,
        epoch: u64,
        split_brain: bool,
    },
    Unknown,
}

/// Why an issue may go to the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// By itself: where nobody can be working on it.
    Safe,
    /// A person says that nobody works on it.
    Operator,
}

/// What became of a handoff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Handed {
    Over {
        epoch: u64,
    },
    /// It is made as soon as the owner reports its end or its lease has run out.
    Waiting {
        lease_until_ms: u64,
    },
    /// An event is being sent right now; try again after this.
    Busy {
        until_ms: u64,
    },
    /// It belongs to that side already.
    Already,
    /// The epoch is another by now.
    Fenced {
        epoch: u64,
    },
    /// A record of parallel mode stays where it is.
    Parallel,
    Unknown,
}

/// The answer of `…/fence`: whether an epoch is the present one of a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    pub lane: Lane,
    pub owner: Side,
    pub epoch: u64,
    pub generation: u64,
}
