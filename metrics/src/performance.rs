//! How both sides did over a window, and by how much new is better: the story's performance comparison.
//!
//! # Why beside the guard
//!
//! A guard decides at every moment and must be right at every one of them; a person asks about one
//! window and wants a number with its uncertainty. So these are ordinary 95 % intervals for one look,
//! never what a rollback is decided on.
//!
//! | Figure | Interval |
//! |---|---|
//! | a rate of success or quality, 0..1 | Wilson's score interval |
//! | the difference of two rates | Newcombe's hybrid of both (Newcombe 1998, method 10) |
//! | the difference of two mean durations, seconds | Welch: normal, with the variances of both sides |
//!
//! Means and quantiles come from histograms whose cells are at most an eighth wide: a mean is within a
//! sixteenth of the true one, a quantile is the upper edge of its cell. Quality is a value of 0..1 for each
//! piece of work; no such value varies more than one that is 0 or 1, so that a rate's interval holds for it.
//!
//! Not here: corrections for looking often, and for callers that depend on each other.

use std::time::Duration;

use flags::tally::Tally;

use crate::observe::{CELLS, Durations, cell_of_duration, cell_start_us};

/// The quantile of the normal distribution for 95 %, two-sided.
const Z: f64 = 1.959_963_985;

/// What one side did in a window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Side {
    pub requests: Kind,
    /// Work that ended later, as the systems reported it.
    pub work: Kind,
    pub quality: Quality,
}

/// Things of one kind that a side did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kind {
    pub total: u64,
    pub failed: u64,
    pub durations: Durations,
}

/// What the systems said of the work's quality.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    /// Pieces of work that were begun in the window.
    pub jobs: u64,
    /// Those of which anything was said.
    pub reported: u64,
    /// The sum of what was said, 0..1 each.
    pub sum: f64,
}

/// A value with the range that holds the true one 19 times of 20.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// By how much new is better than legacy; `None` where a side has nothing to compare.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Improvement {
    /// New's rate minus legacy's, -1..1.
    pub success_rate: Option<Estimate>,
    /// Legacy's mean minus new's, in seconds.
    pub duration_seconds: Option<Estimate>,
    /// New's mean minus legacy's, -1..1.
    pub quality: Option<Estimate>,
}

impl Side {
    /// What the fleet counted on one side. Quality is not among its counts.
    pub fn of(tally: &Tally) -> Self {
        let mut side = Self::default();
        for (name, count) in tally.iter() {
            match name {
                "ok" | "refused" => side.requests.total += count,
                "failed" => side.requests.count_failed(count),
                WORK_OK => side.work.total += count,
                WORK_BAD => side.work.count_failed(count),
                _ => {
                    let cell = |prefix| name.strip_prefix(prefix).and_then(|cell: &str| cell.parse().ok());
                    if let Some(cell) = cell('h') {
                        side.requests.durations.add(cell, count);
                    } else if let Some(cell) = cell('w') {
                        side.work.durations.add(cell, count);
                    }
                }
            }
        }
        side
    }
}

/// What the end of one piece of work adds to the counts of its side.
pub fn work_counts(success: bool, seconds: f64) -> [(String, u64); 2] {
    let micros = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    let cell = cell_of_duration(micros);
    [(if success { WORK_OK } else { WORK_BAD }.to_owned(), 1), (format!("w{cell}"), 1)]
}

/// Names under which work that ended later is counted, beside `w<cell>` for how long it took.
pub const WORK_OK: &str = "work_ok";
pub const WORK_BAD: &str = "work_bad";

impl Kind {
    const fn count_failed(&mut self, count: u64) {
        self.total += count;
        self.failed += count;
    }

    /// The share that succeeded.
    pub fn success_rate(&self) -> Option<Estimate> {
        rate(self.total.saturating_sub(self.failed) as f64, self.total as f64)
    }

    /// In seconds.
    pub fn mean_seconds(&self) -> Option<f64> {
        moments(&self.durations).map(|(mean, _, _)| mean)
    }
}

impl Quality {
    /// The mean of what was said.
    pub fn score(&self) -> Option<Estimate> {
        rate(self.sum, self.reported as f64)
    }
}

impl Improvement {
    /// Compares work where both sides have reported some, and requests otherwise.
    pub fn of(legacy: &Side, new: &Side) -> Self {
        let by_work = Self::is_of_work(legacy, new);
        let kind = |side: &'_ Side| if by_work { side.work.clone() } else { side.requests.clone() };
        let (old, young) = (kind(legacy), kind(new));
        Self {
            success_rate: difference(young.success_rate(), old.success_rate()),
            duration_seconds: mean_difference(&old.durations, &young.durations),
            quality: difference(new.quality.score(), legacy.quality.score()),
        }
    }

    pub fn is_of_work(legacy: &Side, new: &Side) -> bool {
        legacy.work.total > 0 && new.work.total > 0
    }
}

/// Wilson's interval of a rate.
pub fn rate(good: f64, total: f64) -> Option<Estimate> {
    if total <= 0.0 {
        return None;
    }
    let value = (good / total).clamp(0.0, 1.0);
    let z2 = Z * Z;
    let middle = (value + z2 / (2.0 * total)) / (1.0 + z2 / total);
    let half = Z / (1.0 + z2 / total) * (value * (1.0 - value) / total + z2 / (4.0 * total * total)).sqrt();
    Some(Estimate { value, low: (middle - half).max(0.0), high: (middle + half).min(1.0) })
}

