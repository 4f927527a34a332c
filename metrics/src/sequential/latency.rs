//! Durations as good and bad: late is what exceeds a quantile that legacy itself had in the past hour.
//!
//! # Why by quantiles of legacy
//!
//! A limit in seconds has to be known and kept; legacy's own p50, p75, p90, p95 and p99 are always there. Late is `T > x_q` on
//! legacy and `T > 1.1 x_q` on new: new may be a tenth slower. Cells are up to an eighth wide, so the tenth may become a quarter,
//! in favour of new. It may also be a millisecond slower: systems that answer within less differ by that without being different,
//! because whoever is asked ten times as often is awake and has everything in its caches.
//!
//! # Why by age
//!
//! A request that hangs has no duration until its time-out. So a request counts as late when its *age* crosses the threshold, by
//! the movement of ages between cells, and when it ends it leaves the cell of its age and enters that of its duration, which adds
//! up to nothing: it is counted once.

use serde::{Deserialize, Serialize};

use super::count::Count;
use crate::observe::{CELLS, cell_start_us};

/// The quantiles whose exceedance is compared.
pub const QUANTILES: [f64; 5] = [0.50, 0.75, 0.90, 0.95, 0.99];

/// Requests of legacy in the past hour without which its quantiles are not known.
pub const REQUESTS_MIN: u64 = 200;

/// How much slower new may be.
pub const TOLERANCE: f64 = 1.1;

/// The same for what is fast: a difference that nobody feels.
const TOLERANCE_US: f64 = 1_000.0;

/// What happened to the durations and ages of one cell of one side in one block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Movement {
    pub cell: u16,
    /// Requests that ended with a duration of this cell.
    pub done: u64,
    /// Requests in flight whose age was newly noticed in this cell, less those that left it.
    pub moved: i64,
}

/// The first cells that are late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Threshold {
    pub legacy: u16,
    pub new: u16,
}

/// Counts what is late, where `first_late` is the first cell that is. Impossible movements count nothing.
pub fn count(movements: &[Movement], first_late: u16) -> Count {
    let mut late = Some(0_i64);
    let mut in_time = Some(0_i64);
    for movement in movements {
        let done = i64::try_from(movement.done).ok();
        if usize::from(movement.cell) >= CELLS {
            return Count::NONE;
        }
        if movement.cell >= first_late {
            let both = done.and_then(|done| done.checked_add(movement.moved));
            late = late.zip(both).and_then(|(sum, both)| sum.checked_add(both));
        } else {
            in_time = in_time.zip(done).and_then(|(sum, done)| sum.checked_add(done));
        }
    }
    let (Some(late @ 0..), Some(in_time)) = (late, in_time) else { return Count::NONE };
    Count::new(late as f64 + in_time as f64, late as f64)
}

/// Picks the thresholds from what legacy took in the past hour, as (cell, how many).
///
/// `None` for all without enough requests, and for a quantile beyond which there is no cell.
pub fn thresholds(legacy_hour: &[(u16, u64)]) -> [Option<Threshold>; QUANTILES.len()] {
    let mut cells: Vec<(u16, u64)> =
        legacy_hour.iter().copied().filter(|(cell, _)| usize::from(*cell) < CELLS).collect();
    cells.sort_unstable();
    let count = cells.iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
    if count < REQUESTS_MIN {
        return [None; QUANTILES.len()];
    }
    QUANTILES.map(|quantile| {
        let rank = ((count as f64 * quantile).ceil() as u64).max(1);
        let mut seen = 0_u64;
        let (cell, _) = cells.iter().find(|(_, count)| {
            seen = seen.saturating_add(*count);
            seen >= rank
        })?;
        threshold_after(*cell)
    })
}

fn threshold_after(cell: u16) -> Option<Threshold> {
    let legacy = cell + 1;
    let legacy_us = cell_start_us(usize::from(legacy)) as f64;
    let tolerated_us = (legacy_us * TOLERANCE).max(legacy_us + TOLERANCE_US);
    let new = (legacy..CELLS as u16).find(|cell| cell_start_us(usize::from(*cell)) as f64 >= tolerated_us)?;
    Some(Threshold { legacy, new })
}
