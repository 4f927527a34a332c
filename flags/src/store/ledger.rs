//! The ledger of issues: where their records are kept, and the only way to them.
//!
//! # Why every call is one atomic step
//!
//! Routers die between any two calls. So whatever belongs together is one call: to tell a delivery apart, to keep it and
//! to give its issue an owner; to take an event and to keep others from it; to know an answer and to let the next event
//! go. What follows from each is told in [`crate::ledger::rules`], and times are the store's own.
//!
//! # What is kept
//!
//! Bodies until they are delivered and [`BODY_KEPT_S`] besides, so that they can be replayed; deliveries' ids for
//! [`DELIVERY_KNOWN_S`](crate::ledger::DELIVERY_KNOWN_S); issues that have ended as a few words, until they are trimmed;
//! the newest [`EVENTS_MAX`] events. What a store holds is bounded by
//! [`WAITING_MAX`](crate::ledger::WAITING_MAX) events that wait and by the policy of trimming.
//!
//! Not here: when anything is sent, and by whom.

use async_trait::async_trait;

use super::StoreError;
use crate::ledger::past::{Again, Delivered, LOOKED_MAX as PAST_MAX, Past, RESENT_MAX};
use crate::ledger::view::{Choice, DeadLetter, Event, Filter, Page, Quarantined, Shown, Totals, Touched};
use crate::ledger::{
    Accepted, Answer, Claim, Claimed, Delivery, DeliveryId, Handed, IssueId, Placement, Report, Reported, Settled,
    Standing, Why,
};
use crate::migration::{MigrationId, Side};
use crate::mode::Mode;

/// How long a body is kept after its event was delivered, in seconds: a day.
pub const BODY_KEPT_S: u64 = 24 * 60 * 60;

/// What happened that is kept for one migration.
pub const EVENTS_MAX: usize = 100_000;

/// Events that one call of [`Ledger::claim`] answers.
pub const CLAIMS_MAX: usize = 256;

/// Bodies that one call of [`Ledger::claim`] answers stay below this together, but for the first.
pub const CLAIM_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Records that one call of [`Ledger::list`] looks at, and events that one of [`Ledger::show`] does.
pub const LOOKED_MAX: usize = 5_000;

/// Records waiting for a person that one call looks at.
pub use crate::ledger::book::LETTERS_MAX;

/// Records that one call of [`Ledger::roll_back`], [`Ledger::sweep`] or [`Ledger::trim`] looks at.
pub const STEP_MAX: usize = 500;

/// Whether a store may hold issues.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preflight {
    /// Why it may not, each with the setting to change.
    pub refusals: Vec<String>,
    /// What an operator should know.
    pub warnings: Vec<String>,
    /// How a write is confirmed.
    pub durability: Durability,
}

/// What is known of a write that a store has answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// It is on the disk of the store's server when the call returns.
    Synced,
    /// It is on the disk within about a second; [`Ledger::confirm`] waits for that.
    Soon,
    /// It is in memory, and nothing tells when it is anywhere else.
    #[default]
    Memory,
}

/// Who changes something by hand, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    pub actor: String,
    pub reason: String,
}

/// What was taken to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taking {
    /// The state is newer than the caller's; nothing is taken.
    Stale { actual: u64 },
    Taken {
        claims: Vec<Claimed>,
        /// What waits for a person from now on, because it was tried as often as it is.
        parked: Vec<DeadLetter>,
        /// Issues that went to another side, because that was wanted and has become safe.
        moved: Vec<Standing>,
    },
}

/// What one step of a rollback or a sweep did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    pub moved: u64,
    /// Moves that wait for the end of work or of a lease.
    pub waiting: u64,
    pub parked: u64,
    /// To be given to the next call, until it is none.
    pub next: Option<String>,
}

/// What is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Issues that ended longer ago than this.
    pub ended_s: u64,
    /// Of those that ended about as many stay at most; the oldest go.
    pub ended_max: u64,
    /// Issues that have had nothing to do for as long, whose owners did not say that they ended, count as ended.
    pub idle_s: u64,
}

impl Default for Policy {
    fn default() -> Self {
        const DAY_S: u64 = 24 * 60 * 60;
        Self { ended_s: 180 * DAY_S, ended_max: 2_000_000, idle_s: 7 * DAY_S }
    }
}

/// What one router of a fleet does for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Duty {
    /// Asks the sender what never arrived.
    Reconcile,
    /// Forgets what is old.
    Trim,
}

impl Duty {
    pub const ALL: [Self; 2] = [Self::Reconcile, Self::Trim];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Reconcile => "reconcile",
            Self::Trim => "trim",
        }
    }
}

/// The longest that a duty is one router's without another word of it: as long nobody does it when that one has died.
pub const DUTY_MS_MAX: u64 = 15 * 60 * 1_000;

