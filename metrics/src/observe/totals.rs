//! What all workers counted, added up.

use flags::Side;

use super::attempts::AttemptTotals;
use super::cells::{self, CLASSES, DROPS, FAILURES, FALLBACKS, Fallback, MigrationCells, PAIRS, Pair, REASONS};
use super::histogram::BucketTotals;
use crate::mismatch::ComparisonTotals;
use crate::outcome::{CodeClass, Failure};

/// Counts of one migration.
#[derive(Clone, Debug, Default)]
pub struct MigrationTotals {
    pub(super) sides: [SideTotals; 2],
    pub(super) fallbacks: [u64; FALLBACKS],
    pub(super) pairs: [u64; PAIRS],
    pub(crate) mirrors_dropped: [u64; DROPS],
    pub(crate) mirror_breaker_opened: u64,
    pub(crate) comparisons: ComparisonTotals,
}

impl MigrationTotals {
    pub const fn side(&self, side: Side) -> &SideTotals {
        match side {
            Side::Legacy => &self.sides[0],
            Side::New => &self.sides[1],
        }
    }

    /// Requests that new failed, by what came of asking legacy.
    pub const fn fallbacks(&self, result: Fallback) -> u64 {
        self.fallbacks[result as usize]
    }

    /// Requests that both sides were given, by who failed.
    pub const fn pairs(&self, pair: Pair) -> u64 {
        self.pairs[pair as usize]
    }

    pub(super) fn add(&mut self, cells: &MigrationCells) {
        for (total, side) in self.sides.iter_mut().zip(&cells.sides) {
            total.add(side);
        }
        add(&mut self.fallbacks, &cells.fallbacks);
        add(&mut self.pairs, &cells.pairs);
        add(&mut self.mirrors_dropped, &cells.mirrors_dropped);
        self.mirror_breaker_opened += cells.mirror_breaker_opened.get();
    }
}

/// Counts of one side of one migration.
#[derive(Clone, Debug, Default)]
pub struct SideTotals {
    pub(super) decisions: [u64; REASONS],
    pub(super) requests: [u64; CLASSES],
    pub(super) failures: [u64; FAILURES],
    pub(super) attempts: AttemptTotals,
    pub mirrored: u64,
    pub mirror_finished: u64,
    pub mirror_failed: u64,
    pub(super) duration: BucketTotals,
    pub(super) added: BucketTotals,
}

impl SideTotals {
    /// Requests that were decided for this side, for whatever reason.
    pub fn decided(&self) -> u64 {
        self.decisions.iter().sum()
    }

    /// Requests over, by the class of what the caller met.
    pub const fn requests(&self, class: CodeClass) -> u64 {
        self.requests[class as usize]
    }

    /// Attempts that failed, by kind.
    pub const fn failures(&self, failure: Failure) -> u64 {
        self.failures[failure as usize]
    }

    /// First attempts, by what the side did.
    pub const fn attempts(&self) -> &AttemptTotals {
        &self.attempts
    }

    /// Requests by how long they took, in the buckets that are scraped, and how long they took together.
    pub(crate) fn durations(&self) -> (&[u64], u64) {
        (&self.duration.counts, self.duration.sum_us)
    }

    pub(super) fn add(&mut self, cells: &cells::SideCells) {
        add(&mut self.decisions, &cells.decisions);
        add(&mut self.requests, &cells.requests);
        add(&mut self.failures, &cells.failures);
        self.attempts.add(&cells.attempts);
        self.mirrored += cells.mirrored.get();
        self.mirror_finished += cells.mirror_finished.get();
        self.mirror_failed += cells.mirror_failed.get();
        cells.duration.add_to(&mut self.duration);
        cells.added.add_to(&mut self.added);
    }
}

pub(super) fn add<const N: usize>(totals: &mut [u64; N], counters: &[cells::Counter; N]) {
    for (total, counter) in totals.iter_mut().zip(counters) {
        *total += counter.get();
    }
}
