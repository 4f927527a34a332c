//! Evidence as it adds up: one number per alternative and clock, in logarithms.
//!
//! # Why bounded
//!
//! Every logarithm stays within 60 of zero. Evidence beyond `e^60` decides nothing more. What lifts a product that has sunk
//! below `e^-60` adds less than `1e-17` to an expectation in a year of half seconds, and keeps the state finite and small.
//!
//! Clock B is kept as `ln(M + 1)`, which is never negative and begins at 0.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::count::{is_unused, rounded_down};
use super::factor::Caps;

/// The largest logarithm, and minus the smallest.
pub(super) const LN_MAX: f64 = 60.0;

/// A product this far below 1 in logarithms is none.
const LN_NEGLIGIBLE: f64 = 30.0;

/// `ln(1 + x)` is less than what is stored for an `x` of which this is the logarithm.
const LN_NOTHING: f64 = -14.0;

/// More alternatives than any test has.
const ALTERNATIVES_MAX: usize = 16;

/// Blocks without cause that clock B lets pass for one unit of evidence: 1000 units are 6.4e7 half seconds, a year.
///
/// The test of one router has blocks of a tenth and a threshold ten times as high, which is a year again.
const BLOCKS_PER_UNIT: f64 = 6.4e4;

/// A stored stream holds what no fold writes; it is to be dropped and begun anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Damaged {
    #[error("stored evidence is not a number within its bounds; this stream begins anew")]
    Evidence,
    #[error("stored counts are impossible; this stream begins anew")]
    Counts,
}

/// What the two clocks show, in units of an e-value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Clock A, since the start.
    pub since_start: f64,
    /// Clock B, which restarts by itself, scaled so that 1000 comes without cause once a year.
    pub restarting: f64,
}

impl Evidence {
    /// What a stream without data says.
    pub const NONE: Self = Self { since_start: 1.0, restarting: 0.0 };

    /// The larger of the two.
    pub fn value(self) -> f64 {
        self.since_start.max(self.restarting)
    }

    /// As much as may count where this may speak for new, but not against it.
    #[must_use]
    pub fn harmless(self) -> Self {
        Self { since_start: self.since_start.min(1.0), restarting: 0.0 }
    }

    /// The weighted mean, clock by clock: valid however the streams depend on each other. Weights sum to 1.
    pub fn mean(weighted: impl IntoIterator<Item = (f64, Self)>) -> Self {
        let mut mean = Self { since_start: 0.0, restarting: 0.0 };
        for (weight, evidence) in weighted {
            mean.since_start += weight * evidence.since_start;
            mean.restarting += weight * evidence.restarting;
        }
        mean
    }
}

/// Both clocks, for each alternative of a test.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Clocks {
    #[serde(default, skip_serializing_if = "is_unused")]
    a: Vec<f64>,
    #[serde(default, skip_serializing_if = "is_unused")]
    b: Vec<f64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Stored {
    a: Vec<f64>,
    b: Vec<f64>,
}

impl TryFrom<Stored> for Clocks {
    type Error = Damaged;

    fn try_from(Stored { a, b }: Stored) -> Result<Self, Damaged> {
        let is_sound = a.len() == b.len()
            && a.len() <= ALTERNATIVES_MAX
            && a.iter().all(|ln| (-LN_MAX..=LN_MAX).contains(ln))
            && b.iter().all(|ln| (0.0..=LN_MAX).contains(ln));
        if is_sound { Ok(Self { a, b }) } else { Err(Damaged::Evidence) }
    }
}

impl Clocks {
    /// Takes in the factors of one block, as logarithms, one per alternative.
    ///
    /// Each clock takes at most its cap.
    ///
    /// Clocks that have another number of alternatives, from another release, begin anew.
    pub(super) fn advance(&mut self, ln_factors: &[f64], caps: Caps) {
        if self.a.len() != ln_factors.len() {
            self.a = vec![0.0; ln_factors.len()];
            self.b = vec![0.0; ln_factors.len()];
        }
        if ln_factors.iter().any(|ln| ln.is_nan()) {
            return;
        }
        for ((a, b), ln) in self.a.iter_mut().zip(&mut self.b).zip(ln_factors) {
            *a = rounded_down((*a + ln.min(caps.since_start)).clamp(-LN_MAX, LN_MAX));
            // ln(1 + (M + 1) S), where b is ln(M + 1).
            let grown = (*b + ln.min(caps.restarting)).min(LN_MAX);
            *b = if grown < LN_NOTHING { 0.0 } else { rounded_down(grown.exp().ln_1p().min(LN_MAX)) };
        }
    }

    pub fn evidence(&self) -> Evidence {
        if self.a.is_empty() {
            return Evidence::NONE;
        }
        let count = self.a.len() as f64;
        // What has sunk so far adds nothing to a sum that anybody looks at.
        let since_start = self.a.iter().filter(|ln| **ln > -LN_NEGLIGIBLE).map(|ln| ln.exp()).sum::<f64>() / count;
        let restarts = self.b.iter().filter(|ln| **ln > 0.0).map(|ln| ln.exp_m1()).sum::<f64>() / count;
        Evidence { since_start, restarting: restarts / BLOCKS_PER_UNIT }
    }
}

/// The logarithm of the mean of what the logarithms stand for.
pub(super) fn ln_mean(lns: &[f64]) -> f64 {
    let largest = lns.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !largest.is_finite() {
        return 0.0;
    }
    largest + (lns.iter().map(|ln| (ln - largest).exp()).sum::<f64>() / lns.len() as f64).ln()
}
