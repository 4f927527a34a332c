//! The minutes that the router which judges makes of the counts, and the work that has become old enough meanwhile.
//!
//! Not here: what a minute says (`past`), and what quality becomes in evidence (`quality`).

use std::collections::BTreeMap;

use flags::MigrationId;
use flags::control::ControlError;
use flags::snapshot::Snapshot;
use flags::store::records::Minute;
use flags::tally::Slot;

use super::mind::Mind;
use super::step::{learn, newest_minute, renew};
use super::{Judge, quality};
use crate::sequential::Matured;

/// Minutes that are made late at most, of those whose slots are still there.
pub(super) const MINUTES_LATE: u64 = 13;

impl Judge {
    /// Makes the minutes that are over, and what is late by them.
    pub(super) async fn make_minutes(
        &mut self,
        snapshot: &Snapshot,
        minds: &mut BTreeMap<MigrationId, Mind>,
    ) -> Result<(), ControlError> {
        let over = newest_minute(self.watch.store_slot());
        self.minute = made_before(self.minute, over);
        while self.minute < over {
            let minute = self.minute + 1;
            let first = Slot::of_second(minute * 60);
            let ids: Vec<_> = snapshot.iter().map(|(_, own, _)| own.id.clone()).collect();
            let counts = self.counts(&ids, first, first.plus(60 * Slot::PER_SECOND - 1)).await?;
            let mut made = Vec::new();
            for (id, slots) in &counts {
                let past = self.pasts.entry(id.clone()).or_default();
                made.extend(learn(past, minute, slots).map(|text| Minute { migration: id.clone(), minute, text }));
            }
            self.control.put_minutes(made).await?;
            self.minute = minute;
            self.mature(minds).await?;
            for (id, mind) in minds.iter_mut() {
                if let Some(past) = self.pasts.get(id) {
                    renew(mind, past, minute);
                }
            }
        }
        Ok(())
    }

    /// Looks which work has become old enough, of migrations in which new has some.
    async fn mature(&mut self, minds: &mut BTreeMap<MigrationId, Mind>) -> Result<(), ControlError> {
        let now = self.watch.store_slot().second();
        for (id, mind) in minds.iter_mut().filter(|(_, mind)| mind.engine.is_exposed()) {
            let cohorts = self.control.cohorts(id).await?;
            let matured = quality::matured(&cohorts, &mut mind.engine.matured, now);
            if matured != [Matured::default(); 3] {
                // What no block has taken yet waits for the next one.
                let waiting = self.matured.entry(id.clone()).or_default();
                waiting.iter_mut().zip(&matured).for_each(|(sum, more)| *sum = sum.plus(more));
            }
        }
        Ok(())
    }
}

/// The newest minute that need not be made, where this one was made last and that one is the newest that is over: a clock
/// that was set forward leaves no minutes to make, and one that was set back none to wait for.
fn made_before(made: u64, over: u64) -> u64 {
    made.clamp(over.saturating_sub(MINUTES_LATE), over)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_minutes(made: u64, over: u64, to_make: u64) {
        assert_eq!(over - made_before(made, over), to_make, "{made} made, {over} over");
    }

    #[test]
    fn minutes_that_are_made_late_are_few_wherever_a_clock_is_set() {
        check_minutes(1_000, 1_000, 0);
        check_minutes(999, 1_000, 1);
        check_minutes(990, 1_000, 10);
        check_minutes(0, 30_000_000, MINUTES_LATE);
        check_minutes(30_000_000, 1_000, 0);
        check_minutes(0, 0, 0);
    }
}
