//! A rollback holds on its router at once, and gets into the store.

use super::{Judge, shown, told};
use crate::history::{Ask, Change, Line, Mode, Moment, Side, Told};

impl Judge<'_> {
    pub(super) fn rollbacks(&self) -> Vec<String> {
        let mut found = Vec::new();
        for rollback in self.history.changes.iter().filter(|change| change.ask == Ask::RollBack) {
            if !matches!(rollback.answer, Told::HereOnly | Told::Made(_) | Told::Already(_)) {
                continue;
            }
            // What was lost after it was told is told to be lost; an admin decides what is written back.
            let is_excused = match rollback.answer {
                Told::Made(revision) | Told::Already(revision) => self.is_forked(revision),
                Told::HereOnly | Told::Refused(_) | Told::Unknown(_) => false,
            };
            if !is_excused && !self.lines().any(|line| self.rolls_back(line, rollback)) {
                found.push(format!("{} never got into the store", told(rollback)));
            }
            let acknowledged = self.acknowledged_after(rollback.began);
            let late = self.all_requests().find(|request| {
                let is_after = request.router == rollback.router && request.began > rollback.ended;
                let Ok(served) = &request.outcome else { return false };
                is_after && served.side == Side::New && acknowledged.is_none_or(|first| served.revision < first)
            });
            if let Some(request) = late {
                found.push(format!("{}, and later {} was served by new", told(rollback), shown(request)));
            }
        }
        found
    }

    /// Whether a line holds a rollback that a person did not acknowledge before this one was asked for.
    fn rolls_back(&self, line: &Line, rollback: &Change) -> bool {
        let ended = |reason: &str| self.history.changes.iter().find(|change| change.reason == reason).map(|c| c.ended);
        line.entries.iter().enumerate().any(|(at, entry)| {
            let left = line.entries[at..].iter().find(|later| later.after.mode != Mode::EmergencyRollback);
            let left_before = left.and_then(|entry| ended(&entry.reason)).is_some_and(|moment| moment < rollback.began);
            entry.after.mode == Mode::EmergencyRollback && !left_before
        })
    }

    /// The first revision by which a person left a rollback at or after this moment.
    fn acknowledged_after(&self, moment: Moment) -> Option<u64> {
        let later = self
            .history
            .changes
            .iter()
            .filter(|change| matches!(change.ask, Ask::Acknowledge(_) | Ask::Undo) && change.ended >= moment);
        // By the audit, or by what was told of one that was lost later.
        let revision = |change: &Change| match change.answer {
            Told::Made(revision) => Some(revision),
            _ => self.entries(change).iter().map(|entry| entry.revision).min(),
        };
        later.filter_map(revision).min()
    }
}
