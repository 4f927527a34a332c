//! What became of events about issues, and how the ledger stands.
//!
//! # Why only declared migrations
//!
//! Most migrations route requests and no issues; series that stay at 0 for ever would only cost. So a migration has these
//! from the moment it is declared, and loses them with its route.
//!
//! Counts are of this router. How the ledger stands is the fleet's, as this router last read it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use flags::ledger::Answer;
use flags::ledger::rules::State;
use flags::ledger::view::Totals;
use flags::{MigrationId, Side};

use super::lock;

/// What became of a webhook at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is kept and goes on.
    Accepted,
    /// It was kept before.
    Duplicate,
    /// Another delivery had the same body.
    SameBody,
    /// Its id was used for another body.
    Conflict,
    /// Its action is not among those that are routed.
    Ignored,
    /// It could not be understood, and is kept with its reason.
    Quarantined,
    /// Its signature is missing or wrong.
    Unsigned,
    /// It came over the rate, too large, or while as much waited as may.
    Refused,
    /// It is kept in this router's journal until the store is back.
    Journalled,
    /// Neither the store nor the journal could keep it.
    Failed,
}

impl Arrival {
    pub const ALL: [Self; 10] = [
        Self::Accepted,
        Self::Duplicate,
        Self::SameBody,
        Self::Conflict,
        Self::Ignored,
        Self::Quarantined,
        Self::Unsigned,
        Self::Refused,
        Self::Journalled,
        Self::Failed,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::SameBody => "same_body",
            Self::Conflict => "conflict",
            Self::Ignored => "ignored",
            Self::Quarantined => "quarantined",
            Self::Unsigned => "unsigned",
            Self::Refused => "refused",
            Self::Journalled => "journalled",
            Self::Failed => "failed",
        }
    }
}

/// Something about an issue that is counted by the side it concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// An issue became this side's.
    Handoff,
    /// A report of this side was refused, because it does not own the issue at that epoch.
    Fenced,
    /// The same, of a side that does not own the issue at all.
    SplitBrain,
    /// An event for this side waits for a person now.
    Parked,
    /// A person let an event be tried again.
    Replayed,
    /// A person gave an event up.
    Discarded,
}

impl Turn {
    pub const ALL: [Self; 6] =
        [Self::Handoff, Self::Fenced, Self::SplitBrain, Self::Parked, Self::Replayed, Self::Discarded];
}

const ARRIVALS: usize = Arrival::ALL.len();
const ANSWERS: usize = Answer::ALL.len();
const TURNS: usize = Turn::ALL.len();

/// The counts of one migration.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counts {
    pub(super) arrivals: [u64; ARRIVALS],
    /// By side and answer.
    pub(super) answers: [[u64; ANSWERS]; 2],
    /// By side and turn.
    pub(super) turns: [[u64; TURNS]; 2],
    pub(super) standing: Option<Totals>,
}

/// Issues of all migrations that have any.
#[derive(Debug, Default)]
pub struct IssueCells(Mutex<BTreeMap<MigrationId, Counts>>);

impl IssueCells {
    /// These migrations have issues, and no others.
    pub fn declare(&self, migrations: &BTreeSet<MigrationId>) {
        let mut cells = lock(&self.0);
        cells.retain(|id, _| migrations.contains(id));
        for id in migrations {
            cells.entry(id.clone()).or_default();
        }
    }

    fn on(&self, id: &MigrationId, count: impl FnOnce(&mut Counts)) {
        if let Some(counts) = lock(&self.0).get_mut(id) {
            count(counts);
        }
    }

    pub fn arrived(&self, id: &MigrationId, arrival: Arrival) {
        self.on(id, |counts| counts.arrivals[arrival as usize] += 1);
    }

    /// A system answered an event, or something happened instead.
    pub fn answered(&self, id: &MigrationId, side: Side, answer: Answer) {
        self.on(id, |counts| counts.answers[side as usize][answer as usize] += 1);
    }

    pub fn turned(&self, id: &MigrationId, side: Side, turn: Turn, by: u64) {
        self.on(id, |counts| counts.turns[side as usize][turn as usize] += by);
    }

    /// How the ledger stands.
    pub fn stands(&self, id: &MigrationId, totals: &Totals) {
        self.on(id, |counts| counts.standing = Some(totals.clone()));
    }

    pub(super) fn read(&self) -> BTreeMap<MigrationId, Counts> {
        lock(&self.0).clone()
    }
}

/// Records of one state and side.
pub(super) fn records(totals: &Totals, state: State, side: Side) -> u64 {
    let of = totals.records.iter().find(|(own, owner, _)| (*own, *owner) == (state, side));
    of.map_or(0, |(_, _, count)| *count)
}
