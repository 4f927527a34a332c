//! How failures scatter over groups of callers: evenly, or more than chance does.
//!
//! # Why
//!
//! A test that counts requests takes each for an independent one. Where callers fail together (one user's broken data, one
//! session of twenty requests), the same failures say less, by the ratio of the variance between groups to the binomial
//! one: Pearson's chi-square over its degrees of freedom (the design effect of Kish, 1965). Once a minute each router adds
//! both to counters that only grow, so that a fleet's are the sum.
//!
//! Not here: what is made of the ratio.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use flags::{MigrationId, Side};

use super::MigrationTotals;
use super::attempts::{AttemptTotals, GROUPS};

/// Over how long groups are compared: long enough that a session is inside of it.
const WINDOW: Duration = Duration::from_secs(60);

/// Attempts and failures by group.
type ByGroup = ([u64; GROUPS], [u64; GROUPS]);

/// What was counted by the last window's end, and the sums over all windows.
#[derive(Debug, Default)]
pub(super) struct Dispersion {
    since: Option<Instant>,
    sides: BTreeMap<MigrationId, [Scatter; 2]>,
}

#[derive(Debug)]
struct Scatter {
    before: ByGroup,
    chi_milli: u64,
    freedom: u64,
}

impl Default for Scatter {
    fn default() -> Self {
        Self { before: ([0; GROUPS], [0; GROUPS]), chi_milli: 0, freedom: 0 }
    }
}

impl Dispersion {
    /// Ends a window once it is long enough, and forgets migrations that are no longer counted.
    pub(super) fn tick(&mut self, totals: &BTreeMap<MigrationId, MigrationTotals>, now: Instant) {
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) < WINDOW {
            return;
        }
        self.since = Some(now);
        self.sides.retain(|id, _| totals.contains_key(id));
        for (id, totals) in totals {
            let scatters = self.sides.entry(id.clone()).or_default();
            for (scatter, side) in scatters.iter_mut().zip(Side::ALL) {
                scatter.window(totals.side(side).attempts());
            }
        }
    }

    pub(super) fn add_to(&self, totals: &mut BTreeMap<MigrationId, MigrationTotals>) {
        for (id, scatters) in &self.sides {
            let Some(totals) = totals.get_mut(id) else { continue };
            for (scatter, side) in scatters.iter().zip(&mut totals.sides) {
                side.attempts.chi_milli = scatter.chi_milli;
                side.attempts.chi_freedom = scatter.freedom;
            }
        }
    }
}

impl Scatter {
    fn window(&mut self, totals: &AttemptTotals) {
        let now = (totals.seen, totals.failed);
        let before = std::mem::replace(&mut self.before, now);
        let since = |now: &[u64; GROUPS], before: &[u64; GROUPS]| {
            std::array::from_fn(|group| now[group].saturating_sub(before[group]))
        };
        if let Some((chi, freedom)) = chi_square(&since(&now.0, &before.0), &since(&now.1, &before.1)) {
            self.chi_milli += (chi * 1000.0) as u64;
            self.freedom += freedom;
        }
    }
}

/// Pearson's statistic of failures over groups, and its degrees of freedom. `None` where it says nothing: with one group,
/// or when nothing or everything failed.
fn chi_square(seen: &[u64; GROUPS], failed: &[u64; GROUPS]) -> Option<(f64, u64)> {
    let groups = seen.iter().zip(failed).filter(|(seen, _)| **seen > 0);
    let (attempts, failures) =
        groups.clone().fold((0, 0), |sum, (seen, failed)| (sum.0 + seen, sum.1 + failed.min(seen)));
    if failures == 0 || failures >= attempts {
        return None;
    }
    let theta = failures as f64 / attempts as f64;
    let term = |(seen, failed): (&u64, &u64)| {
        let difference = *failed.min(seen) as f64 - *seen as f64 * theta;
        difference * difference / (*seen as f64 * theta * (1.0 - theta))
    };
    let freedom = (groups.clone().count() as u64).checked_sub(1).filter(|freedom| *freedom > 0)?;
    Some((groups.map(term).sum(), freedom))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Groups of so many attempts and failures each; the others are empty.
    #[track_caller]
    fn check(groups: &[(u64, u64)], expected: Option<(f64, u64)>) {
        let (mut seen, mut failed) = ([0; GROUPS], [0; GROUPS]);
        for (at, (own_seen, own_failed)) in groups.iter().enumerate() {
            (seen[at], failed[at]) = (*own_seen, *own_failed);
        }
        let found = chi_square(&seen, &failed);
        let near = |(a, b): ((f64, u64), (f64, u64))| (a.0 - b.0).abs() < 1e-9 && a.1 == b.1;
        assert!(found.zip(expected).map_or(found == expected, near), "{groups:?}: {found:?}");
    }

    #[test]
    fn failures_that_scatter_evenly_weigh_nothing_and_one_callers_much() {
        check(&[], None);
        check(&[(10, 0), (10, 0)], None);
        check(&[(10, 10), (10, 10)], None);
        check(&[(10, 5)], None);
        check(&[(10, 5), (10, 5)], Some((0.0, 1)));
        // Everything of one of two groups: theta 1/2, each group (5^2)/(10/4).
        check(&[(10, 10), (10, 0)], Some((20.0, 1)));
        check(&[(10, 1), (10, 0), (0, 0), (10, 2)], Some((2.0 / 0.9, 2)));
        // A failure that is read before its attempt is no more than the attempt.
        check(&[(1, 3), (1, 0)], Some((2.0, 1)));
    }

    /// A minute of the side's totals by group, twice.
    #[test]
    fn each_window_is_added_once() {
        let mut scatter = Scatter::default();
        let mut totals = AttemptTotals::default();
        for round in 1..=2_u64 {
            (totals.seen[0], totals.seen[1]) = (10 * round, 10 * round);
            totals.failed[0] = 10 * round;
            scatter.window(&totals);
            assert_eq!((scatter.chi_milli, scatter.freedom), (20_000 * round, round));
        }
        scatter.window(&totals);
        assert_eq!((scatter.chi_milli, scatter.freedom), (40_000, 2), "nothing happened");
    }
}
