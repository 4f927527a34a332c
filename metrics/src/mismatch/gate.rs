//! Whether what was compared is enough to go on: passed, failed, or not known.
//!
//! No evidence is no success. Too few pairs, and too many requests that nobody has compared, are unknown, whatever the others
//! say. What differs as legacy differs from itself is ignored before it comes here.

use super::findings::Totals;

/// What a gate asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bar {
    /// Pairs of answers that were compared.
    pub pairs_min: u64,
    /// The share of them that may differ beyond noise.
    pub mismatched_max: f64,
    /// The share of eligible requests that must have been compared.
    pub coverage_min: f64,
}

impl Default for Bar {
    fn default() -> Self {
        Self { pairs_min: 1_000, mismatched_max: 0.001, coverage_min: 0.95 }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    Passed,
    Failed { why: String },
    Unknown { why: String },
}

impl Gate {
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed { .. } => "failed",
            Self::Unknown { .. } => "unknown",
        }
    }

    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Passed => None,
            Self::Failed { why } | Self::Unknown { why } => Some(why),
        }
    }
}

/// Judges totals; what is over the limit fails even where little was compared.
pub fn gate(totals: &Totals, bar: &Bar) -> Gate {
    let (compared, mismatched) = (totals.compared(), totals.mismatched);
    let percent = |share: f64| share * 100.0;
    if compared < bar.pairs_min {
        let why = format!("{compared} pairs were compared, {} are needed", bar.pairs_min);
        return Gate::Unknown { why };
    }
    let share = mismatched as f64 / compared as f64;
    if share > bar.mismatched_max {
        let (is, may) = (percent(share), percent(bar.mismatched_max));
        return Gate::Failed { why: format!("{mismatched} of {compared} differ, {is:.2} %; {may} % may") };
    }
    match totals.coverage() {
        Some(coverage) if coverage >= bar.coverage_min => Gate::Passed,
        coverage => {
            let (is, least) = (percent(coverage.unwrap_or_default()), percent(bar.coverage_min));
            Gate::Unknown { why: format!("{is:.1} % of eligible requests were compared, {least} % are needed") }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(matched: u64, ignored: u64, mismatched: u64, not_compared: u64, expected: &str) {
        let not_compared_by = [("busy".to_owned(), not_compared)].into();
        let eligible = matched + ignored + mismatched + not_compared;
        let totals = Totals { eligible, matched, ignored, mismatched, not_compared_by };
        assert_eq!(gate(&totals, &Bar::default()).name(), expected, "{totals:?}");
    }

    #[test]
    fn what_nobody_looked_at_is_no_success() {
        check(0, 0, 0, 0, "unknown");
        check(999, 0, 0, 0, "unknown");
        check(999, 0, 1, 0, "passed");
        check(998, 0, 2, 0, "failed");
        check(0, 1_000, 0, 0, "passed");
        check(1_000, 0, 0, 52, "passed");
        check(1_000, 0, 0, 53, "unknown");
        check(900, 0, 100, 9_000, "failed");
        check(0, 0, 900, 0, "unknown");
    }
}
