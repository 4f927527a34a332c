//! How many different callers fail, as far as 64 groups of keys can tell.
//!
//! # Why
//!
//! One caller with a broken client can fail hundreds of times a minute. That is no reason to move everybody, so a rollback needs
//! three groups of keys that fail, or all there are if there are fewer. Failures count from when the evidence began to rise; a
//! sound system has failures too, and after an hour every group would have had one.

use serde::{Deserialize, Serialize};

use super::seen::Seen;

/// Groups that have to fail before a rollback.
const NEEDED: u32 = 3;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    failing: u64,
    seen: u64,
    has_many: bool,
}

impl Keys {
    /// Takes in a block, where evidence had risen before it or had not.
    pub(super) fn fold(&mut self, seen: &Seen, has_risen: bool) {
        let before = if has_risen { self.failing } else { 0 };
        self.failing = before | seen.failing_keys;
        self.seen |= seen.seen_keys | seen.failing_keys;
        self.has_many |= seen.has_many_keys;
    }

    /// Groups that failed since evidence began to rise.
    pub const fn failing(&self) -> u32 {
        self.failing.count_ones()
    }

    /// How many have to.
    pub fn needed(&self) -> u32 {
        if self.has_many { NEEDED } else { self.seen.count_ones().clamp(1, NEEDED) }
    }

    /// Whether new serves enough of them, failing or not.
    pub fn seen_are_enough(&self) -> bool {
        self.has_many || self.seen.count_ones() >= self.needed()
    }

    /// Whether new serves so few groups that none of them can be left out.
    pub fn are_few(&self) -> bool {
        self.needed() < NEEDED
    }

    pub fn are_enough(&self) -> bool {
        self.failing() >= self.needed()
    }

    pub(super) fn restart(&mut self) {
        self.failing = 0;
    }
}
