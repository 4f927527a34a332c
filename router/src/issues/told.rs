//! What the log and the counters are told of the issues of one migration.
//!
//! Text that somebody else chose is written so that it cannot forge a line; what a stranger can cause at will is counted and
//! not written.

use std::sync::Arc;
use std::time::Duration;

use flags::control::ControlError;
use flags::ledger::rules::Parked;
use flags::ledger::{Answer, Claimed, DeliveryId, IssueLane, Settled};
use flags::store::StoreError;
use flags::{MigrationId, Side};
use metrics::events::Untrusted;
use metrics::observe::Observer;
use tracing::{debug, error, info, warn};

use super::journal::{NotKept, Recovered};
use super::signature::Unsigned;

#[derive(Clone)]
pub(crate) struct Told {
    migration: MigrationId,
    observer: Arc<Observer>,
}

impl Told {
    pub(crate) fn new(migration: MigrationId, observer: Arc<Observer>) -> Self {
        Self { migration, observer }
    }

    pub(crate) fn accepted(&self) {}

    pub(crate) fn duplicate(&self) {}

    pub(crate) fn journalled(&self) {}

    pub(crate) fn ignored(&self, _action: Option<&str>) {}

    pub(crate) fn unsigned(&self, _why: Unsigned) {}

    pub(crate) fn too_fast(&self) {}

    pub(crate) fn same_body(&self, delivery: &DeliveryId) {
        let delivery = Untrusted(delivery.as_str());
        info!(migration = %self.migration, %delivery, "a webhook had the body of another one, and is not delivered twice");
    }

    pub(crate) fn full(&self, what: &str) {
        warn!(migration = %self.migration, what, "no further webhook is taken: as much waits as may");
    }

    pub(crate) fn quarantined(&self, reason: &str, detail: &str, delivery: Option<&str>) {
        let (detail, delivery) = (Untrusted(detail), Untrusted(delivery.unwrap_or_default()));
        warn!(migration = %self.migration, reason, %detail, %delivery, "a webhook is in quarantine: crossfade issues quarantine");
    }

    pub(crate) fn not_quarantined(&self, error: &StoreError) {
        error!(migration = %self.migration, %error, "what belongs in quarantine could not be kept there");
    }

    pub(crate) fn not_kept(&self, problem: &NotKept) {
        error!(migration = %self.migration, %problem, "a webhook could be kept nowhere and was answered with 503");
    }

    pub(crate) fn away(&self, error: &StoreError) {
        warn!(migration = %self.migration, %error, "webhooks go to the journal until the store answers, and none is sent on");
    }

    pub(crate) fn still_away(&self, error: &StoreError) {
        debug!(migration = %self.migration, %error, "the journal waits for the store");
    }

    pub(crate) fn back(&self) {
        info!(migration = %self.migration, "the store has all of the journal: webhooks go to it again");
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
        error!(migration = %self.migration, %error, "the journal cannot be read or removed: look at its disk");
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
        let Claimed { owner, attempt, delivery, .. } = claimed;
        let (id, issue) = (Untrusted(delivery.id.as_str()), Untrusted(delivery.issue.as_str()));
        let answer_name = answer.name();
        let took_ms = took.as_millis();
        match answer {
            Answer::Accepted | Answer::InProgress => {
                debug!(migration = %self.migration, side = owner.name(), delivery = %id, %issue, attempt, took_ms, "delivered");
            }
            Answer::NotAccepted | Answer::Rejected | Answer::Ambiguous => {
                let words = Untrusted(words);
                warn!(
                    migration = %self.migration, side = owner.name(), delivery = %id, %issue, attempt, took_ms,
                    answer = answer_name, %words, "not delivered yet"
                );
            }
        }
    }

    pub(crate) fn settled(&self, claimed: &Claimed, settled: Settled) {
        let issue = Untrusted(claimed.delivery.issue.as_str());
        match settled {
            Settled::Delivered | Settled::Again { .. } => {}
            Settled::Reassigned { to, epoch } => {
                self.moved(to);
                warn!(migration = %self.migration, %issue, to = to.name(), epoch, "an issue goes to the other side: it was certainly not accepted");
            }
            Settled::Dead => self.parked(&claimed.claim.at, Parked::Dead),
            Settled::Parked => self.parked(&claimed.claim.at, Parked::Rejected),
            Settled::Fenced => {
                warn!(migration = %self.migration, %issue, "an answer came too late: the delivery is somebody else's by now");
            }
        }
    }

    pub(crate) fn parked(&self, at: &IssueLane, why: Parked) {
        let issue = Untrusted(at.issue.as_str());
        error!(migration = %self.migration, %issue, why = why.name(), "an issue waits for a person: crossfade issues show");
    }

    pub(crate) fn moved(&self, _to: Side) {}

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

    pub(crate) fn rolled_back(&self, why: &str) {
        let why = Untrusted(why);
        warn!(migration = %self.migration, %why, "rolled back: new did not accept its issues");
    }

    pub(crate) fn not_rolled_back(&self, error: &ControlError) {
        error!(migration = %self.migration, %error, "new does not accept its issues, and the rollback failed");
    }
}
