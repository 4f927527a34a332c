//! What happens to issues: lines and counters of the ledger.

use flags::ledger::past::Again;
use flags::ledger::view::DeadLetter;
use flags::ledger::{IssueId, Report};
use flags::{MigrationId, Side};
use tracing::{error, info, warn};

use super::Untrusted;
use crate::observe::{IssueCells, Turn};

/// A report was refused, because its system does not own the issue at that epoch.
///
/// One of the other side is a split brain: two systems may be working on the same issue, which somebody must look at.
#[derive(Debug)]
pub struct ReportFenced<'a> {
    pub migration: &'a MigrationId,
    pub report: &'a Report,
    pub owner: Side,
    pub epoch: u64,
    pub split_brain: bool,
}

impl ReportFenced<'_> {
    pub fn emit(self, cells: &IssueCells) {
        let Self { migration, report, owner, epoch, split_brain } = self;
        let (issue, side, reported) = (Untrusted(report.issue.as_str()), report.side, report.epoch);
        cells.turned(migration, side, Turn::Fenced, 1);
        if split_brain {
            cells.turned(migration, side, Turn::SplitBrain, 1);
            error!(
                %migration, %issue, %side, reported, %owner, epoch,
                "split brain: a system reports about an issue that the other one owns"
            );
        } else {
            warn!(%migration, %issue, %side, reported, %owner, epoch, "a report of an earlier epoch was refused");
        }
    }
}

/// An issue became another side's.
#[derive(Debug)]
pub struct IssueHandedOver<'a> {
    pub migration: &'a MigrationId,
    pub issue: &'a IssueId,
    pub to: Side,
    pub epoch: u64,
}

impl IssueHandedOver<'_> {
    pub fn emit(self, cells: &IssueCells) {
        let Self { migration, issue, to, epoch } = self;
        info!(%migration, issue = %Untrusted(issue.as_str()), %to, epoch, "issue handed over");
        cells.turned(migration, to, Turn::Handoff, 1);
    }
}

/// An event waits for a person from now on, and its issue with it.
#[derive(Debug)]
pub struct IssueParked<'a> {
    pub migration: &'a MigrationId,
    pub letter: &'a DeadLetter,
}

impl IssueParked<'_> {
    pub fn emit(self, cells: &IssueCells) {
        let Self { migration, letter } = self;
        let side = letter.owner;
        let (issue, delivery) = (Untrusted(letter.at.issue.as_str()), Untrusted(letter.delivery.as_str()));
        warn!(
            %migration, %issue, %delivery, %side, why = letter.why.name(),
            "event parked: look with crossfade issues show, then replay or discard it"
        );
        cells.turned(migration, side, Turn::Parked, 1);
    }
}

/// A person let events be tried again.
#[derive(Debug)]
pub struct IssueReplayed<'a> {
    pub migration: &'a MigrationId,
    pub letter: &'a DeadLetter,
    pub actor: &'a str,
}

impl IssueReplayed<'_> {
    pub fn emit(self, cells: &IssueCells) {
        let Self { migration, letter, actor } = self;
        let side = letter.owner;
        let (issue, delivery) = (Untrusted(letter.at.issue.as_str()), Untrusted(letter.delivery.as_str()));
        info!(%migration, %issue, %delivery, %side, actor = %Untrusted(actor), "event replayed");
        cells.turned(migration, side, Turn::Replayed, 1);
    }
}

/// A person had a delivered event sent once more, to the system that had it.
#[derive(Debug)]
pub struct IssueResent<'a> {
    pub migration: &'a MigrationId,
    pub again: &'a Again,
    pub actor: &'a str,
    pub reason: &'a str,
}

impl IssueResent<'_> {
    pub fn emit(self, cells: &IssueCells) {
        let Self { migration, again, actor, reason } = self;
        let Some((at, side)) = &again.had else { return };
        let (issue, delivery) = (Untrusted(at.issue.as_str()), Untrusted(again.delivery.as_str()));
        let (actor, reason) = (Untrusted(actor), Untrusted(reason));
        info!(%migration, %issue, %delivery, %side, %actor, %reason, "delivered event is sent once more");
        cells.turned(migration, *side, Turn::Replayed, 1);
    }
}

/// A person gave an event up.
#[derive(Debug)]
pub struct IssueDiscarded<'a> {
    pub migration: &'a MigrationId,
    pub letter: &'a DeadLetter,
    pub actor: &'a str,
    pub reason: &'a str,
}

impl IssueDiscarded<'_> {
    pub fn emit(self, cells: &IssueCells) {
        let Self { migration, letter, actor, reason } = self;
        let side = letter.owner;
        let (issue, delivery) = (Untrusted(letter.at.issue.as_str()), Untrusted(letter.delivery.as_str()));
        warn!(
            %migration, %issue, %delivery, %side, actor = %Untrusted(actor), reason = %Untrusted(reason),
            "event discarded"
        );
        cells.turned(migration, side, Turn::Discarded, 1);
    }
}
