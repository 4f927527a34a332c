//! What the file says of a migration's guard: what may roll back by itself, and at what.
//!
//! # Why so few numbers
//!
//! A guard compares new with legacy while both serve, so it needs no limit of its own for every
//! measure. What only an operator knows is how much worse is still acceptable, below what no
//! comparison matters, and whether going back is possible at all.
//!
//! Not here: how evidence is weighed (`metrics::guard`) and who acts on it (`metrics::rollback`).

use std::time::Duration;

use crate::bucket::BasisPoints;

/// What a guard may do when new is worse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GuardAction {
    /// Roll back by itself, latched.
    #[default]
    Rollback,
    /// Stop progress and tell people; never move traffic.
    Hold,
    /// Not even look.
    Off,
}

/// Whether legacy can take all the traffic at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LegacyWarmth {
    /// Told by what it served of late.
    #[default]
    Measured,
    Warm,
    /// It has to be given its traffic in slices.
    Cold,
}

/// The bounds within which new is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    pub action: GuardAction,
    /// Whether a router rolls back alone, within a fraction of a second, when new is plainly gone.
    pub fast_path: bool,
    /// A success rate below this is not acceptable whatever legacy does; above 0 and below 100 %.
    pub success_floor: BasisPoints,
    /// A mean duration above this is told to people.
    pub mean_duration_limit: Duration,
    /// How much higher a failure rate may be than that of legacy; at most 50 %. A tenth of legacy's own rate is always allowed.
    pub margin: BasisPoints,
    /// The share of sound migrations that may be rolled back by chance, at most; above 0, at most 1 %.
    pub alpha: BasisPoints,
    /// Whether a lower quality of the work rolls back; otherwise it holds.
    pub quality_can_rollback: bool,
    pub legacy: LegacyWarmth,
}

impl Default for Guard {
    fn default() -> Self {
        let share = |bp| BasisPoints::new(bp).unwrap_or(BasisPoints::ZERO);
        Self {
            action: GuardAction::default(),
            fast_path: true,
            success_floor: share(7_000),
            mean_duration_limit: Duration::from_secs(600),
            margin: share(20),
            alpha: share(10),
            quality_can_rollback: false,
            legacy: LegacyWarmth::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_file_format() {
        let guard = Guard::default();
        let shares = [guard.success_floor, guard.margin, guard.alpha].map(BasisPoints::percent);
        assert_eq!(shares, [70.0, 0.2, 0.1]);
        assert_eq!(guard.mean_duration_limit, Duration::from_secs(600));
        assert!(guard.fast_path && guard.action == GuardAction::Rollback && !guard.quality_can_rollback);
    }
}
