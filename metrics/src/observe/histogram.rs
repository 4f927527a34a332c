//! Where a duration is counted: fine cells for judging, coarse buckets for scraping.
//!
//! # Why two resolutions
//!
//! A guard compares quantiles of the sides, so it needs cells of even relative width over the whole
//! range; 240 of them per series would drown a Prometheus. Its buckets are few and at the round
//! numbers in which service levels are written. The cell is found by the position of the leading
//! bit, the bucket by a table over cells and one comparison, so neither searches.

use std::time::Duration;

use super::cells::Counter;

/// Cells per doubling; a cell is at most 1/8 wider than its lower bound.
const SUB_BITS: u32 = 3;
const SUB: usize = 1 << SUB_BITS;

/// Doublings, the exact cells included: the last cell begins at 2.2 h and takes the rest.
const OCTAVES: usize = 31;

/// Cells of a full-resolution histogram.
pub const CELLS: usize = SUB * OCTAVES;

/// The cell that counts a duration of so many microseconds.
pub(super) const fn cell_of(micros: u64) -> usize {
    if micros < SUB as u64 {
        return micros as usize;
    }
    let octave = 63 - micros.leading_zeros() - SUB_BITS;
    let cell = octave as usize * SUB + (micros >> octave) as usize;
    if cell < CELLS { cell } else { CELLS - 1 }
}

/// The cell that counts a duration.
pub fn cell_of_duration(duration: Duration) -> usize {
    cell_of(micros(duration))
}

/// The smallest number of microseconds that cell counts.
pub const fn cell_start_us(cell: usize) -> u64 {
    if cell < SUB {
        return cell as u64;
    }
    let octave = cell / SUB - 1;
    ((SUB + cell % SUB) as u64) << octave
}

pub(super) fn micros(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000).saturating_add(duration.subsec_micros().into())
}

/// Upper bounds of scraped buckets, and for each cell the first bucket that its start may be in.
#[derive(Debug)]
pub(super) struct Scale<const N: usize> {
    pub(super) bounds_us: [u64; N],
    first: [u8; CELLS],
}

impl<const N: usize> Scale<N> {
    /// No cell may hold more than one bound, or one comparison would not do; a test checks it.
    const fn new(bounds_us: [u64; N]) -> Self {
        let mut first = [0; CELLS];
        let mut cell = 0;
        let mut bucket = 0;
        while cell < CELLS {
            while bucket < N && bounds_us[bucket] < cell_start_us(cell) {
                bucket += 1;
            }
            first[cell] = bucket as u8;
            cell += 1;
        }
        Self { bounds_us, first }
    }

    /// The bucket whose bound is the smallest not below the duration; `N` is `+Inf`.
    fn bucket_of(&self, cell: usize, micros: u64) -> usize {
        let first = usize::from(self.first[cell]);
        first + usize::from(self.bounds_us.get(first).is_some_and(|bound| micros > *bound))
    }
}

/// Time until a whole answer: 1 ms to 1 min.
pub(crate) const DURATION_BOUNDS_US: [u64; 15] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 30_000_000, 60_000_000,
];

/// The bounds and what is beyond them.
pub(crate) const DURATION_BUCKETS: usize = DURATION_BOUNDS_US.len() + 1;

pub(super) static DURATION: Scale<15> = Scale::new(DURATION_BOUNDS_US);

/// Time in the router itself: 10 us to 1 s.
pub(super) static ADDED: Scale<12> =
    Scale::new([10, 25, 50, 100, 250, 500, 1_000, 2_500, 10_000, 50_000, 250_000, 1_000_000]);

/// Counts in the buckets of a scale. `N` is that of the scale plus one for `+Inf`.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Buckets<const N: usize> {
    sum_us: Counter,
    counts: [Counter; N],
}

impl<const N: usize> Default for Buckets<N> {
    fn default() -> Self {
        Self { counts: std::array::from_fn(|_| Counter::default()), sum_us: Counter::default() }
    }
}

impl<const N: usize> Buckets<N> {
    pub(super) fn record<const M: usize>(&self, scale: &Scale<M>, duration: Duration) {
        const { assert!(M + 1 == N, "one bucket more than bounds") };
        let micros = micros(duration);
        let cell = cell_of(micros);
        self.counts[scale.bucket_of(cell, micros)].add(1);
        self.sum_us.add(micros);
    }

    pub(super) fn add_to(&self, sum: &mut BucketTotals) {
        sum.counts.resize(N, 0);
        for (total, count) in sum.counts.iter_mut().zip(&self.counts) {
            *total += count.get();
        }
        sum.sum_us = sum.sum_us.saturating_add(self.sum_us.get());
    }
}

