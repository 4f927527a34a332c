//! What only the running router can do about webhooks that never arrived: ask whoever sent them.
//!
//! The data plane implements [`Reconcile`]. Not here: when it is asked without a person, which the fleet arranges.

use std::time::Duration;

use async_trait::async_trait;
use flags::MigrationId;
use flags::ledger::IssueId;
use jiff::Timestamp;

/// Asks the sender of a migration's webhooks.
#[async_trait]
pub trait Reconcile: Send + Sync + 'static {
    /// What never arrived, asked for again unless it is a dry run. Takes as long as the sender does, a minute at most.
    async fn ask(&self, migration: &MigrationId, dry_run: bool) -> Result<Found, NotAsked>;
}

/// What the sender told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub lost: Vec<Lost>,
    /// Issues that were changed and that the ledger does not know.
    pub unknown: Vec<IssueId>,
    /// There is more than is told, or than is asked for at once.
    pub more: bool,
}

/// A delivery that never arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    pub repository: String,
    pub delivery: String,
    pub action: Option<String>,
    /// The sender's newest try, and what came of it; 0: no answer.
    pub tried: Timestamp,
    pub status: u16,
    /// What the sender said to the request for it; none in a dry run.
    pub answered: Option<u16>,
}

/// Why the sender was not asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotAsked {
    /// The file does not say whom to ask.
    NotSet,
    /// It wants to hear nothing for so long.
    Silent(Duration),
    Failed(String),
}
