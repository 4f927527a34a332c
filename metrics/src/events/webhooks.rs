//! What happens to webhooks about issues on their way in, on their way on, and where they never arrived.
//!
//! Names and words in them are other people's, so they are written as text that cannot forge a line.

use std::fmt::{Debug, Display};
use std::time::Duration;

use flags::ledger::{Answer, Claimed, DeliveryId, IssueId};
use flags::{MigrationId, Side};
use tracing::{debug, error, info, warn};

use super::Untrusted;
use crate::observe::{Arrival, IssueCells, Reconciled, Turn, WebhookCells};

/// What can be told and looked at.
pub trait Told: Display + Debug {}

impl<T: Display + Debug> Told for T {}

/// A webhook had the body of another one; ids are not signed, so somebody may have sent a recording.
#[derive(Debug)]
pub struct WebhookRepeated<'a> {
    pub migration: &'a MigrationId,
    pub delivery: &'a DeliveryId,
}

impl WebhookRepeated<'_> {
    pub fn emit(self, cells: &IssueCells) {
        let Self { migration, delivery } = self;
        let delivery = Untrusted(delivery.as_str());
        info!(%migration, %delivery, "a webhook had the body of another one, and is not delivered twice");
        cells.arrived(migration, Arrival::SameBody);
    }
}

/// As much waits in the ledger as may, so a webhook was sent away.
#[derive(Debug)]
pub struct WebhookRefused<'a> {
    pub migration: &'a MigrationId,
    pub what: &'a str,
}

impl WebhookRefused<'_> {
    pub fn emit(self, cells: &IssueCells) {
        let Self { migration, what } = self;
        warn!(%migration, what, "no further webhook is taken: as much waits as may");
        cells.arrived(migration, Arrival::Refused);
    }
}

/// A webhook cannot become an event, and is kept with its reason.
#[derive(Debug)]
pub struct WebhookQuarantined<'a> {
    pub migration: &'a MigrationId,
    /// Of a closed set.
    pub reason: &'a str,
    pub detail: &'a str,
    pub delivery: Option<&'a str>,
}

impl WebhookQuarantined<'_> {
    pub fn emit(self, cells: &IssueCells) {
        let Self { migration, reason, detail, delivery } = self;
        let (detail, delivery) = (Untrusted(detail), Untrusted(delivery.unwrap_or_default()));
        warn!(%migration, reason, %detail, %delivery, "a webhook is in quarantine: crossfade issues quarantine");
        cells.arrived(migration, if reason == "conflict" { Arrival::Conflict } else { Arrival::Quarantined });
    }
}

/// Neither the store nor the journal could keep a webhook: its sender has to send it again.
#[derive(Debug)]
pub struct WebhookNotKept<'a> {
    pub migration: &'a MigrationId,
    pub problem: &'a dyn Told,
}

impl WebhookNotKept<'_> {
    pub fn emit(self, cells: &IssueCells) {
        let Self { migration, problem } = self;
        error!(%migration, %problem, "a webhook could be kept nowhere and was answered with 503");
        cells.arrived(migration, Arrival::Failed);
    }
}

/// The store does not answer: webhooks go to the journal alone, and nothing is sent on.
#[derive(Debug)]
pub struct JournalAlone<'a> {
    pub migration: &'a MigrationId,
    pub error: &'a dyn Told,
}

impl JournalAlone<'_> {
    pub fn emit(self, cells: &WebhookCells) {
        let Self { migration, error } = self;
        warn!(%migration, %error, "webhooks go to the journal until the store answers, and none is sent on");
        cells.alone(true);
    }
}

/// The store has everything that the journal had.
#[derive(Debug)]
pub struct JournalGiven<'a> {
    pub migration: &'a MigrationId,
}

impl JournalGiven<'_> {
    pub fn emit(self, cells: &WebhookCells) {
        let Self { migration } = self;
        info!(%migration, "the store has all of the journal: webhooks go to it again");
        cells.alone(false);
    }
}

/// No replica of the store has what was claimed, so nothing is sent on.
#[derive(Debug)]
pub struct IssuesHeld<'a> {
    pub migration: &'a MigrationId,
    pub error: &'a dyn Told,
}

impl IssuesHeld<'_> {
    pub fn emit(self, cells: &WebhookCells) {
        let Self { migration, error } = self;
        warn!(%migration, %error, "webhooks are kept and none is sent on until a replica of the store follows");
        cells.held(true);
    }
}

/// A replica of the store follows again, or none is expected any more.
#[derive(Debug)]
pub struct IssuesSent<'a> {
    pub migration: &'a MigrationId,
}

impl IssuesSent<'_> {
    pub fn emit(self, cells: &WebhookCells) {
        let Self { migration } = self;
        info!(%migration, "webhooks are sent on again");
        cells.held(false);
    }
}

