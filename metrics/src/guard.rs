//! What the counts of a migration mean and what is to be done about it: weights, thresholds, arbitration.
//!
//! # Why pure
//!
//! A rollback must be explainable the next morning: the same counts lead to the same decision on every router and every day. So
//! [`Streams::fold`] takes counts and [`judge`] takes what stands, and neither looks at a clock, a store or a network.
//!
//! # How measures are put together
//!
//! The weighted mean of e-values is an e-value however they depend on each other, so there is one number to compare with one
//! threshold and nothing to correct for looking at many measures: success .40, latency .20, mean duration .05, mismatch .15,
//! quality .10, floor .10. What may not roll back counts for nothing against new in the mean that rolls back, and in full in the
//! one that holds. Clocks are averaged apart, and the larger mean counts.
//!
//! # Thresholds
//!
//! | Evidence | Action |
//! |---|---|
//! | 20 | hold: no further progress; released below 5 |
//! | 100 | brake: the previous step |
//! | `1/alpha` (1000) | emergency rollback, latched |
//!
//! A sound migration is rolled back with a chance of at most `alpha` since its start, and at most once a year besides.
//!
//! Deliberately not supported: weights in the file, guards that an operator writes as expressions, a rollback by quality
//! or by mean duration alone without being asked for.

mod judge;
mod keys;
mod measure;
mod record;
mod seen;
mod settings;
mod streams;
mod window;

#[cfg(test)]
mod tests;

pub use judge::{Action, Judgement, Pace, Standing, State, Verdict, Why, judge};
pub use keys::Keys;
pub use measure::Measure;
pub use record::{Interval, Record, Span, Thresholds};
pub use seen::{Pairs, Seen};
pub use settings::{GuardSettings, SettingsError};
pub use streams::Streams;
