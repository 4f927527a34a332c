//! What the fleet counted in one slot, as the block that a guard folds.
//!
//! Names of counts end here: everything behind it speaks of blocks.

use flags::Side;
use flags::tally::SlotCounts;

use crate::fleet::FleetCounts;
use crate::guard::{Pairs, Seen};
use crate::mismatch::Twin;
use crate::observe::Pair;
use crate::outcome::Attempted;
use crate::performance::{WORK_BAD, WORK_OK};
use crate::sequential::latency::{Movement, QUANTILES, Threshold, count};
use crate::sequential::{Block, Count, Matured};

/// The thresholds of lateness in use; none where legacy's past is not known yet.
pub type Thresholds = [Option<Threshold>; QUANTILES.len()];

/// What a slot means besides its counts.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    pub thresholds: &'a Thresholds,
    /// How much more failures of the same callers vary than independent ones would.
    pub deff: f64,
    /// Legacy is not meant to have traffic.
    pub is_alone: bool,
    pub matured: [Matured; 3],
}

/// The block of one slot.
pub fn seen(counts: &SlotCounts, context: &Context<'_>) -> Seen {
    let [legacy, new] = Side::ALL.map(|side| FleetCounts(counts.side(side)));
    let both = |of: &dyn Fn(&FleetCounts<'_>) -> Count| Block { legacy: of(&legacy), new: of(&new) };
    let (old, young) = (movements(&legacy), movements(&new));
    let late =
        |threshold: &Threshold| Block { legacy: count(&old, threshold.legacy), new: count(&young, threshold.new) };
    let small = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    let done = young.iter().filter(|own| own.done > 0).map(|own| (own.cell, small(own.done)));
    Seen {
        requests: both(&|side| attempts(side, &[Attempted::Failed])),
        refusals: both(&|side| attempts(side, &[Attempted::Refused, Attempted::Failed])),
        work: both(&|FleetCounts(tally)| {
            let (good, bad) = (tally.get(WORK_OK), tally.get(WORK_BAD));
            Count::new(good as f64 + bad as f64, bad as f64)
        }),
        latency: context.thresholds.each_ref().map(|own| own.as_ref().map_or(Block::NONE, late)),
        durations: done.collect(),
        pairs: Pairs { only_new: small(new.pairs(Pair::OnlyNew)), only_legacy: small(new.pairs(Pair::OnlyLegacy)) },
        twins: Pairs { only_new: small(new.twins(Twin::OnlyNew)), only_legacy: small(new.twins(Twin::OnlyLegacy)) },
        matured: context.matured,
        failing_keys: new.failed_groups() | new.refused_groups(),
        failed: new.by_group(&[Attempted::Failed]),
        refused: new.by_group(&[Attempted::Failed, Attempted::Refused]),
        seen_keys: new.seen_groups().unwrap_or_default(),
        has_many_keys: new.seen_groups().is_none(),
        deff: context.deff,
        is_alone: context.is_alone,
    }
}

/// First attempts at a side, and how many of them ended in one of the bad ways.
fn attempts(side: &FleetCounts<'_>, bad: &[Attempted]) -> Count {
    let sum = |results: &[Attempted]| results.iter().map(|result| side.attempts(*result) as f64).sum();
    Count::new(sum(&Attempted::ALL), sum(bad))
}

fn movements(side: &FleetCounts<'_>) -> Vec<Movement> {
    let cells = side.attempt_cells().into_iter().zip(side.moved_cells());
    let moved = |(cell, (done, moved))| {
        let cell = u16::try_from(cell).unwrap_or(u16::MAX);
        (done > 0 || moved != 0).then_some(Movement { cell, done, moved })
    };
    cells.enumerate().filter_map(moved).collect()
}

#[cfg(test)]
mod tests {
    use flags::tally::Tally;

    use super::*;

    fn tally(text: &str) -> Tally {
        Tally::parse(text)
    }

    #[test]
    fn names_of_counts_become_sides_of_a_block() {
        let counts = SlotCounts {
            legacy: tally("ok=90 refused=8 failed=2 h10=60 h20=40 g3=2 work_ok=3 work_bad=1"),
            new: tally(
                "ok=5 refused=3 failed=2 h10=4 h20=6 a30=2 z25=1 g3=1 g9=1 r5=3 kmany=1 pair_new=4 pair_legacy=1 pair_same=9 twin_new=7 twin_legacy=2",
            ),
            ..SlotCounts::default()
        };
        let mut thresholds = Thresholds::default();
        thresholds[0] = Some(Threshold { legacy: 11, new: 13 });
        let context = Context { thresholds: &thresholds, deff: 1.5, is_alone: false, matured: Default::default() };
        let seen = seen(&counts, &context);
        let count = Count::new;
        assert_eq!(seen.requests, Block { legacy: count(100.0, 2.0), new: count(10.0, 2.0) });
        assert_eq!(seen.refusals, Block { legacy: count(100.0, 10.0), new: count(10.0, 5.0) });
        assert_eq!(seen.work, Block { legacy: count(4.0, 1.0), new: Count::NONE });
        // Ages: two came to cell 30, one of them from cell 25, which was late already.
        assert_eq!(seen.latency[0], Block { legacy: count(100.0, 40.0), new: count(11.0, 7.0) });
        assert_eq!(seen.latency[1], Block::NONE);
        assert_eq!((seen.pairs.only_new, seen.pairs.only_legacy), (4, 1));
        assert_eq!((seen.twins.only_new, seen.twins.only_legacy), (7, 2));
        assert_eq!((seen.failing_keys, seen.has_many_keys), (1 << 3 | 1 << 9 | 1 << 5, true));
        assert_eq!((seen.failed, seen.refused), (vec![(3, 1), (9, 1)], vec![(3, 1), (5, 3), (9, 1)]));
        assert_eq!(seen.durations, [(10, 4), (20, 6)]);
    }

    #[test]
    fn a_slot_without_counts_is_a_block_without_evidence() {
        let context =
            Context { thresholds: &Default::default(), deff: 1.0, is_alone: true, matured: Default::default() };
        let seen = seen(&SlotCounts::default(), &context);
        assert!(seen.requests.is_empty() && !seen.has_many_keys && seen.is_alone);
    }
}
