//! What the log and the counters are told of the issues of one migration.
//!
//! Text that somebody else chose is written so that it cannot forge a line; what a stranger can cause at will is counted and
//! not written.

use std::sync::Arc;
use std::time::Duration;

use flags::control::ControlError;
use flags::ledger::rules::Parked;
use flags::ledger::view::{DeadLetter, Totals};
use flags::ledger::{Answer, Claimed, DeliveryId, IssueId, Settled};
use flags::store::StoreError;
use flags::{MigrationId, Side};
use metrics::events::Untrusted;
use metrics::events::{
    DeliveryAskedFor, DeliveryTried, IssueHandedOver, IssueMovedOn, IssueParked, IssueUnheardOf, IssuesHeld,
    IssuesSent, JournalAlone, JournalFailed, JournalGiven, SenderNotAsked, SenderSilenced, WebhookNotKept,
    WebhookQuarantined, WebhookRefused, WebhookRepeated,
};
use metrics::observe::{Arrival, Observer, Unsigned, WebhookCells};
use tracing::{debug, error, info, warn};

use super::journal::{NotKept, Recovered};
use super::reconcile::Found;

pub(crate) struct Told {
    migration: MigrationId,
    observer: Arc<Observer>,
    cells: Arc<WebhookCells>,
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Told").field("migration", &self.migration).finish_non_exhaustive()
    }
}

impl Told {
    pub(crate) fn new(migration: MigrationId, observer: Arc<Observer>) -> Self {
        let cells = observer.declare_webhooks(&migration);
        Self { migration, observer, cells }
    }

    pub(crate) fn came(&self, what: Arrival) {
        self.observer.issues().arrived(&self.migration, what);
    }

    /// How the ledger stands, for all routers.
    pub(crate) fn stands(&self, totals: &Totals) {
        self.observer.issues().stands(&self.migration, totals);
    }

    /// Anybody can send these, so they leave no line.
    pub(crate) fn unsigned(&self, why: Unsigned) {
        self.came(Arrival::Unsigned);
        self.cells.unsigned(why);
    }

    pub(crate) fn journal(&self, bytes: u64, away: bool) {
        self.cells.journal(bytes, away);
    }

    pub(crate) fn same_body(&self, delivery: &DeliveryId) {
        WebhookRepeated { migration: &self.migration, delivery }.emit(self.observer.issues());
    }

    pub(crate) fn full(&self, what: &str) {
        WebhookRefused { migration: &self.migration, what }.emit(self.observer.issues());
    }

    pub(crate) fn quarantined(&self, reason: &str, detail: &str, delivery: Option<&str>) {
        WebhookQuarantined { migration: &self.migration, reason, detail, delivery }.emit(self.observer.issues());
    }

    pub(crate) fn not_quarantined(&self, error: &StoreError) {
        error!(migration = %self.migration, %error, "what belongs in quarantine could not be kept there");
    }

    pub(crate) fn not_kept(&self, problem: &NotKept) {
        WebhookNotKept { migration: &self.migration, problem }.emit(self.observer.issues());
    }

    pub(crate) fn away(&self, error: &StoreError) {
        JournalAlone { migration: &self.migration, error }.emit(&self.cells);
    }

    pub(crate) fn still_away(&self, error: &StoreError) {
        debug!(migration = %self.migration, %error, "the journal waits for the store");
    }

    pub(crate) fn back(&self) {
        JournalGiven { migration: &self.migration }.emit(&self.cells);
    }

    pub(crate) fn drained(&self, new: u64) {
        if new > 0 {
            info!(migration = %self.migration, new, "webhooks of the journal are in the store");
        }
    }

    pub(crate) fn found_lost(&self, lost: u64) {
        error!(migration = %self.migration, lost, "the store had lost webhooks that it had taken; they are there again");
    }

    pub(crate) fn unreadable(&self, error: &std::io::Error) {
        JournalFailed { migration: &self.migration, problem: error }.emit(&self.cells);
    }

    /// The store has it, but not on its disk yet, and the journal has it not.
    pub(crate) fn not_journalled(&self, problem: &NotKept) {
        JournalFailed { migration: &self.migration, problem }.emit(&self.cells);
    }

