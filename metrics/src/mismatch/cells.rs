//! What became of each request that both sides were to be compared by: counted by workers and the comparing thread alike.
//!
//! # Why atomics and not the cells of a worker
//!
//! A request is eligible on its worker, given up there or on a mirror's task, and compared on a thread of its own. So these
//! counters have many writers; each addition is relaxed, and none is on the way of a request that is not in parallel mode.
//!
//! Every eligible request ends in exactly one of matched, ignored, mismatched and not compared.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::compare::NotCompared;

/// Why there was no pair of answers to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotPaired {
    /// As many copies were under way as may be.
    Busy,
    /// The budget for bodies was used up.
    Memory,
    /// It had waited for too long.
    Age,
    /// The side that is only compared had failed too often of late.
    Breaker,
    /// The request's body was larger than is copied.
    BodyTooLarge,
    /// The router was about to end.
    Draining,
    /// No endpoint would take the copy.
    NoEndpoint,
    /// The caller went away.
    Cancelled,
    /// As many pairs waited to be compared as may.
    ComparerBusy,
    /// The serving side answered before it had the whole request.
    Refused,
    /// The time of a copy was over before its side had answered.
    TimedOut,
    /// The request had a condition that the copy had not, and it decided the answer.
    Precondition,
    LegacyFailed,
    NewFailed,
}

impl NotPaired {
    pub const ALL: [Self; 14] = [
        Self::Busy,
        Self::Memory,
        Self::Age,
        Self::Breaker,
        Self::BodyTooLarge,
        Self::Draining,
        Self::NoEndpoint,
        Self::Cancelled,
        Self::ComparerBusy,
        Self::Refused,
        Self::TimedOut,
        Self::Precondition,
        Self::LegacyFailed,
        Self::NewFailed,
    ];

    /// Stable, for labels and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Memory => "memory",
            Self::Age => "age",
            Self::Breaker => "breaker",
            Self::BodyTooLarge => "body_too_large",
            Self::Draining => "draining",
            Self::NoEndpoint => "no_endpoint",
            Self::Cancelled => "cancelled",
            Self::ComparerBusy => "comparer_busy",
            Self::Refused => "refused",
            Self::TimedOut => "timed_out",
            Self::Precondition => "precondition",
            Self::LegacyFailed => "legacy_failed",
            Self::NewFailed => "new_failed",
        }
    }
}

/// What became of a request whose answers were compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compared {
    Matched,
    /// It differs where it may: by a rule, or as legacy differs from itself.
    Ignored,
    Mismatched,
}

impl Compared {
    pub const ALL: [Self; 3] = [Self::Matched, Self::Ignored, Self::Mismatched];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::Ignored => "ignored",
            Self::Mismatched => "mismatched",
        }
    }
}

const RESULTS: usize = Compared::ALL.len();
const REASONS: usize = NotPaired::ALL.len() + NotCompared::ALL.len();

/// Why a request was not compared, of both kinds: the names of all, in the order of their counters.
pub fn reasons() -> impl Iterator<Item = &'static str> {
    let paired = NotPaired::ALL.into_iter().map(NotPaired::name);
    paired.chain(NotCompared::ALL.into_iter().map(NotCompared::name))
}

/// Requests of which legacy was asked twice, by who differed from legacy's first answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twin {
    /// New did, and legacy's second answer did not.
    OnlyNew,
    /// Legacy's second answer did, and new did not.
    OnlyLegacy,
    /// Both did, or none.
    Same,
}

impl Twin {
    pub const ALL: [Self; 3] = [Self::OnlyNew, Self::OnlyLegacy, Self::Same];
}

/// The counters of one migration.
#[derive(Debug, Default)]
pub struct ComparisonCells {
    eligible: AtomicU64,
    results: [AtomicU64; RESULTS],
    not_compared: [AtomicU64; REASONS],
    twins: [AtomicU64; Twin::ALL.len()],
}

/// The counters of one route, which are those of its migration too.
#[derive(Debug, Default)]
pub struct RouteCells {
    own: ComparisonCells,
    migration: Arc<ComparisonCells>,
}

/// What was counted so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComparisonTotals {
    pub eligible: u64,
    results: [u64; RESULTS],
    not_compared: Vec<u64>,
    twins: [u64; Twin::ALL.len()],
}

