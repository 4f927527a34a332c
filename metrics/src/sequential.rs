//! The tests behind automatic rollback: each turns counts of good and bad into evidence that may be looked at at any time.
//!
//! # Why e-values
//!
//! A guard looks twice a second for weeks. A classical test that is looked at so often ends in a false alarm with
//! certainty, and one with a fixed sample looks too late. An e-value is a non-negative number whose expectation is at most 1
//! while there is no degradation; products of e-values of successive blocks keep that, so the chance that the product *ever*
//! reaches `1/alpha` is at most `alpha` (Ville), whatever the traffic does and whenever somebody looks.
//!
//! # The block e-variable ([`TwoSample`])
//!
//! Of each block the counts of both sides are compared with each other, so a rate that moves for both, by day or by an
//! outage, is no evidence. With `n`, `f` the requests and failures of a side, `theta_L` the rate of legacy as the past has it and
//! `theta_k` an alternative for new:
//!
//! ```text
//! theta_0 = (n_N theta_k + n_L theta_L) / (n_N + n_L)
//! S_k = (theta_k/theta_0)^f_N ((1-theta_k)/(1-theta_0))^(n_N-f_N) (theta_L/theta_0)^f_L ((1-theta_L)/(1-theta_0))^(n_L-f_L)
//! ```
//!
//! `E[S_k] <= 1` for every common rate (Turner, Ly and Grünwald, *Generic E-variables for exact sequential k-sample tests*,
//! 2024). A margin `delta`, below which nobody cares, moves the null to `theta_L' = theta_L + delta (1 - theta_L)`: `theta_L'` takes
//! the place of `theta_L`, and a success of legacy counts `delta theta_L'/theta_0 + (1-delta)(1-theta_L')/(1-theta_0)`, as if it had been turned into a
//! failure with the chance `delta`. Tests enumerate both claims.
//!
//! A block's factor is tempered to `S^(1/DEFF)` where callers fail together, and capped, so that one bad half second cannot
//! act alone: at 24 for clock A, and at 900 for clock B, which asks for 64,000 times as much. Both keep it an e-value, and a
//! rollback needs the failures of three blocks.
//!
//! # Two clocks ([`Clocks`])
//!
//! Clock A is the mean over the alternatives of the products since the start: small chance of a false alarm *ever*. Clock B
//! is the Shiryaev-Roberts form `M <- (M + 1) S`, which does not tire of a long sound past: an alarm at mean `M >= c` comes without
//! cause once in `c` blocks at most (Shin, Ramdas and Rinaldo, *E-detectors*).
//!
//! # The others
//!
//! [`OneSample`] holds one side against a number: the floor, or the half of discordant pairs (McNemar). [`Betting`] is on a
//! mean of bounded values (Waudby-Smith and Ramdas, *Estimating means of bounded random variables by betting*, 2024). [`Cohorts`]
//! waits until what is reported late is complete, [`latency`] makes good and bad out of durations.
//!
//! Units: logarithms are natural, rates are of one, durations are in microseconds unless a name says otherwise.
//!
//! Deliberately not supported: p-values, fixed sample sizes, intervals as a trigger, seasonal baselines, and counts of more
//! than one stratum of requests.

mod betting;
mod clocks;
mod count;
mod factor;
pub mod latency;
mod one_sample;
mod others;
mod quality;
mod two_sample;

#[cfg(test)]
mod tests;

pub use betting::Betting;
pub use clocks::{Clocks, Damaged, Evidence};
pub(crate) use count::is_unused;
pub use count::{Block, Count};
pub use factor::{FAST, FLEET, FLOOR, Margin, PAIRED, SAFETY, Test, fast_threshold};
pub use one_sample::OneSample;
pub use others::{ByGroup, OTHERS_MIN, Others};
pub use quality::{Cohorts, HORIZONS_SECONDS, Matured, REPORTING_DIFFERS};
pub use two_sample::{Closed, Safety, TwoSample};
