//! What the guard would do: two systems that are made up, request by request, in front of the real [`Streams`] and [`judge`].
//!
//! # Why
//!
//! An operator asks before the first percent: how often will this roll back a system that is well, and how many callers meet a
//! broken one until it does? The answer comes from the code that will decide, not from a formula about it. `crossfade simulate`
//! and `benches/ramps` both run this.
//!
//! # What a ramp is
//!
//! Five minutes in which legacy serves alone and its rates are learnt, then blocks of half a second at one share, until a rollback
//! or the end. A brake halves the share, never below 1 %, as without a plan. The same seed gives the same ramp.
//!
//! Deliberately not supported: the routers' own fast test, which acts sooner on a total break; quality, work and pairs;
//! routers that count apart; a store.

mod dice;
mod ramp;
mod world;

#[cfg(test)]
mod tests;

pub use dice::Dice;
pub use ramp::{Ending, Moment, ramp};
pub use world::{Shape, World};

use serde::Serialize;

#[cfg(doc)]
use crate::guard::{Streams, judge};

/// What many ramps came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    pub ramps: usize,
    /// Ramps in which progress was stopped at least once; those that were braked or rolled back included.
    pub held: usize,
    /// Ramps that were braked; those that were rolled back without a brake not included.
    pub braked: usize,
    pub rolled_back: usize,
    /// Until the hold, of those that were held, and so on; `None` without one.
    pub until_hold: Option<Until>,
    pub until_brake: Option<Until>,
    pub until_rollback: Option<Until>,
}

/// What passed until something was done, from when new became bad.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Until {
    pub requests_mean: f64,
    pub requests_p95: f64,
    /// Requests that failed on new, whether or not they would have failed on legacy.
    pub failures_mean: f64,
    pub failures_max: f64,
    pub seconds_mean: f64,
    pub seconds_p95: f64,
}

impl Summary {
    pub fn of(endings: &[Ending]) -> Self {
        let of = |which: fn(&Ending) -> Option<Moment>| endings.iter().filter_map(which).collect::<Vec<_>>();
        let (holds, brakes, rollbacks) = (of(|end| end.held), of(|end| end.braked), of(|end| end.rolled_back));
        Self {
            ramps: endings.len(),
            held: holds.len(),
            braked: brakes.len(),
            rolled_back: rollbacks.len(),
            until_hold: Until::of(&holds),
            until_brake: Until::of(&brakes),
            until_rollback: Until::of(&rollbacks),
        }
    }
}

impl Until {
    fn of(moments: &[Moment]) -> Option<Self> {
        if moments.is_empty() {
            return None;
        }
        let sorted = |of: fn(&Moment) -> f64| {
            let mut values: Vec<f64> = moments.iter().map(of).collect();
            values.sort_unstable_by(f64::total_cmp);
            values
        };
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let p95 = |values: &[f64]| values[(values.len() - 1) * 95 / 100];
        let (requests, failures) = (sorted(|moment| moment.requests), sorted(|moment| moment.failures));
        let seconds = sorted(|moment| moment.seconds);
        Some(Self {
            requests_mean: mean(&requests),
            requests_p95: p95(&requests),
            failures_mean: mean(&failures),
            failures_max: failures.last().copied().unwrap_or_default(),
            seconds_mean: mean(&seconds),
            seconds_p95: p95(&seconds),
        })
    }
}

/// New requests that a test needs on average which knows both rates, until the evidence is `1/alpha`: what cannot be beaten.
///
/// Per request of new the logarithm grows at most by the expectation of the block's factor at the true rates; with `delta` 0 that
/// is `[rho KL(new, mixed) + (1 - rho) KL(legacy, mixed)] / rho`.
pub fn requests_needed(legacy: f64, new: f64, share: f64, delta: f64, threshold: f64) -> f64 {
    let acceptable = legacy + delta * (1.0 - legacy);
    let mixed = share * new + (1.0 - share) * acceptable;
    let part = |weight: f64, ratio: f64| if weight > 0.0 { weight * ratio.ln() } else { 0.0 };
    let of_new = part(new, new / mixed) + part(1.0 - new, (1.0 - new) / (1.0 - mixed));
    let success = delta * acceptable / mixed + (1.0 - delta) * (1.0 - acceptable) / (1.0 - mixed);
    let of_legacy = part(legacy, acceptable / mixed) + part(1.0 - legacy, success);
    threshold.ln() * share / (share * of_new + (1.0 - share) * of_legacy)
}