fn one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl ComparisonCells {
    fn ended(&self, at: usize) {
        if let Some(counter) = self.not_compared.get(at) {
            one(counter);
        }
    }

    /// What legacy's second answer to one request told.
    pub fn twin(&self, twin: Twin) {
        one(&self.twins[twin as usize]);
    }

    pub fn totals(&self) -> ComparisonTotals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ComparisonTotals {
            eligible: read(&self.eligible),
            results: self.results.each_ref().map(read),
            not_compared: self.not_compared.iter().map(read).collect(),
            twins: self.twins.each_ref().map(read),
        }
    }
}

impl RouteCells {
    pub fn new(migration: Arc<ComparisonCells>) -> Self {
        Self { own: ComparisonCells::default(), migration }
    }

    /// A request is to be compared.
    pub fn eligible(&self) {
        one(&self.own.eligible);
        one(&self.migration.eligible);
    }

    /// An eligible request has no pair of answers.
    pub fn not_compared(&self, why: NotPaired) {
        self.ended(why as usize);
    }

    /// An eligible request has a pair of answers that say nothing about each other.
    pub(crate) fn not_comparable(&self, why: NotCompared) {
        let at = NotCompared::ALL.iter().position(|other| *other == why);
        self.ended(NotPaired::ALL.len() + at.unwrap_or_default());
    }

    pub(crate) fn compared(&self, result: Compared) {
        one(&self.own.results[result as usize]);
        one(&self.migration.results[result as usize]);
    }

    pub(crate) fn migration(&self) -> &ComparisonCells {
        &self.migration
    }

    pub fn totals(&self) -> ComparisonTotals {
        self.own.totals()
    }

    fn ended(&self, at: usize) {
        self.own.ended(at);
        self.migration.ended(at);
    }
}

impl ComparisonTotals {
    pub const fn result(&self, result: Compared) -> u64 {
        self.results[result as usize]
    }

    pub const fn twins(&self, twin: Twin) -> u64 {
        self.twins[twin as usize]
    }

    pub fn compared(&self) -> u64 {
        self.results.iter().sum()
    }

    pub fn not_compared(&self) -> u64 {
        self.not_compared.iter().sum()
    }

    /// Why requests were not compared, and how many; also those that never happened.
    pub fn by_reason(&self) -> impl Iterator<Item = (&'static str, u64)> {
        reasons().zip(self.not_compared.iter().copied().chain(std::iter::repeat(0)))
    }

    pub fn add(&mut self, other: &Self) {
        self.eligible += other.eligible;
        self.results.iter_mut().zip(other.results).for_each(|(sum, more)| *sum += more);
        self.not_compared.resize(REASONS, 0);
        self.not_compared.iter_mut().zip(&other.not_compared).for_each(|(sum, more)| *sum += more);
        self.twins.iter_mut().zip(other.twins).for_each(|(sum, more)| *sum += more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_with_its_route_and_its_migration() {
        let migration = Arc::new(ComparisonCells::default());
        let routes = [(); 2].map(|()| RouteCells::new(Arc::clone(&migration)));
        for route in &routes {
            (0..4).for_each(|_| route.eligible());
            route.compared(Compared::Ignored);
            route.not_compared(NotPaired::NewFailed);
            route.not_comparable(NotCompared::Nodes);
        }
        routes[0].compared(Compared::Mismatched);
        routes[1].not_compared(NotPaired::Busy);
        let (one, all) = (routes[0].totals(), migration.totals());
        assert_eq!((one.eligible, one.compared(), one.not_compared()), (4, 2, 2));
        assert_eq!((all.eligible, all.compared(), all.not_compared()), (8, 3, 5));
        let told: Vec<_> = all.by_reason().filter(|(_, count)| *count > 0).collect();
        assert_eq!(told, [("busy", 1), ("new_failed", 2), ("nodes", 2)]);
        let mut sum = ComparisonTotals::default();
        routes.iter().for_each(|route| sum.add(&route.totals()));
        assert_eq!(sum, all);
    }

    #[test]
    fn every_reason_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = reasons().collect();
        assert_eq!(names.len(), REASONS);
    }
}