/// Buckets summed over workers.
#[derive(Clone, Debug, Default)]
pub(super) struct BucketTotals {
    pub(super) counts: Vec<u64>,
    pub(super) sum_us: u64,
}

/// Full-resolution counts of one worker.
#[derive(Debug)]
pub(super) struct Cells([Counter; CELLS]);

impl Default for Cells {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counter::default()))
    }
}

impl Cells {
    pub(super) fn count(&self, cell: usize) {
        if let Some(counter) = self.0.get(cell) {
            counter.add(1);
        }
    }

    pub(super) fn add_to(&self, sum: &mut Durations) {
        sum.0.resize(CELLS, 0);
        for (total, count) in sum.0.iter_mut().zip(self.0.iter()) {
            *total += count.get();
        }
    }
}

/// How many took how long, in [`CELLS`] cells that begin at [`cell_start_us`]; no cells at all is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durations(Vec<u64>);

impl Durations {
    pub fn cells(&self) -> &[u64] {
        &self.0
    }

    /// Counts so many more in a cell; a cell that is none is left out.
    pub fn add(&mut self, cell: usize, more: u64) {
        self.0.resize(CELLS, 0);
        if let Some(count) = self.0.get_mut(cell) {
            *count = count.saturating_add(more);
        }
    }

    /// Those of some durations in microseconds.
    pub fn of(micros: &[u64]) -> Self {
        let mut durations = Self::default();
        micros.iter().for_each(|micros| durations.add(cell_of(*micros), 1));
        durations
    }

    pub fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The upper edge of the cell in which the quantile lies: never less than the true one, and
    /// at most an eighth more. `None` without a count.
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = ((count as f64 * quantile.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut seen = 0;
        let cell = self.0.iter().position(|cell| {
            seen += cell;
            seen >= rank
        })?;
        Some(Duration::from_micros(cell_start_us(cell + 1)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Where a search, instead of the table, puts a duration.
    fn searched(bounds_us: &[u64], micros: u64) -> usize {
        bounds_us.iter().position(|bound| micros <= *bound).unwrap_or(bounds_us.len())
    }

    #[track_caller]
    fn check(micros: u64) {
        let cell = cell_of(micros);
        assert!(cell_start_us(cell) <= micros, "{micros} is below its cell {cell}");
        assert!(cell == CELLS - 1 || micros < cell_start_us(cell + 1), "{micros} is above its cell {cell}");
        assert_eq!(DURATION.bucket_of(cell, micros), searched(&DURATION.bounds_us, micros), "{micros}");
        assert_eq!(ADDED.bucket_of(cell, micros), searched(&ADDED.bounds_us, micros), "{micros}");
    }

    #[test]
    fn every_edge_is_counted_on_its_right_side() {
        let edges = (0..CELLS).map(cell_start_us).chain(DURATION.bounds_us).chain(ADDED.bounds_us);
        for edge in edges {
            for micros in [edge.saturating_sub(1), edge, edge + 1] {
                check(micros);
            }
        }
        check(u64::MAX);
    }

    #[test]
    fn no_cell_holds_two_bounds() {
        for bounds in [&DURATION.bounds_us[..], &ADDED.bounds_us[..]] {
            let cells: Vec<_> = bounds.iter().map(|bound| cell_of(*bound)).collect();
            assert!(cells.windows(2).all(|pair| pair[0] < pair[1]), "{cells:?}");
        }
    }

    #[test]
    fn a_quantile_of_nothing_is_nothing() {
        assert_eq!(Durations::default().quantile(0.5), None);
        assert_eq!(Durations(vec![0; CELLS]).quantile(1.0), None);
    }

    proptest! {
        #[test]
        fn the_table_agrees_with_a_search(micros: u64, shift in 0..64u32) {
            check(micros >> shift);
        }

        #[test]
        fn a_quantile_is_at_least_the_true_one_and_at_most_an_eighth_more(
            mut micros in proptest::collection::vec(8..10_000_000u64, 1..200),
            quantile in 0.0..=1.0f64,
        ) {
            let mut durations = Durations(vec![0; CELLS]);
            for micros in &micros {
                durations.0[cell_of(*micros)] += 1;
            }
            micros.sort_unstable();
            let rank = ((micros.len() as f64 * quantile).ceil() as usize).max(1);
            let exact = micros[rank - 1];
            let found = durations.quantile(quantile).unwrap().as_micros() as u64;
            prop_assert!(exact <= found && found <= exact + exact / 8 + 1, "{exact} {found}");
        }
    }
}
