//! What a store lost, and whether somebody told.

use std::ops::RangeInclusive;

use super::Judge;
use crate::history::{Change, Told};

impl Judge<'_> {
    /// What was lost is the end of a line: a change that is still there, and was acknowledged before one that is lost, was
    /// not the end.
    pub(super) fn fork(&self) -> Option<RangeInclusive<u64>> {
        let made = self.history.changes.iter().filter_map(|change| match change.answer {
            Told::Made(revision) => Some((revision, change)),
            _ => None,
        });
        let (missing, kept): (Vec<_>, Vec<_>) = made.partition(|(_, change)| self.entries(change).is_empty());
        let is_end = |(revision, _): &&(u64, &Change)| {
            let outlives = |kept: &Change, at: u64, (later, lost): &(u64, &Change)| {
                *revision < at && at < *later && kept.ended < lost.began
            };
            !kept.iter().any(|(at, kept)| missing.iter().any(|lost| outlives(kept, *at, lost)))
        };
        let first = missing.iter().filter(is_end).map(|(revision, _)| *revision).min()?;
        Some(first..=*self.history.reported.iter().max()?)
    }

    pub(super) fn is_forked(&self, revision: u64) -> bool {
        self.forked.as_ref().is_some_and(|forked| forked.contains(&revision))
    }

    /// Whether a router told that this revision is lost, or one that came after it.
    pub(super) fn is_reported(&self, revision: u64) -> bool {
        self.history.reported.iter().any(|lost| *lost >= revision)
    }

    /// Whether a revision went away with a line, and what wrote the state back did not know it.
    pub(super) fn is_gone(&self, revision: u64) -> bool {
        let lines: Vec<_> = self.lines().collect();
        lines.windows(2).any(|pair| {
            let written_back = pair[1].entries.iter().position(|entry| entry.restored.is_some());
            let reseed = written_back.and_then(|at| pair[1].states().into_iter().nth(at));
            let (Some(newest), Some(reseed)) = (pair[0].states().pop(), reseed) else { return false };
            let held = pair[0].entries.iter().any(|entry| entry.revision == revision);
            held && revision == newest.0 && newest.1 != reseed.1
        })
    }
}