/// Newcombe's interval of the first rate minus the second.
pub fn difference(first: Option<Estimate>, second: Option<Estimate>) -> Option<Estimate> {
    let (a, b) = (first?, second?);
    let value = a.value - b.value;
    let low = value - ((a.value - a.low).powi(2) + (b.high - b.value).powi(2)).sqrt();
    let high = value + ((a.high - a.value).powi(2) + (b.value - b.low).powi(2)).sqrt();
    Some(Estimate { value, low: low.max(-1.0), high: high.min(1.0) })
}

fn mean_difference(first: &Durations, second: &Durations) -> Option<Estimate> {
    let ((a, a_variance, a_count), (b, b_variance, b_count)) = (moments(first)?, moments(second)?);
    let half = Z * (a_variance / a_count + b_variance / b_count).sqrt();
    let value = a - b;
    Some(Estimate { value, low: value - half, high: value + half })
}

/// Mean and variance in seconds, and how many.
fn moments(durations: &Durations) -> Option<(f64, f64, f64)> {
    let count = durations.count() as f64;
    if count <= 0.0 {
        return None;
    }
    let cells = || durations.cells().iter().enumerate().filter(|(_, count)| **count > 0);
    let mean = cells().map(|(cell, many)| middle(cell) * *many as f64).sum::<f64>() / count;
    let squares = cells().map(|(cell, many)| (middle(cell) - mean).powi(2) * *many as f64).sum::<f64>();
    Some((mean, squares / count, count))
}

/// The middle of a cell, in seconds; of the last, which has no end, its start.
fn middle(cell: usize) -> f64 {
    let start = cell_start_us(cell);
    let end = if cell + 1 < CELLS { cell_start_us(cell + 1) } else { start };
    (start + end) as f64 / 2e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn close(found: Option<Estimate>, expected: [f64; 3]) {
        let Estimate { value, low, high } = found.unwrap();
        for (found, expected) in [value, low, high].into_iter().zip(expected) {
            assert!((found - expected).abs() < 5e-4, "{value} {low} {high}, not {expected}");
        }
    }

    /// Newcombe, "Interval estimation for the difference between independent proportions", Statistics in
    /// Medicine 17 (1998), table II: 56/70 against 48/80 and 10/10 against 0/10, method 10.
    #[test]
    fn intervals_are_those_of_the_literature() {
        close(rate(81.0, 263.0), [0.308, 0.2553, 0.3662]);
        close(difference(rate(56.0, 70.0), rate(48.0, 80.0)), [0.2, 0.0524, 0.3339]);
        close(difference(rate(10.0, 10.0), rate(0.0, 10.0)), [1.0, 0.6075, 1.0]);
    }

    fn kind(total: u64, failed: u64, micros: &[u64]) -> Kind {
        Kind { total, failed, durations: Durations::of(micros) }
    }

    #[test]
    fn work_is_compared_where_both_sides_report_it_and_requests_otherwise() {
        let requests = kind(100, 1, &[1_000; 100]);
        let mut legacy = Side { requests: requests.clone(), work: kind(10, 4, &[90_000_000; 10]), ..Side::default() };
        let mut new = Side { requests: kind(100, 3, &[2_000; 100]), ..Side::default() };
        let by_requests = Improvement::of(&legacy, &new);
        assert!((by_requests.success_rate.unwrap().value + 0.02).abs() < 1e-9);
        assert!((by_requests.duration_seconds.unwrap().value + 0.001).abs() < 1e-4);
        assert_eq!(by_requests.quality, None);
        new.work = kind(10, 1, &[60_000_000; 10]);
        (legacy.quality, new.quality) =
            (Quality { jobs: 10, reported: 4, sum: 2.0 }, Quality { jobs: 10, reported: 5, sum: 4.0 });
        let by_work = Improvement::of(&legacy, &new);
        assert!((by_work.success_rate.unwrap().value - 0.3).abs() < 1e-9);
        let seconds = by_work.duration_seconds.unwrap().value;
        assert!((seconds - 30.0).abs() < 30.0 / 8.0, "{seconds}");
        assert!((by_work.quality.unwrap().value - 0.3).abs() < 1e-9);
    }

    #[test]
    fn a_side_is_read_from_what_the_fleet_counted() {
        let mut tally = Tally::default();
        for (name, count) in [
            ("ok", 7),
            ("refused", 2),
            ("failed", 1),
            ("h8", 9),
            ("h9", 1),
            ("work_ok", 3),
            ("work_bad", 1),
            ("w100", 4),
            ("hx", 5),
            ("2xx", 9),
        ] {
            tally.add(name, count);
        }
        let side = Side::of(&tally);
        assert_eq!((side.requests.total, side.requests.failed, side.requests.durations.count()), (10, 1, 10));
        assert_eq!((side.work.total, side.work.failed, side.work.durations.count()), (4, 1, 4));
    }

    #[test]
    fn nothing_is_compared_with_nothing() {
        assert_eq!(Improvement::of(&Side::default(), &Side::default()), Improvement::default());
        let one = Side { requests: kind(1, 0, &[5]), ..Side::default() };
        assert_eq!(Improvement::of(&Side::default(), &one), Improvement::default());
    }

    #[test]
    fn a_mean_is_within_a_sixteenth() {
        for micros in [9, 100, 12_345, 600_000_000] {
            let mean = kind(3, 0, &[micros; 3]).mean_seconds().unwrap() * 1e6;
            assert!((mean - micros as f64).abs() <= micros as f64 / 16.0 + 1.0, "{mean} {micros}");
        }
    }
}
