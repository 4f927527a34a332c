//! Cohorts of work that have become old enough to be judged by their quality.
//!
//! A cohort is looked at once per horizon: when the youngest of its jobs has had that long to prove itself. Which were looked at is
//! told by the newest one, by horizon, so that a judge that follows another goes on from there.

use flags::Side;
use flags::store::records::outcome::{COHORT_S, Cohort, CohortSums, HORIZONS_S};

use crate::sequential::{Block, Count, Matured};

/// What of these has matured since the cohorts named in `until` (seconds since 1970), which is moved on.
pub(super) fn matured(cohorts: &[Cohort], until: &mut [u64; HORIZONS_S.len()], now: u64) -> [Matured; 3] {
    let mut matured = [Matured::default(); 3];
    for (at, horizon) in HORIZONS_S.into_iter().enumerate() {
        // Cohorts that begin before this are old enough, as a whole.
        let Some(before) = now.checked_sub(horizon + COHORT_S) else { continue };
        for cohort in cohorts.iter().filter(|cohort| cohort.from > until[at] && cohort.from <= before) {
            let CohortSums { jobs, reported, quality_milli } = cohort.sums;
            let jobs = jobs as f64;
            let lacking = |had: f64| Count::new(jobs, (jobs - had).max(0.0));
            add(&mut matured[at].quality, cohort.side, lacking(quality_milli[at] as f64 / 1_000.0));
            add(&mut matured[at].reporting, cohort.side, lacking(reported[at] as f64));
        }
        until[at] = until[at].max(before);
    }
    matured
}

fn add(block: &mut Block, side: Side, count: Count) {
    let sum = match side {
        Side::Legacy => &mut block.legacy,
        Side::New => &mut block.new,
    };
    *sum = sum.plus(count);
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600;

    fn cohort(from: u64, side: Side, jobs: u64, reported: [u64; 3], quality_milli: [u64; 3]) -> Cohort {
        Cohort { from, side, sums: CohortSums { jobs, reported, quality_milli } }
    }

    #[test]
    fn a_cohort_counts_once_for_each_horizon_when_all_of_it_is_old_enough() {
        let base = 1_800_000_000;
        let cohorts = [
            cohort(base, Side::Legacy, 10, [8, 9, 9], [6_000, 7_000, 8_000]),
            cohort(base, Side::New, 4, [2, 3, 4], [1_000, 2_000, 3_600]),
            cohort(base + 300, Side::New, 1, [0, 0, 0], [0, 0, 0]),
        ];
        let mut until = [base - 1; 3];
        assert_eq!(matured(&cohorts, &mut until, base + HOUR + COHORT_S - 1), [Matured::default(); 3]);
        let at_an_hour = matured(&cohorts, &mut until, base + HOUR + COHORT_S);
        let count = Count::new;
        let expected = Matured {
            quality: Block { legacy: count(10.0, 4.0), new: count(4.0, 3.0) },
            reporting: Block { legacy: count(10.0, 2.0), new: count(4.0, 2.0) },
        };
        assert_eq!(at_an_hour, [expected, Matured::default(), Matured::default()]);
        assert_eq!(matured(&cohorts, &mut until, base + HOUR + COHORT_S + 60), [Matured::default(); 3], "once");
        let later = matured(&cohorts, &mut until, base + 4 * 24 * HOUR);
        assert_eq!((later[0].quality.new, later[0].quality.legacy), (count(1.0, 1.0), Count::NONE));
        assert_eq!((later[1].quality.new, later[2].quality.new), (count(5.0, 3.0), count(5.0, 1.4)));
        assert_eq!(matured(&cohorts, &mut until, base), [Matured::default(); 3], "a clock that was set back");
    }
}
