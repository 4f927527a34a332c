//! Whether what was found counts, is noise, or is not known well enough.
//!
//! # The rule
//!
//! Legacy differs from itself at times: clocks, ids, caches. A finding *counts* when the lower end of the 95 % interval of its
//! share among compared requests is above the upper end of the interval of legacy's own share among requests that legacy was
//! asked twice, on at least 200 requests (20 of a status), and the shares are at least 0.1 points apart. It is *noise* where
//! legacy has it with itself and new not above that. The same rule is asked of the last hour, so that what has just begun counts
//! although it was not there for long. What has counted and was not found in the last hour, in so many requests that it should have
//! been, is *gone*: mended, as far as anybody can tell. Anything else is *insufficient data*, which is never taken for equal.

use serde::{Deserialize, Serialize};

use crate::compare::Kind;
use crate::wilson::wilson;

/// Requests on which a finding is judged at least.
pub const COMPARED_MIN: u64 = 200;
pub const COMPARED_MIN_OF_STATUS: u64 = 20;

/// Requests that legacy was asked twice, below which nothing is called noise.
pub const TWICE_MIN: u64 = 10;

/// How far apart both shares are at least.
pub const GAP_MIN: f64 = 0.001;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    Counted,
    Insufficient,
    Noise,
    /// It has counted, and is not there any more.
    Gone,
}

impl Standing {
    pub const ALL: [Self; 4] = [Self::Counted, Self::Insufficient, Self::Noise, Self::Gone];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Insufficient => "insufficient",
            Self::Noise => "noise",
            Self::Gone => "gone",
        }
    }

    /// Of a kind, by how often it was found in how many requests: of new, and of legacy with itself.
    pub fn of(kind: Kind, (raw, compared): (u64, u64), (noise, twice): (u64, u64)) -> Self {
        let least = if kind == Kind::StatusChanged { COMPARED_MIN_OF_STATUS } else { COMPARED_MIN };
        if compared < least {
            return Self::Insufficient;
        }
        let share = |hits: u64, of: u64| if of == 0 { 0.0 } else { hits as f64 / of as f64 };
        let is_apart = share(raw, compared) - share(noise, twice) >= GAP_MIN;
        if gap((raw, compared), (noise, twice)) > 0.0 && is_apart {
            return Self::Counted;
        }
        if noise > 0 && twice >= TWICE_MIN { Self::Noise } else { Self::Insufficient }
    }

    /// With what is known of the last hour: its standing, what new had in it, and what new has had in all.
    pub(super) fn with_lately(self, lately: Self, recent: (u64, u64), all: (u64, u64)) -> Self {
        if lately == Self::Counted {
            return Self::Counted;
        }
        // As often as before it would have been seen.
        let is_gone = recent.0 == 0 && wilson(recent.0, recent.1).1 < wilson(all.0, all.1).0;
        if self == Self::Counted && recent.1 >= COMPARED_MIN_OF_STATUS && is_gone { Self::Gone } else { self }
    }
}

/// How far the share of new is above that of legacy with itself, at least; below zero where it may not be.
pub fn gap((raw, compared): (u64, u64), (noise, twice): (u64, u64)) -> f64 {
    wilson(raw, compared).0 - wilson(noise, twice).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: Kind, raw: (u64, u64), noise: (u64, u64), expected: Standing) {
        assert_eq!(Standing::of(kind, raw, noise), expected, "{kind} {raw:?} {noise:?}");
    }

    #[track_caller]
    fn check_lately(all: (u64, u64), recent: (u64, u64), expected: Standing) {
        let of = |raw| Standing::of(Kind::ValueChanged, raw, (0, raw.1 / 20));
        assert_eq!(of(all).with_lately(of(recent), recent, all), expected, "{all:?} {recent:?}");
    }

    #[test]
    fn what_was_mended_is_gone_and_what_has_just_begun_counts() {
        use Standing::{Counted, Gone, Insufficient};
        check_lately((1_000, 2_000), (0, 100), Gone);
        check_lately((1_000, 2_000), (0, 19), Counted);
        check_lately((1_000, 2_000), (1, 500), Counted);
        check_lately((1_000, 2_000), (0, 0), Counted);
        // What was rare may only not have come yet.
        check_lately((200, 20_000), (0, 100), Counted);
        check_lately((200, 20_000), (0, 1_000), Gone);
        check_lately((300, 1_000_000), (300, 1_000), Counted);
        check_lately((3, 1_000_000), (3, 1_000), Insufficient);
    }

    #[test]
    fn what_counts_is_above_what_legacy_does_itself() {
        use Kind::{StatusChanged, ValueChanged};
        use Standing::{Counted, Insufficient, Noise};
        check(ValueChanged, (199, 199), (0, 10), Insufficient);
        check(ValueChanged, (200, 200), (0, 10), Counted);
        check(ValueChanged, (200, 200), (10, 10), Noise);
        check(ValueChanged, (200, 200), (1, 9), Counted);
        check(ValueChanged, (100, 200), (1, 2), Insufficient);
        check(ValueChanged, (20, 1_000), (0, 50), Insufficient);
        check(ValueChanged, (200, 1_000), (0, 50), Counted);
        check(ValueChanged, (50, 10_000), (0, 5_000), Counted);
        check(ValueChanged, (40, 100_000), (0, 100_000), Insufficient);
        check(ValueChanged, (500, 1_000), (26, 50), Noise);
        check(ValueChanged, (950, 1_000), (25, 50), Counted);
        check(StatusChanged, (19, 19), (0, 1), Insufficient);
        check(StatusChanged, (20, 20), (0, 1), Counted);
        check(StatusChanged, (2, 20), (0, 20), Insufficient);
        check(ValueChanged, (0, 400), (20, 20), Noise);
        check(ValueChanged, (0, 0), (0, 0), Insufficient);
    }
}
