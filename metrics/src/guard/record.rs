//! What a decision was made of, for the audit, the notification, the dashboard and the log.
//!
//! The interval is Newcombe's of 1998 for a difference of two proportions, from Wilson's for each. It is for people to read and
//! never decides: an interval that is looked at every half second has no level.

use serde::{Deserialize, Serialize};

use super::measure::Measure;
use crate::sequential::{Block, Count};

/// Two-sided 95 %.
const Z: f64 = 1.959_964;

/// Of how long the counts of a record are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Span {
    /// The last ten seconds.
    LastSeconds,
    /// About the last 500 blocks with traffic, the older the less.
    LastMinutes,
}

impl Span {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::LastSeconds => "in the last 10 s",
            Self::LastMinutes => "lately",
        }
    }
}

/// The rate of new less the rate of legacy, and where it lies in 95 of 100 cases.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    pub estimate: f64,
    pub low: f64,
    pub high: f64,
}

impl Interval {
    /// `None` without requests on both sides.
    pub fn of(block: &Block) -> Option<Self> {
        if !block.is_valid() {
            return None;
        }
        let (new, legacy) = (block.new.rate()?, block.legacy.rate()?);
        let ((new_low, new_high), (legacy_low, legacy_high)) = (wilson(block.new), wilson(block.legacy));
        let estimate = new - legacy;
        let low = estimate - (new - new_low).hypot(legacy_high - legacy);
        let high = estimate + (new_high - new).hypot(legacy - legacy_low);
        Some(Self { estimate, low: low.max(-1.0), high: high.min(1.0) })
    }
}

/// Wilson's interval for a rate.
fn wilson(count: Count) -> (f64, f64) {
    let (n, rate) = (count.total, count.bad / count.total);
    let centre = rate + Z * Z / (2.0 * n);
    let half = Z * (rate * (1.0 - rate) / n + Z * Z / (4.0 * n * n)).sqrt();
    let width = 1.0 + Z * Z / n;
    (((centre - half) / width).max(0.0), ((centre + half) / width).min(1.0))
}

/// The evidence at which something is done.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Thresholds {
    pub release: f64,
    pub hold: f64,
    pub brake: f64,
    pub rollback: f64,
}

impl Thresholds {
    /// For a chance `alpha` of a false rollback.
    pub fn of(alpha: f64) -> Self {
        let rollback = 1.0 / alpha;
        Self { release: 5.0, hold: rollback.min(20.0), brake: rollback.min(100.0), rollback }
    }
}

/// Why a decision was made, so that it can be read, and made again from the same counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The measure that added most.
    pub measure: Measure,
    /// Counts of that measure, or of requests where it has no sides of its own.
    pub legacy: Count,
    pub new: Count,
    pub span: Span,
    /// The weighted mean over all measures that was compared with the thresholds.
    pub evidence: f64,
    /// What that measure says alone.
    pub evidence_of_measure: f64,
    pub difference: Option<Interval>,
    pub thresholds: Thresholds,
    pub failing_keys: u32,
    pub needed_keys: u32,
    /// One sentence.
    pub why: String,
}

/// Counts as people read them.
pub(super) fn whole(count: Count) -> Count {
    Count::new(count.total.round(), count.bad.round())
}