    pub(crate) fn recovered(&self, recovered: &Recovered) {
        let Recovered { entries, damaged, torn } = recovered;
        if *entries > 0 || *torn > 0 {
            info!(migration = %self.migration, entries, torn, "the journal of an earlier run goes to the store first");
        }
        for path in damaged {
            error!(
                migration = %self.migration, file = %path.display(),
                "a part of the journal was damaged on its disk: what could be read goes to the store, the file is kept for you"
            );
        }
    }

    pub(crate) fn refused(&self, refusal: &str) {
        error!(migration = %self.migration, refusal, "the store may not hold issues");
    }

    pub(crate) fn warned(&self, warning: &str) {
        warn!(migration = %self.migration, warning, "the store and issues");
    }

    pub(crate) fn tried(&self, claimed: &Claimed, answer: Answer, words: &str, took: Duration) {
        DeliveryTried { migration: &self.migration, claimed, answer, words, took }.emit(self.observer.issues());
    }

    pub(crate) fn settled(&self, claimed: &Claimed, settled: Settled) {
        let parked = |why| {
            let (at, delivery) = (claimed.claim.at.clone(), claimed.delivery.id.clone());
            self.parked(&DeadLetter { at, owner: claimed.owner, delivery, why, since_ms: claimed.received_ms });
        };
        match settled {
            Settled::Delivered | Settled::Again { .. } => {}
            Settled::Reassigned { to, epoch } => self.moved(&claimed.delivery.issue, to, epoch),
            Settled::Dead => parked(Parked::Dead),
            Settled::Parked => parked(Parked::Rejected),
            Settled::Fenced => {
                let issue = Untrusted(claimed.delivery.issue.as_str());
                warn!(migration = %self.migration, %issue, "an answer came too late: the delivery is somebody else's by now");
            }
        }
    }

    pub(crate) fn parked(&self, letter: &DeadLetter) {
        IssueParked { migration: &self.migration, letter }.emit(self.observer.issues());
    }

    pub(crate) fn moved(&self, issue: &IssueId, to: Side, epoch: u64) {
        IssueHandedOver { migration: &self.migration, issue, to, epoch }.emit(self.observer.issues());
    }

    /// Moves that waited and have become safe.
    pub(crate) fn moved_on(&self, to: Side) {
        IssueMovedOn { migration: &self.migration, to }.emit(self.observer.issues());
    }

    pub(crate) fn reassigned(&self, moved: u64, waiting: u64) {
        warn!(migration = %self.migration, moved, waiting, "after the rollback issues went to legacy, or wait until nobody works on them");
    }

    pub(crate) fn unsettled(&self, delivery: &DeliveryId, error: &StoreError) {
        let delivery = Untrusted(delivery.as_str());
        warn!(migration = %self.migration, %delivery, %error, "what came of a delivery could not be told to the store: it is sent again");
    }

    pub(crate) fn undispatched(&self, error: &StoreError) {
        debug!(migration = %self.migration, %error, "nothing is sent on while the store does not answer");
    }

    pub(crate) fn held(&self, error: &StoreError) {
        IssuesHeld { migration: &self.migration, error }.emit(&self.cells);
    }

    pub(crate) fn sent_again(&self) {
        IssuesSent { migration: &self.migration }.emit(&self.cells);
    }

    pub(crate) fn redelivered(&self, delivery: &str, status: u16) {
        DeliveryAskedFor { migration: &self.migration, delivery, status }.emit(&self.cells);
    }

    pub(crate) fn unknown(&self, issue: &IssueId) {
        IssueUnheardOf { migration: &self.migration, issue }.emit(&self.cells);
    }

    pub(crate) fn reconciled(&self, found: &Found) {
        let Found { lost, unknown, more } = found;
        debug!(migration = %self.migration, lost = lost.len(), unknown = unknown.len(), more, "compared with the sender");
    }

    pub(crate) fn silenced(&self, pause: Duration) {
        SenderSilenced { migration: &self.migration, pause }.emit(&self.cells);
    }

    pub(crate) fn unreconciled(&self, error: &str) {
        SenderNotAsked { migration: &self.migration, error }.emit(&self.cells);
    }

    pub(crate) fn rolled_back(&self, why: &str) {
        let why = Untrusted(why);
        warn!(migration = %self.migration, %why, "rolled back: new did not accept its issues");
    }

    pub(crate) fn not_rolled_back(&self, error: &ControlError) {
        error!(migration = %self.migration, %error, "new does not accept its issues, and the rollback failed");
    }
}
