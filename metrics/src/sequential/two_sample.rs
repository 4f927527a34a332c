//! One measure of new against the same measure of legacy at the same time.
//!
//! # What a block is
//!
//! Counts wait until both sides have some, at most as long as the test says; then they are dropped and nothing is concluded.
//! When a block ends depends on how many requests there were and never on how they went, so waiting cannot make evidence.
//!
//! # Without legacy
//!
//! Where everything is served by new there is nothing beside it. Then new is held against what legacy's rate was at last, with a
//! margin as large as that rate and at least one point, because days differ. That is no longer immune to an outage of what both
//! sides share; who acts must look whether legacy is healthy.

use serde::{Deserialize, Serialize};

use super::clocks::{Clocks, Damaged, Evidence, ln_mean};
use super::count::{Block, Count, is_unused};
use super::factor::{Margin, RATE_MAX, RATE_MIN, SAFETY, Test};

/// What of the past still counts after one more block: about 500 blocks.
const MEMORY: f64 = 0.999;

/// The same of what is recent: about ten blocks.
const RECENT: f64 = 0.9;

/// The rate of legacy before anything was seen: one half of one request.
const PRIOR: Count = Count { total: 1.0, bad: 0.5 };

/// Against a legacy that is not there any more.
const FROZEN_MARGIN: Margin = Margin { absolute: 0.01, relative: 1.0 };

/// A block in which both sides had requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Closed {
    pub block: Block,
    ln_factors: Vec<f64>,
}

impl Closed {
    /// Logarithm of what the block said, as the mean over the alternatives.
    pub fn ln_factor(&self) -> f64 {
        ln_mean(&self.ln_factors)
    }
}

/// The state of the test; its numbers come with each fold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct TwoSample {
    #[serde(default, skip_serializing_if = "is_unused")]
    clocks: Clocks,
    /// Counts of the past, each block a thousandth less than the next.
    #[serde(default, skip_serializing_if = "is_unused")]
    past: Block,
    /// The same of the last blocks.
    #[serde(default, skip_serializing_if = "is_unused")]
    recent: Block,
    /// What waits for the other side.
    #[serde(default, skip_serializing_if = "is_unused")]
    open: Block,
    #[serde(default, skip_serializing_if = "is_unused")]
    waited: u32,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Stored {
    clocks: Clocks,
    past: Block,
    recent: Block,
    open: Block,
    waited: u32,
}

impl TryFrom<Stored> for TwoSample {
    type Error = Damaged;

    fn try_from(Stored { clocks, past, recent, open, waited }: Stored) -> Result<Self, Damaged> {
        if ![past, recent, open].iter().all(Block::is_valid) {
            return Err(Damaged::Counts);
        }
        Ok(Self { clocks, past, recent, open, waited })
    }
}

impl TwoSample {
    /// Takes in what both sides did since the last call. Tells of the block, if one was completed.
    pub fn fold(&mut self, seen: &Block, test: &Test, margin: Margin, deff: f64) -> Option<Closed> {
        if !seen.is_valid() {
            return None;
        }
        self.open = self.open.plus(seen);
        if self.open.is_empty() {
            return None;
        }
        if self.open.legacy.total < 1.0 || self.open.new.total < 1.0 {
            self.wait(test);
            return None;
        }
        let block = self.close();
        let legacy = self.legacy_rate();
        let ln_factors = test.two_sample(&block, legacy, margin.delta(legacy), deff);
        self.learn(&block);
        self.clocks.advance(&ln_factors, test.ln_caps);
        Some(Closed { block, ln_factors })
    }

    /// The same while legacy has no traffic: new against what legacy was.
    pub fn fold_alone(&mut self, new: Count, test: &Test, deff: f64) {
        // Without a past there is nothing to hold it against.
        if !new.is_valid() || new.total == 0.0 || self.past.legacy.total < 1.0 {
            return;
        }
        // What waited for legacy waits in vain.
        self.close();
        let factors = test.one_sample(new, self.acceptable_alone(), deff);
        self.learn(&Block::new(Count::NONE, new));
        self.clocks.advance(&factors, test.ln_caps);
    }

    pub fn evidence(&self) -> Evidence {
        self.clocks.evidence()
    }

    /// Whether new was worse than legacy in about the last ten blocks too; alone, than legacy was.
    pub fn is_still_bad(&self) -> bool {
        let legacy = self.recent.legacy.rate().unwrap_or_else(|| self.legacy_rate());
        self.recent.new.rate().is_some_and(|new| new > legacy)
    }

    /// About the last 500 blocks, the older the less.
    pub const fn past(&self) -> &Block {
        &self.past
    }

    /// The rate of legacy that the past suggests.
    pub fn legacy_rate(&self) -> f64 {
        let seen = self.past.legacy.plus(PRIOR);
        (seen.bad / seen.total).clamp(RATE_MIN, RATE_MAX)
    }

    /// The rate of new that is no offence where it is held against the past of legacy and not against its present.
    pub fn acceptable_alone(&self) -> f64 {
        let legacy = self.legacy_rate();
        legacy + FROZEN_MARGIN.delta(legacy) * (1.0 - legacy)
    }

    /// Forgets the evidence and keeps what was learnt of the rates.
    pub fn restart(&mut self) {
        *self = Self { past: self.past, ..Self::default() };
    }

    fn wait(&mut self, test: &Test) {
        self.waited += 1;
        if self.waited >= test.wait_blocks_max {
            let block = self.close();
            // No evidence, but knowledge of legacy all the same.
            self.past.legacy = self.past.legacy.times(MEMORY).plus(block.legacy);
        }
    }

    fn close(&mut self) -> Block {
        self.waited = 0;
        std::mem::take(&mut self.open)
    }

    fn learn(&mut self, block: &Block) {
        // A block without legacy is one of new alone, and the rate of legacy stays what it was.
        if block.legacy.total > 0.0 {
            self.past.legacy = self.past.legacy.times(MEMORY).plus(block.legacy);
            self.recent.legacy = self.recent.legacy.times(RECENT).plus(block.legacy);
        } else {
            self.recent.legacy = Count::NONE;
        }
        self.past.new = self.past.new.times(MEMORY).plus(block.new);
        self.recent.new = self.recent.new.times(RECENT).plus(block.new);
    }
}

/// Evidence that new is not worse than legacy by `delta` or more. Promotion needs it; the absence of an alarm is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Safety {
    #[serde(default, skip_serializing_if = "is_unused")]
    delta: f64,
    #[serde(default, skip_serializing_if = "is_unused")]
    stream: TwoSample,
}

impl Safety {
    /// Takes in a block. With another `delta` than before, the evidence begins anew.
    pub fn fold(&mut self, seen: &Block, delta: f64, deff: f64) {
        if !(delta > 0.0 && delta < 1.0) {
            return;
        }
        if self.delta.to_bits() != delta.to_bits() {
            self.delta = delta;
            self.stream.restart();
        }
        self.stream.fold(seen, &SAFETY, Margin { absolute: delta, relative: 0.0 }, deff);
    }

    /// Clock A alone: safety is shown for the whole stretch, or it is not shown.
    pub fn evidence(&self) -> f64 {
        self.stream.evidence().since_start
    }

    pub const fn delta(&self) -> f64 {
        self.delta
    }

    pub fn restart(&mut self) {
        self.stream.restart();
    }
}
