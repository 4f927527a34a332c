//! What all workers counted, added up.

use flags::Side;

use super::attempts::AttemptTotals;
use super::cells::{
    self, CLASSES, DROPS, FAILURES, FALLBACKS, Fallback, MigrationCells, PAIRS, Pair, REASONS, TUNNEL_ENDS,
    UpstreamCells, WorkerCells,
};
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

/// Counts of one endpoint, summed over workers.
#[derive(Debug, Default)]
pub(super) struct EndpointTotals {
    pub(super) connected: u64,
    pub(super) reused: u64,
    pub(super) connect_failed: u64,
    pub(super) started: u64,
    pub(super) finished: u64,
    pub(super) ejected: u64,
    pub(super) shed: u64,
    pub(super) down: bool,
}

impl EndpointTotals {
    pub(super) fn add(&mut self, cells: &UpstreamCells) {
        self.connected += cells.connected.get();
        self.reused += cells.reused.get();
        self.connect_failed += cells.connect_failed.get();
        self.finished += cells.finished.get();
        self.started += cells.started.get();
        self.ejected += cells.ejected.get();
        self.shed += cells.shed.get();
        self.down |= !cells.up.load(std::sync::atomic::Ordering::Relaxed);
    }
}

/// Counts that belong to no migration, summed over workers.
#[derive(Debug, Default)]
pub(super) struct WorkerTotals {
    pub(super) connections_opened: u64,
    pub(super) connections_closed: u64,
    pub(super) handed_over: u64,
    pub(super) limit_reached: u64,
    pub(super) tunnels_opened: u64,
    pub(super) tunnels_closed: [u64; TUNNEL_ENDS],
    pub(super) refused: Vec<u64>,
    pub(super) unrouted: [u64; CLASSES],
    pub(super) other: [u64; CLASSES],
    pub(super) other_duration: BucketTotals,
    pub(super) access_log_dropped: u64,
}

impl WorkerTotals {
    pub(super) fn add(&mut self, cells: &WorkerCells) {
        self.connections_closed += cells.connections_closed.get();
        self.connections_opened += cells.connections_opened.get();
        self.handed_over += cells.handed_over.get();
        self.limit_reached += cells.limit_reached.get();
        add(&mut self.tunnels_closed, &cells.tunnels_closed);
        self.tunnels_opened += cells.tunnels_opened.get();
        for (total, counter) in self.refused.iter_mut().zip(cells.refused.iter()) {
            *total += counter.get();
        }
        add(&mut self.unrouted, &cells.unrouted);
        add(&mut self.other, &cells.other);
        cells.other_duration.add_to(&mut self.other_duration);
        self.access_log_dropped += cells.access_log_dropped.get();
    }
}
