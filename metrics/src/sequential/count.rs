//! Counts of one side, and of both sides in one block.
//!
//! Real numbers, because the quality of an answer may be 0.9 of a success. A sum is rounded to a millionth, so that it does not
//! depend on the order in which routers were added.
//!
//! Not here: which requests are bad; who counts decides.

use serde::{Deserialize, Serialize};

/// No side has more in a block; beyond it a count is taken for damage.
const COUNT_MAX: f64 = 1e12;

/// Steps of one, so that stored numbers stay short and are read back exactly.
const STEPS: f64 = 1e6;

/// Rounds to what is stored.
pub(super) fn rounded(value: f64) -> f64 {
    (value * STEPS).round() / STEPS
}

/// Rounds down to what is stored: evidence may be lost by rounding, never made.
pub(super) fn rounded_down(value: f64) -> f64 {
    (value * STEPS).floor() / STEPS
}

/// How many there were, and how many of them were bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Count {
    pub total: f64,
    pub bad: f64,
}

impl Count {
    pub const NONE: Self = Self { total: 0.0, bad: 0.0 };

    pub const fn new(total: f64, bad: f64) -> Self {
        Self { total, bad }
    }

    /// Whether this can have been counted. What cannot is no evidence for anything.
    pub fn is_valid(self) -> bool {
        // Written so that NaN fails every comparison.
        self.bad >= 0.0 && self.bad <= self.total && self.total <= COUNT_MAX
    }

    pub fn good(self) -> f64 {
        self.total - self.bad
    }

    /// The share that was bad; `None` of nothing.
    pub fn rate(self) -> Option<f64> {
        (self.total > 0.0).then(|| self.bad / self.total)
    }

    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { total: rounded(self.total + other.total), bad: rounded(self.bad + other.bad) }
    }

    #[must_use]
    pub(crate) fn times(self, factor: f64) -> Self {
        Self { total: rounded(self.total * factor), bad: rounded(self.bad * factor) }
    }

    /// This and then the newer, at most `last` together: the older ones leave in proportion.
    #[must_use]
    pub(crate) fn then(self, newer: Self, last: f64) -> Self {
        if newer.total >= last {
            return newer.times(last / newer.total);
        }
        let room = last - newer.total;
        let kept = if self.total > room { self.times(room / self.total) } else { self };
        kept.plus(newer)
    }
}

/// Both sides in the same stretch of time. Stored as four numbers, legacy's total and bad and new's total and bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "[f64; 4]", into = "[f64; 4]")]
pub struct Block {
    pub legacy: Count,
    pub new: Count,
}

impl From<[f64; 4]> for Block {
    fn from([legacy, legacy_bad, new, new_bad]: [f64; 4]) -> Self {
        Self::new(Count::new(legacy, legacy_bad), Count::new(new, new_bad))
    }
}

impl From<Block> for [f64; 4] {
    fn from(Block { legacy, new }: Block) -> Self {
        [legacy.total, legacy.bad, new.total, new.bad]
    }
}

impl Block {
    pub const NONE: Self = Self { legacy: Count::NONE, new: Count::NONE };

    pub const fn new(legacy: Count, new: Count) -> Self {
        Self { legacy, new }
    }

    pub fn is_valid(&self) -> bool {
        self.legacy.is_valid() && self.new.is_valid()
    }

    pub fn is_empty(&self) -> bool {
        self.legacy.total == 0.0 && self.new.total == 0.0
    }

    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self { legacy: self.legacy.plus(other.legacy), new: self.new.plus(other.new) }
    }
}

/// Whether a value is what an unused stream has; such values are not stored.
pub(crate) fn is_unused<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