/// The journal could not be written, read or cleared: what the store loses now, nobody has.
#[derive(Debug)]
pub struct JournalFailed<'a> {
    pub migration: &'a MigrationId,
    pub problem: &'a dyn Told,
}

impl JournalFailed<'_> {
    pub fn emit(self, cells: &WebhookCells) {
        let Self { migration, problem } = self;
        error!(%migration, %problem, "the journal cannot be used: look at its disk and at `journal_max`");
        cells.journal_failed();
    }
}

/// A system answered an event, or something happened instead.
#[derive(Debug)]
pub struct DeliveryTried<'a> {
    pub migration: &'a MigrationId,
    pub claimed: &'a Claimed,
    pub answer: Answer,
    /// What the system said.
    pub words: &'a str,
    pub took: Duration,
}

impl DeliveryTried<'_> {
    pub fn emit(self, cells: &IssueCells) {
        let Self { migration, claimed, answer, words, took } = self;
        let Claimed { owner, attempt, delivery, .. } = claimed;
        cells.answered(migration, *owner, answer);
        let (id, issue) = (Untrusted(delivery.id.as_str()), Untrusted(delivery.issue.as_str()));
        let (side, took_ms) = (owner.name(), took.as_millis());
        match answer {
            Answer::Accepted | Answer::InProgress => {
                debug!(%migration, side, delivery = %id, %issue, attempt, took_ms, "delivered");
            }
            Answer::NotAccepted | Answer::Rejected | Answer::Ambiguous => {
                let (words, answer) = (Untrusted(words), answer.name());
                warn!(
                    %migration, side, delivery = %id, %issue, attempt, took_ms, answer, %words, "not delivered yet"
                );
            }
        }
    }
}

/// A move that waited has become safe.
#[derive(Debug)]
pub struct IssueMovedOn<'a> {
    pub migration: &'a MigrationId,
    pub to: Side,
}

impl IssueMovedOn<'_> {
    pub fn emit(self, cells: &IssueCells) {
        let Self { migration, to } = self;
        info!(%migration, to = to.name(), "an issue went to the other side: nobody works on it any more");
        cells.turned(migration, to, Turn::Handoff, 1);
    }
}

/// The sender was asked to deliver again what never arrived.
#[derive(Debug)]
pub struct DeliveryAskedFor<'a> {
    pub migration: &'a MigrationId,
    pub delivery: &'a str,
    /// What it answered.
    pub status: u16,
}

impl DeliveryAskedFor<'_> {
    pub fn emit(self, cells: &WebhookCells) {
        let Self { migration, delivery, status } = self;
        let delivery = Untrusted(delivery);
        info!(%migration, %delivery, status, "a delivery that never arrived was asked for again");
        cells.reconciled(Reconciled::AskedFor);
    }
}

/// An issue was changed at the sender, and the ledger has never heard of it.
#[derive(Debug)]
pub struct IssueUnheardOf<'a> {
    pub migration: &'a MigrationId,
    pub issue: &'a IssueId,
}

impl IssueUnheardOf<'_> {
    pub fn emit(self, cells: &WebhookCells) {
        let Self { migration, issue } = self;
        let issue = Untrusted(issue.as_str());
        warn!(%migration, %issue, "an issue was changed that no webhook has told of: look at the webhook's settings");
        cells.reconciled(Reconciled::Unknown);
    }
}

/// The sender wants to hear nothing for a while, and gets that.
#[derive(Debug)]
pub struct SenderSilenced<'a> {
    pub migration: &'a MigrationId,
    pub pause: Duration,
}

impl SenderSilenced<'_> {
    pub fn emit(self, cells: &WebhookCells) {
        let Self { migration, pause } = self;
        warn!(%migration, pause_seconds = pause.as_secs(), "the sender limits how often it is asked, and is left alone");
        cells.reconciled(Reconciled::Silenced);
    }
}

/// The sender could not be asked.
#[derive(Debug)]
pub struct SenderNotAsked<'a> {
    pub migration: &'a MigrationId,
    pub error: &'a str,
}

impl SenderNotAsked<'_> {
    pub fn emit(self, cells: &WebhookCells) {
        let Self { migration, error } = self;
        let error = Untrusted(error);
        warn!(%migration, %error, "the sender could not be asked for what never arrived");
        cells.reconciled(Reconciled::Failed);
    }
}

/// A person has the sender asked. Told before it is, because what is asked for stands also where a later question fails.
#[derive(Debug)]
pub struct SenderAsked<'a> {
    pub migration: &'a MigrationId,
    pub actor: &'a str,
    pub reason: &'a str,
}

impl SenderAsked<'_> {
    /// What was asked for is counted delivery by delivery.
    pub fn emit(self) {
        let Self { migration, actor, reason } = self;
        let (actor, reason) = (Untrusted(actor), Untrusted(reason));
        info!(%migration, %actor, %reason, "the sender is asked by hand for what never arrived");
    }
}