/// The records of issues, by migration.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Whether this store may hold issues, asked once when a route needs it.
    async fn preflight(&self) -> Result<Preflight, StoreError>;

    /// Changes when the way to the store was renewed: whoever answers now may lack what was written last, although no call
    /// has failed.
    fn renewals(&self) -> u64 {
        0
    }

    /// Resolves once everything that calls before it have written is as durable as it gets, and says how durable that is.
    ///
    /// One call serves all that was written before it, so make one for many. With an append-only file that is synced
    /// every second it takes up to a second: answer from a journal of your own meanwhile.
    async fn confirm(&self) -> Result<Durability, StoreError>;

    /// Resolves once whoever may take over from the store's server has everything that calls before it have written; at once
    /// where nobody may. An error is that it has not, within a second or so.
    ///
    /// Whoever sends what it has claimed asks first: what is sent cannot be taken back, and would be sent again, or by two, if what
    /// it rests upon were lost.
    async fn copied(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Tells a delivery apart, keeps it, and gives its issue an owner if it has none: all of it, or nothing.
    ///
    /// After a rollback (`placement.mode`) an issue of new is moved as [`Ledger::roll_back`] would.
    async fn accept(
        &self,
        migration: &MigrationId,
        delivery: &Delivery,
        placement: &Placement,
    ) -> Result<Accepted, StoreError>;

    /// Takes events whose time has come, of as many issues of one side, for a router at this revision of the whole state.
    ///
    /// By side, so that a caller whose places are taken by one that hangs still takes for the other.
    async fn claim(
        &self,
        migration: &MigrationId,
        revision: u64,
        side: Side,
        limit: usize,
    ) -> Result<Taking, StoreError>;

    /// Says what a system answered to what was claimed; `detail` is for screens, without secrets.
    async fn settle(
        &self,
        migration: &MigrationId,
        claim: &Claim,
        answer: Answer,
        detail: &str,
    ) -> Result<Settled, StoreError>;

    /// A heartbeat or an end, as a system says it. A split brain is among the events.
    async fn report(&self, migration: &MigrationId, report: &Report) -> Result<Reported, StoreError>;

    /// Gives an issue to a side: as soon as that is safe, or at once where a person says that it is.
    async fn hand_over(
        &self,
        migration: &MigrationId,
        issue: &IssueId,
        epoch: u64,
        to: Side,
        person: Option<&Person>,
        why: Why,
    ) -> Result<Handed, StoreError>;

    /// Makes moves that wait and have become safe, for issues without events that would bring them up. Every few seconds.
    async fn sweep(&self, migration: &MigrationId) -> Result<Step, StoreError>;

    /// A step of an emergency rollback over all issues that have not ended; those that have are moved by their next event.
    ///
    /// From the first step on, nothing that was decided before `revision` is given to new.
    async fn roll_back(&self, migration: &MigrationId, revision: u64, after: Option<&str>) -> Result<Step, StoreError>;

    /// Whose an issue is now: one of them, or one for each side; none where it is not known.
    async fn standing(&self, migration: &MigrationId, issue: &IssueId) -> Result<Vec<Standing>, StoreError>;

    /// Issues that have not ended, by name.
    async fn list(&self, migration: &MigrationId, filter: &Filter) -> Result<Page, StoreError>;

    /// Everything about one issue, ended or not.
    async fn show(&self, migration: &MigrationId, issue: &IssueId) -> Result<Option<Shown>, StoreError>;

    async fn totals(&self, migration: &MigrationId) -> Result<Totals, StoreError>;

    /// Events that wait for a person, the oldest first.
    async fn dead_letters(&self, migration: &MigrationId, limit: usize) -> Result<Vec<DeadLetter>, StoreError>;

    /// Lets events that wait for a person be tried again; a dry run only tells which.
    async fn replay(
        &self,
        migration: &MigrationId,
        choice: &Choice,
        person: &Person,
        dry_run: bool,
    ) -> Result<Touched, StoreError>;

    /// Delivered events among the newest that happened, [`RESENT_MAX`] at most.
    async fn delivered(&self, migration: &MigrationId, past: &Past) -> Result<Delivered, StoreError> {
        let events = self.events(migration, false, PAST_MAX).await?;
        Ok(Delivered::among(&events, past, RESENT_MAX))
    }

    /// Sends delivered events once more, each to the system that had it and to no other, while their bodies are kept; a dry
    /// run only tells what would become of each. `as_of` is the mode, and the revision of the state that it is of.
    async fn resend(
        &self,
        migration: &MigrationId,
        deliveries: &[DeliveryId],
        as_of: (Mode, u64),
        person: &Person,
        dry_run: bool,
    ) -> Result<Vec<Again>, StoreError>;

    /// Gives up events that wait for a person; a dry run only tells which.
    async fn discard(
        &self,
        migration: &MigrationId,
        choice: &Choice,
        person: &Person,
        dry_run: bool,
    ) -> Result<Touched, StoreError>;

    /// Keeps what could not become a delivery, with its reason.
    async fn quarantine(&self, migration: &MigrationId, what: &Quarantined) -> Result<(), StoreError>;

    /// What is in quarantine, the newest first.
    async fn quarantined(&self, migration: &MigrationId, limit: usize) -> Result<Vec<Quarantined>, StoreError>;

    /// What happened, the newest first; with `by_people`, only what people did, of which more is kept.
    async fn events(&self, migration: &MigrationId, by_people: bool, limit: usize) -> Result<Vec<Event>, StoreError>;

    /// Takes a duty for so long, or keeps it for as long again; false while another router has it.
    async fn take_duty(
        &self,
        migration: &MigrationId,
        duty: Duty,
        holder: &str,
        for_ms: u64,
    ) -> Result<bool, StoreError>;

    /// Lets another router have a duty at once; another's is left alone.
    async fn leave_duty(&self, migration: &MigrationId, duty: Duty, holder: &str) -> Result<(), StoreError>;

    /// A step of forgetting; call it again with what it answered as `after` until that is none.
    async fn trim(
        &self,
        migration: &MigrationId,
        policy: &Policy,
        after: Option<&str>,
    ) -> Result<(u64, Option<String>), StoreError>;
}
