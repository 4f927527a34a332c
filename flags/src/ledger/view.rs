//! The ledger as people see it: what is where, since when and why.
//!
//! Plain values, read and never written back. What they are called on the wire is the matter of who shows them.

use serde::{Deserialize, Serialize};

use super::rules::{Parked, Record, State};
use super::{DeliveryId, IssueLane, Lane};
use crate::migration::Side;

/// Records that one page has.
pub const PAGE_MAX: usize = 200;

/// What happened that one issue's page tells.
pub const EVENTS_SHOWN_MAX: usize = 50;

/// One record with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub at: IssueLane,
    pub record: Record,
    /// Since when its first waiting event waits.
    pub oldest_ms: Option<u64>,
}

/// All that is known of an issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub generation: u64,
    /// The store's clock, by which everything else is told.
    pub now_ms: u64,
    pub records: Vec<ShownLane>,
    /// Newest first; those that are still kept.
    pub events: Vec<Event>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownLane {
    pub listed: Listed,
    /// The first of its events that wait, oldest first.
    pub waiting: Vec<DeliveryId>,
}

/// Which records are listed, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub state: Option<State>,
    pub owner: Option<Side>,
    /// Only issues whose name begins so.
    pub prefix: String,
    /// As [`Page::next`] said.
    pub after: Option<String>,
    /// [`PAGE_MAX`] at most.
    pub limit: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub records: Vec<Listed>,
    /// There may be more behind this.
    pub next: Option<String>,
}

/// The whole ledger in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Records in each state and with each owner; those that are not named are none.
    pub records: Vec<(State, Side, u64)>,
    /// Events that wait, those that are being sent and those that wait for a person too.
    pub waiting: u64,
    /// Since when the oldest of them waits.
    pub oldest_ms: Option<u64>,
    /// Events that wait for a person.
    pub dead: u64,
    pub quarantined: u64,
    /// Records with a lease that holds.
    pub leased: u64,
    /// Leases that have run out without a word.
    pub lapsed: u64,
    /// The store's clock.
    pub now_ms: u64,
}

/// One event that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    pub at: IssueLane,
    pub owner: Side,
    pub delivery: DeliveryId,
    pub why: Parked,
    pub since_ms: u64,
}

/// What to replay or to discard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The event for which one issue waits, in each of its records.
    Issue(super::IssueId),
    /// All dead letters, or those of this kind; [`PAGE_MAX`] at most with one call.
    All(Option<Parked>),
}

/// What a replay or a discarding did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    pub letters: Vec<DeadLetter>,
    /// There are more than one call takes.
    pub more: bool,
}

/// Something that could not become a delivery, with its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// Given by the store.
    #[serde(default)]
    pub id: String,
    #[serde(default)]
    pub at_ms: u64,
    /// From a closed set: `not_json`, `no_key`, `conflict`, ….
    pub reason: String,
    /// In words for an operator.
    pub detail: String,
    pub delivery: Option<String>,
    pub headers: Vec<(String, String)>,
    /// As text, cut at [`QUARANTINED_BYTES_MAX`].
    pub body: String,
    pub body_bytes: u64,
}

/// What of a quarantined body is kept, in bytes.
pub const QUARANTINED_BYTES_MAX: usize = 16 * 1024;

/// What is kept in quarantine; the oldest goes for the newest.
pub const QUARANTINE_MAX: usize = 1_000;

/// What happened, in the order of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub at_ms: u64,
    pub lane: Option<Lane>,
    pub issue: Option<super::IssueId>,
    pub what: What,
    /// A delivery, an answer, a side: what belongs to it.
    pub detail: String,
    /// Who, where a person did it.
    pub actor: Option<String>,
    pub reason: Option<String>,
}

/// Kinds of events, a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    Pinned,
    Received,
    Delivered,
    Failed,
    HandedOver,
    HandoffAsked,
    Parked,
    Dead,
    Ended,
    SplitBrain,
    Replayed,
    /// It was delivered, and a person wants it sent once more.
    Resent,
    /// It was to be sent once more, and its issue has gone to the other side since.
    PassedOver,
    Discarded,
}

impl What {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pinned => "pinned",
            Self::Received => "received",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::HandedOver => "handed_over",
            Self::HandoffAsked => "handoff_asked",
            Self::Parked => "parked",
            Self::Dead => "dead",
            Self::Ended => "ended",
            Self::SplitBrain => "split_brain",
            Self::Replayed => "replayed",
            Self::Resent => "resent",
            Self::PassedOver => "passed_over",
            Self::Discarded => "discarded",
        }
    }
}
